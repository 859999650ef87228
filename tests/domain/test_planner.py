"""履约规划: never beyond what is held, what is accepted and the cap, and a cover wherever there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.compliance.planner import Due, Held, Offset, covered, last_years, propose
from app.domain.trading_day import BEIJING

DEADLINE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=BEIJING)
VINTAGES = (2023, 2024, 2025, 2026)


def due(id_, rest, *vintages, offset_left=0, units=(), days=0) -> Due:
    deadline = DEADLINE + timedelta(days)
    return Due(id_, deadline, rest, frozenset(vintages), offset_left, frozenset(units))


def test_what_loses_its_use_first_goes_first():
    old, new = Held(1, 2025, 600, 2025), Held(2, 2026, 600, 2026)
    found = propose([due(7, 1000, 2025, 2026)], [new, old])
    assert found.lines == {7: {1: 600, 2: 400}}
    assert (found.missing, found.left) == ({7: 0}, {1: 0, 2: 200})


def test_the_only_allowance_that_another_notice_accepts_is_exchanged():
    """Greedy alone gives the old allowance to the first notice, and the second goes without."""
    old, new = Held(1, 2024, 100, 2024), Held(2, 2025, 100, 2026)
    found = propose([due(7, 100, 2024, 2025), due(8, 100, 2024, days=1)], [old, new])
    assert found.lines == {7: {2: 100}, 8: {1: 100}}
    assert found.missing == {7: 0, 8: 0}


def test_an_old_arrear_comes_before_the_year_s_notice():
    found = propose(
        [due(7, 100, 2025), due(8, 80, 2024, 2025, days=-365)], [Held(1, 2025, 100, 2026)]
    )
    assert found.lines == {7: {1: 20}, 8: {1: 80}}
    assert found.missing == {7: 80, 8: 0}


def test_ccer_comes_first_in_whole_units_within_the_cap_of_each_notice():
    """N84: of a cap of 50 the unit of 40 and the one of 10; that of 30 does not fit any more."""
    units = [Offset(91, 30), Offset(92, 40), Offset(93, 10), Offset(94, 5)]
    found = propose(
        [due(7, 1000, 2025, offset_left=50, units=(91, 92, 93)), due(8, 100, 2025)],
        [Held(1, 2025, 900, 2027)],
        units,
    )
    assert found.offsets == {7: {92: 40, 93: 10}}
    assert found.lines == {7: {1: 900}}
    assert found.missing == {7: 50, 8: 100}
    assert covered(found) == {7: 950}


def test_the_last_year_of_a_vintage_is_a_matter_of_the_plans():
    plans = [
        (2024, frozenset({2023, 2024})),
        (2025, frozenset({2025, 2026})),
        (2026, frozenset({2026})),
    ]
    assert last_years(plans) == {2023: 2024, 2024: 2024, 2025: 2025, 2026: 2026}


dues_ = st.lists(
    st.builds(
        lambda *drawn: drawn,
        st.integers(0, 12),
        st.frozensets(st.sampled_from(VINTAGES)),
        st.integers(0, 5),
        st.frozensets(st.sampled_from((91, 92, 93))),
        st.integers(-400, 400),
    ),
    max_size=4,
).map(
    lambda rows: [
        due(n, rest, *vintages, offset_left=cap, units=units, days=days)
        for n, (rest, vintages, cap, units, days) in enumerate(rows, 1)
    ]
)
held_ = st.lists(
    st.tuples(st.sampled_from(VINTAGES), st.integers(0, 12), st.integers(2024, 2027)),
    max_size=5,
).map(lambda rows: [Held(n, *row) for n, row in enumerate(rows, 101)])
units_ = st.lists(st.integers(1, 5), max_size=3).map(
    lambda sizes: [Offset(n, size) for n, size in enumerate(sizes, 91)]
)


def coverable(dues, held) -> int:
    """Return the most that the holdings can cover of these notices, by the narrowest cut of all."""
    best = None
    for size in range(len(held) + 1):
        for cut in combinations(held, size):  # these givers' own tonnes are the limit
            open_ = [each for each in held if each not in cut]
            limit = sum(each.available for each in cut)
            for each in dues:
                limit += each.rest if any(h.vintage in each.vintages for h in open_) else 0
            best = limit if best is None else min(best, limit)
    return best or 0


@settings(max_examples=300, deadline=None)
@given(dues_, held_, units_)
def test_a_proposal_keeps_within_everything_and_covers_all_that_can_be_covered(dues, held, units):
    found = propose(dues, held, units)
    by_id = {each.instrument_id: each for each in held}
    sizes = {each.id: each.quantity for each in units}
    taken = [id_ for chosen in found.offsets.values() for id_ in chosen]
    assert len(taken) == len(set(taken))
    left = []
    for each in dues:
        lines, chosen = found.lines.get(each.id, {}), found.offsets.get(each.id, {})
        offset = sum(chosen.values())
        assert sum(lines.values()) + offset + found.missing[each.id] == each.rest
        assert offset <= each.offset_left
        assert chosen == {id_: sizes[id_] for id_ in chosen if id_ in each.units}
        assert all(
            tonnes > 0 and by_id[id_].vintage in each.vintages for id_, tonnes in lines.items()
        )
        left.append(replace(each, rest=each.rest - offset))
    for each in held:
        used = sum(lines.get(each.instrument_id, 0) for lines in found.lines.values())
        assert used + found.left.get(each.instrument_id, 0) == each.available
    assert sum(map(sum, (lines.values() for lines in found.lines.values()))) == coverable(
        left, held
    )


@settings(max_examples=200, deadline=None)
@given(dues_, held_)
def test_earlier_notices_and_earlier_losses_come_first(dues, held):
    """Whatever the first notices, or the holdings that lose their use first, can do together, they do."""
    found = propose(dues, held)
    ordered = sorted(dues, key=lambda each: (each.deadline, each.id))
    for place in range(1, len(ordered) + 1):
        first = ordered[:place]
        done = sum(covered(found).get(each.id, 0) for each in first)
        assert done == coverable(first, held)
    sources = sorted(
        (each for each in held if each.available),
        key=lambda each: (each.last_year, each.vintage, each.instrument_id),
    )
    for place in range(1, len(sources) + 1):
        first = sources[:place]
        used = sum(each.available - found.left[each.instrument_id] for each in first)
        assert used == coverable(dues, first)
