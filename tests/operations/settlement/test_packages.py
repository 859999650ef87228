"""A day package: signature, sums, every fault by table, row and column; all of it or nothing."""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import DailyQuote, DayPackage, PackageRefusal, ReportedFund, ReportedPosition, Trade
from app.operations.records.actor import SYSTEM
from app.operations.settlement import package_file, packages
from tests import factories
from tests.markets import DAY, EVENING, Market, VenueKey


@pytest.fixture
def parties(market):
    return (
        market.participant("甲发电有限公司", tonnes=200_001, yuan="1000"),
        market.participant("乙钢铁有限公司", tonnes=200_000, yuan="90000000"),
    )


def receive(content: bytes, **more) -> packages.Received:
    with transaction():
        return packages.receive(content, SYSTEM, now=EVENING, **more)


def faults(content: bytes, **more) -> list[tuple[str, int, str, str]]:
    """The faults of a refused package, of which nothing was kept."""
    with pytest.raises(packages.PackageRefused) as refused:
        receive(content, **more)
    db.session.rollback()
    for table in (DayPackage, Trade, ReportedPosition, ReportedFund):
        assert db.session.scalar(select(func.count()).select_from(table)) == 0
    assert all(fault.message for fault in refused.value.faults)
    return [(each.table, each.row, each.column, each.code) for each in refused.value.faults]


def test_the_same_file_again_is_a_no_op_and_another_one_is_refused(market, parties):
    """R55."""
    market.deal(*parties, 10, "80.00")
    content = market.package()
    first = receive(content)
    again = receive(content)
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)

    market.deal(*parties, 10, "80.00")
    with pytest.raises(RuleError) as refused:
        receive(market.package())
    assert refused.value.code == "package_differs"
    assert db.session.scalar(select(func.count(Trade.id))) == 1


def test_every_fault_is_named_at_once(market, parties):
    market.deal(*parties, 10, "80.00", cells={"price": "80.001"})
    market.deal(*parties, 10, "80.00", cells={"quantity": "１０"})
    market.deal(*parties, 10, "80.00", cells={"method": "30"})
    market.deal(*parties, 10, "80.00", cells={"dealt_at": "2026-11-19T10:00:00+08:00"})
    found = faults(market.package(POS=[], FUND=[]))
    assert {
        ("DEAL", 1, "price", "amount_malformed"),
        ("DEAL", 2, "quantity", "tonnes_malformed"),
        ("DEAL", 4, "dealt_at", "time_of_another_day"),
        ("DEAL", 3, "method", "value_unknown"),
    } <= set(found)


def test_codes_and_members_are_checked_against_the_records(market, parties):
    market.deal(*parties, 10, "80.00", cells={"trade_code": "CEA99"})
    market.deal(*parties, 10, "80.00", cells={"buyer": "00000000000"})
    market.deal(*parties, 10, "80.00", cells={"deal_no": "D000002"})
    market.deal(*parties, 10, "80.00", cells={"buyer": parties[0].member_no})
    found = faults(market.package(POS=[], FUND=[]))
    assert {
        ("DEAL", 1, "trade_code", "trade_code_unknown"),
        ("DEAL", 2, "buyer", "member_unknown"),
        ("DEAL", 3, "deal_no", "row_twice"),
        ("DEAL", 4, "seller", "one_party"),
        ("POS", 0, "", "row_missing"),
        ("FUND", 0, "", "row_missing"),
    } <= set(found)


def test_one_fen_stops_the_package(market, parties):
    """R54."""
    market.deal(*parties, 10, "80.00", cells={"amount": "800.01"})
    found = faults(market.package())
    assert ("DEAL", 1, "amount", "amount_differs") in found


def test_positions_and_funds_add_up_and_follow_from_the_deals(market, parties):
    market.deal(*parties, 10, "80.00")
    a, b = (each.member_no for each in parties)
    positions = [
        (a, "CEA", 200_001, 0, 0, 0, 10, 199_992),
        (b, "CEA", 200_000, 0, 0, 11, 0, 200_011),
    ]
    funds = [
        (a, "1000.00", "0", "0", "0", "800.00", "0", "1800.00"),
        (b, "90000000.00", "0", "0", "800.00", "0", "1.00", "89999199.00"),
    ]
    assert faults(market.package(POS=positions, FUND=funds)) == [
        ("POS", 1, "closing", "closing_differs"),
        ("POS", 2, "bought", "deals_differ"),
        ("FUND", 2, "fees", "deals_differ"),
    ]


def test_a_member_without_a_bank_account_does_not_deal(market, parties):
    stranger = factories.account("丁")
    market.deal(parties[0], stranger, 10, "80.00")
    assert ("DEAL", 1, "buyer", "no_bank_account") in faults(market.package())


def test_unusual_prices_and_sizes_are_named_and_accepted(market, parties):
    """R59: the deal stands as it was matched (交易管理规则 13)."""
    with transaction():
        db.session.add(
            DailyQuote(
                venue_id=market.venue_id, instrument_id=market.cea.id, day=DAY - timedelta(days=1),
                close=7463, listed_quantity=0, listed_amount=0, block_quantity=0, block_amount=0,
                auction_quantity=0, auction_amount=0,
            )
        )  # fmt: skip
    for quantity, price, method in (
        (99_999, "82.09", 10),
        (1, "82.10", 10),
        (100_000, "52.25", 20),
        (1, "97.01", 20),
    ):
        market.deal(*parties, quantity, price, method=method)
    assert receive(market.package()).warnings == 2
    package = db.session.scalars(select(DayPackage)).one()
    assert [(each["row"], each["code"]) for each in package.warnings] == [
        (2, "price_unusual"),
        (4, "size_unusual"),
    ]


def test_only_the_venues_own_signature_counts(market, parties):
    market.deal(*parties, 10, "80.00")
    good, market.key = market.key, VenueKey()
    assert faults(market.package()) == [("", 0, "", "signature_refused")]
    market.key = good
    rows = _parts(market.package())
    rows["manifest.p7s"] = b"\x30\x00"
    assert faults(_packed(rows)) == [("", 0, "", "signature_refused")]
    rows = _parts(market.package())
    rows["manifest.json"] = rows["manifest.json"].replace(b'"rows": 1', b'"rows": 2')
    assert ("DEAL", 0, "rows", "sum_differs") in faults(_packed(rows))


def test_a_package_is_of_the_sender_and_of_a_trading_day_that_is_over(market, parties):
    assert faults(market.package(), venue_id=market.venue_id + 1) == [
        ("", 0, "venue", "venue_unknown")
    ]
    assert ("", 0, "day", "not_a_trading_day") in faults(market.package(day=date(2026, 11, 21)))
    assert ("", 0, "day", "day_not_over") in faults(market.package(day=date(2026, 11, 23)))


def _parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(parts: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return written.getvalue()


def test_a_table_that_was_changed_is_refused(market, parties):
    market.deal(*parties, 10, "80.00")
    parts = _parts(market.package())
    parts["DEAL.csv"] = parts["DEAL.csv"].replace(b",10,", b",11,")
    assert ("DEAL", 0, "", "digest_differs") in faults(_packed(parts))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_a_zip"),
        (b"PK\x03\x04" + b"\x00" * 100, "not_a_zip"),
        (b"<html>" * 100, "not_a_zip"),
        (_packed({"manifest.json": b"{}"}), "files_wrong"),
    ],
)
def test_another_file_is_no_package(market, content, code):
    assert [fault[3] for fault in faults(content)] == [code]


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b"[]", "manifest_malformed"),
        (b"\xff", "manifest_malformed"),
        (b"[" * 100_000, "manifest_malformed"),
        (b'{"version": 2, "venue": "ZGW", "day": "2026-11-20", "tables": {}}', "version_unknown"),
        (
            b'{"version": true, "venue": "ZGW", "day": "2026-11-20", "tables": {}}',
            "version_unknown",
        ),
        (b'{"version": 1, "venue": "ZGW", "day": "20.11.2026", "tables": {}}', "day_malformed"),
        (b'{"version": 1, "venue": "ZGW", "day": "2026-11-20", "tables": {}}', "table_missing"),
    ],
)
def test_a_manifest_says_what_it_must(market, manifest, code):
    parts = _parts(market.package()) | {"manifest.json": manifest}
    assert code in [fault[3] for fault in faults(_packed(parts))]


def test_a_small_file_cannot_unpack_into_a_large_one(market):
    parts = _parts(market.package()) | {"DEAL.csv": b"0" * (package_file.LARGEST_UNPACKED + 1)}
    assert [fault[3] for fault in faults(_packed(parts))] == ["too_large"]


def test_a_refusal_is_kept_with_its_faults(market, parties):
    market.deal(*parties, 10, "80.00", cells={"amount": "800.01"})
    with pytest.raises(packages.PackageRefused) as refused:
        receive(market.package())
    db.session.rollback()
    with transaction():
        packages.note_refusal("0" * 64, refused.value.faults, SYSTEM, now=EVENING)
    kept = db.session.scalars(select(PackageRefusal)).one()
    assert kept.faults[0]["code"] == "amount_differs"
    assert kept.faults[0]["value"] == "800.01"


def test_a_market_signs(market: Market):
    assert receive(market.package()).is_new
