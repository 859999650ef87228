"""Setting up the authority, and keeping copies of it: what is done once, by people, at a table.

    python -m app.pki.ceremony establish FOLDER --module /usr/lib/.../driver.so --token REGISTRY-CA
    python -m app.pki.ceremony establish FOLDER --softhsm | --files [--kind sm2]
    python -m app.pki.ceremony demo FOLDER [--suite gm]
    python -m app.pki.ceremony bootstrap FOLDER
    python -m app.pki.ceremony backup FOLDER TARGET
    python -m app.pki.ceremony restore BACKUP FOLDER

The root's passphrase is read from ROOT_PASSPHRASE_FILE, the token's PIN from SIGNER_PIN_FILE.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from app.pki import authority
from app.pki.authority import Authority, remote_key, spki_in
from app.pki.errors import PkiError, TokenError
from app.pki.journal import NAME as JOURNAL
from app.pki.signer import (
    BOOTSTRAP,
    ISSUING,
    SEAL,
    open_keys,
    read_pin,
    sole_owner,
    write_softhsm_configuration,
)
from app.pki.suites import INTL, SUITES, CryptoSuite, public_key, suite_of
from app.pki.tokens import (
    KEY_KINDS,
    Pkcs11Token,
    TryCounter,
    kept,
    new_key,
    unlocked,
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
PASSING = {"socket", "lock", "softhsm2.conf"}  # made at each start


def softhsm_module() -> str:
    """Return where SoftHSM's driver is on this machine, or ""."""
    if not shutil.which("softhsm2-util"):
        return ""
    return next((path for path in SOFTHSM if Path(path).exists()), "")


def establish_demo(
    folder: Path, *, now: datetime, prefix: str = "", suite: CryptoSuite = INTL
) -> None:
    """Set up an authority without questions: in SoftHSM where there is one, else in files.

    SoftHSM has no SM2 signature: in the suite `gm` the keys are files.
    Its passphrase and PIN lie beside it, which is right for a demonstration alone.  A folder that
    has an authority already is left alone.
    """
    if (folder / "issuing.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = secrets.token_urlsafe(18)
    write_private(folder / "offline" / "passphrase", passphrase.encode())
    module = softhsm_module() if suite is INTL else ""
    if module:
        make_softhsm_token(folder)
    establish(
        folder, passphrase, now=now, module=module, softhsm=bool(module), kind=suite.key_kind,
        prefix=prefix,
    )  # fmt: skip
    make_bootstrap(folder)


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
) -> None:
    """Make root, issuing key and seal key; the root's key goes to FOLDER/offline, to be taken away.

    Without a module the keys are files, of assurance soft.  Raises PkiError where an authority is
    there already: certificates that exist must not become worthless.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_owner(folder):
        if (folder / "issuing.pem").exists():
            raise PkiError("there is an authority in this folder already", code="established")
        if module:
            settings = _keys_in_token(folder, module, token, softhsm=softhsm, kind=kind)
        else:
            settings = _keys_in_files(folder, kind)
        write_private(folder / "signer.json", json.dumps(settings, indent=1).encode())
        _certify(folder, passphrase, prefix, now)


def make_bootstrap(folder: Path) -> str:
    """Make the word that vouches for the first 系统管理员 and the first 安全管理员, and return it.

    The signing process takes it until both have a certificate.  Raises PkiError afterwards.
    """
    journal = folder / JOURNAL
    if journal.exists() and b'"act":"bootstrap_closed"' in journal.read_bytes():
        raise PkiError("the first administrators have their certificates", code="closed")
    word = secrets.token_urlsafe(24)
    write_private(folder / BOOTSTRAP, word.encode())
    return word


def make_softhsm_token(folder: Path, label: str = TOKEN) -> None:
    """Make a SoftHSM token in a folder, with a PIN of its own in FOLDER/pin."""
    configuration = write_softhsm_configuration(folder)
    pin, so_pin = secrets.token_hex(8), secrets.token_hex(8)
    write_private(folder / "pin", pin.encode())
    write_private(folder / "offline" / "so-pin", so_pin.encode())
    # The tool takes a PIN from its arguments alone; the demonstration's is of one machine and folder.
    made = subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin,
         "--so-pin", so_pin],
        env={**os.environ, "SOFTHSM2_CONF": str(configuration)}, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise TokenError("SoftHSM could not make a token", code="softhsm")


def _keys_in_token(
    folder: Path, module: str, label: str, *, softhsm: bool, kind: str
) -> dict[str, Any]:
    if softhsm:
        os.environ["SOFTHSM2_CONF"] = str(write_softhsm_configuration(folder))
    token = Pkcs11Token(module, label, TryCounter(folder / "tries"))
    with unlocked(token, read_pin(folder)):
        made = {name: token.generate_key(kind, label=name) for name in (ISSUING, SEAL)}
    return {
        "backend": "pkcs11",
        "module": module,
        "token": label,
        "softhsm": softhsm,
        "keys": {name: key.key_id.hex() for name, key in made.items()},
    }


def _keys_in_files(folder: Path, kind: str) -> dict[str, Any]:
    for name in (ISSUING, SEAL):
        write_private(folder / f"{name}.key", kept(new_key(kind)))
    return {"backend": "file"}


def _certify(folder: Path, passphrase: str, prefix: str, now: datetime) -> None:
    keys = open_keys(folder)
    public = keys.public()
    suite = suite_of(public[ISSUING])
    root_key, root = authority.make_root(prefix + ROOT_NAME, now=now, suite=suite)
    write_private(folder / "offline" / "root.key", authority.locked(root_key, passphrase))
    issuing = authority.make_issuing(
        prefix + ISSUING_NAME, public_key(public[ISSUING]), root, root_key, now=now
    )
    above = Authority(
        root, issuing, remote_key(public[ISSUING], lambda data: keys.sign(ISSUING, data))
    )
    seal = authority.issue_seal(above, public_key(public[SEAL]), name=prefix + SEAL_NAME, now=now)
    # The issuing certificate comes last: its presence says that everything else is there.
    for name, certificate in (("root", root), ("seal", seal), ("issuing", issuing)):
        write_private(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM))


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
            raise PkiError("the keys are not those of the certificates", code="other_keys")
        opened = authority.opened(root_key, passphrase)
        issuing = authority.renew_issuing(old[ISSUING], old["root"], opened, now=now)
        above = Authority(
            old["root"],
            issuing,
            remote_key(public[ISSUING], lambda data: keys.sign(ISSUING, data)),
        )
        name = old[SEAL].subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        seal = authority.issue_seal(above, public_key(public[SEAL]), name=str(name), now=now)
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


# Copies


def backup(folder: Path, target: Path, *, now: datetime) -> Path:
    """Copy everything that the signing process needs to a new folder beneath the target.

    It may run meanwhile: a token is written at the login alone.  Each file is read twice and its
    digest kept.  Raises PkiError where a file is empty, which a destroyed token's is.
    """
    copy = target / f"authority-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    copy.mkdir(parents=True, mode=0o700)
    digests = {}
    for path in _lasting(folder):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if not content and not name.endswith(".lock"):
            raise PkiError(f"{name} is empty; nothing was kept", code="empty")
        (copy / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(copy / name, content)
        if path.read_bytes() != content:
            raise PkiError(f"{name} changed meanwhile; do it again", code="changed")
        digests[name] = hashlib.sha256(content).hexdigest()
    write_private(copy / "backup.json", json.dumps(digests, indent=1, sort_keys=True).encode())
    return copy


def restore(copy: Path, folder: Path) -> None:
    """Put a copy in the place of a folder; what was there is kept aside.

    A journal that goes on where the copy's ends stays: what was issued since is not forgotten.
    Raises TokenError while the signing process runs, PkiError where the copy is not whole.
    """
    digests = json.loads((copy / "backup.json").read_text())
    contents = {name: (copy / name).read_bytes() for name in digests}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise PkiError(f"{name} is not what was kept", code="damaged")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_owner(folder):
        if (folder / JOURNAL).exists():
            present = (folder / JOURNAL).read_bytes()
            if present.startswith(contents.get(JOURNAL, b"")):
                contents[JOURNAL] = present
        aside = folder / f"replaced-{secrets.token_hex(4)}"
        for path in _lasting(folder):
            kept = aside / path.relative_to(folder)
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.rename(kept)
        for name, content in contents.items():
            write_private(folder / name, content)


def _lasting(folder: Path) -> list[Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path
        for path in found
        if path.name not in PASSING
        and not path.relative_to(folder).parts[0].startswith(("replaced-", "offline"))
    ]


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
    except (PkiError, OSError, ValueError) as error:
        sys.exit(str(error))


def _run(arguments: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    if arguments.command == "backup":
        backup(arguments.folder, arguments.target, now=now)
    elif arguments.command == "bootstrap":
        sys.stdout.write(f"{make_bootstrap(arguments.folder)}\n")
    elif arguments.command == "restore":
        restore(arguments.copy, arguments.folder)
    elif arguments.command == "renew":
        renew(arguments.folder, arguments.root_key.read_bytes(), _passphrase(), now=now)
    elif arguments.command == "demo":
        suite = SUITES[arguments.suite]
        establish_demo(arguments.folder, now=now, prefix=DEMO_PREFIX, suite=suite)
    else:
        module = arguments.module or (softhsm_module() if arguments.softhsm else "")
        if not module and not arguments.files:
            raise PkiError("name a driver (--module), --softhsm or --files", code="no_module")
        if arguments.softhsm:
            arguments.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_softhsm_token(arguments.folder, arguments.token)
        establish(
            arguments.folder, _passphrase(), now=now, module=module, token=arguments.token,
            softhsm=arguments.softhsm, kind=arguments.kind,
        )  # fmt: skip


def _passphrase() -> str:
    return Path(os.environ.get("ROOT_PASSPHRASE_FILE", "")).read_text().strip()


if __name__ == "__main__":
    main()
