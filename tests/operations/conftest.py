"""The parties of the engine's tests."""

from __future__ import annotations

import pytest
from flask_babel import force_locale

from app.domain.moves import Bucket
from tests.factories import account, give, instrument, member, quantity


@pytest.fixture(autouse=True)
def _in_english(app):
    """Messages are matched as the code writes them; the catalogue has a test of its own."""
    with force_locale("en"):
        yield


@pytest.fixture
def plant(app):
    """甲发电有限公司, in 湖北."""
    return account()


@pytest.fixture
def operator(plant):
    """Who acts for the plant."""
    return member(of=plant)


@pytest.fixture
def cea(plant):
    """An instrument of which the plant has 700 tonnes available, as in the manual."""
    row = instrument()
    give(plant, row, 700)
    return row


@pytest.fixture
def holds(plant, cea):
    """Return a function that reads the plant's holding as the screen's columns, zeros left out."""

    def read(of=plant, what=cea) -> dict[str, int]:
        return {
            bucket.column: found for bucket in Bucket if (found := quantity(of, what, bucket)) != 0
        }

    return read
