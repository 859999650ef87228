"""年度报告: its layout is data, and its sums are the ledger's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from flask_babel import force_locale

from app.extensions import db, transaction
from app.models import ReportColumn, ReportSheet
from app.operations.publicity import figures, report
from app.operations.publicity.figures import PROVINCE, SECTOR, TOTAL, YEAR
from app.operations.records import clock
from tests import factories
from tests.markets import Market
from tests.operations import chains, claims


def read(year: int = 2026) -> figures.Figures:
    db.session.rollback()
    with db.engine.connect() as connection:
        return figures.read(connection, year, now=clock.now())


@pytest.fixture
def year(plant, operator, maker, checker, hubei):
    """Issues through the province and reversed, a cancellation, a surrender, a claim and a penalty."""
    steel = factories.account("乙钢铁公司", province="31", sector="steel,cement")
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    claims.issued(plant, what, 1_000, by=maker)
    claims.issued(steel, what, 500, by=maker)
    wrong = factories.entered("issuance", steel, maker, lines={what: 70}, category="supplementary")
    factories.confirmed(wrong, checker)
    factories.confirmed(chains.reversal(wrong, steel, maker), checker)
    notice = factories.notice(plant, 300, by=maker)
    factories.notice(steel, 90, by=maker, sector="steel")
    made = factories.submitted("surrender", operator, {what: 200}, notice_id=notice, reason="履约")
    factories.confirmed(made.id, hubei)
    made = factories.submitted("voluntary_cancellation", operator, {what: 30}, reason="减排")
    factories.confirmed(made.id, checker)
    claim = claims.claimed(plant, what, 40, by=maker)
    factories.confirmed(claims.returning(claim, 40, by=operator), checker)
    entered = factories.entered(
        "penalty", plant, hubei, category="report", proposal={"year": "2025", "fen": 5_000_050}
    )
    factories.confirmed(entered, factories.colleague(hubei))
    return what


def test_figures_by_province_sector_and_year(year):
    found = read()
    hubei, shanghai = found.of(PROVINCE, "42"), found.of(PROVINCE, "31")
    assert (hubei["issued"], hubei["posted"], hubei["cancelled"], hubei["returned"]) == (
        1_000, 200, 30, 40,
    )  # fmt: skip
    assert (shanghai["issued"], shanghai["reversed"], shanghai["posted"]) == (570, 70, 0)
    assert (hubei["penalties"], hubei["fines"]) == (1, 5_000_050)
    assert found.of(SECTOR, "power")["issued"] == 1_000
    assert found.of(SECTOR, figures.SEVERAL)["issued"] == 570
    # Of notices: those of compliance year 2025.
    of_2025 = read(2025)
    assert of_2025.of(SECTOR, "steel")["obligation"] == 90
    total = of_2025.of(PROVINCE, TOTAL)
    assert (total["enterprises"], total["obligation"], total["surrendered"], total["gap"]) == (
        2, 390, 200, 190,
    )  # fmt: skip
    assert of_2025.of(PROVINCE, "42")["issued"] == 0  # the calendar year's


def test_the_sums_are_the_ledger_s(year):
    """Of every figure that moves tonnes, provinces add up to the year, and the years to the holdings."""
    found = read()
    every = found.of(YEAR, "2026")
    for rows_by in (PROVINCE, SECTOR):
        for name in ("issued", "reversed", "posted", "cancelled", "returned", "penalties", "fines"):
            parts = sum(found.of(rows_by, key).get(name, 0) for key in found.keys(rows_by))
            assert parts == every[name], (rows_by, name)
    held = dict(
        db.session.execute(
            db.text(
                "SELECT unnest(ARRAY['issued', 'posted', 'cancelled', 'returned']),"
                " unnest(ARRAY[-sum(issued), sum(surrendered), sum(cancelled), sum(recalled)])::bigint"
                " FROM holding h JOIN instrument i ON i.id = h.instrument_id AND i.kind = 'allowance'"
            )
        ).all()
    )
    years = [found.of(YEAR, key) for key in found.keys(YEAR)]
    assert {
        name: sum(each.get(name, 0) for each in years)
        for name in ("posted", "cancelled", "returned")
    } == {name: held[name] for name in ("posted", "cancelled", "returned")}
    assert sum(each["issued"] - each["reversed"] for each in years) == held["issued"]


def test_trades_are_counted_on_both_sides(tables, app, maker, checker):
    market = Market(tables)
    seller = market.participant("甲发电有限公司", tonnes=100)
    buyer = market.participant("乙发电有限公司", yuan="10000.00")
    market.deal(seller, buyer, 30, "81.50")
    market.settle(maker, checker)
    every = read().of(YEAR, "2026")
    assert (every["sold"], every["bought"]) == (30, 30)
    assert (every["sold_for"], every["bought_for"]) == (244_500, 244_500)


def test_the_layout_is_data(year):
    """A sheet and its columns are rows; another title, unit, order or figure is no change of code."""
    day = date(2026, 11, 20)
    usual = report.layout(day)
    assert [each.name for each in usual] == [
        "履约_分省", "履约_分行业", "登记_分省", "登记_分行业", "交易与处罚_分省", "历年汇总",
    ]  # fmt: skip
    with transaction():
        sheet = ReportSheet(code="own", name="测试表", rows_by="province", place=5)
        db.session.add(sheet)
        db.session.flush()
        of = {"sheet_id": sheet.id}
        db.session.add_all(
            [
                ReportColumn(place=20, name="发放", figure="issued", unit="ten_thousand", **of),
                ReportColumn(place=10, name="罚款", figure="fines", **of),
                ReportColumn(
                    place=30, name="以后", figure="gap", valid_from=date(2027, 1, 1), **of
                ),
            ]
        )
    mine = report.layout(day)[0]
    with force_locale("zh"):
        assert mine.headings == ["省份", "罚款（元）", "发放（万吨）"]
    with force_locale("zh"):
        shown = report.rows(mine, read())
    assert shown == [
        ["上海", Decimal("0.00"), Decimal("0.06")],
        ["湖北", Decimal("50000.50"), Decimal("0.10")],
        ["合计", Decimal("50000.50"), Decimal("0.16")],
    ]
