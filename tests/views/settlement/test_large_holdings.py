"""大户持仓, 关联企业集团 and 持仓限额: their pages, and who sees what."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Application, HoldingLimit
from tests import factories
from tests.views.settlement.test_trades import lines
from tests.views.toys import table


def test_the_registry_sees_all_and_a_province_its_own(world, sign_in):
    everybody = lines(sign_in(world.officers["registry_checker"]), "/large-holdings/export.csv")
    a, b = world.a.account.member_no, world.b.account.member_no
    assert {row["会员编号"].strip() for row in everybody} >= {a, b}
    mine = lines(sign_in(world.officers["province:31"]), "/large-holdings/export.csv")
    assert {row["会员编号"].strip() for row in mine} == {b}
    (row,) = mine
    assert (row["交易日"], row["报告期限"], row["持仓限额（吨）"]) == (
        "2026-11-19",
        "2026-11-20",
        "100",
    )
    assert int(row["超出量（吨）"]) == int(row["含关联企业合计（吨）"]) - 100


@pytest.mark.parametrize("page", ["/large-holdings/", "/linked-companies/", "/company-groups/"])
@pytest.mark.parametrize("role", ["enterprise", "enterprise_checker"])
def test_enterprises_see_none_of_it(world, sign_in, page, role):
    assert sign_in(world.member_of(role)).get(page).status_code == 403


def test_a_province_sees_the_companies_of_its_own(world, sign_in):
    page = sign_in(world.officers["province:31"]).get("/linked-companies/").text
    assert {row[4] for row in table(page)} == {"乙水泥有限公司", "关联企业有限公司"}
    assert world.a.account.member_no not in page


def test_a_group_is_entered_with_its_companies_ticked(world, sign_in):
    """The form begins with the group as it is."""
    browser = sign_in(world.officers["registry_maker"])
    address = f"/company-groups/new?account={world.a.account.id}"
    page = browser.get(address).text
    assert "当前关联企业" in page
    assert page.count("关联企业有限公司") >= 2
    other = factories.account("新设子公司")
    form = {
        "document_no": "交易函2号",
        "starts_on": "2026-12-01",
        "reason": "新设",
        "receivers": [str(other.id)],
    }
    answer = browser.post(address, data={**form, "submit": "1"})
    assert answer.status_code in (200, 302), answer.text
    newest = db.session.scalars(
        select(Application)
        .where(Application.kind == "company_group")
        .order_by(Application.id.desc())
    ).first()
    assert newest is not None
    assert [each.account_id for each in newest.parties] == [other.id]
    assert newest.document_no == "交易函2号"


def test_a_limit_is_added_for_a_class_and_refused_by_its_fields(world, sign_in):
    browser = sign_in(world.officers["system_admin"])
    form = {"sector": "power", "vintage": "2024", "quantity": "5000000", "basis": "交易函3号",
            "valid_from": "2026-11-20"}  # fmt: skip
    for wrong in (
        {"quantity": "0"},
        {"quantity": "1.5"},
        {"vintage": "24"},
        {"sector": "x"},
        {"basis": ""},
    ):
        assert browser.post("/holding-limits/new", data=form | wrong).status_code == 422, wrong
    assert browser.post("/holding-limits/new", data=form).status_code == 302
    assert "已被使用" in browser.post("/holding-limits/new", data=form).text
    kept = db.session.scalars(select(HoldingLimit).where(HoldingLimit.sector == "power")).one()
    assert kept.quantity == 5_000_000
    page = browser.get("/holding-limits/").text
    assert "5,000,000" in page
    assert "全部（未单独规定的类别）" in page
    assert "2,024" not in page


def test_money_is_offered_no_trade_code(world, sign_in):
    browser = sign_in(world.officers["system_admin"])
    page = browser.get("/trade-codes/new").text
    assert world.a.instrument.code in page
    assert "CNY-ICBC" not in page
