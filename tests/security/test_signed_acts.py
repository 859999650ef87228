"""Signed submissions and reviews: the member's key over content that the server rebuilds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select

from app.extensions import db, transaction
from app.models import (
    Application,
    Challenge,
    RevocationList,
    Signature,
    SignatureEvent,
)
from app.operations.applications import evidence, jobs
from app.operations.people import certificates as operations
from app.operations.records import clock, seals
from app.pki import revocation
from app.pki.canonical import canonical
from app.security import certificates
from tests import factories
from tests.factories import nothing_moves, quantity
from tests.security.certified import InProcess, content_of, issue, make_authority, register

NEW = "/voluntary-cancellations/new"


@pytest.fixture(scope="module")
def authority():
    return make_authority()


@pytest.fixture
def signing(app, monkeypatch, authority, tmp_path):
    """Certificates are asked for; the tests' own authority has issued them."""
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    monkeypatch.setattr(certificates, "_authority", lambda: authority)
    monkeypatch.setattr(operations, "the_authority", lambda: authority)
    signer = InProcess(tmp_path, authority)  # It seals what an approval certifies.
    monkeypatch.setattr(seals, "the_signer", lambda: signer)
    now = datetime.now(UTC)
    der = revocation.make_crl(authority, 1, [], now=now)
    with transaction():
        db.session.add(
            RevocationList(number=1, der=der, issued_at=now, next_update=now + timedelta(hours=24))
        )


@pytest.fixture
def cea(plant):
    return factories.issued_to(plant, 3000)


@pytest.fixture
def officer(app):
    return factories.member("registry_checker")


@pytest.fixture
def key_of(authority):
    """Return a member's key, its certificate registered."""

    def make(member):
        holder = issue(authority, member.username)
        register(member.username, holder)
        return holder

    return make


def form(cea, tonnes: int = 500) -> dict[str, str]:
    return {
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": str(tonnes),
        "reason": "碳中和",
        "submit": "1",
    }


def step_of(page: str) -> dict[str, object]:
    return json.loads(unescape(re.search(r'data-certificate-step="([^"]+)"', page)[1]))


def signed(holder, step, **changed) -> dict[str, str]:
    content = content_of(step, **changed)
    return {
        "content": base64.b64encode(content).decode(),
        "cms": base64.b64encode(holder.signature(content)).decode(),
    }


def ask(browser, cea, tonnes: int = 500) -> str:
    """Fill in the form and return the address of the page that asks for the signature."""
    answer = browser.post(NEW, data=form(cea, tonnes))
    assert answer.status_code == 302, answer.text
    assert "/signing/" in answer.location
    return answer.location


def status() -> str:
    db.session.rollback()
    return db.session.scalars(select(Application.status).order_by(Application.id.desc())).first()


def test_nothing_takes_effect_before_it_is_signed(signing, sign_in, operator, plant, cea, key_of):
    browser, key = sign_in(operator), key_of(operator)

    place = ask(browser, cea)
    assert (status(), quantity(plant, cea)) == ("draft", 3000)

    page = browser.get(place)
    assert "500" in page.text
    answer = browser.post(place, data=signed(key, step_of(page.text)))

    assert answer.status_code == 302
    assert answer.location.endswith("/done")
    assert (status(), quantity(plant, cea)) == ("in_review", 2500)
    row = db.session.scalars(select(Signature)).one()
    assert (row.purpose, row.crl_number) == ("submit", 1)
    assert db.session.scalar(select(func.count()).select_from(SignatureEvent)) == 1
    assert json.loads(row.content)["payload"]["application"]["lines"][0]["quantity"] == "500"


def test_the_page_says_where_the_unsigned_draft_is_and_leads_there(signing, sign_in, operator, cea):
    browser = sign_in(operator)
    page = browser.get(ask(browser, cea)).text
    made = db.session.scalars(select(Application)).one()
    assert f"未签名则不提交：申请 {made.number} 已保存，可在“自愿注销”列表中继续办理" in page
    assert f'href="/voluntary-cancellations/{made.id}"' in page
    assert "草稿" in browser.get(f"/voluntary-cancellations/{made.id}").text


def test_back_to_a_page_that_was_signed_says_by_whom_and_when(
    signing, sign_in, operator, plant, cea, key_of
):
    browser, key = sign_in(operator), key_of(operator)
    place = ask(browser, cea)
    sent = signed(key, step_of(browser.get(place).text))
    browser.post(place, data=sent)
    made = db.session.scalars(select(Application)).one()
    with nothing_moves():
        for again in (lambda: browser.get(place), lambda: browser.post(place, data=sent)):
            answer = again()
            assert answer.location == f"/voluntary-cancellations/{made.id}"
            told = browser.get(answer.location).text
            assert f"申请 {made.number}：{operator.first_name} 于 2026-11-20" in told


def test_from_the_signing_page_back_to_the_form_what_is_changed_there_is_signed(
    signing, sign_in, operator, plant, cea, key_of
):
    browser, key = sign_in(operator), key_of(operator)
    for tonnes in (500, 600, 700):
        sent = form(cea, tonnes) | {"request_key": "the-same-form"}
        place = browser.post(NEW, data=sent).location
    page = browser.get(place).text
    browser.post(place, data=signed(key, step_of(page)))
    assert (status(), quantity(plant, cea)) == ("in_review", 2300)
    assert db.session.scalar(select(func.count()).select_from(Application)) == 1


def test_back_to_a_decision_that_was_signed_says_who_decided(
    signing, sign_in, operator, officer, cea, key_of
):
    made = factories.submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    browser, key = sign_in(officer), key_of(officer)
    decision = {"decision": "approve", "comment": ""}
    place = browser.post(f"/reviews/{made.id}/decide", data=decision).location
    page = browser.get(place).text
    assert "未签名则不审核" in page
    browser.post(place, data=signed(key, step_of(page)))
    told = browser.get(place, follow_redirects=True).text
    assert f"申请 {made.number} 已不在您的待办中：{officer.first_name} 于 2026-11-20" in told


def test_a_comment_that_is_too_long_is_told_before_anybody_signs(
    signing, sign_in, operator, officer, cea
):
    made = factories.submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    sent = {"action": "approve", "id": [made.id], "count": "1", "comment": "意" * 501}
    sign_in(officer).post("/reviews/bulk", data=sent)
    assert db.session.scalar(select(func.count()).select_from(Challenge)) == 0


def test_what_cannot_be_submitted_is_not_signed_in_vain(signing, sign_in, operator, cea):
    answer = sign_in(operator).post(NEW, data=form(cea, 3001))

    assert answer.status_code == 400
    assert "3,001" in answer.text
    assert db.session.scalar(select(func.count()).select_from(Challenge)) == 0


def _other_type(key, step):
    return signed(key, step, type="login")


def _other_origin(key, step):
    return signed(key, step, origin="https://evil.example")


def _other_quantity(key, step):
    payload = json.loads(json.dumps(step["payload"]))
    payload["application"]["lines"][0]["quantity"] = "900"
    return signed(key, step, payload=payload)


def _other_challenge(key, step):
    return signed(key, step, challenge="A" * 43)


def _tampered(key, step):
    sent = signed(key, step)
    content = base64.b64decode(sent["content"]).replace(b'"500"', b'"900"')
    return sent | {"content": base64.b64encode(content).decode()}


def _garbage(key, step):
    return {"content": base64.b64encode(b"x").decode(), "cms": base64.b64encode(b"y").decode()}


@pytest.mark.parametrize(
    "attack",
    [_other_type, _other_origin, _other_quantity, _other_challenge, _tampered, _garbage],
)
def test_every_other_signature_is_refused(signing, sign_in, operator, plant, cea, key_of, attack):
    browser, key = sign_in(operator), key_of(operator)
    place = ask(browser, cea)
    step = step_of(browser.get(place).text)
    with nothing_moves():
        browser.post(place, data=attack(key, step))
        assert status() == "draft"
        # The challenge is used up: the right signature comes too late, too.
        browser.post(place, data=signed(key, step))
        assert status() == "draft"
    assert db.session.scalar(select(func.count()).select_from(Signature)) == 0


@pytest.mark.parametrize("sent", [{}, {"content": "§", "cms": ""}, {"content": "AA=="}])
def test_malformed_answers_change_nothing(signing, sign_in, operator, cea, sent):
    browser = sign_in(operator)
    place = ask(browser, cea)
    with nothing_moves():
        assert browser.post(place, data=sent).status_code in (302, 400)
    assert status() == "draft"


def test_what_is_to_be_signed_elsewhere_is_not_signed_here(app, signing, sign_in, operator, key_of):
    """The challenge of a renewal belongs to the renewal's page."""
    browser, key = sign_in(operator), key_of(operator)
    payload = {"schema": "certificate-renewal/1", "member_no": operator.username}
    with app.test_request_context(), transaction():
        place = f"/signing/{certificates.ask(operator.id, 'sign', payload)}"
    assert browser.get(place).status_code == 302
    step = {"type": "submit", "challenge": place.rpartition("/")[2], "payload": payload}
    assert browser.post(place, data=signed(key, step)).status_code == 302
    assert db.session.scalar(select(func.count()).select_from(Signature)) == 0


def test_another_member_s_key_or_session_does_not_do(signing, sign_in, operator, cea, key_of):
    browser = sign_in(operator)
    other = factories.member(of=factories.account("乙水泥有限公司"))
    place = ask(browser, cea)
    step = step_of(browser.get(place).text)
    assert sign_in(other).get(place).status_code == 302  # It does not exist for them.
    browser.post(place, data=signed(key_of(other), step))
    assert status() == "draft"


def test_a_draft_that_was_changed_meanwhile_is_not_what_was_signed(
    signing, sign_in, operator, cea, key_of
):
    browser, key = sign_in(operator), key_of(operator)
    place = ask(browser, cea)
    step = step_of(browser.get(place).text)
    made = db.session.scalars(select(Application.id)).one()
    with transaction():
        db.session.execute(
            db.text("UPDATE application SET reason = '其他' WHERE id = :id"), {"id": made}
        )
    with nothing_moves():
        browser.post(place, data=signed(key, step))
    assert status() == "draft"


def test_one_signature_decides_on_many(signing, sign_in, operator, officer, plant, cea, key_of):
    made = [
        factories.submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和").id
        for _ in range(3)
    ]
    browser, key = sign_in(officer), key_of(officer)
    data = {"action": "approve", "id": made, "count": "3"}
    answer = browser.post("/reviews/bulk", data=data)
    step = step_of(browser.get(answer.location).text)
    assert step["payload"]["count"] == 3

    done = browser.post(answer.location, data=signed(key, step))

    assert "成功" in done.text
    db.session.rollback()
    assert quantity(plant, cea) == 2970
    assert db.session.scalar(select(func.count()).select_from(Signature)) == 1
    assert db.session.scalar(select(func.count()).select_from(SignatureEvent)) == 3


def test_a_manifest_of_many_runs_as_a_job_that_compares_each_again(
    signing, sign_in, operator, officer, plant, cea, key_of, monkeypatch, tamper
):
    """Items changed after the signature are skipped and reported."""
    monkeypatch.setattr("app.views.applications.signing.JOB_FROM", 2)
    made = [
        factories.submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和").id
        for _ in range(4)
    ]
    browser, key = sign_in(officer), key_of(officer)
    answer = browser.post(
        "/reviews/bulk", data={"action": "approve", "id": made, "count": "4", "comment": "同意"}
    )
    step = step_of(browser.get(answer.location).text)
    done = browser.post(answer.location, data=signed(key, step))
    assert "/jobs/" in done.location
    tamper("UPDATE application SET reason = '其他' WHERE id = %(id)s", made[0])

    job = int(done.location.rpartition("/")[2])
    while not jobs.advance(job, now=clock.now()):
        db.session.commit()
    db.session.commit()

    assert quantity(plant, cea) == 2960
    rows = dict(db.session.execute(select(Application.id, Application.status)).all())
    assert [rows[id_] for id_ in made] == ["in_review", "approved", "approved", "approved"]
    assert db.session.scalar(select(func.count()).select_from(SignatureEvent)) == 3


def test_a_manifest_of_ten_thousand_fits_a_form(app):
    """120 bytes an item, in base64, and the same again for what else is sent."""
    assert app.config["MAX_FORM_MEMORY_SIZE"] > 10_000 * 120 * 4 / 3 * 2


@pytest.fixture
def submit(sign_in, operator, key_of):
    """Return a function that fills in a form, signs what it submits, and returns the application."""
    browser, key = sign_in(operator), key_of(operator)

    def act(cea, tonnes: int = 500, page: str = NEW) -> Application:
        place = browser.post(page, data=form(cea, tonnes)).location
        browser.post(place, data=signed(key, step_of(browser.get(place).text)))
        return db.session.scalars(select(Application).order_by(Application.id.desc())).first()

    return act


@pytest.fixture
def decide(sign_in, officer, key_of):
    """Return a function by which the officer signs a decision on an application."""
    browser, key = sign_in(officer), key_of(officer)

    def act(id_: int, decision: str, comment: str = "") -> None:
        data = {"decision": decision, "comment": comment}
        place = browser.post(f"/reviews/{id_}/decide", data=data).location
        browser.post(place, data=signed(key, step_of(browser.get(place).text)))

    return act


@pytest.fixture
def bundle(signing, submit, decide, cea, tmp_path) -> Path:
    """The auditor's folder of an application that was submitted and approved."""
    made = submit(cea)
    decide(made.id, "approve")
    assert status() == "approved"
    evidence.export(made.number, tmp_path / "证据")
    return tmp_path / "证据"


def test_an_auditor_verifies_with_openssl_alone(bundle):
    assert verify(bundle) == 0
    application = (bundle / "01-submit.application.json").read_bytes()
    assert application in (bundle / "01-submit.json").read_bytes()
    (item,) = json.loads((bundle / "02-approve.json").read_bytes())["payload"]["items"]
    assert item["sha256"] == hashlib.sha256(application).hexdigest()


def test_a_changed_byte_in_any_file_of_the_evidence_fails(bundle):
    files = sorted(bundle.iterdir())
    files.remove(bundle / "verify.sh")
    assert {path.name for path in files} == {
        "01-submit.json", "01-submit.p7s", "01-submit.certificate.pem", "01-submit.crl.pem",
        "02-approve.json", "02-approve.p7s", "02-approve.certificate.pem", "02-approve.crl.pem",
        "01-submit.application.json", "chain.pem", "events.txt", "说明.txt",
    }  # fmt: skip
    for path in files:
        whole = path.read_bytes()
        for place in (0, len(whole) // 3, len(whole) // 2, len(whole) - 1):
            path.write_bytes(flipped(whole, place))
            assert verify(bundle) == 1, (path.name, place)
        path.unlink()
        assert verify(bundle) == 1, path.name
        path.write_bytes(whole)
    assert verify(bundle) == 0


def test_the_signatures_alone_find_a_changed_byte(bundle):
    """Also where the digest in the script was replaced."""
    script = bundle / "verify.sh"
    kept = [line for line in script.read_text().splitlines() if not line.startswith("same '")]
    script.write_text("\n".join(kept))
    assert verify(bundle) == 0
    ends = {"*.p7s": 0.95, "0?-*.json": 0.5, "*.certificate.pem": 0.5, "*.crl.pem": 0.5,
            "chain.pem": 0.25}  # fmt: skip
    for pattern, part in ends.items():
        for path in bundle.glob(pattern):
            whole = path.read_bytes()
            path.write_bytes(flipped(whole, int(len(whole) * part)))
            assert verify(bundle) == 1, path.name
            path.write_bytes(whole)
    for name in ("01-submit.application.json", "01-submit.json"):
        whole = (bundle / name).read_bytes()
        for place in range(0, len(whole), 31):
            (bundle / name).write_bytes(flipped(whole, place))
            assert verify(bundle) == 1, (name, place)
        (bundle / name).write_bytes(whole)


def test_another_content_than_the_reviewed_one_fails_however_well_signed(bundle, key_of, operator):
    """The applicant alone cannot replace what a reviewer approved."""
    holder = key_of(operator)  # A second certificate of the same person.
    content = json.loads((bundle / "01-submit.json").read_bytes())
    content["payload"]["application"]["reason"] = "其他"
    signed_anew = canonical(content)
    (bundle / "01-submit.json").write_bytes(signed_anew)
    (bundle / "01-submit.p7s").write_bytes(holder.signature(signed_anew))
    application = canonical(content["payload"]["application"])
    (bundle / "01-submit.application.json").write_bytes(application)
    pem = x509.load_der_x509_certificate(holder.der).public_bytes(Encoding.PEM)
    (bundle / "01-submit.certificate.pem").write_bytes(pem)
    script = bundle / "verify.sh"
    kept = [line for line in script.read_text().splitlines() if not line.startswith("same '")]
    script.write_text("\n".join(kept))
    assert complaints(bundle) == ["FAILED 02-approve.json 01-submit.application.json"]


def test_each_submission_is_kept_as_it_was_signed_then(
    signing, submit, decide, plant, cea, tmp_path
):
    made = submit(cea, 500)
    decide(made.id, "send_back", "数量有误")
    submit(cea, 400, f"/voluntary-cancellations/{made.id}/edit")
    decide(made.id, "approve")
    with transaction():
        db.session.execute(db.text("UPDATE account SET name = '新名称' WHERE id = :id"),
                           {"id": plant.id})  # fmt: skip

    evidence.export(made.number, tmp_path / "证据")

    assert verify(tmp_path / "证据") == 0
    quantities = {
        path.name[:2]: json.loads(path.read_bytes())["lines"][0]["quantity"]
        for path in (tmp_path / "证据").glob("*.application.json")
    }
    assert quantities == {"01": "500", "03": "400"}
    first, second = sorted((tmp_path / "证据").glob("*.application.json"))
    kept, other = first.read_bytes(), second.read_bytes()
    second.write_bytes(kept)
    assert verify(tmp_path / "证据") == 1
    second.write_bytes(other)
    assert verify(tmp_path / "证据") == 0


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ("application SET reason = '其他'", 1),
        ("account SET name = '新\\\"名' WHERE kind = 'enterprise'", 0),
    ],
    ids=["reason", "name"],
)
def test_a_reviewer_s_yes_to_what_nobody_submitted_is_seen(
    signing, submit, decide, cea, tmp_path, changed, code, monkeypatch, tamper
):
    """Database and program were manipulated; a changed name is legitimate."""
    monkeypatch.setattr(evidence, "unfit", lambda ids, certifying: (set(), set()))
    made = submit(cea)
    tamper(f"UPDATE {changed}", made.id)
    decide(made.id, "approve")

    evidence.export(made.number, tmp_path / "证据")

    assert verify(tmp_path / "证据") == code
    between = "02-approve.application.json 01-submit.application.json"
    assert complaints(tmp_path / "证据") == [f"FAILED {between}"] * code


@pytest.fixture
def tamper(cluster):
    """Return a function that runs statements as superuser, all triggers disabled."""

    def act(statement: str, id_: int) -> None:
        with cluster.connect("registry") as connection:
            connection.execute("SET session_replication_role = replica")
            assert connection.execute(statement, {"id": id_}).rowcount == 1

    return act


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE application SET reason = '其他' WHERE id = %(id)s",
        "UPDATE application_line SET quantity = 9 WHERE application_id = %(id)s",
        "UPDATE application SET proposal = '{\"x\": 1}' WHERE id = %(id)s",
    ],
)
def test_what_its_submitter_did_not_sign_is_not_approved_but_can_be_sent_back(
    signing, submit, officer, sign_in, key_of, plant, cea, tamper, statement
):
    """Changed in the database between submission and review: only this one is refused."""
    forged, sound = submit(cea, 100), submit(cea, 200)
    tamper(statement, forged.id)
    browser, key = sign_in(officer), key_of(officer)
    data = {"action": "approve", "id": [forged.id, sound.id], "count": "2"}
    place = browser.post("/reviews/bulk", data=data).location

    done = browser.post(place, data=signed(key, step_of(browser.get(place).text)))

    assert "申请内容与提交时签名的内容不一致，请退回后重新提交" in done.text
    assert statuses(forged, sound) == ["in_review", "approved"]
    data = {"decision": "send_back", "comment": "内容与签名不一致"}
    place = browser.post(f"/reviews/{forged.id}/decide", data=data).location
    browser.post(place, data=signed(key, step_of(browser.get(place).text)))
    assert statuses(forged) == ["returned"]
    assert quantity(plant, cea) == 2800


def test_a_job_refuses_it_too_and_another_name_is_no_other_content(
    signing, submit, officer, sign_in, key_of, cea, tamper, monkeypatch
):
    monkeypatch.setattr("app.views.applications.signing.JOB_FROM", 1)
    forged, sound = submit(cea, 100), submit(cea, 200)
    tamper("UPDATE application SET reason = '其他' WHERE id = %(id)s", forged.id)
    tamper("UPDATE account SET name = '新\"名' WHERE id = %(id)s", sound.account_id)
    browser, key = sign_in(officer), key_of(officer)
    data = {"action": "approve", "id": [forged.id, sound.id], "count": "2"}
    place = browser.post("/reviews/bulk", data=data).location
    job = browser.post(place, data=signed(key, step_of(browser.get(place).text))).location

    while not jobs.advance(int(job.rpartition("/")[2]), now=clock.now()):
        db.session.commit()
    db.session.commit()

    assert statuses(forged, sound) == ["in_review", "approved"]
    assert "申请内容与提交时签名的内容不一致" in browser.get(job).text


def statuses(*made: Application) -> list[str]:
    db.session.rollback()
    return [db.session.get_one(Application, each.id).status for each in made]


def test_an_event_without_a_signature_fails_the_evidence(bundle, tamper, tmp_path):
    """Inserted past all triggers, or a line of the list left out."""
    number = db.session.scalars(select(Application.number)).one()
    tamper(
        "WITH mode AS (INSERT INTO operating_mode (signs, is_production, after_event)"
        " VALUES (true, false, 0))"
        " INSERT INTO application_event (application_id, action, at, member_id, status)"
        " SELECT application_id, 'approve', now(), member_id, status FROM application_event"
        "  WHERE action = 'approve'",
        0,
    )
    db.session.rollback()
    evidence.export(number, tmp_path / "缺")
    (gap,) = complaints(tmp_path / "缺")
    assert gap.startswith("FAILED approve")
    assert gap.endswith("没有签名")

    script, listed = bundle / "verify.sh", bundle / "events.txt"
    kept = [line for line in script.read_text().splitlines() if not line.startswith("same '")]
    script.write_text("\n".join(kept))
    assert verify(bundle) == 0
    listed.write_text(listed.read_text().replace("approve registry", "send_back registry"))
    assert verify(bundle) == 1


def test_a_withdrawal_is_signed_like_a_submission(
    signing, submit, sign_in, operator, key_of, plant, cea, tmp_path
):
    made = submit(cea, 500)
    browser, key = sign_in(operator), key_of(operator)
    place = browser.post(f"/voluntary-cancellations/{made.id}/withdraw").location
    assert (status(), quantity(plant, cea)) == ("in_review", 2500)
    page = browser.get(place).text
    assert "未签名则不撤回" in page
    assert step_of(page)["type"] == "withdraw"
    answer = browser.post(place, data=signed(key, step_of(page)))

    assert answer.location.endswith(f"/voluntary-cancellations/{made.id}")
    assert (status(), quantity(plant, cea)) == ("withdrawn", 3000)
    evidence.export(made.number, tmp_path / "证据")
    assert verify(tmp_path / "证据") == 0
    assert "withdraw" in (tmp_path / "证据" / "events.txt").read_text()


def test_a_withdrawal_that_a_rule_refuses_is_not_signed_in_vain(
    signing, submit, decide, sign_in, operator, cea
):
    made = submit(cea)
    decide(made.id, "approve")
    answer = sign_in(operator).post(f"/voluntary-cancellations/{made.id}/withdraw")
    assert answer.location.endswith(f"/voluntary-cancellations/{made.id}")
    assert db.session.scalar(select(func.count()).select_from(Challenge)) == 0


def test_who_signs_by_a_wrong_clock_is_told_so(signing, sign_in, operator, cea, key_of):
    browser, key = sign_in(operator), key_of(operator)
    place = ask(browser, cea)
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    sent = signed(key, step_of(browser.get(place).text), at=at)
    assert "误差超过 5 分钟" in browser.post(place, data=sent, follow_redirects=True).text
    assert status() == "draft"


SETTINGS = {
    "parameter": (
        "system_admin",
        "/parameters/transfer_cut_off/edit",
        {"value": "14:30", "effective_from": "2026-11-23", "reason": "交易时间调整"},
        "SELECT value FROM parameter",
        "14:30",
    ),
    "calendar": (
        "system_admin",
        "/calendar/2026-11-23/edit",
        {"note": "临时休市"},
        "SELECT note FROM trading_day WHERE day = '2026-11-23'",
        "临时休市",
    ),
    "role": (
        "security_admin",
        "/members/{officer}/role",
        {"role": "registry_maker"},
        "SELECT r.name FROM ab_user_role u JOIN ab_role r ON r.id = u.role_id"
        " WHERE u.user_id = {officer}",
        "registry_maker",
    ),
    "keeping out": (
        "system_admin",
        "/members/{officer}/disable",
        {},
        "SELECT active FROM ab_user WHERE id = {officer}",
        False,
    ),
}


@pytest.mark.parametrize(("role", "page", "sent", "query", "expected"), SETTINGS.values(),
                         ids=SETTINGS)  # fmt: skip
def test_settings_are_signed_before_they_change(
    signing, sign_in, officer, key_of, role, page, sent, query, expected
):
    def found():
        db.session.rollback()
        return db.session.scalar(db.text(query.format(officer=officer.id)))

    administrator = factories.member(role)
    browser, key = sign_in(administrator), key_of(administrator)
    place = browser.post(page.format(officer=officer.id), data=sent).location
    assert "/signing/" in place
    before = found()
    assert before != expected
    shown = browser.get(place).text
    assert "未签名则不作变更" in shown
    wrong = signed(key, step_of(shown) | {"payload": {"schema": "act/1"}})
    browser.post(place, data=wrong)
    assert found() == before

    place = browser.post(page.format(officer=officer.id), data=sent).location
    browser.post(place, data=signed(key, step_of(browser.get(place).text)))
    assert found() == expected
    assert db.session.scalars(select(Signature.purpose)).all() == ["act"]


def test_what_nobody_signed_is_not_called_sound(signing, operator, cea, tmp_path):
    made = factories.submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    evidence.export(made.number, tmp_path)
    assert verify(tmp_path) == 1


def flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def complaints(folder: Path) -> list[str]:
    said = subprocess.run(["sh", "verify.sh"], cwd=folder, capture_output=True, check=False)
    return said.stdout.decode().splitlines()[:-1]


def verify(folder: Path) -> int:
    return subprocess.run(
        ["sh", "verify.sh"], cwd=folder, capture_output=True, check=False
    ).returncode
