"""操作员管理 and 操作复核 on their pages: the representative appoints, and one checks the other."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select, text

from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import (
    Account,
    AccountDetail,
    Application,
    Invitation,
    LoginSession,
    Member,
    OperationLog,
    OutboxMessage,
)
from app.operations.accounts import accounts, openings
from app.operations.people import certificates
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import codes_of
from tests.factories import account, draft, member, quantity, submitted, venue
from tests.openings import letters_of
from tests.signing import authority_folder, signing
from tests.signing import fetch as signed_for

__all__ = ["authority_folder", "signing"]

PAGE, SWITCH = "/operators", "/operators/review"
NEWCOMER = {
    "name": "王芳",
    "phone": "13800138000",
    "email": "wang@plant.example.cn",
    "checker": "y",
}
TRANSFER = "registry_to_trading"


def added(browser, **fields: str) -> Member:
    answer = browser.post(f"{PAGE}/new", data=NEWCOMER | fields)
    assert answer.status_code == 302, re.findall(r"field-error[^>]*>([^<]+)", answer.text)
    db.session.expire_all()
    return db.session.scalars(select(Member).order_by(Member.id.desc())).first()


def logged() -> list[str]:
    return list(
        db.session.scalars(
            select(OperationLog.action)
            .where(OperationLog.action.startswith("operator."))
            .order_by(OperationLog.id)
        )
    )


# The operators --------------------------------------------------------------------------------


def test_an_operator_gets_a_number_behind_the_enterprises_and_a_link(plant, operator, sign_in):
    newcomer = added(sign_in(operator))

    assert newcomer.username == f"{plant.member_no}-01"
    assert (newcomer.account_id, newcomer.first_name, newcomer.phone) == (
        plant.id,
        "王芳",
        "13800138000",
    )
    assert codes_of(newcomer) == ["enterprise_checker"]
    assert newcomer.password is None
    mail, sms = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()
    assert (mail.recipient, mail.has_secret) == ("wang@plant.example.cn", True)
    assert (sms.channel, sms.recipient, sms.has_secret) == ("sms", "13800138000", True)
    assert newcomer.username in mail.body
    assert logged() == ["operator.add"]
    second = added(sign_in(operator), email="zhao@plant.example.cn", maker="y")
    assert second.username == f"{plant.member_no}-02"
    assert codes_of(second) == ["enterprise_maker", "enterprise_checker"]


def test_the_link_of_the_mail_is_the_operators_and_used_once(operator, sign_in):
    newcomer = added(sign_in(operator))
    body = db.session.scalars(select(OutboxMessage.body).filter_by(channel="mail")).one()
    token = re.search(r"/first-sign-in/#(\S+)", body)[1]
    kept = db.session.get_one(Invitation, newcomer.id)
    assert token not in (kept.token_hash, *logged())

    with transaction():
        found = openings.redeem(token, ip="192.0.2.1", now=kept.written_at)
    assert found.id == newcomer.id
    with transaction(), pytest.raises(openings.InvalidLink):
        openings.redeem(token, ip="192.0.2.1", now=kept.written_at)


def test_neither_the_phone_nor_the_whole_address_stands_on_the_page_or_in_the_rows(
    operator, sign_in
):
    browser = sign_in(operator)
    newcomer = added(browser)
    for path in (f"{PAGE}/", f"{PAGE}/{newcomer.id}/duties", f"{PAGE}/export.csv"):
        page = browser.get(path).get_data(as_text=True)
        assert "13800138000" not in page
        assert "wang@plant" not in page
    assert "wa***@plant.example.cn" in browser.get(f"{PAGE}/").text
    stored = db.session.scalar(text("SELECT phone FROM ab_user WHERE phone IS NOT NULL"))
    assert stored.startswith("p1:")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "请填写"),
        ("name", "王" * 65, "64"),
        ("phone", "12345", "手机"),
        ("phone", "", "请填写"),
        ("email", "wang", "邮箱"),
        ("email", "", "请填写"),
        ("checker", "", "请选择操作员的职责"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(operator, sign_in, field, value, message):
    form = {name: each for name, each in (NEWCOMER | {field: value}).items() if each}

    answer = sign_in(operator).post(f"{PAGE}/new", data=form)

    assert answer.status_code == 400
    errors = re.findall(r'class="field-error"[^>]*>([^<]+)', answer.text)
    assert len(errors) == 1
    assert message in errors[0] or field in ("phone", "email")
    assert db.session.query(Member).count() == 1


def test_an_address_is_one_persons(operator, sign_in):
    browser = sign_in(operator)
    added(browser)
    answer = browser.post(f"{PAGE}/new", data=NEWCOMER)
    assert answer.status_code == 400
    assert "该邮箱已被其他用户使用" in answer.text


def test_disabling_ends_the_sessions_and_enabling_lets_in_again(plant, operator, sign_in):
    colleague = member("enterprise_maker", of=plant)
    theirs, mine = sign_in(colleague), sign_in(operator)
    assert theirs.get("/").status_code == 200

    mine.post(f"{PAGE}/{colleague.id}/disable")

    assert theirs.get("/").status_code == 302
    db.session.expire_all()
    assert colleague.active is False
    mine.post(f"{PAGE}/{colleague.id}/enable")
    db.session.expire_all()
    assert colleague.active is True
    assert logged() == ["operator.disable", "operator.enable"]


def test_resetting_takes_the_password_and_the_old_link_away(plant, operator, sign_in):
    browser = sign_in(operator)
    newcomer = added(browser)
    before = db.session.get_one(Invitation, newcomer.id).token_hash
    with transaction():
        newcomer.password = "x"

    browser.post(f"{PAGE}/{newcomer.id}/reset")

    db.session.expire_all()
    assert newcomer.password is None
    assert db.session.get_one(Invitation, newcomer.id).token_hash != before
    assert db.session.query(OutboxMessage).filter_by(channel="mail").count() == 2
    assert db.session.query(LoginSession).filter_by(member_id=newcomer.id).count() == 0


def test_duties_are_changed_and_sessions_end(plant, operator, sign_in):
    colleague = member("enterprise_maker", of=plant)
    theirs = sign_in(colleague)

    answer = sign_in(operator).post(f"{PAGE}/{colleague.id}/duties", data={"checker": "y"})

    assert answer.status_code == 302
    db.session.expire_all()
    assert codes_of(colleague) == ["enterprise_checker"]
    assert theirs.get("/").status_code == 302


@pytest.mark.parametrize("role", ["enterprise_maker", "enterprise_checker"])
def test_an_operator_manages_nobody(plant, operator, sign_in, role):
    browser = sign_in(member(role, of=plant))
    assert browser.get(f"{PAGE}/").status_code == 403
    assert browser.post(f"{PAGE}/new", data=NEWCOMER).status_code == 403
    assert browser.post(f"{SWITCH}/switch/on").status_code == 403
    assert db.session.query(Member).count() == 2


# Their certificates ---------------------------------------------------------------------------


def state_of(browser, newcomer) -> str:
    page = browser.get(f"{PAGE}/?member_no={newcomer.username}").text
    return next(each for each in ("无证书", "已发码", "有效", "已挂起", "已吊销") if each in page)


def test_codes_lead_to_a_certificate_and_can_be_sent_again_before(operator, sign_in, signing):
    browser = sign_in(operator)
    newcomer = added(browser)
    first = letters_of(newcomer.username)
    assert first.code not in first.mail
    assert state_of(browser, newcomer) == "已发码"

    browser.post(f"{PAGE}/{newcomer.id}/send-codes")
    second = letters_of(newcomer.username)
    assert second.token != first.token
    with pytest.raises(certificates.InvalidCodes):
        fetch(first)
    fetch(second)
    assert state_of(browser, newcomer) == "有效"

    before = db.session.query(OutboxMessage).count()
    browser.post(f"{PAGE}/{newcomer.id}/send-codes")
    assert "请由注册登记管理机构办理证书补办" in browser.get(f"{PAGE}/").text
    assert db.session.query(OutboxMessage).count() == before


def fetch(letters):
    return signed_for(letters.reference, letters.code)


def test_who_has_a_password_gets_the_codes_alone(plant, operator, sign_in, signing):
    browser = sign_in(operator)
    colleague = member("enterprise_maker", of=plant)
    assert state_of(browser, colleague) == "无证书"
    browser.post(f"{PAGE}/{colleague.id}/send-codes")
    assert "的邮箱和手机号尚未登记" in browser.get(f"{PAGE}/").text
    assert db.session.query(OutboxMessage).count() == 0
    with transaction():
        colleague.email, colleague.phone = "li@plant.example.cn", "13800138009"

    browser.post(f"{PAGE}/{colleague.id}/send-codes")

    mail, sms = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()
    assert (mail.recipient, sms.recipient) == ("li@plant.example.cn", "13800138009")
    assert "first-sign-in" not in mail.body
    assert db.session.get(Invitation, colleague.id) is None


def test_the_representative_suspends_and_revokes(plant, operator, sign_in, signing):
    browser = sign_in(operator)
    newcomer = added(browser)
    certificate = fetch(letters_of(newcomer.username))
    for form, expected in (
        ({"act": "suspend", "remark": "找不到USBKey"}, "已挂起"),
        ({"act": "resume", "remark": "已找到"}, "有效"),
        ({"act": "revoke", "reason": "affiliationChanged", "remark": "离职"}, "已吊销"),
    ):
        answer = browser.post(f"/certificates/{certificate.id}/change", data=form)
        assert answer.status_code == 302
        assert state_of(browser, newcomer) == expected


def test_who_is_disabled_has_no_certificate_that_counts(plant, operator, sign_in, signing):
    browser = sign_in(operator)
    newcomer, late = added(browser), added(browser, email="late@plant.example.cn")
    certificate, waiting = fetch(letters_of(newcomer.username)), letters_of(late.username)
    for person, state in ((newcomer, "已挂起"), (late, "无证书")):
        browser.post(f"{PAGE}/{person.id}/disable")
        browser.post(f"{PAGE}/{person.id}/enable")
        assert state_of(browser, person) == state
    with pytest.raises(certificates.InvalidCodes):
        fetch(waiting)
    form = {"act": "resume", "remark": "已核实"}
    browser.post(f"/certificates/{certificate.id}/change", data=form)
    assert state_of(browser, newcomer) == "有效"


def test_another_enterprise_sends_and_suspends_nothing(plant, operator, sign_in, signing):
    newcomer = added(sign_in(operator))
    certificate = fetch(letters_of(newcomer.username))
    stranger = sign_in(member(of=account("乙水泥有限公司")))
    before = db.session.query(OutboxMessage).count()
    assert stranger.post(f"{PAGE}/{newcomer.id}/send-codes").status_code == 404
    form = {"act": "suspend", "remark": "x"}
    answer = stranger.post(f"/certificates/{certificate.id}/change", data=form)
    assert answer.status_code == 404
    db.session.expire_all()
    assert certificate.state == "active"
    assert db.session.query(OutboxMessage).count() == before


def test_another_enterprises_people_do_not_exist(plant, operator, sign_in):
    other = account("乙水泥有限公司")
    stranger = sign_in(member(of=other))
    colleague = member("enterprise_maker", of=plant)
    assert colleague.username not in stranger.get(f"{PAGE}/").text
    for act in ("disable", "enable", "reset", "duties"):
        assert stranger.post(f"{PAGE}/{colleague.id}/{act}").status_code == 404
    assert sign_in(operator).post(f"{PAGE}/{operator.id}/disable").status_code == 404


# 操作复核 -----------------------------------------------------------------------------------------


@pytest.fixture
def maker(plant, operator):
    return member("enterprise_maker", of=plant)


@pytest.fixture
def checker(plant, operator):
    return member("enterprise_checker", of=plant)


@pytest.fixture
def asked(plant, operator, checker):
    with transaction():
        accounts.ask_colleagues(plant.id, Actor.of(operator), asks=True, now=clock.now())


def transfer(cea) -> dict[str, str]:
    return {
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "100",
        "lines-0-venue": str(venue().id),
        "submit": "1",
    }


def test_it_is_switched_by_the_representative_with_its_history(plant, operator, checker, sign_in):
    browser = sign_in(operator)
    browser.post(f"{SWITCH}/switch/on")
    db.session.expire_all()
    assert db.session.get_one(Account, plant.id).needs_colleague is True
    page = browser.get(f"{SWITCH}/").text
    assert "关闭操作复核" in page
    assert "开启" in page


def test_the_switch_is_mailed_to_everybody_of_the_enterprise(plant, operator, checker, sign_in):
    with transaction():
        db.session.add(
            AccountDetail(account_id=plant.id, representative_email="rep@plant.example.cn")
        )
        checker.email = "liu@plant.example.cn"
        gone = member("enterprise_maker", of=plant)
        gone.email, gone.active = "gone@plant.example.cn", False
    browser = sign_in(operator)
    for to, words in (("on", "开启"), ("off", "关闭")):
        browser.post(f"{SWITCH}/switch/{to}")
        letters = db.session.scalars(
            select(OutboxMessage).order_by(OutboxMessage.id.desc()).limit(2)
        ).all()
        assert {each.recipient for each in letters} == {
            "rep@plant.example.cn",
            "liu@plant.example.cn",
        }
        assert all(words in each.body and operator.username in each.body for each in letters)
    assert db.session.query(OutboxMessage).count() == 4


def test_alone_it_cannot_be_switched_on(plant, operator, maker, sign_in):
    browser = sign_in(operator)
    browser.post(f"{SWITCH}/switch/on")
    assert "请先添加具有复核职责的操作员" in browser.get(f"{SWITCH}/").text
    assert db.session.get_one(Account, plant.id).needs_colleague is False


@pytest.mark.parametrize("act", ["disable", "duties"])
def test_the_last_who_may_review_stays(plant, operator, checker, asked, sign_in, act):
    browser = sign_in(operator)
    browser.post(f"{PAGE}/{checker.id}/{act}", data={"maker": "y"})
    db.session.expire_all()
    assert (checker.active, codes_of(checker)) == (True, ["enterprise_checker"])
    assert logged() == []


def test_a_maker_submits_and_a_checker_agrees(plant, operator, maker, checker, asked, cea, sign_in):
    venue()
    db.session.commit()
    browser = sign_in(maker)
    answer = browser.post("/transfers/registry-to-trading/new", data=transfer(cea))
    assert answer.status_code == 302
    assert "等待本单位另一名操作员复核" in browser.get(answer.location).text
    case = db.session.scalars(select(Application)).one()
    assert (case.status, case.step) == ("in_review", -1)
    assert browser.get("/reviews/").status_code == 403

    second = sign_in(checker)
    assert case.number in second.get("/reviews/").text
    assert "等待本单位另一名操作员复核" in second.get(f"/reviews/{case.id}").text
    assert second.post("/transfers/registry-to-trading/new").status_code == 403
    assert (
        second.post(f"/reviews/{case.id}/decide", data={"decision": "approve"}).status_code == 302
    )

    db.session.expire_all()
    assert case.status == "pending_settlement"
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 100
    assert case.number in second.get("/reviewed/").text


def test_the_submitter_is_not_asked_and_cannot_agree(plant, operator, checker, asked, cea, sign_in):
    case = submitted(TRANSFER, operator, {cea: 100})
    browser = sign_in(operator)
    assert case.number not in browser.get("/reviews/").text
    assert (
        browser.post(f"/reviews/{case.id}/decide", data={"decision": "approve"}).status_code == 404
    )
    assert 'class="count' in sign_in(checker).get("/").text


def test_others_are_not_asked_before_the_colleague(plant, operator, checker, asked, cea, sign_in):
    case = submitted("voluntary_cancellation", operator, {cea: 100}, reason="碳中和")
    officer = sign_in(member("registry_maker"))
    stranger = sign_in(member(of=account("乙水泥有限公司")))
    for browser in (officer, stranger):
        assert case.number not in browser.get("/reviews/").text
        assert browser.get(f"/reviews/{case.id}").status_code == 404

    sign_in(checker).post(f"/reviews/{case.id}/decide", data={"decision": "approve"})

    assert case.number in officer.get("/reviews/").text


def test_a_checker_enters_nothing(plant, checker, cea, sign_in):
    browser = sign_in(checker)
    for path in ("/transfers/registry-to-trading", "/voluntary-cancellations", "/account-changes"):
        assert browser.get(f"{path}/").status_code == 200
        assert browser.get(f"{path}/new").status_code == 403


def test_who_drafted_may_agree_to_what_a_colleague_changed_and_submitted(
    plant, operator, checker, asked, cea, sign_in
):
    made = draft("voluntary_cancellation", operator, {cea: 5}, reason="碳中和")
    maker = member("enterprise_maker", of=plant)
    form = {
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "7",
        "reason": "碳中和",
        "submit": "1",
    }
    sign_in(maker).post(f"/voluntary-cancellations/{made}/edit", data=form)
    assert db.session.get_one(Application, made).step == -1
    assert sign_in(operator).get(f"/reviews/{made}").status_code == 200


def test_the_security_index_counts_a_second_person(plant, operator, sign_in):
    browser = sign_in(operator)
    advice = "登记第二名操作员"
    before = browser.get("/").text
    member("enterprise_checker", of=plant)
    assert (advice in before) or ("第二" in before)
    assert browser.get("/").text != before
