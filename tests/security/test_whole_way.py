"""开户 to the first signed-in act over real channels: mail server, text gateway, USBKey, log."""

from __future__ import annotations

import json
import logging
import re
from base64 import encodebytes
from dataclasses import replace
from io import BytesIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import request, request_started
from sqlalchemy import select

from app import worker
from app.extensions import db
from app.models import Application, LoginRecord, OperationLog
from tests.factories import member
from tests.openings import Letters, as_csv, enterprise, read_letters
from tests.operations.records.test_outbox import KEY, gateway, mail_server, mails
from tests.security.certified import Holder
from tests.security.conftest import Browser
from tests.security.test_certificate_sign_in import content_of, send, step_of
from tests.security.test_no_secrets import columns_with, everything
from tests.signing import authority_folder, csr, signing, vouchers_of

__all__ = ["authority_folder", "everything", "gateway", "mail_server", "mails", "signing"]

PASSWORD, LATER, MISTYPED = "Riverside-Plant-7", "Riverside-Plant-8", "Riverside-Plant-9"
VISITOR = "203.0.113.20"


@pytest.fixture
def work(app, mail_server, gateway, signing):
    """Return a function that runs one round of the worker."""
    settings = replace(mail_server, sms_url=gateway.url, sms_key=KEY, cert_login="agent")

    def once(*names: str) -> None:
        for name in names:
            (task,) = (each for each in worker.PERIODIC if each.name == name)
            task.run(settings)

    return once


@pytest.fixture
def lines():
    """Return the request lines of an access log, with referrers."""
    seen: list[str] = []

    def note(_app, **_more) -> None:
        seen.append(f"{request.method} {request.full_path} {request.referrer or ''}")

    with request_started.connected_to(note):
        yield seen


def open_account(sign_in) -> None:
    """One officer imports a table, another one approves."""
    maker, checker = sign_in(member("registry_maker")), sign_in(member("registry_checker"))
    rows = as_csv([enterprise(1, sector="发电", province="湖北省")])
    form = {"file": (BytesIO(rows), "开户.csv")}
    answer = maker.post("/account-openings/import", data=form, content_type="multipart/form-data")
    assert answer.location.startswith("/account-openings/import/")
    maker.post(f"{answer.location}/submit")
    waiting = db.session.scalars(select(Application.id)).one()
    checker.post(f"/reviews/{waiting}/decide", data={"decision": "approve"})


def received(mails, gateway) -> Letters:
    """Read the codes where mail and text message arrived."""
    (mail,), ((_headers, text),) = mails.taken, gateway.requests
    assert mail["To"] == "rep1@plant.example"
    told = json.loads(text)
    assert told["to"] == "13800000001"
    return read_letters(mail.get_content(), told["text"])


def choose_password(visitor: Browser, letters: Letters) -> str:
    """Follow the mail's link; return the member number that the next page is about."""
    chosen = {"token": letters.token, "new": PASSWORD, "confirm": PASSWORD}
    answer = visitor.submit("/first-sign-in/", **chosen)
    return re.fullmatch(r"/certificate/\?member=(\d+)", answer.location)[1]


def fetch_certificate(visitor: Browser, letters: Letters, member_no: str) -> Holder:
    """Apply with both codes, after a wrong try, for a key of one's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    words = "CERTIFICATE REQUEST"
    pem = f"-----BEGIN {words}-----\n{encodebytes(csr(key)).decode()}-----END {words}-----\n"
    asked = {"member_no": member_no, "reference": letters.reference, "code": letters.code}
    wrong = visitor.submit("/certificate/", "/certificate/begin", **asked | {"code": "2" * 10})
    assert "error" in wrong.json
    begun = visitor.submit("/certificate/", "/certificate/begin", **asked)
    assert begun.json["payload"]["member_no"] == member_no
    issued = visitor.submit("/certificate/", "/certificate/issue", **asked, csr=pem).json
    certificate = x509.load_pem_x509_certificate(issued["certificate"].encode())
    return Holder(key, certificate.public_bytes(Encoding.DER))


def sign_in_with(visitor: Browser, holder: Holder, member_no: str) -> list[str]:
    """Give number, password, 验证码 and signature; return the 验证码 that were asked."""
    answers = []
    for password in (MISTYPED, PASSWORD):
        token = visitor.token("/login/")
        _id, answer = visitor.captcha()
        answers.append(answer)
        form = {"member_no": member_no, "password": password, "captcha": answer}
        visitor.post("/login/", {"csrf_token": token, **form})
    content = content_of(step_of(visitor, sign_in=False))
    assert send(visitor, content, holder.signature(content)).location == "/"
    return answers


def change_password(visitor: Browser) -> None:
    answer = visitor.submit("/password/", original=PASSWORD, new=LATER, confirm=LATER)
    assert answer.status_code == 302


def test_from_the_table_to_a_log_that_names_the_certificate(
    app,
    sign_in,
    work,
    mails,
    gateway,
    lines,
    signing,
    caplog,
    everything,
    cluster,
    monkeypatch,
    with_captcha,
):
    caplog.set_level(logging.DEBUG)
    open_account(sign_in)
    work("write_letters")
    written = everything()
    work("publish_crl", "deliver_mail", "deliver_sms")
    letters = received(mails, gateway)
    vouchers_of(signing).vouch(letters.reference, letters.code)
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    visitor = Browser(app, VISITOR)
    member_no = choose_password(visitor, letters)
    holder = fetch_certificate(visitor, letters, member_no)
    answers = sign_in_with(visitor, holder, member_no)
    with visitor.client.session_transaction() as session:
        sessions = [session["token"]]
    change_password(visitor)
    work("deliver_mail", "deliver_sms")

    serial = f"{x509.load_der_x509_certificate(holder.der).serial_number:x}"
    assert acts_of(member_no)[-1] == ("password.change", serial, VISITOR, "done")
    logins = select(LoginRecord).where(LoginRecord.is_success).order_by(LoginRecord.id)
    record = db.session.scalars(logins).all()[-1]
    assert (record.member_no, record.ip) == (member_no, VISITOR)

    # While they waited to be sent the codes stood in the outbox alone; afterwards nowhere.
    assert columns_with(letters.code, written) == ["outbox_message.body"]
    assert columns_with(letters.token, written) == ["outbox_message.body"]
    secrets = [letters.token, letters.code, PASSWORD, LATER, MISTYPED, *sessions]
    texts, logs = everything(), files_of(cluster)
    for secret in secrets:
        assert columns_with(secret, texts) == [], secret
        assert [name for name, text in logs.items() if secret in text] == []
        assert secret not in caplog.text + "".join(lines)
    assert not any(re.search(rf"\b{answer}\b", caplog.text) for answer in answers)


def files_of(cluster) -> dict[str, str]:
    """Return the log files of PostgreSQL."""
    found = {path.name: path for path in cluster.folder.rglob("*log*") if path.is_file()}
    assert found
    return {name: path.read_text(errors="replace") for name, path in found.items()}


def acts_of(member_no: str) -> list[tuple[str, str, str, str]]:
    db.session.rollback()
    rows = db.session.scalars(
        select(OperationLog).where(OperationLog.member_no == member_no).order_by(OperationLog.id)
    )
    return [(row.action, row.certificate, row.ip, row.result) for row in rows]
