"""待发放配额, 主管部门发放 and 发放冲正 in pages (rules-2026 N11-N16)."""

from __future__ import annotations

import io
import re

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Application
from tests import factories
from tests.factories import account, confirmed, instrument, member, quantity
from tests.operations import chains


@pytest.fixture
def cea(app):
    return instrument(name="2025年度配额", vintage=2025)


@pytest.fixture
def office(app):
    """Two officers of 湖北."""
    return member("province", province="42"), member("province", province="42")


def text_of(answer):
    return answer.get_data(as_text=True)


def latest(kind):
    rows = select(Application).where(Application.kind == kind).order_by(Application.id.desc())
    return db.session.scalars(rows.limit(1)).one()


def test_what_waits_is_issued_in_bulk(sign_in, plant, cea, maker, checker, office):
    other = account("乙水泥有限公司", sector="cement")
    chains.issued_to_province(plant, {cea: 300}, maker, checker)
    chains.issued_to_province(other, {cea: 200}, maker, checker)
    page = sign_in(office[0])
    shown = text_of(page.get("/waiting-allowances/"))
    assert "乙水泥有限公司" in shown
    assert "待发放" in shown
    ids = [*chains.lines_waiting(plant), *chains.lines_waiting(other)]

    asked = page.post("/waiting-allowances/bulk", data={"action": "issue", "id": ids})
    assert "500" in text_of(asked)
    done = page.post("/waiting-allowances/bulk", data={"action": "issue", "id": ids, "count": "2"})
    assert "成功 2 条" in text_of(done)

    made = db.session.scalars(select(Application).where(Application.kind == "province_issue")).all()
    assert [(each.status, each.account_id) for each in made] == [
        ("in_review", plant.id),
        ("in_review", other.id),
    ]
    for each in made:
        confirmed(each.id, office[1])
    assert (quantity(plant, cea), quantity(other, cea)) == (300, 200)


def hidden_of(html):
    """Return the hidden fields of a question."""
    return dict(re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', html))


def upload(page, *lines):
    table = "\n".join(["会员编号,企业名称,标的编码,发放量", *lines]).encode()
    data = {"file": (io.BytesIO(table), "发放表.csv")}
    return page.post("/province-issues/import", data=data)


def test_n14_a_row_of_another_province_imports_nothing(sign_in, plant, cea, maker, checker, office):
    henan = account("丙钢铁有限公司", province="41", sector="steel")
    chains.issued_to_province(plant, {cea: 300}, maker, checker)
    chains.issued_to_province(henan, {cea: 300}, maker, checker)
    rows = [f"{each.member_no},{each.name},{cea.code},300" for each in (plant, henan)]
    answer = upload(sign_in(office[0]), *rows)
    assert answer.status_code == 400
    assert f"本省没有会员编号为{henan.member_no}的重点排放单位" in text_of(answer)
    assert db.session.scalars(select(Application.kind).distinct()).all() == ["issuance"]


@pytest.mark.parametrize(
    ("tonnes", "said"), [(300_001, "待发放配额仅300,000吨"), (299_999, "未发完")]
)
def test_n12_a_table_issues_what_waits_and_names_what_is_left(
    sign_in, plant, cea, maker, checker, office, tonnes, said
):
    chains.issued_to_province(plant, {cea: 300_000}, maker, checker)
    page = sign_in(office[0])
    answer = upload(page, f"{plant.member_no},{plant.name},{cea.code},{tonnes}")
    if answer.status_code == 302:
        answer = page.get(answer.location)
    assert said in text_of(answer)


def test_n14_the_registry_s_table_names_the_province(sign_in, plant, cea, maker):
    table = (
        "会员编号,企业名称,标的编码,发放类型,发放量,省级主管部门\n"
        f"{plant.member_no},{plant.name},{cea.code},核定,500,河南"
    ).encode()
    data = {"file": (io.BytesIO(table), "分配表.csv")}
    answer = sign_in(maker).post("/issuances/import", data=data)
    assert answer.status_code == 400
    assert "该单位属于湖北，不属于河南" in text_of(answer)


def test_n15_the_enterprise_sees_what_is_at_the_authority(
    sign_in, plant, operator, cea, maker, checker
):
    chains.issued_to_province(plant, {cea: 300}, maker, checker, "pre_allocation")
    shown = text_of(sign_in(operator).get("/enquiries/issuances/"))
    assert "到主管部门账户时间" in shown
    assert "预分配" in shown
    old = instrument(vintage=2021)
    wrong = chains.issued_to_province(plant, {old: 40}, maker, checker)
    confirmed(chains.reversal(wrong, plant, maker), checker)
    assert "已冲正" in text_of(sign_in(operator).get("/enquiries/issuances/"))


def test_n16_today_s_issue_is_reversed_from_the_list(sign_in, plant, maker, checker):
    old = instrument(vintage=2021)
    wrong = chains.issued_to_province(plant, {old: 1_000_000}, maker, checker)
    page = sign_in(maker)
    assert f"/issuance-reversals/new?account={plant.id}&amp;source={wrong}" in text_of(
        page.get("/issuances/")
    )
    address = f"/issuance-reversals/new?account={plant.id}&source={wrong}"
    form = text_of(page.get(address))
    assert 'value="1000000"' in form
    (choice,) = re.findall(r'name="lines-0-choice"[^>]*value="([^"]+)"', form) or re.findall(
        r'value="([^"]+)"[^>]*name="lines-0-choice"', form
    )
    data = {
        **hidden_of(form), "lines-0-choice": choice, "lines-0-quantity": "1000000",
        "reason": "多录一位", "submit": "1",
    }  # fmt: skip
    answer = page.post(address, data=data)
    assert answer.status_code == 302, text_of(answer)
    confirmed(latest("issuance_reversal").id, checker)
    assert quantity(plant, old) == 0


def test_a_commission_s_form_names_what_is_taken_and_the_gap(
    sign_in, plant, cea, maker, checker, office
):
    chains.listed(plant, 2025, office[0])
    chains.issued_to_province(plant, {cea: 800_000}, maker, checker)
    notice = factories.notice(plant, 1_000_000, by=maker)
    page = sign_in(office[0])
    assert f"notice={notice}" in text_of(page.get(f"/commissions/new?account={plant.id}"))
    address = f"/commissions/new?account={plant.id}&notice={notice}"
    form = text_of(page.get(address))
    assert "拟清缴" in form
    assert "清缴后缺口" in form
    data = {**hidden_of(form), "document_no": "鄂环函〔2026〕60号", "reason": "逾期", "submit": "1"}
    answer = page.post(address, data=data)
    assert answer.status_code == 302, text_of(answer)
    assert "200,000" in text_of(page.get(answer.location))
    assert chains.taken(latest("commission").id) == {2025: 800_000}


def test_the_list_is_entered_and_left_in_pages(sign_in, plant, cea, maker, checker, office):
    chains.issued_to_province(plant, {cea: 120}, maker, checker)
    page = sign_in(office[0])
    address = f"/differentiations/new?account={plant.id}"
    form = hidden_of(text_of(page.get(address)))
    data = {**form, "year": "2025", "category": "risk", "document_no": "鄂环函〔2026〕61号",
            "reason": "司法冻结", "submit": "1"}  # fmt: skip
    assert page.post(address, data=data).status_code == 302
    confirmed(latest("differentiation").id, office[1])
    shown = text_of(page.get("/differentiations/"))
    assert "已列入" in shown
    assert "暂不发放" in text_of(page.get("/waiting-allowances/"))
    address = f"/differentiation-removals/new?account={plant.id}&year=2025"
    form = text_of(page.get(address))
    assert "120" in form
    data = {**hidden_of(form), "year": "2025", "document_no": "鄂环函〔2026〕62号",
            "reason": "风险消除", "submit": "1"}  # fmt: skip
    assert page.post(address, data=data).status_code == 302
    confirmed(latest("differentiation_removal").id, office[1])
    assert quantity(plant, cea) == 120
