"""A CCER registry, with its line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operations.offsets import lines


@pytest.fixture
def line(app) -> Iterator[lines.Line]:
    """The CCER registry on the morning of Monday 2026-11-23."""
    lines.at(lines.MORNING)
    with lines.line_to() as found:
        yield found
