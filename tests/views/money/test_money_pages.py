"""资金管理 on screen: amounts in yuan, what was typed is kept, and 待查 is queried."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Application, BankOrder
from app.operations.applications import evidence
from simulators.bank import Bank
from tests import factories
from tests.operations.money import lines
from tests.operations.money.lines import order_of, status_of


@pytest.fixture
def line(app, maker, checker):
    lines.at(lines.MORNING)
    with lines.line_to(Bank(lines.KEY), maker, checker) as found:
        yield found


@pytest.fixture
def jia(line):
    return line.participant("甲发电有限公司", "1000.50")


def send(browser, address: str, **typed: str):
    """Send the form of a page with its own key."""
    page = browser.get(address).text
    key = re.search(r'name="request_key" value="([^"]+)"', page)
    assert key
    return browser.post(address, data={"request_key": key[1], "submit": "1", **typed})


def test_money_is_shown_in_yuan(sign_in, line, jia):
    browser = sign_in(jia)
    line.withdraw(jia, "0.50")
    page = browser.get("/money/").text

    for shown in ("1,000.50", "1,000.00", "0.50", "ICBC银行", "可取", "可用"):
        assert shown in page
    entries = browser.get("/money/entries/").text
    assert "+1,000.50" in entries
    assert "-0.50" in entries
    assert "吨" not in re.sub(r"<nav.*?</nav>", "", entries, flags=re.DOTALL)
    file = browser.get("/money/entries/export.csv").get_data(as_text=True)
    assert ",1000.50," in file
    assert ",-0.50," in file


def test_a_deposit_by_its_form(sign_in, line, jia):
    browser = sign_in(jia)
    answer = send(browser, "/money/deposits/new", amount="250.25", reason="备付")
    asked = db.session.scalars(
        select(Application.id).where(Application.kind == "deposit").order_by(Application.id.desc())
    ).first()

    assert answer.status_code == 302
    assert "250.25" in browser.get(f"/money/deposits/{asked}/done").text
    line.exchange()
    page = browser.get(f"/money/deposits/{asked}").text
    assert all(shown in page for shown in ("250.25", "成功", order_of(asked).bank_serial))
    assert line.money(jia)[0] == 125_075


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "请填写金额（元）"),
        ("1.005", "金额以元为单位，最多两位小数，只用数字0-9（不加正负号、分隔符）：1.005"),
        ("1,000", "金额以元为单位，最多两位小数，只用数字0-9（不加正负号、分隔符）：1,000"),
        ("0.00", "金额不得少于0.01元"),
        ("1000.51", "标的“资金（ICBC银行）”：申请 1,000.51 元，超过可用量 1,000.50 元"),
    ],
)
def test_what_was_typed_is_kept_with_the_reason(sign_in, line, jia, typed, said):
    with factories.nothing_moves():
        answer = send(sign_in(jia), "/money/withdrawals/new", amount=typed)

    assert answer.status_code == 400
    assert said in answer.text
    assert f'value="{typed}"' in answer.text


def test_the_form_says_what_can_be_withdrawn_and_whereto(sign_in, line, jia):
    page = sign_in(jia).get("/money/withdrawals/new").text
    for shown in ("1,000.50", "100,000,000.00", "甲发电有限公司", "ICBC银行", "出金"):
        assert shown in page


def test_without_a_binding_the_form_says_so(sign_in, line):
    other = factories.member(of=factories.account("乙水泥有限公司"))
    page = sign_in(other).get("/money/deposits/new").text
    assert "请先绑定银行账户" in page


def test_a_binding_by_its_form_is_reviewed_by_two(sign_in, line, maker, checker):
    member = factories.member(of=factories.account("乙水泥有限公司"))
    browser = sign_in(member)
    number = "6222020012345678"
    refused = send(
        browser, "/money/bank-accounts/new", bank="ICBC", holder_name="丙公司", bank_account=number
    )
    assert (
        "只能绑定本单位名下的银行账户：户名为“丙公司”，登记账户名称为“乙水泥有限公司”"
        in refused.text
    )
    answer = send(
        browser,
        "/money/bank-accounts/new",
        bank="ICBC",
        holder_name="乙水泥有限公司",
        bank_account=number,
    )
    assert answer.status_code == 302
    asked = db.session.scalars(
        select(Application.id).where(Application.kind == "bank_binding")
    ).one()
    for officer in (maker, checker):
        desk = sign_in(officer)
        shown = desk.get(f"/reviews/{asked}").text
        assert number not in shown
        assert "5678" in shown
        submission = re.search(r'name="submission" value="([^"]*)"', shown)
        desk.post(
            f"/reviews/{asked}/decide", data={"decision": "approve", "submission": submission[1]}
        )
    line.exchange()
    assert status_of(asked) == "approved"
    assert "已确认" in browser.get("/money/bank-accounts/").text


def test_officers_query_what_is_unknown_and_see_its_history(sign_in, line, jia, maker):
    line.bank.fail("transfer", "lost_after")
    line.bank.fail("query", "unknown")
    asked = line.deposit(jia, "20.00")
    line.exchange()
    order = order_of(asked)
    desk = sign_in(maker)

    assert order.state == "unknown"
    assert "待查" in desk.get("/money/transfers/").text
    assert (
        f"/money/deposits/{asked}/withdraw" not in sign_in(jia).get(f"/money/deposits/{asked}").text
    )
    answer = desk.post(f"/money/transfers/{order.id}/query", follow_redirects=True)
    assert f"正在向银行查询转账{order.serial}" in answer.text
    line.exchange()
    page = desk.get(f"/money/transfers/{order.id}").text
    missing = [
        shown
        for shown in ("20.00", "转账应答", "查询结果", "成功", order.serial)
        if shown not in page
    ]
    assert missing == []
    assert sign_in(jia).post(f"/money/transfers/{order.id}/query").status_code in (302, 403, 404)


def test_banks_are_opened_by_the_registry(sign_in, line, jia, maker):
    desk = sign_in(maker)
    page = desk.get("/money/banks/new").text
    assert "BANK_LINES" in page
    refused = desk.post("/money/banks/new", data={"code": "icbc", "name": "某银行"})
    assert "银行代码为2至10位大写字母或数字，如 ICBC；读到的是：icbc" in refused.text
    desk.post("/money/banks/new", data={"code": "CCB", "name": "建设银行"})
    listed = desk.get("/money/banks/").text
    assert "建设银行" in listed
    assert "1,000.50" in listed


def test_what_is_signed_names_currency_amount_and_bank_account(line, jia):
    asked = line.withdraw(jia, "12.30")
    found = evidence.contents([asked])[asked].values

    assert found["lines"] == [
        {"code": "CNY-ICBC", "name": "资金（ICBC银行）", "amount": "12.30", "currency": "CNY"}
    ]
    assert found["total_amount"] == "12.30"
    assert "total" not in found
    assert found["bank"]["holder_name"] == "甲发电有限公司"
    assert len(found["bank"]["account_ending"]) == 4


def test_another_enterprise_sees_nothing_of_it(sign_in, line, jia):
    asked = line.deposit(jia, "20.00")
    line.exchange()
    other = sign_in(factories.member(of=factories.account("乙水泥有限公司")))
    order = db.session.scalars(select(BankOrder.id).where(BankOrder.application_id == asked)).one()

    assert other.get(f"/money/transfers/{order}").status_code == 404
    assert other.get(f"/money/deposits/{asked}").status_code == 404
    for page in ("/money/", "/money/entries/", "/money/transfers/", "/money/deposits/"):
        assert "20.00" not in other.get(page).text
