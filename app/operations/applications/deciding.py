"""Decisions on applications (通过, 退回) and signed submissions, for pages and jobs alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _

from app.domain.errors import RuleError
from app.domain.workflow import Case, Status
from app.operations.applications import effects, engine, evidence
from app.operations.records.actor import Actor

APPROVE, SEND_BACK = DECISIONS = ("approve", "send_back")


def checked_comment(decision: str, comment: str) -> str:
    """Return the normalised comment of a decision.

    Raises RuleError for the field ``comment``: too long, unshowable, or missing on sending back.
    """
    return engine.review_comment(comment, is_required=decision == SEND_BACK)


def decide(
    ids: Sequence[int],
    decision: str,
    actor: Actor,
    *,
    now: datetime,
    comment: str,
    signature: int | None = None,
) -> engine.Outcome:
    """Approve applications or send them back; ``signature`` is the id of the signed manifest.

    With a signature, applications changed since are refused and the others bound to it.  Returns
    per item done or its RuleError.  Raises RuleError for the comment.
    """
    comment = checked_comment(decision, comment)
    verb = engine.approve if decision == APPROVE else engine.send_back
    if signature is None:
        outcome = verb(ids, actor, now=now, comment=comment)
        effects.carry_out_once_signed(_approved(outcome), actor, now)
        return outcome
    cases = engine.hold(ids, actor)
    found = evidence.as_signed(signature, ids)
    changed = [case for case in cases if case.id not in found]
    known = {case.id for case in changed}
    outcome = verb([id_ for id_ in ids if id_ not in known], actor, now=now, comment=comment)
    evidence.cover(signature, found, [case.id for case in outcome.done], actor)
    effects.carry_out_once_signed(_approved(outcome), actor, now)
    message = _("It was changed after it was signed for")
    outcome.refused += [(case, RuleError(message, code="altered")) for case in changed]
    return outcome


def submit_signed(ids: Sequence[int], signature: int, actor: Actor, *, now: datetime) -> None:
    """Submit all applications of a signed manifest, or none, and bind the signature to them.

    Raises NoneSubmitted, having changed nothing: also where one was changed after it was signed.
    """
    cases = engine.hold(ids, actor)
    found = evidence.as_signed(signature, ids)
    message = _("It was changed after it was signed for")
    changed = [case for case in cases if case.id not in found]
    if changed:
        raise engine.NoneSubmitted([(case, RuleError(message, code="altered")) for case in changed])
    engine.submit_all(ids, actor, now=now)
    evidence.cover(signature, found, ids, actor)


def _approved(outcome: engine.Outcome) -> list[Case]:
    return [case for case in outcome.done if case.status is Status.APPROVED]
