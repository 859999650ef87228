"""质押解除 and 质押配额清缴: what draws on a pledge, never without its pledgee."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.kinds.pledge import (
    Pledge,
    PledgeJointRelease,
    PledgeNote,
    PledgeNoteRelease,
    PledgeRelease,
    PledgeSurrender,
)
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.models import Application
from app.operations.compliance import plans
from app.operations.pledges import facts
from app.operations.records import clock
from app.views.applications.choosable_lines import form_columns, lines_left
from app.views.applications.desk import ApplicationDesk, DrawsOnDocuments
from app.views.applications.form import Choosable, Filled, LinesForm, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import PLEDGES, MenuEntry
from app.views.compliance.deductions import REASON
from app.views.compliance.surrenders import SurrenderView
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.pledges.register import GUIDE

COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Application number"), "kind": "code"},
    {"label": _("Pledgee"), "kind": "text"},
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Pledged quantity"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Quantity left"), "kind": "number", "unit": _("tonnes")},
)
RELEASED = _("Released quantity")
PLEDGEE = Application.proposal["pledgee"].astext


def _asked(lines: Iterable[Line], account_id: int) -> tuple[int, ...]:
    """Return the accounts here of the pledgees of what lines draw on."""
    codes = facts.pledgee_of([line.source_line_id for line in lines if line.source_line_id])
    here = facts.accounts_of(codes).values()
    return tuple(sorted(each for each in here if each != account_id))


class _DrawsOnPledges(DrawsOnDocuments):
    draws_on = Pledge.code
    picker_title = _("Choose pledges")
    picker_columns: Sequence[dict[str, Any]] = COLUMNS
    quantity_title = RELEASED
    told = PLEDGEE


class PledgeJointReleaseView(_DrawsOnPledges, ApplicationDesk):
    """质押解除 by both: the pledgee agrees in its own account."""

    route_base = "/pledge-joint-releases"
    kind = PledgeJointRelease.code
    title = _("Joint releases of pledges")
    menu = MenuEntry(PLEDGES, 4)
    guide = GUIDE
    form_title = _("Application for the release of a pledge")
    form = LinesForm
    form_columns = form_columns(RELEASED, COLUMNS)
    columns = (
        *usual_columns("number", "member_no", "account", "instrument_codes"),
        Column("quantity", RELEASED, kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters()
    help = (
        _("The pledgee agrees in its own account, then an officer of the registry"),
        _("Of a pledgee without an account here the registry takes the document"),
        _("What is released is available again, unless a court's order waits for it"),
    )
    empty_hint = _("Releases that holder and pledgee ask for together appear here")

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the pledgee, which has to agree."""
        asked = _asked(filled.lines, filled.account_id)
        return {**super().content(filled), "receivers": asked}

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        names = "、".join(each.account.name for each in application.parties)
        return gettext("%(name)s agrees first, then an officer of the registry", name=names)


class ReleaseForm(LinesForm):
    """What the pledgee asks for on paper."""

    document_no = StringField(
        _("Number of the pledgee's document"), [Required()], render_kw={"maxlength": 100}
    )
    reason = REASON


class _ReleaseDesk(_DrawsOnPledges, OfficerDesk):
    form = ReleaseForm
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account", "instrument_codes"),
        Column("document_no", _("Number of the pledgee's document"), kind="code"),
        Column("quantity", RELEASED, kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    filters: tuple[Filter, ...] = (
        Filter("document", _("Number of the pledgee's document"), on=("document_no",)),
        *usual_filters(),
    )

    def needs_attachments(self, account_id: int) -> bool:
        """The pledgee's document."""
        return True


_ON_PAPER = (
    _("On the document of the pledgee, or of both; never of the holder alone"),
    _("One officer enters it, another confirms it; the document is attached"),
)


class PledgeReleaseView(_ReleaseDesk):
    """质押解除受理: on the pledgee's document, by two officers."""

    route_base = "/pledge-releases"
    kind = PledgeRelease.code
    title = _("Releases of pledges")
    menu = MenuEntry(PLEDGES, 6)
    guide = {"registry": GUIDE["registry"]}
    form_title = _("New release of a pledge")
    form_columns = form_columns(RELEASED, COLUMNS)
    help = (
        *_ON_PAPER,
        _("What is released is available again, unless a court's order waits for it"),
    )
    empty_hint = _("Releases that the registry enters on pledgees' documents appear here")


class PledgeNoteReleaseView(_ReleaseDesk):
    """质押备注注销, by two officers."""

    route_base = "/pledge-note-releases"
    kind = PledgeNoteRelease.code
    draws_on = PledgeNote.code
    title = _("Deletions of pledge notes")
    menu = MenuEntry(PLEDGES, 7)
    guide = {"registry": GUIDE["registry"]}
    form_title = _("New deletion of a pledge note")
    form_columns = form_columns(RELEASED, COLUMNS)
    help = _ON_PAPER
    empty_hint = _("Notes that the registry deletes on pledgees' documents appear here")


class PledgeSurrenderView(SurrenderView):
    """质押配额清缴 (N113): out of what is frozen, for a notice, with the pledgee's consent."""

    route_base = "/pledge-surrenders"
    kind = PledgeSurrender.code
    title = _("Surrenders of what is pledged")
    menu = MenuEntry(PLEDGES, 5)
    guide = GUIDE
    form_title = _("Surrender of what is pledged")
    new_label = _("New")
    picker_title = _("Choose pledges")
    picker_columns = COLUMNS
    form_columns = form_columns(_("Submitted quantity"), COLUMNS)
    help = (
        _("Attach the pledgee's consent for this notice and quantity"),
        _("A pledgee with an account here agrees first, then two officers and the province review"),
        _("It stays frozen for the pledgee until it is surrendered; nobody else can take it"),
        _("No more can be submitted than obligation - surrendered - pending review"),
    )
    empty_hint = _("Surrenders out of what is pledged appear here")

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what is left of pledges; what the notice does not accept says so."""
        plan = plans.of_notice(self._notice(), clock.now().astimezone(BEIJING).date())
        accepted = {each.id for each in plans.accepted(plan)}
        return [
            each
            if each.instrument_id in accepted
            else replace(each, refusal=_("Not within the scope of this notice"))
            for each in lines_left(account_id, Pledge.code, told=PLEDGEE)
        ]

    def new_form(self, account_id: int) -> Any:
        """Begin empty: a proposal of the planner is of what is free."""
        return self._about(self.form())

    def needs_attachments(self, account_id: int) -> bool:
        """The pledgee's consent."""
        return True

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the pledgee, where it has an account here."""
        asked = _asked(filled.lines, filled.account_id)
        return {**super().content(filled), "receivers": asked}

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        return gettext(
            "The pledgee agrees, where it has an account here; then two officers of the registry and the"
            " provincial authority review it"
        )
