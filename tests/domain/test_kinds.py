"""The rules of each kind of application, without a database."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from app.domain.errors import InsufficientQuantity, NotAllowed, OutsideTradingHours, RuleError
from app.domain.kinds import KINDS, Facts
from app.domain.moves import Bucket, within
from app.domain.trading_day import BEIJING, TradingMoment
from app.domain.workflow import Case, Line, Party, Status

PLANT, CEA, CEA21, VENUE = 7, 1, 2, 5
FRIDAY = date(2026, 11, 20)


def facts(**changes) -> Facts:
    known = {
        "moment": TradingMoment(datetime(2026, 11, 20, 10, tzinfo=BEIJING), True, time(15)),
        "holdings": {
            (PLANT, CEA, Bucket.AVAILABLE): 700,
            (PLANT, CEA21, Bucket.AVAILABLE): 50,
            (PLANT, CEA, Bucket.TRADING): 200,
        },
        "instruments": {CEA: "CEA", CEA21: "CEA21"},
        "tradable": frozenset({(VENUE, CEA), (VENUE, CEA21)}),
    }
    return Facts(**known | changes)


def case(kind: str, *lines: Line) -> Case:
    lines = lines or (Line(CEA, 100, venue_id=VENUE),)
    return Case(1, kind, "DJ202600000001", PLANT, Status.DRAFT, lines=list(lines))


def judge(kind: str, known: Facts, *lines: Line) -> date | None:
    return KINDS[kind].judge(case(kind, *lines), known)


def test_a_transfer_to_trading_settles_the_same_day_and_sets_its_tonnes_aside():
    known = facts()

    assert judge("registry_to_trading", known) == FRIDAY
    assert known.holdings[PLANT, CEA, Bucket.AVAILABLE] == 600


def test_all_that_is_available_may_go_but_not_one_tonne_more():
    assert judge("registry_to_trading", facts(), Line(CEA, 700, venue_id=VENUE)) == FRIDAY
    with pytest.raises(InsufficientQuantity, match="CEA: 701 tonnes asked for, but only 700"):
        judge("registry_to_trading", facts(), Line(CEA, 701, venue_id=VENUE))


def test_two_cases_of_one_batch_cannot_count_on_the_same_tonnes():
    known = facts()
    judge("registry_to_trading", known, Line(CEA, 400, venue_id=VENUE))

    with pytest.raises(InsufficientQuantity, match="only 300") as refusal:
        judge("registry_to_trading", known, Line(CEA, 400, venue_id=VENUE))

    assert refusal.value.field == f"lines.{CEA}.quantity"


def test_a_refused_case_leaves_its_tonnes_to_the_next_of_the_batch():
    known = facts()
    with pytest.raises(InsufficientQuantity, match="CEA21"):
        judge(
            "registry_to_trading",
            known,
            Line(CEA, 700, venue_id=VENUE),
            Line(CEA21, 51, venue_id=VENUE),
        )

    assert judge("registry_to_trading", known, Line(CEA, 700, venue_id=VENUE)) == FRIDAY


@pytest.mark.parametrize(
    ("change", "lines", "error", "code"),
    [
        ({"restricted": frozenset({PLANT})}, (), NotAllowed, "account_restricted"),
        ({"tradable": frozenset()}, (), RuleError, "no_trade_code"),
        ({}, (Line(CEA, 100),), RuleError, "venue_missing"),
        ({}, (Line(CEA, 100, venue_id=99),), RuleError, "no_trade_code"),
        ({"holdings": {}}, (), InsufficientQuantity, "insufficient_quantity"),
        (
            {"moment": TradingMoment(datetime(2026, 11, 21, 10, tzinfo=BEIJING), False, time(15))},
            (),
            OutsideTradingHours,
            "outside_trading_hours",
        ),
    ],
)
def test_what_refuses_a_transfer_to_trading(change, lines, error, code):
    with pytest.raises(error) as refusal:
        judge("registry_to_trading", facts(**change), *lines)

    assert refusal.value.code == code


def test_an_application_without_lines_is_refused():
    empty = Case(1, "registry_to_trading", "DJ1", PLANT, Status.DRAFT)

    with pytest.raises(RuleError, match="at least one instrument"):
        KINDS["registry_to_trading"].judge(empty, facts())


def test_the_exchange_needs_the_transfer_permission():
    with pytest.raises(NotAllowed, match="permission off") as refusal:
        judge("exchange_registry_to_trading", facts())
    assert refusal.value.code == "transfer_not_permitted"

    assert judge("exchange_registry_to_trading", facts(permitted=frozenset({PLANT}))) == FRIDAY


def test_a_transfer_to_the_registry_needs_no_permission():
    known = facts()

    assert judge("trading_to_registry", known, Line(CEA, 200)) == FRIDAY
    assert known.holdings[PLANT, CEA, Bucket.TRADING] == 0


def test_a_restricted_account_may_transfer_to_the_registry():
    assert judge("trading_to_registry", facts(restricted=frozenset({PLANT}))) == FRIDAY


def test_a_transfer_to_the_registry_is_limited_by_the_trading_holding():
    with pytest.raises(InsufficientQuantity, match="only 200"):
        judge("trading_to_registry", facts(), Line(CEA, 201))


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        ("registry_to_trading", Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING),
        ("exchange_registry_to_trading", Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING),
        ("trading_to_registry", Bucket.TRADING, Bucket.PENDING_TO_REGISTRY),
    ],
)
def test_what_a_submission_moves(kind, source, target):
    lines = (Line(CEA, 100, venue_id=VENUE), Line(CEA21, 30, venue_id=VENUE))

    assert KINDS[kind].reserving(case(kind, *lines)) == (
        within(PLANT, CEA, source, target, 100),
        within(PLANT, CEA21, source, target, 30),
    )
    assert KINDS[kind].settling(case(kind, *lines)) == ()


def test_the_catalogue_is_whole():
    for code, kind in KINDS.items():
        assert kind.code == code
        assert str(kind.title)
        assert len(kind.prefix) == 2
        assert isinstance(kind.started_by, Party)
        # Whoever reviews leaves tonnes in a bucket that the settling takes them from.
        if kind.reserves and kind.settles:
            assert kind.reserves[1] == kind.settles[0]
        # Tonnes that nobody set aside are drawn from a document that brought them there, or issued.
        if kind.settles and not kind.reserves:
            is_a_court_s = kind.code.startswith(
                "court_"
            )  # Of what its order has frozen, or its sale left.
            assert kind.draws_on or kind.settles[0] is Bucket.ISSUED or is_a_court_s
        if kind.draws_on and kind.routes:  # What ends a note moves nothing.
            source = KINDS[kind.draws_on]
            # A claim holds nothing: what is returned for it comes out of what is available.
            held = source.settles or source.reserves or (None, Bucket.AVAILABLE)
            assert (kind.reserves or kind.settles)[0] == held[1]
    assert len({kind.prefix for kind in KINDS.values()}) == len(KINDS)
