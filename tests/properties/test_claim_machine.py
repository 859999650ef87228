"""Claims, returns, withdrawals and netting in any order: what is open is what a simple model says."""

from __future__ import annotations

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
from app.extensions import transaction
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import account, confirmed, instrument, member, quantity
from tests.operations.claims import claimed, issued, open_of, returning

TONNES = st.integers(1, 200)


class Claims(RuleBasedStateMachine):
    """One enterprise, one vintage, any number of claims on it."""

    @initialize()
    def open(self):
        self.maker = member("registry_maker")
        self.plant, self.what = account(), instrument()
        self.owner = member("enterprise", of=self.plant)
        self.claims: list[list[int]] = []  # [application, open, waiting for its review]
        self.waiting: list[tuple[int, list[int], int]] = []
        self.issued = self.claimed = self.recalled = 0

    @rule(tonnes=TONNES)
    def issue(self, tonnes):
        issued(self.plant, self.what, tonnes, by=self.maker)
        self.issued += tonnes
        for claim in self.claims:  # All are due on one day: the oldest first.
            netted = min(tonnes, claim[1] - claim[2])
            claim[1] -= netted
            tonnes -= netted
            self.recalled += netted

    @precondition(lambda self: self.issued > self.claimed)
    @rule(tonnes=TONNES)
    def claim(self, tonnes):
        tonnes = min(tonnes, self.issued - self.claimed)
        made = claimed(self.plant, self.what, tonnes, by=self.maker)
        self.claims.append([made, tonnes, 0])
        self.claimed += tonnes

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), tonnes=TONNES)
    def give_back(self, data, tonnes):
        claim = data.draw(st.sampled_from(self.claims))
        if tonnes > min(claim[1] - claim[2], self._available()):
            with pytest.raises(RuleError):
                returning(claim[0], tonnes, by=self.owner)
            return
        self.waiting.append((returning(claim[0], tonnes, by=self.owner), claim, tonnes))
        claim[2] += tonnes

    @precondition(lambda self: self.waiting)
    @rule(does=st.sampled_from(["approve", "send_back", "withdraw"]))
    def decide(self, does):
        made, claim, tonnes = self.waiting.pop()
        claim[2] -= tonnes
        if does == "approve":
            confirmed(made, self.maker)
            claim[1] -= tonnes
            self.recalled += tonnes
        elif does == "withdraw":
            with transaction():
                engine.withdraw([made], Actor.of(self.owner), now=clock.now()).one()
        else:
            with transaction():
                act = engine.send_back([made], Actor.of(self.maker), now=clock.now(), comment="x")
                act.one()

    def _available(self):
        waiting = sum(tonnes for _made, _claim, tonnes in self.waiting)
        return self.issued - self.recalled - waiting

    @invariant()
    def claims_are_never_negative(self):
        for made, left, waiting in getattr(self, "claims", ()):
            assert open_of(made) == left - waiting >= 0

    @invariant()
    def tonnes_are_where_the_model_has_them(self):
        if hasattr(self, "claims"):
            assert quantity(self.plant, self.what) == self._available() >= 0
            assert quantity(self.plant, self.what, Bucket.RECALLED) == self.recalled

    def teardown(self):
        with force_locale("en"):
            assert verify_ledger().is_sound


def test_claims_agree_with_a_model(app, tables):
    few = settings(
        max_examples=5,
        stateful_step_count=10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with force_locale("en"):
        run_state_machine_as_test(Claims, settings=few)
