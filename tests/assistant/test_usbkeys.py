"""Real SoftHSM tokens: told apart by serial, pulled out, put back, added, locked and unlocked elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkcs11 import TokenFlag

from app.pki import cms
from app.pki.errors import PinIncorrect, SignatureRefused
from app.pki.tokens import LOCK, Pkcs11Token, TryCounter, serial_of
from assistant.keyring import Keyring, usb_keys
from tests.assistant.conftest import LOGIN, MEMBER, Authority, Caller
from tests.pki.conftest import MODULE, SO_PIN, make_token

LABEL = "USBKEY"
GOOD = "Wuhan2026"
ENROL = {**LOGIN, "type": "enrol"}


@pytest.fixture
def usb(softhsm, serve, tmp_path) -> Caller:
    """An assistant with the real driver, and no token yet."""
    return serve(Keyring(usb_keys(MODULE, [], tmp_path / "state")))


@pytest.fixture
def issue(softhsm, tmp_path, authority: Authority):
    """Return a function that makes a certified token of a label; it returns serial and certificate."""

    def make(member_no: str, label: str = LABEL, pin: str = GOOD) -> tuple[str, bytes]:
        before = serials()
        make_token(label, pin)
        (serial,) = serials() - before
        token = Pkcs11Token(MODULE, label, TryCounter(tmp_path / "made"), serial)
        return serial, authority.put_on(token, member_no, f"会员{member_no}", pin=pin)

    return make


def serials() -> set[str]:
    with LOCK:
        driver = pkcs11.lib(MODULE)
        driver.reinitialize()
        return {serial_of(t) for t in driver.get_tokens(token_flags=TokenFlag.TOKEN_INITIALIZED)}


def folder_of(serial: str, tmp_path: Path) -> Path:
    """Return the folder of a token; moving it away pulls the token out."""
    held = (tmp_path / "softhsm/tokens").glob("*/token.object")
    (found,) = [path.parent for path in held if serial.encode() in path.read_bytes()]
    return found


def elsewhere(serial: str, act: str) -> None:
    """Use a token in another program, which has opened the module's `token`."""
    program = f"""import pkcs11
token = pkcs11.lib({MODULE!r}).get_token(token_serial={serial.encode()!r})
{act}"""
    subprocess.run([sys.executable, "-c", program], check=True)


def sign(usb: Caller, window: str, chosen: dict, pin: str = GOOD) -> dict:
    return usb.post("/sign", {"certificate": chosen["id"], "pin": pin}, window)[1]


def signer_of(signed: dict, ders: list[bytes]) -> bytes:
    """Return the certificate whose key made a signature."""

    def verifies(der: bytes) -> bool:
        row = type("Row", (), {"der": der})
        try:
            cms.verify(
                *(base64.b64decode(signed[name]) for name in ("content", "cms")), lambda *_: row
            )
        except SignatureRefused:
            return False
        return True

    (found,) = [der for der in ders if verifies(der)]
    return found


def test_two_tokens_of_one_label_both_work(usb, issue):
    first, second = issue(MEMBER), issue("P42")
    for serial, der in (first, second):
        window, shown = usb.window_showing()
        assert {one["token"] for one in shown["certificates"]} == {first[0], second[0]}
        (chosen,) = [one for one in shown["certificates"] if one["token"] == serial]
        assert chosen["id"] == f"{serial}:{hashlib.sha256(der).hexdigest()}"
        assert f"USBKey {LABEL}（序列号 {serial}）" in chosen["lines"][0]
        assert signer_of(sign(usb, window, chosen), [first[1], second[1]]) == der


def test_two_certificates_of_one_member_on_two_tokens(usb, issue):
    """The member's spare key: what was chosen is what signs."""
    first, second = issue(MEMBER), issue(MEMBER)
    window, shown = usb.window_showing()
    (chosen,) = [one for one in shown["certificates"] if one["token"] == second[0]]
    assert signer_of(sign(usb, window, chosen), [first[1], second[1]]) == second[1]


def test_a_key_is_made_on_the_chosen_one_of_two(usb, issue):
    (first, _), (second, _) = issue(MEMBER), issue("P42")
    window, shown = usb.window_showing(ENROL)
    assert [one["name"] for one in shown["tokens"]] == [
        f"{LABEL}（序列号 {serial}）" for serial in sorted((first, second))
    ]
    assert "csr" in usb.post("/enrol", {"token": second, "pin": GOOD}, window)[1]
    with LOCK, pkcs11.lib(MODULE).get_token(token_serial=second.encode()).open() as session:
        keys = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY}
        assert len(list(session.get_objects(keys))) == 2


def test_wrong_pins_of_one_do_not_lock_the_other_of_its_label(usb, issue):
    (first, _), (second, _) = issue(MEMBER), issue("P42")
    window, shown = usb.window_showing()
    by = {one["token"]: one for one in shown["certificates"]}
    for left in (4, 3, 2, 1):
        assert sign(usb, window, by[first], "000000")["tries_left"] == left
    assert sign(usb, window, by[first], "000000") == {"error": "pin_locked"}
    assert sign(usb, window, by[first]) == {"error": "pin_locked"}
    again = usb.post("/keys", {}, window)[1]["certificates"]
    assert {one["token"]: one["problem"] for one in again} == {first: "locked", second: ""}
    assert "cms" in sign(usb, window, by[second])


def test_a_key_unlocked_elsewhere_is_usable_again_without_a_restart(usb, issue):
    serial, _der = issue(MEMBER)
    window, shown = usb.window_showing()
    (chosen,) = shown["certificates"]
    for _ in range(5):
        sign(usb, window, chosen, "000000")
    assert sign(usb, window, chosen) == {"error": "pin_locked"}
    # The registry does so with the key's own tool.
    elsewhere(serial, f"token.open(rw=True, so_pin={SO_PIN!r}).init_pin('Unlocked1')")
    (again,) = usb.post("/keys", {}, window)[1]["certificates"]
    assert again["problem"] == ""
    # All tries are there again, and wrong ones are counted as before.
    assert sign(usb, window, chosen, "000000") == {"error": "pin_incorrect", "tries_left": 4}
    assert "cms" in sign(usb, window, chosen, "Unlocked1")


def test_the_right_pin_elsewhere_gives_the_tries_back(usb, issue):
    serial, _der = issue(MEMBER)
    window, shown = usb.window_showing()
    (chosen,) = shown["certificates"]
    for left in (4, 3):
        assert sign(usb, window, chosen, "000000")["tries_left"] == left
    elsewhere(serial, f"token.open(user_pin={GOOD!r})")
    assert sign(usb, window, chosen, "000000")["tries_left"] == 4


def test_a_key_that_reports_nothing_keeps_its_count(usb, issue, tmp_path):
    """Its own flags tell nothing; the count ends with the right PIN alone."""
    serial, _der = issue(MEMBER)
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state/tries.json").write_text(json.dumps({serial: [5, False]}))
    window, shown = usb.window_showing()
    (chosen,) = shown["certificates"]
    assert chosen["problem"] == "locked"
    assert sign(usb, window, chosen) == {"error": "pin_locked"}


@pytest.mark.parametrize(
    ("flag", "left"),
    [(TokenFlag.USER_PIN_COUNT_LOW, 5), (TokenFlag.USER_PIN_FINAL_TRY, 1), (TokenFlag.USER_PIN_LOCKED, 0)],
)  # fmt: skip
def test_a_key_s_own_flags_count(usbkey, flag, left):
    """SoftHSM never sets the last two; real keys lock themselves after fewer tries than ours."""
    token = usbkey._token()

    class Reporting:
        serial, flags = token.serial, token.flags | flag

    assert usbkey._left(Reporting) == left


def test_flags_that_a_driver_forgets_at_its_start_give_no_try_back(usbkey):
    """Only what it still reports at a later operation is believed when it is gone."""
    with pytest.raises(PinIncorrect):
        usbkey.open("9999")
    token = usbkey._token()
    assert token.flags & TokenFlag.USER_PIN_COUNT_LOW

    class Forgetful:
        serial, flags = token.serial, token.flags & ~TokenFlag.USER_PIN_COUNT_LOW

    usbkey._compare(Forgetful)
    assert usbkey._left(Forgetful) == 4
    usbkey._compare(token)
    usbkey._compare(Forgetful)
    assert usbkey._left(Forgetful) == 5


def test_a_key_added_while_the_assistant_runs_is_seen(usb, issue, tmp_path):
    inside, outside = folder_of(issue(MEMBER)[0], tmp_path), tmp_path / "pocket"
    shutil.move(inside, outside)
    window, shown = usb.window_showing()
    assert (shown["certificates"], shown["tokens"]) == ([], [])
    shutil.move(outside, inside)
    (chosen,) = usb.post("/keys", {}, window)[1]["certificates"]
    assert "cms" in sign(usb, window, chosen)
    # And one that is initialised only now.
    make_token(LABEL, GOOD)
    assert len(usb.post("/keys", {}, usb.window_showing()[0])[1]["tokens"]) == 2


def test_a_key_pulled_out_and_put_back(usb, issue, tmp_path):
    (serial, der), (other, _) = issue(MEMBER), issue("P42")
    window, shown = usb.window_showing()
    by = {one["token"]: one for one in shown["certificates"]}
    inside, outside = folder_of(serial, tmp_path), tmp_path / "pocket"
    shutil.move(inside, outside)
    # What it is asked for while it is out is refused in words; no try is counted, the other key is there.
    assert sign(usb, window, by[serial]) == {"error": "token_absent"}
    message = {"token": serial, "pin": GOOD, "new_pin": "Wuhan2027"}
    assert usb.post("/pin", message, window)[1] == {"error": "token_absent"}
    assert [one["token"] for one in usb.post("/keys", {}, window)[1]["certificates"]] == [other]
    shutil.move(outside, inside)
    assert {one["token"] for one in usb.post("/keys", {}, window)[1]["certificates"]} == {
        serial,
        other,
    }
    assert sign(usb, window, by[serial], "000000") == {"error": "pin_incorrect", "tries_left": 4}
    assert signer_of(sign(usb, window, by[serial]), [der]) == der


def test_another_key_put_in_its_place_is_not_taken_for_it(usb, issue, tmp_path):
    """Of the same label, in the same slot: nothing is signed with it, nor is its PIN tried."""
    (serial, _), (other, _) = issue(MEMBER), issue("P42")
    inside, second = folder_of(serial, tmp_path), folder_of(other, tmp_path)
    shutil.move(second, tmp_path / "drawer")
    window, shown = usb.window_showing()
    (chosen,) = shown["certificates"]
    shutil.move(inside, tmp_path / "pocket")
    shutil.move(tmp_path / "drawer", second)
    assert sign(usb, window, chosen, "000000") == {"error": "token_absent"}
    (shown_now,) = usb.post("/keys", {}, window)[1]["certificates"]
    assert shown_now["token"] == other
    assert sign(usb, window, shown_now, "000000")["tries_left"] == 4


def test_a_key_pulled_out_before_its_certificate_came(usb, issue, tmp_path):
    serial, der = issue(MEMBER)
    window, _shown = usb.window_showing(ENROL)
    assert "csr" in usb.post("/enrol", {"token": serial, "pin": GOOD}, window)[1]
    shutil.move(folder_of(serial, tmp_path), tmp_path / "pocket")
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    message = {"pin": GOOD, "certificate": pem}
    assert usb.post("/store", message, window)[1] == {"error": "token_absent"}


@pytest.mark.parametrize("by_serial", [True, False])
def test_only_the_named_keys_are_used(serve, issue, tmp_path, by_serial):
    (serial, _), _other = issue(MEMBER, "MINE"), issue("P42", "OTHER")
    names = [serial if by_serial else "MINE"]
    _window, shown = serve(Keyring(usb_keys(MODULE, names, tmp_path))).window_showing()
    assert [one["token"] for one in shown["certificates"]] == [serial]


def test_a_driver_installed_later_is_found(serve, issue, tmp_path):
    issue(MEMBER)
    module = tmp_path / "driver.so"
    caller = serve(Keyring(usb_keys(str(module), [], tmp_path)))
    window, shown = caller.window_showing()
    assert shown["problem"] == "token_absent"
    shutil.copy(MODULE, module)
    assert len(caller.post("/keys", {}, window)[1]["certificates"]) == 1
