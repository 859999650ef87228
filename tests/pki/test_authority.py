"""The authority: openssl verifies its output, and it refuses invalid requests."""

from __future__ import annotations

import copy
import http.server
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from app.pki import authority, cms, revocation
from app.pki.authority import Authority, Usage
from app.pki.errors import CertificateRefused, PkiError, RequestRefused
from app.pki.remote_keys import remote_key
from app.pki.revocation import Revocation
from app.pki.tokens import Pkcs11Token, TryCounter, sign_with, spki_of, unlocked
from tests.pki.conftest import MODULE, person

NOW = datetime.now(UTC).replace(microsecond=0)
MEMBER = "21042300007"


def in_memory(key=None) -> Authority:
    root_key, root = authority.make_root("测试根", now=NOW)
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuing = authority.make_issuing("测试签发", key.public_key(), root, root_key, now=NOW)
    return Authority(root, issuing, key)


@pytest.fixture(scope="module")
def ours() -> Authority:
    return in_memory()


def csr(key, algorithm=None, subject="甲") -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(key, algorithm if algorithm != "none" else None)
    )


def request_for(key) -> authority.Request:
    return authority.read_request(csr(key, hashes.SHA256()).public_bytes(Encoding.DER))


def issued(ours: Authority, key=None, now=NOW, member_no=MEMBER) -> x509.Certificate:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return authority.issue(
        ours, request_for(key), member_no=member_no, name="甲发电有限公司", now=now
    )


def der(certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def openssl(tmp_path):
    """Return a function that runs openssl in a folder and returns exit code and output."""

    def run(*arguments):
        done = subprocess.run(
            ["openssl", *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    return run


def write(folder, **files: bytes):
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)


# Issuing


@pytest.mark.parametrize("purpose", ["sslclient", "smimesign", "any"])
def test_openssl_verifies_the_chain(ours, openssl, tmp_path, purpose):
    write(
        tmp_path,
        root=ours.root.public_bytes(Encoding.PEM),
        issuing=ours.certificate.public_bytes(Encoding.PEM),
        leaf=issued(ours).public_bytes(Encoding.PEM),
    )
    code, said = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem",
                         "-untrusted", "issuing.pem", "leaf.pem")  # fmt: skip
    assert code == 0, said


def test_the_profile_of_a_members_certificate(ours):
    found = issued(ours)
    extensions = {e.oid: e for e in found.extensions}

    assert authority.member_no_of(found) == MEMBER
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:crs:member:{MEMBER}"]
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {usage.dotted_string for usage in usages} == {
        "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36",
    }  # fmt: skip
    usage = extensions[x509.KeyUsage.oid]
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.content_commitment
    assert not usage.value.key_cert_sign
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.not_valid_after_utc == NOW + timedelta(days=730)


def test_the_subject_comes_from_our_record_and_never_from_the_request(ours):
    key = ec.generate_private_key(ec.SECP256R1())
    request = authority.read_request(csr(key, hashes.SHA256(), "冒充者").public_bytes(Encoding.DER))
    made = authority.issue(ours, request, member_no=MEMBER, name="甲发电有限公司", now=NOW)
    assert "冒充者" not in made.subject.rfc4514_string()
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "甲发电有限公司"


def test_a_long_name_is_shortened_between_characters(ours):
    made = authority.issue(
        ours, request_for(ec.generate_private_key(ec.SECP256R1())), member_no=MEMBER,
        name="中国" * 60, now=NOW,
    )  # fmt: skip
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "中国" * 10 + "中"


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        rsa.generate_private_key(65537, 3072),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["rsa2048", "rsa3072", "p256", "p384"],
)
def test_good_keys_are_certified(ours, key):
    made = issued(ours, key)
    assert authority.require_usable(ours, der(made), usage=Usage.LOGIN, at=NOW) == MEMBER
    assert authority.require_usable(ours, der(made), usage=Usage.SIGN, at=NOW) == MEMBER


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 1024), hashes.SHA256()),  # noqa: S505
        (rsa.generate_private_key(3, 2048), hashes.SHA256()),
        (ec.generate_private_key(ec.SECP192R1()), hashes.SHA256()),
        (ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()),
        (ed25519.Ed25519PrivateKey.generate(), "none"),
    ],
    ids=["rsa1024", "e3", "p192", "p521", "ed25519"],
)
def test_weak_and_foreign_keys_are_refused(key, algorithm):
    with pytest.raises(RequestRefused) as refusal:
        authority.read_request(csr(key, algorithm).public_bytes(Encoding.PEM))
    assert refusal.value.code == "key"


def test_a_request_whose_signature_is_broken_is_refused():
    data = bytearray(
        csr(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)
    )
    data[-1] ^= 1
    with pytest.raises(RequestRefused) as refusal:
        authority.read_request(bytes(data))
    assert refusal.value.code == "signature"


def test_a_request_with_somebody_elses_key_is_refused():
    """The signature is another key's: no proof of possession."""
    mine, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    data = csr(mine, hashes.SHA256()).public_bytes(Encoding.DER)
    swapped = data.replace(spki_of(mine), spki_of(theirs))
    with pytest.raises(RequestRefused) as refusal:
        authority.read_request(swapped)
    assert refusal.value.code == "signature"


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"-----BEGIN CERTIFICATE REQUEST-----", b"\x30\x82\xff\xff", b"x" * 20_000,
     b"\x30\x80" * 4000],
    ids=["empty", "garbage", "header", "cut", "large", "nested"],
)  # fmt: skip
def test_what_is_no_request_is_refused(data):
    with pytest.raises(RequestRefused) as refusal:
        authority.read_request(data)
    assert refusal.value.code == "malformed"


# Using


def refusal(ours, data: bytes, at=NOW, usage=Usage.LOGIN) -> str:
    with pytest.raises(CertificateRefused) as refused:
        authority.require_usable(ours, data, usage=usage, at=at)
    return refused.value.code


def test_a_certificate_holds_between_its_two_dates_alone(ours):
    made = der(issued(ours))
    assert refusal(ours, made, NOW - timedelta(minutes=6)) == "not_yet_valid"
    assert authority.require_usable(ours, made, usage=Usage.LOGIN, at=NOW + timedelta(days=729))
    assert refusal(ours, made, NOW + timedelta(days=731)) == "expired"


def test_another_authoritys_certificate_is_refused(ours):
    assert refusal(ours, der(issued(in_memory()))) == "chain"


def test_an_authority_that_the_root_did_not_certify_is_refused(ours):
    key = ec.generate_private_key(ec.SECP256R1())
    other_key, other_root = authority.make_root("测试根", now=NOW)
    fake = authority.make_issuing("测试签发", key.public_key(), other_root, other_key, now=NOW)
    forger = Authority(ours.root, fake, key)
    assert refusal(ours, der(issued(forger))) == "chain"
    assert refusal(forger, der(issued(forger))) == "chain"


def test_a_member_cannot_issue(ours):
    """A leaf is no authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issued(ours, key)
    below = Authority(ours.root, leaf, key)
    assert refusal(below, der(issued(below))) == "chain"
    assert refusal(ours, der(issued(below))) == "chain"


def test_the_seal_and_the_authority_itself_do_not_sign_in(ours):
    key = ec.generate_private_key(ec.SECP256R1())
    seal = authority.issue_seal(ours, key.public_key(), name="登记系统", now=NOW)
    assert refusal(ours, der(seal)) == "chain"  # no clientAuth
    assert refusal(ours, der(ours.certificate)) in ("chain", "malformed")
    assert refusal(ours, b"garbage") == "malformed"


@pytest.mark.parametrize(("usage", "bit"), [(Usage.LOGIN, "digital_signature"),
                                            (Usage.SIGN, "content_commitment")])  # fmt: skip
def test_what_the_key_usage_leaves_out_is_refused(ours, monkeypatch, usage, bit):
    both = authority._key_usage
    monkeypatch.setattr(authority, "_key_usage", lambda **used: both(**{**used, bit: False}))
    made = der(issued(ours))
    monkeypatch.undo()

    assert refusal(ours, made, usage=usage) == "usage"
    (other,) = set(Usage) - {usage}
    assert authority.require_usable(ours, made, usage=other, at=NOW)


def test_a_number_with_odd_characters_stays_itself(ours):
    assert authority.member_no_of(issued(ours, member_no="R/0 1:二")) == "R/0 1:二"


# Revocation


def verify_with_crl(ours, openssl, tmp_path, leaf, *revoked, now=NOW):
    crl = revocation.make_crl(ours, 7, revoked, now=now)
    (tmp_path / "crl.der").write_bytes(crl)
    openssl("crl", "-inform", "DER", "-in", "crl.der", "-out", "crl.pem")
    write(
        tmp_path,
        root=ours.root.public_bytes(Encoding.PEM),
        issuing=ours.certificate.public_bytes(Encoding.PEM),
        leaf=leaf.public_bytes(Encoding.PEM),
    )
    return openssl("verify", "-crl_check", "-CAfile", "root.pem", "-untrusted", "issuing.pem",
                   "-CRLfile", "crl.pem", "leaf.pem")  # fmt: skip


@pytest.mark.parametrize("reason", ["keyCompromise", "certificateHold", "superseded",
                                    "cessationOfOperation", "affiliationChanged"])  # fmt: skip
def test_openssl_heeds_the_list(ours, openssl, tmp_path, reason):
    leaf, other = issued(ours), issued(ours)
    line = Revocation(leaf.serial_number, NOW - timedelta(minutes=1), reason)

    assert verify_with_crl(ours, openssl, tmp_path, leaf)[0] == 0
    code, said = verify_with_crl(ours, openssl, tmp_path, leaf, line)
    assert code != 0
    assert "certificate revoked" in said
    assert verify_with_crl(ours, openssl, tmp_path, other, line)[0] == 0


def test_openssl_reads_number_and_dates(ours, openssl, tmp_path):
    verify_with_crl(ours, openssl, tmp_path, issued(ours))
    _code, said = openssl("crl", "-in", "crl.pem", "-noout", "-text", "-CAfile", "issuing.pem")
    assert "verify OK" in said
    found = x509.load_der_x509_crl((tmp_path / "crl.der").read_bytes())
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert found.next_update_utc - found.last_update_utc == timedelta(hours=24)


def test_an_expired_list_satisfies_nobody(ours, openssl, tmp_path):
    code, said = verify_with_crl(ours, openssl, tmp_path, issued(ours), now=NOW - timedelta(days=2))
    assert code != 0
    assert "CRL has expired" in said


@pytest.fixture
def responder(ours):
    """An OCSP responder on loopback: (address, table)."""
    table: dict[int, Revocation | bool] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            question = self.rfile.read(int(self.headers["Content-Length"]))
            answer = revocation.answer_ocsp(
                ours, question, lambda serial: table.get(serial, False), now=datetime.now(UTC)
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", table
    server.shutdown()
    server.server_close()
    thread.join()


def test_openssl_asks_over_http_with_a_nonce(ours, openssl, tmp_path, responder):
    url, table = responder
    leaf = issued(ours)
    write(tmp_path, chain=ours.chain(), issuing=ours.certificate.public_bytes(Encoding.PEM),
          leaf=leaf.public_bytes(Encoding.PEM))  # fmt: skip

    def asked(*options):
        return openssl("ocsp", *options, "-issuer", "issuing.pem", "-cert", "leaf.pem", "-url", url,
                       "-CAfile", "chain.pem")[1]  # fmt: skip

    table[leaf.serial_number] = True
    for options in ((), ("-sha256",)):
        said = asked(*options)
        assert "Response verify OK" in said
        assert "leaf.pem: good" in said
        assert "WARNING" not in said  # the nonce came back
    table[leaf.serial_number] = Revocation(leaf.serial_number, NOW, "certificateHold")
    said = asked()
    assert "leaf.pem: revoked" in said
    assert "certificateHold" in said
    table[leaf.serial_number] = True
    assert "leaf.pem: good" in asked("-no_nonce")
    table.clear()
    assert "unauthorized" in asked()


def question(issuer, serial=5, nonce=b"n" * 16) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        *_hashes(issuer), serial, hashes.SHA256()
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def _hashes(issuer):
    below = x509.load_der_x509_certificate(person().der)
    builder = ocsp.OCSPRequestBuilder().add_certificate(below, issuer, hashes.SHA256())
    name = hashes.Hash(hashes.SHA256())
    name.update(issuer.subject.public_bytes())
    return name.finalize(), builder.build().issuer_key_hash


@pytest.mark.parametrize("bad", [b"", b"garbage", b"\x30\x80", b"x" * 100_000])
def test_a_malformed_question_gets_a_malformed_request(ours, bad):
    answer = ocsp.load_der_ocsp_response(
        revocation.answer_ocsp(ours, bad, lambda serial: True, now=NOW)
    )
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize("nonce", [b"n" * 33, b"n" * 5000])
def test_an_oversized_nonce_is_not_sent_back(ours, nonce):
    answer = ocsp.load_der_ocsp_response(
        revocation.answer_ocsp(
            ours, question(ours.certificate, nonce=nonce), lambda serial: True, now=NOW
        )
    )
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_nothing_is_said_of_another_authoritys_certificates(ours):
    other = in_memory().certificate
    answer = ocsp.load_der_ocsp_response(
        revocation.answer_ocsp(ours, question(other), lambda serial: True, now=NOW)
    )
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


# Keys elsewhere


def test_a_token_holds_the_authoritys_key(softhsm, tmp_path, openssl):
    """Certificates, lists, OCSP and CMS are signed inside SoftHSM, by RSA and P-256."""
    token = Pkcs11Token(MODULE, softhsm("REGISTRY"), TryCounter(tmp_path / "tries"))
    for kind in ("p256", "rsa3072"):
        with unlocked(token, "1234"):
            made = token.generate_key(kind)
            key = remote_key(made.spki, lambda data, made=made: token.sign(made.key_id, data))
            assert copy.deepcopy(key) is key
            ours = in_memory(key)
            leaf_key = ec.generate_private_key(ec.SECP256R1())
            leaf = issued(ours, leaf_key)
            assert verify_with_crl(ours, openssl, tmp_path, leaf)[0] == 0
            answer = revocation.answer_ocsp(
                ours, question(ours.certificate, leaf.serial_number), lambda _: True, now=NOW
            )
        assert ocsp.load_der_ocsp_response(answer).certificate_status is ocsp.OCSPCertStatus.GOOD
        assert authority.require_usable(ours, der(leaf), usage=Usage.SIGN, at=NOW)


def test_a_remote_key_has_no_private_part():
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)):
        remote = remote_key(spki_of(key), lambda data, key=key: sign_with(key, data))
        with pytest.raises(TypeError, match="never leaves"):
            remote.private_numbers()
        with pytest.raises(TypeError, match="never leaves"):
            remote.private_bytes(None, None, None)


def test_the_root_key_is_kept_under_a_passphrase():
    key, _root = authority.make_root("测试根", now=NOW)
    kept = authority.locked(key, "correct horse battery")
    assert b"ENCRYPTED" in kept
    assert spki_of(authority.opened(kept, "correct horse battery")) == spki_of(key)
    for wrong in ("", "wrong horse battery"):
        with pytest.raises(PkiError, match="passphrase is wrong"):
            authority.opened(kept, wrong)
    with pytest.raises(PkiError, match="12 characters"):
        authority.locked(key, "short")


# An auditor, offline


def test_an_auditor_verifies_a_members_signature_with_openssl_alone(ours, openssl, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issued(ours, key)
    signer = type("Signer", (), {"sign": lambda self, data: sign_with(key, data)})()
    content = '{"对象":"转让100吨"}'.encode()
    (tmp_path / "d.json").write_bytes(content)
    (tmp_path / "d.p7s").write_bytes(cms.sign(content, signer, der(leaf), signed_at=NOW))
    verify_with_crl(ours, openssl, tmp_path, leaf)
    bundle = ours.chain() + (tmp_path / "crl.pem").read_bytes()
    (tmp_path / "bundle.pem").write_bytes(bundle)

    def audited():
        return openssl("cms", "-verify", "-inform", "DER", "-in", "d.p7s", "-content", "d.json",
                       "-binary", "-CAfile", "bundle.pem", "-crl_check", "-out", "out")  # fmt: skip

    assert audited()[0] == 0
    (tmp_path / "d.json").write_bytes(content.replace(b"100", b"900"))
    assert audited()[0] != 0
