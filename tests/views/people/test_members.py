"""用户列表: 系统管理员 registers, 安全管理员 sends codes, a replacement needs both."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from cryptography import x509
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Certificate, CertificateEnrolment, Member, OperationLog, OutboxMessage
from app.operations.people import certificates, members
from app.operations.records.actor import SYSTEM, Actor
from app.security.roles import ROLES, codes_of
from tests.factories import account, member
from tests.openings import letters_of
from tests.signing import authority_folder, certified, csr, fetch, signing

__all__ = ["authority_folder", "signing"]

PAGE = "/members"
NEWCOMER = {
    "number": "R0009",
    "name": "登记经办 王芳",
    "role": "registry_maker",
    "province": "",
    "email": "wang@registry.example.cn",
    "phone": "13800138000",
}


@pytest.fixture
def system(app, sign_in):
    return sign_in(member("system_admin"))


@pytest.fixture
def security(app, sign_in):
    return sign_in(member("security_admin"))


@pytest.fixture
def officer(app) -> Member:
    row = member("registry_maker")
    with transaction():
        row.email, row.phone = "officer@registry.example.cn", "13800138001"
    return row


def find(number: str) -> Member | None:
    db.session.rollback()
    return db.session.scalars(select(Member).where(Member.username == number)).one_or_none()


def sent() -> list[tuple[str, str]]:
    db.session.rollback()
    rows = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id))
    return [(row.channel, row.recipient) for row in rows]


def logged(prefix: str) -> list[str]:
    db.session.rollback()
    query = select(OperationLog.action).where(OperationLog.action.startswith(prefix))
    return list(db.session.scalars(query.order_by(OperationLog.id)))


def fetched(person: Member) -> Certificate:
    """Enrol with both letters."""
    letters = letters_of(person.username)
    return fetch(letters.reference, letters.code)


# Registering ----------------------------------------------------------------------------------


def test_one_administrator_registers_and_another_has_the_codes_sent(system, security, signing):
    assert system.post(f"{PAGE}/new", data=NEWCOMER).status_code == 302
    newcomer = find("R0009")
    assert codes_of(newcomer) == ["registry_maker"]
    assert (newcomer.password, newcomer.account_id, newcomer.phone) == (None, None, "13800138000")
    assert sent() == [("mail", "wang@registry.example.cn")]
    assert logged("member.") == ["member.add", "member.invite"]
    assert "无证书" in security.get(f"{PAGE}/?member_no=R0009").text

    assert security.post(f"{PAGE}/{newcomer.id}/send-codes").status_code == 302
    assert len(sent()) == 1  # One alone sends nothing.
    assert "待确认" in system.get(f"{PAGE}/?member_no=R0009").text
    assert system.post(f"{PAGE}/{newcomer.id}/confirm").status_code == 302
    assert sent()[1:] == [("mail", "wang@registry.example.cn"), ("sms", "13800138000")]
    assert "已发码" in security.get(f"{PAGE}/?member_no=R0009").text
    rows = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()
    reference = re.search(r"\b\d{10}\b", rows[1].body)[0]
    code = re.search(r"[2-9A-Z]{10}", rows[2].body)[0]
    assert code not in rows[1].body
    assert reference not in rows[2].body
    assert fetch(reference, code).member_id == newcomer.id
    assert "有效" in security.get(f"{PAGE}/?member_no=R0009").text


def test_neither_administrator_can_do_the_others_part(system, security, officer, people_before):
    assert security.get(f"{PAGE}/new").status_code == 403
    assert security.post(f"{PAGE}/new", data=NEWCOMER).status_code == 403
    for act in ("contact", "invite", "disable", "enable", "confirm"):
        assert security.post(f"{PAGE}/{officer.id}/{act}").status_code == 403, act
    for act in ("send-codes", "replace", "role", "reset"):
        assert system.post(f"{PAGE}/{officer.id}/{act}").status_code == 403, act
    assert people_before() == 0
    assert sent() == []


@pytest.fixture
def people_before(app):
    """Return a function that tells whether members or enrolments were added."""
    before = db.session.query(Member).count()
    return lambda: (
        db.session.query(Member).count() - before + db.session.query(CertificateEnrolment).count()
    )


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"system_admin", "security_admin", "auditor"}))
def test_nobody_else_registers_or_certifies(app, sign_in, role, officer):
    of = account() if ROLES[role].scope == "account" else None
    more = {"province": "42"} if ROLES[role].scope == "province" else {}
    browser = sign_in(member(role, of=of, **more))
    for path in ("new", f"{officer.id}/send-codes", f"{officer.id}/confirm"):
        assert browser.post(f"{PAGE}/{path}").status_code == 403
    assert sent() == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("number", "", "编号以大写字母开头"),
        ("number", "21042300009", "编号以大写字母开头"),
        ("number", "R0009\x00", "编号以大写字母开头"),
        ("name", "", "请填写"),
        ("role", "", "请选择角色"),
        ("role", "enterprise", "请选择角色"),
        ("role", "nobody", "请选择角色"),
        ("province", "42", "其他人员不选择省份"),
        ("email", "wang", "邮箱"),
        ("phone", "123", "手机"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(system, people_before, field, value, message):
    answer = system.post(f"{PAGE}/new", data=NEWCOMER | {field: value})
    assert answer.status_code == 400
    errors = re.findall(r'class="field-error"[^>]*>([^<]+)', answer.text)
    assert len(errors) == 1
    assert message in errors[0]
    assert people_before() == 0
    assert sent() == []


@pytest.mark.parametrize(
    ("more", "message"),
    [({"email": "officer@registry.example.cn"}, "该邮箱已被"), ({"number": "TAKEN"}, "已被使用")],
)
def test_number_and_address_are_one_persons(system, officer, cluster, more, message):
    with cluster.connect("registry") as connection:
        connection.execute("UPDATE ab_user SET username = 'TAKEN' WHERE id = %s", [officer.id])
    answer = system.post(f"{PAGE}/new", data=NEWCOMER | more)
    assert answer.status_code == 400
    assert message in answer.text


def test_a_province_is_registered_with_its_province(system):
    data = NEWCOMER | {"number": "P43", "role": "province"}
    assert system.post(f"{PAGE}/new", data=data).status_code == 400
    assert system.post(f"{PAGE}/new", data=data | {"province": "99"}).status_code == 400
    assert system.post(f"{PAGE}/new", data=data | {"province": "43"}).status_code == 302
    assert find("P43").province == "43"


def test_a_link_is_sent_again_until_there_is_a_password(system, officer):
    system.post(f"{PAGE}/new", data=NEWCOMER)
    newcomer = find("R0009")
    system.post(f"{PAGE}/{newcomer.id}/invite")
    assert sent() == [("mail", "wang@registry.example.cn")] * 2
    system.post(f"{PAGE}/{officer.id}/invite")
    assert "该用户已设置密码" in system.get(f"{PAGE}/").text
    assert len(sent()) == 2


def test_contact_details_change_and_both_addresses_are_told(system, officer):
    page = system.get(f"{PAGE}/{officer.id}/contact").text
    assert "138****8001" in page
    assert "13800138001" not in page
    data = {"email": "new@registry.example.cn", "phone": "13900139000"}
    assert system.post(f"{PAGE}/{officer.id}/contact", data=data).status_code == 302
    db.session.expire_all()
    assert (officer.email, officer.phone) == ("new@registry.example.cn", "13900139000")
    assert sent() == [
        ("mail", "new@registry.example.cn"),
        ("mail", "officer@registry.example.cn"),
    ]
    assert logged("member.contact") == ["member.contact"]


# Certificates ---------------------------------------------------------------------------------


def test_codes_sent_again_end_those_before(system, security, officer, signing):
    for _ in range(2):
        security.post(f"{PAGE}/{officer.id}/send-codes")
    db.session.rollback()
    states = db.session.scalars(
        select(CertificateEnrolment.state).order_by(CertificateEnrolment.id)
    ).all()
    assert states == ["lapsed", "asked"]
    for _ in range(2):
        security.post(f"{PAGE}/{officer.id}/send-codes")
        system.post(f"{PAGE}/{officer.id}/confirm")
    assert len(sent()) == 4


def test_without_an_address_nothing_is_opened(security, signing):
    lonely = member("registry_checker")
    security.post(f"{PAGE}/{lonely.id}/send-codes")
    assert "的邮箱和手机号尚未登记" in security.get(f"{PAGE}/").text
    assert db.session.query(CertificateEnrolment).count() == 0


def test_nobody_has_codes_sent_to_oneself(app, sign_in, signing):
    own = member("security_admin")
    certified(own)
    browser = sign_in(own)
    page = browser.post(f"{PAGE}/{own.id}/replace", data={"reason": "遗失"})
    assert page.status_code == 400
    assert "不能对自己" in page.text
    assert f"{PAGE}/{own.id}/send-codes" not in browser.get(f"{PAGE}/").text
    browser.post(f"{PAGE}/{own.id}/send-codes")
    assert db.session.query(CertificateEnrolment).filter_by(state="used").count() == 1
    assert db.session.query(CertificateEnrolment).count() == 1


def test_a_disabled_member_gets_nothing(security, officer, signing):
    with transaction():
        officer.active = False
    security.post(f"{PAGE}/{officer.id}/send-codes")
    assert "该会员已停用" in security.get(f"{PAGE}/").text
    assert sent() == []
    assert db.session.query(CertificateEnrolment).count() == 0


def test_disabling_suspends_the_certificate_and_enabling_does_not_resume_it(
    system, security, officer, signing
):
    revoked = certified(officer)
    with transaction():
        certificates.revoke(revoked.id, "keyCompromise", SYSTEM, now=datetime.now(UTC))
        again = certificates.open_enrolment(
            officer.id,
            Actor.of(member("registry_maker")),
            now=datetime.now(UTC),
            confirmed_by=Actor.of(officer),
        )
    held = fetch(again.reference, again.code)
    assert "启用不会自动恢复证书" in system.get(f"{PAGE}/").text

    system.post(f"{PAGE}/{officer.id}/disable")
    assert listed() == {revoked.serial: "key_compromise", held.serial: "certificate_hold"}
    assert certificates.status(int(held.serial, 16)).reason == "certificateHold"
    form = {"act": "resume", "remark": "核实"}
    answer = security.post(f"/certificates/{held.id}/change", data=form)
    assert "该会员已停用" in answer.text

    system.post(f"{PAGE}/{officer.id}/enable")
    assert set(listed()) == {revoked.serial, held.serial}
    security.post(f"/certificates/{held.id}/change", data=form)
    assert listed() == {revoked.serial: "key_compromise"}


def listed() -> dict[str, str]:
    """Publish a revocation list, and return its serial numbers and reasons."""
    with transaction():
        crl = x509.load_der_x509_crl(certificates.publish_crl(SYSTEM, now=datetime.now(UTC)).der)
    return {
        f"{line.serial_number:x}": line.extensions.get_extension_for_class(
            x509.CRLReason
        ).value.reason.name
        for line in crl
        if certificates.find(line.serial_number)  # The process knows other tests', too.
    }


def test_enterprises_people_are_not_the_administrators(system, security, signing):
    person = member(of=account())
    for browser, acts in (
        (system, ("contact", "invite", "confirm")),
        (security, ("send-codes", "replace")),
    ):
        for act in acts:
            assert browser.post(f"{PAGE}/{person.id}/{act}").status_code == 404, act
    assert sent() == []


def test_a_replacement_is_asked_for_by_one_and_confirmed_by_the_other(
    system, security, officer, signing
):
    old = certified(officer)
    before = len(sent())
    answer = security.post(f"{PAGE}/{officer.id}/send-codes")
    assert answer.location.endswith(f"{PAGE}/{officer.id}/replace")  # It takes a reason.
    assert len(sent()) == before

    page = security.post(f"{PAGE}/{officer.id}/replace", data={"reason": ""})
    assert page.status_code == 400
    assert "请填写原因" in page.text
    assert security.post(f"{PAGE}/{officer.id}/replace", data={"reason": "遗失"}).status_code == 302
    assert len(sent()) == before  # Nothing goes out on one word.
    assert "待确认" in system.get(f"{PAGE}/").text

    assert system.post(f"{PAGE}/{officer.id}/confirm").status_code == 302
    row = db.session.scalars(
        select(CertificateEnrolment).where(CertificateEnrolment.state == "open")
    ).one()
    roles = [codes_of(db.session.get_one(Member, id_)) for id_ in (row.opened_by, row.confirmed_by)]
    assert roles == [["security_admin"], ["system_admin"]]
    made = fetched(officer)
    db.session.expire_all()
    assert (made.state, old.state, old.reason) == ("active", "revoked", "superseded")
    assert logged("certificate.ask") == ["certificate.ask"]


def test_what_was_not_asked_for_is_not_confirmed(system, security, officer, signing):
    certified(officer)
    before = len(sent())
    system.post(f"{PAGE}/{officer.id}/confirm")
    assert "没有待确认的证书申请" in system.get(f"{PAGE}/").text
    security.post(f"{PAGE}/{officer.id}/replace", data={"reason": "遗失"})
    system.post(f"{PAGE}/{officer.id}/confirm")
    system.post(f"{PAGE}/{officer.id}/confirm")  # Once.
    assert len(sent()) == before + 2


def test_the_asking_rows_codes_cannot_be_guessed(security, officer, signing, cluster):
    certified(officer)
    security.post(f"{PAGE}/{officer.id}/replace", data={"reason": "遗失"})
    asked = db.session.scalars(
        select(CertificateEnrolment).where(CertificateEnrolment.state == "asked")
    ).one()
    reference = asked.reference
    for code in ("", "2222222222"):
        with pytest.raises(certificates.InvalidCodes), transaction():
            certificates.enrol(reference, code, csr(), Actor(None, "", ""), now=datetime.now(UTC))


def test_one_person_cannot_confirm_what_the_same_person_asked_for(app, sign_in, officer, signing):
    """Also after a change of role."""
    certified(officer)
    administrator = member("security_admin")
    sign_in(administrator).post(f"{PAGE}/{officer.id}/replace", data={"reason": "遗失"})
    with transaction():
        members.set_roles(administrator.id, ["system_admin"], SYSTEM)
    before = len(sent())
    sign_in(administrator).post(f"{PAGE}/{officer.id}/confirm")
    assert len(sent()) == before
    assert db.session.query(CertificateEnrolment).filter_by(state="open").count() == 0


def test_who_keeps_whose_certificates(app, sign_in, officer, signing):
    """安全管理员: officers', registry officers: enterprises', representatives: operators'."""
    plant = account()
    representative = member(of=plant)
    operator = member("enterprise_maker", of=plant)
    stranger = member(of=account("乙水泥有限公司"))
    checker, security = member("registry_checker"), member("security_admin")
    rows = {
        person.id: certified(person).id
        for person in (officer, representative, operator, stranger, security)
    }
    may = {
        security: {officer},
        checker: {representative, operator, stranger},
        representative: {operator},
        stranger: set(),
    }
    for keeper, kept in may.items():
        browser = sign_in(keeper)
        for person in (officer, representative, operator, stranger, security):
            answer = browser.get(f"/certificates/{rows[person.id]}/change")
            expected = 200 if person in kept else 404
            assert answer.status_code == expected, (keeper.username, person.username)
    assert sign_in(operator).get(f"/certificates/{rows[operator.id]}/change").status_code == 403
    system = sign_in(member("system_admin"))
    assert system.get(f"/certificates/{rows[officer.id]}/change").status_code == 403
