"""docs/security-tests.md names a test for each attack, and each exists."""

from __future__ import annotations

import re

import config

PAGE = config.ROOT / "docs" / "security-tests.md"
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())


def test_every_test_that_the_page_names_exists():
    assert len(NAMED) > 150
    sources = {file: (config.ROOT / file).read_text() for file, _name in NAMED}
    missing = [f"{file}::{name}" for file, name in NAMED if f"def {name}(" not in sources[file]]
    assert missing == []


def test_every_attack_has_a_test():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    heads = ("| attack | test |", "| tried | what becomes of it | test |")
    attacks = [row for row in rows if row not in heads]
    assert [row for row in attacks if "::test_" not in row] == []
