"""质押登记申请: the holder applies, the pledgee agrees, the registry's two officers check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select
from wtforms import FieldList, FormField

from app.domain.kinds.pledge import AS_HOLD, AS_NOTE, TEXTS, Pledge, PledgeNote
from app.domain.texts import folded
from app.domain.workflow import Status
from app.extensions import db
from app.models import Application
from app.models.parameter import setting
from app.operations.applications.engine import MOST_LINES
from app.operations.pledges import facts
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import (
    DATE_INPUT,
    DayField,
    Filled,
    LineForm,
    ProposalForm,
    Required,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.texts import StringField
from app.views.chapters import PLEDGES, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction
from app.views.pledges.register import GUIDE, followed_table, said, standing_table


def _text(name: str, **more: Any) -> StringField:
    title, longest = TEXTS[name]
    return StringField(title, [Required()], render_kw={"maxlength": longest, **more})


class PledgeForm(ProposalForm):
    """质押登记."""

    pledgee = _text("pledgee")
    uscc = _text("uscc", autocomplete="off")
    email = _text("email", autocomplete="off")
    contract_no = _text("contract_no")
    filing_no = _text("filing_no")
    ends_on = DayField(_("Filing holds until"), [Required()], render_kw=DATE_INPUT)
    lines = FieldList(FormField(LineForm), max_entries=MOST_LINES)

    def content(self) -> dict[str, Any]:
        """Return the draft's content: what the pledge says is its proposal."""
        typed = {name: (self[name].data or "").strip() for name in TEXTS}
        self.proposal = {**typed, "uscc": folded(typed["uscc"])}
        return super().content()


class _PledgeDesk(ApplicationDesk):
    """Pledges in one of the two ways, offered while the parameter of the day says so."""

    mode: int
    form = PledgeForm
    quantity_title = _("Pledged quantity")
    picker_title = _("Choose what is pledged")
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("member_no",)),
        Column("pledgee", _("Pledgee")),
        Column("contract_no", _("Number of the pledge contract"), kind="code", is_shown=False),
        *usual_columns("instrument_codes"),
        Column("quantity", _("Pledged quantity"), kind="quantity"),
        Column("ends_on", _("Filing holds until"), kind="date"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(),
        Filter("pledgee", _("Pledgee"), on=("pledgee",)),
        Filter("contract", _("Number of the pledge contract"), on=("contract_no",)),
    )
    empty_hint = _(
        "Applications of the holder appear here, once pledges are registered in this way"
    )

    def is_offered(self) -> bool:
        """Tell whether pledges are registered in this way today."""
        return bool(setting(db.session, "pledge_mode") == self.mode)

    def tools(self) -> Iterable[RowAction]:
        return super().tools() if self.is_offered() else ()

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say that nothing is registered in this way at present."""
        if self.is_offered():
            return ""
        return gettext(
            "Pledges are not registered in this way at present (system parameter on pledges)"
        )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add to whom."""
        return super().rows(conditions).add_columns(said("pledgee"), said("contract_no"))

    def needs_attachments(self, account_id: int) -> bool:
        """The document that the pledgee signed."""
        return True

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the pledgee's account, where it has one here: it is asked to agree itself."""
        found = super().content(filled)
        here = facts.accounts_of({found["proposal"]["uscc"]}).values()
        return {**found, "receivers": tuple(each for each in here if each != filled.account_id)}

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Return an application as form data, with what the pledge says."""
        texts = {name: application.proposal.get(name, "") for name in TEXTS}
        return {**super().typed_before(application), **texts}

    def detail_tables(self, application: Application, *, is_clear: bool = False) -> list[Any]:
        """Add where a registered pledge stands, and what followed."""
        found = super().detail_tables(application, is_clear=is_clear)
        if application.status == Status.APPROVED:
            found += [standing_table(application), followed_table(application)]
        return found

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        if application.parties:
            names = "、".join(each.account.name for each in application.parties)
            return gettext(
                "%(name)s agrees first, then two officers of the registry check it", name=names
            )
        return gettext("Two officers of the registry check it")


_HELP = (
    _("Attach the contract, or the consent, that the pledgee signed or sealed"),
    _("A pledgee with an account here is asked to agree itself, by its credit code"),
    _("The filing is the one in the movables registry (中登网); its end does not end the pledge"),
)


class PledgeView(_PledgeDesk):
    """质押冻结: what is pledged is frozen for the pledgee."""

    route_base = "/pledges"
    kind = Pledge.code
    mode = AS_HOLD
    title = _("Pledges with a freeze")
    menu = MenuEntry(PLEDGES, 2)
    guide = GUIDE
    form_title = _("Application for a pledge")
    form_columns = form_columns(_("Pledged quantity"))
    confirm = _("What is pledged is released on the pledgee's word alone, or of both. Submit it?")
    help = (
        *_HELP,
        _("The quantity is held from the submission on, and frozen once the pledge is registered"),
        _("Courts' orders that are served later wait for what is released"),
    )


class PledgeNoteView(_PledgeDesk):
    """质押备注: a marker; the allowances stay where they are."""

    route_base = "/pledge-notes"
    kind = PledgeNote.code
    mode = AS_NOTE
    title = _("Pledge notes")
    menu = MenuEntry(PLEDGES, 3)
    guide = GUIDE
    form_title = _("Application for a pledge note")
    form_columns = form_columns(_("Pledged quantity"))
    help = (*_HELP, _("A note moves and stops nothing; it is shown beside the holding"))
