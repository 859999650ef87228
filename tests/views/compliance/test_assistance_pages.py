"""履约规划, 协助清缴, the confirmation of N51 and 处罚测算 on screen."""

from __future__ import annotations

from datetime import date

import pytest

from app.extensions import db, transaction
from app.models import Account, DailyQuote, Notice
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.compliance.test_compliance import figures
from tests.views.compliance.test_compliance import bare
from tests.views.frame.test_language import english
from tests.views.toys import table


@pytest.fixture
def cea25(plant):
    row = factories.instrument("2025年度配额", vintage=2025)
    factories.give(plant, row, 1000)
    return row


@pytest.fixture
def cea20(plant):
    row = factories.instrument("2019-2020年度配额", vintage=2020)
    factories.give(plant, row, 100)
    return row


@pytest.fixture
def arrear(plant, maker):
    """Of 2024, whose deadline has passed; its plan accepts newer allowances by now."""
    return factories.notice(plant, 300, by=maker, year=2024)


# 履约规划 --------------------------------------------------------------------------------------


def test_the_plan_names_lines_and_what_to_buy_and_fills_the_form(
    sign_in, operator, plant, maker, cea25, cea20, arrear
):
    due = factories.notice(plant, 1000, by=maker)
    browser = sign_in(operator)
    page = browser.get("/surrender-plan/")
    words = bare(page)
    for text in ("履约规划", "剩余应履约量 300", "现有持仓可覆盖 800", "需购入 200", "2025、2026"):
        assert text in words, text
    assert f"{cea20.code} {cea20.name} 100 2024 2 {cea25.code} {cea25.name} 200 2026" in words
    assert english(page.text) == []
    assert "/surrender-plan/" in browser.get("/").text
    assert "/surrender-plan/" in browser.get("/compliance/").text

    address = f"/surrenders/new?notice={arrear}&amp;planned=1"
    assert address in page.text
    assert f"/surrenders/new?notice={due}&amp;planned=1" in page.text
    with factories.nothing_moves():
        form = browser.get(address.replace("&amp;", "&"))
    assert 'value="100"' in form.text
    assert 'value="200"' in form.text


def test_without_a_notice_the_plan_says_so(sign_in, operator, hubei):
    assert "没有待履约" in bare(sign_in(operator).get("/surrender-plan/"))
    assert sign_in(hubei).get("/surrender-plan/").status_code in (302, 403, 404)


# N51 ------------------------------------------------------------------------------------------


def send(browser, address, what, typed, key=None, **more):
    choice = key or str(what.id)
    form = {"lines-0-choice": choice, "lines-0-quantity": typed, "submit": "1", **more}
    return browser.post(address, data=form)


def test_n51_the_confirmation_is_asked_for_and_stays_with_the_application(
    sign_in, operator, cea25, arrear
):
    browser, address = sign_in(operator), f"/surrenders/new?notice={arrear}"
    assert "确认：这些配额也可用于2025、2026年度履约" in bare(browser.get(address))
    with factories.nothing_moves():
        page = send(browser, address, cea25, "300", overdue="1")
    assert page.status_code == 400
    assert "这些配额也可用于2025、2026年度履约，请确认" in bare(page)
    done = send(browser, address, cea25, "300", overdue="1", also_for="y")
    assert done.status_code == 302, bare(done)
    assert figures(arrear) == (0, 300)
    shown = browser.get(done.location.removesuffix("/done"))
    assert "申请单位的确认" in bare(shown)
    assert "2025、2026" in bare(shown)


def test_n51_a_notice_that_is_not_due_yet_asks_for_nothing(sign_in, operator, plant, maker, cea25):
    due = factories.notice(plant, 10, by=maker)
    page = sign_in(operator).get(f"/surrenders/new?notice={due}")
    assert 'name="also_for"' not in page.text


# N53 ------------------------------------------------------------------------------------------


def test_n53_from_the_helper_to_the_province(sign_in, plant, operator, hubei, maker, cea25):
    helper = factories.account("乙发电有限公司", "41")
    factories.give(helper, cea25, 6000)
    owed = factories.notice(plant, 5000, by=maker)
    factories.notice(helper, 70, by=maker)
    number = db.session.get_one(Notice, owed).number
    member_no = db.session.get_one(Account, plant.id).member_no
    browser = sign_in(factories.member(of=helper))
    asked = {"number": number, "member": "21042399999", "confirm": "1"}
    wrong = browser.post("/assisted-surrenders/new", data=asked)
    assert "没有找到该会员编号的其他单位的这份履约通知书" in bare(wrong)
    answer = browser.post("/assisted-surrenders/new", data={**asked, "member": member_no})
    assert answer.status_code == 302
    form = browser.get(answer.location)
    assert "甲发电有限公司" in bare(form)
    assert "本单位的履约通知书尚有70吨应清缴" in bare(form)
    assert "剩余应履约量" not in bare(form)
    assert english(form.text) == []
    done = send(browser, answer.location, cea25, "5000", key=f"{cea25.id}-{plant.id}")
    assert done.status_code == 302, bare(done)
    (row,) = table(browser.get("/assisted-surrenders/").text)
    assert {"甲发电有限公司", number} <= set(row)

    id_ = int(done.location.split("/")[-2])
    asked_of = sign_in(operator)
    assert "协助清缴" in bare(asked_of.get("/reviews/"))
    assert asked_of.get(f"/reviews/{id_}").status_code == 200
    officer = sign_in(hubei)
    assert "协助清缴" not in " ".join(map(str, table(officer.get("/reviews/").text)))
    with transaction():
        engine.approve([id_], Actor.of(operator), now=clock.now()).one()
    assert "协助清缴" in bare(officer.get("/reviews/"))
    assert officer.get(f"/reviews/{id_}").status_code == 200
    with transaction():
        engine.approve([id_], Actor.of(hubei), now=clock.now()).one()
    assert figures(owed) == (5000, 0)


def test_n53_a_notice_is_not_found_by_its_number_alone(sign_in, plant, operator, maker, cea25):
    owed = factories.notice(plant, 5000, by=maker)
    number = db.session.get_one(Notice, owed).number
    browser = sign_in(factories.member(of=factories.account("乙发电有限公司", "41")))
    for query in (f"number={number}", f"number={number}&member=x", f"number=%00&member={owed}"):
        assert browser.get(f"/assisted-surrenders/new?{query}").status_code == 404


# N57 ------------------------------------------------------------------------------------------


def test_n57_officers_see_the_frame_of_a_fine(
    sign_in, plant, operator, hubei, maker, cea25, arrear
):
    with transaction():
        db.session.add(
            DailyQuote(
                venue=factories.venue(), instrument_id=cea25.id, day=date(2025, 12, 30), close=6543,
                listed_quantity=20_000_000, listed_amount=130_860_000_000, block_quantity=0,
                block_amount=0, auction_quantity=0, auction_amount=0,
            )
        )  # fmt: skip
    words = bare(sign_in(hubei).get(f"/compliance-notices/{arrear}"))
    for text in (
        "处罚测算",
        "截止时未足额清缴量 300",
        "65.43",
        "98,145.00",
        "196,290.00",
        "逾期未足额",
    ):
        assert text in words, text
    assert "处罚测算" not in bare(sign_in(operator).get(f"/compliance/{arrear}"))
