"""Establishing an authority: refused without a trace, killed at each step, two at once, wrong PINs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.pki import ceremony
from app.pki.errors import PkiError
from app.pki.signer import REFUSED, STAYS_STOPPED, TRIES
from tests.pki.conftest import MODULE, SO_PIN, softhsm_in
from tests.pki.test_signer import NOW, ROOT, python, serving, signs

PASSPHRASE = "a long passphrase"
LABEL = "REGISTRY-CA"


@pytest.fixture
def establish(tmp_path, monkeypatch):
    """Return a function that runs the command, which may open a token once in a process."""
    secret = tmp_path / "passphrase"
    secret.write_text(f"{PASSPHRASE}\n")
    monkeypatch.setenv("ROOT_PASSPHRASE_FILE", str(secret))

    def run(place: Path, *how: str, **more: str) -> subprocess.CompletedProcess[str]:
        return python(
            "app.pki.ceremony", "establish", place, *how, timeout=60, env={**os.environ, **more}
        )

    return run


def state(place: Path) -> dict[str, bytes]:
    """Return what is in a folder, but for the lock."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that was refused."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


# Checked first


@pytest.mark.parametrize("how", ["--softhsm", "--files"])
def test_a_second_ceremony_changes_nothing(establish, tmp_path, how):
    place = tmp_path / "authority"
    assert establish(place, how).returncode == 0
    before = state(place)
    for again in ("--softhsm", "--files"):
        assert "已有签发机构，未作任何改变" in sentence(establish(place, again))
    assert state(place) == before
    with serving(place):
        assert signs(place)


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [
        (None, "ROOT_PASSPHRASE_FILE"),
        ("/nowhere/passphrase", "读不到 /nowhere/passphrase"),
        (b"", "应为一行文字"),
        (b"\xff\xfe\xff", "读不到"),
        (b"short", "at least 12"),
    ],
)
def test_a_passphrase_that_cannot_be_used_stops_it_before_it_begins(
    establish, tmp_path, passphrase, said
):
    file = tmp_path / "other"
    if isinstance(passphrase, bytes):
        file.write_bytes(passphrase)
    named = "" if passphrase is None else str(file if isinstance(passphrase, bytes) else passphrase)
    place = tmp_path / "authority"
    done = establish(place, "--softhsm", ROOT_PASSPHRASE_FILE=named)
    assert said in sentence(done)
    assert not place.exists()
    assert establish(place, "--softhsm").returncode == 0


def test_a_journal_without_its_certificate_is_no_empty_place(tmp_path):
    place = tmp_path / "authority"
    ceremony.establish(place, PASSPHRASE, now=NOW)
    with serving(place):
        assert signs(place)
    (place / "issuing.pem").rename(tmp_path / "issuing.pem")
    before = state(place)
    with pytest.raises(PkiError, match="restore a copy"):
        ceremony.establish(place, PASSPHRASE, now=NOW)
    assert state(place) == before


def test_what_lay_in_its_way_is_kept_aside(tmp_path):
    place = tmp_path / "authority"
    (place / "offline").mkdir(parents=True)
    (place / "offline" / "root.key").write_text("of another")
    ceremony.establish(place, PASSPHRASE, now=NOW)
    (kept,) = place.glob("replaced-*/offline/root.key")
    assert kept.read_text() == "of another"


# Killed

KILLED = """
import json, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from app.pki import authority, ceremony
from app.pki.signer import ISSUING, SEAL, is_established, open_keys
from app.pki.authority import spki_in
from app.pki.copies import FRESH

module, base, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
STEPS = {"os.mkdir", "os.rename", "subprocess.Popen", "os.rmdir", "tempfile.mkdtemp", "os.remove"}
PASSPHRASE, NOW = "a long passphrase", datetime.now(UTC)

def establish(place, kill_at):
    seen = 0
    def hook(event, _arguments):
        nonlocal seen
        if event in STEPS:
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    ceremony.establish(place, PASSPHRASE, now=NOW, module=module, softhsm=bool(module))

def whole(place):
    certificates, keys = ceremony._certificates(place), open_keys(place)
    assert all(spki_in(certificates[name]) == keys.public()[name] for name in (ISSUING, SEAL))
    root = authority.opened((place / "offline" / "root.key").read_bytes(), PASSPHRASE)
    assert authority.spki_of(root.public_key()) == spki_in(certificates["root"])

def forked(act, *arguments):
    '''Return how a child ended that did this: each is its own owner of a token.'''
    child = os.fork()
    if not child:
        try:
            act(*arguments)
            os._exit(0)
        except ceremony.PkiError as error:
            os._exit(3 if error.code == "established" else 4)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ended = []
for number in range(1, 200, step):
    place = base / str(number)
    first = forked(establish, place, number)
    is_there = is_established(place)
    ended.append([number, first, is_there, forked(establish, place, 0)])
    if forked(lambda: None) or (not is_there and ended[-1][-1]):
        break
    assert forked(whole, place) == 0
    assert is_there or not list(place.glob(f"{FRESH}*"))
    if first == 0:
        break
print(json.dumps(ended))
"""


@pytest.mark.parametrize(("module", "step"), [("", 1), (MODULE, 3)])
def test_killed_at_any_step_it_leaves_none_or_a_whole_one_and_another_run_works(
    tmp_path, module, step
):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, module, str(tmp_path), str(step)], cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *killed, last = json.loads(done.stdout)
    assert len(killed) >= 5
    assert last[1] == 0, "the steps were not gone through to the end"
    for number, first, is_there, second in killed:
        assert first == -9, number
        # Nothing there: the second run makes it.  All there: it says so.
        assert second == (3 if is_there else 0), number
    assert {is_there for _, _, is_there, _ in killed} == {False, True}


def test_of_two_at_once_one_makes_it_and_the_other_says_so(establish, tmp_path):
    place = tmp_path / "authority"
    with ThreadPoolExecutor() as both:
        ended = list(both.map(lambda _: establish(place, "--softhsm"), range(2)))
    made, refused = sorted(ended, key=lambda done: done.returncode)
    assert made.returncode == 0, made.stderr
    assert any(word in sentence(refused) for word in ("已有签发机构", "另一个进程正在使用"))
    assert len(list((place / "tokens").iterdir())) == 1
    assert not list(place.glob("replaced-*"))
    with serving(place):
        assert signs(place)


def test_two_first_starts_of_the_demonstration_find_one_authority(tmp_path):
    place = tmp_path / "authority"
    with ThreadPoolExecutor() as both:
        ended = list(both.map(lambda _: python("app.pki.ceremony", "demo", place), range(2)))
    assert [done.returncode for done in ended] == [0, 0], [done.stderr for done in ended]
    assert len(list((place / "tokens").iterdir())) == 1
    assert (place / "bootstrap").exists()
    assert not list(place.glob("replaced-*"))
    with serving(place):
        assert signs(place)


# A device of others: the token is there before, and counts wrong PINs


@pytest.fixture
def device(tmp_path, monkeypatch):
    """Return a function that makes a token with a PIN, and returns its serial."""
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm_in(tmp_path / "device")))
    monkeypatch.setenv("SIGNER_PIN_FILE", str(tmp_path / "pin"))

    def make(pin: str = "135790", label: str = LABEL) -> str:
        before = _serials()
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin,
             "--so-pin", SO_PIN], check=True, capture_output=True,
        )  # fmt: skip
        (made,) = _serials() - before
        return made

    (tmp_path / "pin").write_text("135790\n")
    return make


def _serials() -> set[str]:
    shown = subprocess.run(
        ["softhsm2-util", "--show-slots"], check=True, capture_output=True, text=True
    ).stdout
    found = (line.partition(":")[2].strip() for line in shown.splitlines() if "Serial" in line)
    return {serial for serial in found if serial}


def test_of_two_tokens_with_one_label_the_serial_tells_which(establish, device, tmp_path):
    first, second = device(), device()
    place = tmp_path / "authority"
    refused = sentence(establish(place, f"--module={MODULE}"))
    assert "2 个设备的标签都是 REGISTRY-CA" in refused
    assert first in refused
    assert second in refused
    assert state(place) == {}
    assert establish(place, f"--module={MODULE}", f"--token={second}").returncode == 0
    settings = json.loads((place / "signer.json").read_text())
    assert (settings["token"], settings["serial"]) == (LABEL, second)
    with serving(place):
        assert signs(place)


def tries(place: Path) -> list[int]:
    path = place / TRIES
    return [count[0] for count in json.loads(path.read_text()).values()] if path.exists() else []


def test_a_wrong_pin_is_tried_once_however_often_the_process_is_started(
    establish, device, tmp_path
):
    device()
    place, pin = tmp_path / "authority", tmp_path / "pin"
    assert establish(place, f"--module={MODULE}").returncode == 0
    for wrong, spent in (("246800", [1]), ("246801", [2]), ("246800", [2])):
        pin.write_text(wrong)
        for _ in range(2):
            done = python("app.pki.signer", place, timeout=60)
            assert done.returncode == STAYS_STOPPED
            assert "设备拒绝了这个 PIN" in sentence(done)
            assert tries(place) == spent
    assert b"2468" not in (place / REFUSED).read_bytes()
    pin.write_text("135790")
    with serving(place):
        assert signs(place)
    assert tries(place) == []
    assert not (place / REFUSED).exists()


def test_a_wrong_pin_at_the_ceremony_makes_nothing_and_is_not_tried_again(
    establish, device, tmp_path
):
    device()
    place, pin = tmp_path / "authority", tmp_path / "pin"
    pin.write_text("246800")
    for _ in range(2):
        assert "设备拒绝了这个 PIN" in sentence(establish(place, f"--module={MODULE}"))
        assert tries(place) == [1]
    assert set(state(place)) == {TRIES, REFUSED}
    pin.write_text("135790")
    assert establish(place, f"--module={MODULE}").returncode == 0
    with serving(place):
        assert signs(place)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_pin_that_cannot_be_read_costs_no_try(establish, device, tmp_path, content):
    device()
    place, pin = tmp_path / "authority", tmp_path / "pin"
    assert establish(place, f"--module={MODULE}").returncode == 0
    pin.unlink()
    if content is not None:
        pin.write_bytes(content)
    told = sentence(python("app.pki.signer", place, timeout=60))
    assert "签名进程无法启动" in told
    assert str(pin) in told
    assert tries(place) == []


def test_systemd_does_not_start_it_again_after_a_refused_pin():
    unit = (ROOT / "deploy/systemd/registry-signer.service").read_text()
    assert f"\nRestartPreventExitStatus={STAYS_STOPPED}\n" in unit


@pytest.mark.parametrize("module", ["app.pki.signer", "app.pki.ceremony"])
def test_without_an_authority_it_is_said_in_a_sentence(tmp_path, module):
    more = ["bootstrap"] if module.endswith("ceremony") else []
    assert "签发机构" in sentence(python(module, *more, tmp_path, timeout=60))
    assert "不能读写" in sentence(
        python("app.pki.ceremony", "restore", tmp_path / "none", tmp_path, timeout=60)
    )


def test_a_damaged_certificate_is_said_in_a_sentence(tmp_path):
    place = tmp_path / "authority"
    ceremony.establish(place, PASSPHRASE, now=NOW)
    (place / "root.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert "已损坏：请从副本恢复" in sentence(python("app.pki.signer", place, timeout=60))


def test_a_driver_and_files_are_not_named_together(establish, tmp_path):
    place = tmp_path / "authority"
    assert "不能同时" in sentence(establish(place, "--files", f"--module={MODULE}"))
    assert not place.exists()
