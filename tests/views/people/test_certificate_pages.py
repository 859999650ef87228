"""证书管理 on screen: who sees which certificates, acts of officers, 补办 by two."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import (
    AccountDetail,
    Application,
    Certificate,
    CertificateEnrolment,
    Member,
    OperationLog,
    OutboxMessage,
)
from tests.factories import account, member
from tests.openings import confirm, read_letters
from tests.signing import authority_folder, fetch, signing
from tests.signing import certified as signed_for

__all__ = ["authority_folder", "signing"]

LIST = "/certificates/"


def certified(person: Member, *, reachable: bool = True) -> Certificate:
    """Give a member a certificate, and the account's representative mail and phone."""
    with transaction():
        if reachable and person.account_id:
            db.session.add(
                AccountDetail(
                    account_id=person.account_id,
                    representative="李晓梅",
                    representative_phone="13800000001",
                    representative_email="rep1@plant.example",
                )
            )
    return signed_for(person)


@pytest.fixture
def ours(app, signing) -> Certificate:
    return certified(member(of=account()))


def state_of(row: Certificate) -> tuple[str, str]:
    db.session.rollback()
    db.session.refresh(row)
    return row.state, row.reason


def change(browser, row: Certificate, act: str, **more: str):
    data = {"act": act, "reason": "", "remark": "按单位来函办理"} | more
    return browser.post(f"/certificates/{row.id}/change", data=data)


def test_an_enterprise_sees_its_own_with_the_days_left(ours, sign_in):
    theirs = certified(member(of=account("乙水泥有限公司", "31")))
    page = sign_in(ours.member).get(LIST).text
    assert ours.serial.upper() in page
    assert theirs.serial.upper() not in page
    assert "730" in page or "729" in page
    assert "/change" not in page


def test_a_province_sees_the_own_one_alone(ours, sign_in):
    person = member("province", province="42")
    own = certified(person)
    page = sign_in(person).get(LIST).text
    assert own.serial.upper() in page
    assert ours.serial.upper() not in page


def test_an_officer_suspends_resumes_and_revokes_with_reasons(ours, sign_in, checker):
    browser = sign_in(checker)
    assert browser.get(f"/certificates/{ours.id}/change").status_code == 200
    assert change(browser, ours, "suspend").status_code == 302
    assert state_of(ours) == ("suspended", "certificateHold")
    assert change(browser, ours, "resume").status_code == 302
    assert state_of(ours) == ("active", "")
    assert change(browser, ours, "revoke", reason="keyCompromise").status_code == 302
    assert state_of(ours) == ("revoked", "keyCompromise")
    logged = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "certificate.revoke")
    ).one()
    assert logged.detail["remark"] == "按单位来函办理"
    assert logged.member_no == checker.username


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("resume", {}),
        ("revoke", {}),
        ("revoke", {"reason": "certificateHold"}),
        ("suspend", {"remark": ""}),
        ("suspend", {"remark": "x" * 201}),
        ("suspend", {"remark": "a\x00"}),
        ("delete", {}),
        ("", {}),
    ],
)
def test_a_wrong_change_shows_the_form_again(ours, sign_in, checker, act, more):
    assert change(sign_in(checker), ours, act, **more).status_code == 400
    assert state_of(ours) == ("active", "")


def test_what_is_revoked_stays_revoked(ours, sign_in, checker):
    browser = sign_in(checker)
    change(browser, ours, "revoke", reason="superseded")
    for act in ("resume", "suspend", "revoke"):
        assert change(browser, ours, act, reason="unspecified").status_code == 400
    assert state_of(ours) == ("revoked", "superseded")


def test_nobody_else_changes_certificates(ours, sign_in):
    for person, status in (
        (ours.member, 404),  # The representative: those of the operators alone.
        (member("province", province="42"), 403),
        (member("security_admin"), 404),  # Those of people without an enterprise.
        (member("system_admin"), 403),
    ):
        assert change(sign_in(person), ours, "suspend").status_code == status
    assert sign_in(member("registry_maker")).get("/certificates/999999/change").status_code == 404


def test_two_officers_send_a_replacement_on_two_ways(ours, sign_in, maker, checker):
    browser = sign_in(maker)
    address = f"/certificate-replacements/new?certificate={ours.id}"
    assert browser.get(address).status_code == 200
    answer = browser.post(address, data={"reason": "USBKey遗失", "submit": "1"})
    assert answer.status_code == 302, answer.text
    made = db.session.scalars(select(Application)).one()
    assert made.status == "in_review"
    assert confirm([made.id], maker).done == []
    assert ours.serial.upper() in sign_in(checker).get(f"/reviews/{made.id}").text
    assert confirm([made.id], checker).done

    sent = {row.channel: row for row in db.session.query(OutboxMessage)}
    assert sent["mail"].recipient == "rep1@plant.example"
    letters = read_letters("#" + "x" * 43 + sent["mail"].body, sent["sms"].body)
    assert letters.code not in sent["mail"].body
    assert letters.reference not in sent["sms"].body
    enrolment = db.session.query(CertificateEnrolment).filter_by(state="open").one()
    assert (enrolment.opened_by, enrolment.confirmed_by) == (maker.id, checker.id)
    fetch(letters.reference, letters.code)
    assert state_of(ours) == ("revoked", "superseded")


def test_a_replacement_needs_a_reason_and_somebody_who_can_be_reached(sign_in, maker, signing):
    row = certified(member(of=account()), reachable=False)
    browser = sign_in(maker)
    address = f"/certificate-replacements/new?certificate={row.id}"
    assert browser.post(address, data={"reason": "遗失", "submit": "1"}).status_code == 400
    assert row.serial.upper() in browser.get("/certificate-replacements/new").text
    assert row.serial.upper() not in browser.get("/certificate-replacements/new?q=none\x00").text
    for wrong in ("0", "x", "９", "-1", "9" * 30):
        assert browser.get(f"/certificate-replacements/new?certificate={wrong}").status_code == 404


def test_a_replacement_without_a_reason_is_not_submitted(ours, sign_in, maker):
    address = f"/certificate-replacements/new?certificate={ours.id}"
    assert sign_in(maker).post(address, data={"reason": " ", "submit": "1"}).status_code == 400


def test_an_officer_s_own_certificate_is_not_replaced_here(signing, sign_in, maker, checker):
    row = certified(checker)
    address = f"/certificate-replacements/new?certificate={row.id}"
    assert sign_in(maker).get(address).status_code == 404
