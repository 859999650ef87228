"""An assistant on a free port, with keys certified by a test authority."""

from __future__ import annotations

import hmac
import http.client
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from app.pki import authority as pki
from app.pki.tokens import SoftwareToken, TokenBackend, TryCounter, unlocked
from assistant.keyring import Keyring, demo_keys
from assistant.pairing import Pairing
from assistant.server import Server
from tests.pki.conftest import softhsm, usbkey
from tests.security.certified import make_authority

__all__ = ["softhsm", "usbkey"]  # fixtures, shared

SITE = "https://registry.example"
PIN = "1234"
CODE = "WUHA-N234-5678-ABCD"
MEMBER = "21042300007"
CHALLENGE = "c" * 43
LOGIN = {
    "type": "login",
    "origin": SITE,
    "challenge": CHALLENGE,
    "payload": {"schema": "login/1", "member_no": MEMBER, "member_name": "市场通测试030207"},
}


class Authority:
    def __init__(self) -> None:
        self.authority = make_authority("试验CA")

    def certify(self, spki: bytes, member_no: str, name: str) -> x509.Certificate:
        request = pki.Request(load_der_public_key(spki), spki)  # type: ignore[arg-type]
        return pki.issue(
            self.authority, request, member_no=member_no, name=name, now=datetime.now(UTC)
        )

    def put_on(self, token: TokenBackend, member_no: str, name: str, *, pin: str = PIN) -> bytes:
        """Make a key on a token, with its certificate; return the certificate (DER)."""
        with unlocked(token, pin):
            key = token.generate_key(label=member_no)
            der = self.certify(key.spki, member_no, name).public_bytes(Encoding.DER)
            token.store_certificate(key.key_id, der)
        return der


class Caller:
    """A client of the assistant with arbitrary headers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.own = f"http://{server.host}"

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(self.server.host, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": self.server.host, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, dict(answer.getheaders()), text

    def challenge(self) -> str:
        """Open the window as a browser does, and return what its script is to prove the code on."""
        headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
        status, _headers, page = self.send("GET", "/ui", headers)
        assert status == 200
        found = re.search(r'data-challenge="([^"]+)"', page)
        assert found
        return found[1]

    def pair(self, code: str = CODE) -> tuple[int, dict[str, Any]]:
        """Open the window, and prove a code as its script does."""
        key = code.replace("-", "").encode()
        proof = hmac.new(key, self.challenge().encode(), "sha256").hexdigest()
        return self.post("/window", {"proof": proof}, "")

    def open_window(self) -> str:
        """Open the window in a paired browser, and return its token."""
        status, opened = self.pair()
        assert status == 200, opened
        return str(opened["token"])

    def headers(self, window: str, **changed: str | None) -> dict[str, str]:
        """Return the headers of the window's script, with changes; None removes one."""
        headers = {
            "Origin": self.own,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "X-Window": window,
        }
        return {name: value for name, value in {**headers, **changed}.items() if value is not None}

    def post(
        self, path: str, message: Any, window: str, **changed: str | None
    ) -> tuple[int, dict[str, Any]]:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        headers = self.headers(window, **changed)
        headers.setdefault("Content-Length", str(len(body)))
        status, _headers, text = self.send("POST", path, headers, body)
        return status, json.loads(text)

    def window_showing(self, request: dict[str, Any] = LOGIN) -> tuple[str, dict[str, Any]]:
        """Open a window and hand a request to it; return its token and what it shows."""
        window = self.open_window()
        status, shown = self.post("/request", request, window)
        assert status == 200, shown
        return window, shown


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def keys_folder(tmp_path: Path, _keys: Path) -> Path:
    """Two members' soft keys, as the demonstration has them."""
    return Path(shutil.copytree(_keys, tmp_path / "keys"))


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, authority = tmp_path_factory.mktemp("keys"), Authority()
    for member_no, name in ((MEMBER, "市场通测试030207"), ("P42", "湖北主管部门")):
        token = SoftwareToken(folder / member_no, TryCounter(folder / "tries.json"), is_demo=True)
        token.initialize(PIN)
        authority.put_on(token, member_no, name)
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Return a function that starts an assistant with a keyring."""
    servers: list[Server] = []

    def start(keyring: Keyring, site: str = SITE, pairing: Pairing | None = None) -> Caller:
        server = Server(0, keyring, frozenset({site}), pairing or Pairing(tmp_path, CODE))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return Caller(server)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def caller(serve: Callable[[Keyring], Caller], keys_folder: Path) -> Caller:
    return serve(Keyring(demo_keys(keys_folder)))
