"""续期: the current certificate signs for the new key, in its last 60 days and for its owner only."""

from __future__ import annotations

import json
from base64 import encodebytes
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.extensions import db
from app.models import Certificate, Member
from tests.factories import account, member
from tests.security.certified import Holder, coded, content_of
from tests.signing import authority_folder, csr, signing
from tests.signing import certified as signed_for

__all__ = ["authority_folder", "signing"]


@pytest.fixture
def person(app) -> Member:
    return member(of=account())


def certified(person: Member, key: ec.EllipticCurvePrivateKey) -> Certificate:
    return signed_for(person, request=csr(key))


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def present(person, key, signing, cluster) -> Certificate:
    """A certificate that ends in 30 days."""
    row = certified(person, key)
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE certificate SET not_after = now() + interval '30 days'")
    db.session.refresh(row)
    return row


def pem() -> str:
    words = "CERTIFICATE REQUEST"
    return f"-----BEGIN {words}-----\n{encodebytes(csr()).decode()}-----END {words}-----\n"


def begun(browser, row: Certificate, request: str) -> dict[str, object]:
    return browser.post(f"/certificates/{row.id}/renew/begin", data={"csr": request}).json


def finish(browser, row: Certificate, key, step, request: str, **changed: str):
    holder = Holder(key, row.der)
    content = content_of(step)
    sent = {
        "csr": request,
        "content": coded(content),
        "cms": coded(holder.signature(content)),
    }
    return browser.post(f"/certificates/{row.id}/renew", data=sent | changed).json


def count() -> int:
    db.session.rollback()
    return db.session.query(Certificate).count()


def test_the_present_certificate_signs_for_the_new_key(present, person, key, sign_in):
    browser = sign_in(person)
    assert "/renew" in browser.get("/certificates/").text
    page = browser.get(f"/certificates/{present.id}/renew").text
    assert json.loads(unescape(page.split('data-renewal="')[1].split('"')[0]))["type"] == "enrol"
    request = pem()
    answer = finish(browser, present, key, begun(browser, present, request), request)
    assert "BEGIN CERTIFICATE" in answer["certificate"]
    db.session.refresh(present)
    assert present.state == "active"  # Until the new one is first used.
    assert count() == 2
    again = pem()
    assert "error" in finish(browser, present, key, begun(browser, present, again), again)
    assert count() == 2


def test_another_key_in_the_request_is_refused(present, person, key, sign_in):
    browser = sign_in(person)
    step = begun(browser, present, pem())
    assert "error" in finish(browser, present, key, step, pem())
    assert count() == 1


@pytest.mark.parametrize(
    "changed",
    [{"cms": "§"}, {"cms": ""}, {"content": ""}, {"content": "AAAA"}, {"csr": ""}, {"csr": "x"}],
)
def test_malformed_answers_change_nothing(present, person, key, sign_in, changed):
    browser = sign_in(person)
    request = pem()
    answer = finish(browser, present, key, begun(browser, present, request), request, **changed)
    assert "error" in answer
    assert count() == 1


def test_a_stranger_s_signature_is_refused(present, person, sign_in):
    browser = sign_in(person)
    request = pem()
    foreign = ec.generate_private_key(ec.SECP256R1())
    assert "error" in finish(browser, present, foreign, begun(browser, present, request), request)
    assert count() == 1


def test_others_certificates_do_not_exist(present, sign_in):
    other = member(of=account("乙水泥有限公司", "31"))
    for person in (other, member("registry_maker")):
        browser = sign_in(person)
        assert browser.get(f"/certificates/{present.id}/renew").status_code == 404
        for ending in ("renew", "renew/begin"):
            assert browser.post(f"/certificates/{present.id}/{ending}").status_code == 404


def test_it_is_too_early_for_a_fresh_certificate(person, key, signing, sign_in):
    row = certified(person, key)
    browser = sign_in(person)
    assert "/renew" not in browser.get("/certificates/").text
    assert browser.get(f"/certificates/{row.id}/renew").status_code == 302
    request = pem()
    answer = finish(browser, row, key, begun(browser, row, request), request)
    assert answer["code"] == "too_early"
    assert row.not_after > datetime.now(UTC) + timedelta(days=700)
