"""二（二） 账户登录, second step: the certificate; every bypass is refused."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from sqlalchemy import select, update

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Certificate, Challenge, LoginRecord, LoginSession, Member
from app.pki.errors import PkiError
from app.security import certificates
from tests.security.certified import (
    ORIGIN,
    Holder,
    coded,
    content_of,
    issue,
    make_authority,
    register,
)
from tests.security.conftest import ENTERPRISE, OTHER, PASSWORD, SYSTEM_ADMIN

STEP = "/login/certificate"
FAILED = "证书未被接受"


@pytest.fixture(scope="module")
def authority():
    return make_authority()


@pytest.fixture
def agent(app, monkeypatch, authority, people):
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    monkeypatch.setattr(certificates, "_authority", lambda: authority)


@pytest.fixture
def holder(app, authority, agent) -> Holder:
    """The enterprise's own USBKey."""
    found = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, found)
    return found


def step_of(browser, *, sign_in: bool = True) -> dict[str, object]:
    """Enter number and password, and return what has to be signed."""
    if sign_in:
        answer = browser.sign_in()
        assert (answer.status_code, answer.location) == (302, STEP)
    found = re.search(r'data-certificate-step="([^"]+)"', browser.get(STEP).text)
    assert found
    return json.loads(unescape(found[1]))


def send(browser, content: bytes | str, signature: bytes | str, **more):
    """Post what the assistant gave back, with the page's own token."""
    fields = {
        name: coded(value) if isinstance(value, bytes) else value
        for name, value in (("content", content), ("cms", signature))
    }
    return browser.post(STEP, {"csrf_token": browser.token("/login/"), **fields}, **more)


def answer(browser, holder, **changed):
    content = content_of(step_of(browser), **changed)
    return send(browser, content, holder.signature(content))


def refused(browser, response, said, count, words: str = FAILED) -> None:
    """Assert that nobody is signed in, that the page says why, and that 登录日志 has the reason."""
    assert (response.status_code, response.location) == (302, "/login/")
    assert words in said(browser.get("/login/"))[0]
    assert not browser.is_signed_in()
    assert count(LoginSession) == 0
    assert count(LoginRecord, LoginRecord.outcome == "certificate_refused") == 1


# The right way


def test_number_password_certificate_and_pin_open_a_session(browser, holder, count, app):
    response = answer(browser, holder)
    assert (response.status_code, response.location) == (302, "/")
    assert browser.is_signed_in()
    with app.app_context():
        login = db.session.scalars(select(LoginSession)).one()
        certificate = db.session.scalars(select(Certificate)).one()
        assert (login.method, login.certificate_id) == ("certificate", certificate.id)
    assert count(Challenge) == 0


def test_the_pairing_code_is_told_after_the_password_alone(browser, holder, app, monkeypatch):
    """The demonstration's pages hand it to the assistant's window; other programs see public pages only."""
    monkeypatch.setitem(app.config, "ASSISTANT_PAIRING", "the-code")
    for public in ("/login/", "/certificate/", STEP):
        assert "the-code" not in browser.get(public, follow_redirects=True).text
    step_of(browser)
    assert '<meta name="usbkey-pairing" content="the-code">' in browser.get(STEP).text
    monkeypatch.setitem(app.config, "ASSISTANT_PAIRING", "")
    assert "usbkey-pairing" not in browser.get(STEP).text


def test_the_password_alone_opens_nothing(browser, holder, count):
    browser.sign_in()
    assert not browser.is_signed_in()
    assert count(LoginSession) == 0
    for path in ("/", "/holdings/", "/password/"):
        assert browser.get(path).location.startswith("/login/")


def test_sign_in_continues_to_the_requested_page(browser, holder):
    browser.sign_in(next="/holdings/")
    content = content_of(step_of(browser, sign_in=False))
    assert send(browser, content, holder.signature(content)).location == "/holdings/"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/login/certificate"]
)
def test_foreign_redirect_targets_are_ignored(browser, holder, target):
    browser.sign_in(next=target)
    content = content_of(step_of(browser, sign_in=False))
    assert send(browser, content, holder.signature(content)).location == "/"


def test_a_soft_key_is_told_from_a_usbkey(browser, app, authority, agent):
    soft = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, soft, assurance="soft")
    answer(browser, soft)
    with app.app_context():
        assert db.session.scalars(select(LoginSession.method)).one() == "soft_certificate"


def test_the_page_tells_what_to_sign_and_how_long(browser, holder):
    step = step_of(browser)
    assert step["type"] == "login"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", step["challenge"])
    assert step["payload"] == {
        "schema": "login/1",
        "member_no": ENTERPRISE,
        "member_name": "市场通测试030207",
    }
    page = browser.get(STEP).text
    assert 0 < int(re.search(r'data-seconds="(\d+)"', page)[1]) <= 120
    assert ENTERPRISE in page


def test_a_wrong_password_gets_no_challenge(browser, holder, count):
    assert browser.sign_in(password="Wrong-Horse-1").status_code == 422
    assert count(Challenge) == 0
    assert browser.get(STEP).location == "/login/"


# Replays and relays


def test_the_second_step_without_the_first(browser, holder, count):
    content = content_of({"type": "login", "challenge": "c" * 43, "payload": {"schema": "login/1"}})
    response = send(browser, content, holder.signature(content))
    assert response.location == "/login/"
    assert not browser.is_signed_in()


def test_a_signature_opens_one_session(browser, new_browser, holder, said):
    content = content_of(step_of(browser))
    signature = holder.signature(content)
    assert send(browser, content, signature).location == "/"
    browser.submit("/", "/logout/")
    # The same browser, another one, and another one in the middle of its own second step.
    assert send(browser, content, signature).location == "/login/"
    fresh, waiting = new_browser(), new_browser("198.51.100.3")
    assert send(fresh, content, signature).location == "/login/"
    step_of(waiting)
    response = send(waiting, content, signature)
    assert response.location == "/login/"
    assert FAILED in said(waiting.get("/login/"))[0]
    assert not any(each.is_signed_in() for each in (browser, fresh, waiting))


def test_a_challenge_is_used_up_by_a_wrong_answer(browser, holder):
    step = step_of(browser)
    wrong = content_of(step, type="submit")
    send(browser, wrong, holder.signature(wrong))
    right = content_of(step)
    send(browser, right, holder.signature(right))
    assert not browser.is_signed_in()


def test_a_challenge_lives_for_two_minutes(browser, holder, app, said, count):
    content = content_of(step_of(browser))
    _expire(app)
    response = send(browser, content, holder.signature(content))
    assert response.location == "/login/"
    assert "时间已过" in said(browser.get("/login/"))[0]
    assert count(LoginSession) == 0


def test_an_expired_challenge_has_no_page(browser, holder, app, said):
    step_of(browser)
    _expire(app)
    assert browser.get(STEP).location == "/login/"
    assert "时间已过" in said(browser.get("/login/"))[0]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:81", "https://localhost", ORIGIN + "/", ""]
)
def test_what_was_signed_for_another_site_is_refused(browser, holder, said, count, origin):
    refused(browser, answer(browser, holder, origin=origin), said, count)


def test_a_relay_that_calls_us_by_its_own_name_gets_no_further(browser, holder, app, monkeypatch):
    """TRUSTED_HOSTS: the origin compared is never chosen by a client."""
    monkeypatch.setitem(app.config, "TRUSTED_HOSTS", ["localhost"])
    answered = browser.client.get("/login/", headers={"Host": "evil.example"})
    assert answered.status_code == 400


# Another content


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "submit"},
        {"type": "review"},
        {"type": "sign"},
        {"v": 2},
        {"challenge": "c" * 43},
        {"challenge": None},
        {"payload": {}},
        {"payload": {"schema": "login/1", "member_no": OTHER, "member_name": "华中水泥"}},
        {"payload": None},
        {"more": 1},
        {"at": None},
        {"at": 0},
        {"at": "yesterday"},
        {"at": "2026-11-22T10:00:00"},
    ],
)
def test_other_content_is_refused_however_well_signed(browser, holder, said, count, changed):
    refused(browser, answer(browser, holder, **changed), said, count)


@pytest.mark.parametrize("off", [-5, 7], ids=["before it was issued", "after it has expired"])
def test_a_time_within_the_challenge_s_life_but_for_a_little(browser, holder, off):
    """The challenge lives for two minutes, and clocks may differ by five."""
    inside = datetime.now(UTC) + timedelta(minutes=off) - timedelta(seconds=off * 2)
    answer(browser, holder, at=inside.isoformat(timespec="seconds"))

    assert browser.is_signed_in()


@pytest.mark.parametrize(
    "off",
    [timedelta(minutes=-6), timedelta(minutes=8), timedelta(days=-400), timedelta(days=400)],
    ids=str,
)
def test_a_time_outside_of_the_challenge_s_life(browser, holder, said, count, off):
    at = datetime.now(UTC) + off
    response = answer(browser, holder, at=at.isoformat(timespec="seconds"))

    refused(browser, response, said, count, f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_at_the_ends_of_the_calendar(browser, holder, said, count, at):
    refused(browser, answer(browser, holder, at=at), said, count)


def test_content_that_was_changed_after_signing(browser, holder, said, count):
    content = content_of(step_of(browser))
    changed = content_of(json.loads(content), at="2026-11-20T00:00:00+00:00")
    refused(browser, send(browser, changed, holder.signature(content)), said, count)


def test_content_in_another_form(browser, holder, said, count):
    content = content_of(step_of(browser))
    spaced = json.dumps(json.loads(content), ensure_ascii=False).encode()
    refused(browser, send(browser, spaced, holder.signature(spaced)), said, count)


# Another certificate


def test_another_member_s_certificate(browser, holder, app, authority, said, count):
    other = issue(authority, OTHER)
    with app.app_context():
        register(OTHER, other)
    refused(browser, answer(browser, other), said, count, "属于其他会员")


def test_a_certificate_whose_row_names_another_member_than_itself(
    browser, app, authority, agent, said, count
):
    """Whoever could write our table could not make one member's certificate another's."""
    strange = issue(authority, OTHER)
    with app.app_context():
        register(ENTERPRISE, strange)
    refused(browser, answer(browser, strange), said, count, "属于其他会员")


def test_an_imposter_with_the_same_issuer_and_serial(browser, holder, said, count):
    real = x509.load_der_x509_certificate(holder.der)
    imposter = issue(make_authority(), ENTERPRISE, serial=real.serial_number)
    refused(browser, answer(browser, imposter), said, count)


def test_a_certificate_that_is_not_in_our_table(browser, holder, authority, said, count):
    unknown = issue(authority, ENTERPRISE)
    refused(browser, answer(browser, unknown), said, count, "不是本机构签发")


def test_a_certificate_of_another_authority_even_in_our_table(browser, app, agent, said, count):
    foreign = issue(make_authority(), ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, foreign)
    refused(browser, answer(browser, foreign), said, count, "证书")


@pytest.mark.parametrize(
    ("days", "words"), [(-731, "已过期"), (1, "尚未生效")], ids=["expired", "not yet valid"]
)
def test_a_certificate_outside_its_dates(browser, app, authority, agent, said, count, days, words):
    late = issue(authority, ENTERPRISE, now=datetime.now(UTC) + timedelta(days=days))
    with app.app_context():
        register(ENTERPRISE, late)
    refused(browser, answer(browser, late), said, count, words)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [("revoked", "keyCompromise", "已吊销"), ("suspended", "certificateHold", "已挂起")],
)
def test_a_revoked_or_suspended_certificate(
    browser, app, authority, agent, said, count, state, reason, words
):
    lost = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, lost, state=state, reason=reason, revoked_at=datetime.now(UTC))
    refused(browser, answer(browser, lost), said, count, words)


def test_a_session_ends_with_its_certificate(browser, holder, execute, said):
    answer(browser, holder)
    assert browser.is_signed_in()
    execute(
        update(Certificate).values(
            state="revoked", reason="keyCompromise", revoked_at=datetime.now(UTC)
        )
    )
    assert not browser.is_signed_in()
    assert "证书" in said(browser.get("/login/"))[0]


def test_a_member_who_was_disabled_meanwhile(browser, holder, execute):
    content = content_of(step_of(browser))
    execute(update(Member).where(Member.username == ENTERPRISE).values(active=False))
    assert send(browser, content, holder.signature(content)).location == "/login/"
    assert not browser.is_signed_in()


# Broken signatures


def _without_attributes(content: bytes, holder: Holder) -> bytes:
    certificate = x509.load_der_x509_certificate(holder.der)
    return (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(content)
        .add_signer(certificate, holder.key, hashes.SHA256())
        .sign(
            serialization.Encoding.DER,
            [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary,
             pkcs7.PKCS7Options.NoAttributes],
        )
    )  # fmt: skip


def _embedded(content: bytes, holder: Holder) -> bytes:
    certificate = x509.load_der_x509_certificate(holder.der)
    return (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(content)
        .add_signer(certificate, holder.key, hashes.SHA256())
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )


def _nested(content: bytes, holder: Holder) -> bytes:
    inner = asn1_cms.ContentInfo.load(holder.signature(content))
    wrapped = asn1_cms.ContentInfo({"content_type": "data", "content": inner.dump()})
    return wrapped.dump()


def _resigned(content: bytes, holder: Holder) -> bytes:
    """Another key's signature under the right certificate's name."""
    return Holder(issue(make_authority(), ENTERPRISE).key, holder.der).signature(content)


BROKEN = {
    "no signed attributes": _without_attributes,
    "embedded content": _embedded,
    "nested": _nested,
    "another key": _resigned,
    "no data": lambda _content, _holder: b"\x30\x00",
    "garbage": lambda _content, _holder: b"garbage" * 20,
    "truncated": lambda content, holder: holder.signature(content)[:-20],
    "trailing": lambda content, holder: holder.signature(content) + b"\x00",
    "200 kB": lambda content, holder: holder.signature(content) + b"\x00" * 200_000,
    "for other content": lambda content, holder: holder.signature(content + b" "),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_signature_is_refused(browser, holder, said, count, broken):
    content = content_of(step_of(browser))
    refused(browser, send(browser, content, BROKEN[broken](content, holder)), said, count)


@pytest.mark.parametrize(
    "content", [b"null", b"[]", b"1", b"{", b"\xff\xfe", b"[" * 5000, b'{"v":1,"v":1}', b" "]
)
def test_broken_content_is_refused(browser, holder, said, count, content):
    step_of(browser)
    refused(browser, send(browser, content, holder.signature(content)), said, count)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content": "e30="},
        {"cms": "e30="},
        {"content": "", "cms": ""},
        {"content": "not base64!", "cms": "e30="},
        {"content": "e30=", "cms": "é"},
        {"content": "e30=", "cms": "e30"},
    ],
)
def test_a_form_that_is_not_ours_is_no_server_error(browser, holder, count, fields):
    step_of(browser)
    response = browser.post(STEP, {"csrf_token": browser.token(STEP), **fields})
    assert response.status_code == 400
    assert count(Challenge) == 0
    assert not browser.is_signed_in()


def test_the_page_s_token_is_asked_for(browser, holder, count):
    content = content_of(step_of(browser))
    fields = {"content": coded(content), "cms": coded(holder.signature(content))}
    assert browser.post(STEP, fields).status_code == 400
    assert count(Challenge) == 1
    assert not browser.is_signed_in()


# What submissions and reviews use


def test_a_submission_is_signed_once_for_what_the_server_has(app, people, holder):
    payload = {"schema": "application/1", "number": "HZ1", "lines": [{"quantity": "100"}]}

    def signed(challenge: str, **changed) -> bytes:
        return content_of({"type": "submit", "challenge": challenge, "payload": payload}, **changed)

    def verify(content: bytes, expected=payload, *, purpose="submit", member=ENTERPRISE):
        return certificates.verify_signed(
            content,
            holder.signature(content),
            member_id=people[member],
            purpose=purpose,
            expected_payload=expected,
        )

    def ask() -> str:
        challenge = certificates.ask(people[ENTERPRISE], "sign", payload)
        db.session.commit()
        return challenge

    with app.test_request_context():
        content = signed(ask())
        assert verify(content).serial
        assert certificates.signed_at(content).tzinfo
        for broken in (
            lambda: verify(content),  # a second time
            lambda: verify(signed(ask()), {**payload, "lines": [{"quantity": "900"}]}),
            lambda: verify(signed(ask(), payload={**payload, "number": "HZ2"})),
            lambda: verify(signed(ask()), purpose="review"),
            lambda: verify(signed(ask()), purpose="login"),
            lambda: verify(signed(ask()), member=OTHER),
            lambda: verify(signed(ask(), origin="https://evil.example")),
            lambda: verify(signed("c" * 43)),
        ):
            with pytest.raises(PkiError):
                broken()


# mTLS, behind the same step


SECRET = "proxy-secret-" * 3


@pytest.fixture
def mtls(app, monkeypatch, authority, people):
    monkeypatch.setitem(app.config, "CERT_LOGIN", "mtls")
    monkeypatch.setitem(app.config, "CERT_PROXY_SECRET", SECRET)
    monkeypatch.setattr(certificates, "_authority", lambda: authority)


def headers_of(der: bytes, **changed: str) -> dict[str, str]:
    """Return what nginx sends along with a request."""
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
    return {
        "X-Proxy-Secret": SECRET,
        "X-SSL-Client-Verify": "SUCCESS",
        "X-SSL-Client-Cert": quote(pem),
        **changed,
    }


def shown(browser, headers):
    fields = {"member_no": ENTERPRISE, "password": PASSWORD, "csrf_token": browser.token("/login/")}
    return browser.post("/login/", fields, headers=headers)


def test_with_mtls_the_certificate_comes_with_the_connection(browser, app, authority, mtls):
    own = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, own)
    assert shown(browser, headers_of(own.der)).location == "/"
    assert browser.is_signed_in()
    with app.app_context():
        assert db.session.scalars(select(LoginSession.method)).one() == "certificate"


@pytest.mark.parametrize(
    "changed",
    [
        {"X-Proxy-Secret": ""},
        {"X-Proxy-Secret": SECRET[:-1]},
        {"X-Proxy-Secret": "é"},
        {"X-SSL-Client-Verify": "NONE"},
        {"X-SSL-Client-Verify": "FAILED:expired"},
        {"X-SSL-Client-Cert": ""},
        {"X-SSL-Client-Cert": "garbage"},
    ],
)
def test_a_header_counts_only_from_the_proxy_that_knows_the_secret(
    browser, app, authority, mtls, changed, said, count
):
    own = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, own)
    response = shown(browser, headers_of(own.der, **changed))
    assert response.status_code == 422
    assert "没有出示" in said(response)[0]
    assert count(LoginSession) == 0
    assert count(LoginRecord, LoginRecord.outcome == "certificate_refused") == 1


def test_with_mtls_the_same_checks_hold(browser, app, authority, mtls, said, count):
    other, unknown, own = (issue(authority, no) for no in (OTHER, ENTERPRISE, ENTERPRISE))
    with app.app_context():
        register(OTHER, other)
        register(
            ENTERPRISE, own, state="revoked", reason="keyCompromise", revoked_at=datetime.now(UTC)
        )
    for holder, words in ((other, "其他会员"), (unknown, "不是本机构"), (own, "已吊销")):
        assert words in said(shown(browser, headers_of(holder.der)))[0]
    assert count(LoginSession) == 0


def pem_of(holder: Holder, authority, path) -> str:
    """Write key, certificate and the issuing one to a file, as TLS programs read them."""
    key = holder.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    own = x509.load_der_x509_certificate(holder.der).public_bytes(serialization.Encoding.PEM)
    path.write_bytes(key + own + authority.chain())
    return str(path)


@pytest.fixture
def tls_line(authority, tmp_path):
    """Return a function that makes a TLS connection and gives the server's end of it."""
    ends = []

    def connect(holder: Holder | None) -> ssl.SSLSocket:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(pem_of(issue(authority, "server"), authority, tmp_path / "server"))
        server.verify_mode = ssl.CERT_OPTIONAL
        server.load_verify_locations(cadata=authority.chain().decode())
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        if holder:
            client.load_cert_chain(pem_of(holder, authority, tmp_path / "client"))
        near, far = socket.socketpair()
        dialling = threading.Thread(
            target=lambda: ends.append(client.wrap_socket(far)), daemon=True
        )
        dialling.start()
        line = server.wrap_socket(near, server_side=True)
        dialling.join(60)
        ends.append(line)
        return line

    yield connect
    for end in ends:
        end.close()


def test_gunicorn_s_own_tls_shows_the_certificate_too(
    browser, app, authority, mtls, monkeypatch, tls_line, said
):
    monkeypatch.setitem(app.config, "CERT_PROXY_SECRET", "")
    own = issue(authority, ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, own)
    fields = {"member_no": ENTERPRISE, "password": PASSWORD}

    def enter(line: object, headers: dict[str, str] | None = None):
        return browser.post(
            "/login/",
            {**fields, "csrf_token": browser.token("/login/")},
            environ_overrides={"gunicorn.socket": line},
            headers=headers or {},
        )

    # Without TLS, without a certificate, or with a header that nobody vouches for: nothing.
    with socket.socket() as plain:
        for line in (None, plain, tls_line(None)):
            assert "没有出示" in said(enter(line, headers_of(own.der)))[0]
    assert enter(tls_line(own)).location == "/"
    assert browser.is_signed_in()


def test_without_the_step_nobody_signs_in_but_in_tests(browser, app, monkeypatch, people):
    monkeypatch.setitem(app.config, "PROFILE", "production")
    with pytest.raises(AssertionError, match="only tests"):
        browser.sign_in(SYSTEM_ADMIN)


def _expire(app) -> None:
    """Let all challenges expire; the application may only insert and delete them."""
    with app.app_context():
        for row in db.session.scalars(select(Challenge)).all():
            values = {c.name: getattr(row, c.name) for c in Challenge.__table__.columns}
            db.session.delete(row)
            db.session.flush()
            db.session.add(Challenge(**{**values, "expires_at": datetime.now(UTC)}))
        db.session.commit()
