"""Gather the texts of the code into the Chinese catalogue; `--check` only tells what is missing.

The messages in the code are English.  Texts that are no longer used leave the catalogue, but those
of Flask-AppBuilder that we translate ourselves stay, although our code never names them.
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
    """Write the catalogue anew, or with --check end with 1 where it is behind the code."""
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
    """Return every text that the package marks for translation."""
    texts = Catalog(**PROJECT)
    found = extract_from_dir(ROOT / "app", METHODS, keywords=KEYWORDS)
    for _file, _line, text, _comments, _context in found:
        texts.add(text)
    return texts


def catalogue() -> Catalog:
    """Return what has been translated so far."""
    if not CATALOGUE.exists():
        return Catalog(locale="zh_Hans_CN", **PROJECT)
    with CATALOGUE.open("rb") as file:
        return read_po(file, ignore_obsolete=True)


def appbuilder_texts() -> set[str]:
    """Return the texts that Flask-AppBuilder marks for translation."""
    package = find_spec("flask_appbuilder")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "translations"
    texts = set()
    for path in folder.glob("*/LC_MESSAGES/messages.po"):
        # Its dates are written in ways that the reader does not take; we need the texts alone.
        lines = [line for line in path.read_bytes().splitlines(True) if b"-Date:" not in line]
        found = read_po(BytesIO(b"".join(lines)))
        texts |= {message.id for message in found if isinstance(message.id, str)}
    return texts


def is_translated(known: Catalog, message) -> bool:
    """Tell whether the catalogue has a translation for a text, in its every form."""
    entry = known.get(message.id)
    if entry is None or entry.fuzzy:
        return False
    return all(entry.string) if isinstance(entry.string, tuple) else bool(entry.string)


def write(texts: Catalog) -> None:
    """Write the catalogue and its compiled form, in the order of the texts: merges stay small."""
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    texts.fuzzy = False  # A catalogue whose header is marked fuzzy is not compiled at all.
    texts.header_comment = "# 全国碳排放权注册登记结算系统：简体中文"
    texts.msgid_bugs_address = texts.last_translator = texts.language_team = "the project"
    texts.revision_date = texts.creation_date  # Merges stay small.
    with CATALOGUE.open("wb") as file:
        write_po(file, texts, width=100, no_location=True, sort_output=True, omit_header=False)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, texts)


if __name__ == "__main__":
    main()
