"""The assistant refuses requests from outside its own window, and shows what it signs."""

from __future__ import annotations

import base64
import json
import socket

import pytest

from app.pki import cms
from app.pki.canonical import parse
from assistant.server import LARGEST_REQUEST, WINDOWS
from tests.assistant.conftest import CHALLENGE, LOGIN, MEMBER, PIN, SITE

WINDOW = {
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "cross-site",
}


def test_the_window_opens_from_a_foreign_site_and_cannot_be_framed(caller):
    status, headers, page = caller.send("GET", "/ui", WINDOW)
    assert status == 200
    assert "USBKey助手" in page
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Cross-Origin-Opener-Policy" not in headers  # It would cut the window from its opener.


def test_every_window_has_its_own_token_and_nonce(caller):
    first, second = (caller.send("GET", "/ui", WINDOW) for _ in range(2))
    assert first[1]["Content-Security-Policy"] != second[1]["Content-Security-Policy"]
    assert caller.open_window() != caller.open_window()


@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object", "empty", "image", "script"])
def test_the_window_s_page_is_given_to_windows_alone(caller, dest):
    status, _headers, text = caller.send("GET", "/ui", {**WINDOW, "Sec-Fetch-Dest": dest})
    assert (status, json.loads(text)) == (403, {"error": "not_a_window"})


@pytest.mark.parametrize("path", ["/popup.js", "/popup.css"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", ""])
def test_its_files_are_for_its_own_page(caller, path, site):
    assert caller.send("GET", path, {"Sec-Fetch-Site": site})[0] == 403
    assert caller.send("GET", path, {"Sec-Fetch-Site": "same-origin"})[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/../assistant/server.py", "/popup.html", "/ui?x=1", "/pages/popup.js", "/favicon.ico"],
)
def test_there_is_nothing_else_to_fetch(caller, path):
    assert caller.send("GET", path, {**WINDOW, "Sec-Fetch-Site": "same-origin"})[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost:{port}", "127.0.0.1", "evil.example:{port}", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_name_for_this_machine_is_refused(caller, host, method):
    """DNS rebinding: the foreign name is still in Host."""
    port = caller.server.server_address[1]
    headers = {**WINDOW, "Host": host.format(port=port), "Content-Length": "0"}
    status, _headers, text = caller.send(method, "/ui", headers)
    assert (status, json.loads(text)) == (403, {"error": "foreign_host"})


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403, "foreign_page"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "foreign_page"),
        ({"Sec-Fetch-Site": None}, 403, "foreign_page"),
        ({"Origin": "https://evil.example"}, 403, "foreign_page"),
        ({"Origin": SITE}, 403, "foreign_page"),
        ({"Origin": "null"}, 403, "foreign_page"),
        ({"Origin": None}, 403, "foreign_page"),
        ({"X-Window": "guess"}, 403, "window_expired"),
        ({"X-Window": None}, 403, "window_expired"),
        ({"Content-Type": "text/plain"}, 415, "not_json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ({"Content-Type": None}, 415, "not_json"),
        ({"Content-Length": str(LARGEST_REQUEST + 1)}, 413, "too_large"),
        ({"Content-Length": "-1"}, 411, "no_length"),
        ({"Content-Length": "9" * 40}, 411, "no_length"),
    ],
)
def test_only_its_own_window_may_ask(caller, changed, status, error):
    window = caller.open_window()
    assert caller.post("/request", LOGIN, window, **changed) == (status, {"error": error})


def test_the_right_question_is_answered(caller):
    window, shown = caller.window_showing()
    assert shown["title"] == "登录"
    assert shown["origin"] == SITE
    assert [one["member_no"] for one in shown["certificates"]] == [MEMBER, "P42"]
    assert caller.post("/nothing", {}, window) == (404, {"error": "not_found"})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"origin": "https://evil.example"}, "unknown_site"),
        ({"origin": SITE + "/"}, "unknown_site"),
        ({"origin": SITE.upper()}, "unknown_site"),
        ({"type": "anything"}, "unknown_type"),
        ({"type": 1}, "unknown_type"),
        ({"challenge": "short"}, "malformed"),
        ({"challenge": CHALLENGE + "\n"}, "malformed"),
        ({"challenge": None}, "malformed"),
        ({"payload": {}}, "malformed"),
        ({"payload": "text"}, "malformed"),
        ({"payload": {"quantity": 1.5}}, "malformed"),
        ({"payload": {"name": "a\u202eb"}}, "malformed"),
        ({"payload": {"name": "a\nb"}}, "malformed"),
        ({"payload": {"数量": "100"}}, "malformed"),
        ({"payload": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}, "malformed"),
        ({"display": "转账 100 吨"}, "malformed"),
    ],
)
def test_what_cannot_be_shown_faithfully_is_not_signed(caller, change, error):
    window = caller.open_window()
    status, answer = caller.post("/request", {**LOGIN, **change}, window)
    assert (status, answer) == (400, {"error": error})
    assert caller.post("/sign", {"certificate": "x", "pin": PIN}, window)[0] == 409


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_garbage_is_refused(caller, body):
    window = caller.open_window()
    assert caller.post("/request", body, window) == (400, {"error": "malformed"})


def test_the_page_shows_what_is_signed_key_by_key(caller):
    payload = {
        "schema": "application/1",
        "kind": "registry_to_trading",
        "reason": "<img src=x onerror=alert(1)>",
        "is_urgent": True,
        "nothing": None,
        "lines": [
            {"code": "PE2021000025", "quantity": "100"},
            {"code": "PE2022000001", "quantity": "900", "note": "x"},
        ],
        "account": {"member_no": MEMBER, "tags": ["a", "b"]},
    }
    _window, shown = caller.window_showing({**LOGIN, "type": "submit", "payload": payload})
    facts, account, tags, lines = shown["blocks"]
    assert facts["rows"] == [
        ["业务类型", "登记发起登记转交易（registry_to_trading）"],
        ["申请原因", "<img src=x onerror=alert(1)>"],
        ["格式", "application/1"],
        ["is_urgent", "是"],
        ["nothing", "（空）"],
    ]
    assert lines["title"] == "明细（共 2 条）"
    assert lines["columns"] == ["序号", "标的编码", "数量（吨）", "note"]
    assert lines["rows"] == [
        ["1", "PE2021000025", "100", "（未填）"],
        ["2", "PE2022000001", "900", "x"],
    ]
    assert account["rows"] == [["会员编号", MEMBER]]
    assert tags["rows"] == [["1", "a"], ["2", "b"]]


def test_it_signs_what_it_showed(caller, keys_folder):
    window, shown = caller.window_showing()
    chosen = shown["certificates"][0]
    status, signed = caller.post("/sign", {"certificate": chosen["id"], "pin": PIN}, window)
    assert status == 200
    content = base64.b64decode(signed["content"])
    told = parse(content)
    assert {key: told[key] for key in LOGIN} == LOGIN
    assert told["v"] == 1
    assert told["at"].endswith("+00:00")
    (der,) = [path.read_bytes() for path in (keys_folder / MEMBER).glob("*.cer")]

    class Row:
        pass

    Row.der = der
    verified = cms.verify(content, base64.b64decode(signed["cms"]), lambda _issuer, _serial: Row)
    assert verified.signed_at.isoformat() == told["at"]


def test_a_window_signs_once(caller):
    window, shown = caller.window_showing()
    assert caller.post("/request", LOGIN, window) == (409, {"error": "one_request_a_window"})
    message = {"certificate": shown["certificates"][0]["id"], "pin": PIN}
    assert caller.post("/sign", message, window)[0] == 200
    assert caller.post("/sign", message, window) == (403, {"error": "window_expired"})


@pytest.mark.parametrize(
    "message",
    [{}, {"certificate": "x"}, {"certificate": "x", "pin": ""}, {"certificate": "x", "pin": 1234},
     {"certificate": ["x"], "pin": PIN}, {"certificate": "x", "pin": "1" * 17_000}],
)  # fmt: skip
def test_a_half_filled_order_is_refused(caller, message):
    window, _shown = caller.window_showing()
    assert caller.post("/sign", message, window) == (400, {"error": "malformed"})


def test_nothing_is_signed_before_something_is_shown(caller):
    window = caller.open_window()
    for path in ("/keys", "/sign", "/pin", "/enrol", "/store"):
        message = {"certificate": "x", "token": "x", "pin": PIN, "new_pin": "abc123"}
        assert caller.post(path, message, window) == (409, {"error": "no_request"}), path


def test_forgotten_windows_do_not_pile_up(caller):
    first = caller.open_window()
    for _ in range(WINDOWS):
        caller.open_window()
    assert caller.post("/request", LOGIN, first) == (403, {"error": "window_expired"})


def test_it_listens_on_this_machine_only(caller):
    host, port = caller.server.server_address[:2]
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionError):
        socket.create_connection((_address_of_this_machine(), port), timeout=1)


def _address_of_this_machine() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.fail("this machine has no address besides the loopback")
    return address


def test_no_pin_is_logged(caller, capfd):
    window, shown = caller.window_showing()
    wrong = {"certificate": shown["certificates"][0]["id"], "pin": "secret-9876"}
    caller.post("/sign", wrong, window)
    out, err = capfd.readouterr()
    assert "9876" not in out + err
    assert "9876" not in repr(vars(caller.server))
