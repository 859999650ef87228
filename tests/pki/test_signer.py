"""The signing process: one owner, a private socket, recovery after kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from app.pki import authority, ceremony, cms, signer
from app.pki.errors import PkiError, SignerAbsent, SignerFailed, TokenError
from app.pki.signer import ISSUING, SEAL, Signer, authority_of, wait_until_ready
from app.pki.suites import INTL
from tests.pki.test_authority import der, issued

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


@contextmanager
def serving(place, wait=True):
    process = subprocess.Popen(
        [sys.executable, "-m", "app.pki.signer", str(place)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
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
        key, signature = client.keys()[SEAL], client.sign(b"head", SEAL)
    except PkiError:
        return False
    INTL.verify(key, signature, b"head")
    return True


@pytest.mark.parametrize("name", ["softhsm_folder", "folder"])
def test_everything_the_authority_signs_comes_through_the_socket(request, name):
    folder = request.getfixturevalue(name)
    with serving(folder):
        ours = authority_of(folder, "https://registry.example/ca")
        now = datetime.now(UTC)
        leaf = issued(ours, now=now)
        assert authority.require_usable(ours, der(leaf), usage=authority.Usage.LOGIN, at=now)
        assert authority.make_crl(ours, 1, [], now=NOW)
        seal = x509.load_pem_x509_certificate((folder / "seal.pem").read_bytes())
        message = cms.sign(b"head", Signer(folder), der(seal), signed_at=NOW)
        kept = type("Kept", (), {"der": der(seal)})()
        assert cms.verify(b"head", message, lambda issuer, serial: kept).certificate is kept
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
        Signer(folder).sign(b"head")
    with pytest.raises(SignerAbsent):
        issued(authority_of(folder))
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
        assert "another process owns" in second.stderr
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
            Signer(place).sign(b"x", "root")


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
        assert issued(authority_of(folder))


def test_a_wrong_pin_locks_before_the_token_is_worn_out(softhsm_folder):
    (softhsm_folder / "pin").write_text("wrong")
    (softhsm_folder / "tries").write_text(json.dumps({ceremony.TOKEN: 3}))
    said = [python("app.pki.signer", softhsm_folder, timeout=60).stderr for _ in range(3)]
    assert "PinIncorrect" in said[0]
    assert all("PinLocked" in line for line in said[1:])


# The drill


def test_the_drill_a_destroyed_token_comes_back_from_its_copy(softhsm_folder, tmp_path):
    with serving(softhsm_folder):
        before = Signer(softhsm_folder).keys()
        copy = ceremony.backup(softhsm_folder, tmp_path / "safe", now=NOW)  # while it signs
        assert signs(softhsm_folder)
    # What a crash in the middle of a login leaves behind.
    token = next((softhsm_folder / "tokens").rglob("token.object"))
    token.write_bytes(b"")
    broken = python("app.pki.signer", softhsm_folder, timeout=60)
    assert broken.returncode != 0
    assert "cannot start" in broken.stderr
    with pytest.raises(PkiError, match="is empty"):
        ceremony.backup(softhsm_folder, tmp_path / "unsafe", now=NOW)

    ceremony.restore(copy, softhsm_folder)

    with serving(softhsm_folder):
        assert Signer(softhsm_folder).keys() == before
        assert signs(softhsm_folder)
        ours = authority_of(softhsm_folder)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        made = der(issued(ours, key, now=now))
        assert authority.require_usable(ours, made, usage=authority.Usage.SIGN, at=now)
    assert list(softhsm_folder.glob("replaced-*"))


def test_the_drill_on_another_machine(softhsm_folder, tmp_path):
    copy = ceremony.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    shutil.rmtree(softhsm_folder)

    ceremony.restore(copy, tmp_path / "elsewhere")

    with serving(tmp_path / "elsewhere"):
        assert signs(tmp_path / "elsewhere")


def test_a_damaged_copy_restores_nothing(softhsm_folder, tmp_path):
    copy = ceremony.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    token = next((copy / "tokens").rglob("token.object"))
    token.write_bytes(token.read_bytes()[:-1])

    with pytest.raises(PkiError, match="not what was kept"):
        ceremony.restore(copy, softhsm_folder)
    with serving(softhsm_folder):
        assert signs(softhsm_folder)


def test_nothing_is_restored_under_a_running_process(softhsm_folder, tmp_path):
    copy = ceremony.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    with serving(softhsm_folder):
        with pytest.raises(TokenError, match="another process owns"):
            ceremony.restore(copy, softhsm_folder)
        assert signs(softhsm_folder)


def test_the_roots_key_is_in_no_copy(softhsm_folder, tmp_path):
    copy = ceremony.backup(softhsm_folder, tmp_path / "safe", now=NOW)
    assert not list(copy.rglob("root.key"))
    assert (softhsm_folder / "offline/root.key").exists()


def test_the_keys_are_named(folder):
    with serving(folder):
        assert set(Signer(folder).keys()) == {ISSUING, SEAL}
    assert signer.LARGEST_FRAME < 2**32
