"""Two versions of an application side by side: the stored one, and the one in a form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.kinds import KINDS
from app.domain.kinds.accounts.account import AccountOpening
from app.domain.money import written
from app.extensions import db
from app.models import Account, Application, Instrument, Venue
from app.operations.applications.engine import Draft
from app.operations.records.catalogue import Titles
from app.views.applications.list import comparison
from app.views.applications.proposals import proposal_table

_TITLES = {
    "category": _("Type"),
    "document_no": _("Number of the authority document"),
    "authority": _("Deciding authority"),
    "starts_on": _("In force from"),
    "ends_on": _("In force until"),
    "reason": _("Reason for the application"),
}


def compared(application: Application, draft: Draft) -> list[list[Any]]:
    """Return rows of title, stored value, typed value; personal data masked."""
    receivers = [party.account_id for party in application.parties]
    stored, typed = _values(application, receivers), _values(draft, draft.receivers)
    return [
        [title, stored.get(title, ""), typed.get(title, "")]
        for title in dict.fromkeys([*stored, *typed])
    ]


def _values(of: Any, receivers: Iterable[int]) -> dict[str, str]:
    """Return the values of an application or draft by title."""
    kind = KINDS[of.kind]
    found: dict[str, str] = {}
    for line in of.lines:
        instrument = db.session.get_one(Instrument, line.instrument_id)
        parts = [written(line.quantity, is_money=instrument.kind == "money")]
        if line.venue_id:
            parts.append(db.session.get_one(Venue, line.venue_id).name)
        title = f"{instrument.code} {instrument.name}"
        if line.account_id and instrument.kind != "money":
            title += f" → {db.session.get_one(Account, line.account_id).name}"
        found[title] = f"{found[title]}；{' '.join(parts)}" if title in found else " ".join(parts)
    if proposed := proposal_table(of.kind, of.proposal):
        found |= {str(row[0]): str(row[-1]) for row in proposed["rows"]}
    elif of.proposal:
        is_new = of.kind == AccountOpening.code
        table = comparison(of.proposal, is_clear=False, is_new=is_new)
        found |= {str(row[0]): str(row[-1]) for row in table["rows"]}
    if not kind.has_lines and (ids := list(receivers)):
        names = select(Account.name).where(Account.id.in_(ids)).order_by(Account.member_no)
        found[gettext("Other enterprises concerned")] = "、".join(db.session.scalars(names))
    for name, title in _TITLES.items():
        value = getattr(of, name)
        if value:
            shown = Titles(of.kind).get(value, value) if name == "category" else value
            found[str(title)] = str(shown)
    return found
