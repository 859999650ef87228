"""What a decision on a 履约通知书 changes, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.notices import Decision, Terms
from app.domain.trading_day import BEIJING

ACTS = {
    "issue": (_("Issue"), "blue"),
    "change": (_("Adjust"), "amber"),
    "withdraw": (_("Take back"), "red"),
}


def terms_table(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return old and new terms side by side; of a new notice there are no old ones."""
    decision = Decision.read(proposal)
    before, after = _values(decision.before), _values(decision.after)
    columns = [{"label": _("Field")}]
    if before:
        columns.append({"label": _("Before the change")})
    if after:
        columns.append({"label": _("After the change") if before else _("Value")})
    rows = [
        [title, *(side[title] for side in (before, after) if side)] for title in before or after
    ]
    act, _tone = ACTS[decision.act]
    title = gettext("%(year)s notice: %(act)s", year=decision.year, act=act)
    return {"title": title, "columns": columns, "rows": rows}


def _values(terms: Terms | None) -> dict[str, str]:
    if terms is None:
        return {}
    return {
        gettext("Obligation (tonnes)"): f"{terms.obligation:,}",
        gettext("Deadline"): f"{terms.deadline.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        gettext("Instruments accepted"): "、".join(terms.instruments),
        gettext("Share of CCER (%)"): f"{terms.offset_percent.normalize():f}",
    }
