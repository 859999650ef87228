"""Random sequences of operations: the registry agrees with a simple model in Python."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timedelta
from uuid import uuid4

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

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import (
    HELD_BUCKETS,
    ISSUANCE_ACCOUNT_ID,
    Bucket,
    Move,
    Pocket,
    PostingRequest,
    Stage,
    whole_tonnes,
    within,
)
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Holding
from app.operations.applications import engine
from app.operations.ledger import posting, settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import calendar
from app.operations.records.actor import SYSTEM
from tests.factories import TRIAL, account, instrument, venue

PARTIES = st.integers(0, 1)
INSTRUMENTS = st.integers(0, 1)
TONNES = st.integers(1, 120)
# As people type: mostly numbers, and everything that is none (domain.md R13).
TYPED = st.one_of(
    TONNES.map(str),
    st.sampled_from(["0", "-5", "1.5", "1e3", "１００", str(2**63), "", " ", "1,000", "٣", "\x00"]),
    st.text(max_size=6),
)
ROUTES = st.sampled_from(
    [
        (Bucket.AVAILABLE, Bucket.TRADING),
        (Bucket.TRADING, Bucket.AVAILABLE),
        (Bucket.AVAILABLE, Bucket.CUSTODY),
        (Bucket.CUSTODY, Bucket.AVAILABLE),
        (Bucket.AVAILABLE, Bucket.SURRENDERED),
        (Bucket.AVAILABLE, Bucket.CANCELLED),
        (Bucket.TRADING, Bucket.CANCELLED),
    ]
)


class Registry(RuleBasedStateMachine):
    """Two enterprises, two instruments, an exchange, and the day's end."""

    day = date(2026, 11, 20)  # Runs on from one example to the next: a settled day stays settled.

    @initialize()
    def open(self):
        self.accounts = [account(f"企业{n}").id for n in range(2)]
        self.instruments = [instrument(f"标的{n}").id for n in range(2)]
        self.venue = venue().id
        with transaction():
            db.session.execute(
                db.text("UPDATE account SET allows_exchange_transfer = true WHERE id = ANY(:ids)"),
                {"ids": self.accounts},
            )
        self.held: Counter = Counter()  # (party, instrument, bucket) -> tonnes
        self.issued: Counter = Counter()  # instrument -> tonnes
        self.left: Counter = Counter()  # instrument -> tonnes that left the five columns
        self.open_transfers: dict[int, tuple[int, dict[int, int]]] = {}  # the enterprise's own
        self.closed_transfers: list[int] = []
        self.keys: list[tuple[str, int, dict[int, int]]] = []
        self.posted: list[PostingRequest] = []
        for party in range(2):
            for what in range(2):  # Something of everything, so that most of what is asked is had.
                self.issue(party, what, 300)
                self.move_within_the_registry(party, what, (Bucket.AVAILABLE, Bucket.TRADING), 60)
                self.move_within_the_registry(party, what, (Bucket.AVAILABLE, Bucket.CUSTODY), 60)
            self._transfer("registry_to_trading", party, {0: 80, 1: 80}, str(uuid4()))
        self.settle(twice=True)

    @property
    def now(self) -> datetime:
        return datetime.combine(type(self).day, time(10), tzinfo=BEIJING)

    # What people and machines do

    @rule(party=PARTIES, what=INSTRUMENTS, tonnes=TONNES)
    def issue(self, party, what, tonnes):
        source = Pocket(ISSUANCE_ACCOUNT_ID, self.instruments[what], Bucket.ISSUED)
        target = Pocket(self.accounts[party], self.instruments[what], Bucket.AVAILABLE)
        self._post(Move(source, target, tonnes))
        self.held[party, what, Bucket.AVAILABLE] += tonnes
        self.issued[what] += tonnes

    @rule(party=PARTIES, typed=st.dictionaries(INSTRUMENTS, TYPED, min_size=1))
    def transfer_to_trading(self, party, typed):
        try:
            lines = {what: whole_tonnes(text) for what, text in typed.items()}
        except RuleError:
            return  # Refused at the form; nothing has moved, as the invariants see.
        key = str(uuid4())
        self._transfer("registry_to_trading", party, lines, key)
        self.keys.append((key, party, lines))

    @rule(party=PARTIES, what=INSTRUMENTS, tonnes=TONNES)
    def fetched_by_the_exchange(self, party, what, tonnes):
        self._transfer("exchange_registry_to_trading", party, {what: tonnes}, str(uuid4()))

    @rule(party=PARTIES, what=INSTRUMENTS, tonnes=TONNES)
    def transfer_home(self, party, what, tonnes):
        self._transfer("trading_to_registry", party, {what: tonnes}, str(uuid4()))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def press_the_button_again(self, data):
        """The same request key gives the same application, and moves nothing twice."""
        key, party, lines = data.draw(st.sampled_from(self.keys))
        with transaction():
            (made,) = self._start("registry_to_trading", party, lines, key)
            (refusal,) = engine.submit([made], SYSTEM, now=self.now).refused or [None]
        if refusal is None:  # It was refused for want of tonnes before, and they have come since.
            self._moved("registry_to_trading", made, party, lines)
        else:
            assert isinstance(refusal[1], NotAllowed | InsufficientQuantity)

    @precondition(lambda self: self.open_transfers)
    @rule(data=st.data())
    def withdraw(self, data):
        made = data.draw(st.sampled_from(sorted(self.open_transfers)))
        with transaction():
            engine.withdraw([made], SYSTEM, now=self.now).one()
        party, lines = self.open_transfers.pop(made)
        self.closed_transfers.append(made)
        for what, tonnes in lines.items():
            self._move(party, what, Bucket.PENDING_TO_TRADING, Bucket.AVAILABLE, tonnes)

    @precondition(lambda self: self.closed_transfers)
    @rule(data=st.data())
    def withdraw_too_late(self, data):
        made = data.draw(st.sampled_from(self.closed_transfers))
        with transaction():
            ((_case, error),) = engine.withdraw([made], SYSTEM, now=self.now).refused
        assert isinstance(error, NotAllowed)

    @rule(party=PARTIES, what=INSTRUMENTS, route=ROUTES, tonnes=TONNES)
    def move_within_the_registry(self, party, what, route, tonnes):
        move = within(self.accounts[party], self.instruments[what], *route, tonnes)
        if self._try(party, what, route[0], tonnes, move):
            self._move(party, what, *route, tonnes)
            self.left[what] += tonnes * ((route[0] in HELD_BUCKETS) - (route[1] in HELD_BUCKETS))

    @rule(seller=PARTIES, buyer=PARTIES, what=INSTRUMENTS, tonnes=TONNES)
    def trade(self, seller, buyer, what, tonnes):
        if seller == buyer:
            return
        move = Move(
            Pocket(self.accounts[seller], self.instruments[what], Bucket.TRADING),
            Pocket(self.accounts[buyer], self.instruments[what], Bucket.TRADING),
            tonnes,
        )
        if self._try(seller, what, Bucket.TRADING, tonnes, move):
            self.held[seller, what, Bucket.TRADING] -= tonnes
            self.held[buyer, what, Bucket.TRADING] += tonnes

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def post_again(self, data):
        request = data.draw(st.sampled_from(self.posted))
        with pytest.raises(RuleError) as refusal, transaction():
            posting.post([request], at=self.now)
        # Where the tonnes are gone too, either refusal may come first.
        assert refusal.value.code in ("done_before", "insufficient_quantity")

    @rule()
    def settle_too_early(self):
        with pytest.raises(RuleError), transaction():
            settlement.settle_day(type(self).day, SYSTEM, now=self.now)

    @rule(twice=st.booleans())
    def settle(self, twice):
        if type(self).day >= date(2027, 11, 1):
            return  # The calendar ends; no precondition, as the day is not of this example alone.
        evening = self.now + timedelta(hours=6)
        for _ in range(1 + twice):
            with transaction():
                settlement.settle_day(type(self).day, SYSTEM, now=evening)
        type(self).day = calendar.next_trading_day(type(self).day)
        self.closed_transfers += self.open_transfers
        self.open_transfers.clear()
        for (party, what, bucket), tonnes in list(self.held.items()):
            if bucket is Bucket.PENDING_TO_TRADING:
                self._move(party, what, bucket, Bucket.TRADING, tonnes)
            elif bucket is Bucket.PENDING_TO_REGISTRY:
                self._move(party, what, bucket, Bucket.AVAILABLE, tonnes)

    # What must be true after each of them

    @invariant()
    def every_pocket_holds_what_the_model_says(self):
        db.session.expire_all()
        rows = db.session.query(Holding).filter(Holding.instrument_id.in_(self.instruments)).all()
        found: Counter = Counter()
        for row in rows:
            for bucket in Bucket:
                found[row.account_id, row.instrument_id, bucket] = getattr(row, bucket.column)
        wanted = Counter(
            {
                (self.accounts[party], self.instruments[what], bucket): tonnes
                for (party, what, bucket), tonnes in self.held.items()
            }
        )
        for what, tonnes in self.issued.items():
            wanted[ISSUANCE_ACCOUNT_ID, self.instruments[what], Bucket.ISSUED] = -tonnes
        assert +found == +wanted
        assert -found == -wanted  # Below zero is `issued` alone.
        assert sum(found.values()) == 0

    @invariant()
    def the_holding_changes_by_issuance_and_leaving_alone(self):
        """总持有量=登记可用量+登记冻结量+登记待划转量+交易持有量+交易待划转量."""
        for what in range(2):
            total = sum(self.held[p, what, bucket] for p in range(2) for bucket in HELD_BUCKETS)
            assert total == self.issued[what] - self.left[what]

    def teardown(self):
        db.session.rollback()
        report = verify_ledger()
        assert report.faults == []

    # How it is done

    def _start(self, kind, party, lines, key):
        content = engine.Draft(
            kind,
            self.accounts[party],
            tuple(
                Line(self.instruments[what], tonnes, venue_id=self.venue)
                for what, tonnes in lines.items()
            ),
            key,
        )
        return engine.start([content], SYSTEM, now=self.now)

    def _transfer(self, kind, party, lines, key):
        source = Bucket.TRADING if kind == "trading_to_registry" else Bucket.AVAILABLE
        enough = all(self.held[party, what, source] >= tonnes for what, tonnes in lines.items())
        with transaction():
            (made,) = self._start(kind, party, lines, key)
            outcome = engine.submit([made], SYSTEM, now=self.now)
        if enough:
            assert outcome.one().id == made
            self._moved(kind, made, party, lines)
        else:
            ((_case, error),) = outcome.refused
            assert isinstance(error, InsufficientQuantity)

    def _moved(self, kind, made, party, lines):
        route = (Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING)
        if kind == "trading_to_registry":
            route = (Bucket.TRADING, Bucket.PENDING_TO_REGISTRY)
        for what, tonnes in lines.items():
            self._move(party, what, *route, tonnes)
        if kind == "registry_to_trading":
            self.open_transfers[made] = (party, lines)

    def _move(self, party, what, source, target, tonnes):
        self.held[party, what, source] -= tonnes
        self.held[party, what, target] += tonnes

    def _try(self, party, what, source, tonnes, move) -> bool:
        """Post a move that may lack tonnes; return whether it succeeded."""
        if self.held[party, what, source] >= tonnes:
            self._post(move)
            return True
        if any(self.held[party, what, bucket] for bucket in Bucket):
            with pytest.raises(InsufficientQuantity):
                self._post(move)
        return False

    def _post(self, move):
        request = PostingRequest(TRIAL, Stage.APPROVAL, str(uuid4()), (move,))
        with transaction():
            posting.post([request], at=self.now)
        self.posted.append(request)


def test_whatever_is_done_the_books_agree(app):
    with force_locale("en"):
        run_state_machine_as_test(
            Registry,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
