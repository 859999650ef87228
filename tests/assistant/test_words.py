"""The assistant knows the words of everything that the registry has signed."""

from __future__ import annotations

import re

from app.domain.kinds import KINDS
from app.operations import evidence
from assistant.words import LABELS, VALUES


def test_every_kind_and_type_has_its_word():
    assert set(KINDS) <= VALUES["kind"].keys()
    categories = {category for kind in KINDS.values() for category in kind.categories}
    assert categories <= VALUES["category"].keys()


def test_every_part_of_what_is_signed_has_its_word():
    parts = set(re.findall(r"'(\w+)', (?:\w+\.|\(SELECT|CASE|json)", str(evidence._CONTENTS)))
    assert parts
    assert parts <= LABELS.keys()
