"""A market whose day ends."""

from __future__ import annotations

import pytest

from app.extensions import transaction
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from tests.markets import EVENING, Market


@pytest.fixture
def market(app, tables) -> Market:
    """A market on the evening of Friday 2026-11-20."""
    with transaction():
        clock.set_to(EVENING, SYSTEM)
    return Market(tables)
