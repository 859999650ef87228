"""结转批次: two officers let a batch be recalled; the worker carries it out."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, func, select

from app.domain.compliance.carry_over import batches_of, day_before
from app.domain.errors import RuleError
from app.domain.kinds.compliance.carry_over import CarryOverBatch
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.models import Application, CarryOverGrant, CarryOverRefusal
from app.operations.applications import engine
from app.operations.carry_over import drafts
from app.operations.compliance import carry_over
from app.operations.records import clock
from app.views.applications import form as application_form
from app.views.applications.form import DATE_INPUT, ApplicationForm, DayField, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.carry_over.notices import choose_round, named_round
from app.views.chapters import CARRY_OVERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions


class BatchForm(ApplicationForm):
    """The last day of submission, and the reason."""

    until = DayField(
        _("Submitted until"),
        [Required()],
        description=_("That day included; it must be over"),
        render_kw=DATE_INPUT,
    )


class CarryOverBatchView(OfficerDesk):
    """结转批次 with what each has carried out."""

    route_base = "/carry-over-batches"
    kind = CarryOverBatch.code
    title = _("Carry-over batches")
    menu = MenuEntry(CARRY_OVERS, 6)
    guide = {"registry": "结转"}
    form_title = _("New batch")
    new_label = _("New batch")
    form = BatchForm
    accepts_attachments = False
    columns = (
        *usual_columns("number"),
        Column("year", _("Carried over into"), kind="code"),
        Column("until", _("Submitted until"), kind="code"),
        Column("applications", _("Applications"), kind="number"),
        Column("tonnes", _("To be recalled"), kind="quantity"),
        Column("done", _("Carried out"), kind="number"),
        Column("granted", _("Granted"), kind="quantity"),
        Column("refused", _("Not carried out"), kind="number"),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(each for each in usual_filters(has_lines=False) if each.name != "member")
    help = (
        _("A batch takes all applications submitted until its day that are not withdrawn"),
        _("Once another officer has approved it, each is recalled and granted as much of the newer"
          " vintage, in one document"),
        _("An application that a rule refuses stays under review, with the reason"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what a batch is about, and what it has carried out."""
        said, mine = Application.proposal, CarryOverGrant.batch_id == Application.id
        done = select(func.count()).where(mine).correlate(Application)
        total = func.coalesce(func.sum(CarryOverGrant.quantity), 0)
        granted = select(cast(total, BigInteger)).where(mine).correlate(Application)
        refused = (
            select(func.count())
            .where(CarryOverRefusal.batch_id == Application.id)
            .correlate(Application)
        )
        return (
            super()
            .rows(conditions)
            .add_columns(
                cast(said["year"].astext, BigInteger).label("year"),
                said["until"].astext.label("until"),
                cast(said["count"].astext, BigInteger).label("applications"),
                cast(said["tonnes"].astext, BigInteger).label("tonnes"),
                done.scalar_subquery().label("done"),
                granted.scalar_subquery().label("granted"),
                refused.scalar_subquery().label("refused"),
            )
        )

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def choose(self) -> Any:
        """Lead to the rounds where there is none; else the newest one counts, or the one named."""
        return choose_round()

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return the batches of the round, and what waits for one."""
        found, today = named_round(), clock.now().astimezone(BEIJING).date()
        waits = carry_over.batch_of(found.year, day_before(today).isoformat())
        batches = "；".join(
            gettext("until %(until)s, recalled by %(recalled)s", until=until, recalled=recalled)
            for until, recalled in batches_of(found.values())
        )
        return [
            (_("Carried over into"), f"{found.year}（{found.target.code}）", "text"),
            (_("Batches"), batches, "text"),
            (_("Applications waiting, submitted until yesterday"), waits.count, "number"),
            (_("To be recalled"), waits.tonnes, "number", _("tonnes")),
        ]

    def new_form(self, account_id: int) -> Any:
        return self.form(data={"until": day_before(clock.now().astimezone(BEIJING).date())})

    def edit_form(self, application: Application) -> Any:
        data = self.typed_before(application)
        until = application.proposal.get("until")
        return self.form(data=data | {"until": date.fromisoformat(until)} if until else data)

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        until = filled.form.until.data
        if until is None:
            raise RuleError(_("Enter the last day of submission"), field="until")
        return drafts.of_batch(
            named_round().year,
            until,
            application_form.request_key(),
            reason=(filled.form.reason.data or "").strip(),
        )

    def next_step(self, application: Application) -> Any:
        return gettext(
            "Another officer of the registry confirms it; then the worker carries it out"
        )
