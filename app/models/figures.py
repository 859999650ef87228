"""The database's views: surrendered tonnes of a notice, and tonnes drawn from a line.

Only they define which statuses and kinds count (app/migrations/sql/0001/applications.sql).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, TableClause, column, table


def _view(name: str, keys: str, tonnes: str) -> TableClause:
    columns = (column(each, BigInteger) for each in f"{keys} {tonnes}".split())
    return table(name, *columns)


notice_surrender_line = _view(
    "notice_surrender_line", "notice_id instrument_id", "surrendered pending"
)
notice_surrender = _view(
    "notice_surrender", "notice_id", "surrendered pending offset_surrendered offset_pending"
)
line_draw = _view("line_draw", "line_id application_id", "quantity drawn pending remaining")
