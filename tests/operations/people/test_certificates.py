"""Members' certificates: enrolment by two codes, one certificate each, revocation."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db, transaction
from app.models import (
    Certificate,
    CertificateEnrolment,
    Member,
    OperationLog,
    RevocationList,
)
from app.operations.people import certificates
from app.operations.people.certificates import InvalidCodes
from app.operations.records.actor import SYSTEM, Actor
from app.pki.errors import RequestRefused, SignerAbsent
from app.pki.revocation import Revocation
from tests.factories import member
from tests.security.certified import Holder, content_of, make_authority
from tests.signing import authority_folder, csr, key_of, signing, vouchers_of

__all__ = ["authority_folder", "signing"]

# The signer has a clock of its own: an hour ahead, so that what it issues while the suite runs holds.
NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
VISITOR = Actor(member_id=None, member_no="", name="", ip="198.51.100.7")


@pytest.fixture
def officer(app):
    return Actor.of(member("registry_maker"))


@pytest.fixture
def checker(app):
    return Actor.of(member("registry_checker"))


@pytest.fixture
def codes(signing, operator, officer):
    return opened(operator, officer)


def opened(person, officer, now=NOW, **more):
    with transaction():
        made = certificates.open_enrolment(person.id, officer, now=now, **more)
    vouchers_of(Path(current_app.config["CA_FOLDER"])).vouch(made.reference, made.code)
    return made


def enrolled(codes, now=NOW, key=None, request=None):
    with transaction():
        return certificates.enrol(
            codes.reference, codes.code, request or csr(key), VISITOR, now=now
        )


def enrolment(codes) -> CertificateEnrolment:
    db.session.rollback()
    db.session.expire_all()
    return db.session.get_one(CertificateEnrolment, codes.enrolment_id)


def count() -> int:
    db.session.rollback()
    return len(db.session.scalars(select(Certificate.id)).all())


def logged(action: str) -> list[OperationLog]:
    db.session.rollback()
    return list(
        db.session.scalars(
            select(OperationLog).where(OperationLog.action == action).order_by(OperationLog.id)
        )
    )


def test_two_codes_lead_to_a_certificate_of_the_person(codes, operator):
    key = ec.generate_private_key(ec.SECP256R1())
    made = enrolled(codes, key=key)

    assert (made.member_id, made.state, made.assurance) == (operator.id, "active", "hard")
    certificate = x509.load_der_x509_certificate(made.der)
    assert certificate.public_key() == key.public_key()
    assert f"{certificate.serial_number:x}" == made.serial
    assert operator.username in certificate.subject.rfc4514_string()
    assert enrolment(codes).state == "used"
    (row,) = logged("certificate.issue")
    assert (row.subject, row.member_no, row.ip) == (made.serial, operator.username, VISITOR.ip)


def test_the_codes_are_random_readable_and_kept_nowhere(codes):
    assert len(codes.reference) == 10
    assert codes.reference.isdigit()
    assert len(codes.code) == 10
    assert set(codes.code) <= set("23456789ABCDEFGHJKMNPQRSTUVWXYZ")
    assert codes.code not in repr(codes)
    assert codes.expires_at == NOW + timedelta(days=14)
    for table in ("certificate_enrolment", "operation_log"):
        kept = db.session.execute(db.text(f"SELECT t::text FROM {table} t")).scalars().all()
        assert not any(codes.code in row for row in kept)
        assert not any(codes.code.encode().hex() in row for row in kept)


def test_a_code_may_be_typed_in_small_letters_and_groups(codes):
    typed = dataclasses.replace(codes, code=f" {codes.code[:5].lower()}-{codes.code[5:]} ")
    assert enrolled(typed).state == "active"


def wrong(codes) -> str:
    return ("2" if codes.code[0] != "2" else "3") + codes.code[1:]


def refused(reference, code, now=NOW) -> str:
    with pytest.raises(InvalidCodes) as refusal, transaction():
        certificates.enrol(reference, code, csr(), VISITOR, now=now)
    assert count() == 0
    return str(refusal.value)


def test_whatever_is_wrong_with_the_codes_has_one_message(codes, operator, officer):
    said = {
        refused(codes.reference, wrong(codes)),
        refused(codes.reference, ""),
        refused(codes.reference, "\x00" * 10),
        refused(codes.reference, "\ud800"),
        refused(codes.reference, "A" * 100_000),
        refused("0000000000", codes.code),
        refused("", codes.code),
        refused("' OR 1=1--", codes.code),
        refused("１２３４５６７８９０", codes.code),
        refused(codes.reference, codes.code, NOW + timedelta(days=14)),
    }
    said.add(refused(codes.reference, codes.code))  # Five wrong ones before: locked.
    later = opened(operator, officer)
    opened(operator, officer)
    said.add(refused(later.reference, later.code))  # Replaced by newer codes.
    assert said == {
        "The reference number or the authorisation code is not valid, or no longer valid"
    }


def test_used_codes_are_refused_with_the_same_message(codes):
    enrolled(codes)
    with pytest.raises(InvalidCodes, match="no longer valid"), transaction():
        certificates.enrol(codes.reference, codes.code, csr(), VISITOR, now=NOW)
    assert count() == 1


def test_the_fifth_wrong_code_locks_and_the_refusals_are_logged(codes):
    for n in range(1, 6):
        assert enrolment(codes).state == "open"
        refused(codes.reference, wrong(codes))
        assert enrolment(codes).tries == n
    assert enrolment(codes).state == "locked"
    refused(codes.reference, codes.code)

    rows = logged("certificate.enrol")
    assert [(row.result, row.subject, row.ip) for row in rows] == [
        ("refused", codes.reference, VISITOR.ip)
    ] * 6


def test_a_wrong_reference_costs_others_no_try(codes):
    refused("0" * 10, codes.code)
    assert enrolment(codes).tries == 0


def test_a_bad_request_costs_no_try(codes):
    with pytest.raises(RequestRefused), transaction():
        certificates.enrol(codes.reference, codes.code, b"garbage", VISITOR, now=NOW)
    assert (enrolment(codes).state, enrolment(codes).tries) == ("open", 0)
    assert enrolled(codes)


def test_the_state_of_the_codes_is_not_told_to_who_lacks_them(codes):
    """An invalid request with a wrong code gets no detail about the request."""
    with pytest.raises(InvalidCodes), transaction():
        certificates.enrol(codes.reference, wrong(codes), b"garbage", VISITOR, now=NOW)


@pytest.fixture
def together(together):
    """As `together`, with results and refusals in one list."""

    def run(*acts):
        results = together(*acts)
        assert all(isinstance(error, RuleError) for error in results.failed), results.failed
        return [one for one in results.returned if one is not None] + results.failed

    return run


def test_eight_at_once_with_one_code_get_one_certificate(codes, together):
    ended = together(*[lambda: enrolled(codes).id] * 8)

    assert len([one for one in ended if isinstance(one, int)]) == 1
    assert {type(one) for one in ended} == {int, InvalidCodes}
    assert count() == 1
    assert enrolment(codes).tries == 0


def test_eight_wrong_codes_at_once_are_five_tries(codes, together):
    def guess():
        with transaction():
            certificates.enrol(codes.reference, wrong(codes), csr(), VISITOR, now=NOW)

    ended = together(*[guess] * 8)

    assert {type(one) for one in ended} == {InvalidCodes}
    assert (enrolment(codes).tries, enrolment(codes).state) == (5, "locked")


def test_one_key_at_once_for_two_people_is_certified_once(
    codes, officer, together, plant, operator
):
    other = opened(member(of=plant), officer)
    key = ec.generate_private_key(ec.SECP256R1())
    ended = together(lambda: enrolled(codes, key=key).id, lambda: enrolled(other, key=key).id)

    assert sorted(type(one).__name__ for one in ended) == ["RequestRefused", "int"]
    assert count() == 1


def test_a_key_is_certified_once_even_after_revocation(codes, operator, officer, checker):
    key = ec.generate_private_key(ec.SECP256R1())
    made = enrolled(codes, key=key)
    with transaction():
        certificates.revoke(made.id, "keyCompromise", officer, now=NOW)
    again = opened(operator, officer, confirmed_by=checker)
    with pytest.raises(RequestRefused, match="certified before"):
        enrolled(again, key=key)
    assert enrolment(again).state == "open"


def test_the_authoritys_own_key_is_certified_for_nobody(codes, signing, monkeypatch):
    from app.pki import authority

    ours = certificates.the_authority()
    own = authority.Request(authority.key_in(ours.certificate), authority.spki_in(ours.certificate))
    monkeypatch.setattr(authority, "read_request", lambda data, suite: own)
    with pytest.raises(RequestRefused) as refusal:
        enrolled(codes)
    assert refusal.value.code == "key_used"


def test_without_the_signing_process_nothing_is_half_done(codes, app, tmp_path, monkeypatch):
    from shutil import copy

    for name in ("root.pem", "issuing.pem"):
        copy(f"{app.config['CA_FOLDER']}/{name}", tmp_path / name)
    with monkeypatch.context() as patched:
        patched.setitem(app.config, "CA_FOLDER", str(tmp_path))
        with pytest.raises(SignerAbsent):
            enrolled(codes)
    assert count() == 0
    assert enrolment(codes).state == "open"
    assert logged("certificate.issue") == []
    assert enrolled(codes)


def test_a_disabled_person_gets_nothing(codes, operator, officer):
    with transaction():
        operator.active = False
    refused(codes.reference, codes.code)
    with pytest.raises(RuleError, match="disabled"):
        opened(operator, officer)


def test_codes_used_while_the_person_is_disabled_lead_to_nothing_that_counts(
    codes, operator, officer, together
):
    """In either order: no certificate, or a suspended one."""

    def disable():
        with transaction():
            person = db.session.get_one(Member, operator.id, with_for_update=True)
            person.active = False
            db.session.flush()
            time.sleep(0.2)
            certificates.suspend_all(person.id, officer, now=NOW)

    together(disable, lambda: enrolled(codes).id)

    assert db.session.scalars(select(Certificate.state)).all() in ([], ["suspended"])
    assert enrolment(codes).state in ("lapsed", "used")


def test_a_disabled_persons_certificate_is_neither_resumed_nor_renewed(codes, operator, officer):
    held = enrolled(codes)
    late = held.not_after - timedelta(days=30)
    with transaction():
        operator.active = False
        assert certificates.suspend_all(operator.id, officer, now=NOW) == 1
        assert certificates.suspend_all(operator.id, officer, now=NOW) == 0
    with pytest.raises(RuleError, match="disabled"), transaction():
        certificates.resume(held.id, officer, now=NOW)
    with pytest.raises(RuleError, match="disabled"), transaction():
        certificates.renew(held, csr(), Actor.of(operator), now=late, content=b"", cms=b"")


# With the application's password


@pytest.mark.parametrize("way", ["derived", "copied"])
def test_a_row_of_the_databases_own_making_has_no_code_that_fits(
    codes, operator, officer, checker, way
):
    """Whoever stole the password may add rows, and may know the codes of an own enrolment."""
    own = enrolment(codes)
    forged = {column.key: getattr(own, column.key) for column in own.__table__.columns}
    forged |= {"reference": "0000000000", "member_id": checker.member_id}
    forged |= {"opened_by": officer.member_id, "confirmed_by": operator.id}
    del forged["id"]
    if way == "derived":
        forged["code_hash"] = certificates.suite().derive(codes.code.encode(), own.salt)
    with transaction():
        db.session.add(CertificateEnrolment(**forged))

    with pytest.raises(InvalidCodes), transaction():
        certificates.enrol("0000000000", codes.code, csr(), VISITOR, now=NOW)

    assert count() == 0
    assert enrolled(codes).member_id == operator.id


# Officers


def test_a_replacement_needs_two_officers(codes, operator, officer, checker):
    first = enrolled(codes)
    for second in (None, officer):
        with pytest.raises(NotAllowed):
            opened(operator, officer, confirmed_by=second)
    again = enrolled(opened(operator, officer, confirmed_by=checker))

    db.session.refresh(first)
    assert (first.state, first.reason) == ("revoked", "superseded")
    assert again.state == "active"
    assert logged("certificate.open_enrolment")[-1].detail["confirmed_by"] == checker.member_no


def test_new_codes_end_older_ones(codes, operator, officer):
    newer = opened(operator, officer)
    assert enrolment(codes).state == "lapsed"
    assert enrolment(newer).state == "open"


def test_suspended_and_resumed(codes, officer):
    made = enrolled(codes)
    serial = made.serial_number
    assert certificates.status(serial) is True
    with transaction():
        certificates.suspend(made.id, officer, now=NOW)
    assert certificates.status(serial) == Revocation(serial, NOW, "certificateHold")
    assert not made.stands_at(NOW)
    with transaction():
        certificates.resume(made.id, officer, now=NOW)
    assert certificates.status(serial) is True
    assert made.stands_at(NOW)
    assert certificates.status(12345) is False


def owner_is_refused(cluster, statement: str) -> str:
    """Run a statement as the owner of the tables, and return the refusal."""
    with cluster.connect("registry") as connection:
        connection.execute("SET ROLE registry_owner")
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(statement)
    return str(refusal.value)


def test_revoked_is_final(codes, officer, cluster):
    made = enrolled(codes)
    with transaction():
        certificates.revoke(made.id, "keyCompromise", officer, now=NOW)
    for act in (
        lambda: certificates.suspend(made.id, officer, now=NOW),
        lambda: certificates.resume(made.id, officer, now=NOW),
        lambda: certificates.revoke(made.id, "superseded", officer, now=NOW),
    ):
        with pytest.raises(RuleError, match="not possible"), transaction():
            act()
    for change in ("state = 'active', reason = '', revoked_at = NULL", "reason = 'superseded'"):
        with pytest.raises(DBAPIError, match="revoked for good"), transaction():
            db.session.execute(db.text(f"UPDATE certificate SET {change}"))
    assert "kept for ever" in owner_is_refused(cluster, "DELETE FROM certificate")


def test_only_a_certificates_state_changes(codes, cluster, operator):
    made = enrolled(codes)
    for column, value in (("member_id", "1"), ("der", "'x'"), ("not_after", "now()"),
                          ("assurance", "'soft'"), ("serial", "'ab'")):  # fmt: skip
        said = owner_is_refused(cluster, f"UPDATE certificate SET {column} = {value}")
        assert "changes its state alone" in said
    assert count() == 1
    assert made.id


def test_closed_codes_never_open_again(codes):
    enrolled(codes)
    with pytest.raises(DBAPIError, match="closed for good"), transaction():
        db.session.execute(
            db.text("UPDATE certificate_enrolment SET state = 'open', used_at = NULL")
        )


def test_an_unknown_certificate_and_reason_are_refused(codes, officer):
    with pytest.raises(NotFound):
        certificates.suspend(999_999, officer, now=NOW)
    made = enrolled(codes)
    for reason in ("", "certificateHold", "removeFromCRL", "x"):
        with pytest.raises(RuleError, match="choose the reason"):
            certificates.revoke(made.id, reason, officer, now=NOW)


def test_whatever_a_person_holds_is_revoked_at_once(codes, operator, officer, checker):
    enrolled(codes)
    open_codes = opened(operator, officer, confirmed_by=checker)
    with transaction():
        assert certificates.revoke_all(operator.id, "affiliationChanged", officer, now=NOW) == 1
    assert enrolment(open_codes).state == "lapsed"
    refusal = pytest.raises(InvalidCodes)
    with refusal, transaction():
        certificates.enrol(open_codes.reference, open_codes.code, csr(), VISITOR, now=NOW)


def test_every_step_is_logged_with_before_and_after(codes, officer):
    made = enrolled(codes)
    with transaction():
        certificates.suspend(made.id, officer, now=NOW)
        certificates.resume(made.id, officer, now=NOW)
        certificates.revoke(made.id, "keyCompromise", officer, now=NOW)
    steps = [
        (row.detail["before"]["state"], row.detail["after"]["state"])
        for verb in ("issue", "suspend", "resume", "revoke")
        for row in logged(f"certificate.{verb}")
    ]
    assert steps == [("", "active"), ("active", "suspended"), ("suspended", "active"),
                     ("active", "revoked")]  # fmt: skip


# Renewal


def renewed(old, actor, now, request=None):
    request = request or csr()
    content = content_of({"type": "renew", "payload": certificates.renewal_payload(old, request)})
    cms = Holder(key_of(old.der), old.der).signature(content)
    with transaction():
        return certificates.renew(old, request, actor, now=now, content=content, cms=cms)


def test_renewal_opens_sixty_days_before_the_end(codes, operator):
    old = enrolled(codes)
    actor = Actor.of(operator)
    for now in (NOW, old.not_after - timedelta(days=61)):
        with pytest.raises(RuleError, match="60 days before"):
            renewed(old, actor, now)
    new = renewed(old, actor, old.not_after - timedelta(days=59))

    assert (new.renews_id, new.assurance, new.member_id) == (old.id, old.assurance, operator.id)
    assert old.state == "active"
    with pytest.raises(RuleError, match="renewed already"):
        renewed(old, actor, old.not_after - timedelta(days=58))


def test_the_first_use_of_the_new_one_ends_the_old_one(codes, operator):
    old = enrolled(codes)
    actor = Actor.of(operator)
    later = old.not_after - timedelta(days=30)
    new = renewed(old, actor, later)
    with transaction():
        certificates.note_use(old.id, actor, now=later)
    assert old.state == "active"
    with transaction():
        certificates.note_use(new.id, actor, now=later)
        certificates.note_use(new.id, actor, now=later)
    db.session.refresh(old)
    assert (old.state, old.reason) == ("revoked", "superseded")


def test_what_is_not_valid_or_anothers_is_not_renewed(codes, operator, officer):
    old = enrolled(codes)
    late = old.not_after - timedelta(days=30)
    with pytest.raises(NotAllowed, match="another member"):
        renewed(old, officer, late)
    with pytest.raises(RuleError, match="Only a valid"):
        renewed(old, Actor.of(operator), old.not_after + timedelta(seconds=1))
    with transaction():
        certificates.suspend(old.id, officer, now=NOW)
    with pytest.raises(RuleError, match="Only a valid"):
        renewed(old, Actor.of(operator), late)


def test_renewal_takes_a_new_key(codes, operator):
    key = ec.generate_private_key(ec.SECP256R1())
    old = enrolled(codes, key=key)
    with pytest.raises(RequestRefused, match="certified before"):
        renewed(old, Actor.of(operator), old.not_after - timedelta(days=30), csr(key))


def test_what_is_signed_for_a_renewal_names_the_request(codes):
    old, request = enrolled(codes), csr()
    assert certificates.renewal_payload(old, request) != certificates.renewal_payload(old, csr())
    assert certificates.renewal_payload(old, request)["serial"] == old.serial


# Lists


def publish(now=NOW) -> RevocationList:
    with transaction():
        return certificates.publish_crl(SYSTEM, now=now)


def test_the_list_follows_what_happens(codes, officer):
    with pytest.raises(NotFound):
        certificates.latest_crl()
    assert certificates.is_crl_due(NOW)
    made = enrolled(codes)
    first = publish().number
    assert not certificates.is_crl_due(NOW + timedelta(hours=5))
    assert certificates.is_crl_due(NOW + timedelta(hours=6))
    with transaction():
        certificates.suspend(made.id, officer, now=NOW)
    assert certificates.is_crl_due(NOW)
    assert listed(publish()) == {made.serial}
    assert not certificates.is_crl_due(NOW)
    with transaction():
        certificates.resume(made.id, officer, now=NOW)
    assert certificates.is_crl_due(NOW)
    assert listed(publish()) == set()
    assert certificates.latest_crl().number == first + 2


def listed(row: RevocationList) -> set[str]:
    """Return what a list holds of this registry's; the process knows other tests', too."""
    told = {f"{line.serial_number:x}" for line in x509.load_der_x509_crl(row.der)}
    return told & set(db.session.scalars(select(Certificate.serial)))


def test_what_the_signing_process_has_ended_is_revoked_here_too(codes, operator, officer, checker):
    """It made a replacement, and the transaction failed afterwards."""
    made = enrolled(codes)
    again = opened(operator, officer, confirmed_by=checker)
    certificates.the_signer().issue(again.reference, again.code, csr())
    assert listed(publish()) == {made.serial}
    db.session.expire_all()
    assert (made.state, made.reason) == ("revoked", "superseded")
    assert not certificates.is_crl_due(NOW)


def test_numbers_of_lists_go_on_where_the_table_was_restored(signing, tables):
    first = publish().number
    db.session.remove()
    tables.empty()
    with tables.connection.transaction():  # What the owner writes: the database then looks, too.
        tables.connection.execute(
            "INSERT INTO operating_mode (signs, is_production, after_event) VALUES (true, false, 0)"
        )
    assert publish().number == first + 1
    signer = certificates.the_signer()  # It makes a list that is never recorded.
    lines = [Revocation(int(each, 16), at, "superseded") for each, at in signer.revoked().items()]
    signer.list_revoked(first + 2, lines)
    assert publish().number == first + 3


def test_another_authority_makes_a_list_of_its_own_at_once(codes, monkeypatch):
    """Its signatures are stored with its own list."""
    enrolled(codes)
    publish()
    assert not certificates.is_crl_due(NOW)
    other = make_authority()
    monkeypatch.setattr(certificates, "the_authority", lambda: other)
    assert certificates.is_crl_due(NOW)


def test_lists_made_at_once_are_numbered_one_after_the_other(signing, together):
    ended = together(*[lambda: publish().number] * 6)
    assert sorted(ended) == list(range(min(ended), min(ended) + 6))


def test_a_list_is_never_changed(signing, cluster):
    publish()
    assert "append-only" in owner_is_refused(cluster, "UPDATE crl SET der = 'x'")


def test_a_signature_is_kept_with_the_list_of_the_day(codes):
    made = enrolled(codes)
    number = publish().number
    with transaction():
        row = certificates.keep_signature(made, b"{}", b"cms", purpose="submit", signed_at=NOW)
    assert (row.crl_number, row.certificate_id) == (number, made.id)
    publish(NOW + timedelta(hours=6))
    db.session.refresh(row)
    assert row.crl_number == number


def test_a_signature_before_any_list_is_refused(codes):
    made = enrolled(codes)
    with pytest.raises(NotFound, match="No revocation list"), transaction():
        certificates.keep_signature(made, b"{}", b"cms", purpose="submit", signed_at=NOW)
