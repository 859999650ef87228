"""首次登录 and 申领证书: one message for every error, and nothing twice."""

from __future__ import annotations

import logging
from base64 import encodebytes
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from sqlalchemy import func, select

from app.extensions import db, transaction
from app.models import Certificate, CertificateEnrolment, Invitation, Member
from app.operations.accounts import openings
from app.operations.people import certificates, passwords
from app.operations.records.actor import SYSTEM
from tests.factories import account, member
from tests.openings import Letters, confirm, enterprise, imported, letters_of, write_letters
from tests.signing import authority_folder, csr, signing, vouchers_of

__all__ = ["authority_folder", "signing"]

LINK, BEGIN, ISSUE = "/first-sign-in/", "/certificate/begin", "/certificate/issue"
PASSWORD = "Riverside-Plant-7"
NUMBER = "26112000001"


@pytest.fixture
def letters(app) -> Letters:
    """Both letters of an opened account."""
    maker, checker = member("registry_maker"), member("registry_checker")
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    return letters_of(NUMBER)


@pytest.fixture
def vouched(letters, signing) -> None:
    """Others have signed for the certificate that the letters lead to."""
    vouchers_of(signing).vouch(letters.reference, letters.code)


@pytest.fixture
def visitor(client):
    """A browser without a session, with the CSRF token."""
    client.arm()
    return client


def chosen(letters: Letters, **changed: str) -> dict[str, str]:
    return {"token": letters.token, "new": PASSWORD, "confirm": PASSWORD} | changed


def asked(letters: Letters, **changed: str) -> dict[str, str]:
    given = {"member_no": NUMBER, "reference": letters.reference, "code": letters.code}
    return given | changed


def pem() -> str:
    """Return a certificate request as the assistant hands it over."""
    words = "CERTIFICATE REQUEST"
    return f"-----BEGIN {words}-----\n{encodebytes(csr()).decode()}-----END {words}-----\n"


def count(table) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


# 首次登录


def test_the_link_leads_to_a_password_and_on_to_the_certificate(letters, visitor):
    assert visitor.get(LINK).status_code == 200
    answer = visitor.post(LINK, data=chosen(letters))
    assert answer.status_code == 302
    assert answer.location == f"/certificate/?member={NUMBER}"
    assert NUMBER in visitor.get(answer.location).text
    person = db.session.query(Member).filter_by(username=NUMBER).one()
    assert passwords.is_right(person.password, PASSWORD)


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "a\x00b", "＃" * 43, "x" * 100_000])
def test_a_wrong_token_says_one_thing_and_changes_nothing(letters, visitor, token):
    answer = visitor.post(LINK, data=chosen(letters, token=token))
    assert answer.status_code == 422
    assert db.session.query(Invitation).one().used_at is None


def test_used_lapsed_and_unknown_tokens_read_the_same(letters, visitor, app):
    visitor.post(LINK, data=chosen(letters))
    used = visitor.post(LINK, data=chosen(letters)).text
    unknown = visitor.post(LINK, data=chosen(letters, token="x" * 43)).text
    with transaction():
        db.session.query(Invitation).update(
            {"used_at": None, "expires_at": datetime.now(UTC) - timedelta(seconds=1)}
        )
    lapsed = visitor.post(LINK, data=chosen(letters)).text
    for page in (used, unknown, lapsed):
        assert "首次登录码无效或已失效" in page


@pytest.mark.parametrize(
    ("new", "again"), [("short", "short"), ("", ""), (PASSWORD, "other"), (NUMBER + "-Aa", "x")]
)
def test_a_password_that_is_refused_leaves_the_link(letters, visitor, new, again):
    assert visitor.post(LINK, data=chosen(letters, new=new, confirm=again)).status_code == 422
    assert visitor.post(LINK, data=chosen(letters)).status_code == 302


def test_a_link_used_at_once_by_many_gives_one_password(app, letters):
    def use(n: int) -> int:
        with app.app_context():
            browser = app.test_client()
            browser.arm()
            typed = f"{PASSWORD}-{n}"
            return browser.post(LINK, data=chosen(letters, new=typed, confirm=typed)).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(use, range(4)))
    assert answers == [302, 422, 422, 422]


def test_a_password_alone_does_not_sign_in(letters, visitor, app, monkeypatch):
    visitor.post(LINK, data=chosen(letters))
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    answer = visitor.post("/login/", data={"member_no": NUMBER, "password": PASSWORD})
    assert answer.location == "/login/certificate"


# 申领证书


def test_two_codes_give_one_certificate(letters, visitor, vouched):
    begun = visitor.post(BEGIN, data=asked(letters))
    assert begun.json["payload"] == {
        "schema": "enrolment/1",
        "member_no": NUMBER,
        "member_name": "江城第1发电有限公司",
    }
    answer = visitor.post(ISSUE, data=asked(letters, csr=pem()))
    assert answer.status_code == 200, answer.text
    certificate = x509.load_pem_x509_certificate(answer.json["certificate"].encode())
    row = db.session.query(Certificate).one()
    assert (row.serial_number, row.member.username) == (certificate.serial_number, NUMBER)
    assert "error" in visitor.post(ISSUE, data=asked(letters, csr=pem())).json
    assert count(Certificate) == 1


def test_whatever_is_wrong_reads_the_same(letters, visitor, vouched, monkeypatch):
    def message(**changed: str) -> str:
        answer = visitor.post(BEGIN, data=asked(letters, **changed))
        assert sorted(answer.json) == ["code", "error"]
        return answer.text

    found = {
        message(code="2222222222"),
        message(reference="0000000000"),
        message(reference="x"),
        message(member_no="26112000009"),
        message(code=""),
        message(code="\x00" * 10),
        message(code="字" * 10),
        message(reference="１２３４５６７８９０"),
    }
    visitor.post(ISSUE, data=asked(letters, csr=pem()))
    found.add(message())
    assert len(found) == 1


def test_five_wrong_tries_lock_the_right_code_out(letters, visitor, vouched):
    for _ in range(5):
        visitor.post(BEGIN, data=asked(letters, code="2222222222"))
    assert "error" in visitor.post(ISSUE, data=asked(letters, csr=pem())).json
    assert db.session.query(CertificateEnrolment).one().state == "locked"


def test_codes_lapse(letters, visitor, vouched, monkeypatch):
    with transaction():
        person = db.session.query(Member).filter_by(username=NUMBER).one()
        now = datetime.now(UTC) - timedelta(days=15)
        codes = certificates.open_enrolment(person.id, SYSTEM, now=now)
    late = asked(letters, reference=codes.reference, code=codes.code, csr=pem())
    assert "error" in visitor.post(ISSUE, data=late).json
    assert "error" in visitor.post(ISSUE, data=asked(letters, csr=pem())).json
    assert count(Certificate) == 0


@pytest.mark.parametrize(
    "bad", ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\n", "\x00", "长" * 9000]
)
def test_a_bad_request_for_a_certificate_costs_no_codes(letters, visitor, vouched, bad):
    answer = visitor.post(ISSUE, data=asked(letters, csr=bad))
    assert "error" in answer.json
    assert "error" not in visitor.post(ISSUE, data=asked(letters, csr=pem())).json


def test_many_at_once_get_one_certificate(app, letters, vouched):
    def apply(_n: int) -> bool:
        with app.app_context():
            browser = app.test_client()
            browser.arm()
            return "certificate" in browser.post(ISSUE, data=asked(letters, csr=pem())).json

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(apply, range(4)))
    assert answers == [False, False, False, True]
    assert count(Certificate) == 1


def test_without_the_signing_process_the_codes_stay(letters, visitor, app, monkeypatch, tmp_path):
    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path))
    answer = visitor.post(ISSUE, data=asked(letters, csr=pem()))
    assert answer.json["code"] == "signer_absent"
    assert db.session.query(CertificateEnrolment).one().state == "open"


def test_an_address_that_only_guesses_is_held_up(letters, visitor, app, monkeypatch):
    monkeypatch.setattr("app.security.lockout.PER_ADDRESS", 3)
    for _ in range(3):
        visitor.post(BEGIN, data=asked(letters, reference="0000000000"))
    assert "error" in visitor.post(BEGIN, data=asked(letters)).json


def test_right_codes_do_not_count_against_the_address(letters, visitor, app, monkeypatch):
    monkeypatch.setattr("app.security.lockout.PER_ADDRESS", 2)
    for _ in range(4):
        assert "error" not in visitor.post(BEGIN, data=asked(letters)).json


def test_nothing_secret_reaches_the_program_s_log(letters, visitor, vouched, caplog):
    caplog.set_level(logging.DEBUG)
    visitor.post(LINK, data=chosen(letters))
    visitor.post(BEGIN, data=asked(letters, code="2222222222"))
    visitor.post(ISSUE, data=asked(letters, csr=pem()))
    written = caplog.text
    for secret in (letters.token, letters.code, PASSWORD):
        assert secret not in written


def test_a_stranger_s_form_needs_its_token(client, letters):
    for address in (LINK, BEGIN, ISSUE):
        assert client.post(address, data=asked(letters)).status_code == 400


def test_a_disabled_member_gets_nothing(letters, visitor, vouched):
    with transaction():
        db.session.query(Member).filter_by(username=NUMBER).update({"active": False})
    assert visitor.post(LINK, data=chosen(letters)).status_code == 422
    assert "error" in visitor.post(ISSUE, data=asked(letters, csr=pem())).json


def test_members_of_older_accounts_have_no_link(app, visitor, letters):
    member(of=account())
    with pytest.raises(openings.InvalidLink):
        openings.redeem("", ip="", now=datetime.now(UTC))
