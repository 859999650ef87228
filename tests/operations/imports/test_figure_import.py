"""核定数据表: rows are recomputed; one that differs stops its enterprise alone (N03, N04, N21, N32)."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal

import pytest
from flask_babel import force_locale
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.domain.compliance.true_up import true_up
from app.domain.errors import NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import AllocationFigure
from app.models.figures import current_figure
from app.models.figures import true_up as true_ups
from app.operations.imports import figure_import, tables
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import account, entered, instrument
from tests.operations.claims import deducted, issued

HEADINGS = (
    "会员编号,企业名称,履约年度,行业,环节,机组（生产线、工序）编号,经核查排放量,预分配比例（%）,配额计算情形,"
    "发电量（MWh）,供热量（GJ）,发电基准值（t/MWh）,供热基准值（t/GJ）,负荷（出力）系数（%）,单位产品碳排放量,"
    "行业平衡值,配额量,备注"
)


@pytest.fixture(autouse=True)
def _in_chinese(app):
    with force_locale("zh"):
        yield


@pytest.fixture(autouse=True)
def power(app):
    factories.plan(pre_allocation_share=Decimal(50), share_cap=Decimal(50))


def pre(of, unit, verified, quantity, share="", remark="", year=2025):
    first = f"{of.member_no},{of.name},{year},发电,预分配"
    return f"{first},{unit},{verified},{share},,,,,,,,,{quantity},{remark}"


def approved(
    of, unit, verified, quantity, basis="机组加总", said=",,,,,,", sector="发电", year=2025
):
    return f"{of.member_no},{of.name},{year},{sector},核定,{unit},{verified},,{basis},{said},{quantity},"


def changed(of, verified):
    return f"{of.member_no},{of.name},2025,发电,核查变更,,{verified},,,,,,,,,,,"


def table(*lines):
    content = "\n".join([HEADINGS, *lines]).encode()
    return tables.read(io.BytesIO(content), "核定数据.csv", figure_import.COLUMNS)


def take(by, *lines):
    with transaction():
        return figure_import.take(table(*lines), Actor.of(by), now=clock.now())


def refused(by, *lines):
    asked = table(*lines)
    with transaction(), pytest.raises(RuleError):
        figure_import.take(asked, Actor.of(by), now=clock.now())
    assert db.session.query(AllocationFigure).count() == 0
    return {(each.row, each.column): str(each.message) for each in asked.problems}


def stored(of):
    db.session.rollback()
    found = current_figure.c
    rows = db.session.execute(
        select(found.stage, found.unit, found.quantity, found.expected)
        .where(found.account_id == of.id)
        .order_by(found.id)
    )
    return [tuple(row) for row in rows]


def test_n03_units_and_their_enterprise_are_stored(plant, maker):
    done = take(maker, pre(plant, "1号", "1000002", 500001), pre(plant, "2号", "500004", 250002),
                pre(plant, "", "1500006", 750003))  # fmt: skip
    assert (done.rows, done.differing) == (3, 0)
    assert stored(plant) == [
        ("pre_allocation", "1号", 500_001, 500_001),
        ("pre_allocation", "2号", 250_002, 250_002),
        ("pre_allocation", "", 750_003, 750_003),
    ]


def test_n04_a_push_of_1790_for_1789_70_differs(plant, maker, checker):
    """One differing row keeps that enterprise from being issued, and no other one."""
    other = account("乙发电有限公司")
    done = take(maker, pre(plant, "", "3579.4", 1790), pre(other, "", "3579.4", 1789))
    assert (done.rows, done.differing) == (2, 1)
    cea25 = instrument(vintage=2025)
    with pytest.raises(RuleError, match="应为1,789") as refusal:
        entered("issuance", plant, maker, lines={cea25: 1790}, category="pre_allocation")
    assert refusal.value.code == "figure_differs"
    issued(other, cea25, 1789, by=maker, category="pre_allocation")
    issued(
        plant, instrument(vintage=2024), 5, by=maker
    )  # Another year's figures say nothing of it.

    take(maker, pre(plant, "", "3579.4", 1789))
    assert stored(plant) == [("pre_allocation", "", 1789, 1789)]
    issued(plant, cea25, 1789, by=maker, category="pre_allocation")


def test_n04_a_difference_that_comes_before_the_approval_stops_it(plant, maker, checker):
    cea25 = instrument(vintage=2025)
    made = entered("issuance", plant, maker, lines={cea25: 1790}, category="pre_allocation")
    take(maker, pre(plant, "", "3579.4", 1790))
    with pytest.raises(RuleError) as refusal:
        factories.confirmed(made, checker)
    assert refusal.value.code == "figure_differs"
    db.session.rollback()
    with pytest.raises(IntegrityError, match="differs from our own figure"):
        db.session.execute(
            text("UPDATE application SET status = 'approved', step = 1 WHERE id = :id"),
            {"id": made},
        )
    db.session.rollback()


def test_approved_units_are_recomputed_and_topped_up(plant, maker):
    coal = "3000000,5000000,0.7902,0.1027,60,,"
    done = take(
        maker,
        approved(plant, "1号", "4000000", 2884100, "常规燃煤机组", coal),
        approved(plant, "2号", "500000.5", 500000, "核定等于核查"),
        approved(plant, "", "4500000.5", 3600000),
    )
    assert done.differing == 0  # R29; N28: floor(0.8 x 4,500,000.5 - 3,384,100) = 215,900


def test_steel_is_approved_by_intensity_as_a_whole(maker):
    steel = account("丙钢铁有限公司", sector="steel")
    said = ",,,,,1.44,1.8"
    row = approved(steel, "", "1234567", 1271604, "强度系数法", said, "钢铁", 2026)
    assert take(maker, row).differing == 0


def test_n21_a_share_above_the_cap_is_refused_and_a_lower_one_explained(plant, maker):
    found = refused(maker, pre(plant, "", "1000", 510, share="51"))
    assert "51%高于上限50%" in found[2, "预分配比例（%）"]
    found = refused(maker, pre(plant, "", "1000", 300, share="30"))
    assert "50" in found[2, "备注"]
    assert (
        take(maker, pre(plant, "", "1000", 300, share="30", remark="存在履约风险")).differing == 0
    )


def test_n32_a_changed_verification_asks_for_another_approval(plant, maker):
    row = approved(plant, "", "1000000", 1000000, "核定等于核查")
    found = refused(maker, changed(plant, "900000"))
    assert "尚无" in found[2, "环节"]
    take(maker, row)
    with pytest.raises(RuleError):
        take(maker, changed(plant, "1000000"))
    take(maker, changed(plant, "900000"))
    change = db.session.scalars(
        select(AllocationFigure).where(AllocationFigure.stage == "verification")
    ).one()
    assert change.due_on == date(2026, 12, 4)  # ten working days after 2026-11-20
    assert (change.quantity, change.expected) == (None, None)


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        (lambda of: pre(of, "", "x", 1), "经核查排放量", "x"),
        (lambda of: pre(of, "", "1000", "12.5"), "配额量", "12.5"),
        (lambda of: pre(of, "", "1000", ""), "配额量", "–"),
        (lambda of: pre(of, "1号", "1000", 500), "机组（生产线、工序）编号", "企业合计"),
        (lambda of: approved(of, "", "1000", 500, "常规燃煤机组"), "发电量（MWh）", "–"),
        (lambda of: approved(of, "", "1000", 500, "炼钢"), "配额计算情形", "炼钢"),
        (lambda of: approved(of, "", "1000", 500), "配额计算情形", "机组"),
        (lambda of: approved(of, "", "1", 1, "强度系数法", ",,,,,1,0"), "行业平衡值", "大于0"),
        (lambda of: approved(of, "", "1000", 500, "核定等于核查", year=26), "履约年度", "26"),
        (lambda of: approved(of, "", "1", 1, "核定等于核查", sector="钢铁"), "行业", "从未"),
        (lambda of: pre(of, "", "1000", 500).replace("预分配", "预发", 1), "环节", "预发"),
    ],
)
def test_a_row_that_cannot_be_read_names_its_column(plant, maker, line, column, says):
    found = refused(maker, line(plant))
    assert says in found[2, column]


def test_the_same_unit_twice_and_an_unknown_enterprise_are_named(plant, maker):
    row = pre(plant, "", "1000", 500)
    found = refused(maker, row, row, row.replace(plant.member_no, "99999999999"))
    assert "第2行" in found[3, "机组（生产线、工序）编号"].replace(" ", "")
    assert "99999999999" in found[4, "会员编号"]


def test_a_province_does_not_import(plant, hubei):
    with transaction(), pytest.raises(NotAllowed):
        figure_import.take(table(pre(plant, "", "1000", 500)), Actor.of(hubei), now=clock.now())


@pytest.mark.parametrize(
    ("p", "a", "d"),
    [(700_000, 900_000, 0), (707_000, 690_000, 0), (50_000, 30_000, 70_000), (50_000, 80_000, 70_000),
     (50_000, 60_000, 70_000), (50_000, 45_000, 20_000), (50_000, 15_000, 20_000), (0, 80_000, 30_000)],
)  # fmt: skip
def test_n23_the_databases_true_up_is_the_domains(plant, maker, checker, p, a, d):
    lines = [approved(plant, "", a, a, "核定等于核查")]
    if p:
        lines.append(pre(plant, "", 2 * p, p))
    take(maker, *lines)
    if d:
        deducted(plant, d, by=maker)
    db.session.rollback()
    row = db.session.execute(select(true_ups)).one()
    ours = true_up(p, a, d)
    assert (row.issue_1, row.issue_2, row.remaining) == (ours.issue_1, ours.issue_2, ours.remaining)
