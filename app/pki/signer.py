"""The one process that owns the registry's signing keys, and how the others ask it.

`python -m app.pki.signer FOLDER` logs in to the token once and serves a Unix socket: to its own user,
or to a group.  Web workers never open the token: several of them destroy it (docs/adr/0013).  It is
asked for acts, never for a signature over bytes (app/pki/acts.py, docs/adr/0057).
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import grp
import json
import logging
import os
import pwd
import secrets
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from app.pki.acts import Acts
from app.pki.authority import Authority, spki_in
from app.pki.canonical import canonical
from app.pki.errors import (
    PinIncorrect,
    PinKnownWrong,
    PinLocked,
    PkiError,
    SignerAbsent,
    SignerFailed,
    TokenError,
    in_both,
)
from app.pki.journal import Journal
from app.pki.remote_keys import remote_key
from app.pki.revocation import Revocation
from app.pki.tokens import (
    Pkcs11Token,
    RefusedPins,
    TryCounter,
    load_key,
    sign_with,
    spki_of,
    write_private,
)

logger = logging.getLogger("app.pki.signer")

ISSUING = "issuing"  # certificates, CRLs, OCSP answers
SEAL = "seal"  # the log's daily head, attestations
BOOTSTRAP = "bootstrap"
LARGEST_FRAME = 48 * 1024 * 1024  # A CRL of 300 000 lines, asked for and answered.
PATIENCE = 10  # seconds
PATIENCE_FOR_LISTS = 300
LONGEST_ADDRESS = 100  # A Unix socket's address has room for 107 bytes.
TRIES, REFUSED = "tries", "pin-refused"  # files in the folder: how many wrong PINs, and which
STAYS_STOPPED = 77  # Exit status after a refused PIN: deploy/systemd/registry-signer.service.


# Asking


@dataclass(frozen=True, slots=True)
class Signer:
    """The way to the signing process of a folder."""

    folder: Path

    def open(self, enrolment: Mapping[str, str], code: str, evidence: Mapping[str, Any]) -> None:
        """Let a 参考号 with its 授权码 lead to a certificate, by what others have signed."""
        self._ask("open", enrolment=dict(enrolment), code=code, evidence=dict(evidence))

    def issue(self, reference: str, code: str, csr: bytes) -> bytes:
        """Return the certificate (DER) that two codes lead to, for the key of a request."""
        return self._made("issue", reference=reference, code=code, csr=csr)

    def renew(self, certificate: bytes, csr: bytes, content: bytes, cms: bytes) -> bytes:
        """Return the successor (DER) of a certificate, which has signed the content."""
        return self._made("renew", certificate=certificate, csr=csr, content=content, cms=cms)

    def list_revoked(self, number: int, revoked: Iterable[Revocation]) -> bytes:
        """Return the list (DER) of revoked and suspended certificates, good for 24 hours."""
        return self._made("crl", number=number, lines=[_told(line) for line in revoked])

    def revoked(self) -> dict[str, datetime]:
        """Return the serials of what it knows as revoked for good, each with the time."""
        told = self._ask("revoked")["revoked"]
        return {serial: datetime.fromisoformat(at) for serial, at in told.items()}

    def answer_ocsp(self, question: bytes, found: Revocation | bool) -> bytes:
        """Return the answer to an OCSP request about a certificate, given what the table has."""
        told = found if isinstance(found, bool) else _told(found)[1:]
        return self._made("ocsp", question=question, found=told)

    def seal(self, contents: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Return the seal's signature over each content, whose schema it knows."""
        data = [canonical(dict(content)) for content in contents]
        return [base64.b64decode(each) for each in self._ask("seal", contents=data)["made"]]

    def keys(self) -> dict[str, bytes]:
        """Return the public keys it signs with, by name."""
        return {name: base64.b64decode(spki) for name, spki in self._ask("keys")["keys"].items()}

    def journal(self) -> dict[str, Any]:
        """Return how far its journal has come: entries, root, and the number of the last list."""
        return dict(self._ask("keys")["journal"])

    def assurance(self) -> str:
        """Return hard where its keys are in a token, soft where they are in files."""
        return str(self._ask("keys")["assurance"])

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            self._ask("keys")
        except PkiError:
            return False
        return True

    def _made(self, act: str, **parts: Any) -> bytes:
        return base64.b64decode(self._ask(act, **parts)["made"])

    def _ask(self, act: str, **parts: Any) -> Any:
        """Raises SignerAbsent where nobody answers, SignerFailed where it refused or could not."""
        answer = self._exchange(
            {"type": act, **{name: _coded(part) for name, part in parts.items()}}
        )
        if "error" in answer:
            raise SignerFailed(str(answer["error"]))
        return answer

    def _exchange(self, question: dict[str, Any]) -> Any:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(
                    PATIENCE_FOR_LISTS if question.get("type") == "crl" else PATIENCE
                )
                with _address(self.folder / "socket") as address:
                    connection.connect(address)
                _send(connection, question)
                return _receive(connection)
        except (OSError, ValueError):
            raise SignerAbsent from None


def _coded(part: Any) -> Any:
    if isinstance(part, bytes):
        return base64.b64encode(part).decode()
    if isinstance(part, Mapping):
        return {name: _coded(each) for name, each in part.items()}
    return [_coded(each) for each in part] if isinstance(part, list) else part


def _told(line: Revocation) -> list[Any]:
    return [f"{line.serial:x}", int(line.at.timestamp()), line.reason]


def authority_of(folder: Path, url: str = "") -> Authority:
    """Return the authority of a folder without its key, which is the signing process's.

    Raises SignerAbsent where no authority was set up there, PkiError for a damaged certificate.
    """
    try:
        root, issuing = (
            x509.load_pem_x509_certificate((folder / name).read_bytes())
            for name in ("root.pem", "issuing.pem")
        )
    except OSError:
        raise SignerAbsent from None
    except ValueError:
        told = in_both(
            f"{folder} 中的 root.pem 或 issuing.pem 已损坏：请从副本恢复",
            f"root.pem or issuing.pem in {folder} is damaged: restore a copy",
        )
        raise PkiError(told, code="damaged") from None
    return Authority(root, issuing, None, url)


def wait_until_ready(
    folder: Path, seconds: float = 20, *, may_come: Callable[[], bool] = lambda: True
) -> None:
    """Wait until the signing process of a folder answers, as long as it may still come.

    Raises SignerAbsent.
    """
    end = time.monotonic() + seconds
    while not Signer(folder).is_ready():
        if time.monotonic() > end or not may_come():
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
                told = in_both(
                    f"其他用户可以读取 {path}，请设为 0600", f"{path} can be read by others"
                )
                raise TokenError(told, code="exposed")
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
        counter = TryCounter(folder / TRIES)
        # Authorities of before have no serial in their settings.
        serial = settings.get("serial", "")
        self._token = Pkcs11Token(settings["module"], settings["token"], counter, serial)
        self._refused = RefusedPins(folder / REFUSED)
        self._ids = {name: bytes.fromhex(key_id) for name, key_id in settings["keys"].items()}
        self._pin = read_pin(folder)
        self._lock = threading.Lock()
        self._refused.open(self._token, self._pin)
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
                self._refused.open(self._token, self._pin)
                return self._token.sign(self._ids[name], data)


def open_keys(folder: Path) -> Keys:
    """Open the keys that a folder's signer.json names.  Raises PkiError where there is no authority."""
    if not is_established(folder):
        told = in_both(f"{folder} 中没有签发机构", f"there is no authority in {folder}")
        raise PkiError(told, code="not_established")
    settings = json.loads((folder / "signer.json").read_text())
    return TokenKeys(folder, settings) if settings["backend"] == "pkcs11" else FileKeys(folder)


def is_established(folder: Path) -> bool:
    """Tell whether there is a whole authority in a folder: its issuing certificate comes last."""
    return (folder / f"{ISSUING}.pem").exists()


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
            told = in_both(
                f"另一个进程正在使用 {folder} 中的密钥", "another process owns the signing keys"
            )
            raise TokenError(told, code="owned") from None
        yield


def acts_of(folder: Path, keys: Keys, url: str = "") -> Acts:
    """Return what is done with the keys of a folder.  Raises PkiError for a broken journal."""
    ours = authority_of(folder, url)
    key = remote_key(spki_in(ours.certificate), lambda data: keys.sign(ISSUING, data))
    return Acts(
        replace(ours, key=key),
        lambda data: keys.sign(SEAL, data),
        Journal(folder),
        secret=secret_of(folder),
        bootstrap=lambda: bootstrap_of(folder),
        clock=lambda: now(),
    )


def secret_of(folder: Path) -> bytes:
    """Return what the codes are kept under, made once."""
    path = folder / "codes.key"
    if not path.exists():
        write_private(path, secrets.token_bytes(32))
    return path.read_bytes()


def bootstrap_of(folder: Path) -> str:
    """Return the word that vouches for the first administrators; "" where none was made."""
    path = folder / BOOTSTRAP
    return path.read_text().strip() if path.exists() else ""


def now() -> datetime:
    """Return the time by which certificates and lists are made: nobody else's word counts."""
    return datetime.now(UTC)


def serve(folder: Path, url: str = "", group: str = "") -> None:
    """Own the keys of a folder and do what is asked at its socket, until SIGTERM.

    A group's users may ask, too, and read the certificates; nobody but us writes in the folder.
    """
    gid = grp.getgrnam(group).gr_gid if group else None
    with sole_owner(folder):
        keys = open_keys(folder)
        acts = acts_of(folder, keys, url)
        path = folder / "socket"
        path.unlink(missing_ok=True)  # left by one that was killed
        before = os.umask(0o177)
        try:
            with _address(path) as address:
                server = _Server(address, _Conversation)
        finally:
            os.umask(before)
        if gid is not None:
            _open_to(gid, folder)
        server.keys, server.acts, server.gid = keys, acts, gid
        acts.begin()
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
    acts: Acts
    gid: int | None

    def lets(self, uid: int) -> bool:
        """Tell whether a user may ask: ourselves, and whoever is in the group."""
        if uid == os.getuid() or self.gid is None:
            return uid == os.getuid()
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            return False
        return self.gid in os.getgrouplist(user.pw_name, user.pw_gid)


class _Conversation(socketserver.BaseRequestHandler):
    """One question, one answer; whatever comes in, the process goes on."""

    server: _Server

    def handle(self) -> None:
        self.request.settimeout(PATIENCE)
        if not self.server.lets(_peer(self.request)):
            return
        with contextlib.suppress(OSError):
            try:
                question = _receive(self.request)
            except ValueError:
                question = {}
            _send(self.request, answer(self.server.acts, self.server.keys, question))


def answer(acts: Acts, keys: Keys, question: Mapping[str, Any]) -> dict[str, Any]:
    """Do what is asked, or say in one word why not."""
    try:
        act, told = question["type"], dict(question)
        made = _ACTS[told.pop("type")](acts, keys, **told)
    except PkiError as error:
        logger.error("did not do it: %s", error.code)
        return {"error": error.code}
    # Whatever is wrong with the form of a question; nothing was done then.
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {"error": "question"}
    if act not in ("keys", "ocsp", "revoked"):
        logger.info("did %s", act)
    return made if isinstance(made, dict) else {"made": _coded(made)}


def _keys(acts: Acts, keys: Keys) -> dict[str, Any]:
    public = {name: _coded(spki) for name, spki in keys.public().items()}
    return {"keys": public, "assurance": keys.assurance, "journal": acts.head()}


_ACTS: dict[str, Callable[..., Any]] = {
    "keys": _keys,
    "open": lambda acts, _keys, enrolment, code, evidence: acts.open(enrolment, code, evidence),
    "issue": lambda acts, _keys, reference, code, csr: acts.issue(reference, code, _bytes(csr)),
    "renew": lambda acts, _keys, certificate, csr, content, cms: acts.renew(
        _bytes(certificate), _bytes(csr), _bytes(content), _bytes(cms)
    ),
    "crl": lambda acts, _keys, number, lines: acts.list_revoked(number, lines),
    "revoked": lambda acts, _keys: {"revoked": acts.revoked()},
    "ocsp": lambda acts, _keys, question, found: acts.answer_ocsp(_bytes(question), found),
    "seal": lambda acts, _keys, contents: acts.seal([_bytes(each) for each in contents]),
}


def _bytes(coded: str) -> bytes:
    return base64.b64decode(coded, validate=True)


def _open_to(gid: int, folder: Path) -> None:
    """Let a group reach the socket and read the certificates and where the keys are, nothing else."""
    certificates = [*folder.glob("*.pem"), *folder.glob("former/*.pem")]
    for path, mode in (
        (folder, 0o750),
        (folder / "former", 0o750),
        (folder / "socket", 0o660),
        (folder / "signer.json", 0o640),
        *((each, 0o640) for each in certificates),
    ):
        if path.exists():
            os.chown(path, -1, gid)
            path.chmod(mode)


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
    return read_secret("SIGNER_PIN_FILE", folder / "pin")


def read_secret(variable: str, usual: Path | None = None) -> str:
    """Return the line in the file that a variable names.  Raises PkiError where there is none."""
    given = os.environ.get(variable)
    path = Path(given) if given else usual
    if path is None:
        told = in_both(f"请在 {variable} 中写明文件", f"let {variable} name the file")
        raise PkiError(told, code="unreadable")
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        told = in_both(
            f"读不到 {path}：请在 {variable} 中写明文件",
            f"{path} cannot be read: let {variable} name the file",
        )
        raise PkiError(told, code="unreadable") from None
    if not found or not found.isprintable():
        told = in_both(f"{path} 应为一行文字", f"{path} holds no line of text")
        raise PkiError(told, code="unreadable")
    return found


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
    parser.add_argument("--group", default="", help="whose users may ask, besides its own user")
    parser.add_argument("--url", default="", help="under which the public reaches lists and OCSP")
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the standard input does"
    )
    arguments = parser.parse_args()
    if arguments.with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        serve(arguments.folder, arguments.url, arguments.group)
    except (PinIncorrect, PinLocked, PinKnownWrong) as error:
        logger.error("%s (%s)", said_of_pin(arguments.folder, error), type(error).__name__)
        sys.exit(STAYS_STOPPED)
    except (PkiError, OSError, ValueError, KeyError) as error:
        why = f"{error} ({type(error).__name__})"
        sys.exit(f"签名进程无法启动。The signing process cannot start: {why}")


def said_of_pin(folder: Path, error: PkiError) -> str:
    """Return what to do about a PIN with which the token was not opened."""
    if isinstance(error, PinLocked):
        return in_both(
            f"设备已因多次输错 PIN 而锁定：请按厂商的办法解锁，改正 PIN，再删去 {folder / TRIES}",
            f"the token is locked after wrong PINs: unlock it, correct the PIN, delete {folder / TRIES}",
        )
    left = f"（还可试 {error.tries_left} 次）" if isinstance(error, PinIncorrect) else ""
    return in_both(
        f"设备拒绝了这个 PIN{left}，以后不再用它去试：请改正 SIGNER_PIN_FILE 所指的 PIN；"
        f"PIN 无误而设备已另行改好的，删去 {folder / REFUSED}",
        "the token refused this PIN, which is not tried again: correct what SIGNER_PIN_FILE names,"
        f" or delete {folder / REFUSED} where the token was set right",
    )


if __name__ == "__main__":
    main()
