"""Pairing: a browser proves that the member gave it this assistant's code (docs/adr/0061).

The port is open to every program of this computer, other users' too, and any of them can write the
headers of a browser.  So nothing is answered before a proof: the HMAC of this start's nonce under the
code, which the browser keeps where no page can read it, and which is never sent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from app.pki.tokens import write_private

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without what looks alike
LENGTH = 16  # 80 bits: neither a program here nor one that heard a proof can guess it
FILE = "pairing-code"


class Pairing:
    """The code of an assistant, in a file of the member's, or given by the demonstration."""

    def __init__(self, state: Path, given: str = "") -> None:
        self.path = state / FILE
        self.nonce = secrets.token_urlsafe(32)
        self._given = given

    def code(self) -> str:
        """Return the code; a new one where the file is missing, so that deleting it ends all pairings."""
        if self._given:
            return self._given
        if not self.path.exists() or len(_letters(self._kept())) < LENGTH:
            drawn = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
            write_private(self.path, "-".join(re.findall("....", drawn)).encode())
        return self._kept()

    @property
    def place(self) -> str:
        """Return where the member finds the code; strangers read it, too, so without the member's name."""
        return re.sub(f"^{re.escape(str(Path.home()))}", "~", str(self.path))

    def accepts(self, proof: str) -> bool:
        """Tell whether a proof was made with the code."""
        key = _letters(self.code()).encode()
        expected = hmac.new(key, self.nonce.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode())

    def _kept(self) -> str:
        return self.path.read_text("utf-8", "replace").strip()


def _letters(code: str) -> str:
    """Return a code as it counts: typed in small letters, with or without its dashes."""
    return re.sub("[^0-9A-Z]", "", code.upper())
