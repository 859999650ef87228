"""The reporting platform's client, signed in, and the plan that its tables rest on."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests import factories
from tests.operations.machines import Machine, of_platform


@pytest.fixture(autouse=True)
def power(app) -> None:
    factories.plan(pre_allocation_share=Decimal(50), share_cap=Decimal(50))


@pytest.fixture
def platform(app) -> Machine:
    return of_platform(app).sign_in()
