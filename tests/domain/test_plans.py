"""What a plan says, as it is typed and as it is stored (rules-2026 N01, domain.md R82)."""

from __future__ import annotations

from datetime import date

import pytest

from app.domain.compliance import plans
from app.domain.compliance.plans import PlanDecision


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("2026-12-31", "2026-12-31 23:59:59"),
        ("2026-12-31 24:00", "2026-12-31 23:59:59"),
        ("2021-12-15 17:00", "2021-12-15 17:00:00"),
        ("2026-12-31 23:59:59", "2026-12-31 23:59:59"),
        ("2026/12/31", "2026-12-31 23:59:59"),
        ("2027/1/5", "2027-01-05 23:59:59"),
        ("2027/1/5 17:00", "2027-01-05 17:00:00"),
        ("2027年12月31日", "2027-12-31 23:59:59"),
        ("2027年12月31日 17时30分", "2027-12-31 17:30:00"),
        ("2027.12.31", "2027-12-31 23:59:59"),
        ("31-Dec-27", "2027-12-31 23:59:59"),
    ],
)
def test_deadlines_are_data(typed, expected):
    """R82: 2021 had 17:00."""
    assert plans.read({"surrender_by": typed})[0]["surrender_by"] == expected


@pytest.mark.parametrize(
    "typed",
    [
        "2026",
        "2026-02-30",
        "2026-12-31 25:00",
        "31.12.2026",
        "x",
        "12/31/2026",
        "2026-12/31",
        "2026/12/3117:00",
        "2027年12月",
        "31-Foo-27",
    ],
)
def test_deadlines_that_are_none_are_refused(app, typed):
    _values, wrong = plans.read({"surrender_by": typed})
    assert typed in wrong["surrender_by"]


@pytest.mark.parametrize(
    ("name", "typed", "stored"),
    [
        ("pre_allocation_share", "70", "70"),
        ("pre_allocation_share", "50.125 %", "50.125"),
        ("pre_allocation_share", "100.000", "100"),
        ("offset_percent", "5％", "5"),
        ("vintages", "2026、2025 2025,2027", "2025,2026,2027"),
        ("carry_over_base", "100,000", "100000"),
        ("carry_over_factor", "1.50", "1.5"),
        ("issue_by", "2026/9/30", "2026-09-30"),
        ("method", " 基准法 ", "基准法"),
    ],
)
def test_values_are_stored_in_one_writing(app, name, typed, stored):
    values, wrong = plans.read({name: typed})
    assert (values[name], wrong) == (stored, {})


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("pre_allocation_share", "100.1"),
        ("pre_allocation_share", "-1"),
        ("pre_allocation_share", "1.2345"),
        ("offset_percent", "x"),
        ("vintages", "2025、26"),
        ("vintages", "1999"),
        ("carry_over_base", "1.5"),
        ("carry_over_base", "1000000000001"),
        ("carry_over_factor", "x"),
        ("issue_by", "2026-09-30 17:00"),
        ("issue_by", "2026-02-30"),
        ("rounding", "both"),
    ],
)
def test_what_cannot_be_read_is_quoted(app, name, typed):
    _values, wrong = plans.read({name: typed})
    assert list(wrong) == [name]
    assert typed in wrong[name] or name == "rounding"


def test_a_decision_is_read_as_it_was_stored():
    before, after = {"vintages": "2025"}, {"vintages": "2025,2026"}
    decision = PlanDecision(2028, "glass", 7, before, after, date(2026, 11, 1))
    assert PlanDecision.read(decision.stored()) == decision
    assert decision.changes == ["vintages"]
    assert PlanDecision.read({}).stored()["year"] == "0"
