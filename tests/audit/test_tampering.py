"""Each manipulation by a superuser, past all triggers, is found and named; the day is not sealed."""

from __future__ import annotations

import io
import zipfile
from uuid import uuid4

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import SettlementDifference
from app.operations.applications import engine
from app.operations.records.actor import Actor
from app.operations.settlement import reconciliation
from audit import totals
from audit.findings import Finding
from tests import factories
from tests.audit.conftest import Books
from tests.markets import DAY, EVENING, VenueKey


def refused(books: Books, *codes: str) -> list[Finding]:
    """Check the day; it is refused with these codes among its findings, and not sealed."""
    before = totals.sealed_days(books.connection)
    report = books.check()
    assert not report.agrees
    assert set(codes) <= set(report.findings.counts), report.findings.named
    assert totals.sealed_days(books.connection) == before
    return [each for each in report.findings.named if each.code in codes]


def key(settled: Books, number: int, column: str = "") -> str:
    return f"{settled.market.venue_code} {DAY} D{number:06d} {column}".strip()


# Trades -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "expected", "found"),
    [
        ("quantity", "2000", "2001"),
        ("price", "8150", "8151"),
        ("amount", "16300000", "16300001"),
        ("buy_fee", "1000", "1001"),
        ("sell_fee", "500", "501"),
        ("method", "10", "11"),
    ],
)
def test_a_figure_of_a_trade(settled, column, expected, found):
    settled.superuser.execute("ALTER TABLE trade DISABLE TRIGGER ALL")
    for check in ("amount_is_price_times_quantity", "method_known"):
        settled.superuser.execute(f"ALTER TABLE trade DROP CONSTRAINT {check}")
    try:
        settled.tamper(f"UPDATE trade SET {column} = {column} + 1 WHERE deal_no = 'D000001'")
        named = refused(settled, "trade_differs")
    finally:
        settled.superuser.execute(
            f"UPDATE trade SET {column} = {column} - 1 WHERE deal_no = 'D000001';"
            " ALTER TABLE trade ENABLE TRIGGER ALL,"
            " ADD CONSTRAINT method_known CHECK (method IN (10, 20, 21)),"
            " ADD CONSTRAINT amount_is_price_times_quantity"
            " CHECK (amount::numeric = price::numeric * quantity)"
        )
    assert named == [Finding("trade_differs", key(settled, 1, column), expected, found)]


def test_swapped_parties_of_a_trade(settled):
    seller, buyer = settled.seller.member_no, settled.buyer.member_no
    settled.tamper(
        "UPDATE trade SET buyer_id = seller_id, seller_id = buyer_id WHERE deal_no = 'D000001'"
    )
    assert refused(settled, "trade_differs") == [
        Finding("trade_differs", key(settled, 1, "buyer"), buyer, seller),
        Finding("trade_differs", key(settled, 1, "seller"), seller, buyer),
    ]


def test_another_bank_of_a_trade(settled):
    settled.tamper("UPDATE trade SET seller_money_id = buyer_money_id WHERE deal_no = 'D000002'")
    assert refused(settled, "trade_differs") == [
        Finding("trade_differs", key(settled, 2, "seller_bank"), "CNY-ICBC", "CNY-CCB")
    ]


def test_swapped_parties_of_a_delivery_and_all_that_follows_from_it(settled):
    """The tonnes went the other way; holdings were rewritten so that they add up."""
    settled.tamper(
        "UPDATE movement SET from_account = to_account, to_account = from_account"
        " WHERE instrument_id = %s AND quantity = 2000",
        settled.market.cea.id,
    )
    for account, delta in ((settled.seller.id, 4_000), (settled.buyer.id, -2_000)):
        settled.tamper(
            "UPDATE holding SET trading = trading + %s WHERE (account_id, instrument_id) = (%s, %s)",
            delta, account, settled.market.cea.id,
        )  # fmt: skip
    named = refused(settled, "leg_differs", "position_differs")
    assert sum(each.code == "leg_differs" for each in named) == 2


def test_a_trade_that_no_package_has(settled):
    settled.tamper(
        "INSERT INTO trade (package_id, deal_no, dealt_at, method, instrument_id, buyer_id,"
        " seller_id, quantity, price, amount, buy_fee, sell_fee, buyer_money_id, seller_money_id)"
        " SELECT package_id, 'X', dealt_at, method, instrument_id, buyer_id, seller_id, quantity,"
        " price, amount, 0, 0, buyer_money_id, seller_money_id FROM trade WHERE deal_no = 'D000001'"
    )
    (named,) = refused(settled, "trade_not_in_package")
    assert named.key.endswith(" X")


def test_a_trade_that_is_gone(settled):
    settled.tamper("DELETE FROM trade WHERE deal_no = 'D000001'")
    missing, stray = refused(settled, "trade_missing", "posting_not_in_package")
    assert sorted((missing.code, stray.code)) == ["posting_not_in_package", "trade_missing"]


# Deliveries -------------------------------------------------------------------------------

POSTING = "(SELECT id FROM posting WHERE business = 'trade' AND document = 'D000001')"


def test_a_delivery_that_was_deleted_and_all_that_follows_from_it(settled):
    """Holdings are as if it had never been."""
    for row in settled.superuser.execute(
        f"SELECT instrument_id, quantity, from_account, from_bucket, to_account, to_bucket"
        f" FROM movement WHERE posting_id = {POSTING}"
    ).fetchall():
        what, quantity, giver, source, taker, target = row
        columns = {1: "available", 5: "trading", 13: "proceeds"}
        for account, bucket, delta in ((giver, source, quantity), (taker, target, -quantity)):
            settled.tamper(
                f"UPDATE holding SET {columns[bucket]} = {columns[bucket]} + %s"
                " WHERE (account_id, instrument_id) = (%s, %s)",
                delta, account, what,
            )  # fmt: skip
    settled.tamper(f"DELETE FROM movement WHERE posting_id = {POSTING}")
    settled.tamper(f"DELETE FROM trade_delivery WHERE posting_id = {POSTING}")
    settled.tamper("DELETE FROM posting WHERE business = 'trade' AND document = 'D000001'")

    (named,) = refused(settled, "deal_not_posted")
    assert named == Finding("deal_not_posted", key(settled, 1), "2000", "0")


def test_the_note_of_a_delivery_that_is_gone(settled):
    settled.tamper(f"DELETE FROM trade_delivery WHERE posting_id = {POSTING}")
    (named,) = refused(settled, "delivery_differs")
    assert (named.key, named.found) == (key(settled, 1), "")


@pytest.mark.parametrize(("what", "found"), [("=", "0 t / 16301000 fen"), ("<>", "2000 t / 0 fen")])
def test_a_trade_with_one_leg(settled, what, found):
    settled.tamper(
        f"DELETE FROM movement WHERE posting_id = {POSTING} AND instrument_id {what} %s",
        settled.market.cea.id,
    )
    named = refused(settled, "one_leg", "closing_differs")
    assert Finding("one_leg", key(settled, 1), "2000 t / 16300000 fen", found) in named


def test_one_fen_moved_by_a_changed_movement_and_changed_holdings(settled):
    """The seller's income is one fen less, the fees one fen more: all sums are as they were."""
    money = settled.market.money_of(settled.seller)
    changed = (
        (
            "UPDATE movement SET quantity = quantity - 1",
            "to_account",
            settled.seller.id,
            "proceeds",
        ),
        ("UPDATE movement SET quantity = quantity + 1", "to_account", 2, "available"),
    )
    for statement, side, account, column in changed:
        settled.tamper(
            f"{statement} WHERE posting_id = {POSTING} AND instrument_id = %s AND {side} = %s",
            money, account,
        )  # fmt: skip
        sign = "-" if "- 1" in statement else "+"
        settled.tamper(
            f"UPDATE holding SET {column} = {column} {sign} 1"
            " WHERE (account_id, instrument_id) = (%s, %s)",
            account, money,
        )  # fmt: skip
    named = refused(settled, "leg_differs", "fund_differs")
    legs = [each for each in named if each.code == "leg_differs"]
    assert {(each.expected, each.found) for each in legs} == {
        ("16299500", "16299499"),
        ("1500", "1501"),
    }
    (fund,) = (each for each in named if each.code == "fund_differs")
    assert settled.seller.member_no in fund.key
    assert int(fund.expected) - int(fund.found) == 1


def test_one_fen_moved_by_hand(settled):
    """A posting of a business that nobody knows, from one participant to another."""
    money = settled.market.money_of(settled.buyer)
    _post(settled, "gift", (money, 1, settled.buyer.id, 1, settled.seller.id, 1))
    (named,) = refused(settled, "business_unknown")
    assert (named.expected, named.found) == ("0", "1")
    assert "gift available → available" in named.key


def test_one_fen_moved_under_a_known_business(settled):
    money = settled.market.money_of(settled.buyer)
    _post(settled, "unfreeze", (money, 1, settled.buyer.id, 1, settled.seller.id, 1))
    refused(settled, "route_not_allowed", "application_missing", "fund_differs")


def _post(settled: Books, business: str, *moves: tuple[int, ...], application: int | None = None):
    """Insert a posting as a superuser, with the trigger that books it and none that checks it."""
    with settled.superuser.transaction():
        settled.superuser.execute("SET LOCAL session_replication_role = origin")
        settled.superuser.execute("ALTER TABLE posting DISABLE TRIGGER postings_are_tied")
        settled.superuser.execute(
            "WITH p AS (INSERT INTO posting (business, stage, request_key, leads, application_id)"
            " VALUES (%s, 'approval', gen_random_uuid(), true, %s) RETURNING id)"
            " INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account,"
            " from_bucket, to_account, to_bucket) SELECT p.id, '2026-11-20 15:00+08', m.* FROM p,"
            f" (VALUES {', '.join(str(each) for each in moves)}) AS m",
            [business, application],
        )
        settled.superuser.execute("SET CONSTRAINTS ALL IMMEDIATE")
        settled.superuser.execute("ALTER TABLE posting ENABLE TRIGGER postings_are_tied")


# What came into being ---------------------------------------------------------------------


def test_a_mint_at_night_under_the_name_of_an_issuance(settled):
    """Nobody approved it; holdings follow, and every sum is zero."""
    cea = settled.market.cea.id
    _post(settled, "issuance", (cea, 1_000_000, 1, 12, settled.seller.id, 1))
    (named,) = refused(settled, "issued_differs")
    assert named == Finding("issued_differs", settled.market.cea.code, "0", "1000000")


def test_a_mint_beside_an_approved_issuance(settled):
    cea = settled.market.cea
    _issue(settled, 700)
    assert settled.check().findings.named == []

    _post(settled, "issuance", (cea.id, 300, 1, 12, settled.seller.id, 1))
    report = settled.check()  # of the sealed day, again
    assert [(each.code, each.expected, each.found) for each in report.findings.named] == [
        ("application_missing", "True", "False"),
        ("issued_differs", "700", "1000"),
    ]


def test_an_issuance_of_more_than_was_approved(settled):
    _issue(settled, 700)
    cea = settled.market.cea.id
    settled.tamper("UPDATE movement SET quantity = 800 WHERE quantity = 700 AND from_bucket = 12")
    for account, column, delta in ((1, "issued", -100), (settled.seller.id, "available", 100)):
        settled.tamper(
            f"UPDATE holding SET {column} = {column} + %s"
            " WHERE (account_id, instrument_id) = (%s, %s)",
            delta, account, cea,
        )  # fmt: skip
    named = refused(settled, "issued_differs", "lines_differ")
    assert {(each.expected, each.found) for each in named} == {("700", "800")}


def _issue(settled: Books, tonnes: int) -> None:
    made = factories.entered(
        "issuance", settled.seller, settled.maker, lines={settled.market.cea: tonnes},
        category="supplementary",
    )  # fmt: skip
    factories.confirmed(made, settled.checker)


def test_money_that_no_bank_took_in(settled):
    money = settled.market.money_of(settled.buyer)
    _post(settled, "issuance", (money, 5_00, 1, 12, settled.buyer.id, 1))
    named = refused(settled, "money_from_nowhere", "route_not_allowed")
    assert ("0", "500") in {(each.expected, each.found) for each in named}


# Balances and history ---------------------------------------------------------------------


def test_a_holding(settled):
    settled.tamper(
        "UPDATE holding SET trading = trading + 5 WHERE (account_id, instrument_id) = (%s, %s)",
        settled.buyer.id, settled.market.cea.id,
    )  # fmt: skip
    named = refused(settled, "closing_differs", "not_conserved")
    pocket = f"{settled.buyer.member_no} {settled.market.cea.code} trading"
    assert Finding("closing_differs", pocket, "2000", "2005") in named
    assert Finding("not_conserved", settled.market.cea.code, "0", "5") in named


def test_a_movement_before_the_day_with_holdings_that_follow(settled):
    """History rewritten: what was sealed at the opening shows it."""
    cea = settled.market.cea.id
    settled.tamper(
        "UPDATE movement SET quantity = 10001 WHERE quantity = 10000 AND instrument_id = %s", cea
    )
    settled.tamper(
        "UPDATE holding SET issued = issued - 1 WHERE account_id = 1 AND issued = -10000"
    )
    settled.tamper(
        "UPDATE holding SET trading = trading + 1 WHERE (account_id, instrument_id) = (%s, %s)",
        settled.seller.id, cea,
    )  # fmt: skip
    named = refused(settled, "history_rewritten")
    assert {(each.expected, each.found) for each in named} == {
        ("10000", "10001"),
        ("-10000", "-10001"),
    }


def test_a_mint_slipped_into_a_sealed_range(settled):
    """With a transaction id of before the horizon."""
    settled.tamper(
        "INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket, recorded_xid) SELECT 1, now(), %s, 50, 1, 12, %s, 1, '5'",
        settled.market.cea.id, settled.seller.id,
    )  # fmt: skip
    refused(settled, "history_rewritten", "closing_differs")


def test_the_sealed_totals_themselves(settled):
    settled.tamper("UPDATE audit_total SET balance = balance + 1 WHERE balance = 10000")
    refused(settled, "history_rewritten", "chain_broken")


def test_a_sealed_day_that_is_gone(settled):
    settled.check()
    settled.tamper("DELETE FROM audit_total WHERE day < %s", DAY)
    settled.tamper("DELETE FROM audit_day WHERE day < %s", DAY)
    assert "chain_broken" in settled.check().findings.counts


def test_a_posting_without_its_movements_and_a_movement_without_its_posting(settled):
    settled.tamper(
        "INSERT INTO posting (business, stage, request_key) VALUES ('day_end', 'settlement', 'x')"
    )
    settled.tamper(
        "INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket) SELECT 999999, now(), %s, 50, 1, 1, %s, 1",
        settled.market.cea.id, settled.seller.id,
    )  # fmt: skip
    named = refused(settled, "stands_alone")
    assert len(named) == 2


# Packages and settlements -----------------------------------------------------------------


def test_a_byte_of_a_package(settled):
    settled.tamper("UPDATE day_package SET file = set_byte(file, 200, get_byte(file, 200) # 1)")
    refused(settled, "package_altered")


def test_a_deal_of_a_package_with_digests_that_follow(settled):
    """Everything but the exchange's signature can be made to fit."""
    (file,) = settled.superuser.execute("SELECT file FROM day_package").fetchone()
    settled.market.deals[0] = (*settled.market.deals[0][:4], settled.seller.member_no,
                               settled.buyer.member_no, *settled.market.deals[0][6:])  # fmt: skip
    settled.market.key.sign = VenueKey().sign
    forged = settled.market.package()
    settled.tamper(
        "UPDATE day_package SET file = %s, digest = encode(sha256(%s), 'hex')", forged, forged
    )
    assert _deals_of(forged) != _deals_of(bytes(file))
    refused(settled, "signature_invalid", "trade_differs", "result_differs")


def _deals_of(file: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return archive.read("DEAL.csv")


def test_a_package_of_a_sealed_day(settled):
    settled.check()
    settled.tamper("UPDATE day_package SET file = file || '\\x00'::bytea")
    assert {"package_replaced", "package_altered"} <= set(settled.check().findings.counts)


def test_a_settlement_that_nobody_confirmed(settled):
    settled.tamper("DELETE FROM settlement_confirmation")
    (named,) = refused(settled, "confirmation_invalid")
    assert str(DAY) in named.key


def test_a_settlement_that_nobody_approved(settled):
    settled.tamper("UPDATE application SET status = 'in_review' WHERE kind = 'trade_settlement'")
    (named,) = refused(settled, "settlement_missing")
    assert (named.expected, named.found) == ("2", "2")


def test_a_settlement_by_one_officer(settled):
    settled.tamper(
        "UPDATE application_event SET member_id = %s WHERE application_id ="
        " (SELECT id FROM application WHERE kind = 'trade_settlement')",
        settled.maker.id,
    )
    (named,) = refused(settled, "one_officer")
    assert (named.expected, named.found) == ("2", "1")


def test_a_result_that_says_something_else(settled):
    settled.tamper(
        "UPDATE application SET proposal = jsonb_set(proposal::jsonb, '{amount}', '1')"
        " WHERE kind = 'trade_settlement'"
    )
    refused(settled, "result_differs", "confirmation_invalid")


# The exchange's own figures ---------------------------------------------------------------


def test_figures_of_the_exchange_that_differ_from_the_books(books):
    """The package adds up and is signed; the books know of five tonnes and one yuan less."""
    books.open()
    books.market.deal(books.seller, books.buyer, 100, "80.00")
    seller, buyer = books.seller.member_no, books.buyer.member_no
    books.settle(
        content=books.market.package(
            POS=[
                (seller, "CEA", 10_005, 0, 0, 0, 100, 9_905),
                (buyer, "CEA", 0, 0, 0, 100, 0, 100),
            ],
            FUND=[
                (seller, "0.00", "0.00", "0.00", "0.00", "8000.00", "0.00", "8000.00"),
                (buyer, "1000001.00", "0.00", "0.00", "8000.00", "0.00", "0.00", "992001.00"),
            ],
        )
    )
    position, fund = refused(books, "position_differs", "fund_differs")
    name = f"{books.market.venue_code} {DAY}"
    assert position == Finding("position_differs", f"{name} POS {seller} CEA", "9905", "9900")
    assert fund == Finding("fund_differs", f"{name} FUND {buyer}", "99200100", "99200000")
    assert db.session.scalar(db.text("SELECT count(*) FROM audit_day")) == 1


def test_a_member_that_the_exchange_does_not_name_holds_nothing_there(books):
    """A third holds 50 tonnes in trading, and has no row."""
    third = books.market.participant("丁", tonnes=50)
    books.open()
    books.market.deal(books.seller, books.buyer, 100, "80.00")
    rows = [
        (books.seller.member_no, "CEA", 10_000, 0, 0, 0, 100, 9_900),
        (books.buyer.member_no, "CEA", 0, 0, 0, 100, 0, 100),
    ]
    books.settle(content=books.market.package(POS=rows))
    (named,) = refused(books, "position_differs")
    assert third.member_no in named.key
    assert (named.expected, named.found) == ("0", "50")


def test_a_difference_that_two_officers_resolved_is_accepted_with_its_figures(books):
    """A third holds 50 tonnes in trading, and the exchange names it not; later somebody alters the figure."""
    books.market.participant("丁", tonnes=50)
    books.open()
    books.market.deal(books.seller, books.buyer, 100, "80.00")
    rows = [
        (books.seller.member_no, "CEA", 10_000, 0, 0, 0, 100, 9_900),
        (books.buyer.member_no, "CEA", 0, 0, 0, 100, 0, 100),
    ]
    books.settle(content=books.market.package(POS=rows))
    (difference,) = db.session.scalars(select(SettlementDifference))
    draft = engine.Draft(
        "difference_resolution", difference.account_id, (), str(uuid4()), reason="交易机构漏报",
        proposal=dict(reconciliation.proposal_for(difference)),
    )  # fmt: skip
    with transaction():
        (made,) = engine.start([draft], Actor.of(books.maker), now=EVENING)
        engine.submit([made], Actor.of(books.maker), now=EVENING).one()
    refused(books, "position_differs")  # One officer is not enough.
    with transaction():
        engine.approve([made], Actor.of(books.checker), now=EVENING).one()
    for altered in (
        "UPDATE application SET proposal = jsonb_set(proposal::jsonb, '{ours}', '49')"
        " WHERE kind = 'difference_resolution'",
        "UPDATE application SET proposal = jsonb_set(jsonb_set(proposal::jsonb, '{ours}', '50'),"
        " '{day}', '\"2026-11-19\"') WHERE kind = 'difference_resolution'",
    ):
        books.tamper(altered)
        refused(books, "position_differs")
    books.tamper(
        "UPDATE application SET proposal = jsonb_set(proposal::jsonb, '{day}', '\"2026-11-20\"')"
        " WHERE kind = 'difference_resolution'"
    )
    assert books.check().agrees
