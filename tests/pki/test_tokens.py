"""Tokens: SoftHSM as USBKey, and key files for the demonstration."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime

import pkcs11
import pytest

from app.pki import cms
from app.pki.errors import (
    KeyMissing,
    PinIncorrect,
    PinLocked,
    PinRefused,
    TokenAbsent,
    TokenError,
)
from app.pki.suites import INTL
from app.pki.tokens import Pkcs11Token, SoftwareToken, TryCounter, serial_of, unlocked
from tests.pki.conftest import MODULE, person

PIN = "1234"


@pytest.fixture
def software(tmp_path):
    token = SoftwareToken(
        tmp_path / "21042300007", TryCounter(tmp_path / "software-tries"), is_demo=True
    )
    token.initialize(PIN)
    return token


@pytest.fixture(params=["usbkey", "software"])
def token(request):
    return request.getfixturevalue(request.param)


class Certified:
    """A certificate for a token's key."""

    def __init__(self, spki: bytes) -> None:
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        public = load_der_public_key(spki)
        holder = type("Holder", (), {"public_key": lambda self: public})()
        self.der = person(holder).der


@pytest.mark.parametrize("kind", ["p256", "rsa3072"])
def test_a_key_is_made_certified_and_signs(token, kind):
    with unlocked(token, PIN):
        made = token.generate_key(kind)
        INTL.verify(made.spki, token.sign(made.key_id, b"data"), b"data")
        token.store_certificate(made.key_id, Certified(made.spki).der)

    (kept,) = token.certificates()
    assert kept.key_id == made.key_id
    at = datetime(2026, 11, 20, tzinfo=UTC)
    with unlocked(token, PIN):

        class Signer:
            def sign(self, data):
                return token.sign(kept.key_id, data)

        der = cms.sign(b"content", Signer(), kept.der, signed_at=at)
    assert cms.verify(b"content", der, lambda issuer, serial: kept).signed_at == at


def test_a_key_never_leaves_a_usbkey(usbkey):
    from pkcs11 import Attribute, exceptions

    with unlocked(usbkey, PIN):
        made = usbkey.generate_key()
        key = usbkey._private_key(made.key_id)
        assert key[Attribute.SENSITIVE]
        assert not key[Attribute.EXTRACTABLE]
        with pytest.raises(exceptions.AttributeSensitive):
            key[Attribute.VALUE]


@pytest.mark.parametrize("pin", ["0000", "", "1", "1" * 300, "12\x0034", "密码密码", "\ud800"])
def test_a_wrong_pin_is_refused_and_counted(token, pin):
    with pytest.raises(PinIncorrect, match="4 tries") as refusal:
        token.open(pin)

    assert refusal.value.tries_left == token.tries_left() == 4
    with pytest.raises(TokenError):
        token.generate_key()


def test_the_fifth_wrong_pin_locks_even_for_the_right_one(token):
    for left in (4, 3, 2, 1):
        with pytest.raises(PinIncorrect) as refusal:
            token.open("9999")
        assert refusal.value.tries_left == left
    for pin in ("9999", PIN, PIN):
        with pytest.raises(PinLocked):
            token.open(pin)
    assert token.tries_left() == 0


def test_the_right_pin_gives_all_tries_back(token):
    with pytest.raises(PinIncorrect):
        token.open("9999")
    token.open(PIN)
    token.close()
    assert token.tries_left() == 5


def test_tries_outlive_the_process(usbkey, tmp_path):
    with pytest.raises(PinIncorrect):
        usbkey.open("9999")
    assert Pkcs11Token(MODULE, usbkey.label, TryCounter(tmp_path / "tries")).tries_left() == 4


def test_a_try_counts_before_the_token_is_asked(usbkey, monkeypatch):
    """Killing the program gains no guess."""

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(Pkcs11Token, "_wrong", killed)
    with pytest.raises(Killed):
        usbkey.open("9999")
    assert usbkey.tries_left() == 4


def test_a_counter_that_was_tampered_with_locks(usbkey, tmp_path):
    (tmp_path / "tries").write_text("{")
    with pytest.raises(PinLocked):
        usbkey.open(PIN)
    serial = serial_of(pkcs11.lib(MODULE).get_token(token_label=usbkey.label))
    for count in ([5, False], [999, 0], "text", [], 5):
        (tmp_path / "tries").write_text(json.dumps({serial: count}))
        with pytest.raises(PinLocked):
            usbkey.open(PIN)
        assert usbkey.tries_left() == 0


def test_an_open_token_still_asks_for_the_right_pin(token):
    """While logged in, a second login would accept any PIN."""
    token.open(PIN)
    with pytest.raises(PinIncorrect):
        token.open("9999")
    with pytest.raises(TokenError, match="enter the PIN"):
        token.generate_key()


def test_a_closed_token_signs_nothing(token):
    with unlocked(token, PIN):
        made = token.generate_key()
    with pytest.raises(TokenError, match="enter the PIN"):
        token.sign(made.key_id, b"data")


def test_an_unknown_key_is_said_in_words(token):
    with unlocked(token, PIN), pytest.raises(KeyMissing, match="does not hold the key"):
        token.sign(b"nothing!", b"data")


def test_the_certificate_of_another_key_is_not_stored(token):
    with unlocked(token, PIN):
        made = token.generate_key()
        with pytest.raises(KeyMissing):
            token.store_certificate(made.key_id, person().der)
    assert token.certificates() == []


def test_an_absent_token_driver_and_file_are_said_in_words(softhsm, tmp_path):
    counter = TryCounter(tmp_path / "tries")
    (tmp_path / "no-driver.so").write_bytes(b"text")
    for missing in (
        Pkcs11Token(MODULE, "NOBODY", counter),
        Pkcs11Token("/no/such/driver.so", "NOBODY", counter),
        Pkcs11Token(str(tmp_path / "no-driver.so"), "NOBODY", counter),
    ):
        for act in (missing.certificates, lambda missing=missing: missing.open(PIN)):
            with pytest.raises(TokenAbsent, match="not plugged in"):
                act()
    with pytest.raises(TokenAbsent):
        SoftwareToken(tmp_path / "none", counter, is_demo=True).open(PIN)


def test_a_token_pulled_out_between_listing_and_signing(usbkey, tmp_path):
    import shutil

    with unlocked(usbkey, PIN):
        made = usbkey.generate_key()
    shutil.rmtree(tmp_path / "softhsm/tokens")
    (tmp_path / "softhsm/tokens").mkdir()
    pkcs11.lib(MODULE).reinitialize()
    with pytest.raises(TokenAbsent):
        usbkey.open(PIN)
    with pytest.raises(TokenError):
        usbkey.sign(made.key_id, b"data")


def test_the_factory_pin_is_changed(token):
    with unlocked(token, PIN):
        made = token.generate_key()
    token.change_pin(PIN, "852963a")

    with pytest.raises(PinIncorrect):
        token.open(PIN)
    with unlocked(token, "852963a"):
        INTL.verify(made.spki, token.sign(made.key_id, b"data"), b"data")


@pytest.mark.parametrize("new", ["1234", "12345", "111111", "1" * 17, "密码密码密码", "１２３４５６",
                                 "12 456", "12345\x00", ""])  # fmt: skip
def test_a_poor_pin_is_refused_and_nothing_changes(token, new):
    with pytest.raises(PinRefused):
        token.change_pin(PIN, new)
    token.open(PIN)
    token.close()


def test_the_old_pin_is_asked_when_it_is_changed(token):
    with pytest.raises(PinIncorrect):
        token.change_pin("9999", "852963a")
    assert token.tries_left() == 4


def test_threads_take_turns(usbkey):
    """Without the lock SoftHSM crashes or destroys the token."""
    with unlocked(usbkey, PIN):
        made = usbkey.generate_key()
    faults = []

    def work():
        try:
            for _ in range(10):
                with unlocked(usbkey, PIN):
                    INTL.verify(made.spki, usbkey.sign(made.key_id, b"data"), b"data")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert usbkey.tries_left() == 5


def test_a_key_in_a_file_is_for_the_demonstration_only(tmp_path):
    with pytest.raises(TokenError, match="demonstration only"):
        SoftwareToken(tmp_path, TryCounter(tmp_path / "tries"), is_demo=False)


def test_files_are_readable_by_their_owner_alone(software, tmp_path):
    with unlocked(software, PIN):
        software.generate_key()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_guessing_takes_time_even_for_whoever_copies_the_file(software):
    started = time.monotonic()
    software._is_right("9999")
    assert time.monotonic() - started > 0.01
