"""Systems of an enterprise and of its province, signed in."""

from __future__ import annotations

import pytest

from tests.operations.machines import Machine, issued


@pytest.fixture
def system(app, operator) -> Machine:
    """The plant's own system."""
    return issued(app, operator).sign_in()


@pytest.fixture
def provincial(app, hubei) -> Machine:
    """The system of the plant's province."""
    return issued(app, hubei).sign_in()
