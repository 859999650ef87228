"""The suite gm end to end: SM2 keys, an SM2 authority, all verified by openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import csr as asn1_csr
from asn1crypto import keys
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from app.pki import authority, ceremony, cms, revocation, sm2
from app.pki.authority import Authority, Usage, spki_in
from app.pki.errors import (
    CertificateRefused,
    PinIncorrect,
    PkiError,
    RequestRefused,
    SignatureRefused,
    TokenError,
)
from app.pki.requests import request_for
from app.pki.revocation import Revocation
from app.pki.signer import Signer, authority_of
from app.pki.suites import GM
from app.pki.tokens import SoftwareToken, TryCounter, load_key, sign_with, unlocked
from tests.pki.test_authority import csr
from tests.pki.test_authority import in_memory as international
from tests.pki.test_authority import issued as issued_internationally
from tests.pki.test_signer import issued, serving, signs
from tests.signing import needs_sm2

pytestmark = needs_sm2
NOW = datetime.now(UTC).replace(microsecond=0)
MEMBER = "21042300007"
PIN = "1234"
USER = "distid:1234567812345678"
CONTENT = b'{"document":"ZH202611200001","quantity":"100"}'


def in_memory() -> Authority:
    root_key, root = authority.make_root("测试根", now=NOW, suite=GM)
    key = sm2.PrivateKey.generate()
    issuing = authority.make_issuing("测试签发", key.public_key(), root, root_key, now=NOW)
    return Authority(root, issuing, key, "http://127.0.0.1/ca")


@pytest.fixture(scope="module")
def ours() -> Authority:
    return in_memory()


@dataclass
class Holder:
    """A member with a soft key and its certificate."""

    token: SoftwareToken
    key_id: bytes
    der: bytes

    def sign(self, data: bytes) -> bytes:
        with unlocked(self.token, PIN):
            return self.token.sign(self.key_id, data)


def soft_key(folder: Path) -> SoftwareToken:
    token = SoftwareToken(folder / MEMBER, TryCounter(folder / "tries"), is_demo=True)
    token.initialize(PIN)
    return token


def holder_of(issued: Callable[[bytes], bytes], folder: Path) -> Holder:
    token = soft_key(folder)
    with unlocked(token, PIN):
        key = token.generate_key(GM.key_kind)
        der = issued(request_for(token, key, MEMBER))
        token.store_certificate(key.key_id, der)
    return Holder(token, key.key_id, der)


@pytest.fixture
def member(ours, tmp_path) -> Holder:
    def issued(csr: bytes) -> bytes:
        request = authority.read_request(csr, GM)
        made = authority.issue(ours, request, member_no=MEMBER, name="甲发电有限公司", now=NOW)
        return made.public_bytes(Encoding.DER)

    return holder_of(issued, tmp_path)


@pytest.fixture
def openssl(tmp_path):
    """Return a function that runs openssl in a folder and returns whether it succeeded."""

    def run(*arguments, **files: bytes) -> bool:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True)
        return done.returncode == 0

    return run


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def has_signed(openssl, key: x509.Certificate, signature: bytes, data: bytes, user=USER) -> bool:
    """Ask openssl whether the key of a certificate signed the data."""
    openssl("x509", "-in", "c", "-noout", "-pubkey", "-out", "k", c=pem(key))
    return openssl("pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pkeyopt", user, "-pubin",
                   "-inkey", "k", "-in", "d", "-sigfile", "s", d=data, s=signature)  # fmt: skip


# Certificates


@pytest.mark.parametrize("purpose", ["sslclient", "smimesign", "any"])
def test_openssl_verifies_the_chain(ours, member, openssl, purpose):
    """openssl applies the user id to the leaf alone: verify step by step."""
    leaf = x509.load_der_x509_certificate(member.der)
    parts = {"root": pem(ours.root), "issuing": pem(ours.certificate), "leaf": pem(leaf)}
    strictly = ["-x509_strict", "-purpose", purpose]
    for user, holds in ((USER, True), ("distid:another", False)):
        command = ["verify", "-vfyopt", user, *strictly]
        above = openssl("verify", "-vfyopt", user, "-CAfile", "root", "issuing", **parts)
        assert above is holds
        assert openssl(*command, "-partial_chain", "-trusted", "issuing", "leaf") is holds
    assert {leaf.signature_algorithm_oid.dotted_string} == {sm2.SIGNATURE}


def test_the_profile_is_that_of_every_member(ours, member):
    """The suite changes nothing but keys and signatures."""
    found = x509.load_der_x509_certificate(member.der)
    usual = issued_internationally(replace(international(), url=ours.url))
    assert found.subject.rfc4514_string() == usual.subject.rfc4514_string()
    assert [(e.oid, e.critical) for e in found.extensions] == [
        (e.oid, e.critical) for e in usual.extensions
    ]
    issuer = ours.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    named = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert named.value.key_identifier == issuer.value.digest


@pytest.mark.parametrize("usage", Usage)
def test_a_members_certificate_is_used(ours, member, usage):
    assert authority.require_usable(ours, member.der, usage=usage, at=NOW) == MEMBER


def refusal(ours, der: bytes, at=NOW) -> str:
    with pytest.raises(CertificateRefused) as refused:
        authority.require_usable(ours, der, usage=Usage.LOGIN, at=at)
    return refused.value.code


def test_no_changed_byte_of_a_certificate_is_taken(ours, member):
    for place in range(0, len(member.der), 3):
        changed = bytearray(member.der)
        changed[place] ^= 1
        assert refusal(ours, bytes(changed)) in ("chain", "malformed", "expired", "not_yet_valid",
                                                 "usage"), place  # fmt: skip


def test_what_the_root_does_not_vouch_for_is_refused(ours, member):
    other = in_memory()
    assert refusal(other, member.der) == "chain"
    assert refusal(Authority(other.root, ours.certificate, ours.key), member.der) == "chain"
    assert refusal(ours, ours.certificate.public_bytes(Encoding.DER)) == "chain"
    assert refusal(ours, issued_internationally(international()).public_bytes(Encoding.DER)) == (
        "chain"
    )
    assert refusal(international(), member.der) == "chain"
    assert refusal(ours, member.der, at=NOW + timedelta(days=365 * 3)) == "expired"
    assert refusal(ours, member.der, at=NOW - timedelta(days=1)) == "not_yet_valid"


def test_a_member_cannot_issue(ours, member):
    certificate = x509.load_der_x509_certificate(member.der)
    key = sm2.PrivateKey.generate()
    posing = Authority(ours.root, certificate, sm2.RemoteKey(key.public_key(), member.sign))
    request = authority.Request(key.public_key(), key.public_key().spki)
    made = authority.issue(posing, request, member_no="P42", name="乙", now=NOW)
    der = made.public_bytes(Encoding.DER)

    assert refusal(ours, der) == "chain"
    assert refusal(posing, der) == "chain"


def test_the_seal_does_not_sign_in(ours):
    seal = authority.issue_seal(ours, sm2.PrivateKey.generate().public_key(), name="章", now=NOW)
    assert refusal(ours, seal.public_bytes(Encoding.DER)) == "chain"


# Requests


def test_openssl_reads_our_request(tmp_path, openssl):
    token = soft_key(tmp_path)
    with unlocked(token, PIN):
        request = request_for(token, token.generate_key("sm2"), MEMBER)

    assert openssl("req", "-verify", "-vfyopt", USER, "-in", "r", "-noout", r=request)
    assert authority.read_request(request, GM).public_key.spki.startswith(sm2.PREFIX)


def openssls_request(openssl, folder: Path, user: str = USER) -> bytes:
    openssl("genpkey", "-algorithm", "SM2", "-out", "key")
    openssl("req", "-new", "-key", "key", "-sm3", "-sigopt", user, "-subj", "/CN=x", "-out", "csr")
    return (folder / "csr").read_bytes()


def request_refusal(data: bytes, suite=GM) -> str:
    with pytest.raises(RequestRefused) as refused:
        authority.read_request(data, suite)
    return refused.value.code


def test_a_request_by_openssl_is_certified(ours, openssl, tmp_path):
    request = authority.read_request(openssls_request(openssl, tmp_path), GM)
    made = authority.issue(ours, request, member_no=MEMBER, name="甲", now=NOW)
    der = made.public_bytes(Encoding.DER)
    assert authority.require_usable(ours, der, usage=Usage.LOGIN, at=NOW) == MEMBER


def test_requests_that_are_not_what_they_should_be_are_refused(openssl, tmp_path):
    good = openssls_request(openssl, tmp_path)
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(Encoding.DER))
    der[-1] ^= 1
    assert request_refusal(bytes(der)) == "signature"
    assert request_refusal(openssls_request(openssl, tmp_path, "distid:another")) == "signature"
    ecdsa = csr(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    assert request_refusal(ecdsa.public_bytes(Encoding.DER)) == "key"
    assert request_refusal(b"garbage") == "malformed"
    from app.pki.suites import INTL

    assert request_refusal(good, INTL) == "key"


def test_a_key_has_one_form_alone(openssl, tmp_path):
    """A second encoding would have a second fingerprint and be certified twice."""
    request = asn1_csr.CertificationRequest.load(
        x509.load_pem_x509_csr(openssls_request(openssl, tmp_path)).public_bytes(Encoding.DER)
    )
    key = load_key((tmp_path / "key").read_bytes())
    x, y = key.public_key().spki[-64:-32], key.public_key().spki[-32:]
    short = bytes.fromhex("3039301306072a8648ce3d020106082a811ccf5501822d032200")
    info = request["certification_request_info"]
    info["subject_pk_info"] = keys.PublicKeyInfo.load(short + bytes([2 + y[-1] % 2]) + x)
    changed = info.dump(force=True)
    request["signature"] = key.sign(changed)
    sm2.verify(info["subject_pk_info"].dump(), request["signature"].native, changed)
    assert request_refusal(request.dump(force=True)) == "key"


# Lists and OCSP


def test_openssl_verifies_the_list_as_far_as_it_can(ours, openssl):
    """openssl takes no user id for a list: verify the signature over its bytes."""
    lines = [Revocation(77 + n, NOW, "keyCompromise") for n in range(3)]
    der = revocation.make_crl(ours, 5, lines, now=NOW)
    made = x509.load_der_x509_crl(der)

    assert has_signed(openssl, ours.certificate, made.signature, made.tbs_certlist_bytes)
    assert not has_signed(openssl, ours.certificate, made.signature, made.tbs_certlist_bytes[:-1])
    assert openssl("crl", "-inform", "DER", "-in", "l", "-noout", l=der)
    assert [line.serial_number for line in made] == [77, 78, 79]
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 5
    GM.verify(spki_in(ours.certificate), made.signature, made.tbs_certlist_bytes)


@pytest.mark.parametrize("found", [True, Revocation(5, NOW, "keyCompromise")])
def test_an_ocsp_answer_is_signed(ours, member, openssl, found):
    asked = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(member.der), ours.certificate, hashes.SHA256()
    )
    nonce = x509.OCSPNonce(b"n" * 16)
    question = asked.add_extension(nonce, critical=False).build().public_bytes(Encoding.DER)
    answer = revocation.answer_ocsp(ours, question, lambda serial: found, now=NOW)

    read = ocsp.load_der_ocsp_response(answer)
    state = ocsp.OCSPCertStatus.GOOD if found is True else ocsp.OCSPCertStatus.REVOKED
    assert read.certificate_status is state
    assert read.extensions.get_extension_for_class(x509.OCSPNonce).value == nonce
    basic = asn1_ocsp.OCSPResponse.load(answer).basic_ocsp_response
    assert basic["signature_algorithm"]["algorithm"].dotted == sm2.SIGNATURE
    assert has_signed(openssl, ours.certificate, read.signature, read.tbs_response_bytes)


# Signatures


def test_openssl_verifies_a_submission(member, openssl):
    der = cms.sign(CONTENT, member, member.der, signed_at=NOW)

    assert cms.verify(CONTENT, der, lambda issuer, serial: member).suite is GM
    info = asn1_cms_info(der)
    attributes = cms._as_set(info["signed_attrs"])
    leaf = x509.load_der_x509_certificate(member.der)
    assert has_signed(openssl, leaf, info["signature"].native, attributes)
    assert GM.digest(CONTENT) in attributes
    assert not has_signed(openssl, leaf, info["signature"].native, attributes, "distid:another")


def asn1_cms_info(der: bytes):
    return cms._ContentInfo.load(der)["content"]["signer_infos"][0]


def test_every_changed_byte_of_the_content_is_noticed(member):
    der = cms.sign(CONTENT, member, member.der, signed_at=NOW)
    for place in range(len(CONTENT)):
        changed = CONTENT[:place] + bytes([CONTENT[place] ^ 1]) + CONTENT[place + 1 :]
        with pytest.raises(SignatureRefused):
            cms.verify(changed, der, lambda issuer, serial: member)


def test_a_changed_byte_of_the_message_never_makes_another_signature(member):
    der = cms.sign(CONTENT, member, member.der, signed_at=NOW)
    for place in range(len(der)):
        changed = der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        try:
            verified = cms.verify(CONTENT, changed, lambda issuer, serial: member)
        except SignatureRefused:
            continue
        assert (verified.certificate, verified.signed_at) == (member, NOW)


def test_a_signature_under_another_user_id_is_refused(openssl, tmp_path):
    openssls_request(openssl, tmp_path)
    openssl("pkey", "-in", "key", "-pubout", "-outform", "DER", "-out", "public")
    spki = (tmp_path / "public").read_bytes()
    for user, holds in ((USER, True), ("distid:another", False)):
        openssl("pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-pkeyopt", user, "-inkey", "key",
                "-in", "d", "-out", "s", d=CONTENT)  # fmt: skip
        signature = (tmp_path / "s").read_bytes()
        if holds:
            GM.verify(spki, signature, CONTENT)
        else:
            with pytest.raises(SignatureRefused):
                GM.verify(spki, signature, CONTENT)


# Keys in files


def test_a_soft_key_keeps_to_its_pin(member, tmp_path):
    with pytest.raises(PinIncorrect):
        member.token.open("0000")
    member.token.change_pin(PIN, "Neu-99887766".replace("-", ""))
    with unlocked(member.token, "Neu99887766"):
        signature = member.token.sign(member.key_id, CONTENT)
    GM.verify(spki_in(x509.load_der_x509_certificate(member.der)), signature, CONTENT)
    files = [path for path in (tmp_path / MEMBER).iterdir() if path.suffix == ".sm2"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
    assert b"ENCRYPTED PRIVATE KEY" in files[0].read_bytes()


def test_a_token_without_sm2_says_so(usbkey):
    with unlocked(usbkey, PIN), pytest.raises(TokenError, match="no SM2 keys"):
        usbkey.generate_key("sm2")


def test_the_roots_key_is_kept_under_a_passphrase():
    key, _root = authority.make_root("测试根", now=NOW, suite=GM)
    kept = authority.locked(key, "correct horse battery")
    assert b"ENCRYPTED" in kept
    again = authority.opened(kept, "correct horse battery")
    GM.verify(key.public_key().spki, sign_with(again, CONTENT), CONTENT)
    with pytest.raises(PkiError, match="passphrase is wrong"):
        authority.opened(kept, "another passphrase")


def test_the_signing_process_owns_sm2_keys(tmp_path, openssl):
    place = tmp_path / "ca"
    ceremony.establish_demo(place, now=NOW, suite=GM)
    with serving(place):
        ours = authority_of(place)
        assert ours.suite is GM
        made = x509.load_der_x509_crl(Signer(place).list_revoked(1, []))
        member = holder_of(lambda csr: issued(place, csr), tmp_path)
        now = datetime.now(UTC)
        assert authority.require_usable(ours, member.der, usage=Usage.SIGN, at=now) == MEMBER
        assert signs(place)
    assert has_signed(openssl, ours.certificate, made.signature, made.tbs_certlist_bytes)
