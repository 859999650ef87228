"""Other programs of the computer speak to the port: they get no window, burn no try and close none."""

from __future__ import annotations

import hmac
import json
import socket
import subprocess
import sys
import time

import pytest

from assistant.__main__ import main
from assistant.keyring import Keyring, demo_keys
from assistant.pairing import FILE, Pairing
from assistant.server import WINDOWS
from tests.assistant.conftest import CODE, LOGIN, PIN

# A program that knows everything of the assistant but the code: its headers, its answers, an allowed site.
HOSTILE = r"""
import http.client, json, re, sys
host, request, certificate = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
token = certificate.split(":")[0]

def send(method, path, headers, body=b""):
    line = http.client.HTTPConnection(host, timeout=30)
    line.request(method, path, body, headers)
    answer = line.getresponse()
    return answer.status, answer.read().decode()

def post(path, message, window=""):
    return send("POST", path, {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/json", "X-Window": window}, json.dumps(message).encode())

told = []
for _ in range(40):
    status, page = send("GET", "/ui", {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"})
    challenge = re.search('data-challenge="([^"]+)"', page)[1]
    told.append(post("/window", {"proof": "0" * 64}))
    told.append(post("/window", {"proof": challenge}))
    told.append(post("/window", {}))
    told.append(post("/window", {"proof": None}))
    for window in ("", challenge):
        told.append(post("/request", request, window))
        told.append(post("/keys", {}, window))
        told.append(post("/sign", {"certificate": certificate, "pin": "0000"}, window))
        told.append(post("/pin", {"token": token, "pin": "0000", "new_pin": "abc123"}, window))
        told.append(post("/enrol", {"token": token, "pin": "0000"}, window))
print(json.dumps(sorted(set(told))))
"""


def test_a_hostile_program_burns_no_try_and_closes_no_window(caller):
    window, shown = caller.window_showing()
    wrong = {"certificate": shown["certificates"][0]["id"], "pin": "9999"}
    assert caller.post("/sign", wrong, window)[1]["tries_left"] == 4
    known = (caller.server.host, json.dumps(LOGIN), wrong["certificate"])
    command = [sys.executable, "-c", HOSTILE, *known]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [403, '{"error": "not_paired"}'],
        [403, '{"error": "window_expired"}'],
    ]
    # The member's window is still there, and so are the tries.
    assert caller.post("/sign", wrong, window)[1]["tries_left"] == 3
    assert "cms" in caller.post("/sign", {**wrong, "pin": PIN}, window)[1]


def test_the_open_window_outlives_connections_that_say_nothing(caller):
    window, shown = caller.window_showing()
    address, started = caller.server.server_address, time.monotonic()
    silent = [socket.create_connection(address) for _ in range(200)]
    message = {"certificate": shown["certificates"][0]["id"], "pin": PIN}
    assert "cms" in caller.post("/sign", message, window)[1]
    assert time.monotonic() - started < 15  # A short queue takes half a minute.
    for connection in silent:
        connection.close()


def test_only_the_right_code_pairs(caller):
    for code in ("", "WUHA-N234-5678-ABCE", CODE.replace("-", "")[:-1], "配对码"):
        assert caller.pair(code) == (403, {"error": "not_paired"})
    assert caller.pair()[0] == 200
    for proof in (1, None, [], "x" * 64, "\ud800"):
        body = json.dumps({"proof": proof}).encode()
        assert caller.post("/window", body, "") == (403, {"error": "not_paired"}), proof


def test_a_proof_is_worth_nothing_after_the_next_start(caller, serve, keys_folder):
    """Nor is one that a program gained by answering at the port while the assistant was not running."""
    proof = hmac.new(
        CODE.replace("-", "").encode(), caller.challenge().encode(), "sha256"
    ).hexdigest()
    assert caller.post("/window", {"proof": proof}, "")[0] == 200
    again = serve(Keyring(demo_keys(keys_folder)))
    assert again.post("/window", {"proof": proof}, "") == (403, {"error": "not_paired"})


def test_neither_page_nor_answer_tells_the_code(caller):
    headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    page = caller.send("GET", "/ui", headers)[2]
    assert CODE not in page
    assert CODE.replace("-", "") not in page
    assert CODE not in str(caller.pair("wrong"))


def test_the_code_is_drawn_once_and_is_the_member_s_alone(tmp_path):
    first = Pairing(tmp_path / "state")
    code = first.code()
    assert len(code.replace("-", "")) == 16
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600
    assert Pairing(tmp_path / "state").code() == code == first.code()
    # Deleted or damaged, it ends every pairing at once: the next code is another.
    for content in (None, b"", b" \n", b"ABCD", b"\xff\xfe"):
        (tmp_path / "state" / FILE).unlink()
        if content is not None:
            (tmp_path / "state" / FILE).write_bytes(content)
        fresh = first.code()
        assert fresh not in (code, "")
        code = fresh


def test_a_paired_browser_alone_makes_old_windows_go(caller):
    first, _shown = caller.window_showing()
    for _ in range(2 * WINDOWS):
        caller.pair("wrong")
        caller.challenge()
    assert caller.post("/keys", {}, first)[0] == 200


def test_a_taken_port_is_told_as_what_it_may_be(caller, tmp_path, monkeypatch):
    monkeypatch.setenv("APP_PROFILE", "test")
    port = str(caller.server.server_address[1])
    with pytest.raises(SystemExit, match="请勿在弹出的窗口中输入PIN码"):
        main(["--site", "https://a.example", "--demo-keys", str(tmp_path), "--port", port])


def test_the_member_is_told_the_code_and_the_demonstration_s_is_not_printed(
    tmp_path, monkeypatch, capsys
):
    from assistant import __main__ as program

    monkeypatch.setenv("APP_PROFILE", "test")
    monkeypatch.setattr(program.Server, "serve_forever", lambda *_, **__: None)
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    arguments = ["--site", "https://a.example", "--port", "0", "--state", str(tmp_path)]
    main([*arguments, "--module", "none.so"])
    assert Pairing(tmp_path).code() in capsys.readouterr().err
    monkeypatch.setenv(program.GIVEN_CODE, "GIVEN")
    main([*arguments, "--demo-keys", str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_the_demonstration_s_code_counts_for_soft_keys_alone(tmp_path, monkeypatch):
    """A variable left in the environment does not open real keys."""
    from assistant import __main__ as program

    monkeypatch.setenv(program.GIVEN_CODE, "GIVEN")
    options = program._options(
        ["--site", "https://a.example", "--module", "x", "--port", "0", "--state", str(tmp_path)]
    )
    server = program._listening(options, Keyring(list))
    server.server_close()
    key = server.pairing.nonce.encode()
    assert not server.pairing.accepts(hmac.new(b"GIVEN", key, "sha256").hexdigest())
