"""A registered machine client that is signed in, and a plant whose permission is on."""

from __future__ import annotations

import pytest

from app.extensions import transaction
from app.operations.accounts import accounts
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.operations.machines import Machine, registered


@pytest.fixture
def machine(app) -> Machine:
    return registered(app).sign_in()


@pytest.fixture
def permitted(plant, operator):
    """The plant, which allows the exchange to start transfers."""
    with transaction():
        accounts.allow_exchange_transfer(
            plant.id, Actor.of(operator), allowed=True, now=clock.now()
        )
    return plant


@pytest.fixture
def transfer(permitted, cea):
    """Return a function that writes a transfer to trading."""

    def write(number: str = "T1", quantity: object = 100, **more: object) -> dict[str, object]:
        usual = {"request_no": number, "direction": "in", "member_no": permitted.member_no,
                 "instrument_code": cea.code, "quantity": quantity}  # fmt: skip
        return usual | more

    return write
