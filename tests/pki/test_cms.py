"""CMS signatures: openssl agrees with ours, and every manipulation is refused."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest
from asn1crypto import algos, core
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.pki import cms
from app.pki.errors import SignatureRefused
from app.pki.suites import GM
from tests.pki.conftest import Person, person
from tests.signing import needs_sm2

CONTENT = b'{"document":"ZH202611200001","quantity":"100"}'
AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def alice() -> Person:
    return person()


@pytest.fixture(scope="module")
def message(alice) -> bytes:
    return cms.sign(CONTENT, alice, alice.der, signed_at=AT)


def known(*people: Person):
    """Return the look-up that knows these people's certificates."""
    table = {(p.issuer, x509.load_der_x509_certificate(p.der).serial_number): p for p in people}
    return lambda issuer, serial: table.get((issuer, serial))


def refusal(content: bytes, der: bytes, *people: Person) -> str:
    with pytest.raises(SignatureRefused) as refused:
        cms.verify(content, der, known(*people))
    return refused.value.code


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 3072),
    ],
    ids=["p256", "p384", "rsa3072"],
)
def test_a_signature_is_read_back_and_openssl_agrees(key, tmp_path):
    bob = person(key)
    der = cms.sign(CONTENT, bob, bob.der, signed_at=AT)

    verified = cms.verify(CONTENT, der, known(bob))
    assert (verified.certificate, verified.signed_at, verified.suite.name) == (bob, AT, "intl")
    assert openssl_verifies(tmp_path, der, bob)


def openssl_verifies(folder, der: bytes, signer: Person, content: bytes = CONTENT) -> bool:
    (folder / "d.p7s").write_bytes(der)
    (folder / "d.json").write_bytes(content)
    certificate = x509.load_der_x509_certificate(signer.der)
    (folder / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    said = subprocess.run(
        ["openssl", "cms", "-verify", "-inform", "DER", "-in", "d.p7s", "-content", "d.json",
         "-binary", "-noverify", "-certfile", "c.pem", "-out", "out"],
        cwd=folder, capture_output=True,
    )  # fmt: skip
    return said.returncode == 0


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()),
                                 rsa.generate_private_key(65537, 2048)], ids=["ec", "rsa"])  # fmt: skip
def test_what_another_library_signed_is_read(key, algorithm):
    bob = person(key)
    assert cms.verify(CONTENT, foreign(bob, algorithm), known(bob)).certificate is bob


def foreign(signer: Person, algorithm, *options) -> bytes:
    """Sign with the cryptography library."""
    detached = options or (pkcs7.PKCS7Options.DetachedSignature,)
    return (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(CONTENT)
        .add_signer(x509.load_der_x509_certificate(signer.der), signer.key, algorithm)
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, *detached])
    )


def test_every_changed_byte_of_the_content_is_noticed(alice, message):
    for n in range(len(CONTENT)):
        changed = CONTENT[:n] + bytes([CONTENT[n] ^ 1]) + CONTENT[n + 1 :]
        assert refusal(changed, message, alice) == "other_content"
    assert refusal(b"", message, alice) == "other_content"
    assert refusal(CONTENT + b"\n", message, alice) == "other_content"


def test_a_changed_byte_of_the_message_never_makes_another_signature(alice, message):
    """The enclosed certificate is ignored: the result names our stored one."""
    for n in range(len(message)):
        changed = message[:n] + bytes([message[n] ^ 1]) + message[n + 1 :]
        try:
            verified = cms.verify(CONTENT, changed, known(alice))
        except SignatureRefused:
            continue
        assert (verified.certificate, verified.signed_at) == (alice, AT)


@pytest.mark.parametrize(
    ("der", "code"),
    [
        (b"", "size"),
        (b"\x00", ""),
        (b"garbage", ""),
        (b"\x30\x80", ""),
        (b"\x30\x82\xff\xff", ""),
        (b"\x30" * 5000, ""),
        (b"\xff" * 200_000, "size"),
        (b"-----BEGIN CMS-----", ""),
    ],
)
def test_bytes_that_are_no_message_are_refused_and_break_nothing(alice, der, code):
    assert code in refusal(CONTENT, der, alice)


def test_truncated_trailing_and_padded_messages_are_refused(alice, message):
    assert refusal(CONTENT, message[:-1], alice)
    assert refusal(CONTENT, message + b"\x00", alice)
    assert refusal(CONTENT, message + message, alice)
    assert refusal(CONTENT, message[:100], alice)


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_no_bytes_break_the_reader(data):
    with pytest.raises(SignatureRefused):
        cms.verify(CONTENT, data, lambda issuer, serial: None)


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mutation_breaks_the_reader(alice, message, data):
    at = data.draw(st.integers(0, len(message) - 1))
    put = data.draw(st.binary(max_size=6))
    cut = data.draw(st.integers(0, 6))
    changed = message[:at] + put + message[at + cut :]
    try:
        verified = cms.verify(CONTENT, changed, known(alice))
    except SignatureRefused:
        return
    assert (verified.certificate, verified.signed_at) == (alice, AT)


def test_a_stranger_is_unknown(alice, message):
    assert refusal(CONTENT, message) == "unknown_certificate"
    assert refusal(CONTENT, message, person()) == "unknown_certificate"


def test_an_impostor_with_the_same_issuer_and_serial_is_refused(alice):
    """The message encloses the impostor's certificate; we know Alice's."""
    serial = x509.load_der_x509_certificate(alice.der).serial_number
    mallory = person(serial=serial)
    forged = cms.sign(CONTENT, mallory, mallory.der, signed_at=AT)

    assert cms.verify(CONTENT, forged, known(mallory)).certificate is mallory
    assert refusal(CONTENT, forged, alice) == "signature_wrong"


def test_a_look_up_that_gives_another_certificate_is_noticed(alice, message):
    with pytest.raises(SignatureRefused):
        cms.verify(CONTENT, message, lambda issuer, serial: person())


def test_embedded_content_is_refused(alice):
    embedded = foreign(alice, hashes.SHA256(), pkcs7.PKCS7Options.NoCapabilities)
    assert refusal(CONTENT, embedded, alice) == "not_detached"


def test_a_signature_without_attributes_is_refused(alice):
    """Its bytes could be taken for the attributes of another message (RFC 5652, 11)."""
    bare = foreign(alice, hashes.SHA256(), pkcs7.PKCS7Options.DetachedSignature,
                   pkcs7.PKCS7Options.NoAttributes)  # fmt: skip
    assert refusal(CONTENT, bare, alice) == "no_signed_attributes"


def opened(der: bytes):
    info = asn1.ContentInfo.load(der)
    return info, info["content"]


def resigned(signer: Person, change) -> bytes:
    """Sign a message whose parts a function has changed, as its signer could."""
    info, signed_data = opened(cms.sign(CONTENT, signer, signer.der, signed_at=AT))
    signer_info = signed_data["signer_infos"][0]
    change(signer_info)
    attributes = signer_info["signed_attrs"].dump(force=True)
    signer_info["signature"] = signer.sign(b"\x31" + attributes[1:])
    return info.dump(force=True)


def attribute(name: str, *values):
    return asn1.CMSAttribute({"type": name, "values": list(values)})


def test_a_message_put_together_anew_is_still_read(alice):
    assert cms.verify(CONTENT, resigned(alice, lambda info: None), known(alice))


@pytest.mark.parametrize("name", ["content_type", "message_digest", "signing_time"])
def test_a_missing_attribute_is_refused(alice, name):
    def drop(info):
        kept = [a for a in info["signed_attrs"] if a["type"].native != name]
        info["signed_attrs"] = asn1.CMSAttributes(kept)

    assert refusal(CONTENT, resigned(alice, drop), alice) == "attribute_missing"


def test_a_second_digest_attribute_is_refused(alice):
    def double(info):
        kept = [*info["signed_attrs"], attribute("message_digest", core.OctetString(b"x" * 32))]
        info["signed_attrs"] = asn1.CMSAttributes(sorted(kept, key=lambda a: a.dump()))

    assert refusal(CONTENT, resigned(alice, double), alice) == "attribute_twice"


def test_a_second_value_of_an_attribute_is_refused(alice):
    def double(info):
        digest = next(a for a in info["signed_attrs"] if a["type"].native == "message_digest")
        values = [digest["values"][0].copy(), core.OctetString(b"x" * 32)]
        kept = [a for a in info["signed_attrs"] if a is not digest]
        kept.append(attribute("message_digest", *values))
        info["signed_attrs"] = asn1.CMSAttributes(sorted(kept, key=lambda a: a.dump()))

    assert refusal(CONTENT, resigned(alice, double), alice) == "attribute_twice"


def test_another_content_type_is_refused(alice):
    def change(info):
        kept = [a for a in info["signed_attrs"] if a["type"].native != "content_type"]
        kept.append(attribute("content_type", asn1.ContentType("signed_data")))
        info["signed_attrs"] = asn1.CMSAttributes(sorted(kept, key=lambda a: a.dump()))

    assert refusal(CONTENT, resigned(alice, change), alice) == "content_type"


@pytest.mark.parametrize("weak", ["sha1", "md5", "sha224"])
def test_a_weak_digest_is_refused(alice, weak):
    info, signed_data = opened(cms.sign(CONTENT, alice, alice.der, signed_at=AT))
    signed_data["digest_algorithms"] = [algos.DigestAlgorithm({"algorithm": weak})]
    signed_data["signer_infos"][0]["digest_algorithm"] = {"algorithm": weak}
    assert refusal(CONTENT, info.dump(force=True), alice) == "digest"


@pytest.mark.parametrize("algorithm", ["sha1_ecdsa", "sha384_ecdsa", "sha256_rsa", "ed25519",
                                       "rsassa_pkcs1v15", "rsassa_pss"])  # fmt: skip
def test_another_signature_algorithm_than_the_keys_is_refused(alice, algorithm):
    info, signed_data = opened(cms.sign(CONTENT, alice, alice.der, signed_at=AT))
    signed_data["signer_infos"][0]["signature_algorithm"] = {"algorithm": algorithm}
    assert refusal(CONTENT, info.dump(force=True), alice) in ("signature_algorithm", "malformed")


def test_two_signers_and_none_are_refused(alice):
    bob = person()
    info, signed_data = opened(cms.sign(CONTENT, alice, alice.der, signed_at=AT))
    _other, theirs = opened(cms.sign(CONTENT, bob, bob.der, signed_at=AT))
    both = [signed_data["signer_infos"][0].copy(), theirs["signer_infos"][0].copy()]

    for infos in (both, []):
        signed_data["signer_infos"] = asn1.SignerInfos(infos)
        assert refusal(CONTENT, info.dump(force=True), alice, bob) == "one_signer"


def test_unsigned_attributes_and_foreign_lists_are_refused(alice):
    info, signed_data = opened(cms.sign(CONTENT, alice, alice.der, signed_at=AT))
    signed_data["signer_infos"][0]["unsigned_attrs"] = [
        attribute("signing_time", asn1.Time({"utc_time": AT}))
    ]
    assert refusal(CONTENT, info.dump(force=True), alice) == "unsigned_attributes"


def test_a_message_within_a_message_is_refused(alice, message):
    nested = asn1.ContentInfo({"content_type": "data", "content": message})
    assert refusal(CONTENT, nested.dump(), alice) == "not_signed_data"
    info, signed_data = opened(message)
    signed_data["encap_content_info"] = asn1.ContentInfo(
        {"content_type": "signed_data", "content": opened(message)[1].copy()}
    )
    assert refusal(CONTENT, info.dump(force=True), alice) == "not_detached"


def test_the_signature_of_one_content_does_not_carry_another(alice, message):
    other = cms.sign(b"{}", alice, alice.der, signed_at=AT)
    info, signed_data = opened(message)
    _other, donor = opened(other)
    signed_data["signer_infos"][0]["signature"] = donor["signer_infos"][0]["signature"].native
    assert refusal(CONTENT, info.dump(force=True), alice) == "signature_wrong"


@needs_sm2
def test_an_sm2_signature_over_an_openssl_certificate_holds(tmp_path):
    from tongsuopy.crypto import hashes as sm_hashes
    from tongsuopy.crypto import serialization as sm_files
    from tongsuopy.crypto.asymciphers import ec as tongsuo

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl("genpkey", "-algorithm", "SM2", "-out", "key.pem")
    openssl("req", "-x509", "-new", "-key", "key.pem", "-sm3", "-sigopt",
            "distid:1234567812345678", "-subj", "/CN=SM2", "-out", "c.der", "-outform", "DER")  # fmt: skip
    key = sm_files.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)

    class Holder:
        der = (tmp_path / "c.der").read_bytes()

        def sign(self, data):
            return key.sign(data, tongsuo.ECDSA(sm_hashes.SM3()))

    holder = Holder()
    der = cms.sign(CONTENT, holder, holder.der, signed_at=AT)

    assert cms.verify(CONTENT, der, lambda issuer, serial: holder).suite is GM
    for changed in (CONTENT + b"0", b""):
        with pytest.raises(SignatureRefused):
            cms.verify(changed, der, lambda issuer, serial: holder)
    with pytest.raises(SignatureRefused):
        cms.verify(CONTENT, der, lambda issuer, serial: person())


def test_openssl_refuses_what_we_refuse(tmp_path, alice, message):
    assert openssl_verifies(tmp_path, message, alice)
    assert not openssl_verifies(tmp_path, message, alice, CONTENT + b"0")
