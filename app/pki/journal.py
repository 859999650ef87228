"""What the signing process has done, in a file of its own that only grows: one line an act.

Each line carries the digest of everything before it.  The file is the process's memory, too: which
certificates it issued, to whom, and who vouched for them.  `python -m app.pki.journal FOLDER` verifies
and prints it; `python -m app.pki.journal FOLDER HEADS` compares it with the log's daily heads as well.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.pki.canonical import canonical, parse
from app.pki.errors import PkiError

NAME = "journal"
BEGINNING = "0" * 64
MOST_RECENT = 1000  # ends of the journal that a head may name: others act while it is put together


class Journal:
    """The journal of a folder, read once and then added to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.entries, self.root = 0, BEGINNING
        self._recent: deque[tuple[int, str]] = deque(maxlen=MOST_RECENT)
        self._path.touch(mode=0o600)

    def read(self) -> Iterator[dict[str, Any]]:
        """Give every entry, oldest first.  Raises PkiError at the first that does not follow.

        A last line without its end was being written when the machine stopped: what it tells was
        answered to nobody, and it is cut off.
        """
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                entry = parse(line)
                holds = entry.pop("root") == _root(self.root, canonical(entry))
                follows = entry["number"] == self.entries + 1
            except (PkiError, KeyError, AttributeError, TypeError):
                holds = follows = False
            if not holds or not follows:
                raise PkiError(f"the journal is broken at line {self.entries + 1}", code="journal")
            self._reach(self.entries + 1, _root(self.root, canonical(entry)))
            yield entry
        if whole != content:
            os.truncate(self._path, len(whole))

    def add(self, act: str, at: str, **what: Any) -> None:
        """Write an entry, for good, before anybody is answered.  The caller lets in one at a time."""
        entry = {"number": self.entries + 1, "act": act, "at": at, **what}
        root = _root(self.root, canonical(entry))
        line = canonical({**entry, "root": root}) + b"\n"
        before = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.truncate(self._path, before)
            raise PkiError("the journal cannot be written", code="journal") from None
        self._reach(entry["number"], root)

    def was_at(self, entries: int, root: str) -> bool:
        """Tell whether the journal ended like this, now or not long ago."""
        return (entries, root) in self._recent

    def _reach(self, entries: int, root: str) -> None:
        self.entries, self.root = entries, root
        self._recent.append((entries, root))


@dataclass(slots=True)
class Issued:
    """What the journal tells of a certificate that it issued; ``kind`` as domain/roles.py has it."""

    serial: str
    member_no: str
    kind: str
    name: str
    fingerprint: str
    at: str
    ends: str
    revoked_at: str = ""


@dataclass
class Known:
    """What the journal tells, by what is asked."""

    issued: dict[str, Issued] = field(default_factory=dict)  # by serial
    of_member: dict[str, list[Issued]] = field(default_factory=lambda: defaultdict(list))
    keys: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    opened: dict[str, dict[str, Any]] = field(default_factory=dict)  # by reference
    last_opened: dict[str, str] = field(default_factory=dict)  # reference, by member
    accepted: dict[str, str] = field(default_factory=dict)  # whom a signed content vouched for
    spent: set[str] = field(default_factory=set)  # digests of signed contents
    openings: dict[str, str] = field(default_factory=dict)  # whom an application opened
    suspended: set[str] = field(default_factory=set)  # by the last list
    founded: set[str] = field(default_factory=set)  # kinds that came by the bootstrap
    last_list: int = 0

    def take(self, entry: dict[str, Any]) -> None:
        """Learn what an entry tells."""
        if entry["act"] == "open":
            self._close(entry["member_no"])
            self.references.add(entry["reference"])
            self.opened[entry["reference"]] = entry
            self.last_opened[entry["member_no"]] = entry["reference"]
            self.accepted |= dict.fromkeys(entry["evidence"], entry["member_no"])
            if entry["application"]:
                self.openings[entry["application"]] = entry["member_no"]
        if entry["act"] in ("issue", "renew"):
            self._take_issued(entry)
        if entry["act"] == "crl":
            self.last_list = max(self.last_list, entry["crl"])
            self.suspended -= set(entry.get("resumed", ()))
            self.suspended |= set(entry.get("suspended", ()))
        for serial in entry.get("revoked", ()):
            self.issued[serial].revoked_at = entry["at"]

    def _take_issued(self, entry: dict[str, Any]) -> None:
        member_no = entry["member_no"]
        made = Issued(
            entry["serial"], member_no, entry.get("kind") or self.kind_of(member_no),
            entry.get("name", ""), entry["fingerprint"], entry["at"], entry["ends"],
        )  # fmt: skip
        self.issued[made.serial] = made
        self.of_member[member_no].append(made)
        self.keys.add(entry["key"])
        self.references.add(entry.get("reference", ""))
        if entry["act"] == "issue":
            self.spent |= set(self._close(member_no).get("evidence", ()))
            if entry.get("is_first"):
                self.founded.add(made.kind)

    def _close(self, member_no: str) -> dict[str, Any]:
        """What was opened for a person leads nowhere any more."""
        return self.opened.pop(self.last_opened.pop(member_no, ""), {})

    def living(self, member_no: str, now: str) -> list[str]:
        """Return the certificates of a person that could be used, or could be again."""
        held = self.of_member.get(member_no, [])
        return [each.serial for each in held if not each.revoked_at and each.ends > now]

    def kind_of(self, member_no: str) -> str:
        """Return what a person was certified as, last; "" for nobody."""
        held = self.of_member.get(member_no)
        return held[-1].kind if held else ""

    def last_issued(self, member_no: str) -> str:
        """Return when a person was last certified; "" for never."""
        held = self.of_member.get(member_no)
        return held[-1].at if held else ""

    def revoked(self) -> dict[str, str]:
        """Return what is revoked for good, and since when."""
        return {each.serial: each.revoked_at for each in self.issued.values() if each.revoked_at}


def _root(before: str, entry: bytes) -> str:
    return hashlib.sha256(before.encode() + entry).hexdigest()


def _compare(folder: Path, roots: dict[int, str]) -> list[str]:
    """Return the names of the daily heads that tell of another journal than this."""
    wrong = []
    for path in sorted(folder.glob("*.json")):
        head = parse(path.read_bytes())
        entries = head.get("journal_entries", 0)
        if roots.get(entries) != (head.get("journal_root") or BEGINNING):
            wrong.append(path.name)
    return wrong


def main() -> None:
    """Verify the journal of the folder on the command line, and print it."""
    path = Path(sys.argv[1]) / NAME if len(sys.argv) in (2, 3) else Path()
    if not path.is_file():
        sys.exit("usage: python -m app.pki.journal FOLDER [HEADS] (a folder with a journal)")
    journal, roots = Journal(path.parent), {0: BEGINNING}
    try:
        for entry in journal.read():
            roots[journal.entries] = journal.root
            sys.stdout.write(f"{canonical(entry).decode()}\n")
        wrong = _compare(Path(sys.argv[2]), roots) if len(sys.argv) == 3 else []
    except PkiError as error:
        sys.exit(str(error))
    sys.stdout.write(f"entries: {journal.entries}\nroot: {journal.root}\n")
    if wrong:
        sys.exit(f"the journal is not the one that these heads tell of: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
