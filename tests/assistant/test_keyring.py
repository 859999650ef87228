"""PINs: wrong ones are counted and lock the key; factory PINs must be changed; making a key."""

from __future__ import annotations

from datetime import UTC, datetime

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.pki.tokens import Pkcs11Token, SoftwareToken, TryCounter, serial_of
from assistant.__main__ import main
from assistant.keyring import BLANK, Keyring, demo_keys, usb_keys
from tests.assistant.conftest import LOGIN, MEMBER, PIN, Authority, Caller
from tests.pki.conftest import MODULE

ENROL = {
    **LOGIN,
    "type": "enrol",
    "payload": {"schema": "enrol/1", "member_no": MEMBER, "member_name": "市场通测试030207"},
}


def order(shown, pin, n=0):
    return {"certificate": shown["certificates"][n]["id"], "pin": pin}


def test_wrong_pins_are_counted_until_the_key_locks(caller, serve, keys_folder):
    window, shown = caller.window_showing()
    for left in (4, 3, 2, 1):
        assert caller.post("/sign", order(shown, "9999"), window) == (
            200,
            {"error": "pin_incorrect", "tries_left": left},
        )
    assert caller.post("/sign", order(shown, "9999"), window)[1] == {"error": "pin_locked"}
    assert caller.post("/sign", order(shown, PIN), window)[1] == {"error": "pin_locked"}
    # Neither a new window nor a new start of the assistant gives tries back.
    again = serve(Keyring(demo_keys(keys_folder)))
    window, shown = again.window_showing()
    assert again.post("/sign", order(shown, PIN), window)[1] == {"error": "pin_locked"}
    # The other member's key has its own count.
    assert "cms" in again.post("/sign", order(shown, PIN, 1), window)[1]


def test_the_right_pin_gives_the_tries_back(caller):
    window, shown = caller.window_showing()
    assert caller.post("/sign", order(shown, "0000"), window)[1]["tries_left"] == 4
    assert "cms" in caller.post("/sign", order(shown, PIN), window)[1]
    window, shown = caller.window_showing()
    assert caller.post("/sign", order(shown, "0000"), window)[1]["tries_left"] == 4


def test_there_is_always_a_blank_key_for_the_next_newcomer(keys_folder):
    def labels():
        shown = Keyring(demo_keys(keys_folder)).show(datetime.now(UTC))
        return [token["id"] for token in shown["tokens"]]

    authority = Authority()
    assert labels() == [MEMBER, "P42", BLANK]
    for name, expected in (
        ("21042300008", [MEMBER, "21042300008", "P42", BLANK]),
        (MEMBER, [MEMBER, f"{MEMBER}（2）", "21042300008", "P42", BLANK]),
    ):
        blank = SoftwareToken(
            keys_folder / BLANK, TryCounter(keys_folder / "tries.json"), is_demo=True
        )
        authority.put_on(blank, name, "新会员")
        assert labels() == expected
        assert not list((keys_folder / BLANK).glob("*.cer"))


def test_a_certificate_that_is_not_there(caller):
    window, _shown = caller.window_showing()
    for token, error in ((MEMBER, "key_missing"), ("none", "token_absent"), ("", "token_absent")):
        message = {"certificate": f"{token}:{'0' * 64}", "pin": PIN}
        assert caller.post("/sign", message, window)[1] == {"error": error}


def test_soft_keys_are_marked_and_for_the_demonstration_alone(
    caller, keys_folder, monkeypatch, capsys
):
    _window, shown = caller.window_showing()
    assert all(one["is_soft"] for one in shown["certificates"])
    for profile in ("production", ""):
        monkeypatch.setenv("APP_PROFILE", profile)
        with pytest.raises(SystemExit):
            main(["--site", "https://registry.example", "--demo-keys", str(keys_folder)])
        assert "软证书仅供演示" in capsys.readouterr().err


@pytest.mark.parametrize(
    "site",
    ["http://registry.example", "https://a.example/path", "https://u@a.example", "ftp://a", "*"],
)
def test_a_site_is_an_origin_over_tls(site, capsys):
    with pytest.raises(SystemExit):
        main(["--site", site, "--module", "x"])
    assert "not an origin" in capsys.readouterr().err


@pytest.fixture
def usb_key(softhsm, tmp_path) -> Pkcs11Token:
    """A member's USBKey with the factory PIN."""
    return Pkcs11Token(MODULE, softhsm("UKEY-21042300007"), TryCounter(tmp_path / "tries.json"))


@pytest.fixture
def usb_caller(serve, usb_key, tmp_path) -> Caller:
    """An assistant with the real driver."""
    return serve(Keyring(usb_keys(MODULE, [], tmp_path)))


def test_the_factory_s_pin_must_be_changed_before_the_first_signature(
    usb_caller, usb_key, authority
):
    authority.put_on(usb_key, MEMBER, "市场通测试030207")
    window, shown = usb_caller.window_showing()
    assert [(one["token"], one["is_soft"]) for one in shown["certificates"]] == [
        (serial_on(usb_key), False)
    ]
    assert usb_caller.post("/sign", order(shown, PIN), window)[1] == {"error": "pin_factory"}

    def change(pin: str, new_pin: str) -> dict[str, object]:
        message = {"token": serial_on(usb_key), "pin": pin, "new_pin": new_pin}
        return usb_caller.post("/pin", message, window)[1]

    for weak in ("1234", "12345", "111111", "12345678901234567", "密码密码密码"):
        assert change(PIN, weak) == {"error": "pin_refused"}, weak
    assert change("9999", "Wuhan2026") == {"error": "pin_incorrect", "tries_left": 4}
    assert change(PIN, "Wuhan2026") == {}
    assert usb_caller.post("/sign", order(shown, PIN), window)[1]["error"] == "pin_incorrect"
    assert "cms" in usb_caller.post("/sign", order(shown, "Wuhan2026"), window)[1]


def test_a_usbkey_locks_although_softhsm_never_does(usb_caller, usb_key, authority):
    authority.put_on(usb_key, MEMBER, "市场通测试030207")
    window, shown = usb_caller.window_showing()
    answers = [usb_caller.post("/sign", order(shown, f"000{n}"), window)[1] for n in range(6)]
    assert [answer.get("tries_left") for answer in answers] == [4, 3, 2, 1, None, None]
    assert usb_caller.post("/sign", order(shown, PIN), window)[1] == {"error": "pin_locked"}


def test_a_key_is_made_in_the_token_and_its_certificate_put_beside_it(
    usb_caller, usb_key, authority
):
    usb_key.change_pin(PIN, "Wuhan2026")
    window, shown = usb_caller.window_showing(ENROL)
    assert shown["title"] == "申领证书"
    serial = serial_on(usb_key)
    assert shown["tokens"] == [
        {
            "id": serial,
            "name": f"{usb_key.label}（序列号 {serial}）",
            "is_soft": False,
            "problem": "",
        }
    ]
    made = usb_caller.post("/enrol", {"token": serial, "pin": "Wuhan2026"}, window)[1]
    request = x509.load_pem_x509_csr(made["csr"].encode())
    assert request.is_signature_valid
    spki = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    foreign = authority.certify(usb_spki(), MEMBER, "别的密钥")
    own = authority.certify(spki, MEMBER, "市场通测试030207")

    def store(certificate: str) -> dict[str, object]:
        return usb_caller.post("/store", {"pin": "Wuhan2026", "certificate": certificate}, window)[
            1
        ]

    assert store("no certificate") == {"error": "malformed"}
    assert store(foreign.public_bytes(Encoding.PEM).decode()) == {"error": "key_missing"}
    assert store(own.public_bytes(Encoding.PEM).decode()) == {}
    window, shown = usb_caller.window_showing()
    assert [one["name"] for one in shown["certificates"]] == ["市场通测试030207"]
    assert "cms" in usb_caller.post("/sign", order(shown, "Wuhan2026"), window)[1]


def test_a_key_is_made_only_where_a_certificate_is_applied_for(usb_caller, usb_key):
    window, _shown = usb_caller.window_showing()
    message = {"token": serial_on(usb_key), "pin": PIN}
    assert usb_caller.post("/enrol", message, window) == (400, {"error": "unknown_type"})
    window, _shown = usb_caller.window_showing(ENROL)
    assert usb_caller.post("/enrol", message, window)[1] == {"error": "pin_factory"}
    assert usb_caller.post("/enrol", {**message, "token": "other"}, window)[1] == {
        "error": "token_absent"
    }


def test_without_a_driver_there_is_no_key(serve, tmp_path):
    caller = serve(Keyring(usb_keys(str(tmp_path / "none.so"), [], tmp_path)))
    _window, shown = caller.window_showing()
    assert (shown["certificates"], shown["tokens"]) == ([], [])
    assert shown["problem"] == "token_absent"
    assert shown["title"] == "登录"


def serial_on(token: Pkcs11Token) -> str:
    return serial_of(pkcs11.lib(MODULE).get_token(token_label=token.label))


def usb_spki() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
