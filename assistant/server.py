"""The window's HTTP server: loopback only, its own page only, JSON only, nothing stored.

One attacker is another page in the same browser.  So every request must have our own Host (against
DNS rebinding) and must come from our own window (Sec-Fetch-Site and Origin).  Another is any program
of this computer, which can write all of these: a window is opened for a paired browser alone, and every
further request carries the window's token.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from assistant import clock, contents
from assistant.keyring import KeyRefused, Keyring, MadeKey
from assistant.pairing import Pairing

PAGES = Path(__file__).resolve().parent / "pages"
FILES = {"/popup.css": "text/css", "/popup.js": "text/javascript"}
LARGEST_REQUEST = 2 * 1024 * 1024  # bytes; a manifest of 10,000 reviews
WINDOWS = 32
WINDOW_LIVES = 15 * 60  # seconds
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


class Refused(Exception):
    """A refused request; `code` is for the window."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Window:
    """An open window, which signs only the one request it shows."""

    opened: float
    request: contents.Request | None = None
    ahead: timedelta = timedelta(0)  # how far this computer's clock is ahead of the site's
    made: MadeKey | None = None  # a key that awaits its certificate
    lock: threading.Lock = field(default_factory=threading.Lock)


class Server(ThreadingHTTPServer):
    """The assistant's server, with its open windows."""

    daemon_threads = True
    request_queue_size = 128  # others may connect and say nothing; the window still gets through
    allow_reuse_address = os.name == "posix"  # elsewhere it would let others share the port

    def __init__(
        self, port: int, keyring: Keyring, origins: frozenset[str], pairing: Pairing
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.keyring, self.origins, self.pairing = keyring, origins, pairing
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self._windows: dict[str, Window] = {}
        self._lock = threading.Lock()

    def server_bind(self) -> None:
        """Bind the port for this program alone, which Windows has to be told."""
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()

    def open_window(self) -> str:
        """Return the token of a paired browser's new window; drops the oldest of too many."""
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            for old, window in list(self._windows.items()):
                if now - window.opened > WINDOW_LIVES or len(self._windows) >= WINDOWS:
                    del self._windows[old]
            self._windows[token] = Window(now)
        return token

    def window(self, token: str) -> Window:
        """Return an open window.  Raises Refused."""
        with self._lock:
            window = self._windows.get(token)
        if window is None or time.monotonic() - window.opened > WINDOW_LIVES:
            raise Refused(HTTPStatus.FORBIDDEN, "window_expired")
        return window


class Handler(BaseHTTPRequestHandler):
    """One request to the assistant."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "USBKey"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        """Serve the window and its two files."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Carry out a request of the window."""
        self._answer(self._post)

    def log_message(self, *_words: Any) -> None:
        """Write no log, which would disclose the use of certificates."""

    def _answer(self, work: Any) -> None:
        try:
            self._require_own_host()
            work()
        except Refused as refused:
            self.close_connection = True  # discards the rest of the request
            self._send_json(refused.status, {"error": refused.code})

    def _require_own_host(self) -> None:
        if self.headers.get_all("Host") != [self.server.host]:
            raise Refused(HTTPStatus.FORBIDDEN, "foreign_host")

    # The window itself

    def _get(self) -> None:
        if self.path == "/ui":
            # Only a top-level navigation, from anywhere: no frame, no fetch.
            if (self._header("Sec-Fetch-Dest"), self._header("Sec-Fetch-Mode")) != (
                "document",
                "navigate",
            ):
                raise Refused(HTTPStatus.FORBIDDEN, "not_a_window")
            return self._send_window()
        if self.path not in FILES:
            raise Refused(HTTPStatus.NOT_FOUND, "not_found")
        if self._header("Sec-Fetch-Site") != "same-origin":
            raise Refused(HTTPStatus.FORBIDDEN, "foreign_page")
        content = (PAGES / self.path[1:]).read_bytes()
        return self._send(HTTPStatus.OK, f"{FILES[self.path]}; charset=utf-8", content)

    def _send_window(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = (PAGES / "popup.html").read_text(encoding="utf-8")
        facts = {
            "nonce": nonce,
            "challenge": self.server.pairing.nonce,
            "origins": " ".join(sorted(self.server.origins)),
            "code_file": self.server.pairing.place,
        }
        page = re.sub(r"\{\{(\w+)\}\}", lambda place: html.escape(facts[place[1]]), page)
        headers = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), headers)

    # Requests of the window

    def _post(self) -> None:
        if self._header("Sec-Fetch-Site") != "same-origin":
            raise Refused(HTTPStatus.FORBIDDEN, "foreign_page")
        if self._header("Origin") != f"http://{self.server.host}":
            raise Refused(HTTPStatus.FORBIDDEN, "foreign_page")
        if self.path == "/window":
            return self._send_json(HTTPStatus.OK, open_window(self.server, self._message()))
        window = self.server.window(self._header("X-Window"))
        action = ACTIONS.get(self.path)
        if action is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not_found")
        message = self._message()
        try:
            answer = action(self.server, window, message)
        except (KeyError, TypeError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed") from error
        except contents.RequestRefused as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        except KeyRefused as error:
            return self._send_json(HTTPStatus.OK, error.facts())
        return self._send_json(HTTPStatus.OK, answer)

    def _message(self) -> dict[str, Any]:
        if self._header("Content-Type").partition(";")[0].strip() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json")
        length = self._header("Content-Length")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,9}", length):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "no_length")
        if int(length) > LARGEST_REQUEST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
        try:
            message = json.loads(self.rfile.read(int(length)), parse_float=_no_float)
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed") from error
        if not isinstance(message, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed")
        return message

    def _header(self, name: str) -> str:
        """Return a header that occurs exactly once, or ""."""
        values = self.headers.get_all(name) or []
        return values[0] if len(values) == 1 else ""

    def _send_json(self, status: HTTPStatus, answer: dict[str, Any]) -> None:
        content = json.dumps(answer, ensure_ascii=False).encode()
        self._send(status, "application/json; charset=utf-8", content)

    def _send(
        self, status: HTTPStatus, kind: str, content: bytes, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        policy = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
        headers = {**HEADERS, **policy, **(more or {}), "Content-Type": kind}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def open_window(server: Server, message: dict[str, Any]) -> dict[str, Any]:
    """Return the token of a new window, for a browser that proves its pairing."""
    proof = message.get("proof")
    if not isinstance(proof, str) or not server.pairing.accepts(proof):
        raise Refused(HTTPStatus.FORBIDDEN, "not_paired")
    return {"token": server.open_window()}


def take_request(server: Server, window: Window, message: dict[str, Any]) -> dict[str, Any]:
    """Accept the window's one request; return its description and the certificates."""
    try:
        ahead = clock.ahead_of(message.pop("now", None))
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed") from error
    request = contents.read(message, server.origins)
    with window.lock:
        if window.request is not None:
            raise Refused(HTTPStatus.CONFLICT, "one_request_a_window")
        window.request, window.ahead = request, ahead
    return {
        "type": request.type,
        "title": contents.TITLES[request.type],
        "origin": request.origin,
        "blocks": contents.describe(request),
        "member_no": str(request.payload.get("member_no", "")),
        "clock": clock.complaint(ahead),
        **list_keys(server, window, {}),
    }


def list_keys(server: Server, window: Window, _message: dict[str, Any]) -> dict[str, Any]:
    """Return the certificates and tokens present; their dates are judged by the site's clock."""
    _request_of(window)
    try:
        shown: dict[str, Any] = server.keyring.show(datetime.now(UTC) - window.ahead)
    except KeyRefused as refusal:
        # What is to be signed is shown all the same; the member may have the keys read again.
        return {"certificates": [], "tokens": [], "problem": refusal.code}
    return shown


def sign(server: Server, window: Window, message: dict[str, Any]) -> dict[str, Any]:
    """Sign the window's request, once."""
    with window.lock:
        request = _request_of(window)
        if clock.complaint(window.ahead):
            return {"error": "clock_wrong"}
        at = datetime.now(UTC).replace(microsecond=0)
        content = request.content(at.isoformat())
        words = _word(message, "certificate"), _word(message, "pin")
        cms = server.keyring.sign(*words, content, at)
        window.opened -= WINDOW_LIVES
    return {"content": _base64(content), "cms": _base64(cms)}


def change_pin(server: Server, window: Window, message: dict[str, Any]) -> dict[str, Any]:
    """Change a token's PIN."""
    _request_of(window)
    words = (_word(message, name) for name in ("token", "pin", "new_pin"))
    server.keyring.change_pin(*words)
    return {}


def enrol(server: Server, window: Window, message: dict[str, Any]) -> dict[str, Any]:
    """Generate a key on a token, and return its certificate request."""
    request = _request_of(window)
    if request.type != "enrol":
        raise Refused(HTTPStatus.BAD_REQUEST, "unknown_type")
    name = str(request.payload["member_no"])
    with window.lock:
        if window.made is not None:
            raise Refused(HTTPStatus.CONFLICT, "one_request_a_window")
        words = _word(message, "token"), _word(message, "pin")
        window.made = server.keyring.make_key(*words, name)
    return {"csr": window.made.csr}


def store(server: Server, window: Window, message: dict[str, Any]) -> dict[str, Any]:
    """Store the issued certificate on the key's token."""
    if window.made is None:
        raise Refused(HTTPStatus.CONFLICT, "no_request")
    words = _word(message, "pin"), _word(message, "certificate")
    server.keyring.store_certificate(window.made, *words)
    return {}


ACTIONS = {
    "/request": take_request,
    "/keys": list_keys,
    "/sign": sign,
    "/pin": change_pin,
    "/enrol": enrol,
    "/store": store,
}


def _request_of(window: Window) -> contents.Request:
    if window.request is None:
        raise Refused(HTTPStatus.CONFLICT, "no_request")
    return window.request


def _word(message: dict[str, Any], name: str) -> str:
    value = message[name]
    if not isinstance(value, str) or not value or len(value) > 16_000:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed")
    return value


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _no_float(_text: str) -> None:
    raise ValueError("quantities are texts, never floating numbers")
