"""What the signing process has done, in a file of its own that only grows: one line an act.

Each line carries the digest of everything before it.  The file is the process's memory, too: which
certificates it issued, and to whom.  `python -m app.pki.journal FOLDER` verifies and prints it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.pki.canonical import canonical, parse
from app.pki.errors import PkiError

NAME = "journal"
BEGINNING = "0" * 64


class Journal:
    """The journal of a folder, read once and then added to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.entries, self.root = 0, BEGINNING
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
            self.entries, self.root = self.entries + 1, _root(self.root, canonical(entry))
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
        self.entries, self.root = entry["number"], root


def _root(before: str, entry: bytes) -> str:
    return hashlib.sha256(before.encode() + entry).hexdigest()


def main() -> None:
    """Verify the journal of the folder on the command line, and print it."""
    path = Path(sys.argv[1]) / NAME if len(sys.argv) == 2 else Path()
    if not path.is_file():
        sys.exit("usage: python -m app.pki.journal FOLDER (with a journal)")
    journal = Journal(path.parent)
    try:
        for entry in journal.read():
            sys.stdout.write(f"{canonical(entry).decode()}\n")
    except PkiError as error:
        sys.exit(str(error))
    sys.stdout.write(f"entries: {journal.entries}\nroot: {journal.root}\n")


if __name__ == "__main__":
    main()
