"""The catalogue of parameters: valid and invalid values."""

from __future__ import annotations

from datetime import time

import pytest

from app.domain.errors import RuleError
from app.domain.parameters import PARAMETERS


@pytest.mark.parametrize("spec", PARAMETERS.values(), ids=PARAMETERS)
def test_the_default_is_a_value_that_it_takes(spec):
    assert spec.read(spec.written(spec.default)) == spec.default
    assert spec.title
    assert spec.source


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("transfer_cut_off", "24:00"),
        ("transfer_cut_off", "8:59"),
        ("transfer_cut_off", "08:59"),
        ("transfer_cut_off", "15:00:00"),
        ("transfer_cut_off", "１５:00"),
        ("password_shortest", "7"),
        ("password_shortest", "65"),
        ("password_shortest", "-10"),
        ("password_shortest", "1e1"),
        ("password_shortest", "10.0"),
        ("password_shortest", "１０"),
        ("password_shortest", ""),
        ("password_shortest", "9" * 40),
        ("lock_failures", "0"),
        ("password_first_change", "maybe"),
    ],
)
def test_what_is_no_value_or_out_of_limits_is_refused(name, typed):
    with pytest.raises(RuleError) as refused:
        PARAMETERS[name].read(typed)
    assert refused.value.field == "value"


def test_values_are_read_as_people_write_them():
    assert PARAMETERS["transfer_cut_off"].read(" 14:30 ") == time(14, 30)
    assert PARAMETERS["password_max_age_days"].read("0") == 0
    assert PARAMETERS["password_first_change"].read("off") is False
