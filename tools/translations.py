"""Extract messages into the Chinese catalogue; `--check` only reports missing ones.

Messages in the code are English.  Unused ones are removed, except Flask-AppBuilder's, which we
translate although our code does not contain them.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
KEYWORDS = {**DEFAULT_KEYWORDS, "_l": None, "lazy_gettext": None}
PROJECT = {"project": "全国碳排放权注册登记系统", "version": "0.1", "charset": "utf-8"}


def main() -> None:
    """Update the catalogue, or with --check exit with 1 where it is outdated."""
    used, known = template(), catalogue()
    if "--check" in sys.argv:
        missing = [
            message.id for message in used if message.id and not is_translated(known, message)
        ]
        for text in missing:
            print(f"not translated: {text!r}")
        sys.exit(1 if missing else 0)
    for message in list(known):
        if message.id in used or message.id in appbuilder_texts():
            continue
        known.delete(message.id)
    for message in used:
        if message.id:
            entry = known.get(message.id) or known.add(message.id)
            entry.flags |= message.flags
            entry.locations = []
    write(known)
    waiting = sum(1 for message in known if message.id and not is_translated(known, message))
    print(f"{len(known)} texts, {waiting} of them to be translated")


def template() -> Catalog:
    """Return all messages of the package."""
    texts = Catalog(**PROJECT)
    found = extract_from_dir(ROOT / "app", METHODS, keywords=KEYWORDS)
    for _file, _line, text, _comments, _context in found:
        texts.add(text)
    return texts


def catalogue() -> Catalog:
    """Return the existing catalogue."""
    if not CATALOGUE.exists():
        return Catalog(locale="zh_Hans_CN", **PROJECT)
    with CATALOGUE.open("rb") as file:
        return read_po(file, ignore_obsolete=True)


def appbuilder_texts() -> set[str]:
    """Return the messages of Flask-AppBuilder."""
    package = find_spec("flask_appbuilder")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "translations"
    texts = set()
    for path in folder.glob("*/LC_MESSAGES/messages.po"):
        # Drop the dates, whose format Babel cannot parse.
        lines = [line for line in path.read_bytes().splitlines(True) if b"-Date:" not in line]
        found = read_po(BytesIO(b"".join(lines)))
        texts |= {message.id for message in found if isinstance(message.id, str)}
    return texts


def is_translated(known: Catalog, message) -> bool:
    """Tell whether a message is translated, all plural forms included."""
    entry = known.get(message.id)
    if entry is None or entry.fuzzy:
        return False
    return all(entry.string) if isinstance(entry.string, tuple) else bool(entry.string)


def write(texts: Catalog) -> None:
    """Write and compile the catalogue, sorted by message to keep merges small."""
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    texts.fuzzy = False  # a catalogue with a fuzzy header is not compiled
    texts.header_comment = "# 全国碳排放权注册登记结算系统：简体中文"
    texts.msgid_bugs_address = texts.last_translator = texts.language_team = "the project"
    texts.revision_date = texts.creation_date  # keeps merges small
    with CATALOGUE.open("wb") as file:
        write_po(file, texts, width=100, no_location=True, sort_output=True, omit_header=False)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, texts)


if __name__ == "__main__":
    main()
