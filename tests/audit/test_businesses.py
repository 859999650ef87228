"""The second book reads the rules by itself, and reads what the first one says."""

from __future__ import annotations

from app.domain.kinds import KINDS
from app.domain.moves import Bucket
from audit import names
from audit.businesses import BUSINESSES

WITHOUT_APPLICATION = {
    "day_end",
    "proceeds_release",
    "bank_correction",
    "receivable",
    "court_hold",
    "carry_over_grant",
    "claim_netting",
}


def test_every_kind_that_moves_something_moves_what_the_second_book_expects():
    said = {
        code: {(int(route.source), int(route.target)) for route in kind.routes}
        for code, kind in KINDS.items()
        if kind.routes
    }
    assert set(said) | WITHOUT_APPLICATION == set(BUSINESSES)
    for code, routes in said.items():
        assert BUSINESSES[code].routes == routes, code
        assert BUSINESSES[code].has_application


def test_the_buckets_are_those_of_the_ledger():
    assert [bucket.column for bucket in Bucket] == list(names.BUCKETS)
    assert [int(bucket) for bucket in Bucket] == list(range(1, len(names.BUCKETS) + 1))
