"""The kinds of the years 2024 to 2026 mixed, while the clock moves over the year's dates.

What each kind does is told by tests of its own; here they meet on the same units.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

from flask_babel import force_locale
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, Member
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.sanctions import lapses
from tests import factories
from tests.factories import account, confirmed, instrument, member, mirrored
from tests.operations import carrying, chains, courts
from tests.operations.claims import claimed, returning
from tests.tables import Tables

PARTIES = st.integers(0, 1)
VINTAGES = st.integers(0, 2)  # 2023, of before the carry-over; 2025 and 2026
TONNES = st.integers(1, 150)
HOW = st.sampled_from(["approve", "approve", "send_back", "withdraw"])
FIRST = date(2026, 11, 20)
ACTS = (
    "issue", "pass_on", "reverse", "claim", "give_back", "order", "release", "surrender", "offset",
    "carry_over", "batch", "commission", "approve", "send_back", "withdraw", "go_on",
)  # fmt: skip

# What must be so between two acts, whatever they were; each row is a fault.
_FAULTS = text("""
    SELECT 'conservation ' || instrument_id AS fault
      FROM entry GROUP BY instrument_id HAVING sum(delta) <> 0
    UNION ALL
    SELECT concat('below zero ', account_id, ' ', instrument_id, ' ', bucket)
      FROM entry WHERE bucket <> 12
     GROUP BY account_id, instrument_id, bucket HAVING sum(delta) < 0
    UNION ALL
    -- A province has what waits for its enterprises, and nothing else (N12).
    SELECT concat('province ', h.province, ' ', h.instrument_id)
      FROM (SELECT c.province, e.instrument_id, sum(e.delta) AS held
              FROM entry e JOIN account c ON c.id = e.account_id AND c.kind = 'province'
             GROUP BY c.province, e.instrument_id) h
      FULL JOIN (SELECT c.province, w.instrument_id, sum(w.remaining + coalesce(w.pending, 0)) AS waits
                   FROM waiting_line w JOIN account c ON c.id = w.account_id
                  GROUP BY c.province, w.instrument_id) w USING (province, instrument_id)
     WHERE coalesce(h.held, 0) <> coalesce(w.waits, 0)
    UNION ALL
    SELECT concat('claim ', application_id) FROM line_draw WHERE remaining < 0
    UNION ALL
    -- Nothing is free while a court waits for it (N97).
    SELECT concat('queue ', o.application_id, ' of ', o.account_id)
      FROM court_order o
     WHERE o.queued > 0
       AND EXISTS (SELECT FROM entry e
                    WHERE e.account_id = o.account_id AND e.bucket = 1
                      AND e.instrument_id = coalesce(o.instrument_id, e.instrument_id)
                    GROUP BY e.instrument_id HAVING sum(e.delta) > 0)
    UNION ALL
    -- What courts hold is frozen: nothing of it was surrendered or moved.
    SELECT concat('held ', h.account_id, ' ', h.instrument_id)
      FROM (SELECT o.account_id, c.instrument_id, sum(c.quantity) AS quantity
              FROM court_hold c JOIN court_order o ON o.application_id = c.order_id
             GROUP BY o.account_id, c.instrument_id) h
     WHERE h.quantity > (SELECT coalesce(sum(e.delta), 0) FROM entry e
                          WHERE e.account_id = h.account_id AND e.instrument_id = h.instrument_id
                            AND e.bucket = 3)
    UNION ALL
    SELECT concat('surrendered beyond its notice ', n.number)
      FROM notice n JOIN notice_surrender_line l ON l.notice_id = n.id
     GROUP BY n.id, n.number, n.obligation HAVING sum(l.surrendered) > n.obligation
""")


class Year(RuleBasedStateMachine):
    """Two enterprises of a province with notices of 2025, one of which the province holds back."""

    tables: Tables
    done: Counter[str] = Counter()

    @initialize()
    def open(self):
        """Empty the registry first: what is drawn must not depend on an example before."""
        db.session.rollback()
        self.tables.empty()
        db.session.remove()
        self.maker, self.checker = member("registry_maker"), member("registry_checker")
        self.office = factories.officer_of("42")
        self.day = FIRST
        carrying.on(FIRST)
        self.parties: list[Account] = [account("甲"), account("乙")]
        self.owners = [member("enterprise", of=each) for each in self.parties]
        self.what = [instrument(f"{year}年度配额", vintage=year) for year in (2023, 2025, 2026)]
        self.orders: list[int] = []
        self.claims: list[tuple[int, Member]] = []
        self.waiting: list[tuple[int, Member, Member]] = []  # application, applicant, reviewer
        for each, owner in zip(self.parties, self.owners, strict=True):
            factories.give(each, self.what[0], 300, at=carrying.BEFORE)
            carrying.fulfilled(each, owner, self.maker)
        carrying.decided_round(
            self.maker,
            self.checker,
            batches="2026-12-10/2026-12-17,2026-12-31/2027-01-07",
            apply_until="2026-12-31",
        )
        carrying.noticed(self.maker, self.checker)
        accepts = self.what[:2]
        self.notices = [
            factories.notice(each, 400, accepts, by=self.maker, percent=5) for each in self.parties
        ]
        chains.listed(self.parties[1], 2025, self.office)
        for each in self.parties:
            for what in self.what[1:]:
                chains.issued_to_province(each, {what: 200}, self.maker, self.checker)
        chains.passed_on(self.parties[0])

    @rule(
        name=st.sampled_from(ACTS),
        party=PARTIES,
        what=VINTAGES,
        tonnes=TONNES,
        which=st.integers(0, 99),
    )
    def act(self, name, party, what, tonnes, which):
        """What a rule refuses changes nothing, and is no fault; the invariants look."""
        self.party, self.owner = self.parties[party], self.owners[party]
        self.notice, self.of, self.which = self.notices[party], self.what[what], which
        try:
            getattr(self, name)(tonnes)
        except RuleError:
            db.session.rollback()
        else:
            type(self).done[name] += 1

    def issue(self, tonnes):
        lines = {self.of: tonnes}
        chains.issued_to_province(self.party, lines, self.maker, self.checker)

    def pass_on(self, _tonnes):
        chains.passed_on(self.party)

    def reverse(self, tonnes):
        """An issue of the same day, found to be wrong."""
        lines = {self.of: tonnes}
        made = chains.issued_to_province(self.party, lines, self.maker, self.checker)
        confirmed(chains.reversal(made, self.party, self.maker), self.checker)

    def claim(self, tonnes):
        due = self.day + timedelta(days=30)
        made = claimed(self.party, self.of, tonnes, by=self.maker, ends_on=due)
        self.claims.append((made, self.owner))

    def give_back(self, tonnes):
        claim, owner = self._one_of(self.claims)
        self.waiting.append((returning(claim, tonnes % 20 + 1, by=owner), owner, self.maker))

    def order(self, tonnes):
        """For an instrument, or now and then for the whole account; often for more than there is."""
        served = f"{self.day}T09:00:{len(self.orders) % 60:02d}+08:00"
        of = None if self.which % 4 == 0 else self.of
        ends = self.day + timedelta(days=1 + self.which % 40)
        about = self.party, self.maker, 3 * tonnes, of
        self.orders.append(courts.freeze(*about, served=served, ends_on=ends))

    def release(self, tonnes):
        courts.release(self._one_of(self.orders), self.maker, tonnes)

    def surrender(self, tonnes):
        lines = {self.of: tonnes}
        case = factories.submitted("surrender", self.owner, lines, notice_id=self.notice)
        self.waiting.append((case.id, self.owner, self.office))

    def offset(self, tonnes):
        unit = mirrored(self.owner, tonnes % 15 + 1)
        made = factories.offsetting(self.owner, self.notice, unit)
        with transaction():
            engine.submit([made], Actor.of(self.owner), now=clock.now()).one()
        self.waiting.append((made, self.owner, self.office))

    def carry_over(self, tonnes):
        carrying.applied(self.owner, {self.what[0]: tonnes})

    def batch(self, _tonnes):
        carrying.batch(self.maker, self.checker, self.day - timedelta(days=1))
        carrying.carried_out()

    def commission(self, _tonnes):
        made = chains.commissioned(self.parties[1], self.notices[1], self.office)
        chains.executed(made, self.maker, self.checker)

    def approve(self, _tonnes):
        made, _owner, reviewer = self._next()
        confirmed(made, reviewer)

    def send_back(self, _tonnes):
        made, _owner, reviewer = self._next()
        with transaction():
            engine.send_back([made], Actor.of(reviewer), now=clock.now(), comment="核对").one()

    def withdraw(self, _tonnes):
        made, owner, _reviewer = self._next()
        with transaction():
            engine.withdraw([made], Actor.of(owner), now=clock.now()).one()

    def go_on(self, tonnes):
        """To another day, on which the night's job has ended what expired."""
        self.day += timedelta(days=1 + tonnes % 20)
        carrying.on(self.day)
        lapsed = True
        while lapsed:
            with transaction():
                lapsed = lapses.lapse_next(SYSTEM, now=clock.now()) is not None

    def _one_of(self, found: list) -> Any:
        if not found:
            raise RuleError("There is none")
        return found[self.which % len(found)]

    def _next(self) -> tuple[int, Member, Member]:
        if not self.waiting:
            raise RuleError("Nothing waits")
        return self.waiting.pop(self.which % len(self.waiting))

    @invariant()
    def nothing_is_wrong(self):
        db.session.rollback()
        assert db.session.scalars(_FAULTS).all() == []
        db.session.rollback()

    def teardown(self):
        db.session.rollback()
        with force_locale("en"):
            assert verify_ledger().faults == []


def test_the_kinds_of_the_years_meet(app, tables):
    Year.tables = tables
    Year.done.clear()
    few = settings(
        max_examples=8,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with force_locale("en"):
        run_state_machine_as_test(Year, settings=few)
    never = set(ACTS) - {"batch"} - set(Year.done)  # A batch waits for December.
    assert not never, "what never succeeded tells nothing"
