"""Whatever the bank's line does, in whatever order: the books agree, and nothing is done twice."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.delivery import banks as delivery
from app.domain.errors import RuleError
from app.extensions import db
from app.operations.ledger.verification import verify_ledger
from simulators.bank import Bank
from tests.operations.money import lines

FAULTS = ("refuse", "lost_before", "lost_after", "late", "unsigned", "unknown", "slow")
TRANSFERS = st.tuples(
    st.just("transfer"),
    st.tuples(
        st.sampled_from(("deposit", "withdrawal")),
        st.integers(1, 3_000),
        st.sampled_from(FAULTS),
        st.sampled_from(("exchange", "crash")),
    ),
)
STEPS = st.one_of(
    TRANSFERS,
    TRANSFERS,
    st.tuples(st.sampled_from(("deposit", "withdraw")), st.integers(1, 9_000)),
    st.tuples(st.just("fault"), st.sampled_from(FAULTS)),
    st.tuples(st.just("fault_of_query"), st.sampled_from(("unknown", "lost_before", "unsigned"))),
    st.tuples(st.just("pay_in"), st.integers(1, 9_000)),
    st.tuples(st.just("reverse"), st.integers(0, 5)),
    st.tuples(st.just("answer_is_lost"), st.integers(0, 5)),
    st.tuples(
        st.sampled_from(("exchange", "crash", "work_late", "minutes", "next_day")), st.none()
    ),
)


class _Dies(BaseException):
    """The worker's process ends."""


class Story:
    """One participant and its bank, through days."""

    def __init__(self, line: lines.Line) -> None:
        self.line, self.now = line, lines.MORNING
        self.member = line.participant("甲发电有限公司", "50.00")

    def do(self, step: str, value: object) -> None:
        getattr(self, f"_{step}")(value)
        db.session.rollback()

    def _transfer(self, asked: tuple[str, int, str, str]) -> None:
        """Apply for it, and let the bank's answer go wrong."""
        kind, fen, fault, what = asked
        self._apply(kind, fen)
        self.line.bank._faults["transfer"][:] = [fault]
        self.do(what, None)

    def _deposit(self, fen: int) -> None:
        self._apply("deposit", fen)

    def _withdraw(self, fen: int) -> None:
        self._apply("withdrawal", fen)

    def _apply(self, kind: str, fen: int) -> None:
        try:
            lines.apply_for(kind, self.member, f"{fen / 100:.2f}")
        except RuleError:
            db.session.rollback()

    def _fault(self, fault: str) -> None:
        self.line.bank.fail("transfer", fault)

    def _fault_of_query(self, fault: str) -> None:
        self.line.bank.fail("query", fault)

    def _pay_in(self, fen: int) -> None:
        self.line.bank.pay_in(self.member.username, fen)

    def _reverse(self, place: int) -> None:
        done = [
            each["bank_serial"]
            for each in self.line.bank.state["transfers"].values()
            if each["outcome"] == "done"
        ]
        if place < len(done):
            self.line.bank.ask_reversal(done[place])

    def _answer_is_lost(self, place: int) -> None:
        """The bank has not heard our answer to what it started, and asks again."""
        items = [
            each
            for each in self.line.bank.state["incoming"].values()
            if not each.get("reverses") and each["outcome"] == "done"
        ]
        if place < len(items):
            items[place]["is_open"] = True

    def _exchange(self, _value: None) -> None:
        self.line.exchange()

    def _crash(self, _value: None) -> None:
        """The process ends after the bank has acted and before that is written down."""
        sent = self.line.http.transfer

        def dies(order, day):
            with contextlib.suppress(delivery.LineError):
                sent(order, day)
            raise _Dies

        self.line.http.transfer = dies
        try:
            self.line.exchange()
        except _Dies:
            db.session.rollback()
        finally:
            del self.line.http.transfer

    def _work_late(self, _value: None) -> None:
        self.line.bank.work_late(self.now.date().isoformat())

    def _minutes(self, _value: None) -> None:
        self._at(self.now.replace(minute=self.now.minute + 5 if self.now.minute < 50 else 59))

    def _next_day(self, _value: None) -> None:
        """The bank's day ends, with its file; late work is of the day on which it is done."""
        self._at(self.now.replace(hour=18))
        self.line.exchange()
        self.line.exchange()
        self._at((self.now + lines.timedelta(days=1)).replace(hour=10, minute=0))
        self.line.exchange()

    def _at(self, moment) -> None:
        self.now = moment
        lines.at(moment)

    def settle(self) -> None:
        """Let everything come to its end: no more faults, and the files of two days."""
        self.line.bank._faults.clear()
        self.line.bank.work_late(self.now.date().isoformat())
        for _each in range(2):
            self._next_day(None)


def assert_agreed(line: lines.Line) -> None:
    """Our books and the bank's are the same, and no order is open."""
    db.session.rollback()
    report = verify_ledger()
    assert report.is_sound, report.faults
    assert line.bank.duplicates == 0, "a transfer was sent twice"
    assert line.bank.special == line.owed
    states = db.session.execute(
        text(
            "SELECT serial, state FROM bank_order WHERE state NOT IN ('done', 'refused', 'reversed')"
        )
    ).all()
    assert states == []
    theirs = {
        serial: each["outcome"] in ("done", "reversed")
        for serial, each in line.bank.state["transfers"].items()
    }
    ours = db.session.execute(
        text("SELECT serial, state FROM bank_order WHERE started_by = 'registry'")
    ).all()
    assert {s: state in ("done", "reversed") for s, state in ours if s in theirs} == theirs


@pytest.mark.unsound  # It verifies each story itself.
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_any_order_of_faults_gives_the_same_books(app, tables, steps):
    tables.empty()
    lines.at(lines.MORNING)
    officers = [lines.factories.member(f"registry_{each}") for each in ("maker", "checker")]
    with lines.line_to(Bank(lines.KEY), *officers) as line:
        story = Story(line)
        for step, value in steps:
            story.do(step, value)
        story.settle()
        assert_agreed(line)
