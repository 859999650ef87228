"""Any order of deliveries, crashes, freezes and repeats ends in books where money and tonnes conserve."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Application, Holding, TradeDelivery
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages
from app.pki.canonical import canonical
from tests.markets import EVENING, Market

NAMES = ("甲", "乙", "丙", "丁")
DEAL = st.tuples(
    st.permutations(range(len(NAMES))).map(lambda each: each[:2]),
    st.integers(1, 60),
    st.sampled_from(["79.99", "80.00", "81.50"]),
    st.tuples(st.sampled_from(["0.00", "1.25"]), st.sampled_from(["0.00", "2.50"])),
)
# What befalls a delivery: a chunk that is carried out, one that is lost, the whole asked for again.
STEPS = st.lists(st.sampled_from(["go on", "crash", "again"]), max_size=12)


@pytest.mark.slow
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deals=st.lists(DEAL, min_size=1, max_size=25), frozen=st.integers(0, 4000), steps=STEPS)
def test_whatever_happens_the_books_are_those_of_an_undisturbed_day(
    app, tables, maker, checker, monkeypatch, deals, frozen, steps
):
    monkeypatch.setattr(delivery, "AT_ONCE", 4)
    undisturbed = _day(tables, maker, checker, deals, frozen, ())
    disturbed = _day(tables, maker, checker, deals, frozen, steps)
    assert disturbed == undisturbed


def _day(tables, maker, checker, deals, frozen, steps) -> list[tuple[int, ...]]:
    """Settle a day with what befalls it; return what everybody holds, and how many were delivered."""
    restore = tables.keep("before_the_day", empties=True)
    try:
        market = Market(tables)
        parties = [
            market.participant(name, tonnes=100, yuan="6000", bank="AB"[n % 2])
            for n, name in enumerate(NAMES)
        ]
        for (seller, buyer), quantity, price, fees in deals:
            market.deal(parties[seller], parties[buyer], quantity, price, fees=fees)
        rows = [(*row[:-1], row[2] + row[5] - row[6]) for row in market.positions()]
        if any(row[-1] < 0 for row in rows):
            return []  # The exchange does not report this.
        try:
            package_id = _agreed(market, maker, checker, parties[0], frozen)
        except RuleError:
            db.session.rollback()
            return []
        _deliver(package_id, steps)
        assert verify_ledger().is_sound
        _assert_conserved(market, parties)
        held = [(market.tonnes(each), *market.money(each)) for each in parties]
        return [*held, (db.session.scalar(select(func.count(TradeDelivery.trade_id))),)]
    finally:
        db.session.rollback()
        restore()


def _agreed(market: Market, maker, checker, poor, frozen: int) -> int:
    """Hand in, freeze some money meanwhile, review twice and confirm."""
    with transaction():
        package_id = packages.receive(market.package(), SYSTEM, now=EVENING).id
    if frozen:
        market.freeze(poor, str(frozen), maker, checker)
    with transaction():
        settlement = clearing.propose(package_id, Actor.of(maker), now=EVENING)
        engine.submit([settlement], Actor.of(maker), now=EVENING).one()
    proposal = db.session.get_one(Application, settlement).proposal
    with transaction():
        signature = market.key.signature(canonical(clearing.result_of(proposal)))
        clearing.confirm(settlement, signature, now=EVENING)
        clearing.confirm(settlement, signature, now=EVENING)
        engine.approve([settlement], Actor.of(checker), now=EVENING).one()
    return package_id


def _deliver(package_id: int, steps) -> None:
    after = 0
    for step in (*steps, *["go on"] * 20):
        if step == "again":
            after = 0
            continue
        done = delivery.deliver_some(package_id, SYSTEM, now=EVENING, after=after)
        if step == "crash":
            db.session.rollback()
            continue
        db.session.commit()
        after = done.after
        if done.is_over:
            after = 0


def _assert_conserved(market: Market, parties) -> None:
    """No trade has one leg; tonnes stay among the parties, and money among parties, fees and banks."""
    assert sum(market.tonnes(each) for each in parties) == 100 * len(parties)
    wrong = db.session.scalars(
        text("""
            SELECT d.trade_id FROM trade_delivery d JOIN movement m ON m.posting_id = d.posting_id
              JOIN instrument i ON i.id = m.instrument_id
             GROUP BY d.trade_id HAVING count(DISTINCT i.kind = 'money') <> 2
        """)
    ).all()
    assert wrong == []
    banks = [bank.instrument_id for bank in market.banks.values()]
    issued = db.session.scalar(
        select(func.sum(Holding.issued)).where(Holding.instrument_id.in_(banks))
    )
    assert -issued == 4 * 6_000_00
