"""The pictures of the guide exist, and no unused ones are kept."""

from __future__ import annotations

import re
from pathlib import Path

import config
from tests.journeys.support.pictures import BOOK, LARGEST

PAGES = sorted((config.ROOT / "docs" / "guide").glob("*.md"))
LINK = re.compile(r"\]\(([^)#]+)")


def links(page: Path) -> list[Path]:
    """Return the files of ours that a page leads to."""
    found = [
        target for target in LINK.findall(page.read_text(encoding="utf-8")) if ":" not in target
    ]
    return [(page.parent / target).resolve() for target in found]


def test_every_picture_and_page_is_there():
    assert PAGES
    assert [path.name for page in PAGES for path in links(page) if not path.exists()] == []


def test_no_picture_is_kept_for_nothing():
    pages = [*PAGES, config.ROOT / "README.md", *(config.ROOT / "docs").glob("*.md")]
    shown = {path for page in pages for path in links(page)}
    # The same page dark and on a phone belongs to the one that is shown.
    shown_names = {path.name.removesuffix(".png") for path in shown}
    unused = [
        path.name
        for path in BOOK.glob("*.png")
        if re.sub(r"-(dark|phone)$", "", path.stem) not in shown_names
    ]
    assert unused == []


def test_pictures_are_small():
    assert [path.name for path in BOOK.glob("*") if path.stat().st_size > LARGEST] == []
