"""Setting up the authority: what is done once, by people, at a table.

    python -m app.pki.ceremony establish FOLDER --module /usr/lib/.../driver.so --token REGISTRY-CA
    python -m app.pki.ceremony establish FOLDER --softhsm | --files [--kind sm2]
    python -m app.pki.ceremony demo FOLDER [--suite gm]
    python -m app.pki.ceremony renew FOLDER --root-key FILE
    python -m app.pki.ceremony bootstrap FOLDER
    python -m app.pki.ceremony backup FOLDER TARGET
    python -m app.pki.ceremony restore BACKUP FOLDER

The root's passphrase is read from ROOT_PASSPHRASE_FILE, the token's PIN from SIGNER_PIN_FILE.  An
authority is built in a folder of its own and put in its place at the end (docs/adr/0086).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from app.pki import authority, copies
from app.pki.authority import Authority, common_name, spki_in
from app.pki.copies import FRESH
from app.pki.errors import PinIncorrect, PinKnownWrong, PinLocked, PkiError, TokenError, in_both
from app.pki.journal import NAME as JOURNAL
from app.pki.remote_keys import remote_key
from app.pki.signer import (
    BOOTSTRAP,
    ISSUING,
    REFUSED,
    SEAL,
    TRIES,
    is_established,
    open_keys,
    read_pin,
    read_secret,
    said_of_pin,
    sole_owner,
    write_softhsm_configuration,
)
from app.pki.suites import INTL, SUITES, CryptoSuite, public_key, suite_of
from app.pki.tokens import (
    KEY_KINDS,
    RefusedPins,
    TryCounter,
    find_token,
    kept,
    new_key,
    sign_with,
    spki_of,
    write_private,
)

SOFTHSM = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
TOKEN = "REGISTRY-CA"  # noqa: S105 - a label
ROOT_NAME = "全国碳排放权注册登记系统根证书"
ISSUING_NAME = "注册登记系统签发机构"
SEAL_NAME = "注册登记系统印章"
DEMO_PREFIX = "演示"  # of an authority that nobody is to trust
DEMO_WAITS = 60  # seconds, for another first start


def softhsm_module() -> str:
    """Return where SoftHSM's driver is on this machine, or ""."""
    if not shutil.which("softhsm2-util"):
        return ""
    return next((path for path in SOFTHSM if Path(path).exists()), "")


# Establishing


@dataclass(frozen=True, slots=True)
class _Made:
    """The two keys, wherever they are, and what signer.json says of their place."""

    settings: dict[str, Any]
    public: dict[str, bytes]
    sign: Callable[[str, bytes], bytes]


def establish_demo(
    folder: Path, *, now: datetime, prefix: str = "", suite: CryptoSuite = INTL
) -> None:
    """Set up an authority without questions: in SoftHSM where there is one, else in files.

    SoftHSM has no SM2 signature: in the suite `gm` the keys are files.
    Its passphrase and PIN lie beside it, which is right for a demonstration alone.  A folder that
    has an authority already is left alone; another first start is waited for.
    """
    module = softhsm_module() if suite is INTL else ""
    passphrase = secrets.token_urlsafe(18)
    beside = {"offline/passphrase": passphrase, BOOTSTRAP: secrets.token_urlsafe(24)}
    end = time.monotonic() + DEMO_WAITS
    while not is_established(folder):
        try:
            establish(
                folder, passphrase, now=now, module=module, softhsm=bool(module),
                kind=suite.key_kind, prefix=prefix, beside=beside,
            )  # fmt: skip
        except PkiError as error:
            if error.code not in ("owned", "established") or time.monotonic() > end:
                raise
            time.sleep(0.1)


def establish(
    folder: Path,
    passphrase: str,
    *,
    now: datetime,
    module: str = "",
    token: str = TOKEN,
    softhsm: bool = False,
    kind: str = "p256",
    prefix: str = "",
    beside: Mapping[str, str] | None = None,
) -> None:
    """Make root, issuing key and seal key; the root's key goes to FOLDER/offline, to be taken away.

    Without a module the keys are files, of assurance soft.  `token` is a label or a serial; with
    `softhsm` it is made.  `beside` are files that are there from the beginning.  Killed at any step it
    leaves no authority or a whole one.  Raises PkiError, and changes nothing, where an authority is
    there already or what is needed is missing.
    """
    authority.require_passphrase(passphrase)
    if module and kind == "sm2":
        told = in_both("设备不支持 SM2 密钥，请用 --files", "tokens make no SM2 keys: use --files")
        raise PkiError(told, code="no_sm2")
    _require_none(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_owner(folder):
        _require_none(folder)  # Another ceremony may have ended meanwhile.
        with (
            _fresh_folder(folder) as fresh,
            _keys(folder, fresh, module, token, softhsm, kind) as made,
        ):
            for name, content in (beside or {}).items():
                write_private(fresh / name, content.encode())
            write_private(fresh / "signer.json", json.dumps(made.settings, indent=1).encode())
            _certify(fresh, made, passphrase, prefix, now)
            _put_in_place(fresh, folder)


def _require_none(folder: Path) -> None:
    """Raise PkiError where an authority is: certificates that exist must not become worthless."""
    if is_established(folder):
        told = in_both(
            f"{folder} 中已有签发机构，未作任何改变",
            "there is an authority in this folder already; nothing was changed",
        )
        raise PkiError(told, code="established")
    if (folder / JOURNAL).exists():
        told = in_both(
            f"{folder} 中有签发记录而无签发证书：请从副本恢复（restore），未作任何改变",
            f"{folder} has a journal, but no certificate: restore a copy; nothing was changed",
        )
        raise PkiError(told, code="incomplete")


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to build in, beside what is there; what was killed has left others."""
    for left in folder.glob(f"{FRESH}*"):
        shutil.rmtree(left)
    fresh = Path(tempfile.mkdtemp(prefix=FRESH, dir=folder))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _keys(
    folder: Path, fresh: Path, module: str, name: str, softhsm: bool, kind: str
) -> Iterator[_Made]:
    """Make both keys: in a token, with SoftHSM a new one, or in files."""
    if not module:
        yield _keys_in_files(fresh, kind)
        return
    counts, pin = folder, ""
    if softhsm:
        counts, pin = fresh, _make_softhsm_token(fresh, name)
    token = find_token(module, name, TryCounter(counts / TRIES))
    RefusedPins(counts / REFUSED).open(token, pin or read_pin(folder))
    try:
        made = {role: token.generate_key(kind, label=role) for role in (ISSUING, SEAL)}
        settings = {
            "backend": "pkcs11",
            "module": module,
            "token": token.label,
            "serial": token.serial,
            "softhsm": softhsm,
            "keys": {role: key.key_id.hex() for role, key in made.items()},
        }
        public = {role: key.spki for role, key in made.items()}
        yield _Made(settings, public, lambda role, data: token.sign(made[role].key_id, data))
    finally:
        token.close()


def _keys_in_files(fresh: Path, kind: str) -> _Made:
    keys = {role: new_key(kind) for role in (ISSUING, SEAL)}
    for role, key in keys.items():
        write_private(fresh / f"{role}.key", kept(key))
    public = {role: spki_of(key) for role, key in keys.items()}
    return _Made({"backend": "file"}, public, lambda role, data: sign_with(keys[role], data))


def _make_softhsm_token(fresh: Path, label: str) -> str:
    """Make a SoftHSM token, with a PIN of its own in the file `pin`, and return the PIN."""
    configuration = write_softhsm_configuration(fresh)
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pin, so_pin = secrets.token_hex(8), secrets.token_hex(8)
    write_private(fresh / "pin", pin.encode())
    write_private(fresh / "offline" / "so-pin", so_pin.encode())
    # The tool takes a PIN from its arguments alone; the demonstration's is of one machine and folder.
    made = subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin,
         "--so-pin", so_pin],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        told = in_both("SoftHSM 未能建立密钥容器", "SoftHSM could not make a token")
        raise TokenError(told, code="softhsm")
    return pin


def _certify(fresh: Path, made: _Made, passphrase: str, prefix: str, now: datetime) -> None:
    public = made.public
    suite = suite_of(public[ISSUING])
    root_key, root = authority.make_root(prefix + ROOT_NAME, now=now, suite=suite)
    write_private(fresh / "offline" / "root.key", authority.locked(root_key, passphrase))
    issuing = authority.make_issuing(
        prefix + ISSUING_NAME, public_key(public[ISSUING]), root, root_key, now=now
    )
    key = remote_key(public[ISSUING], lambda data: made.sign(ISSUING, data))
    above = Authority(root, issuing, key)
    seal = authority.issue_seal(above, public_key(public[SEAL]), name=prefix + SEAL_NAME, now=now)
    for name, certificate in (("root", root), (SEAL, seal), (ISSUING, issuing)):
        write_private(fresh / f"{name}.pem", certificate.public_bytes(Encoding.PEM))


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Move what was built to where it belongs; what is in its way is kept aside.

    The issuing certificate comes last: its presence says that everything else is there.
    """
    for path in (*fresh.rglob("*"), fresh):
        _sync(path)
    last = f"{ISSUING}.pem"
    built = [path for path in sorted(fresh.iterdir()) if path.name not in copies.PASSING | {TRIES}]
    aside = copies.aside_of(folder)
    for path in sorted(built, key=lambda path: path.name == last):
        place = folder / path.name
        if path.name == last:
            _sync(folder)
        if place.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            place.rename(aside / path.name)
        path.rename(place)
    _sync(folder)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_bootstrap(folder: Path) -> str:
    """Make the word that vouches for the first 系统管理员 and the first 安全管理员, and return it.

    The signing process takes it until both have a certificate.  Raises PkiError afterwards.
    """
    journal = folder / JOURNAL
    if journal.exists() and b'"act":"bootstrap_closed"' in journal.read_bytes():
        told = in_both(
            "首位系统管理员和首位安全管理员都已领到证书，不再需要口令",
            "the first administrators have their certificates",
        )
        raise PkiError(told, code="closed")
    word = secrets.token_urlsafe(24)
    write_private(folder / BOOTSTRAP, word.encode())
    return word


# Renewing


def renew(folder: Path, root_key: bytes, passphrase: str, *, now: datetime) -> None:
    """Renew the certificates of the issuing key and the seal; both keys stay where they are.

    What was issued before stays good, and the lists and answers about it go on: name and key are the
    same.  The certificates of before are kept in FOLDER/former.  Raises TokenError while the signing
    process runs, PkiError where the keys are others than those certified.
    """
    with sole_owner(folder):
        keys, old = open_keys(folder), _certificates(folder)
        public = keys.public()
        if any(spki_in(old[name]) != public[name] for name in (ISSUING, SEAL)):
            told = in_both("密钥不是证书中的密钥", "the keys are not those of the certificates")
            raise PkiError(told, code="other_keys")
        opened = authority.opened(root_key, passphrase)
        issuing = authority.renew_issuing(old[ISSUING], old["root"], opened, now=now)
        above = Authority(
            old["root"],
            issuing,
            remote_key(public[ISSUING], lambda data: keys.sign(ISSUING, data)),
        )
        name = common_name(old[SEAL])
        seal = authority.issue_seal(above, public_key(public[SEAL]), name=name, now=now)
        (folder / "former").mkdir(mode=0o700, exist_ok=True)
        for role, made in ((SEAL, seal), (ISSUING, issuing)):
            kept_as = f"{role}-{old[role].serial_number:x}.pem"
            write_private(folder / "former" / kept_as, old[role].public_bytes(Encoding.PEM))
            write_private(folder / f"{role}.pem", made.public_bytes(Encoding.PEM))


def _certificates(folder: Path) -> dict[str, x509.Certificate]:
    return {
        name: x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        for name in ("root", ISSUING, SEAL)
    }


def main() -> None:
    """Carry out one of the commands above."""
    parser = argparse.ArgumentParser(prog="python -m app.pki.ceremony")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("establish")
    make.add_argument("folder", type=Path)
    make.add_argument("--module", default="")
    make.add_argument("--token", default=TOKEN)
    make.add_argument("--kind", default="p256", choices=KEY_KINDS)
    place = make.add_mutually_exclusive_group()
    place.add_argument("--softhsm", action="store_true")
    place.add_argument("--files", action="store_true")
    prolong = commands.add_parser("renew")
    prolong.add_argument("folder", type=Path)
    prolong.add_argument("--root-key", type=Path, required=True)
    show = commands.add_parser("demo")
    show.add_argument("folder", type=Path)
    show.add_argument("--suite", default=INTL.name, choices=SUITES)
    first = commands.add_parser("bootstrap")
    first.add_argument("folder", type=Path)
    keep = commands.add_parser("backup")
    keep.add_argument("folder", type=Path)
    keep.add_argument("target", type=Path)
    put_back = commands.add_parser("restore")
    put_back.add_argument("copy", type=Path)
    put_back.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        _run(arguments)
    except (PinIncorrect, PinLocked, PinKnownWrong) as error:
        sys.exit(said_of_pin(arguments.folder, error))
    except OSError as error:
        path, reason = error.filename or arguments.folder, error.strerror or error
        sys.exit(
            in_both(f"{path} 不能读写：{reason}", f"{path} cannot be read or written: {reason}")
        )
    except (PkiError, ValueError) as error:
        sys.exit(str(error))


def _run(arguments: argparse.Namespace) -> None:
    now, folder = datetime.now(UTC), arguments.folder
    if arguments.command == "backup":
        copies.backup(folder, arguments.target, now=now)
    elif arguments.command == "bootstrap":
        _print_bootstrap(folder)
    elif arguments.command == "restore":
        copies.restore(arguments.copy, folder)
    elif arguments.command == "renew":
        renew(folder, arguments.root_key.read_bytes(), _passphrase(), now=now)
    elif arguments.command == "demo":
        suite = SUITES[arguments.suite]
        establish_demo(folder, now=now, prefix=DEMO_PREFIX, suite=suite)
    else:
        module = arguments.module or (softhsm_module() if arguments.softhsm else "")
        if arguments.module and arguments.files:
            told = in_both(
                "--module 与 --files 不能同时写", "--module and --files exclude each other"
            )
            raise PkiError(told, code="no_module")
        if not module and not arguments.files:
            told = in_both(
                "请写明驱动（--module）、--softhsm（须已安装 softhsm2）或 --files",
                "name a driver (--module), --softhsm (softhsm2 is needed) or --files",
            )
            raise PkiError(told, code="no_module")
        establish(
            folder, _passphrase(), now=now, module=module, token=arguments.token,
            softhsm=arguments.softhsm, kind=arguments.kind,
        )  # fmt: skip


def _print_bootstrap(folder: Path) -> None:
    if not is_established(folder):
        told = in_both(f"{folder} 中没有签发机构", f"there is no authority in {folder}")
        raise PkiError(told, code="not_established")
    word = make_bootstrap(folder)
    sys.stderr.write(
        "首位系统管理员和首位安全管理员的一次性口令，用于 flask issue-codes 编号 --bootstrap -；"
        "此前的口令失效，两人都领到证书之后它也失效：\n"
    )
    sys.stdout.write(f"{word}\n")


def _passphrase() -> str:
    return read_secret("ROOT_PASSPHRASE_FILE")


if __name__ == "__main__":
    main()
