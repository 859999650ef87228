"""登记划转 by its forms: input, refusals, double submission."""

from __future__ import annotations

import re
import threading
from html import unescape
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.datastructures import MultiDict

from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, ApplicationLine, Member, TransferPermissionChange, Venue
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from tests import factories
from tests.factories import nothing_moves, quantity

NEW = "/transfers/registry-to-trading/new"
LIST = "/transfers/registry-to-trading/"
SWITCH = "/transfers/permission/switch/"


@pytest.fixture
def a(app):
    """甲's account."""
    return factories.account()


@pytest.fixture
def what(a):
    """An instrument of which 甲 holds 700 tonnes."""
    return factories.issued_to(a, 700)


@pytest.fixture
def operator(a) -> Member:
    return factories.member(of=a)


@pytest.fixture
def browser(sign_in, operator):
    return sign_in(operator)


def filled(*lines: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """Return the form data of lines of (instrument, quantity), as sent by 提交."""
    form: dict[str, Any] = {"submit": "1", "reason": "交易需要"}
    for index, (instrument, typed) in enumerate(lines):
        form[f"lines-{index}-choice"] = str(getattr(instrument, "id", instrument))
        form[f"lines-{index}-quantity"] = str(typed)
        form[f"lines-{index}-venue"] = str(factories.venue().id)
    db.session.commit()
    return form | more


def applications() -> list[Application]:
    db.session.rollback()
    return list(db.session.scalars(select(Application).order_by(Application.id)))


def errors(page: str) -> list[str]:
    """Return the messages at fields."""
    found = re.findall(r'class="field-error"[^>]*>(.*?)</div>', page, re.S)
    return [unescape(text).strip() for text in found]


def told(page: str) -> str:
    """Return the messages above the form."""
    bodies = re.findall(r'class="message-body">(.*?)</div>', page, re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", " ".join(bodies))).split())


def value(page: str, name: str) -> str | None:
    field = re.search(rf'<input[^>]*\bname="{name}"[^>]*>', page)
    found = field and re.search(r'\bvalue="([^"]*)"', field[0])
    return unescape(found[1]) if found else None


# 新增 and 提交 ------------------------------------------------------------------------------------


def test_submitting_moves_the_tonnes_at_once(browser, a, what):
    response = browser.post(NEW, data=filled((what, 100)))
    (made,) = applications()
    assert response.location == f"{LIST}{made.id}/done"
    page = browser.get(response.location).text
    assert "操作成功!" in page
    assert "如果您没有其他的问题, 可以点击返回" in page
    assert made.number in page
    assert "2026-11-20" in page
    assert (quantity(a, what), quantity(a, what, Bucket.PENDING_TO_TRADING)) == (600, 100)


def test_several_instruments_go_all_or_none(browser, a, what):
    other = factories.instrument("2021年度碳排放配额")
    factories.give(a, other, 50)
    with nothing_moves():
        response = browser.post(NEW, data=filled((what, 100), (other, 51)))
    assert response.status_code == 400
    assert errors(response.text) == ["标的“2021年度碳排放配额”：申请 51 吨，超过可用量 50 吨"]
    assert value(response.text, "lines-0-quantity") == "100"
    assert not applications()
    assert browser.post(NEW, data=filled((what, 100), (other, 50))).status_code == 302
    assert (quantity(a, what), quantity(a, other)) == (600, 0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "请输入数量（整数吨）"),
        ("0", "数量至少为 1 吨"),
        ("-5", "数量须为大于 0 的整数"),
        ("1.5", "数量须为大于 0 的整数"),
        ("1e3", "数量须为大于 0 的整数"),
        ("１００", "数量须为大于 0 的整数"),
        ("1,000", "数量须为大于 0 的整数"),
        ("一百", "数量须为大于 0 的整数"),
        ("100 吨", "数量须为大于 0 的整数"),
        ("0x10", "数量须为大于 0 的整数"),
        (str(2**63), "数量"),
        ("9" * 400, "数量"),
        ("701", "超过可用量 700 吨"),
    ],
)
def test_a_bad_quantity_is_told_at_its_field_and_kept(browser, what, typed, said):
    with nothing_moves():
        response = browser.post(NEW, data=filled((what, typed), reason="试一试"))
    assert response.status_code == 400
    (error,) = errors(response.text)
    assert said in error
    assert value(response.text, "lines-0-quantity") == typed
    assert 'aria-invalid="true"' in response.text
    assert ">试一试</textarea>" in re.sub(r"\s*\n", "", response.text)
    assert not applications()


def test_markup_in_a_quantity_is_shown_as_it_was_typed(browser, what):
    page = browser.post(NEW, data=filled((what, "<b>1</b>"))).text
    assert "<b>1</b>" not in page
    assert "<b>1</b>" in errors(page)[0]  # Unescaped by the reader of the page.


def test_spaces_around_a_quantity_do_no_harm(browser, a, what):
    assert browser.post(NEW, data=filled((what, " 100 "))).status_code == 302
    assert quantity(a, what) == 600


def test_nothing_chosen(browser, what):
    response = browser.post(NEW, data=filled())
    assert response.status_code == 400
    assert "请至少选择一个标的" in told(response.text)
    assert not applications()


def test_the_venue_has_to_be_chosen(browser, what):
    response = browser.post(NEW, data=filled((what, 1)) | {"lines-0-venue": ""})
    assert response.status_code == 400
    assert errors(response.text) == ["请选择划转交易端"]
    assert not applications()


def test_too_late_it_is_refused_and_kept_as_a_draft(browser, a, what):
    with transaction():
        clock.set_to(factories.at("15:00"), SYSTEM)
    form = filled((what, 100), request_key="late-0001")
    with nothing_moves():
        response = browser.post(NEW, data=form)
    (made,) = applications()
    assert response.location == f"{LIST}{made.id}"
    page = browser.get(response.location).text
    assert "划转申请须于交易日 15:00 前提交。2026-11-20 的截止时间已过（现在 15:0" in page
    assert "请于下一交易日（2026-11-23）提交" in page
    assert "您填写的内容已保存为草稿" in page
    assert made.status == "draft"
    assert [(line.instrument_id, line.quantity) for line in made.lines] == [(what.id, 100)]

    browser.post(NEW, data=form)  # 提交 pressed once more.
    assert len(applications()) == 1
    with transaction():
        clock.set_to(factories.at("10:00", day=23), SYSTEM)
    page = browser.get(f"{LIST}{made.id}/edit").text
    assert value(page, "lines-0-quantity") == "100"
    response = browser.post(f"{LIST}{made.id}/edit", data=filled((what, 200)))
    assert response.location == f"{LIST}{made.id}/done"
    assert quantity(a, what, Bucket.PENDING_TO_TRADING) == 200
    assert len(applications()) == 1


@pytest.mark.parametrize("day", [21, 22])
def test_on_a_weekend_it_is_refused(browser, what, day):
    with transaction():
        clock.set_to(factories.at("10:00", day=day), SYSTEM)
    with nothing_moves():
        response = browser.post(NEW, data=filled((what, 100)), follow_redirects=True)
    assert "不是交易日" in response.text
    assert [each.status for each in applications()] == ["draft"]


def test_a_restricted_account_is_refused_with_the_reason(browser, a, what):
    with transaction():
        a.is_restricted = True
    with nothing_moves():
        response = browser.post(NEW, data=filled((what, 100)))
    assert response.status_code == 400
    assert "账户已被限制使用" in told(response.text)
    assert not applications()


# The picker ---------------------------------------------------------------------------------------


def test_picking_adds_lines_and_keeps_what_was_typed(browser, a, what):
    other, gone = factories.instrument(), factories.instrument()
    factories.give(a, other, 5)
    form = filled((what, "abc"), picked=[str(what.id), str(other.id), str(gone.id)], pick="1")
    del form["submit"]
    response = browser.post(NEW, data=form, follow_redirects=True)
    assert response.status_code == 200
    assert errors(response.text) == []
    assert told(response.text) == ""
    assert value(response.text, "lines-0-quantity") == "abc"
    assert value(response.text, "lines-1-choice") == str(other.id)
    assert "lines-2-" not in response.text
    assert not applications()


def test_the_picker_says_why_something_cannot_be_chosen(browser, a):
    without_code = factories.instrument("无交易代码的配额", trade_code=None)
    factories.give(a, without_code, 5)
    page = browser.get(NEW).text
    assert "没有交易端的交易代码" in page
    assert re.search(rf'value="{without_code.id}"[^>]*disabled', page)
    form = {"pick": "1", "picked": str(without_code.id)}
    assert "lines-0-" not in browser.post(NEW, data=form, follow_redirects=True).text


def test_an_instrument_without_trade_code_cannot_be_submitted(browser, a):
    without_code = factories.instrument("无交易代码的配额", trade_code=None)
    factories.give(a, without_code, 5)
    with nothing_moves():
        response = browser.post(NEW, data=filled((without_code, 5)))
    assert response.status_code == 400
    assert len(errors(response.text)) == 1
    assert not applications()


# Twice, and at once -------------------------------------------------------------------------------


def test_a_form_sent_twice_makes_one_application(browser, a, what):
    form = filled((what, 100), request_key="the-same-key-1")
    first, second = browser.post(NEW, data=form), browser.post(NEW, data=form)
    assert first.location == second.location
    assert len(applications()) == 1
    assert quantity(a, what) == 600


def test_a_form_sent_twice_at_the_same_moment_makes_one_application(
    app, sign_in, operator, a, what
):
    browser = sign_in(operator)
    form = filled((what, 100), request_key="the-same-key-2")
    answers: list[Any] = []

    def send() -> None:
        again = app.test_client()
        again.arm(token=token)
        answers.append(again.post(NEW, data=form))

    with browser.session_transaction() as session:
        token = session["token"]
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [302, 302]
    assert len(applications()) == 1
    assert quantity(a, what) == 600


def test_another_form_s_key_is_not_taken_over(sign_in, browser, what):
    """A key used by somebody else leads to nothing of theirs."""
    browser.post(NEW, data=filled((what, 100), request_key="stolen-key-1"))
    b = factories.account("乙水泥有限公司", "31")
    factories.give(b, what, 10)
    form = filled((what, 5), request_key="stolen-key-1")
    with nothing_moves():
        response = sign_in(factories.member(of=b)).post(NEW, data=form)
    assert response.status_code in (400, 404)
    (mine,) = applications()
    assert mine.number not in response.text


def test_a_form_without_its_token_is_refused(browser, what):
    browser.csrf_token = ""
    with nothing_moves():
        for path in (NEW, f"{LIST}1/withdraw", SWITCH + "on", f"{LIST}columns"):
            assert browser.post(path, data=filled((what, 100))).status_code == 400, path
    assert not applications()


# 撤回 ---------------------------------------------------------------------------------------------


def test_withdrawing_gives_the_tonnes_back(browser, a, what, operator):
    made = factories.submitted("registry_to_trading", operator, {what: 100})
    response = browser.post(f"{LIST}{made.id}/withdraw", follow_redirects=True)
    assert f"申请 {made.number} 已撤回" in response.text
    assert (quantity(a, what), quantity(a, what, Bucket.PENDING_TO_TRADING)) == (700, 0)
    with nothing_moves():
        again = browser.post(f"{LIST}{made.id}/withdraw", follow_redirects=True)
    assert "不能进行此操作" in again.text


def test_what_has_settled_cannot_be_withdrawn(app, browser, what, operator):
    from app.operations.ledger import settlement

    made = factories.submitted("registry_to_trading", operator, {what: 100})
    with transaction():
        settlement.settle_day(factories.at("15:30").date(), SYSTEM, now=factories.at("15:30"))
    with nothing_moves():
        page = browser.post(f"{LIST}{made.id}/withdraw", follow_redirects=True).text
    assert "已于 2026-11-20 日终结算，不能撤回" in page
    assert "已划转" in page
    assert '/withdraw"' not in browser.get(LIST).text


def test_a_submitted_application_cannot_be_edited(browser, what, operator):
    made = factories.submitted("registry_to_trading", operator, {what: 100})
    with nothing_moves():
        for answer in (
            browser.get(f"{LIST}{made.id}/edit", follow_redirects=True),
            browser.post(f"{LIST}{made.id}/edit", data=filled((what, 5)), follow_redirects=True),
        ):
            assert "该申请已不能修改" in answer.text


# 划转权限 -----------------------------------------------------------------------------------------


def test_the_switch_and_its_history(browser, a):
    assert "划转权限已开通" in browser.post(SWITCH + "on", follow_redirects=True).text
    again = browser.post(SWITCH + "on", follow_redirects=True)
    assert "划转权限已是开通状态" in again.text
    assert "划转权限已关闭" in browser.post(SWITCH + "off", follow_redirects=True).text
    db.session.rollback()
    changes = db.session.scalars(
        select(TransferPermissionChange.is_allowed).order_by(TransferPermissionChange.id)
    )
    assert list(changes) == [True, False]
    assert browser.post(SWITCH + "maybe").status_code == 404


@pytest.mark.parametrize("role", ["province", "registry_maker"])
def test_officers_can_only_read(sign_in, a, what, operator, role):
    made = factories.submitted("registry_to_trading", operator, {what: 100})
    officer = factories.member(role, province="42" if role == "province" else None)
    browser = sign_in(officer)
    assert browser.get(f"{LIST}{made.id}").status_code == 200
    with nothing_moves():
        for path in (NEW, f"{LIST}{made.id}/edit", f"{LIST}{made.id}/withdraw", SWITCH + "on"):
            assert browser.post(path, data=filled((what, 1))).status_code == 403, path
    page = browser.get(LIST).text
    assert '/withdraw"' not in page
    assert NEW not in page


# Whatever else may be sent ------------------------------------------------------------------------

GARBAGE = {
    "NUL in a quantity": {"lines-0-quantity": "1\x00"},
    "NUL in a reason": {"reason": "原因\x00"},
    "NUL in an instrument": {"lines-0-choice": "1\x00"},
    "NUL in the key": {"request_key": "abcdefgh\x00"},
    "a long quantity": {"lines-0-quantity": "1" * 10_000},
    "a long reason": {"reason": "因" * 10_000},
    "a long instrument": {"lines-0-choice": "9" * 10_000},
    "a long key": {"request_key": "k" * 10_000},
    "an unknown instrument": {"lines-0-choice": "999999999"},
    "an instrument beyond 64 bits": {"lines-0-choice": str(2**70)},
    "a negative instrument": {"lines-0-choice": "-1"},
    "full-width digits for an instrument": {"lines-0-choice": "１"},
    "an unknown venue": {"lines-0-venue": "999999999"},
    "a venue beyond 64 bits": {"lines-0-venue": str(2**70)},
    "a venue that is no number": {"lines-0-venue": "中股网"},
    "a far line": {"lines-9999-choice": "1", "lines-9999-quantity": "1"},
    "a negative line": {"lines--1-quantity": "1"},
    "a line that is no number": {"lines-x-quantity": "1"},
    "a huge line": {f"lines-{'9' * 30}-quantity": "1"},
    "a lone surrogate": {"reason": "\ud800".encode("utf-8", "surrogatepass")},
    "bytes that are no text": {"reason": b"\xff\xfe", "lines-0-quantity": b"\xff"},
    "a script": {"reason": "<script>alert(1)</script>"},
    "a formula": {"reason": "=1+1"},
    "nothing of a line but its venue": {"lines-3-venue": "1"},
    "unknown fields": {"status": "approved", "account_id": "1", "lines-0-id": "1"},
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("button", ["submit", "save", "pick"])
def test_garbage_is_answered_and_never_breaks(browser, what, operator, name, button):
    made = factories.draft("registry_to_trading", operator, {what: 1})
    form = filled((what, 1)) | GARBAGE[name]
    del form["submit"]
    for path in (NEW, f"{LIST}{made}/edit"):
        response = browser.post(path, data={**form, button: "1", "picked": ["x", "-1", "9" * 40]})
        assert response.status_code < 500, path
        assert "<script>alert" not in response.text


def test_an_instrument_of_others_cannot_be_chosen(browser, what):
    b = factories.account("乙水泥有限公司", "31")
    theirs = factories.instrument("乙独有的配额")
    factories.give(b, theirs, 100)
    with nothing_moves():
        response = browser.post(NEW, data=filled((theirs, 1)))
    assert response.status_code == 400
    assert "该标的不能选择" in response.text
    assert theirs.code not in response.text
    assert not applications()


def test_the_same_instrument_twice_is_refused(browser, what):
    with nothing_moves():
        response = browser.post(NEW, data=filled((what, 100), (what, 100)))
    assert response.status_code == 400
    assert "同一标的不能重复选择" in told(response.text)
    assert not applications()


def test_another_venue_is_refused(browser, what):
    with transaction():
        other = Venue(code="OTHER", name="别的交易端")
        db.session.add(other)
    form = filled((what, 1)) | {"lines-0-venue": str(other.id)}
    with nothing_moves():
        response = browser.post(NEW, data=form)
    assert response.status_code == 400
    assert errors(response.text) == ["请选择列出的划转交易端"]
    assert not applications()


def test_fields_given_many_times_count_once(browser, a, what):
    form = MultiDict(filled((what, 100)))
    form.add("lines-0-quantity", "500")
    form.add("submit", "1")
    browser.post(NEW, data=form)
    assert quantity(a, what) == 600
    assert db.session.scalar(select(func.count()).select_from(ApplicationLine)) == 1


def test_more_lines_than_allowed_do_not_break_it(browser, what):
    form = filled(*[(what, 1)] * 250)
    response = browser.post(NEW, data=form)
    assert response.status_code == 400
    assert not applications()
