"""A delivery killed at each of its steps, and finished: the books of an undisturbed day."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.extensions import db, transaction
from app.models import Application, DailyQuote, SettlementStage, TradeDelivery
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages
from app.pki.canonical import canonical
from tests.faults.settling import Delivering
from tests.faults.test_kills import SECRET
from tests.markets import EVENING, Market

TRADES = 90  # five chunks of twenty


@pytest.fixture
def day(app, tables, maker, checker) -> tuple[Market, int]:
    """A day whose trades may be delivered; one party's money is frozen meanwhile."""
    with transaction():
        clock.set_to(EVENING, SYSTEM)
    market = Market(tables)
    seller = market.participant("甲", tonnes=1_000, bank="A")
    buyer = market.participant("乙", yuan="90000", bank="B")
    poor = market.participant("丙", yuan="800", bank="A")
    for n in range(TRADES):
        market.deal(seller, poor if n == 50 else buyer, 10, "80.00")
    with transaction():
        package_id = packages.receive(market.package(), SYSTEM, now=EVENING).id
    market.freeze(poor, "1", maker, checker)
    with transaction():
        settlement = clearing.propose(package_id, Actor.of(maker), now=EVENING)
        engine.submit([settlement], Actor.of(maker), now=EVENING).one()
    proposal = db.session.get_one(Application, settlement).proposal
    with transaction():
        signature = market.key.signature(canonical(clearing.result_of(proposal)))
        clearing.confirm(settlement, signature, now=EVENING)
        engine.approve([settlement], Actor.of(checker), now=EVENING).one()
    return market, package_id


@pytest.mark.parametrize(
    "last", ["begins", "posted", "committed 20", "committed 19", "committed 10"]
)
def test_a_delivery_killed_at_any_step_is_finished_by_the_next_one(day, cluster, last):
    market, package_id = day
    first = _delivering(cluster, package_id)
    for step in first.steps():
        if step == last and (last != "posted" or _is_underway()):
            break
    first.kill()
    _wait_for_its_transaction(cluster)

    for _attempt in range(2):  # The second finds nothing to do.
        assert _delivering(cluster, package_id).finish() == 0

    db.session.rollback()
    held = {each.name: (market.tonnes(each), *market.money(each)) for each in market.participants}
    assert held == {
        "甲": (110, 0, 71_200_00),
        "乙": (890, 18_800_00, 0),
        "丙": (0, 799_00, 0),
    }
    assert db.session.scalar(select(func.count(TradeDelivery.trade_id))) == TRADES - 1
    assert db.session.scalar(select(func.count()).select_from(DailyQuote)) == 1
    assert delivery.counts(package_id) == {"delivered": TRADES - 1, "short": 1}
    stages = set(db.session.scalars(select(SettlementStage.stage)))
    assert stages == {"delivered", "reconciled"}
    assert verify_ledger().is_sound


def _is_underway() -> bool:
    """Tell whether a chunk is committed already, so that this one is in the middle."""
    db.session.rollback()
    found = db.session.scalar(select(func.count(TradeDelivery.trade_id)))
    db.session.rollback()
    return bool(found)


def _delivering(cluster, package_id: int) -> Delivering:
    urls = cluster.urls()
    environment = {
        "APP_PROFILE": "test",
        "DATABASE_URL": urls.app,
        "DATABASE_OWNER_URL": urls.owner,
        "SECRET_KEY": SECRET,
    }
    return Delivering(package_id, environment)


def _wait_for_its_transaction(cluster) -> None:
    """What it had begun is taken back when the server notices."""
    with cluster.connect("registry") as connection:
        for _attempt in range(600):
            (others,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
                " AND datname = 'registry' AND pid <> pg_backend_pid()"
            ).fetchone()
            if not others:
                return
            connection.execute("SELECT pg_sleep(0.05)")
    pytest.fail("transactions of the killed program are still open")
