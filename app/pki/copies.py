"""Copies of the authority's folder: keeping one, and putting one in the folder's place."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from app.pki.errors import PkiError, in_both
from app.pki.journal import NAME as JOURNAL
from app.pki.signer import REFUSED, sole_owner
from app.pki.tokens import write_private

PASSING = {"socket", "lock", "softhsm2.conf", REFUSED}  # of the place, not of the authority
FRESH = ".establishing-"  # what a new authority is built in
REPLACED = "replaced-"


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
            told = in_both(f"{name} 是空的，未作副本", f"{name} is empty; nothing was kept")
            raise PkiError(told, code="empty")
        (copy / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(copy / name, content)
        if path.read_bytes() != content:
            told = in_both(f"{name} 其间有变化，请重做", f"{name} changed meanwhile; do it again")
            raise PkiError(told, code="changed")
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
            told = in_both(f"{name} 与副本制作时不符", f"{name} is not what was kept")
            raise PkiError(told, code="damaged")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_owner(folder):
        stays = _goes_on(folder, contents.get(JOURNAL, b""))
        aside = aside_of(folder)
        for path in _lasting(folder):
            if not (stays and path == folder / JOURNAL):
                place = aside / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.rename(place)
        for name, content in contents.items():
            if not (stays and name == JOURNAL):
                write_private(folder / name, content)


def aside_of(folder: Path) -> Path:
    """Return where to keep what is replaced in a folder; it is not made."""
    return folder / f"{REPLACED}{secrets.token_hex(4)}"


def _goes_on(folder: Path, journal: bytes) -> bool:
    """Tell whether the journal of a folder goes on where a copy's ends."""
    present = folder / JOURNAL
    return present.exists() and present.read_bytes().startswith(journal)


def _lasting(folder: Path) -> list[Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path
        for path in found
        if path.name not in PASSING
        and not path.relative_to(folder).parts[0].startswith((REPLACED, "offline", FRESH))
    ]
