"""Write assistant/kinds.py: kinds of applications, their types, and roles, in Chinese.

The assistant runs without the registry on members' machines, and never takes labels from a page.

words.py            write the file
words.py --check    exit with 1 where the file differs from the code
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.domain.kinds import KINDS  # noqa: E402
from app.installation.reference import CATEGORIES  # noqa: E402
from app.security.roles import ROLES  # noqa: E402
from tools import translations  # noqa: E402

TARGET = ROOT / "assistant" / "kinds.py"


def main() -> None:
    """Write the words, or compare them."""
    text = "\n".join(lines()) + "\n"
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("assistant/kinds.py differs from the code: run tools/words.py")


def lines() -> Iterator[str]:
    """Yield the lines of the module."""
    known = {message.id: message.string for message in translations.catalogue() if message.id}
    yield '"""Kinds of applications, their types, and roles in Chinese; tools/words.py writes them."""'
    yield ""
    yield "KINDS = {"
    for kind in KINDS.values():
        yield f'    "{kind.code}": "{known[str(kind.title)]}",'
    yield "}"
    yield "CATEGORIES = {"
    for kind, values in CATEGORIES.items():
        yield f'    "{kind}": {{'
        for code, (name, _english) in values.items():
            yield f'        "{code}": "{name}",'
        yield "    },"
    yield "}"
    yield "ROLES = {"
    for role in ROLES.values():
        yield f'    "{role.code}": "{known[str(role.title)]}",'
    yield "}"


if __name__ == "__main__":
    main()
