"""Columns of many rows arrive as they were sent, whatever stands in them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Date, DateTime, Integer, Numeric, SmallInteger, String

from app.extensions import db
from app.operations.records.columns import typed

SENT_BACK = typed(
    "SELECT * FROM unnest(:texts, :numbers, :days, :small, :ids) WITH ORDINALITY ORDER BY ordinality",
    texts=String,
    numbers=BigInteger,
    days=Date,
    small=SmallInteger,
    ids=Integer,
)
# PostgreSQL keeps every character but NUL, and no half of a pair.
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20)
ROWS = st.tuples(
    st.none() | TEXTS | st.sampled_from(["", "NULL", "null", '"', "\\", "{a,b}", " a\n", "申请"]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.dates(date(1, 1, 1)),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ROWS, max_size=5))
def test_text_columns_round_trip(app, rows):
    columns = zip(*rows, strict=True) if rows else ((),) * 5
    sent = dict(zip(("texts", "numbers", "days", "small", "ids"), map(list, columns), strict=True))
    assert [tuple(row[:5]) for row in db.session.execute(SENT_BACK, sent)] == rows


def test_datetimes_and_decimals_round_trip(app):
    moments = [datetime(2026, 12, 31, 23, 59, 59, 5, timezone(timedelta(hours=8))), None]
    shares = [Decimal("5.25"), None]
    statement = typed(
        "SELECT * FROM unnest(:moments, :shares) WITH ORDINALITY ORDER BY ordinality",
        moments=DateTime,
        shares=Numeric,
    )
    rows = db.session.execute(statement, {"moments": moments, "shares": shares}).all()
    assert [tuple(row[:2]) for row in rows] == list(zip(moments, shares, strict=True))
    assert rows[0][0].astimezone(UTC) == moments[0]


def test_a_column_may_be_absent(app):
    found = db.session.scalar(typed("SELECT :ids IS NULL", ids=Integer), {"ids": None})
    assert found is True
