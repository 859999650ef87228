"""Deductions by two officers, with the reasons that the rules bound (rules-2026 N25, N58, N59)."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Application
from app.operations.records import parameters
from app.operations.records.actor import SYSTEM
from tests.factories import at, member
from tests.operations.claims import deducted, deducting


@pytest.mark.parametrize("by", ["maker", "hubei"])
def test_n25_a_deduction_holds_once_a_colleague_approved_it(plant, request, by):
    made = deducted(plant, 40_000, by=request.getfixturevalue(by))
    assert db.session.get_one(Application, made).status == "approved"


def test_another_province_does_not_deduct(plant):
    with pytest.raises(RuleError):
        deducting(plant, 10, by=member("province", province="31"))


def test_n58_a_shortfall_is_deducted_until_the_code_is_in_force(plant, maker):
    deducting(plant, 100, by=maker, category="shortfall", documented_on=date(2026, 8, 14))
    with pytest.raises(RuleError, match="Code in force") as refusal:
        deducting(plant, 100, by=maker, category="shortfall", documented_on=date(2026, 8, 15))
    assert (refusal.value.code, refusal.value.field) == ("code_in_force", "starts_on")
    for category in ("verification", "borrowed", "remaining", "other"):
        deducting(plant, 100, by=maker, category=category, documented_on=date(2026, 8, 15))


def test_n58_the_day_is_a_parameter(plant, maker):
    with transaction():
        parameters.set_value(
            "environment_code_from", "2026-10-01", effective_from=date(2026, 11, 20), reason="更正",
            actor=SYSTEM, now=at("10:00"),
        )  # fmt: skip
    deducting(plant, 100, by=maker, category="shortfall", documented_on=date(2026, 9, 30))
    with pytest.raises(RuleError, match="2026-10-01"):
        deducting(plant, 100, by=maker, category="shortfall", documented_on=date(2026, 10, 1))


@pytest.mark.parametrize(
    ("tonnes", "fits"), [(400_000, False), (400_001, True), (800_001, True), (800_002, False)]
)
def test_n59_data_fraud_takes_half_to_all_of_the_next_allowance(plant, maker, tonnes, fits):
    if fits:
        deducting(plant, tonnes, by=maker, category="fraud", allowance=800_001)
        return
    with pytest.raises(RuleError, match="400,001") as refusal:
        deducting(plant, tonnes, by=maker, category="fraud", allowance=800_001)
    assert (refusal.value.code, refusal.value.field) == ("fraud_out_of_range", "tonnes")


def test_n59_the_database_knows_the_range_as_well(plant, maker):
    made = deducting(plant, 500_000, by=maker, category="fraud", allowance=800_001)
    changed = text(
        "UPDATE application SET proposal = proposal || '{\"allowance\": 2000000}' WHERE id = :id"
    )
    with pytest.raises(IntegrityError):
        db.session.execute(changed, {"id": made})
    db.session.rollback()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tonnes": 0}, "tonnes"),
        ({"tonnes": 10**12 + 1}, "tonnes"),
        ({"documented_on": None}, "starts_on"),
        ({"documented_on": date(2026, 11, 21)}, "starts_on"),
        ({"sector": "steel"}, "sector"),
        ({"year": 26}, "year"),
        ({"category": "fraud"}, "allowance"),
    ],
)
def test_what_is_missing_is_named(plant, maker, wrong, field):
    said = {"tonnes": 100} | wrong
    with pytest.raises(RuleError) as refusal:
        deducting(plant, said.pop("tonnes"), by=maker, **said)
    assert refusal.value.field == field
