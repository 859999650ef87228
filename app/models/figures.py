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

from app.models.compliance.allocation import AllocationFigure


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
offset_under_way = _view("offset_under_way", "notice_id", "quantity")
open_offset_difference = _view("open_offset_difference", "id account_id", "ours theirs")
claimable = _view("claimable", "account_id instrument_id", "claimable")
claim_part = _view(
    "claim_part",
    "line_id application_id account_id instrument_id",
    "quantity drawn pending remaining",
)
line_draw = _view(
    "line_draw", "line_id application_id instrument_id", "quantity drawn pending remaining"
)
pledge_line = table(
    "pledge_line",
    column("line_id", BigInteger),
    column("application_id", BigInteger),
    column("kind", String),
    column("number", String),
    column("account_id", Integer),
    column("instrument_id", Integer),
    *(column(each, BigInteger) for each in "quantity drawn pending remaining".split()),
    column("uscc", String),
)
waiting_line = _view(
    "waiting_line",
    "line_id application_id instrument_id holder_id account_id vintage",
    "quantity drawn pending remaining",
)
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
current_figure = table(
    "current_figure",
    *(
        column(each.name, each.type)  # of allocation_figure: it has the same columns
        for each in AllocationFigure.__table__.c
    ),
)
true_up = table(
    "true_up",
    *(column(each, BigInteger) for each in ("id", "account_id", "year")),
    column("sector", String),
    *(
        column(each, BigInteger)
        for each in ("pre_allocated", "approved", "due", "issue_1", "issue_2", "remaining")
    ),
    column("is_differing", Boolean),
)
