"""账户管理: the operators of an enterprise (操作员管理), and whether one checks the other (操作复核)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from flask import abort, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, select
from wtforms import BooleanField

from app.domain.masking import mask_email, mask_phone
from app.extensions import db
from app.models import ColleagueReviewChange, Member
from app.models.member import NO_ADDRESS
from app.operations.accounts import accounts, operators
from app.operations.accounts.operators import CHECKER, MAKER
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import REPRESENTATIVE
from app.views.applications import signing
from app.views.applications.form import Required
from app.views.applications.switch import CHANGED_AT, CHANGED_BY, CHANGED_FILTER, SwitchPage
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction
from app.views.page import PageForm, SignedAct, carried_out, current_actor
from app.views.people import deeds
from app.views.people.people_list import (
    CERTIFICATE,
    LAST_SIGN_IN,
    STATE,
    PeopleList,
    email_field,
    phone_field,
    read_person,
    switch_acts,
)

# What the representative's people may do, in short words.
DUTIES = {
    "enterprise": _("The account representative"),
    MAKER: _("Enters and submits"),
    CHECKER: _("Says yes or no"),
}


class OperatorForm(PageForm):
    """Who is to act for the enterprise, and as what."""

    name = StringField(_("Person's name"), [Required()], render_kw={"maxlength": 64})
    phone, email = phone_field(), email_field()
    maker = BooleanField(
        _("Enters"), description=_("Fills in applications and submits them; sees everything")
    )
    checker = BooleanField(
        _("Says yes or no"), description=_("Says yes or no to what a colleague submitted")
    )

    def held(self) -> list[str]:
        """Return the roles that are ticked."""
        return [role for role in (MAKER, CHECKER) if self[role.partition("_")[2]].data]


class DutyForm(PageForm):
    """What an operator may do."""

    maker, checker = OperatorForm.maker, OperatorForm.checker
    held = OperatorForm.held


def _set_duties(values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
    """Change an operator's duties.  Raises RuleError."""
    found = select(Member.id).where(Member.username == values["member"])
    operators.set_roles(db.session.scalars(found).one(), values["roles"], actor)
    return gettext("The duties were changed")


def _shown_duties(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    duties = "、".join(str(DUTIES[code]) for code in values["roles"])
    return [(_("Member number"), values["member"]), (_("Duties"), duties)]


class OperatorView(PeopleList):
    """操作员管理: who acts for the enterprise."""

    route_base = "/operators"
    title = _("Operators")
    people_are = "operator"
    titles = DUTIES
    # One permission is for all that a representative does with them.
    method_permission_name: ClassVar = {"disable": "write", "enable": "write"}
    menu = MenuEntry(ACCOUNTS, 5)
    guide = {"enterprise": "操作员管理"}
    grants = {REPRESENTATIVE: "list export write"}
    signed_acts = {
        "operator.role": SignedAct(_("Change duties"), "write", _set_duties, _shown_duties),
        **switch_acts(operators, "operator", "write"),
        "operator.appoint": deeds.signed_act("operator.appoint", "write"),
    }
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), kind="code"),
        Column("name", _("Person's name")),
        Column("roles", _("Duties")),
        Column("email", _("E-mail")),
        STATE,
        CERTIFICATE,
        LAST_SIGN_IN,
    )
    filters = (
        Filter("member_no", _("Member number"), kind="prefix", on=("member_no",)),
        Filter("name", _("Person's name"), on=("name",)),
    )
    help = (
        _("The account representative appoints the operators; each has a number and a password"),
        _(
            "Who enters fills in and submits; who reviews says yes or no to what a colleague submitted"
        ),
        _(
            "A new operator gets first-sign-in link and reference number by mail, the authorisation"
            " code by text message; codes can be sent again until a certificate was fetched"
        ),
        _(
            "After a loss suspend or revoke the certificate at once; the registry sends a replacement"
        ),
        _("When an operator leaves, disable the operator and revoke the certificate"),
        _(
            "A disabled operator's sessions end at once, and the certificate is suspended; what they did"
            " stays on record. Enabling does not resume the certificate: resume it here, too"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the enterprise's people; addresses are masked in exports, too."""
        masked = func.regexp_replace(Member.email, "^(.{1,2})[^@]*@", r"\1***@")
        shown = case((Member.email.endswith(NO_ADDRESS), ""), else_=masked)
        return self.people(shown.label("email")).where(Member.account_id.is_not(None))

    def tools(self) -> Iterable[RowAction]:
        """新增操作员 stands first."""
        if self.may("write"):
            yield RowAction(_("Add an operator"), self.url("new"), icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Offer what the representative may do with an operator."""
        if not self.may("write") or row.id == g.user.id:
            return
        yield from self.certificate_actions(row)
        yield RowAction(_("Change duties"), self.url("duties", member_id=row.id))
        question = _("Reset %(name)s? The password no longer counts, and a new link is sent.")
        yield self.act(_("Reset"), "reset", row, question, is_dangerous=True)
        yield self.switch_action(row)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Show the form, or register an operator."""
        form = OperatorForm()
        values = read_person(form, form.name.data or "") if form.validate_on_submit() else None
        is_signed = signing.is_required()
        member = values and carried_out(
            form,
            lambda: operators.add(
                current_actor(), **values, roles=form.held(), now=clock.now(), sends=not is_signed
            ),
            "maker",
        )
        if member and is_signed:
            return self.deed("operator.appoint", member.id)
        if member:
            text = gettext(
                "Operator %(number)s was added; the first letters are on their way",
                number=member.username,
            )
            return self.done(text)
        return self.form_about(gettext("Add an operator"), form, [], help=self.help)

    @expose("/<int:member_id>/duties", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def duties(self, member_id: int) -> Any:
        """Let an operator do other things."""
        member = self._operator(member_id)
        held = {role.name for role in member.roles}
        form = DutyForm(maker=MAKER in held, checker=CHECKER in held)
        if form.validate_on_submit():
            values = {"member": member.username, "roles": form.held()}
            done = signing.carry_out(self, "operator.role", values, form, "maker", self.back())
            if done is not None:
                return done
        facts = [
            (_("Member number"), member.username, "code"),
            (_("Person's name"), member.first_name, "text"),
            (_("Mobile phone"), mask_phone(member.phone), "text"),
            (_("E-mail"), mask_email(member.email), "text"),
        ]
        return self.form_about(gettext("Change duties"), form, facts, help=self.help)

    @expose("/<int:member_id>/reset", methods=["POST"])
    @has_access
    @permission_name("write")
    def reset(self, member_id: int) -> Any:
        """Take the password away and send a new link."""
        return self.carry_out(
            lambda: operators.reset(member_id, current_actor(), now=clock.now()),
            _("%(name)s was reset; a new link is on its way"),
        )

    @expose("/<int:member_id>/send-codes", methods=["POST"])
    @has_access
    @permission_name("write")
    def send_codes(self, member_id: int) -> Any:
        """Have the two codes sent, by mail and by text message."""
        return self.deed("operator.appoint", self._operator(member_id).id)

    def _operator(self, member_id: int) -> Member:
        """Return an operator of the representative's enterprise, or answer 404."""
        member = db.session.get(Member, member_id)
        if member is None or member.account_id != g.user.account_id or member.id == g.user.id:
            abort(404)
        return member


REVIEW_STATES = {True: (_("Switched on"), "green"), False: (_("Switched off"), "grey")}


class ColleagueReviewView(SwitchPage):
    """操作复核: whether what one operator submits needs another's yes."""

    route_base = "/operators/review"
    title = _("Colleague's review")
    menu = MenuEntry(ACCOUNTS, 6)
    guide = {"enterprise": "操作复核"}
    grants = {REPRESENTATIVE: "list export switch"}
    flag, act = "needs_colleague", "account.colleague_review"
    history, recorded = ColleagueReviewChange, "is_on"
    states = REVIEW_STATES
    labels = (_("Switch the colleague's review off"), _("Switch the colleague's review on"))
    questions = (
        _("One person alone may then submit. Continue?"),
        _("Every submission then needs a second operator's yes. Continue?"),
    )
    results = (_("The colleague's review is off"), _("The colleague's review is on"))
    dangerous_state = False
    columns = (
        CHANGED_AT,
        Column("is_on", _("Changed to"), kind="status", choices=REVIEW_STATES),
        *CHANGED_BY,
    )
    filters = (CHANGED_FILTER,)
    help = (
        _(
            "On: what one operator submits waits in the list To review of the others until one agrees"
        ),
        _(
            "The tonnes are held from the submission on; a transfer to trading needs the yes by 15:00"
        ),
        _("Off: a submission goes on at once; what waits already still needs its yes"),
        _("Two people have to be able to say yes before it can be switched on"),
    )

    @classmethod
    def change(cls, actor: Actor, *, is_on: bool) -> None:
        """Switch it for the enterprise."""
        accounts.ask_colleagues(actor.account_id or 0, actor, asks=is_on, now=clock.now())
