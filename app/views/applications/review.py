"""审核: applications that await the member's review (待办), single and bulk decisions, and 已办."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, true

from app.domain.errors import RuleError
from app.domain.kinds import KINDS
from app.domain.workflow import COLLEAGUE_STEP, EDITABLE, Action, Party, Status
from app.extensions import db, transaction, undone
from app.models import Account, Application, ApplicationEvent, ApplicationParty, Member
from app.operations.applications import deciding, engine, history
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.manager import permissions
from app.security.roles import REVIEWERS
from app.security.scope import scoped_applications
from app.views.applications import receivers, signing
from app.views.applications.list import ApplicationList, usual_filters, with_opening_names
from app.views.chapters import REVIEWS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Columns, Filter
from app.views.lists.listing import BulkResult, Conditions, RowAction, action, in_bulk
from app.views.page import current_actor, sent

# An enterprise's application may need its own second operator's approval first.
REVIEWED_KINDS = {
    code: kind.title
    for code, kind in KINDS.items()
    if kind.reviews or kind.started_by is Party.APPLICANT
}
REVEALING = {
    "account_change": "AccountChangeView",
    "account_opening": "AccountOpeningView",
    "bankruptcy": "BankruptcyView",
}
_DECISIONS = (Action.APPROVE, Action.SEND_BACK, Action.WITHDRAW)
KIND_COLUMN = Column("kind", _("Business"), choices=REVIEWED_KINDS)
KIND_FILTER = Filter("kind", _("Business"), kind="choice", choices=REVIEWED_KINDS)


def awaits(actor: Actor) -> ColumnElement[bool]:
    """Return the condition for applications that await this party's decision."""
    party = engine.party(actor)
    asked: dict[tuple[int, Party], list[str]] = {}
    for code, kind in KINDS.items():
        for step, reviewer in enumerate(kind.reviews):
            is_theirs = reviewer is Party.RECEIVER_AUTHORITY and actor.province is not None
            if reviewer in (party, Party.OFFICE) or is_theirs:
                asked.setdefault((step, reviewer), []).append(code)
    turns = [
        and_(Application.step == step, Application.kind.in_(codes), _is_asked(reviewer, actor))
        for (step, reviewer), codes in asked.items()
    ]
    waits = and_(Application.status == Status.IN_REVIEW, or_(*turns) if turns else false())
    if actor.member_id is not None:  # Nobody reviews what they entered or submitted.
        waits &= Application.created_by.is_distinct_from(actor.member_id)
        waits &= Application.submitted_by.is_distinct_from(actor.member_id)
    if party is Party.RECEIVER:
        waits &= Application.id.in_(
            select(ApplicationParty.application_id).where(
                ApplicationParty.account_id == actor.account_id,
                ApplicationParty.agreed_at.is_(None),
            )
        )
        waits |= and_(
            Application.status == Status.IN_REVIEW,
            Application.step == COLLEAGUE_STEP,
            Application.account_id == actor.account_id,
            Application.submitted_by.is_distinct_from(actor.member_id),
        )
    return waits


def _is_asked(reviewer: Party, actor: Actor) -> ColumnElement[bool]:
    """Of what an authority entered, only its own officers are asked; of a receiver's, its province's."""
    if reviewer is Party.RECEIVER_AUTHORITY:
        return Application.id.in_(
            select(ApplicationParty.application_id)
            .join(Account, Account.id == ApplicationParty.account_id)
            .where(Account.province == actor.province)
        )
    if reviewer is not Party.OFFICE:
        return true()
    if actor.account_id is not None:
        return false()
    colleagues = select(Member.id).where(
        Member.account_id.is_(None), Member.province.is_not_distinct_from(actor.province)
    )
    return Application.created_by.in_(colleagues)


def counts(member: Any) -> list[tuple[Any, int, str]]:
    """Return what awaits the member, by kind: (title, count, endpoint)."""
    if ("can_list", "ReviewView") not in permissions():
        return []
    if member.account_id is not None and not g.facts.may_be_asked:
        return []  # No query: most enterprises review nothing.
    waiting = scoped_applications(
        select(Application.kind, func.count()).where(awaits(Actor.of(member))),
        Application.id,
        Application.account_id,
        member,
    ).group_by(Application.kind)
    found = dict(db.session.execute(waiting).all())
    return [
        (title, found[code], "ReviewView.list")
        for code, title in REVIEWED_KINDS.items()
        if code in found
    ]


class _ReviewList(ApplicationList):
    columns = (
        ApplicationList.columns[0],
        KIND_COLUMN,
        # The applicant: a receiver reviews applications of others.
        *(
            replace(each, is_of_others=False) if each.is_of_others else each
            for each in ApplicationList.columns[1:]
            if each.key != "created_at"
        ),
        Column("amount", _("Amount"), kind="money", is_shown=False),
        Column("submitted_at", _("Submitted at"), kind="datetime"),
        Column("reason", _("Reason for the application")),
    )
    filters = (
        KIND_FILTER,
        *(
            replace(each, is_of_others=False) if each.is_of_others else each
            for each in usual_filters("in_review", "approved", "returned", "withdrawn")
        ),
        Filter("import", _("Import batch"), kind="number", on=("import_id",)),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the import batch."""
        return with_opening_names(super().rows(conditions)).add_columns(Application.import_id)

    def lines_shown(self) -> Sequence[ColumnElement[bool]]:
        """A receiver sees its own lines alone."""
        own = receivers.lines_shown(g.user.account_id)
        return () if own is None else (own,)

    def in_scope(self, statement: Select[Any], columns: Columns) -> Select[Any]:
        """Not by account: a receiver's enterprise reviews applications of others."""
        return scoped_applications(statement, columns["id"], columns["account_id"], g.user)


class ReviewView(_ReviewList):
    """待办: 通过 or 退回 of what awaits this member."""

    route_base = "/reviews"
    title = _("To review")
    menu = MenuEntry(REVIEWS, 1)
    guide = {"enterprise": "审核", "province": "履约清缴的审核", "registry": "审核"}
    grants = {REVIEWERS: "list export show review bulk"}
    shown_by = {"decide": "show"}
    filters = tuple(each for each in _ReviewList.filters if each.name != "status")
    help = (
        _("Approve or send back one by one, or tick several rows or all that meet the conditions"),
        _("Nobody reviews what they submitted; what stands against an item is shown in the result"),
        _(
            "Sending back needs a reason; the applicant can change the application and submit it again"
        ),
    )
    bulk_name, bulk_object = "number", "account"

    def chosen(self) -> ColumnElement[bool]:
        return awaits(Actor.of(g.user))

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Review"), self.url("show", id=row.id))

    def before_bulk(self, name: str, ids: Sequence[int]) -> Any:
        """Sign the decision on all of them once."""
        if not signing.is_required():
            return None
        return signing.ask_for_review(ids, name, request.form.get("comment", ""), current_actor())

    @action(
        "approve",
        _("Approve"),
        _("Approve the %(count)s applications chosen?"),
        "check",
        single=False,
    )
    @in_bulk(comment=_("Review comment"), job="review")
    def approve(self, ids: Sequence[int], comment: str = "") -> BulkResult:
        return self._decide(deciding.APPROVE, ids, comment)

    @action(
        "send_back",
        _("Send back"),
        _("Send the %(count)s applications chosen back?"),
        "arrow-back-up",
        single=False,
    )
    @in_bulk(
        comment=_("Reason for sending back"), needs_comment=True, job="review", is_dangerous=True
    )
    def send_back(self, ids: Sequence[int], comment: str) -> BulkResult:
        return self._decide(deciding.SEND_BACK, ids, comment)

    def _decide(self, name: str, ids: Sequence[int], comment: str) -> BulkResult:
        outcome = deciding.decide(ids, name, current_actor(), now=clock.now(), comment=comment)
        return BulkResult(
            done=[case.id for case in outcome.done],
            refused={case.id: str(error) for case, error in outcome.refused},
        )

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """查看明文 of personal data, on the kind's own page, where it is logged."""
        view = REVEALING.get(application.kind)
        if view and application.proposal and self.may("reveal", view):
            address = url_for(f"{view}.reveal", id=application.id)
            yield RowAction(_("Show in clear"), address, method="post")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show the review form, or who has decided."""
        found = self.find(id, self.chosen())
        return (
            self._review_page(*found, sent().get("comment", ""))
            if found
            else self._decided_page(id)
        )

    def _decided_page(self, id_: int) -> Any:
        """Show an application that is no longer waiting, with the decision; else abort with 404."""
        party = engine.party(current_actor())
        application, status = self.find(id_, Application.kind.in_(_kinds_of(party))) or abort(404)
        event = history.last_event(id_, Action.SUBMIT, *_DECISIONS)
        if event is None or event.action == Action.SUBMIT:
            abort(404)
        flash(
            gettext(
                "Application %(number)s does not wait for your review any more: %(event)s",
                number=application.number,
                event=history.described(event),
            ),
            "warning",
        )
        if application.status in EDITABLE:  # Being edited by its applicant.
            return redirect(self.url("list"))
        detail = self.detail(application, status)
        return self.render_template("parts/detail.html", detail=detail)

    def _review_page(
        self, application: Application, status: str, comment: str = "", error: str = ""
    ) -> Any:
        return self.render_template(
            "applications/review.html",
            detail=self.detail(application, status),
            decide_url=self.url("decide", id=application.id),
            submission=application.submitted_at,
            comment=comment,
            error=error,
        )

    @expose("/<int:id>/decide", methods=["POST"])
    @has_access
    @permission_name("review")
    def decide(self, id: int) -> Any:
        decision, comment = request.form.get("decision", ""), request.form.get("comment", "")
        if decision not in deciding.DECISIONS:
            abort(400)
        found = self.find(id, self.chosen())
        if found is None:  # For example decided meanwhile.
            page = self._decided_page(id)
            return (page, 404) if isinstance(page, str) else page
        application, _status = found
        is_signed_first = signing.is_required()
        try:
            with transaction(), undone() if is_signed_first else nullcontext():
                self._require_read(application.id)
                deciding.decide(
                    [application.id], decision, current_actor(), now=clock.now(), comment=comment
                ).one()
        except RuleError as error:
            if error.code == "wrong_status":
                return redirect(self.url("show", id=id))
            if error.field != "comment":
                flash(str(error), "danger")
                return redirect(self.url("list"))
            return self._review_page(*self.found(id), comment, str(error)), 400
        if is_signed_first:  # It passed all checks.
            return signing.ask_for_review([application.id], decision, comment, current_actor())
        flash(
            gettext("Application %(number)s was approved", number=application.number)
            if decision == deciding.APPROVE
            else gettext("Application %(number)s was sent back", number=application.number),
            "success",
        )
        return redirect(self.url("list"))

    def _require_read(self, id_: int) -> None:
        """Refuse a decision on an application that was resubmitted since the page was loaded."""
        read = request.form.get("submission")
        if not read:
            return
        engine.hold([id_], current_actor())
        submission = select(Application.submitted_at).where(Application.id == id_)
        if str(db.session.scalar(submission)) != read:
            raise RuleError(
                _("The application was submitted again meanwhile; please read it anew"),
                code="submitted_again",
            )


def _kinds_of(party: Party) -> list[str]:
    """Return the kinds that a party reviews; an enterprise reviews its own, too (操作复核)."""
    return [
        code
        for code, kind in KINDS.items()
        if party in kind.reviews
        or (party is Party.RECEIVER and kind.started_by is Party.APPLICANT)
        or (party is not Party.RECEIVER and Party.OFFICE in kind.reviews)
    ]


class ReviewedView(_ReviewList):
    """已办: what this member has decided."""

    route_base = "/reviewed"
    title = _("Reviewed")
    menu = MenuEntry(REVIEWS, 2)
    guide = {"enterprise": "审核", "province": "履约清缴的审核", "registry": "审核"}
    grants = {REVIEWERS: "list export show"}

    def chosen(self) -> ColumnElement[bool]:
        return (
            select(ApplicationEvent.id)
            .where(
                ApplicationEvent.application_id == Application.id,
                ApplicationEvent.member_id == g.user.id,
                ApplicationEvent.action.in_([Action.APPROVE, Action.SEND_BACK]),
            )
            .exists()
        )
