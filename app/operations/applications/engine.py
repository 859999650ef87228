"""The engine: all state changes of applications of every kind.

Lock order: transfers (shared), applicants' accounts, applications, holdings; each in key order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import func, select, text

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.kinds import KINDS, Facts
from app.domain.moves import PostingRequest, Stage
from app.domain.texts import require_showable
from app.domain.workflow import (
    COLLEAGUE_STEP,
    MACHINES,
    Action,
    Case,
    Line,
    Party,
    Status,
    require,
)
from app.extensions import db
from app.models import Account, Application, Member
from app.operations.applications import effects, evidence, rows
from app.operations.applications.facts import gather
from app.operations.ledger import posting
from app.operations.records import calendar, glyphs
from app.operations.records.actor import BANK, BATCH, SYSTEM, Actor
from app.operations.records.catalogue import catalogue

LONGEST_REASON, LONGEST_DOCUMENT_NO = 500, 100
_TEXTS = {
    "reason": lazy_gettext("Reason for the application"),
    "document_no": lazy_gettext("Number of the authority document"),
    "authority": lazy_gettext("Deciding authority"),
}
MOST_LINES = 200


@dataclass(slots=True)
class Outcome:
    """The applications of a batch that are done, and those refused with their RuleErrors."""

    done: list[Case] = field(default_factory=list)
    refused: list[tuple[Case, RuleError]] = field(default_factory=list)

    def one(self) -> Case:
        """Return the only case of a batch of one, or raise its error."""
        for _case, error in self.refused:
            raise error
        (case,) = self.done
        return case


class NoneSubmitted(RuleError):
    """A joint submission was refused as a whole; ``refused`` holds the errors."""

    code = "none_submitted"

    def __init__(self, refused: Sequence[tuple[Case, RuleError]]) -> None:
        case, error = refused[0]
        super().__init__(
            _(
                "Nothing was submitted: %(count)s refused, the first being %(number)s: %(reason)s",
                count=len(refused),
                number=case.number,
                reason=str(error),
            )
        )
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of an application; ``request_key`` makes its creation idempotent."""

    kind: str
    account_id: int
    lines: tuple[Line, ...]
    request_key: str
    reason: str = ""
    category: str = ""
    document_no: str = ""
    authority: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    notice_id: int | None = None
    import_id: int | None = None
    proposal: Mapping[str, Any] = field(default_factory=dict)
    receivers: tuple[int, ...] = ()  # receiving enterprises, where the kind has no lines


def start(drafts: Sequence[Draft], actor: Actor, *, now: datetime) -> list[int]:
    """Save drafts; an existing request key yields its application.

    Returns the ids in the order of ``drafts``.  Raises RuleError for a malformed draft and
    NotFound where the account or the key's application is not the actor's.
    """
    _require_known_categories(drafts)
    for draft in drafts:
        _require_well_formed(draft)
        if actor.account_id not in (None, draft.account_id):
            raise NotFound(_("There is no such account"))
        _require_starter(draft.kind, draft.account_id, actor)
    if actor.province is not None:
        _require_in_province({draft.account_id for draft in drafts}, actor)
    made = rows.insert(drafts, actor, now)
    return [made.get(draft.request_key) or _existing_id(draft) for draft in drafts]


def edit(application_id: int, draft: Draft, actor: Actor, *, now: datetime) -> Case:
    """Replace the content of a draft or of an application that was sent back.

    Raises RuleError for malformed content, NotFound outside the actor's scope, NotAllowed in any
    other status.
    """
    _require_known_categories([draft])
    _require_well_formed(draft)
    cases = rows.lock([application_id], actor)
    for _case, error in _missing([application_id], cases):
        raise error
    (case,) = cases
    _require_own(case, actor)
    require(case, Action.SAVE)
    rows.replace(case.id, draft)
    db.session.expire_all()
    rows.record([case], Action.SAVE, actor, now)
    case.lines = list(draft.lines)
    return case


def hold(application_ids: Sequence[int], actor: Actor) -> list[Case]:
    """Lock applications, in the engine's order, until the transaction ends."""
    calendar.share_transfers()
    return rows.lock(application_ids, actor)


def submit(application_ids: Sequence[int], actor: Actor, *, now: datetime) -> Outcome:
    """Submit drafts: check every rule and reserve the tonnes.

    Returns per item done or its RuleError (wrong status, restricted account, outside trading hours,
    not enough tonnes, the kind's own rules).
    """
    calendar.share_transfers()
    cases = rows.lock(application_ids, actor)
    facts = gather(cases, calendar.moment_at(now))
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _attempt(outcome, case, partial(_judge, case, facts, actor))
    _reserve(outcome.done, Stage.SUBMISSION, actor, now)
    with posting.ledger_errors():
        rows.reset_agreements(outcome.done)
        rows.record(outcome.done, Action.SUBMIT, actor, now)
    return outcome


def submit_all(application_ids: Sequence[int], actor: Actor, *, now: datetime) -> list[Case]:
    """Submit all drafts or none.  Raises NoneSubmitted, having changed nothing."""
    with db.session.begin_nested():
        outcome = submit(application_ids, actor, now=now)
        if outcome.refused:
            raise NoneSubmitted(outcome.refused)
    return outcome.done


def withdraw(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str = ""
) -> Outcome:
    """Withdraw applications before they take effect; their posting is reversed."""
    require_showable(comment, _("Review comment"), field="comment")
    calendar.share_transfers()
    cases = rows.lock(application_ids, actor)
    closed = _last_closed_day()
    judged = [case for case in cases if Action.WITHDRAW in KINDS[case.kind].judged_at]
    facts = gather(judged, calendar.moment_at(now)) if judged else None
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _attempt(outcome, case, partial(_require_withdrawable, case, closed, actor, facts))
    _reverse_postings(outcome.done, Stage.WITHDRAWAL, actor, now)
    for case in outcome.done:
        case.status = Status.WITHDRAWN
    with posting.ledger_errors():
        rows.record(outcome.done, Action.WITHDRAW, actor, now, comment=comment)
    return outcome


def approve(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str = ""
) -> Outcome:
    """Record a reviewer's approval of each application; the last one carries it out.

    Returns per item done or its RuleError (already decided, another party's turn, submitted by the
    same person, altered since it was signed, restricted meanwhile, outside trading hours).
    """
    require_showable(comment, _("Review comment"), field="comment")
    calendar.share_transfers()
    cases = rows.lock(application_ids, actor)
    facts = gather(cases, calendar.moment_at(now))
    certifying = {case.id for case in cases if KINDS[case.kind].certifies}
    altered, lapsed = evidence.unfit([case.id for case in cases], certifying)
    gone = _disabled(cases)
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _attempt(
            outcome,
            case,
            partial(
                _record_approval, case, facts, actor,
                is_altered=case.id in altered, is_gone=case.submitted_by in gone,
                is_lapsed=case.id in lapsed,
            ),
        )  # fmt: skip
    _move_to_transit(
        [case for case in outcome.done if case.status is Status.PENDING_SETTLEMENT], actor, now
    )
    carried_out = [case for case in outcome.done if case.status is Status.APPROVED]
    requests = [
        _posting(case, KINDS[case.kind].settling(case), Stage.APPROVAL, actor)
        for case in carried_out
        if KINDS[case.kind].settles and case.lines
    ]
    if requests:
        posting.post(requests, at=now)
    with posting.ledger_errors():
        rows.record_agreement([case for case in outcome.done if case.agreed], actor, now)
        rows.record(outcome.done, Action.APPROVE, actor, now, comment=comment)
    effects.carry_out(carried_out, actor, now)
    return outcome


def send_back(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str
) -> Outcome:
    """Send applications back to their initiator, who may change and submit them again.

    A comment is required.  The posting is reversed.
    """
    comment = review_comment(comment, is_required=True)
    cases = rows.lock(application_ids, actor)
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _attempt(outcome, case, partial(_require_reviewer, case, actor, Action.SEND_BACK))
    _reverse_postings(outcome.done, Stage.SENT_BACK, actor, now)
    for case in outcome.done:
        case.status, case.step, case.posting_id = Status.RETURNED, 0, None
    rows.record(outcome.done, Action.SEND_BACK, actor, now, comment=comment)
    return outcome


def refuse(refused: Sequence[tuple[Case, RuleError]], actor: Actor, *, now: datetime) -> None:
    """Store refused requests of a machine, each with its reason."""
    for case, _error in refused:
        require(case, Action.SUBMIT)
        case.status, case.settles_on = Status.REFUSED, None
    comments = [str(error) for _case, error in refused]
    rows.record([case for case, _error in refused], Action.REFUSE, actor, now, comments=comments)


def discard(application_id: int, actor: Actor, *, now: datetime) -> Case:
    """Delete the content of a draft that was never submitted; its number and history stay.

    Raises NotFound outside the actor's scope, NotAllowed where it is not the actor's, was submitted
    or was imported (imported drafts are withdrawn together).
    """
    cases = rows.lock([application_id], actor)
    for _case, error in _missing([application_id], cases):
        raise error
    (case,) = cases
    _require_own(case, actor)
    require(case, Action.DISCARD)
    came_with = select(Application.import_id).where(Application.id == case.id)
    if db.session.scalar(came_with) is not None:
        raise NotAllowed(
            _("Drafts that came with a file are withdrawn together, as its import batch"),
            code="came_with_a_file",
        )
    rows.replace(case.id, Draft(case.kind, case.account_id, (), ""))
    case.status = Status.DISCARDED
    rows.record([case], Action.DISCARD, actor, now)
    return case


def review_comment(comment: str, *, is_required: bool) -> str:
    """Return a normalised review comment.  Raises RuleError for the field ``comment``."""
    if len(comment) > LONGEST_REASON or "\x00" in comment:
        message = _("A review comment has at most %(most)d characters", most=LONGEST_REASON)
        raise RuleError(message, field="comment")
    require_showable(comment, _("Review comment"), field="comment")
    if is_required and not comment.strip():
        raise RuleError(
            _("Enter the reason for sending back"), field="comment", code="reason_missing"
        )
    return comment.strip()


# Guards and decisions ----------------------------------------------------------------------


def _require_well_formed(draft: Draft) -> None:
    kind = KINDS[draft.kind]
    if kind.has_lines and not draft.lines:
        raise RuleError(_("Choose at least one instrument"), field="lines", code="no_lines")
    if len(draft.lines) > MOST_LINES:
        raise RuleError(
            _("At most %(most)d instruments in one application", most=MOST_LINES),
            field="lines",
            code="too_many_lines",
        )
    if len({line.key for line in draft.lines}) < len(draft.lines):
        raise RuleError(_("An instrument is chosen twice"), field="lines", code="line_twice")
    for name, title in _TEXTS.items():
        require_showable(getattr(draft, name), title, field=name)
    glyphs.require_drawable(draft.reason, _TEXTS["reason"], field="reason")
    if len(draft.reason) > LONGEST_REASON:
        raise RuleError(
            _("The reason is longer than %(most)d characters", most=LONGEST_REASON),
            field="reason",
            code="reason_too_long",
        )
    if len(draft.document_no) > LONGEST_DOCUMENT_NO:
        raise RuleError(
            _(
                "The number of the document is longer than %(most)d characters",
                most=LONGEST_DOCUMENT_NO,
            ),
            field="document_no",
            code="document_no_too_long",
        )


def _require_known_categories(drafts: Sequence[Draft]) -> None:
    """Refuse unknown categories; whether one is in force is checked on submission."""
    named = [draft for draft in drafts if draft.category]
    known = catalogue().values if named else {}
    if any(draft.category not in known.get(draft.kind, ()) for draft in named):
        raise RuleError(
            _("Choose one of the types offered"), field="category", code="category_unknown"
        )


def _require_starter(kind: str, account_id: int, actor: Actor) -> None:
    """Raise NotAllowed unless the actor may act as the party that starts this kind.

    Row scope is not enough.  SYSTEM, as whom no person can act, is exempt.
    """
    started_by = KINDS[kind].started_by
    if actor == SYSTEM or (actor == BANK and KINDS[kind].also_started_by is Party.BANK):
        return
    if started_by is Party.APPLICANT and actor.account_id != account_id:
        raise NotAllowed(_("Only the applicant may do this"), code="not_the_applicant")
    if started_by is Party.REGISTRY and party(actor) is not Party.REGISTRY:
        raise NotAllowed(_("Only the registry may do this"), code="not_the_registry")
    if started_by is Party.AUTHORITY and party(actor) is not Party.AUTHORITY:
        raise NotAllowed(
            _("Only the authority of the enterprise's province may do this"),
            code="not_the_province",
        )
    if started_by is Party.OFFICE and actor.account_id is not None:
        raise NotAllowed(_("Only an authority or the registry may do this"), code="no_authority")
    if started_by is Party.PLATFORM and actor.member_id is not None:
        raise NotAllowed(_("Only the reporting platform may do this"), code="not_the_platform")


def _require_in_province(accounts: set[int], actor: Actor) -> None:
    """Raise NotFound unless all accounts are of the actor's province."""
    theirs = select(func.count()).where(
        Account.id.in_(accounts), Account.province == actor.province
    )
    if db.session.scalar(theirs) != len(accounts):
        raise NotFound(_("There is no such account"))


def _disabled(cases: Sequence[Case]) -> set[int | None]:
    """Return who submitted an officers' application and was disabled since."""
    officers = {
        case.submitted_by
        for case in cases
        if KINDS[case.kind].started_by in (Party.REGISTRY, Party.OFFICE, Party.AUTHORITY)
    }
    if not officers:
        return set()
    gone = select(Member.id).where(Member.id.in_(officers), Member.active.is_not(True))
    return set(db.session.scalars(gone))


def _require_own(case: Case, actor: Actor) -> None:
    _require_starter(case.kind, case.account_id, actor)
    if KINDS[case.kind].started_by is Party.OFFICE and not is_of_office(case, actor):
        raise NotAllowed(
            _("Application %(number)s was entered by another authority", number=case.number),
            code="another_authority",
        )


def is_of_office(case: Case, actor: Actor) -> bool:
    """Tell whether an officer belongs to the authority that entered a case."""
    return actor.account_id is None and actor.province == case.office


def _judge(case: Case, facts: Facts, actor: Actor) -> None:
    _require_own(case, actor)
    require(case, Action.SUBMIT)
    kind = KINDS[case.kind]
    needs_colleague = (
        kind.started_by is Party.APPLICANT
        and actor != BANK
        and case.account_id in facts.needs_second_operator
    )
    case.step = COLLEAGUE_STEP if needs_colleague else 0
    case.settles_on = kind.judge(case, facts)
    _advance(case)


def _record_approval(
    case: Case, facts: Facts, actor: Actor, *, is_altered: bool, is_gone: bool, is_lapsed: bool
) -> None:
    """Record one approval; the step ends with the approval of all whom it asks."""
    kind = KINDS[case.kind]
    _require_reviewer(case, actor, Action.APPROVE)
    if is_gone:
        raise RuleError(
            _("The officer who submitted it was disabled meanwhile; send it back"),
            code="submitter_disabled",
        )
    if is_altered:
        raise RuleError(
            _("The content differs from what was signed on submission; send it back"),
            code="altered",
        )
    if is_lapsed:
        raise RuleError(
            _(
                "A certificate follows from it, and who submitted it has another one by now, or a name"
                " has changed; send it back, so that it is submitted anew"
            ),
            code="submission_lapsed",
        )
    kind.judge(case, facts, Action.APPROVE)
    awaited = _awaited_party(case)
    if awaited is Party.RECEIVER:
        assert actor.account_id is not None
        case.agreed |= {actor.account_id}
        if case.agreed < case.receivers:
            return
    if awaited is Party.COLLEAGUE:  # The cut-off applies to the second operator's approval.
        case.settles_on = kind.settling_day(facts)
    case.step += 1
    _advance(case)


def _advance(case: Case) -> None:
    """Set the status for the case's step: in review, pending settlement, or approved.

    A step of receivers is passed over where the application names none.
    """
    kind = KINDS[case.kind]
    asks_nobody = not (case.receivers or case.named_receivers)
    if (
        case.step >= 0
        and kind.reviews[case.step : case.step + 1] == (Party.RECEIVER,)
        and asks_nobody
    ):
        case.step += 1
    if case.step < len(kind.reviews):
        case.status = Status.IN_REVIEW
    elif kind.settles_at_day_end:
        case.status = Status.PENDING_SETTLEMENT
    else:
        case.status = Status.APPROVED


def _awaited_party(case: Case) -> Party:
    """Return the party whose decision a case under review awaits."""
    return Party.COLLEAGUE if case.step == COLLEAGUE_STEP else KINDS[case.kind].reviews[case.step]


def _require_reviewer(case: Case, actor: Actor, action: Action) -> None:
    require(case, action)
    awaited = _awaited_party(case)
    # In 操作复核 only the submitter is barred: the second operator may have entered it.
    barred = {case.submitted_by} if awaited is Party.COLLEAGUE else case.signers
    if actor.member_id is not None and actor.member_id in barred:
        raise NotAllowed(
            _("Nobody reviews what they entered, submitted or approved before"),
            code="own_application",
        )
    # A machine reviews what its own party is asked alone: it is no officer of the registry.
    is_machine = actor.member_id is None and awaited not in (Party.BANK, Party.BATCH)
    is_asked = party(actor) is awaited and not is_machine
    if awaited is Party.RECEIVER:
        is_asked = actor.account_id in case.receivers - case.agreed
    if awaited is Party.COLLEAGUE:
        is_asked = actor.account_id == case.account_id and actor.member_id is not None
    if awaited is Party.RECEIVER_AUTHORITY:
        is_asked = actor.province is not None and case.provinces == {actor.province}
    if awaited is Party.OFFICE:
        is_asked = is_of_office(case, actor) and actor.member_id is not None
    if not is_asked:
        raise NotAllowed(_("It is another party's turn to review"), code="not_your_turn")


def _require_withdrawable(
    case: Case, closed: date | None, actor: Actor, facts: Facts | None
) -> None:
    _require_own(case, actor)
    require(case, Action.WITHDRAW)
    if facts is not None:
        KINDS[case.kind].judge(case, facts, Action.WITHDRAW)
    if case.settles_on is not None and closed is not None and case.settles_on <= closed:
        raise NotAllowed(
            _(
                "Application %(number)s was settled on %(day)s and can no longer be withdrawn",
                number=case.number,
                day=case.settles_on.isoformat(),
            ),
            code="already_settled",
        )
    if KINDS[case.kind].started_by in MACHINES:
        raise NotAllowed(_("What a machine started cannot be withdrawn here"), code="not_yours")


def party(actor: Actor) -> Party:
    """Return the party of a review that a member acts as, by row scope."""
    if actor.account_id is not None:
        return Party.RECEIVER
    if actor in (BANK, BATCH):
        return Party.BANK if actor == BANK else Party.BATCH
    return Party.AUTHORITY if actor.province is not None else Party.REGISTRY


def _attempt(outcome: Outcome, case: Case, step: Callable[[], None]) -> None:
    try:
        step()
    except RuleError as error:
        outcome.refused.append((case, error))
    else:
        outcome.done.append(case)


def _missing(ids: Iterable[int], cases: Iterable[Case]) -> list[tuple[Case, RuleError]]:
    """Return a NotFound for each id that does not exist or is out of scope, which look the same."""
    found = {case.id for case in cases}
    return [
        (
            Case(id=id_, kind="", number=str(id_), account_id=0, status=Status.DRAFT),
            NotFound(_("There is no such application")),
        )
        for id_ in dict.fromkeys(ids)
        if id_ not in found
    ]


# Reading and writing ---------------------------------------------------------------------


def _last_closed_day() -> date | None:
    return db.session.scalar(text("SELECT max(day) FROM settlement_run"))


def _existing_id(draft: Draft) -> int:
    found = db.session.execute(
        select(Application.id, Application.account_id, Application.kind).where(
            Application.request_key == draft.request_key
        )
    ).one()
    if (found.account_id, found.kind) != (draft.account_id, draft.kind):
        raise NotFound(_("There is no such application"))
    return found.id


def _posting_key(case: Case, stage: Stage) -> str:
    return f"{case.kind}:{case.id}:{stage}:{case.version}"


def _posting(case: Case, moves: tuple[Any, ...], stage: Stage, actor: Actor) -> PostingRequest:
    return PostingRequest(
        business=case.kind,
        stage=stage,
        request_key=_posting_key(case, stage),
        moves=moves,
        application_id=case.id,
        document=case.number,
        member_id=actor.member_id,
    )


def _reserve(cases: Sequence[Case], stage: Stage, actor: Actor, now: datetime) -> None:
    """Post the moves of submission, and note each case's posting."""
    requests = [
        _posting(case, KINDS[case.kind].reserving(case), stage, actor)
        for case in cases
        if KINDS[case.kind].reserves and case.lines
    ]
    posted = posting.post(requests, at=now) if requests else {}
    for case in cases:
        case.posting_id = posted.get(_posting_key(case, stage))


def _move_to_transit(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Move reserved quantities to the transit bucket after the second approval."""
    if cases:
        _reverse_postings(cases, Stage.APPROVAL, actor, now)
        _reserve(cases, Stage.APPROVAL, actor, now)


def _reverse_postings(cases: Sequence[Case], stage: Stage, actor: Actor, now: datetime) -> None:
    postings = [case.posting_id for case in cases if case.posting_id is not None]
    if postings:
        posting.reverse(postings, stage=stage, at=now, member_id=actor.member_id)
