"""The signing process: one owner, a private socket, recovery after kill -9."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from app.pki import authority, ceremony, copies, signer
from app.pki.canonical import canonical
from app.pki.enrolments import APPOINT, ENROLMENT
from app.pki.errors import PkiError, SignerAbsent, SignerFailed, TokenError
from app.pki.journal import Journal
from app.pki.revocation import Revocation
from app.pki.signer import ISSUING, SEAL, Signer, authority_of, wait_until_ready
from app.pki.suites import suite_of
from tests.pki.test_authority import MEMBER
from tests.pki.vouching import CODE, person
from tests.security.certified import Holder, make_authority
from tests.security.certified import issue as make_holder
from tests.signing import csr, key_of, vouchers_of

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(UTC).replace(microsecond=0)


def python(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **more,
    )


@pytest.fixture
def folder(tmp_path):
    """An authority with its keys in files, which is faster."""
    place = tmp_path / "authority"
    ceremony.establish(place, "a long passphrase", now=NOW)
    return place


@pytest.fixture
def softhsm_folder(tmp_path):
    return in_softhsm(tmp_path / "authority")


def in_softhsm(place):
    """Set up in a separate process: only one process may open a token."""
    done = python("app.pki.ceremony", "demo", place)
    assert done.returncode == 0, done.stderr
    assert json.loads((place / "signer.json").read_text())["backend"] == "pkcs11"
    return place


AT_A_TIME = """
import sys; from datetime import datetime; from pathlib import Path; from app.pki import signer
signer.now = lambda: datetime.fromisoformat(sys.argv[2]); signer.serve(Path(sys.argv[1]))
"""


@contextmanager
def serving(place, wait=True, at=None, group=""):
    """Run the signing process; at a time of the test's, its clock stands still there."""
    usual = ["-m", "app.pki.signer", str(place), f"--group={group}"]
    process = subprocess.Popen(
        [sys.executable, *(["-c", AT_A_TIME, str(place), at.isoformat()] if at else usual)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if wait:
            wait_until_ready(place)
        yield process
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def signs(place) -> bool:
    """Tell whether the seal signs and verifies."""
    client = Signer(place)
    try:
        head = head_of(place)
        key, (signature,) = client.keys()[SEAL], client.seal([head])
    except PkiError:
        return False
    suite_of(key).verify(key, signature, canonical(head))
    return True


def head_of(place) -> dict:
    """Return a head of the log, which tells of the journal as it is now."""
    told = Signer(place).journal()
    return HEAD | {"journal_entries": told["entries"], "journal_root": told["root"]}


HEAD = {
    "schema": "log-head/2", "kind": "registry-log-head", "version": 1, "day": "2026-11-30",
    "block": 1, "rows": 1, "root": "a" * 64, "sealed_at": "2026-11-30T22:00:00+08:00",
    "ledger_root": "", "journal_entries": 0, "journal_root": "",
}  # fmt: skip
ABOUT = person(MEMBER, "representative", "甲发电有限公司", MEMBER)


def opened(place, about=ABOUT, evidence=None, code=CODE, **changed) -> str:
    """Open an enrolment for which two officers have signed; return its 参考号."""
    vouchers = vouchers_of(place)
    told = vouchers.told(about, **changed)
    Signer(place).open(told, code, vouchers.evidence(about) if evidence is None else evidence)
    return told["reference"]


def issued(place, request=None, about=ABOUT, **more):
    return Signer(place).issue(opened(place, about, **more), CODE, request or csr())


@pytest.mark.parametrize("name", ["softhsm_folder", "folder"])
def test_everything_the_authority_signs_comes_through_the_socket(request, name):
    folder = request.getfixturevalue(name)
    with serving(folder):
        ours = authority_of(folder, "https://registry.example/ca")
        leaf, now = issued(folder), datetime.now(UTC)
        assert authority.require_usable(ours, leaf, usage=authority.Usage.LOGIN, at=now) == MEMBER
        made = x509.load_der_x509_crl(Signer(folder).list_revoked(1, []))
        assert made.is_signature_valid(ours.certificate.public_key())
        seal = x509.load_pem_x509_certificate((folder / "seal.pem").read_bytes())
        assert authority.spki_in(seal) == Signer(folder).keys()[SEAL]
        assert signs(folder)
        assurance = "hard" if (folder / "tokens").exists() else "soft"
        assert Signer(folder).assurance() == assurance


def test_many_ask_at_once(softhsm_folder):
    folder = softhsm_folder
    faults = []

    def work():
        try:
            for _ in range(10):
                assert signs(folder)
        except BaseException as error:
            faults.append(error)

    with serving(folder):
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert faults == []


def test_without_the_process_it_is_said_in_words(folder, tmp_path):
    with pytest.raises(SignerAbsent, match="not available now"):
        Signer(folder).seal([HEAD])
    with pytest.raises(SignerAbsent):
        Signer(folder).issue("0000000001", CODE, csr())
    with pytest.raises(SignerAbsent):
        authority_of(tmp_path / "nowhere")
    assert not Signer(tmp_path / "nowhere").is_ready()


def test_a_killed_process_can_be_restarted(folder):
    for _ in range(2):
        with serving(folder) as process:
            assert signs(folder)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            assert (folder / "socket").exists()
            assert not signs(folder)
    with serving(folder):
        assert signs(folder)


def test_killed_while_signing_it_signs_again(softhsm_folder):
    """Signing writes nothing to the token: only a login does, and there is one per start."""
    token = next((softhsm_folder / "tokens").rglob("token.object"))
    stop = threading.Event()

    def work():
        while not stop.is_set():
            signs(softhsm_folder)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with serving(softhsm_folder) as process:
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        stop.set()
        for thread in threads:
            thread.join(60)
    assert token.stat().st_size > 0
    with serving(softhsm_folder):
        assert signs(softhsm_folder)


def test_there_is_one_owner(folder):
    with serving(folder):
        second = python("app.pki.signer", folder, timeout=60)
        assert second.returncode != 0
        assert "Another process owns" in second.stderr
        assert signs(folder)


def test_it_ends_with_who_started_it(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "app.pki.signer", str(folder), "--with-parent"], cwd=ROOT,
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until_ready(folder, 90)
    process.stdin.close()
    assert process.wait(60) == 0


def test_the_socket_and_the_keys_are_their_owners_alone(softhsm_folder):
    folder = softhsm_folder
    with serving(folder):
        assert (folder / "socket").stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o077 == 0
        for path in folder.rglob("*"):
            if path.suffix in (".key", ".json") or path.name in ("pin", "passphrase", "so-pin"):
                assert path.stat().st_mode & 0o077 == 0, path


def test_a_key_file_that_others_can_read_is_not_used(tmp_path):
    ceremony.establish(tmp_path / "a", "a long passphrase", now=NOW)
    (tmp_path / "a/issuing.key").chmod(0o644)
    done = python("app.pki.signer", tmp_path / "a", timeout=60)
    assert done.returncode != 0
    assert "can be read by others" in done.stderr


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00",
        b"\xff\xff\xff\xff",
        struct.pack(">I", 5) + b"[1,2]",
        struct.pack(">I", 4) + b"\xff\xff\xff\xff",
        struct.pack(">I", 16) + b'{"key":"issuing"',
        struct.pack(">I", 30) + b'{"key":"issuing","data":"!!!!"',
        struct.pack(">I", 26) + b'{"key": ["x"], "data": ""}',
        struct.pack(">I", 100) + b"too little",
    ],
)
def test_malformed_requests_do_not_stop_the_service(tmp_path, sent):
    place = tmp_path / "authority"
    ceremony.establish(place, "a long passphrase", now=NOW)
    with serving(place):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place / "socket"))
            connection.sendall(sent)
        assert signs(place)
        with pytest.raises(SignerFailed):
            Signer(place)._ask("sign", data=b"x", key="root")


def test_the_socket_works_in_a_folder_with_a_long_path(tmp_path):
    place = tmp_path.joinpath(*["一个很长的文件夹名称"] * 8, "authority")
    ceremony.establish(place, "a long passphrase", now=NOW)
    assert len(os.fsencode(place)) > 200
    with serving(place):
        assert signs(place)


def test_an_authority_is_never_overwritten(folder):
    before = (folder / "issuing.pem").read_bytes()
    with pytest.raises(PkiError, match="already"):
        ceremony.establish(folder, "a long passphrase", now=NOW)
    ceremony.establish_demo(folder, now=NOW)
    assert (folder / "issuing.pem").read_bytes() == before


def test_the_root_is_needed_for_no_signature(folder):
    shutil.rmtree(folder / "offline", ignore_errors=True)
    with serving(folder):
        assert signs(folder)
        assert issued(folder)


def test_wrong_pins_lock_before_the_token_is_worn_out(softhsm_folder):
    settings = json.loads((softhsm_folder / "signer.json").read_text())
    (softhsm_folder / "tries").write_text(json.dumps({settings["serial"]: 3}))
    said = []
    for wrong in ("wrong1", "wrong2", "wrong3"):
        (softhsm_folder / "pin").write_text(wrong)
        said.append(python("app.pki.signer", softhsm_folder, timeout=60).stderr)
    assert "PinIncorrect" in said[0]
    assert all("PinLocked" in line for line in said[1:])


# A compromised web process at the socket


def refusal(place, act, **parts) -> str:
    with pytest.raises(SignerFailed) as refused:
        Signer(place)._ask(act, **parts)
    return refused.value.code


def not_opened(place, about, evidence=None, **changed) -> str:
    vouchers = vouchers_of(place)
    if evidence is None:
        evidence = vouchers.evidence(about)
    return refusal(
        place, "open", enrolment=vouchers.told(about, **changed), code=CODE, evidence=evidence
    )


def entries(place) -> list[dict]:
    return list(Journal(place).read())


@pytest.fixture
def attacked(folder):
    with serving(folder):
        yield folder


@pytest.mark.parametrize(
    "question",
    [
        {"key": ISSUING, "data": "aGVhZA=="},  # what it once signed
        {"type": "sign", "key": ISSUING, "data": "aGVhZA=="},
        {"type": "issue", "tbs": "aGVhZA=="},
        {"type": "seal", "data": "aGVhZA=="},
        {"type": ["issue"]},
        {"type": "keys", "key": ISSUING},
        {},
    ],
)
def test_bytes_are_never_signed(attacked, question):
    assert Signer(attacked)._exchange(question) == {"error": "question"}
    assert [entry["act"] for entry in entries(attacked)] == ["start"]


@pytest.mark.parametrize(
    "more",
    [
        {"not_before": "2020-01-01"}, {"now": "2020-01-01"}, {"days": "36500"}, {"ca": "true"},
        {"path_length": "1"}, {"schema": "certificate-enrolment/1"}, {"schema": "subordinate/1"},
        {"assurance": "hardest"}, {"reference": "1"}, {"member_no": ""}, {"member_no": 5},
        {"name": ""}, {"kind": "authority"}, {"account": None},
    ],
)  # fmt: skip
def test_no_enrolment_asks_for_a_date_or_an_authority(attacked, more):
    told = {"schema": ENROLMENT, "reference": "0000000001", "assurance": "hard", **ABOUT, **more}
    assert refusal(attacked, "open", enrolment=told, code=CODE, evidence={}) in {
        "schema", "parts", *(f"part_{name}" for name in more)
    }  # fmt: skip
    assert [entry["act"] for entry in entries(attacked)] == ["start"]


def test_its_own_clock_dates_a_certificate_which_is_no_authority(attacked):
    """A request may ask for what it likes: of it the key alone is read."""
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "R0001")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = x509.load_der_x509_certificate(issued(attacked, greedy.public_bytes(Encoding.DER)))
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (False, None)
    assert not made.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert authority.member_no_of(made) == MEMBER
    assert abs(made.not_valid_before_utc + authority.SKEW - datetime.now(UTC)) < timedelta(
        minutes=1
    )
    assert made.not_valid_after_utc - made.not_valid_before_utc < timedelta(days=731)


def test_a_living_person_gets_another_certificate_by_two_alone_which_ends_the_first(attacked):
    vouchers = vouchers_of(attacked)
    operator = person(f"{MEMBER}-01", "operator", account=MEMBER)
    vouchers.holders[MEMBER] = vouchers.certify(ABOUT)
    alone = {"deeds": [vouchers.deed(MEMBER, APPOINT, operator)]}
    issued(attacked, about=operator, evidence=alone)
    again = {"deeds": [vouchers.deed(MEMBER, APPOINT, operator)]}
    assert not_opened(attacked, operator, again) == "second_certificate"
    replaced = issued(attacked, about=operator)
    first, second = (
        e for e in entries(attacked) if e["act"] == "issue" and e["member_no"] == f"{MEMBER}-01"
    )
    assert second["revoked"] == [first["serial"]]
    assert second["serial"] == f"{x509.load_der_x509_certificate(replaced).serial_number:x}"


def test_of_several_at_once_with_one_code_one_gets_the_certificate(attacked):
    reference = opened(attacked)
    made, refused = [], []

    def ask():
        try:
            made.append(Signer(attacked).issue(reference, CODE, csr()))
        except SignerFailed as error:
            refused.append(error.code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(made), refused) == (1, ["unknown_enrolment"] * 5)


def test_an_enrolment_counts_once_and_a_key_once(folder):
    request = csr()
    with serving(folder):
        reference = opened(folder)
        Signer(folder).issue(reference, CODE, request)
        used = {"reference": reference, "code": CODE, "csr": csr()}
        assert refusal(folder, "issue", **used) == "unknown_enrolment"
    with serving(folder):  # It remembers.
        assert refusal(folder, "issue", **used) == "unknown_enrolment"
        other = person("P42", "province")
        assert not_opened(folder, other, reference=reference) == "reference_used"
        fresh = opened(folder, other)
        assert refusal(folder, "issue", reference=fresh, code=CODE, csr=request) == "key_used"


def renewal(certificate, request, key=None, act="renew", **changed):
    """Return what a holder sends to renew."""
    made = x509.load_der_x509_certificate(certificate)
    payload = {
        "schema": "certificate-renewal/1", "member_no": MEMBER, "serial": f"{made.serial_number:x}",
        "request_sha256": hashlib.sha256(request).hexdigest(),
    }  # fmt: skip
    content = canonical({"type": act, "payload": payload | changed})
    holder = Holder(key or key_of(certificate), certificate)
    return {
        "certificate": certificate, "csr": request, "content": content,
        "cms": holder.signature(content),
    }  # fmt: skip


def test_a_renewal_is_signed_by_the_certificate_that_is_renewed(attacked):
    present, request = issued(attacked), csr()
    foreign = ec.generate_private_key(ec.SECP256R1())
    assert refusal(attacked, "renew", **renewal(present, request, foreign))
    for changed in ({"member_no": "R0001"}, {"serial": "1"}, {"request_sha256": "0" * 64}):
        asked = renewal(present, request, **changed)
        assert refusal(attacked, "renew", **asked) == "other_content"
    another_act = renewal(present, request, act="submit")
    assert refusal(attacked, "renew", **another_act) == "other_content"
    swapped = renewal(present, request) | {"csr": csr()}
    assert refusal(attacked, "renew", **swapped) == "other_content"

    made = Signer(attacked).renew(**renewal(present, request))

    found = x509.load_der_x509_certificate(made)
    assert authority.member_no_of(found) == MEMBER
    assert refusal(attacked, "renew", **renewal(present, request)) == "key_used"
    # A later successor ends the one before: there are never three.
    Signer(attacked).renew(**renewal(present, csr()))
    assert entries(attacked)[-1]["revoked"] == [f"{found.serial_number:x}"]


def test_neither_a_revoked_nor_a_foreign_certificate_is_renewed(attacked, tmp_path):
    present = issued(attacked)
    foreign = make_holder(make_authority(), MEMBER)
    assert refusal(attacked, "renew", **renewal(foreign.der, csr(), foreign.key)) == "chain"
    serial = x509.load_der_x509_certificate(present).serial_number
    Signer(attacked).list_revoked(1, [Revocation(serial, NOW, "keyCompromise")])
    assert refusal(attacked, "renew", **renewal(present, csr())) == "revoked"
    assert issued(attacked)  # Nobody living has one now.


@pytest.mark.parametrize(
    "changed",
    [{"schema": "payment-order/1"}, {"schema": "log-head/1"}, {"block": -1}, {"block": "1"},
     {"root": "A" * 64}, {"root": 5}, {"day": "yesterday"}, {"more": "x"},
     {"journal_root": "0" * 64}, {"journal_entries": 0}],
)  # fmt: skip
def test_other_contents_are_not_sealed(attacked, changed):
    told = [canonical(head_of(attacked)), canonical(head_of(attacked) | changed)]
    assert refusal(attacked, "seal", contents=told)
    for data in (b"", b"head", b"{}", b'{"schema":"log-head/2"}', b"\x30\x82", b"[" * 5000):
        assert refusal(attacked, "seal", contents=[data])
    assert refusal(attacked, "seal", contents=[]) == "question"
    assert [entry["act"] for entry in entries(attacked)] == ["start"]


@pytest.mark.parametrize(
    ("number", "line"),
    [(0, None), ("1", None), (True, None), (1, ["xyz", 1, "superseded"]), (1, ["-5", 1, "superseded"]),
     (1, ["5", "x", "superseded"]), (1, ["5", 10**20, "superseded"]), (1, ["5", 1, "because"]),
     (1, ["5", 1, "removeFromCRL"]), (1, ["f" * 41, 1, "superseded"]), (1, 5)],
)  # fmt: skip
def test_a_list_of_nonsense_is_not_made(attacked, number, line):
    assert refusal(attacked, "crl", number=number, lines=[line] if line else []) == "question"
    assert [entry["act"] for entry in entries(attacked)] == ["start"]


def question_about(serial, ours) -> bytes:
    asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        *(_hashed(part) for part in (ours.subject.public_bytes(), _bits(ours))), serial,
        hashes.SHA256(),
    )  # fmt: skip
    return asked.build().public_bytes(Encoding.DER)


def _hashed(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _bits(certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_only_what_was_issued_is_called_good(attacked):
    ours, made = (
        authority_of(attacked).certificate,
        x509.load_der_x509_certificate(issued(attacked)),
    )
    client = Signer(attacked)

    def asked(serial, found=True):
        answer = client.answer_ocsp(question_about(serial, ours), found)
        return ocsp.load_der_ocsp_response(answer)

    assert asked(made.serial_number).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert asked(5).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    gone = Revocation(made.serial_number, NOW, "superseded")
    assert asked(made.serial_number, gone).certificate_status is ocsp.OCSPCertStatus.REVOKED
    client.list_revoked(1, [gone])
    question = question_about(made.serial_number, ours)
    assert refusal(attacked, "ocsp", question=question, found=True) == "revoked"


def test_a_frame_that_is_too_large_is_not_read(attacked):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(attacked / "socket"))
        connection.sendall(struct.pack(">I", signer.LARGEST_FRAME + 1))
        assert b"question" in connection.recv(100)
    assert signs(attacked)


# Its journal


def test_the_journal_tells_what_was_done_and_is_verified(folder):
    with serving(folder):
        issued(folder)
        assert signs(folder)
        Signer(folder).list_revoked(1, [])
    done = python("app.pki.journal", folder)
    assert done.returncode == 0
    told = entries(folder)
    assert [entry["act"] for entry in told[:6]] == [
        "start",
        *["open", "issue"] * 2,
        "bootstrap_closed",
    ]
    assert [entry["act"] for entry in told[-4:]] == ["open", "issue", "seal", "crl"]
    assert told[-4]["by"] == ["T-R1", "T-R2"]
    assert f"entries: {len(told)}" in done.stdout
    assert CODE not in done.stdout
    assert MEMBER in done.stdout
    assert (folder / "journal").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("change", ["byte", "missing", "swapped", "slipped in"])
def test_with_a_changed_journal_it_does_not_start(folder, change):
    with serving(folder):
        issued(folder)
        assert signs(folder)
    *lines, last, end = (folder / "journal").read_bytes().splitlines(keepends=True)
    lines += {
        "byte": [last.replace(MEMBER.encode(), b"21042300008"), end],
        "missing": [end],
        "swapped": [end, last],
        "slipped in": [last, end, end],
    }[change]
    (folder / "journal").write_bytes(b"".join(lines))
    started = python("app.pki.signer", folder, timeout=60)
    assert started.returncode != 0
    assert "journal is broken" in started.stderr
    assert python("app.pki.journal", folder).returncode != 0


def test_a_line_that_was_being_written_at_the_end_is_cut_off(folder):
    with serving(folder):
        issued(folder)
    with (folder / "journal").open("ab") as file:
        file.write(b'{"act":"iss')
    with serving(folder):
        assert signs(folder)
    assert [entry["act"] for entry in entries(folder)][-3:] == ["issue", "start", "seal"]


def test_an_older_copy_makes_nothing_forgotten(folder, tmp_path):
    with serving(folder):
        evidence = vouchers_of(folder).evidence(ABOUT)
    copy = copies.backup(folder, tmp_path / "safe", now=NOW)
    with serving(folder):
        issued(folder, evidence=evidence)
    copies.restore(copy, folder)
    with serving(folder):
        assert not_opened(folder, ABOUT, evidence) in ("evidence_used", "signed_at")


# Who may ask


@pytest.mark.skipif(os.getuid() != 0, reason="becomes other users")
def test_a_group_may_ask_and_write_nothing(folder):
    group = grp.getgrgid(pwd.getpwnam("daemon").pw_gid).gr_name
    for place in (folder, *folder.parents):
        if place.owner() == pwd.getpwuid(os.getuid()).pw_name and place != Path("/tmp"):  # noqa: S108
            place.chmod(place.stat().st_mode | 0o011)
    with serving(folder, group=group):
        assert (folder / "socket").stat().st_mode & 0o777 == 0o660
        assert folder.stat().st_mode & 0o777 == 0o750
        for user, may in (("daemon", True), ("nobody", False)):
            assert as_user(user, folder) == {
                "asks": may,
                "reads": may,
                "keys": False,
                "writes": False,
            }
        assert signs(folder)


AS_USER = """
import json, os, pwd, sys; from pathlib import Path
sys.path.insert(0, os.getcwd()); from app.pki.signer import Signer
user, folder = pwd.getpwnam(sys.argv[1]), Path(sys.argv[2])
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
def may(act):
    try: act()
    except OSError: return False
    return True
print(json.dumps({
    "asks": Signer(folder).is_ready(), "reads": may((folder / "issuing.pem").read_bytes),
    "keys": may((folder / "issuing.key").read_bytes), "writes": may((folder / "x").touch)}))
"""


def as_user(user, folder) -> dict[str, bool]:
    done = subprocess.run(
        [sys.executable, "-c", AS_USER, user, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    return json.loads(done.stdout)


# The drill


def test_the_drill_a_destroyed_token_comes_back_from_its_copy(softhsm_folder, tmp_path):
    with serving(softhsm_folder):
        before = Signer(softhsm_folder).keys()
        copy = copies.backup(softhsm_folder, tmp_path / "safe", now=NOW)  # while it signs
        assert signs(softhsm_folder)
    # What a crash in the middle of a login leaves behind.
    token = next((softhsm_folder / "tokens").rglob("token.object"))
    token.write_bytes(b"")
    broken = python("app.pki.signer", softhsm_folder, timeout=60)
    assert broken.returncode != 0
    assert "cannot start" in broken.stderr
    with pytest.raises(PkiError, match="is empty"):
        copies.backup(softhsm_folder, tmp_path / "unsafe", now=NOW)

    copies.restore(copy, softhsm_folder)

    with serving(softhsm_folder):
        assert Signer(softhsm_folder).keys() == before
        assert signs(softhsm_folder)
        ours = authority_of(softhsm_folder)
        made, now = issued(softhsm_folder), datetime.now(UTC)
        assert authority.require_usable(ours, made, usage=authority.Usage.SIGN, at=now)
    assert list(softhsm_folder.glob("replaced-*"))


def test_the_drill_on_another_machine(softhsm_folder, tmp_path):
    copy = copies.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    shutil.rmtree(softhsm_folder)

    copies.restore(copy, tmp_path / "elsewhere")

    with serving(tmp_path / "elsewhere"):
        assert signs(tmp_path / "elsewhere")


def test_a_damaged_copy_restores_nothing(softhsm_folder, tmp_path):
    copy = copies.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    token = next((copy / "tokens").rglob("token.object"))
    token.write_bytes(token.read_bytes()[:-1])

    with pytest.raises(PkiError, match="not what was kept"):
        copies.restore(copy, softhsm_folder)
    with serving(softhsm_folder):
        assert signs(softhsm_folder)


def test_nothing_is_restored_under_a_running_process(softhsm_folder, tmp_path):
    copy = copies.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    with serving(softhsm_folder):
        with pytest.raises(TokenError, match="Another process owns"):
            copies.restore(copy, softhsm_folder)
        assert signs(softhsm_folder)


def test_the_roots_key_is_in_no_copy(softhsm_folder, tmp_path):
    copy = copies.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    assert not list(copy.rglob("root.key"))
    assert (softhsm_folder / "offline/root.key").exists()


def test_the_keys_are_named(folder):
    with serving(folder):
        assert set(Signer(folder).keys()) == {ISSUING, SEAL}
    assert signer.LARGEST_FRAME < 2**32
