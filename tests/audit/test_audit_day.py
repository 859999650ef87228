"""The second book agrees with honest days and carries its totals from one to the next."""

from __future__ import annotations

from datetime import date, datetime, time
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select

from app.audit_command import is_signed
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, SettlementDifference, TradeDefault
from app.models.figures import bank_difference
from app.operations.applications import engine
from app.operations.ledger import settlement as day_end
from app.operations.money import banks, files, reserve
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import defaults, delivery, proceeds
from audit import seal, totals
from audit.day import NotAuditable, audit_day
from audit.trades import Deal, expected_legs
from config import ROOT
from tests.audit.conftest import OPENING
from tests.factories import give
from tests.markets import DAY, EVENING, MORNING, Market
from tests.operations.courts import freeze, sell

MONDAY = date(2026, 11, 23)
PRIVILEGES = ROOT / "app" / "migrations" / "sql" / "privileges.sql"


def test_an_honest_day_agrees_and_is_sealed(settled):
    report = settled.check()

    assert (report.agrees, report.findings.named) == (True, [])
    assert (report.trades, report.delivered, len(report.packages)) == (2, 2, 1)
    assert report.movements == 3 + 5  # with fees: one bank, and across banks
    opening, day = totals.sealed_days(settled.connection)
    assert (opening.day, opening.is_opening, day.day, day.is_opening) == (OPENING, True, DAY, False)
    assert (day.from_xid, day.previous) == (opening.to_xid, opening.digest)
    assert day.digest == report.digest


@pytest.mark.parametrize(
    ("at_second", "found"),
    [(4_000, []), (3_999, [("position_differs", "7999", "8000")])],
)
def test_what_two_venues_report_of_a_member_is_added_up(books, tables, at_second, found):
    """甲 sells 2,000 of its 10,000 tonnes at one venue and is said to hold the rest at another."""
    market, seller, buyer = books.market, books.seller, books.buyer
    second = Market(tables, beside=market)
    books.open()
    market.deal(seller, buyer, 2_000, "81.50")
    rows = [(seller.member_no, "CEA", 6_000, 0, 0, 0, 2_000, 4_000),
            (buyer.member_no, "CEA", 0, 0, 0, 2_000, 0, 2_000)]  # fmt: skip
    books.settle(content=market.package(POS=rows))
    held = [(seller.member_no, "CEA", at_second, 0, 0, 0, 0, at_second)]
    second.settle(books.maker, books.checker, content=second.package(POS=held))
    named = books.check().findings.named
    assert [(each.code, each.expected, each.found) for each in named] == found


@pytest.mark.parametrize("is_counted", [True, False])
def test_n103_a_day_with_a_sale_for_a_court_agrees(books, is_counted):
    """450 sold under the sale's number; 100 of the day itself, counted by the exchange or not yet."""
    market, seller = books.market, books.seller
    give(seller, market.cea, 1_000)
    served = "2026-11-18T09:00:00+08:00"
    with transaction():
        clock.set_to(datetime(2026, 11, 19, 10, tzinfo=BEIJING), SYSTEM)
    order = freeze(seller, books.maker, 600, market.cea, served=served)
    sale = sell(order, books.maker, 450, market.cea, proposal={"served_at": served})
    with transaction():
        clock.set_to(EVENING, SYSTEM)
    number = db.session.get_one(Application, sale).number
    books.open()
    sell(order, books.maker, 100, market.cea)
    market.deal(seller, books.buyer, 450, "80.00", cells={"sell_order_no": number})
    held = 10_100 if is_counted else 10_000
    rows = [(seller.member_no, "CEA", held + 450, 0, 0, 0, 450, held),
            (books.buyer.member_no, "CEA", 0, 0, 0, 450, 0, 450)]  # fmt: skip
    books.settle(content=market.package(POS=rows))
    assert db.session.scalars(select(SettlementDifference)).all() == []
    report = books.check()
    assert (report.agrees, report.findings.named, report.delivered) == (True, [], 1)


def test_the_sealed_totals_are_the_holdings(settled):
    settled.check()
    assert totals.as_sealed(settled.connection, DAY) == totals.holdings(settled.connection)
    assert totals.as_sealed(settled.connection, OPENING) != totals.holdings(settled.connection)


def test_again_it_says_the_same_and_seals_nothing(settled):
    first = settled.check()
    second = settled.check()

    assert not first.was_sealed_before
    assert second.was_sealed_before
    assert (second.agrees, second.digest) == (True, first.digest)
    assert len(totals.sealed_days(settled.connection)) == 2


def test_two_days_in_a_row_carry_the_totals(settled):
    """Proceeds are released and tonnes are rolled in between."""
    first = settled.check()
    settled.market.deals.clear()
    with transaction():
        proceeds.release(MONDAY, SYSTEM, now=MORNING)
    settled.market.deal(settled.buyer, settled.seller, 500, "79.00", at="2026-11-23T10:00:00+08:00")
    settled.settle(MONDAY)
    with transaction():
        day_end.settle_day(MONDAY, SYSTEM, now=datetime.combine(MONDAY, time(16), tzinfo=BEIJING))

    second = settled.check(None)

    assert (second.findings.named, second.day) == ([], MONDAY)
    assert second.trades == 1
    days = totals.sealed_days(settled.connection)
    assert [each.day for each in days] == [OPENING, DAY, MONDAY]
    assert days[2].previous == first.digest
    balances = totals.as_sealed(settled.connection, MONDAY)
    assert seal.digest_again(days[2], balances) == second.digest
    assert settled.check(DAY).agrees  # still, and of an earlier day
    rows = settled.connection.execute(
        "SELECT day, count(*) FROM audit_total GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows[2][1] < len(balances)  # what did not change is carried, not written again


def test_an_application_of_the_day_is_checked_by_its_lines(settled):
    settled.market.freeze(settled.buyer, "100.00", settled.maker, settled.checker)
    assert settled.check().findings.named == []


def test_a_day_without_an_opening_must_explain_everything(books):
    """Without taking totals over, tonnes that no issuance brought are a mint."""
    report = books.check()
    assert {"issued_differs", "business_unknown", "money_from_nowhere"} <= set(
        report.findings.counts
    )
    assert totals.sealed_days(books.connection) == []


def test_a_trade_that_lacks_money_is_no_difference(books):
    """The exchange signed that it lacks, and its figures are read without it."""
    poor = books.market.participant("丁", yuan="80000")
    books.open()
    books.market.deal(books.seller, poor, 1_000, "80.00")
    content = books.market.package()
    books.market.freeze(poor, "15000", books.maker, books.checker)
    books.settle(content=content)

    report = books.check()

    assert report.findings.named == []
    assert (report.trades, report.delivered) == (1, 0)


def test_a_default_that_is_made_good_on_the_next_day(books):
    poor = books.market.participant("丁", yuan="80000")
    books.open()
    books.market.deal(books.seller, poor, 1_000, "80.00")
    content = books.market.package()
    frozen = books.market.freeze(poor, "15000", books.maker, books.checker)
    package = books.settle(content=content)
    assert books.check().delivered == 0

    books.market.unfreeze(poor, "15000", frozen, books.maker, books.checker)
    with transaction():
        assert delivery.deliver_some(package, SYSTEM, now=MORNING).delivered == 1
    report = books.check(MONDAY)

    assert report.findings.named == []
    assert (report.trades, report.delivered) == (1, 1)


def test_a_buyer_that_the_reserve_paid_for(books):
    """R58: 丁 has its frozen 15,000.00, which the exchange takes as spent, and owes as much."""
    poor = books.market.participant("丁", yuan="80000")
    books.open()
    books.market.deal(books.seller, books.buyer, 100, "80.00", fees=("15000.00", "0.00"))
    books.market.deal(books.seller, poor, 1_000, "80.00")
    content = books.market.package()
    books.market.freeze(poor, "15000", books.maker, books.checker)
    package = books.settle(content=content)
    assert books.check().agrees

    default_id = db.session.scalars(select(TradeDefault.id)).one()
    for draft in (
        reserve.draft("ICBC", 15_000_00, str(uuid4()), reason="计提"),
        defaults.draft(default_id, str(uuid4()), reason="逾期未补足"),
    ):
        with transaction():
            (made,) = engine.start([draft], Actor.of(books.maker), now=MORNING)
            engine.submit([made], Actor.of(books.maker), now=MORNING).one()
        with transaction():
            engine.approve([made], Actor.of(books.checker), now=MORNING).one()
    with transaction():
        assert delivery.deliver_some(package, SYSTEM, now=MORNING).delivered == 1
    books.market.deals.clear()
    books.market.day = MONDAY
    funds = [
        (account.member_no, *(f"{fen / 100:.2f}" for fen in (fen, 0, 0, 0, 0, 0, fen)))
        for account, fen in (
            (books.seller, 88_000_00), (books.buyer, 977_000_00), (poor, 0),
        )
    ]  # fmt: skip
    books.settle(MONDAY, books.market.package(day=MONDAY, FUND=funds))
    report = books.check(MONDAY)

    assert report.findings.named == []
    assert db.session.scalars(select(SettlementDifference)).all() == []


def balance(books, **said: int) -> int:
    """Note what a bank says that it holds as the day ends."""
    with transaction():
        banks.note(books.market.bank("ICBC").id, DAY, "balance", EVENING, **said)
    return db.session.scalars(select(bank_difference.c.id)).first()


def test_a_day_whose_bank_differs_is_not_sealed(settled):
    """R63: 1,000,000.00 by our books and 0.01 less at the bank, until two officers resolved it."""
    event = balance(settled, ours=1_000_000_00, theirs=999_999_99)
    report = settled.check()
    (found,) = report.findings.named
    assert (found.code, found.key) == ("bank_balance_differs", f"ICBC {DAY}")
    assert (found.expected, found.found) == ("99999999", "100000000")
    assert not report.agrees

    draft = engine.Draft(
        "bank_difference", ISSUANCE_ACCOUNT_ID, (), str(uuid4()), reason="银行次日更正",
        proposal=files.proposal_for(event),
    )  # fmt: skip
    with transaction():
        (made,) = engine.start([draft], Actor.of(settled.maker), now=EVENING)
        engine.submit([made], Actor.of(settled.maker), now=EVENING).one()
    assert not settled.check().agrees
    with transaction():
        engine.approve([made], Actor.of(settled.checker), now=EVENING).one()
    assert settled.check().agrees


def test_a_bank_s_last_word_of_the_day_counts(settled):
    balance(settled, ours=100, theirs=99)
    balance(settled, ours=100, theirs=100)
    assert settled.check().agrees


def test_nothing_is_settled_yet(books):
    with pytest.raises(NotAuditable) as refused:
        books.check(None)
    assert refused.value.code == "no_day"


def test_days_are_sealed_in_their_order(settled):
    settled.check()
    with pytest.raises(NotAuditable) as refused:
        settled.check(date(2026, 11, 18))
    assert (refused.value.code, refused.value.day) == ("later_day_sealed", DAY)
    with pytest.raises(NotAuditable) as refused:
        settled.open()
    assert refused.value.code == "book_is_open"


def test_a_transaction_that_ends_late_is_of_the_next_day(settled, cluster):
    """What began before the horizon and was not seen is not passed over."""
    with psycopg.connect(cluster.url("registry_owner", "registry").replace("+psycopg", "")) as late:
        late.execute("INSERT INTO venue (code, name) VALUES ('LATE', '迟')")
        began = late.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]
        report = settled.check()
        late.rollback()
    (_opening, day) = totals.sealed_days(settled.connection)
    assert report.agrees
    assert day.to_xid <= began


def test_the_database_takes_no_day_that_does_not_follow(settled):
    settled.check()
    _opening, last = totals.sealed_days(settled.connection)
    for change in (
        {"day": DAY},
        {"day": MONDAY, "from_xid": last.to_xid - 1},
        {"day": MONDAY, "previous": b"x" * 32},
        {"day": MONDAY, "to_xid": last.to_xid + 10**9},
        {"day": MONDAY, "is_opening": True},
    ):
        row = {"day": MONDAY, "is_opening": False, "from_xid": last.to_xid,
               "to_xid": last.to_xid, "previous": last.digest} | change  # fmt: skip
        with pytest.raises(psycopg.errors.CheckViolation, match="does not follow"):
            settled.connection.execute(
                "INSERT INTO audit_day (day, is_opening, from_xid, to_xid, movements, changes,"
                " packages, previous, digest) VALUES (%(day)s, %(is_opening)s,"
                " %(from_xid)s::text::xid8, %(to_xid)s::text::xid8, 0, 0, '{}', %(previous)s,"
                " sha256('x'))",
                row,
            )
    with pytest.raises(psycopg.errors.CheckViolation, match="nothing is added"):
        settled.connection.execute("INSERT INTO audit_total VALUES (%s, 1, 1, 1, 5)", [DAY])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_total VALUES ('2026-11-20', 1, 1, 1, 5)",
        "INSERT INTO audit_day (day) VALUES ('2026-11-21')",
        "UPDATE audit_total SET balance = 0",
        "DELETE FROM audit_day",
    ],
)
def test_the_applications_role_only_reads_it(settled, cluster, statement):
    settled.check()
    address = cluster.url("registry_app", "registry").replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM audit_total").fetchone()[0] > 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_legs_are_read_from_the_rules_and_not_from_the_ledger():
    """成交 1,000 tonnes at 80.00, fees 8.00 and 4.00, by hand."""
    deal = Deal("D", EVENING, 10, 9, 5, 6, 1_000, 8_000, 8_000_000, 800, 400, 20, 20)
    assert expected_legs(deal) == {
        (9, 6, 5, 5, 5): 1_000,
        (20, 5, 1, 6, 13): 7_999_600,
        (20, 5, 1, 2, 1): 1_200,
    }
    across = Deal("D", EVENING, 10, 9, 5, 6, 1_000, 8_000, 8_000_000, 800, 400, 20, 21)
    assert expected_legs(across) == {
        (9, 6, 5, 5, 5): 1_000,
        (20, 5, 1, 1, 12): 8_000_000,
        (20, 5, 1, 2, 1): 800,
        (21, 1, 12, 6, 13): 7_999_600,
        (21, 1, 12, 2, 1): 400,
    }


def test_the_session_is_left_as_it_was(settled):
    settled.check()
    assert settled.connection.isolation_level is None
    assert db.session.scalar(db.text("SELECT count(*) FROM audit_day")) == 2


@pytest.fixture
def audit_role(cluster):
    """The second book's own role, with what `flask init` grants it."""
    granted = PRIVILEGES.read_text(encoding="utf-8").partition("-- The second book")[2]
    with cluster.connect("registry") as superuser:
        superuser.execute("CREATE ROLE registry_audit NOLOGIN")
        superuser.execute(granted[granted.index("DO $$") :])
        yield "registry_audit"
        superuser.execute("DROP OWNED BY registry_audit")
        superuser.execute("DROP ROLE registry_audit")


def test_a_role_of_its_own_checks_and_seals_and_does_no_more(settled, audit_role):
    settled.superuser.execute("SET session_replication_role = origin")
    settled.superuser.execute(f"SET ROLE {audit_role}")
    report = audit_day(settled.superuser, DAY, is_signed)
    assert report.agrees
    for statement in (
        "INSERT INTO audit_day (day, recorded_xid) VALUES ('2026-11-21', '5')",
        "INSERT INTO posting (business, stage, request_key) VALUES ('x', 'approval', 'x')",
        "DELETE FROM audit_total",
        "SELECT phone FROM ab_user",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            settled.superuser.execute(statement)
    settled.superuser.execute("RESET ROLE")
