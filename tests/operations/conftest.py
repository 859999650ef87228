"""The parties of the engine's tests."""

from __future__ import annotations

import pytest
from flask_babel import force_locale

from app.domain.moves import Bucket
from tests.factories import quantity
from tests.races.conftest import together, without_account_lock

__all__ = ["together", "without_account_lock"]  # fixtures, shared


@pytest.fixture(autouse=True)
def _in_english(app):
    """Messages are matched as the code writes them; the catalogue has a test of its own."""
    with force_locale("en"):
        yield


@pytest.fixture
def holds(plant, cea):
    """Return a function that reads the plant's holding as the screen's columns, zeros left out."""

    def read(of=plant, what=cea) -> dict[str, int]:
        return {
            bucket.column: found for bucket in Bucket if (found := quantity(of, what, bucket)) != 0
        }

    return read
