"""The database's views: surrendered tonnes of a notice, tonnes drawn from a line, differences, what is owed.

Only they define which statuses and kinds count (app/migrations/sql/0001/applications.sql).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Integer,
    String,
    TableClause,
    column,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB


def _view(name: str, keys: str, tonnes: str) -> TableClause:
    columns = (column(each, BigInteger) for each in f"{keys} {tonnes}".split())
    return table(name, *columns)


notice_surrender_line = table(
    "notice_surrender_line",
    column("notice_id", BigInteger),
    column("instrument_id", BigInteger),
    column("surrendered", BigInteger),
    column("pending", BigInteger),
    column("counted_at", DateTime(timezone=True)),
)
notice_surrender = table(
    "notice_surrender",
    *(
        column(each, BigInteger)
        for each in "notice_id surrendered pending offset_surrendered offset_pending".split()
    ),
    column("last_at", DateTime(timezone=True)),
)
line_draw = _view("line_draw", "line_id application_id", "quantity drawn pending remaining")
bank_difference = table(
    "bank_difference",
    column("id", BigInteger),
    column("bank_id", Integer),
    column("day", Date),
    column("event", String),
    column("detail", JSONB),
    column("at", DateTime(timezone=True)),
    column("application_id", BigInteger),
    column("is_resolved", Boolean),
)
open_receivable = table(
    "open_receivable",
    column("account_id", Integer),
    column("instrument_id", Integer),
    column("owed", BigInteger),
)
