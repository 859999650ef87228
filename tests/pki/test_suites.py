"""Both suites: digests, encryption, signatures; weak keys are refused."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.pki.errors import PkiError, SignatureRefused
from app.pki.suites import GM, INTL, SUITES, suite_of
from app.pki.tokens import sign_with, spki_of
from tests.signing import needs_sm2

DATA = "转让100吨".encode()


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more).stdout


def test_digests_are_the_published_ones():
    assert INTL.digest(b"abc") == hashlib.sha256(b"abc").digest()
    # GM/T 0004, example 1
    assert GM.digest(b"abc").hex() == (
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    )


def test_sm3_is_openssls(tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    assert openssl("dgst", "-sm3", "-binary", tmp_path / "f") == GM.digest(DATA)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_what_is_sealed_opens_with_the_same_key_and_context_alone(suite):
    key = bytes(range(suite.key_length))
    sealed = suite.encrypt(key, DATA, b"member 7")

    assert suite.decrypt(key, sealed, b"member 7") == DATA
    assert suite.encrypt(key, DATA, b"member 7") != sealed
    broken = [sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :] for n in range(len(sealed))]
    for wrong, about in [*((b, b"member 7") for b in broken), (sealed, b"member 8"), (b"", b"")]:
        with pytest.raises(PkiError, match="cannot be read"):
            suite.decrypt(key, wrong, about)
    with pytest.raises(PkiError, match="cannot be read"):
        suite.decrypt(bytes(suite.key_length), sealed, b"member 7")


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_derived_key_depends_on_secret_and_salt(suite):
    first = suite.derive(b"secret", b"s" * 16)
    assert len(first) == 32
    assert first == suite.derive(b"secret", b"s" * 16)
    assert first != suite.derive(b"secret", b"t" * 16)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "rsa2048"],
)
def test_a_signature_holds_for_its_data_and_key_alone(key):
    spki = spki_of(key)
    signature = sign_with(key, DATA)

    INTL.verify(spki, signature, DATA)
    other = spki_of(ec.generate_private_key(ec.SECP256R1()))
    for attempt in [
        (spki, signature, DATA + b"0"),
        (other, signature, DATA),
        (spki, signature[:-1], DATA),
        (spki, b"", DATA),
    ]:
        with pytest.raises(SignatureRefused):
            INTL.verify(*attempt)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505
        rsa.generate_private_key(3, 2048),
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa1024", "e3", "p192", "p521", "ed25519"],
)
def test_weak_and_foreign_keys_verify_nothing(key):
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SignatureRefused) as refusal:
        INTL.verify(spki, b"x", DATA)
    assert refusal.value.code == "key_weak"


@pytest.fixture
def sm2(tmp_path):
    """An SM2 key made by openssl: its files and the public key."""
    key, public = tmp_path / "sm2.pem", tmp_path / "sm2.pub"
    openssl("genpkey", "-algorithm", "SM2", "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", public)
    return key, public.read_bytes()


@needs_sm2
def test_sm2_signatures_of_openssl_hold(sm2, tmp_path):
    key, spki = sm2
    content, signature = tmp_path / "content", tmp_path / "signature"
    content.write_bytes(DATA)
    openssl("pkeyutl", "-sign", "-in", content, "-inkey", key, "-out", signature, "-rawin",
            "-digest", "sm3", "-pkeyopt", "distid:1234567812345678")  # fmt: skip

    assert suite_of(spki) is GM
    GM.verify(spki, signature.read_bytes(), DATA)
    for attempt in [
        (spki, signature.read_bytes(), DATA + b"0"),
        (spki, b"", DATA),
        (spki, b"\x30\x06\x02\x01\x00\x02\x01\x00", DATA),
        (spki, b"garbage", DATA),
        (spki_of(ec.generate_private_key(ec.SECP256R1())), signature.read_bytes(), DATA),
    ]:
        with pytest.raises(SignatureRefused):
            GM.verify(*attempt)


@needs_sm2
def test_openssl_verifies_our_sm2_signatures(tmp_path):
    from tongsuopy.crypto import hashes, serialization
    from tongsuopy.crypto.asymciphers import ec as tongsuo

    key = tongsuo.generate_private_key(tongsuo.SM2())
    paths = [tmp_path / name for name in ("content", "signature", "public")]
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for path, data in zip(
        paths, (DATA, key.sign(DATA, tongsuo.ECDSA(hashes.SM3())), public), strict=True
    ):
        path.write_bytes(data)
    content, signature, public = paths

    said = openssl("pkeyutl", "-verify", "-in", content, "-pubin", "-inkey", public, "-sigfile",
                   signature, "-rawin", "-digest", "sm3", "-pkeyopt",
                   "distid:1234567812345678")  # fmt: skip
    assert b"Successfully" in said


def test_sm4_is_openssls(tmp_path):
    """openssl's command has no GCM: compare the block cipher."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, block = bytes(range(16)), bytes(range(16, 32))
    ours = Cipher(algorithms.SM4(key), modes.ECB()).encryptor().update(block)  # noqa: S305
    assert openssl("enc", "-sm4-ecb", "-nopad", "-K", key.hex(), input=block) == ours


def test_without_the_extra_sm2_is_refused_in_words(monkeypatch, sm2):
    import sys

    monkeypatch.setitem(sys.modules, "tongsuopy.crypto.asymciphers", None)
    with pytest.raises(PkiError, match="not installed here"):
        GM.verify(sm2[1], b"x", DATA)
