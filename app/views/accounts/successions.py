"""承继: what a merger, a division or a dissolution does to an enterprise's tonnes and notices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.accounts import DISSOLUTION, Share, percent, shares_of
from app.domain.errors import RuleError
from app.domain.kinds.accounts.succession import AccountSuccession, lines_of
from app.domain.moves import CARE_ACCOUNT_ID
from app.domain.texts import folded
from app.extensions import db
from app.models import Account, Application, Holding, Instrument
from app.operations.accounts import life
from app.operations.applications import engine
from app.operations.records.catalogue import SUCCESSIONS
from app.views.applications import form as application_form
from app.views.applications.form import PLEASE_CHOOSE, DocumentForm, Filled, OfferedField
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import TextAreaField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions

MOST_SUCCESSORS = 20


class SuccessionForm(DocumentForm):
    """承继: the document, and who succeeds to how much."""

    category = OfferedField(_("Type"), SUCCESSIONS, PLEASE_CHOOSE)
    shares = TextAreaField(
        _("Successors and shares"),
        description=_(
            "One a line: member number, then its share in per cent, such as 21042300007 60. A merger"
            " needs no share; without successor leave it empty"
        ),
        render_kw={"rows": 4, "maxlength": 1000},
    )


class SuccessionView(OfficerDesk):
    """承继, by two officers: everything moves on the second one's approval."""

    route_base = "/successions"
    kind = AccountSuccession.code
    title = _("Successions")
    menu = MenuEntry(ACCOUNTS, 18)
    guide = {"registry": "承继"}
    form_title = _("New succession")
    form = SuccessionForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("category", _("Type"), choices=SUCCESSIONS),
        Column("successors", _("Successors and shares")),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("starts_on", _("In force from"), kind="date"),
        Column("reason", _("Reason for the application"), is_shown=False),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("category", _("Type"), kind="choice", choices=SUCCESSIONS),
    )
    confirm = _("All tonnes are held from now on, and move with the second officer. Submit it?")
    help = (
        _("A succession moves everything that is available; what is frozen, in trading, in custody or"
          " under way comes first"),
        _("Open notices go along under their number, what was surrendered included; of a division each"
          " further successor gets a notice of its share"),
        _("What is open of adjustment notices goes along under their number, split by the shares; without"
          " successor it is returned or revoked first"),
        _("Tonnes are split by the shares, rounded down, the rest to the first successor"),
        _("Without successor the tonnes are in the registry's care, neither issued nor surrendered"),
        _("The account itself is closed by an application of its own afterwards"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the successors."""
        named = (
            "(SELECT string_agg((x ->> 'account_name') || ' ' || (x ->> 'percent') || '%', '、')"
            "   FROM jsonb_array_elements(application.proposal -> 'shares') x)"
        )
        return super().rows(conditions).add_columns(
            Application.category, Application.document_no, Application.starts_on,
            db.literal_column(named).label("successors"),
        )  # fmt: skip

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Say what there is to succeed to."""
        held = "；".join(each.told() for each in life.obstacles_of(account_id))
        return [
            *super().form_facts(account_id),
            (_("What it has and owes"), held or gettext("Nothing"), "text"),
        ]

    def edit_form(self, application: Application) -> Any:
        shares = shares_of(application.proposal)
        typed = "\n".join(f"{each.member_no} {each.percent}" for each in shares)
        return self.form(data={**self.typed_before(application), "shares": typed})

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Return the draft, with all that is available split by the shares.  Raises RuleError."""
        form = filled.form
        shares = _shares(form.shares.data or "", form.category.data)
        return engine.Draft(
            kind=self.kind,
            account_id=account_id,
            lines=lines_of(_available(account_id), shares) if shares else (),
            request_key=application_form.request_key(),
            proposal={"shares": [each.stored() for each in shares]},
            **form.content(),
        )


def _available(account_id: int) -> dict[int, int]:
    """Return what an account has available, in tonnes, by instrument."""
    rows = db.session.execute(
        select(Holding.instrument_id, Holding.available)
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .where(Holding.account_id == account_id, Holding.available > 0, Instrument.is_of_tonnes())
    )
    return dict(rows.all())


def _shares(typed: str, category: str | None) -> list[Share]:
    """Read one successor a line.  Raises RuleError, which names the line."""
    lines = [line for line in typed.splitlines() if line.strip()]
    if len(lines) > MOST_SUCCESSORS:
        message = _("At most %(most)d successors; these are %(count)d", most=MOST_SUCCESSORS,
                    count=len(lines))  # fmt: skip
        raise RuleError(message, field="shares", code="too_many_successors")
    if category == DISSOLUTION and not lines:
        return [_share(db.session.get_one(Account, CARE_ACCOUNT_ID), Decimal(100))]
    parts = [re.split(r"[\s,，:：]+", line.strip(), maxsplit=1) for line in lines]
    known = _accounts(each[0] for each in parts)
    found = []
    for number, part in enumerate(parts, start=1):
        account = known.get(folded(part[0]))
        if account is None:
            raise RuleError(
                _("Line %(number)d: there is no open account %(typed)s", number=number,
                  typed=part[0][:30]),
                field="shares", code="successor_unknown",
            )  # fmt: skip
        alone = len(part) == 1 and len(parts) == 1
        share = Decimal(100) if alone else percent(part[-1] if part[1:] else "", field="shares")
        found.append(_share(account, share))
    return found


def _share(account: Account, share: Decimal) -> Share:
    return Share(account.id, share, account.member_no, account.name)


def _accounts(numbers: Iterable[str]) -> dict[str, Account]:
    wanted = select(Account).where(
        Account.is_open(), Account.member_no.in_([folded(each) for each in numbers])
    )
    return {each.member_no: each for each in db.session.scalars(wanted)}
