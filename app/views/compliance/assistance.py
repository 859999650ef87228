"""协助清缴 (rules-2026 N53): supplying allowances for the notice of another enterprise."""

from __future__ import annotations

from typing import Any

from flask import abort, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased
from wtforms.validators import InputRequired

from app.domain.kinds.compliance.assistance import AssistedSurrender
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, Application, Holding, Instrument, Notice, plans_on
from app.operations.compliance import plans
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, Filled
from app.views.applications.list import usual_filters
from app.views.applications.texts import StringField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import notices
from app.views.compliance.surrenders import OF_NOTICE, NoticeForms, OfNotice, SurrenderForm
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions
from app.views.page import PageForm

_NEEDED = InputRequired(_("Please fill this in"))


class NoticeOfAnother(PageForm):
    """Whose notice: both texts have to fit, so that nobody finds one by guessing."""

    number = StringField(_("Notice number"), [_NEEDED], render_kw={"maxlength": 30, "size": 24})
    member = StringField(
        _("Member number of the enterprise"), [_NEEDED], render_kw={"maxlength": 30, "size": 24}
    )


class AssistedSurrenderView(NoticeForms, OfNotice, ApplicationDesk):
    """协助清缴: the applications of a helper; the enterprise agrees, its province reviews."""

    route_base = "/assisted-surrenders"
    kind = AssistedSurrender.code
    title = _("Assisted surrenders")
    menu = MenuEntry(COMPLIANCE, 10)
    guide = {"enterprise": "二清缴履约", "province": "查询", "registry": "履约通知书与清缴记录"}
    form_title = _("Surrender for another enterprise")
    form = SurrenderForm
    quantity_title = _("Supplied quantity")
    picker_title = _("Add allowances to supply")
    form_columns = form_columns(_("Supplied quantity"))
    columns = (
        *OfNotice.columns[:2],
        Column("helped", _("Enterprise that is helped")),
        *OfNotice.columns[2:],
    )
    filters = (*OF_NOTICE, *usual_filters())
    confirm = _("What is supplied cannot be taken back once it is approved. Submit it?")
    help = (
        _("For an enterprise that cannot buy, such as one whose bank accounts are frozen"),
        _("That enterprise agrees first, then its provincial authority reviews"),
        _("Allowances alone, of the vintages that its notice accepts; no CCER"),
        _("What is supplied counts for its notice; it stays in your records with its name"),
        _("While it is under review the quantity is held; if it is sent back the quantity returns"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add who is helped."""
        helped = aliased(Account)
        name = select(helped.name).where(helped.id == Notice.account_id).correlate(Notice)
        return super().rows(conditions).add_columns(name.scalar_subquery().label("helped"))

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the notice, then show the form."""
        if "number" not in request.args:
            return self._ask_for_notice()
        return super().new()

    def offered(self, account_id: int) -> list[Choosable]:
        """Return every allowance held; those that the notice does not accept say so."""
        notice, plan = self._notice(), plans_on(clock.now().astimezone(BEIJING).date())
        rows = db.session.execute(
            select(
                Instrument.id,
                Instrument.code,
                Instrument.name,
                Holding.available,
                plans.accepts(plan.c).label("is_accepted"),
            )
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .join(plan, (plan.c.year == notice.year) & (plan.c.sector == notice.sector))
            .where(Holding.account_id == account_id, Instrument.kind == "allowance")
            .order_by(Instrument.code)
        )
        return [
            Choosable(
                row.id,
                row.code,
                row.name,
                row.available,
                refusal=_refusal(row),
                account_id=notice.account_id,
            )
            for row in rows
        ]

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Say whose notice it is; what is due is that enterprise's affair."""
        notice = self._notice()
        return [
            (_("Enterprise that is helped"), notice.account.name, "text"),
            (_("Member number"), notice.account.member_no, "code"),
            (_("Notice number"), notice.number, "code"),
            (_("Compliance year"), str(notice.year), "text"),
            (_("Sector"), str(SECTORS.get(notice.sector, notice.sector)), "text"),
        ]

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the notice, and what was confirmed about newer allowances."""
        form = filled.form
        proposal = form.confirmed(filled.lines)
        return {**super().content(filled), "notice_id": form.notice.id, "proposal": proposal}

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Warn of what the helper itself still has to surrender."""
        own = notices().where(Notice.account_id == account_id).subquery("own")
        rest = db.session.scalar(select(func.sum(own.c.remaining)))
        if not rest:
            return ""
        return gettext(
            "Your own notices still ask for %(rest)s tonnes; keep enough for them", rest=f"{rest:,}"
        )

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        notice = application.notice
        name = notice.account.name if notice else ""
        return gettext("%(name)s agrees first, then its provincial authority reviews it", name=name)

    def _notice(self) -> Notice:
        """Return the notice of the application, or the one that the address names, or abort with 404."""
        if id_ := (request.view_args or {}).get("id"):
            notice = db.session.get_one(Application, id_).notice
        else:
            notice = _find(request.args.get("number", ""), request.args.get("member", ""))
        return notice or abort(404)

    def _ask_for_notice(self) -> Any:
        self.actor()
        form = NoticeOfAnother()
        if form.validate_on_submit():
            number, member = (form.number.data or "").strip(), (form.member.data or "").strip()
            found = _find(number, member)
            if found is not None and found.account_id != self.account_id():
                return redirect(self.url("new", number=number, member=member))
            message = _("No other enterprise with this member number has such a notice")
            form.number.errors = [*form.number.errors, message]
        return self.form_page(
            self.form_title,
            form,
            cancel_url=self.url("list"),
            submit_label=gettext("Continue"),
            help=self.help,
        )


def _find(number: str, member: str) -> Notice | None:
    """Return the notice with this number, of the enterprise with this member number."""
    if not 0 < len(number) <= 30 or not 0 < len(member) <= 30 or "\x00" in number + member:
        return None
    return db.session.scalars(
        select(Notice)
        .join(Account, Account.id == Notice.account_id)
        .where(Notice.number == number, Account.member_no == member, Notice.withdrawn_at.is_(None))
    ).one_or_none()


def _refusal(row: Any) -> Any:
    if not row.is_accepted:
        return _("Not within the scope of this notice")
    return "" if row.available else _("Nothing available")
