"""The pictures in ARCHITECTURE.md match the imports."""

from __future__ import annotations

import pytest

from tools import picture


def test_the_pictures_are_what_the_imports_are():
    assert picture.TARGET.read_text(encoding="utf-8") == picture.written(), "run tools/picture.py"


def test_a_longer_way_stands_for_the_short_one():
    drawn = picture.picture({"views": {"models", "operations"}, "operations": {"models"}})

    assert "views --> operations" in drawn
    assert "views --> models" not in drawn


@pytest.mark.parametrize("package", picture.DRAWN)
def test_each_picture_has_arrows(package):
    assert picture.arrows(package)
