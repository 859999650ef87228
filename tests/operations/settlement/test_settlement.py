"""A day's trades: package, 初审, confirmation, 复审, delivery against payment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import FEES_ACCOUNT_ID, ISSUANCE_ACCOUNT_ID, Bucket
from app.extensions import db, transaction
from app.models import (
    Application,
    DailyQuote,
    DayPackage,
    Holding,
    Movement,
    Posting,
    SettlementDifference,
    SettlementStage,
    Trade,
    TradeDefault,
    TradeDelivery,
)
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages, proceeds, reconciliation
from app.operations.settlement.clearing import result_of
from app.pki.canonical import canonical
from tests import factories
from tests.markets import DAY, EVENING, MORNING, Market, VenueKey


def receive(market: Market, content: bytes | None = None) -> int:
    with transaction():
        return packages.receive(content or market.package(), SYSTEM, now=EVENING).id


def propose(package_id: int, maker) -> int:
    """初审: clear and submit."""
    with transaction():
        settlement = clearing.propose(package_id, Actor.of(maker), now=EVENING)
    with transaction():
        engine.submit([settlement], Actor.of(maker), now=EVENING).one()
    return settlement


def confirm(market: Market, settlement: int) -> None:
    proposal = db.session.get_one(Application, settlement).proposal
    with transaction():
        signature = market.key.signature(canonical(result_of(proposal)))
        clearing.confirm(settlement, signature, now=EVENING, venue_id=market.venue_id)


def approve(settlement: int, checker) -> None:
    with transaction():
        engine.approve([settlement], Actor.of(checker), now=EVENING).one()


def deliver(package_id: int) -> tuple[int, int]:
    """Deliver to the end; return how many trades were delivered and how many were short."""
    done = short = after = 0
    while True:
        with transaction():
            step = delivery.deliver_some(package_id, SYSTEM, now=EVENING, after=after)
        done, short, after = done + step.delivered, short + step.short, step.after
        if step.is_over:
            return done, short


def settle(market: Market, maker, checker, content: bytes | None = None) -> int:
    package_id = receive(market, content)
    settlement = propose(package_id, maker)
    confirm(market, settlement)
    approve(settlement, checker)
    deliver(package_id)
    return package_id


def test_tonnes_go_one_way_and_money_the_other(market, maker, checker):
    """R50: 10,000 tonnes at 81.50 are 815,000.00."""
    seller = market.participant("甲发电有限公司", tonnes=10_000)
    buyer = market.participant("乙钢铁有限公司", yuan="1000000.00")
    market.deal(seller, buyer, 10_000, "81.50")

    settle(market, maker, checker)

    assert (market.tonnes(seller), market.tonnes(buyer)) == (0, 10_000)
    assert market.money(seller) == (0, 815_000_00)  # usable, withdrawable from the next opening
    assert market.money(buyer) == (185_000_00, 0)
    assert verify_ledger().is_sound


def test_each_trade_is_one_posting_of_both_legs_and_nothing_is_netted(market, maker, checker):
    """R51."""
    a, b, c = (
        market.participant("甲", tonnes=5_000, yuan="500000"),
        market.participant("乙", tonnes=5_000),
        market.participant("丙", yuan="500000"),
    )
    market.deal(b, a, 5_000, "80.00")
    market.deal(a, c, 5_000, "82.00")

    settle(market, maker, checker)

    postings = db.session.scalars(select(Posting).where(Posting.business == "trade")).all()
    moved = db.session.execute(
        select(Movement.posting_id, func.count()).where(
            Movement.posting_id.in_([posting.id for posting in postings])
        ).group_by(Movement.posting_id)
    ).all()  # fmt: skip
    assert [posting.document for posting in postings] == ["D000001", "D000002"]
    assert [count for _id, count in moved] == [2, 2]
    assert [market.tonnes(each) for each in (a, b, c)] == [5_000, 0, 5_000]
    assert market.money(a) == (100_000_00, 410_000_00)


def test_the_seller_gets_its_money_at_its_own_bank(market, maker, checker):
    seller = market.participant("甲", tonnes=100, bank="CCB")
    buyer = market.participant("乙", yuan="10000", bank="ICBC")
    market.deal(seller, buyer, 100, "80.00", fees=("8.00", "4.00"))
    before = _at_banks(market)

    settle(market, maker, checker)

    assert market.money(seller) == (0, 7_996_00)
    assert market.money(buyer) == (1_992_00, 0)
    fees = {
        code: db.session.get(Holding, (FEES_ACCOUNT_ID, bank.instrument_id)).available
        for code, bank in market.banks.items()
    }
    assert fees == {"CCB": 4_00, "ICBC": 8_00}
    after = _at_banks(market)
    assert before == {"CCB": 0, "ICBC": 10_000_00}
    assert after == {"CCB": 8_000_00, "ICBC": 2_000_00}
    assert verify_ledger().is_sound


def _at_banks(market: Market) -> dict[str, int]:
    """What each bank holds for all, in fen."""
    found = {}
    for code, bank in market.banks.items():
        row = db.session.get(
            Holding, (ISSUANCE_ACCOUNT_ID, bank.instrument_id), populate_existing=True
        )
        found[code] = -row.issued if row else 0
    return found


def test_proceeds_are_usable_at_once_and_withdrawable_from_the_next_opening(market, maker, checker):
    """N144: 20,000.00 and a sale of 100,000.00."""
    seller = market.participant("甲", tonnes=1_250, yuan="20000")
    buyer = market.participant("乙", yuan="100000")
    market.deal(seller, buyer, 1_250, "80.00")
    settle(market, maker, checker)
    assert market.money(seller) == (20_000_00, 100_000_00)

    with pytest.raises(RuleError) as refused, transaction():
        proceeds.release(MORNING.date(), SYSTEM, now=EVENING)
    assert refused.value.code == "not_open_yet"
    with transaction():
        released = proceeds.release(MORNING.date(), SYSTEM, now=MORNING)
    assert (released.holdings, released.amount) == (1, 100_000_00)
    assert market.money(seller) == (120_000_00, 0)
    with transaction():
        assert proceeds.release(MORNING.date(), SYSTEM, now=MORNING) is None
    assert verify_ledger().is_sound


def test_nothing_moves_before_the_exchange_confirmed_and_a_second_officer_approved(
    market, maker, checker
):
    """R53, R57."""
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    package_id = receive(market)
    settlement = propose(package_id, maker)

    with pytest.raises(RuleError) as refused, transaction():
        engine.approve([settlement], Actor.of(checker), now=EVENING).one()
    assert refused.value.code == "result_unconfirmed"
    with pytest.raises(RuleError) as refused, transaction():
        delivery.deliver_some(package_id, SYSTEM, now=EVENING)
    assert refused.value.code == "settlement_not_approved"

    confirm(market, settlement)
    with pytest.raises(NotAllowed) as own, transaction():
        engine.approve([settlement], Actor.of(maker), now=EVENING).one()
    assert own.value.code == "own_application"
    assert (market.tonnes(seller), market.money(buyer)) == (100, (8_000_00, 0))

    approve(settlement, checker)
    assert deliver(package_id) == (1, 0)
    assert deliver(package_id) == (0, 0)  # once more does nothing
    assert market.tonnes(buyer) == 100


def test_the_database_delivers_nothing_that_nobody_approved(market, maker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    package_id = receive(market)
    propose(package_id, maker)
    trade = db.session.scalar(select(Trade.id))

    with pytest.raises(DBAPIError, match="approved and confirmed"), transaction():
        db.session.execute(
            text("SELECT deliver_trades(ARRAY[:id]::bigint[], ARRAY[0]::bigint[], now(), NULL)"),
            {"id": trade},
        )
    with pytest.raises(DBAPIError, match="permission denied"), transaction():
        db.session.execute(
            text("INSERT INTO trade_delivery VALUES (:id, 1, 0, now())"), {"id": trade}
        )
    assert market.tonnes(seller) == 100


def test_no_posting_calls_itself_a_trade(market):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    with pytest.raises(DBAPIError, match="delivers no trade"), transaction():
        db.session.execute(
            text("""
                WITH p AS (INSERT INTO posting (business, stage, request_key, leads)
                           VALUES ('trade', 'settlement', 'trade:1', true) RETURNING id)
                INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account,
                                      from_bucket, to_account, to_bucket)
                SELECT id, now(), :cea, 100, :seller, 5, :buyer, 5 FROM p
            """),
            {"cea": market.cea.id, "seller": seller.id, "buyer": buyer.id},
        )
    assert market.tonnes(seller) == 100


def test_a_trade_that_is_not_covered_moves_nothing_and_is_named(market, maker, checker):
    """R58: the buyer lacks 15,000.00; the trades beside it are delivered."""
    seller = market.participant("甲", tonnes=2_000)
    poor = market.participant("乙", yuan="80000")
    rich = market.participant("丙", yuan="80000")
    market.deal(seller, poor, 1_000, "80.00")
    market.deal(seller, rich, 1_000, "80.00")
    content = market.package()
    frozen = market.freeze(poor, "15000", maker, checker)

    package_id = settle(market, maker, checker, content)

    assert [market.tonnes(each) for each in (seller, poor, rich)] == [1_000, 0, 1_000]
    assert market.money(poor) == (65_000_00, 0)
    # A court froze money of 乙, which it still has: registry and exchange differ about nobody.
    assert db.session.scalars(select(SettlementDifference)).all() == []
    default = db.session.scalars(select(TradeDefault)).one()
    assert (default.account_id, default.missing_fen) == (poor.id, 15_000_00)
    assert default.due_at == MORNING

    market.unfreeze(poor, "15000", frozen, maker, checker)
    assert deliver(package_id) == (1, 0)
    assert [market.tonnes(each) for each in (seller, poor)] == [0, 1_000]
    assert market.money(poor) == (0, 0)
    assert verify_ledger().is_sound


def test_the_result_names_what_is_short_and_the_exchange_signs_it(market, maker, checker):
    seller = market.participant("甲", tonnes=1_000)
    poor = market.participant("乙", yuan="80000")
    market.deal(seller, poor, 1_000, "80.00")
    content = market.package()
    market.freeze(poor, "15000", maker, checker)
    settlement = propose(receive(market, content), maker)
    proposal = db.session.get_one(Application, settlement).proposal
    assert (proposal["trades"], proposal["covered"], proposal["short"]) == (1, 0, 1)
    assert proposal["shortfalls"] == [
        {"deal_no": "D000001", "member_no": poor.member_no, "tonnes": 0, "fen": 15_000_00}
    ]
    by_a_stranger = VenueKey().signature(canonical(result_of(proposal)))
    over_another = market.key.signature(canonical(result_of(proposal) | {"covered": 1}))
    for signature in (by_a_stranger, over_another, b""):
        with pytest.raises(RuleError) as refused, transaction():
            clearing.confirm(settlement, signature, now=EVENING)
        assert refused.value.code == "signature_refused"


def test_a_day_of_many_trades_is_resumed_wherever_it_stopped(market, maker, checker, monkeypatch):
    monkeypatch.setattr(delivery, "AT_ONCE", 7)
    seller = market.participant("甲", tonnes=500)
    buyer = market.participant("乙", yuan="100000")
    for _number in range(50):
        market.deal(seller, buyer, 10, "80.00")
    package_id = receive(market)
    settlement = propose(package_id, maker)
    confirm(market, settlement)
    approve(settlement, checker)
    with transaction():
        step = delivery.deliver_some(package_id, SYSTEM, now=EVENING)
    assert (step.delivered, step.is_over) == (7, False)
    assert delivery.waiting() == [package_id]
    delivery.deliver_some(package_id, SYSTEM, now=EVENING, after=step.after)
    db.session.rollback()  # ended in the middle
    assert deliver(package_id) == (43, 0)
    assert db.session.scalar(select(func.count(TradeDelivery.trade_id))) == 50
    assert delivery.waiting() == []
    assert market.tonnes(buyer) == 500
    assert market.money(buyer) == (60_000_00, 0)
    assert verify_ledger().is_sound


def test_the_day_is_quoted(market, maker, checker):
    """R60, R61, N148: the total is listed, block and auction together."""
    seller = market.participant("甲", tonnes=400_000)
    buyer = market.participant("乙", yuan="40000000")
    for quantity, price in ((1_000, "80.00"), (2_000, "81.50"), (333, "82.07")):
        market.deal(seller, buyer, quantity, price)
    market.deal(seller, buyer, 100_000, "70.00", method=20)
    market.deal(seller, buyer, 200_000, "75.00", method=21)
    settle(market, maker, checker)

    quote = db.session.scalars(select(DailyQuote)).one()
    assert (quote.day, quote.close, quote.high, quote.low) == (DAY, 8111, 8207, 7000)
    assert (quote.listed_quantity, quote.block_quantity, quote.auction_quantity) == (
        3_333, 100_000, 200_000,
    )  # fmt: skip
    assert quote.listed_amount == 80_000_00 + 163_000_00 + 333 * 8207


def test_every_stage_is_noted(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    settle(market, maker, checker)
    stages = db.session.scalars(select(SettlementStage.stage).order_by(SettlementStage.id)).all()
    assert stages == ["delivered", "reconciled"]


def test_what_a_package_brought_stays_as_it_is(market):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    receive(market)
    row = db.session.execute(select(Trade)).scalar_one()
    for statement in (
        "UPDATE trade SET quantity = 200, amount = price * 200",
        "DELETE FROM trade",
        "UPDATE day_package SET digest = ''",
    ):
        with pytest.raises(DBAPIError), transaction():
            db.session.execute(text(statement))
    with pytest.raises(DBAPIError, match="nothing is added"), transaction():
        db.session.execute(
            text("""
                INSERT INTO trade (package_id, deal_no, dealt_at, method, instrument_id, buyer_id,
                  seller_id, quantity, price, amount, buy_fee, sell_fee, buyer_money_id, seller_money_id)
                SELECT package_id, 'X', dealt_at, method, instrument_id, buyer_id, seller_id, quantity,
                       price, amount, 0, 0, buyer_money_id, seller_money_id FROM trade
            """)
        )
    assert row.quantity == 100


def test_buckets_of_money_hold_no_tonnes(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    settle(market, maker, checker)
    held = db.session.execute(
        select(Holding.proceeds).where(Holding.instrument_id == market.cea.id)
    ).scalars()
    assert set(held) == {0}
    assert db.session.scalar(select(func.count()).where(Holding.proceeds > 0)) == 1
    assert Bucket.PROCEEDS.column == "proceeds"


def test_the_package_is_kept_as_it_came(market):
    content = market.package()
    receive(market, content)
    package = db.session.scalars(select(DayPackage)).one()
    assert package.file == content
    assert package.certificate == market.key.certificate


def test_where_registry_and_exchange_agree_nothing_is_noted(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    settle(market, maker, checker)
    assert db.session.scalars(select(SettlementDifference)).all() == []


def test_a_difference_bars_its_account_until_two_officers_resolved_it(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    other = market.participant("丙", tonnes=50)
    market.deal(seller, buyer, 100, "80.00")
    rows = [row if row[0] != other.member_no else (*row[:2], 40, 0, 0, 0, 0, 40)
            for row in market.positions()]  # fmt: skip
    settle(market, maker, checker, market.package(POS=rows))

    difference = db.session.scalars(select(SettlementDifference)).one()
    assert (difference.account_id, difference.ours, difference.theirs) == (other.id, 50, 40)
    operator = factories.member(of=other)
    factories.give(other, market.cea, 10)
    leaving = factories.draft("voluntary_cancellation", operator, {market.cea: 1}, reason="自愿")
    with pytest.raises(NotAllowed) as barred, transaction():
        engine.submit([leaving], Actor.of(operator), now=EVENING).one()
    assert barred.value.code == "unreconciled"

    resolve(difference, maker, checker)
    with transaction():
        engine.submit([leaving], Actor.of(operator), now=EVENING).one()


def resolve(difference, maker, checker) -> None:
    """差异处理 by two officers."""
    content = engine.Draft(
        kind="difference_resolution",
        account_id=difference.account_id,
        lines=(),
        request_key="resolve-the-difference",
        reason="交易机构更正了持仓",
        proposal=reconciliation.proposal_for(difference),
    )
    with transaction():
        (application_id,) = engine.start([content], Actor.of(maker), now=EVENING)
        engine.submit([application_id], Actor.of(maker), now=EVENING).one()
    with pytest.raises(NotAllowed), transaction():
        engine.approve([application_id], Actor.of(maker), now=EVENING).one()
    with transaction():
        engine.approve([application_id], Actor.of(checker), now=EVENING).one()
    again = replace(content, request_key="resolve-it-again")
    with transaction():
        (once_more,) = engine.start([again], Actor.of(maker), now=EVENING)
        outcome = engine.submit([once_more], Actor.of(maker), now=EVENING)
    assert [error.code for _case, error in outcome.refused] == ["difference_not_open"]


@pytest.mark.parametrize(
    ("moment", "refusal"),
    [
        (MORNING - timedelta(seconds=1), None),
        (MORNING, "objection_too_late"),
    ],
)
def test_a_statement_is_objected_to_before_the_next_opening(
    market, maker, checker, moment, refusal
):
    """R56: until Monday 09:29:59, not at 09:30:00."""
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    package_id = settle(market, maker, checker)
    operator = factories.member(of=buyer)
    objection = factories.draft(
        "settlement_objection", operator, {}, reason="成交价有误", proposal={"package": package_id}
    )
    with transaction():
        outcome = engine.submit([objection], Actor.of(operator), now=moment)
    assert [error.code for _case, error in outcome.refused] == ([refusal] if refusal else [])


def test_who_did_not_trade_has_nothing_to_object_to(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    other = market.participant("丙")
    market.deal(seller, buyer, 100, "80.00")
    package_id = settle(market, maker, checker)
    operator = factories.member(of=other)
    objection = factories.draft(
        "settlement_objection", operator, {}, reason="有误", proposal={"package": package_id}
    )
    with pytest.raises(RuleError) as refused, transaction():
        engine.submit([objection], Actor.of(operator), now=EVENING).one()
    assert refused.value.code == "no_trades_of_theirs"


def test_what_is_in_transit_follows_the_trades(market, maker, checker):
    """domain.md 6.4: trades first, so that units on their way are not sold on the day."""
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    with pytest.raises(RuleError) as refused, transaction():
        settlement.settle_day(DAY, SYSTEM, now=EVENING)
    assert refused.value.code == "trades_unsettled"
    assert market.venue.name in str(refused.value)
    settle(market, maker, checker)
    with transaction():
        assert not settlement.settle_day(DAY, SYSTEM, now=EVENING).was_settled_before


def test_a_delivery_is_asked_for_once_more(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    poor = market.participant("乙", yuan="8000")
    market.deal(seller, poor, 100, "80.00")
    content = market.package()
    frozen = market.freeze(poor, "1", maker, checker)
    package_id = settle(market, maker, checker, content)
    assert delivery.waiting() == []
    market.unfreeze(poor, "1", frozen, maker, checker)
    with transaction():
        delivery.ask_again(package_id, Actor.of(maker), now=EVENING)
    assert delivery.waiting() == [package_id]
    assert deliver(package_id) == (1, 0)
    assert delivery.waiting() == []
    with pytest.raises(RuleError) as refused, transaction():
        delivery.ask_again(package_id, Actor.of(maker), now=EVENING)
    assert refused.value.code == "all_delivered"


def test_a_day_settled_late_is_objected_to_until_the_opening_after_it(market, maker, checker):
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="8000")
    market.deal(seller, buyer, 100, "80.00")
    late = MORNING + timedelta(minutes=30)
    with transaction():
        clock.set_to(late, SYSTEM)
    package_id = market.settle(maker, checker, now=late)
    operator = factories.member(of=buyer)
    for at, refusals in (
        (MORNING + timedelta(days=1, seconds=-1), []),
        (MORNING + timedelta(days=1), ["objection_too_late"]),
    ):
        about = {"package": package_id}
        objection = factories.draft(
            "settlement_objection", operator, {}, reason="成交价有误", proposal=about
        )
        with transaction():
            outcome = engine.submit([objection], Actor.of(operator), now=at)
        assert [error.code for _case, error in outcome.refused] == refusals
