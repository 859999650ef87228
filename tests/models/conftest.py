"""A plant with one transfer under way, and statements as the roles of the database."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from app import embedded
from tests.factories import give, instrument, member, submitted


@pytest.fixture
def cea(plant):
    row = instrument()
    give(plant, row, 700)
    submitted("registry_to_trading", member(of=plant), {row: 100})
    return row


@pytest.fixture
def attempt(cluster, plant, cea):
    """Return a function that runs a statement as a role and returns the refusal."""
    known = {"plant": plant.id, "cea": cea.id}
    before = _ledger(cluster)

    def run(statement: str, role: str = embedded.APP) -> psycopg.Error:
        url = cluster.url(role).replace("+psycopg", "")
        # psycopg's own `with` leaves the connection open where the commit is refused.
        with (
            closing(psycopg.connect(url)) as connection,
            pytest.raises(psycopg.Error) as refusal,
            connection.transaction(),
        ):
            connection.execute(statement.format(**known))
        assert _ledger(cluster) == before
        return refusal.value

    return run


def _ledger(cluster) -> list[tuple]:
    with cluster.connect("registry") as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in ("holding", "entry", "movement", "posting", "application_line")
        ]
