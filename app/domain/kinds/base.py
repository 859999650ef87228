"""The base of all kinds: class attributes that the engine reads."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from app.domain.kinds.rules import (
    ACCOUNT_STANDS,
    HAS_CATEGORY,
    HAS_LINES,
    IS_RECONCILED,
    NOT_RESTRICTED,
    Facts,
    Rule,
    draws_on,
    has_right,
    measured,
    takes,
)
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, Move, Pocket, Stage
from app.domain.workflow import COLLEAGUE_STEP, Action, Case, Line, Party


class Hold(NamedTuple):
    """A bucket that a line's tonnes are added to (sign 1) or taken from (-1)."""

    is_approved: bool  # applies once approved; else while the application is open
    bucket: Bucket
    sign: int
    at_receiver: bool = False  # in the line's receiving account, where it names one
    from_source: bool = False  # in the account that the line drawn on brought its tonnes to


class Route(NamedTuple):
    """A movement of every line that a stage posts, from the applicant (or 发行账户)."""

    stage: Stage
    at_colleague: bool  # while it awaits 操作复核
    source: Bucket
    target: Bucket
    to_receiver: bool = False
    from_source: bool = False


class Kind:
    """A kind of application (业务申请): who starts it, who reviews it, and what moves when.

    Lines debit the applicant's account (an issuance: the issuance account) and, on approval,
    credit the line's receiver, or the applicant where a line names none.
    """

    code: ClassVar[str]
    title: ClassVar[Any]
    prefix: ClassVar[str]  # of the application's number
    started_by: ClassVar[Party] = Party.APPLICANT
    also_started_by: ClassVar[Party | None] = None  # a machine that may start it, too
    reviews: ClassVar[tuple[Party, ...]] = ()  # a RECEIVER step needs every receiver's approval
    has_lines: ClassVar[bool] = True
    certifies: ClassVar[bool] = False  # a certificate is issued on the signatures of both officers
    reserves: ClassVar[tuple[Bucket, Bucket] | None] = None  # on submission
    settles: ClassVar[tuple[Bucket, Bucket] | None] = None  # on the last approval
    settles_at_day_end: ClassVar[bool] = False
    # Lines of tonnes (False), of money in fen (True), or of either (None).
    in_money: ClassVar[bool | None] = False
    right: ClassVar[str] = ""  # of the account's class that it takes (rules-2026 N125)
    debits: ClassVar[bool] = True  # refused to a restricted account (domain.md 11.7)
    draws_on: ClassVar[str] = ""  # code of the kind whose approved lines its lines draw on
    # Tonnes leave the account that the line drawn on brought them to, not the applicant's.
    takes_from_source: ClassVar[bool] = False
    has_category: ClassVar[bool] = False  # one of the kind's rows in the table category
    rules: ClassVar[tuple[Rule, ...]] = ()  # besides those derived from the attributes above

    @cached_property
    def guards(self) -> tuple[Rule, ...]:
        """Every rule of this kind, in the order of checking."""
        return (
            ACCOUNT_STANDS,
            *((has_right(self.right),) if self.right else ()),
            *((HAS_LINES,) if self.has_lines else ()),
            *((measured(self.in_money),) if self.has_lines and self.in_money is not None else ()),
            *((HAS_CATEGORY,) if self.has_category else ()),
            *((NOT_RESTRICTED, IS_RECONCILED) if self.debits else ()),
            *self.rules,
            *((draws_on(self.draws_on),) if self.draws_on else ()),
            *((takes(self.reserves[0], self.holder),) if self.reserves else ()),
        )

    @cached_property
    def judged_at(self) -> frozenset[Action]:
        """The acts that one of its rules checks."""
        return frozenset(action for rule in self.guards for action in rule.at)

    @cached_property
    def machine_acts(self) -> frozenset[Action]:
        """What a machine does to it, unsigned; the database allows the same (sql/0038/signed.sql)."""
        found: set[Action] = set()
        if self.started_by is Party.EXCHANGE:
            found |= {Action.SAVE, Action.SUBMIT, Action.REFUSE}
        if self.started_by is Party.PLATFORM or self.also_started_by is Party.BANK:
            found |= {Action.SAVE, Action.SUBMIT}
        if Party.BANK in self.reviews:
            found |= {Action.APPROVE, Action.SEND_BACK}
        if Party.BATCH in self.reviews:
            found |= {Action.APPROVE}
        return frozenset(found)

    @cached_property
    def holds(self) -> tuple[Hold, ...]:
        """What a line adds to buckets while its application is open, and once it is approved."""
        found = []
        if self.reserves:
            for is_approved in (False, True):
                found += [
                    Hold(is_approved, self.reserves[0], -1, from_source=self.takes_from_source),
                    Hold(is_approved, self.reserves[1], 1, from_source=self.takes_from_source),
                ]
        if self.settles:
            found += [
                Hold(True, self.settles[0], -1, from_source=self.takes_from_source),
                Hold(True, self.settles[1], 1, at_receiver=True),
            ]
        return tuple(each for each in found if each._replace(sign=-each.sign) not in found)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """What its postings move; the database holds them to it (docs/adr/0058)."""
        found = []
        if self.reserves:
            for at_colleague in (False, True):
                reserve = self._reserve(at_colleague=at_colleague)
                found.append(Route(Stage.SUBMISSION, at_colleague, *reserve))
            if self.settles_at_day_end:
                found.append(Route(Stage.APPROVAL, False, *self.reserves))
        if self.settles:
            found.append(Route(Stage.APPROVAL, False, *self.settles, to_receiver=True))
        return tuple(each._replace(from_source=self.takes_from_source) for each in found)

    def holder(self, case: Case, line: Line) -> int:
        """Return the account that a line's tonnes leave."""
        return (self.takes_from_source and line.source_account_id) or case.account_id

    def judge(self, case: Case, facts: Facts, action: Action = Action.SUBMIT) -> date | None:
        """Check every rule of an act, deducting the tonnes of a submission from ``facts``.

        Returns the settlement day of kinds that settle at day-end, None while a second operator has
        yet to approve.  Raises RuleError.
        """
        submits = action is Action.SUBMIT
        settles_on = None
        if submits and case.step != COLLEAGUE_STEP:
            settles_on = self.settling_day(facts)
        for rule in self.guards:
            if action in rule.at:
                rule.require(case, facts)
        return settles_on

    def settling_day(self, facts: Facts) -> date | None:
        """Return the trading day on which a transfer accepted now settles; raises OutsideTradingHours."""
        return facts.moment.accepting_day() if self.settles_at_day_end else None

    def reserving(self, case: Case) -> tuple[Move, ...]:
        """The moves of a submission, within the account that the tonnes will leave.

        A transfer that awaits a second operator is reserved, not yet in transit.
        """
        if self.reserves is None:
            return ()
        route = self._reserve(at_colleague=case.step == COLLEAGUE_STEP)
        holders = [self.holder(case, line) for line in case.lines]
        return tuple(
            _move(holder, line, route, holder)
            for holder, line in zip(holders, case.lines, strict=True)
        )

    def _reserve(self, *, at_colleague: bool) -> tuple[Bucket, Bucket]:
        assert self.reserves
        if self.settles_at_day_end and at_colleague:
            return (self.reserves[0], Bucket.RESERVED)
        return self.reserves

    def settling(self, case: Case) -> tuple[Move, ...]:
        """The moves of the last approval, to the receivers."""
        if self.settles is None:
            return ()
        return tuple(
            _move(self.holder(case, line), line, self.settles, line.account_id or case.account_id)
            for line in case.lines
        )


def _move(holder: int, line: Line, route: tuple[Bucket, Bucket], target: int) -> Move:
    source, reached = route
    giver = ISSUANCE_ACCOUNT_ID if source is Bucket.ISSUED else holder
    return Move(
        Pocket(giver, line.instrument_id, source),
        Pocket(target, line.instrument_id, reached),
        line.quantity,
    )
