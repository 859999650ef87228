"""违约处理: what a member is told, and how officers cover a buyer's default."""

from __future__ import annotations

import re

from sqlalchemy import select

from app.extensions import db
from app.models import Application, TradeDefault
from tests.views.toys import table


def last(kind: str) -> Application | None:
    newest = select(Application).where(Application.kind == kind).order_by(Application.id.desc())
    return db.session.scalars(newest).first()


def test_a_member_sees_its_own_defaults_alone(world, sign_in):
    browser = sign_in(world.a.member)
    page = browser.get("/settlement-defaults/").text
    (row,) = table(page)
    assert "123.45" in row
    assert "已补交收" in row
    assert "default-covers" not in page
    assert browser.get("/default-covers/").status_code == 403
    assert browser.get("/money/reserve-provisions/").status_code == 403


def test_an_officer_covers_what_is_overdue(world, sign_in):
    """丁 lacks 405.00 for each of two deals; the reserve has nothing yet."""
    browser = sign_in(world.officers["registry_maker"])
    page = browser.get("/settlement-defaults/?state=overdue").text
    assert len(table(page)) == 2
    address = re.search(r"/default-covers/new\?default=\d+", page)[0]
    form = browser.get(address).text
    assert "丁投资有限公司" in form
    assert "405.00" in form
    answer = browser.post(address, data={"reason": "逾期未补足", "submit": "1"})
    assert answer.status_code == 400
    assert "405.00" in answer.text
    assert "逾期未补足" in answer.text  # What was typed is kept.
    before = last("default_cover").id
    answer = browser.post(address, data={"reason": "逾期未补足", "save": "1"})
    made = last("default_cover")
    assert made.id > before
    assert (made.status, made.lines[0].quantity) == ("draft", 405_00)
    shown = browser.get(f"/default-covers/{made.id}").text
    assert "丁投资有限公司" in shown
    assert "405.00" in shown


def test_no_default_no_page(world, sign_in):
    browser = sign_in(world.officers["registry_maker"])
    for named in ("0", "999999", "x", "%00"):
        assert browser.get(f"/default-covers/new?default={named}").status_code == 404, named
    assert browser.get("/default-covers/new").location.endswith("/settlement-defaults/")


def test_who_can_pay_by_now_is_not_covered(world, sign_in):
    """The trades of 甲's default were delivered."""
    default = db.session.scalars(
        select(TradeDefault.id).where(TradeDefault.account_id == world.a.account.id)
    ).one()
    browser = sign_in(world.officers["registry_maker"])
    answer = browser.post(
        f"/default-covers/new?default={default}", data={"reason": "补足", "submit": "1"}
    )
    assert answer.status_code == 400


def test_fees_are_set_aside_for_the_reserve(world, sign_in):
    """Of 2.40 of fees 1.00 is under review already."""
    browser = sign_in(world.officers["registry_maker"])
    form = browser.get("/money/reserve-provisions/new").text
    assert "工商银行 准备金" in form
    said = {"bank": "ICBC", "reason": "计提", "submit": "1"}
    for amount, wrong in (("1.41", "1.40"), ("0", "0.01"), ("1,0", "1,0"), ("", "请填写")):
        answer = browser.post("/money/reserve-provisions/new", data=said | {"amount": amount})
        assert answer.status_code == 400, amount
        assert wrong in answer.text, amount
    answer = browser.post("/money/reserve-provisions/new", data=said | {"amount": "1", "bank": "x"})
    assert answer.status_code == 400
    assert "请选择结算银行" in answer.text
    answer = browser.post("/money/reserve-provisions/new", data=said | {"amount": "1.40"})
    assert answer.status_code == 302
    made = last("reserve_provision")
    assert (made.status, made.lines[0].quantity) == ("in_review", 140)


def test_what_the_reserve_paid_is_no_receivable_of_the_bank(world, sign_in, tables):
    """The page says that a bank's balance is what is held less these; a cover never left the bank."""
    browser = sign_in(world.officers["registry_maker"])
    before = table(browser.get("/money/banks/").text)
    tables.connection.execute(
        "INSERT INTO receivable (application_id, trade_id, account_id, instrument_id, amount, at)"
        " SELECT 1, id, buyer_id, buyer_money_id, 40500, now() FROM trade LIMIT 1"
    )
    assert table(browser.get("/money/banks/").text) == before
