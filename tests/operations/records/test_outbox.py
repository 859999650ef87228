"""Messages: queued in a transaction, delivered later by a real mail server and a real gateway."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.exc import IntegrityError

from app import delivery
from app.delivery import mail, sms
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import MailboxMessage, OutboxAttempt, OutboxMessage
from app.operations.records import outbox
from app.operations.records.outbox import Message

KEY = "a shared secret of 32 characters!"
MAIL = Message(
    "mail", "rep@plant.example", "您好：\n请登录。\n.\n第二行", "notice", subject="首次登录通知"
)
CODE = Message("sms", "13800000000", "授权码 7H3K-22PQ", "activation_code", has_secret=True)


def row(of: int | None = None) -> OutboxMessage:
    db.session.rollback()
    return db.session.scalars(db.select(OutboxMessage).order_by(OutboxMessage.id)).all()[of or 0]


def attempts() -> list[tuple[int, str, str]]:
    db.session.rollback()
    rows = db.session.scalars(db.select(OutboxAttempt).order_by(OutboxAttempt.id))
    return [(each.number, each.result, each.detail) for each in rows]


def write(*messages: Message) -> int:
    with transaction():
        return outbox.send(*messages)


def make_due(cluster) -> None:
    """Move the next try into the past."""
    db.session.rollback()
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE outbox_message SET due_at = now() - interval '1 second'")


# Writing ------------------------------------------------------------------------------------


def test_a_message_is_queued_in_the_transaction_of_its_act(app):
    with pytest.raises(RuleError):
        write(MAIL, replace(MAIL, recipient="nobody"))
    assert db.session.query(OutboxMessage).count() == 0

    assert write(MAIL) == 1
    assert (row().state, row().attempts) == ("queued", 0)


def test_the_same_key_is_written_once(app):
    once = replace(MAIL, dedupe_key="notice:7")
    assert write(once) == 1
    assert write(once, replace(once, body="再次")) == 0
    assert db.session.query(OutboxMessage).count() == 1


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        ("mail", "rep"),
        ("mail", "rep@plant.example\r\nBcc: evil@evil.example"),
        ("mail", "rep@plant.example, evil@evil.example"),
        ("mail", "代表@企业.example"),
        ("mail", f"{'x' * 250}@plant.example"),
        ("sms", "138 0000 0000"),
        ("sms", "１３８００００００００"),
        ("sms", ""),
    ],
)
def test_what_is_no_address_is_refused(app, channel, recipient):
    with pytest.raises(RuleError, match="no address"), transaction():
        outbox.send(replace(MAIL, channel=channel, recipient=recipient))
    assert db.session.query(OutboxMessage).count() == 0


@pytest.mark.parametrize("subject", ["首次\n登录", "x\r\nBcc: evil@evil.example", "x" * 201])
def test_a_subject_is_one_short_line(app, subject):
    with pytest.raises(AssertionError), transaction():
        outbox.send(replace(MAIL, subject=subject))


def test_the_database_keeps_no_secret_that_was_delivered(app):
    write(CODE)
    with pytest.raises(IntegrityError, match="secrets_do_not_stay"), transaction():
        db.session.execute(db.update(OutboxMessage).values(state="sent"))


# The mailbox --------------------------------------------------------------------------------


def test_the_demonstration_keeps_what_was_sent_in_its_mailbox(app, settings):
    write(MAIL, CODE)
    assert delivery.deliver(settings, "mail") == 1
    assert delivery.deliver(settings, "sms") == 1
    assert delivery.deliver(settings, "sms") == 0

    kept = db.session.scalars(db.select(MailboxMessage).order_by(MailboxMessage.id)).all()
    assert [each.body for each in kept] == [MAIL.body, CODE.body]
    assert (row(0).state, row(0).body) == ("sent", MAIL.body)
    assert (row(1).state, row(1).body) == ("sent", None)  # The secret is gone from the outbox.
    assert attempts() == [(1, "sent", ""), (1, "sent", "")]


def test_a_channel_that_is_off_ends_its_messages(app, settings):
    write(CODE)
    delivery.deliver(replace(settings, sms_url="off"), "sms")
    assert (row().state, row().body) == ("failed", None)
    assert attempts() == [(1, "off", "")]


# Two workers, and those that die ------------------------------------------------------------


def test_two_workers_never_take_the_same_message(app):
    write(*(replace(CODE, recipient=f"1380000{n:04d}") for n in range(40)))
    taken: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        with app.app_context():
            start.wait(timeout=60)
            while True:
                with transaction():
                    message = outbox.claim("sms")
                    time.sleep(0.002)
                if message is None:
                    return
                taken.append(message.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(taken) == len(set(taken)) == 40


def test_a_dead_worker_s_message_is_sent_by_another_once_its_claim_ends(app, settings, cluster):
    write(CODE)
    with transaction():
        lost = outbox.claim("sms")
    assert delivery.deliver(settings, "sms") == 0  # Still claimed.
    make_due(cluster)
    assert delivery.deliver(settings, "sms") == 1

    with transaction():
        outbox.unavailable(lost, "woke up late")
    assert row().state == "sent"  # The late one's word does not undo it.


def test_a_message_whose_workers_all_die_is_given_up(app, settings, cluster):
    write(CODE)
    for _ in range(outbox.MOST_ATTEMPTS):
        with transaction():
            assert outbox.claim("sms")
        make_due(cluster)
    assert delivery.deliver(settings, "sms") == 0
    assert (row().state, row().body) == ("failed", None)
    assert attempts() == [(outbox.MOST_ATTEMPTS, "lost", "")]


# Mail ---------------------------------------------------------------------------------------


@dataclass
class Mails:
    """A mail server's handler with scripted answers."""

    taken: list[email.message.EmailMessage] = field(default_factory=list)
    answer: str = "250 OK"
    to_recipient: str = "250 OK"
    wait: float = 0

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        time.sleep(self.wait)
        if self.answer.startswith("250"):
            self.taken.append(email.message_from_bytes(envelope.content, policy=default))
        return self.answer


@pytest.fixture
def mails() -> Mails:
    return Mails()


@pytest.fixture
def mail_server(mails, settings) -> Iterator:
    """Settings for a plain-text mail server on loopback."""
    controller = Controller(mails, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield replace(
        settings,
        mail_url=f"smtp://127.0.0.1:{controller.port}?tls=off",
        mail_from="registry@registry.example",
    )
    controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_mail_arrives_in_chinese(app, mails, mail_server):
    write(MAIL, replace(MAIL, recipient="second@plant.example"))
    assert delivery.deliver(mail_server, "mail") == 2

    first = mails.taken[0]
    assert first["Subject"] == "首次登录通知"
    assert first["To"] == "rep@plant.example"
    assert first["From"].addresses[0].addr_spec == "registry@registry.example"
    assert first["From"].addresses[0].display_name == "全国碳排放权注册登记系统"
    assert first["Message-ID"] == f"<outbox-{row().id}@registry.example>"
    assert first.get_content().splitlines() == MAIL.body.splitlines()
    assert row().state == row(1).state == "sent"


@pytest.mark.parametrize(
    ("answers", "state", "detail"),
    [
        ({"to_recipient": "550 no such user"}, "failed", "550 no such user"),
        ({"to_recipient": "450 try again"}, "queued", "450 try again"),
        ({"answer": "554 spam"}, "failed", "554 spam"),
        ({"answer": "451 busy"}, "queued", "451 busy"),
    ],
)
def test_what_the_mail_server_says_counts(app, mails, mail_server, answers, state, detail):
    for name, answer in answers.items():
        setattr(mails, name, answer)
    write(MAIL)
    delivery.deliver(mail_server, "mail")
    assert (row().state, row().body) == (state, MAIL.body)
    assert [each[2] for each in attempts()] == [detail]
    assert mails.taken == []


def test_one_bad_address_does_not_stop_the_next_mail(app, mails, mail_server):
    mails.to_recipient = "550 no"
    write(MAIL, MAIL)
    delivery.deliver(mail_server, "mail")
    assert [row(0).state, row(1).state] == ["failed", "failed"]


def test_a_reply_that_quotes_a_secret_is_not_stored(app, mails, mail_server):
    mails.answer = "554 refused: 授权码 7H3K-22PQ".encode().decode("ascii", "ignore")
    write(replace(MAIL, has_secret=True))
    delivery.deliver(mail_server, "mail")
    assert (row().body, attempts()) == (None, [(1, "refused", "554")])


def test_failures_are_retried_with_backoff_and_then_given_up(app, mails, mail_server, cluster):
    mails.answer = "451 busy"
    write(MAIL)
    waits = []
    for _ in range(outbox.MOST_ATTEMPTS):
        began = datetime.now(UTC)
        assert delivery.deliver(mail_server, "mail") == 1
        waits.append((row().due_at - datetime.now(UTC), row().due_at - began))
        make_due(cluster)
    assert delivery.deliver(mail_server, "mail") == 0
    assert row().state == "failed"
    assert [each[0] for each in attempts()] == list(range(1, outbox.MOST_ATTEMPTS + 1))
    for n, (least, most) in enumerate(waits[:-1]):
        expected = min(outbox.FIRST_WAIT * 4**n, outbox.LONGEST_WAIT)
        assert least <= expected <= most


def test_a_mail_is_sent_once_the_server_is_back(app, mails, mail_server, cluster):
    write(MAIL)
    away = replace(mail_server, mail_url=f"smtp://127.0.0.1:{_free_port()}?tls=off")
    delivery.deliver(away, "mail")
    assert (row().state, attempts()[0][1]) == ("queued", "unavailable")
    assert delivery.deliver(mail_server, "mail") == 0  # Not due yet.
    make_due(cluster)
    assert delivery.deliver(mail_server, "mail") == 1
    assert len(mails.taken) == 1
    assert [each[:2] for each in attempts()] == [(1, "unavailable"), (2, "sent")]


def test_a_server_that_does_not_answer_is_left(app, mails, mail_server, monkeypatch):
    monkeypatch.setattr(mail, "REPLY_TIMEOUT", 0.3)
    mails.wait = 1
    write(MAIL)
    delivery.deliver(mail_server, "mail")
    assert row().state == "queued"
    assert attempts()[0][1:] == (
        "unavailable",
        "SMTPServerDisconnected Connection unexpectedly closed: timed out",
    )


def test_a_server_that_drips_is_cut_off(app, settings, monkeypatch):
    monkeypatch.setattr(mail, "MESSAGE_TIMEOUT", 0.5)
    cut_off = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_drip, args=(listener, cut_off), daemon=True).start()
        port = listener.getsockname()[1]
        write(MAIL)
        delivery.deliver(replace(settings, mail_url=f"smtp://127.0.0.1:{port}?tls=off"), "mail")
    assert cut_off.wait(60)  # It had a minute's more to say.
    assert (row().state, attempts()[0][1]) == ("queued", "unavailable")


def _drip(listener: socket.socket, cut_off: threading.Event) -> None:
    connection, _address = listener.accept()
    with connection:
        try:
            connection.sendall(b"220 slow\r\n")
            for _ in range(600):
                connection.sendall(b"250-more\r\n")
                time.sleep(0.1)
        except OSError:
            cut_off.set()


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for the loopback address: (certificate, key) files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.fixture
def secure_server(mails, settings, certificate) -> Iterator:
    """Return a function that gives the settings of a mail server with STARTTLS and authentication."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def authenticate(server, session, envelope, mechanism, data):
        assert isinstance(data, LoginPassword)
        is_right = (data.login, data.password) == (b"registry", b"p@ss")
        return AuthResult(success=is_right, handled=False)

    controller = Controller(
        mails,
        hostname="127.0.0.1",
        port=_free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    )
    controller.start()

    def at(password: str = "p%40ss", ca: str = f"&ca={certificate[0]}"):
        url = f"smtp://registry:{password}@localhost:{controller.port}?tls=starttls{ca}"
        return replace(settings, mail_url=url)

    yield at
    controller.stop()


def test_a_mail_is_sent_over_tls_with_authentication(app, mails, secure_server):
    write(MAIL)
    delivery.deliver(secure_server(), "mail")
    assert attempts() == [(1, "sent", "")]
    assert len(mails.taken) == 1


def test_a_wrong_password_is_no_reason_to_lose_a_mail(app, mails, secure_server):
    write(MAIL)
    delivery.deliver(secure_server("wrong"), "mail")
    assert row().state == "queued"
    assert attempts()[0][2].startswith("535")
    assert "wrong" not in attempts()[0][2]


def test_an_untrusted_server_certificate_is_refused(app, mails, secure_server):
    write(MAIL)
    delivery.deliver(secure_server(ca=""), "mail")
    assert (row().state, mails.taken) == ("queued", [])
    assert attempts()[0][2].startswith("SSLCertVerificationError")


# Text messages ------------------------------------------------------------------------------


@dataclass
class Gateway:
    """A text message gateway on loopback with scripted answers."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    wait: float = 0


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((dict(self.headers), body))
            time.sleep(found.wait)
            try:
                self.send_response(found.status)
                self.send_header("Content-Length", "2")
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(b"{}")
            except OSError:
                return

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/send"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def by_gateway(settings, gateway):
    return replace(settings, sms_url=gateway.url, sms_key=KEY)


def test_a_text_message_is_posted_signed_and_its_code_forgotten(app, gateway, by_gateway):
    write(CODE)
    delivery.deliver(by_gateway, "sms")

    ((headers, body),) = gateway.requests
    assert json.loads(body) == {
        "id": f"outbox-{row().id}",
        "to": "13800000000",
        "text": "授权码 7H3K-22PQ",
        "purpose": "activation_code",
    }
    signed = headers["X-Registry-Time"].encode() + b"." + body
    expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Registry-Signature"] == expected
    assert abs(int(headers["X-Registry-Time"]) - time.time()) < 10
    assert (row().state, row().body) == ("sent", None)


@pytest.mark.parametrize(
    ("status", "state", "result"),
    [
        (202, "sent", "sent"),
        (409, "sent", "sent"),  # It had this number before.
        (400, "failed", "refused"),
        (422, "failed", "refused"),
        (401, "queued", "unavailable"),
        (429, "queued", "unavailable"),
        (302, "queued", "unavailable"),
        (500, "queued", "unavailable"),
        (503, "queued", "unavailable"),
    ],
)
def test_what_the_gateway_answers_counts(app, gateway, by_gateway, status, state, result):
    gateway.status = status
    write(CODE)
    delivery.deliver(by_gateway, "sms")
    assert row().state == state
    assert attempts()[0][1] == result
    assert len(gateway.requests) == 1  # Neither followed nor repeated at once.
    assert (row().body is None) is (state != "queued")


def test_a_slow_gateway_is_asked_again_with_the_same_number(
    app, gateway, by_gateway, cluster, monkeypatch
):
    monkeypatch.setattr(sms, "TIMEOUT", sms.urllib3.Timeout(connect=1, read=0.3))
    gateway.wait = 1
    write(CODE)
    delivery.deliver(by_gateway, "sms")
    assert attempts() == [(1, "unavailable", "ReadTimeoutError")]
    gateway.wait = 0
    make_due(cluster)
    delivery.deliver(by_gateway, "sms")
    assert row().state == "sent"
    numbers = {json.loads(body)["id"] for _headers, body in gateway.requests}
    assert (len(gateway.requests), len(numbers)) == (2, 1)


def test_a_gateway_that_is_away_costs_no_message(app, settings):
    write(CODE)
    away = replace(settings, sms_url=f"http://127.0.0.1:{_free_port()}/", sms_key=KEY)
    delivery.deliver(away, "sms")
    assert (row().state, row().body) == ("queued", CODE.body)
    assert attempts() == [(1, "unavailable", "NewConnectionError")]
