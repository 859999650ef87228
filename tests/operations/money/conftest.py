"""A bank, with its line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.bank import Bank
from tests.operations.money import lines


@pytest.fixture
def line(app, maker, checker) -> Iterator[lines.Line]:
    """工商银行 on the morning of Monday 2026-11-23."""
    lines.at(lines.MORNING)
    with lines.line_to(Bank(lines.KEY), maker, checker) as found:
        yield found
