"""Draw the imports of layers and rooms into ARCHITECTURE.md; `--check` only compares.

Imports are from import-linter; arrows implied by longer paths are left out (transitive reduction).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "ARCHITECTURE.md"
DRAWN = ("app", "app.operations", "app.views")
PLACE = re.compile(r"(<!-- picture of ([\w.]+) -->\n).*?(<!-- end of picture -->)", re.DOTALL)
LINTER = Path(sys.executable).with_name("import-linter")


def main() -> None:
    """Write the pictures, or with --check exit with 1 where they differ."""
    text = written()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        print(f"wrote the pictures in {TARGET.name}")
    elif TARGET.read_text(encoding="utf-8") != text:
        sys.exit("the pictures in ARCHITECTURE.md are old: run tools/picture.py")


def written() -> str:
    """Return ARCHITECTURE.md with current pictures."""
    text = TARGET.read_text(encoding="utf-8")
    assert [name for _head, name, _end in PLACE.findall(text)] == list(DRAWN)
    return PLACE.sub(lambda found: found[1] + picture(arrows(found[2])) + found[3], text)


def arrows(package: str) -> dict[str, set[str]]:
    """Return the imports between a package's parts, by import-linter."""
    drawn = subprocess.run(
        [LINTER, "drawgraph", package],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: dict[str, set[str]] = {}
    for source, target in re.findall(r'"\.(\w+)" ->  ?"\.(\w+)"', drawn):
        found.setdefault(source, set()).add(target)
    return found


def picture(imports: dict[str, set[str]]) -> str:
    """Return an acyclic graph in Mermaid."""
    lines = [
        f"  {source} --> {target}"
        for source in sorted(imports)
        for target in sorted(imports[source])
        if not any(target in _reached(other, imports) for other in imports[source] - {target})
    ]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"]) + "\n"


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    below = imports.get(start, set())
    return below.union(*(_reached(each, imports) for each in below))


if __name__ == "__main__":
    main()
