"""违约 (R58): a notice with its deadline, the cover out of the reserve, and what is owed to it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import InsufficientQuantity, RuleError
from app.domain.moves import FEES_ACCOUNT_ID, RESERVE_ACCOUNT_ID, Bucket, Move, Pocket
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    Holding,
    Instrument,
    OutboxMessage,
    Receivable,
    SettlementDifference,
    TradeDefault,
)
from app.models.figures import open_receivable
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.money import banks, reserve
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import defaults, delivery, reconciliation
from tests import factories
from tests.markets import EVENING, MORNING, Market
from tests.operations import courts

OVERDUE = MORNING  # the notice's time ends as the next trading day opens


def pay_receivables(account: Account) -> int:
    """Pay what an account owes out of what it has, as a deposit does."""
    with transaction():
        return db.session.scalar(
            text("SELECT pay_receivables(:account, :at)"), {"account": account.id, "at": OVERDUE}
        )


def submit(draft: engine.Draft, maker, *, now=OVERDUE) -> int:
    with transaction():
        (application_id,) = engine.start([draft], Actor.of(maker), now=now)
        engine.submit([application_id], Actor.of(maker), now=now).one()
    return application_id


def approve(application_id: int, checker, *, now=OVERDUE) -> None:
    with transaction():
        engine.approve([application_id], Actor.of(checker), now=now).one()


def provide(yuan: int, maker, checker) -> None:
    """计提 so many yuan at 工商银行."""
    draft = reserve.draft("ICBC", yuan * 100, str(uuid4()), reason="计提风险准备金")
    approve(submit(draft, maker), checker)


def cover(default_id: int, maker, checker) -> int:
    found = submit(defaults.draft(default_id, str(uuid4()), reason="逾期未补足"), maker)
    approve(found, checker)
    return found


def of_reserve(account_id: int, market: Market) -> int:
    holding = db.session.get(
        Holding, (account_id, market.bank("ICBC").instrument_id), populate_existing=True
    )
    return holding.available if holding else 0


def owed(account: Account) -> int:
    mine = open_receivable.c.account_id == account.id
    return db.session.scalar(select(open_receivable.c.owed).where(mine)) or 0


@pytest.fixture
def poor(market, maker, checker) -> Account:
    """乙 lacks 15,000.00 for 1,000 tonnes; 40,000.00 of fees came in beside it."""
    seller = market.participant("甲发电有限公司", tonnes=2_000)
    poor = market.participant("乙水泥有限公司", yuan="80000")
    factories.member(of=poor, email="rep@plant.example")
    rich = market.participant("丙钢铁有限公司", yuan="120000")
    market.deal(seller, poor, 1_000, "80.00")
    market.deal(seller, rich, 1_000, "80.00", fees=("40000.00", "0.00"))
    content = market.package()
    market.freeze(poor, "15000", maker, checker)
    market.settle(maker, checker, content=content)
    return poor


@pytest.fixture
def default_id(poor) -> int:
    return db.session.scalars(select(TradeDefault.id)).one()


def test_a_default_is_a_notice_with_a_deadline(market, poor, default_id):
    """R58: the buyer is short of 15,000.00 and is written to, once."""
    default = db.session.get_one(TradeDefault, default_id)
    assert (default.account_id, default.missing_fen, default.due_at) == (
        poor.id, 15_000_00, MORNING,
    )  # fmt: skip
    mine = select(OutboxMessage).where(OutboxMessage.purpose == "trade_default")
    (message,) = db.session.scalars(mine)
    assert "15,000.00" in message.body
    assert f"{MORNING:%Y-%m-%d %H:%M}" in message.body
    with transaction():
        package_id = db.session.scalar(text("SELECT id FROM day_package"))
        delivery.ask_again(package_id, SYSTEM, now=EVENING)
        delivery.deliver_some(package_id, SYSTEM, now=EVENING)
    assert len(db.session.scalars(mine).all()) == 1


def test_the_reserve_covers_what_was_not_paid_and_is_owed_it(
    market, poor, default_id, maker, checker
):
    """R58: the reserve pays 15,000.00, the trade is delivered, a receivable of 15,000.00 remains."""
    provide(20_000, maker, checker)
    assert of_reserve(FEES_ACCOUNT_ID, market) == 20_000_00
    before = banks.owed_by(market.bank("ICBC").id)
    cover(default_id, maker, checker)
    (package_id,) = delivery.waiting()
    with transaction():
        assert delivery.deliver_some(package_id, SYSTEM, now=OVERDUE).delivered == 1
    assert market.tonnes(poor) == 1_000
    assert (market.money(poor), of_reserve(RESERVE_ACCOUNT_ID, market)) == ((0, 0), 5_000_00)
    assert owed(poor) == 15_000_00
    assert db.session.get_one(Account, poor.id).is_restricted
    assert banks.owed_by(market.bank("ICBC").id) == before  # Nothing left the bank.

    # What comes in goes to the reserve first.
    market.pay_in(poor, "9000.00")
    assert pay_receivables(poor) == 9_000_00
    market.pay_in(poor, "7000.00")
    assert pay_receivables(poor) == 6_000_00
    assert (owed(poor), market.money(poor)) == (0, (1_000_00, 0))
    assert of_reserve(RESERVE_ACCOUNT_ID, market) == 20_000_00
    assert banks.owed_by(market.bank("ICBC").id) == before + 16_000_00
    assert verify_ledger().is_sound


def test_nothing_that_was_lent_goes_back_before_the_trade_is_delivered(
    market, poor, default_id, maker, checker
):
    provide(20_000, maker, checker)
    cover(default_id, maker, checker)
    assert pay_receivables(poor) == 0
    assert market.money(poor) == (80_000_00, 0)


def test_the_exchange_differs_by_nothing_because_of_a_cover(
    market, poor, default_id, maker, checker
):
    """乙 has its frozen 15,000.00 still, and owes as much; the exchange takes both as spent."""
    provide(20_000, maker, checker)
    cover(default_id, maker, checker)
    (package_id,) = delivery.waiting()
    with transaction():
        delivery.deliver_some(package_id, SYSTEM, now=OVERDUE)
    with transaction():
        package = db.session.get_one(delivery.DayPackage, package_id)
        reconciliation.reconcile(package, SYSTEM, now=OVERDUE)
    assert db.session.scalars(select(SettlementDifference)).all() == []


def test_a_buyer_has_until_the_deadline(market, poor, default_id, maker, checker):
    provide(20_000, maker, checker)
    draft = defaults.draft(default_id, str(uuid4()), reason="逾期未补足")
    with pytest.raises(RuleError) as refused:
        submit(draft, maker, now=OVERDUE - timedelta(seconds=1))
    assert refused.value.code == "default_not_due"
    assert "乙水泥有限公司" in str(refused.value)
    assert f"{MORNING:%Y-%m-%d %H:%M}" in str(refused.value)


def test_a_cover_is_exactly_what_is_missing(market, poor, default_id, maker, checker):
    """Who pays 5,000.00 in meanwhile lacks 10,000.00, and no more is lent to it."""
    provide(20_000, maker, checker)
    waiting = submit(defaults.draft(default_id, str(uuid4()), reason="逾期未补足"), maker)
    market.pay_in(poor, "5000.00")
    with pytest.raises(RuleError) as refused:
        approve(waiting, checker)
    assert refused.value.code == "default_changed"
    assert {"10,000.00", "15,000.00"} <= set(str(refused.value).replace("元", " ").split())
    market.pay_in(poor, "10000.00")
    with pytest.raises(RuleError) as refused:
        defaults.draft(default_id, str(uuid4()))
    assert refused.value.code == "nothing_missing"
    with pytest.raises(RuleError) as refused:
        approve(waiting, checker)
    assert refused.value.code == "default_not_open"


def test_nothing_is_lent_where_a_court_waits_for_it(market, poor, default_id, maker, checker):
    """A freeze of 90,000.00 holds the 65,000.00 that 乙 has free, and would take what the reserve paid."""
    provide(40_000, maker, checker)
    money = db.session.get_one(Instrument, market.money_of(poor))
    courts.freeze(poor, maker, 90_000_00, money)
    draft = defaults.draft(default_id, str(uuid4()), reason="逾期未补足")
    assert draft.lines[0].quantity == 80_000_00
    with pytest.raises(RuleError) as refused:
        submit(draft, maker)
    assert refused.value.code == "court_waits_for_money"
    assert "乙水泥有限公司" in str(refused.value)


def test_a_seller_s_default_is_not_paid_for(market, maker, checker):
    seller = market.participant("甲", tonnes=1_000)
    buyer = market.participant("乙", yuan="80000")
    market.deal(seller, buyer, 1_000, "80.00")
    content = market.package()
    trading, available = (
        Pocket(seller.id, market.cea.id, each) for each in (Bucket.TRADING, Bucket.AVAILABLE)
    )
    market.post("home", Move(trading, available, 1))
    market.settle(maker, checker, content=content)
    default_id = db.session.scalars(select(TradeDefault.id)).one()
    with pytest.raises(RuleError) as refused:
        defaults.draft(default_id, str(uuid4()))
    assert refused.value.code == "nothing_missing"


def test_one_cover_at_a_time(market, poor, default_id, maker, checker):
    provide(40_000, maker, checker)
    first = defaults.draft(default_id, str(uuid4()), reason="逾期未补足")
    submit(first, maker)
    with pytest.raises(RuleError) as refused:
        submit(defaults.draft(default_id, str(uuid4()), reason="再次"), maker)
    assert refused.value.code == "under_review_already"


def test_the_reserve_pays_no_more_than_it_has(market, poor, default_id, maker, checker):
    provide(14_999, maker, checker)
    with pytest.raises(InsufficientQuantity) as refused:
        cover(default_id, maker, checker)
    assert {"15,000.00", "14,999.00"} <= set(str(refused.value).replace("元", " ").split())
    with pytest.raises(InsufficientQuantity):
        provide(25_002, maker, checker)  # 25,001.00 of fees are left.


@pytest.mark.parametrize("giver", ["poor", "reserve"])
def test_only_fees_become_the_reserve(market, poor, maker, giver):
    draft = reserve.draft("ICBC", 1_00, str(uuid4()), reason="计提")
    other = {"poor": poor.id, "reserve": RESERVE_ACCOUNT_ID}[giver]
    changed = engine.Draft(
        kind=draft.kind, account_id=other, lines=draft.lines, request_key=draft.request_key,
        reason="计提", proposal=draft.proposal,
    )  # fmt: skip
    with pytest.raises(RuleError) as refused:
        submit(changed, maker)
    assert refused.value.code == "not_to_the_reserve"


def test_the_database_notes_no_cover_that_two_did_not_approve(
    market, poor, default_id, maker, checker
):
    provide(20_000, maker, checker)
    waiting = submit(defaults.draft(default_id, str(uuid4()), reason="逾期未补足"), maker)
    with pytest.raises(DBAPIError, match="not as two officers approved it"), transaction():
        db.session.execute(
            text("SELECT cover_defaults(ARRAY[:id]::bigint[], :at)"), {"id": waiting, "at": OVERDUE}
        )
    assert db.session.scalar(select(func.count(Receivable.id))) == 0
    assert db.session.get_one(Application, waiting).status == "in_review"


def test_a_bank_that_is_none_is_refused(app):
    with pytest.raises(RuleError) as refused:
        reserve.draft("NOBANK", 1, str(uuid4()))
    assert (refused.value.code, refused.value.field) == ("bank_unknown", "bank")
