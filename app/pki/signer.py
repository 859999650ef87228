"""The one process that owns the registry's signing keys, and how the others ask it.

`python -m app.pki.signer FOLDER` logs in to the token once and serves a Unix socket that only its own
user can reach.  Web workers never open the token: several of them destroy it
(docs/adr/0013-one-process-owns-the-signing-key.md).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from app.pki.authority import Authority, remote_key, spki_in
from app.pki.errors import PkiError, SignerAbsent, SignerFailed, TokenError
from app.pki.tokens import Pkcs11Token, TryCounter, load_key, sign_with, spki_of, write_private

logger = logging.getLogger("app.pki.signer")

ISSUING = "issuing"  # certificates, CRLs, OCSP answers
SEAL = "seal"  # the log's daily head
LARGEST_FRAME = 16 * 1024 * 1024  # A CRL of 300 000 lines.
PATIENCE = 10  # seconds
LONGEST_ADDRESS = 100  # A Unix socket's address has room for 107 bytes.


# Asking


@dataclass(frozen=True, slots=True)
class Signer:
    """The way to the signing process of a folder."""

    folder: Path

    def sign(self, data: bytes, key: str = SEAL) -> bytes:
        """Return the signature of one of its keys over the data, with its suite's digest.

        Raises SignerAbsent where nobody answers, SignerFailed where it could not sign.
        """
        answer = self._ask({"key": key, "data": base64.b64encode(data).decode()})
        return base64.b64decode(answer["signature"])

    def keys(self) -> dict[str, bytes]:
        """Return the public keys it signs with, by name."""
        return {name: base64.b64decode(spki) for name, spki in self._ask({})["keys"].items()}

    def assurance(self) -> str:
        """Return hard where its keys are in a token, soft where they are in files."""
        return str(self._ask({})["assurance"])

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            self._ask({})
        except PkiError:
            return False
        return True

    def _ask(self, question: dict[str, str]) -> Any:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(PATIENCE)
                with _address(self.folder / "socket") as address:
                    connection.connect(address)
                _send(connection, question)
                answer = _receive(connection)
        except (OSError, ValueError):
            raise SignerAbsent from None
        if "error" in answer:
            raise SignerFailed(str(answer["error"]))
        return answer


def authority_of(folder: Path, url: str = "") -> Authority:
    """Return the authority of a folder, whose key is the signing process's.

    Raises SignerAbsent where no authority was set up there.
    """
    try:
        root, issuing = (
            x509.load_pem_x509_certificate((folder / name).read_bytes())
            for name in ("root.pem", "issuing.pem")
        )
    except OSError:
        raise SignerAbsent from None
    spki = spki_in(issuing)
    return Authority(
        root, issuing, remote_key(spki, lambda data: Signer(folder).sign(data, ISSUING)), url
    )


def wait_until_ready(folder: Path, seconds: float = 20) -> None:
    """Wait until the signing process of a folder answers.  Raises SignerAbsent."""
    end = time.monotonic() + seconds
    while not Signer(folder).is_ready():
        if time.monotonic() > end:
            raise SignerAbsent
        time.sleep(0.05)


# Owning


class Keys(Protocol):
    """The keys that the process owns."""

    assurance: str

    def public(self) -> dict[str, bytes]:
        """Return the public keys by name."""

    def sign(self, name: str, data: bytes) -> bytes:
        """Sign with one of them."""


class FileKeys:
    """Keys in files that only their owner can read: for the demonstration without a token."""

    assurance = "soft"

    def __init__(self, folder: Path) -> None:
        self._keys: dict[str, Any] = {}
        for name in (ISSUING, SEAL):
            path = folder / f"{name}.key"
            if path.stat().st_mode & 0o077:
                raise TokenError(f"{path.name} can be read by others", code="exposed")
            self._keys[name] = load_key(path.read_bytes())

    def public(self) -> dict[str, bytes]:
        """Return the public keys by name."""
        return {name: spki_of(key) for name, key in self._keys.items()}

    def sign(self, name: str, data: bytes) -> bytes:
        """Sign with one of them."""
        return sign_with(self._keys[name], data)


class TokenKeys:
    """Keys in a PKCS#11 token, opened once."""

    assurance = "hard"

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        if settings.get("softhsm"):
            os.environ["SOFTHSM2_CONF"] = str(write_softhsm_configuration(folder))
        counter = TryCounter(folder / "tries")
        self._token = Pkcs11Token(settings["module"], settings["token"], counter)
        self._ids = {name: bytes.fromhex(key_id) for name, key_id in settings["keys"].items()}
        self._pin = read_pin(folder)
        self._lock = threading.Lock()
        self._token.open(self._pin)
        self._public = {name: self._token.spki(key_id) for name, key_id in self._ids.items()}

    def public(self) -> dict[str, bytes]:
        """Return the public keys by name."""
        return self._public

    def sign(self, name: str, data: bytes) -> bytes:
        """Sign with one of them; a token that was put back is opened again, once."""
        with self._lock:
            try:
                return self._token.sign(self._ids[name], data)
            except TokenError as error:
                logger.warning("the token failed (%s); opening it again", error.code)
                self._token.open(self._pin)
                return self._token.sign(self._ids[name], data)


def open_keys(folder: Path) -> Keys:
    """Open the keys that a folder's signer.json names."""
    settings = json.loads((folder / "signer.json").read_text())
    return TokenKeys(folder, settings) if settings["backend"] == "pkcs11" else FileKeys(folder)


def write_softhsm_configuration(folder: Path) -> Path:
    """Write SoftHSM's configuration for the tokens of a folder, wherever the folder is now."""
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700, exist_ok=True)
    path = folder / "softhsm2.conf"
    write_private(
        path,
        f"directories.tokendir = {tokens.absolute()}\nobjectstore.backend = file\n"
        "log.level = ERROR\nslots.removable = false\n".encode(),
    )
    return path


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Be the only process that opens the keys of a folder.  Raises TokenError while another does.

    The kernel lets go of it when the process dies, however that happens.
    """
    with open(folder / "lock", "w", opener=_private) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TokenError("another process owns the signing keys", code="owned") from None
        yield


def serve(folder: Path) -> None:
    """Own the keys of a folder and sign for whoever reaches the socket, until SIGTERM."""
    with sole_owner(folder):
        keys = open_keys(folder)
        path = folder / "socket"
        path.unlink(missing_ok=True)  # left by one that was killed
        before = os.umask(0o177)
        try:
            with _address(path) as address:
                server = _Server(address, _Conversation)
        finally:
            os.umask(before)
        server.keys = keys
        with server:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            logger.info("signing with keys of assurance %s", keys.assurance)
            server.serve_forever(poll_interval=0.2)
        path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128
    keys: Keys


class _Conversation(socketserver.BaseRequestHandler):
    """One question, one answer; whatever comes in, the process goes on."""

    server: _Server

    def handle(self) -> None:
        self.request.settimeout(PATIENCE)
        if _peer(self.request) != os.getuid():
            return
        with contextlib.suppress(OSError):
            try:
                answer = self._answer(_receive(self.request))
            except PkiError as error:
                logger.error("could not sign: %s", error.code)
                answer = {"error": error.code}
            except (ValueError, KeyError, TypeError, binascii.Error):
                answer = {"error": "question"}
            _send(self.request, answer)

    def _answer(self, question: Any) -> dict[str, Any]:
        keys = self.server.keys
        if question == {}:
            public = {name: base64.b64encode(spki).decode() for name, spki in keys.public().items()}
            return {"keys": public, "assurance": keys.assurance}
        name, data = question["key"], base64.b64decode(question["data"], validate=True)
        if name not in keys.public():
            return {"error": "no_such_key"}
        signature = keys.sign(name, data)
        logger.info("signed %d bytes with %s", len(data), name)
        return {"signature": base64.b64encode(signature).decode()}


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(data)) + data)


def _receive(connection: socket.socket) -> Any:
    (length,) = struct.unpack(">I", _exactly(connection, 4))
    if length > LARGEST_FRAME:
        raise ValueError("too long")
    message = json.loads(_exactly(connection, length))
    if not isinstance(message, dict):
        raise ValueError("no table")
    return message


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(min(65536, length - len(data)))
        if not part:
            raise ConnectionResetError
        data += part
    return bytes(data)


def _peer(connection: socket.socket) -> int:
    """Return the user on the other end, as the kernel knows it."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[1])


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give an address for a socket, short enough however deep its folder lies."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def read_pin(folder: Path) -> str:
    """Return the token's PIN from SIGNER_PIN_FILE (systemd's credentials) or the folder's file."""
    given = os.environ.get("SIGNER_PIN_FILE")
    path = Path(given) if given else folder / "pin"
    try:
        return path.read_text().strip()
    except OSError:
        raise TokenError("the token's PIN is not there: set SIGNER_PIN_FILE", code="pin") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _end_with_input() -> None:
    """End with whoever holds the other end of our input, even where it was killed."""
    while os.read(sys.stdin.fileno(), 1024):  # Unbuffered: no lock is held when we exit.
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m app.pki.signer", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the standard input does"
    )
    arguments = parser.parse_args()
    if arguments.with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        serve(arguments.folder)
    except (PkiError, OSError, ValueError, KeyError) as error:
        sys.exit(f"the signing process cannot start: {error} ({type(error).__name__})")


if __name__ == "__main__":
    main()
