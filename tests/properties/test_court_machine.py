"""Courts' orders in any sequence: the registry agrees with a simple model of the queue."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from flask_babel import force_locale
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import CourtHold
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.sanctions import lapses
from tests.factories import account, give, instrument, member, quantity, submitted
from tests.operations.courts import assign, freeze, midnight, release, renew, stands

TONNES = st.integers(1, 300)
WHAT = st.sampled_from([0, 1, None])
SECONDS = st.integers(0, 59)
DAYS = st.integers(1, 40)
FIRST = date(2026, 11, 20)


class Courts(RuleBasedStateMachine):
    """One enterprise with two instruments, two officers, and any number of courts."""

    @initialize()
    def open(self):
        self.maker = member("registry_maker")
        self.plant, self.other = account("被执行人"), account("申请执行人")
        self.owner = member("enterprise", of=self.plant)
        self.instruments = [instrument(), instrument()]
        self.orders: list[dict] = []
        self.pending: list[tuple[int, int, int]] = []
        self.pool = [0, 0]  # available or frozen by courts
        self.day = FIRST
        for what in range(2):
            self.credit(what, 200)

    @rule(what=st.integers(0, 1), tonnes=TONNES)
    def credit(self, what, tonnes):
        give(self.plant, self.instruments[what], tonnes)
        self.pool[what] += tonnes

    @rule(what=WHAT, tonnes=TONNES, second=SECONDS, days=DAYS)
    def order(self, what, tonnes, second, days):
        of = None if what is None else self.instruments[what]
        served = f"2026-11-20T09:00:{second:02d}+08:00"
        end = self.day + timedelta(days=days)
        id_ = freeze(self.plant, self.maker, tonnes, of, served=served, ends_on=end)
        said = {"id": id_, "what": what, "left": tonnes, "served": (served, id_), "end": end}
        self.orders.append(said)

    @precondition(lambda self: any(each["left"] for each in self.orders))
    @rule(data=st.data(), tonnes=TONNES)
    def release(self, data, tonnes):
        order = self.orders[data.draw(st.sampled_from(self._standing()))]
        left = order["left"]
        if tonnes > left:
            with pytest.raises(RuleError, match="left to release"):
                release(order["id"], self.maker, tonnes)
        else:
            release(order["id"], self.maker, tonnes)
            order["left"] -= tonnes

    @precondition(lambda self: any(each["left"] for each in self.orders))
    @rule(data=st.data(), days=DAYS)
    def renew(self, data, days):
        order = self.orders[data.draw(st.sampled_from(self._standing()))]
        end = order["end"] + timedelta(days=days)
        renew(order["id"], self.maker, end)
        order["end"] = end

    @precondition(lambda self: any(each["left"] for each in self.orders))
    @rule(data=st.data(), what=st.integers(0, 1), tonnes=TONNES)
    def assign(self, data, what, tonnes):
        order = self.orders[data.draw(st.sampled_from(self._standing()))]
        key = (order["id"], self.instruments[what].id)
        held = db.session.get(CourtHold, key)
        most = held.quantity if held else 0
        if tonnes > most:
            with pytest.raises(RuleError, match="has frozen only"):
                assign(order["id"], self.maker, tonnes, self.instruments[what], self.other)
        else:
            assign(order["id"], self.maker, tonnes, self.instruments[what], self.other)
            order["left"] -= tonnes
            self.pool[what] -= tonnes

    @rule(what=st.integers(0, 1), tonnes=TONNES)
    def apply(self, what, tonnes):
        """The enterprise applies for a cancellation of what is free."""
        free = quantity(self.plant, self.instruments[what])
        try:
            case = submitted(
                "voluntary_cancellation",
                self.owner,
                {self.instruments[what]: tonnes},
                reason="公益",
            )
        except RuleError:
            assert tonnes > free
        else:
            assert tonnes <= free
            self.pool[what] -= tonnes
            self.pending.append((case.id, what, tonnes))

    @precondition(lambda self: self.pending)
    @rule()
    def withdraw(self):
        id_, what, tonnes = self.pending.pop()
        with transaction():
            engine.withdraw([id_], Actor.of(self.owner), now=clock.now()).one()
        self.pool[what] += tonnes

    @rule(days=st.integers(1, 15))
    def go_on(self, days):
        self.day += timedelta(days=days)
        while True:
            with transaction():
                if lapses.lapse_next(SYSTEM, now=midnight(self.day)) is None:
                    break
        for each in self.orders:
            if each["end"] < self.day:
                each["left"] = 0

    def _standing(self):
        return [n for n, each in enumerate(self.orders) if each["left"]]

    @invariant()
    def the_queue_is_served_in_turn(self):
        """By instrument exactly; an order of the whole account by its total."""
        pool = list(self.pool)
        for each in sorted(self.orders, key=lambda each: each["served"]):
            effective, queued = stands(each["id"])
            assert effective + queued == each["left"]
            held = db.session.scalars(db.select(CourtHold).filter_by(order_id=each["id"])).all()
            by = {row.instrument_id: row.quantity for row in held}
            assert sum(by.values()) == effective
            within = range(2) if each["what"] is None else [each["what"]]
            assert effective == min(each["left"], sum(pool[n] for n in within))
            for n in range(2):
                pool[n] -= by.get(self.instruments[n].id, 0)
                assert pool[n] >= 0
        for n in range(2):
            assert quantity(self.plant, self.instruments[n]) == pool[n]
            frozen = quantity(self.plant, self.instruments[n], Bucket.FROZEN)
            assert frozen == self.pool[n] - pool[n]

    def teardown(self):
        report = verify_ledger()
        assert report.is_sound, report.faults


def test_orders_in_any_sequence(app):
    with force_locale("en"):
        run_state_machine_as_test(
            Courts,
            settings=settings(
                max_examples=12,
                stateful_step_count=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
