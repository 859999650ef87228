"""Human-readable numbers: zero-padded, never truncated."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, Attestation, Instrument, Notice
from app.operations.applications import engine
from app.operations.exchange import instruments
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import confirmed, draft, member

DEADLINE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=BEIJING)


@pytest.fixture
def reached(cluster):
    """Return a function that sets a sequence for the rest of the test."""
    before = []

    def set_to(table: str, last: int) -> None:
        with cluster.connect("registry") as connection:
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            now = connection.execute(f"SELECT nextval({sequence})").fetchone()
            connection.execute(f"SELECT setval({sequence}, {last})")
        before.append((table, now[0]))

    yield set_to
    for table, number in before:
        with cluster.connect("registry") as connection:
            connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {number})")


@pytest.mark.parametrize(("last", "shown"), [(41, "00000042"), (123_456_788, "123456789")])
def test_an_applications_number_has_eight_digits_or_more(reached, operator, cea, last, shown):
    reached("application", last)

    made = draft("voluntary_cancellation", operator, {cea: 1})

    assert db.session.get_one(Application, made).number == f"ZX2026{shown}"


@pytest.mark.parametrize(("last", "shown"), [(41, "00000042"), (123_456_788, "123456789")])
def test_a_notices_number_has_eight_digits_or_more(reached, plant, cea, last, shown):
    reached("notice", last)

    made = factories.notice(plant, 100, [cea], by=member("province", province="42"))

    assert db.session.get_one(Notice, made).number == f"LT2025{shown}"


@pytest.mark.parametrize(("last", "shown"), [(41, "000042"), (1_234_566, "1234567")])
def test_an_attestations_number_has_six_digits_or_more(reached, operator, cea, last, shown):
    reached("attestation", last)
    made = draft("voluntary_cancellation", operator, {cea: 1}, reason="碳中和")
    with transaction():
        engine.submit([made], Actor.of(operator), now=clock.now()).one()

    confirmed(made, member("registry_checker"))

    assert db.session.query(Attestation.number).scalar().endswith(f"20261120{shown}")


def test_an_instruments_code_goes_on_after_the_last_of_six_digits(app):
    codes = []
    with transaction():
        db.session.add(Instrument(code="PE2026999999", name="标的", vintage=2020))
    for n in range(2):
        with transaction():
            new = instruments.NewInstrument(f"标的{n}", 2026 + n)
            actor = Actor.of(member("registry_maker"))
            codes.append(instruments.create(new, actor, now=clock.now()).code)

    assert codes == ["PE20261000000", "PE20261000001"]
