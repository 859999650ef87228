"""存管返还 (manual 六-一; domain.md R100 to R106): deposits, links, and returns that receivers agree to."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, NotFound, RuleError
from app.domain.moves import Bucket
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application, CustodyLink
from tests.custody import (
    DEPOSIT,
    LINK,
    agreed,
    approve,
    deposited,
    distribution,
    drafted,
    edited,
    link,
    parties,
    returning,
    send_back,
    standing,
    submit,
    withdraw,
)
from tests.factories import (
    draft,
    entered,
    give,
    instrument,
    member,
    nothing_moves,
    quantity,
    submitted,
)
from tests.invariants import assert_sound

NO_DOCUMENT = {"document_no": "", "authority": "", "starts_on": None}


@pytest.fixture
def party(app):
    """A, which deposits; B and C, linked with it; D, which is not; the officers."""
    return parties(500_000)


@pytest.fixture
def deposit(party):
    """300,000 t of A's in custody, and A linked with B and C."""
    made = deposited(party.of_a, {party.cea: 300_000}, party.checker)
    link(party.a, [party.b, party.c], party.maker, party.checker)
    return made


@pytest.fixture(autouse=True)
def _sound(app):
    yield
    assert_sound()


def holds(of, what) -> dict[str, int]:
    return {each.column: n for each in Bucket if (n := quantity(of, what, each))}


# 存管 --------------------------------------------------------------------------------------


def test_r100_everything_available_may_be_deposited_and_no_tonne_more(party):
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submitted(DEPOSIT, party.of_a, {party.cea: 500_001}, category="merger", reason="合并")

    case = submitted(DEPOSIT, party.of_a, {party.cea: 500_000}, category="merger", reason="合并")
    assert holds(party.a, party.cea) == {"reserved": 500_000}
    approve(case.id, party.checker)
    assert holds(party.a, party.cea) == {"custody": 500_000}


def test_several_instruments_go_in_one_application(party):
    other = instrument("2021年度碳排放配额")
    give(party.a, other, 70)

    deposited(party.of_a, {party.cea: 500_000, other: 70}, party.checker)

    assert holds(party.a, other) == {"custody": 70}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"category": "", "reason": "合并"}, "category_missing"),
        ({"category": "merger", "reason": " "}, "reason_missing"),
    ],
)
def test_a_deposit_needs_its_type_and_its_reason(party, content, code):
    made = draft(DEPOSIT, party.of_a, {party.cea: 5}, **content)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        submit(made, party.of_a)
    assert refusal.value.code == code


def test_a_type_that_is_not_offered_is_refused(party):
    with pytest.raises(RuleError) as refusal:
        draft(DEPOSIT, party.of_a, {party.cea: 5}, category="sale", reason="合并")
    assert refusal.value.code == "category_unknown"


def test_r101_what_is_in_custody_can_be_neither_transferred_nor_cancelled(party, deposit):
    assert holds(party.a, party.cea) == {"available": 200_000, "custody": 300_000}
    for kind in ("registry_to_trading", "voluntary_cancellation", DEPOSIT):
        made = draft(kind, party.of_a, {party.cea: 200_001}, reason="合并",
                     category="merger" if kind == DEPOSIT else "")  # fmt: skip
        with nothing_moves(), pytest.raises(InsufficientQuantity):
            submit(made, party.of_a)


def test_a_deposit_sent_back_frees_the_tonnes(party):
    case = submitted(DEPOSIT, party.of_a, {party.cea: 9}, category="split", reason="分立")
    send_back(case.id, party.checker)
    assert holds(party.a, party.cea) == {"available": 500_000}


def test_a_restricted_account_neither_deposits_nor_returns(party, deposit):
    made = drafted(party.of_a, distribution(deposit, {party.b: 1}))
    other = draft(DEPOSIT, party.of_a, {party.cea: 1}, category="merger", reason="合并")
    restrict(party.a)
    for each in (made, other):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            submit(each, party.of_a)
        assert refusal.value.code == "account_restricted"


def restrict(who, *, to=True):
    with transaction():
        who.is_restricted = to


# 关联 --------------------------------------------------------------------------------------


def test_r102_a_return_goes_to_linked_enterprises_alone(party, deposit):
    for stranger in (party.d, party.a):
        made = drafted(party.of_a, distribution(deposit, {stranger: 1}))
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            submit(made, party.of_a)
        assert refusal.value.code == "receiver_not_linked"


def test_a_return_names_its_receiver(party, deposit):
    (line,) = distribution(deposit, {party.b: 5})
    made = drafted(party.of_a, (Line(line.instrument_id, 5, source_line_id=line.source_line_id),))
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        submit(made, party.of_a)
    assert refusal.value.code == "receiver_not_linked"


def test_a_link_holds_one_way(party, deposit):
    give(party.b, party.cea, 10)
    of_b = deposited(party.of_b, {party.cea: 10}, party.checker)
    made = drafted(party.of_b, distribution(of_b, {party.a: 10}))
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        submit(made, party.of_b)
    assert refusal.value.code == "receiver_not_linked"


def test_a_link_takes_two_officers(party):
    ids = (party.b.id,)
    made = entered(LINK, party.a, party.maker, receivers=ids, **NO_DOCUMENT)
    assert db.session.query(CustodyLink).count() == 0
    with pytest.raises(NotAllowed) as refusal:
        approve(made, party.maker)
    assert refusal.value.code == "own_application"

    approve(made, party.checker)

    (row,) = db.session.query(CustodyLink).all()
    assert (row.account_id, row.receiver_id, row.application_id) == (party.a.id, party.b.id, made)


@pytest.mark.parametrize(
    ("receivers", "code"), [("", "receivers_missing"), ("a", "linked_to_itself")]
)
def test_a_link_names_somebody_else(party, receivers, code):
    ids = tuple(getattr(party, each).id for each in receivers)
    with pytest.raises(RuleError) as refusal:
        entered(LINK, party.a, party.maker, receivers=ids, **NO_DOCUMENT)
    assert refusal.value.code == code


def test_what_is_linked_already_is_not_linked_again(party, deposit):
    with pytest.raises(RuleError) as refusal:
        entered(LINK, party.a, party.maker, receivers=(party.b.id,), **NO_DOCUMENT)
    assert refusal.value.code == "linked_already"

    link(party.a, [party.b, party.d], party.maker, party.checker)  # D is new.
    assert db.session.query(CustodyLink).count() == 3


def test_an_enterprise_cannot_link_itself_with_others(party):
    with pytest.raises(NotAllowed):
        entered(LINK, party.a, party.of_a, receivers=(party.b.id,), **NO_DOCUMENT)


# 返还 --------------------------------------------------------------------------------------


def test_the_merger_of_the_manual(party):
    """A merges into B: everything is deposited and returned to B."""
    deposit = deposited(party.of_a, {party.cea: 500_000}, party.checker)
    link(party.a, [party.b], party.maker, party.checker)

    made = returning(party.of_a, deposit, {party.b: 500_000})
    assert holds(party.a, party.cea) == {"in_return": 500_000}
    approve(made, party.of_b)
    assert standing(made) == ("in_review", 1)
    approve(made, party.checker)

    assert (holds(party.a, party.cea), holds(party.b, party.cea)) == ({}, {"available": 500_000})
    assert standing(made) == ("approved", 2)


def test_r103_b_and_c_agree_and_then_the_registry(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 200_000, party.c: 100_000})
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(made, party.checker)
    assert refusal.value.code == "not_your_turn"

    approve(made, party.of_b)
    assert (standing(made), agreed(made)) == (("in_review", 0), [party.b.id])
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(made, party.of_b)
    assert refusal.value.code == "own_application"  # Who approved does not approve again.

    approve(made, party.of_c)
    assert standing(made) == ("in_review", 1)
    assert holds(party.a, party.cea) == {"available": 200_000, "in_return": 300_000}

    approve(made, party.checker)
    assert holds(party.a, party.cea) == {"available": 200_000}
    assert holds(party.b, party.cea) == {"available": 200_000}
    assert holds(party.c, party.cea) == {"available": 100_000}


def test_r103_c_refuses_and_what_b_had_agreed_to_is_void(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 200_000, party.c: 100_000})
    approve(made, party.of_b)
    send_back(made, party.of_c)
    assert standing(made) == ("returned", 0)
    assert holds(party.a, party.cea) == {"available": 200_000, "custody": 300_000}

    edited(made, party.of_a, distribution(deposit, {party.b: 150_000, party.c: 150_000}))
    submit(made, party.of_a)
    assert agreed(made) == []
    approve(made, party.of_c)
    assert standing(made) == ("in_review", 0)  # B is asked anew.
    approve(made, party.of_b)
    approve(made, party.checker)

    assert holds(party.b, party.cea) == holds(party.c, party.cea) == {"available": 150_000}


def test_submitted_again_unchanged_all_are_asked_anew(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 1, party.c: 1})
    approve(made, party.of_b)
    send_back(made, party.of_c)

    submit(made, party.of_a)

    assert (standing(made), agreed(made)) == (("in_review", 0), [])


def test_the_registry_sends_it_back_and_all_are_asked_anew(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 1, party.c: 1})
    approve(made, party.of_b)
    approve(made, party.of_c)
    send_back(made, party.checker)
    assert holds(party.a, party.cea) == {"available": 200_000, "custody": 300_000}

    submit(made, party.of_a)
    assert agreed(made) == []
    with nothing_moves(), pytest.raises(NotAllowed):
        approve(made, party.checker)


def test_a_removed_receiver_is_not_asked(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 1, party.c: 1})
    send_back(made, party.of_c)
    edited(made, party.of_a, distribution(deposit, {party.b: 2}))
    submit(made, party.of_a)

    with nothing_moves(), pytest.raises(NotFound):
        approve(made, party.of_c)
    approve(made, party.of_b)
    assert standing(made) == ("in_review", 1)


def test_sending_back_asks_a_receiver_for_a_reason(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 1})
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        send_back(made, party.of_b, comment=" ")
    assert refusal.value.code == "reason_missing"


def test_who_has_agreed_does_not_send_it_back_any_more(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 1, party.c: 1})
    approve(made, party.of_b)
    with nothing_moves(), pytest.raises(NotAllowed):
        send_back(made, party.of_b)
    another = member(of=party.b)  # Nor does a colleague: the enterprise has spoken.
    for verb in (approve, send_back):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            verb(made, another)
        assert refusal.value.code == "not_your_turn"


def test_a_withdraws_while_b_has_agreed(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 200_000, party.c: 100_000})
    approve(made, party.of_b)

    withdraw(made, party.of_a)

    assert holds(party.a, party.cea) == {"available": 200_000, "custody": 300_000}
    for who in (party.of_c, party.checker):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            approve(made, who)
        assert refusal.value.code == "wrong_status"
    returning(party.of_a, deposit, {party.b: 300_000})  # All of it is there again.


@pytest.mark.parametrize("verb", [withdraw, submit])
def test_a_receiver_does_not_act_in_the_applicants_name(party, deposit, verb):
    made = returning(party.of_a, deposit, {party.b: 1})
    if verb is submit:
        send_back(made, party.of_b)
    with nothing_moves(), pytest.raises(NotAllowed):
        verb(made, party.of_b)
    lines = distribution(deposit, {party.b: 2})
    with nothing_moves(), pytest.raises(NotAllowed):
        edited(made, party.of_b, lines)


def test_r104_returns_never_exceed_the_deposit(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 200_000})
    approve(made, party.of_b)
    approve(made, party.checker)

    second = drafted(party.of_a, distribution(deposit, {party.c: 100_001}))
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        submit(second, party.of_a)
    assert refusal.value.code == "more_than_left"
    assert "100,000" in str(refusal.value)

    edited(second, party.of_a, distribution(deposit, {party.c: 100_000}))
    submit(second, party.of_a)
    approve(second, party.of_c)
    approve(second, party.checker)
    assert holds(party.a, party.cea) == {"available": 200_000}


def test_r104_what_is_under_review_counts(party, deposit):
    returning(party.of_a, deposit, {party.b: 200_000})
    second = drafted(party.of_a, distribution(deposit, {party.c: 100_001}))
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submit(second, party.of_a)


def test_r104_the_shares_of_one_application_add_up(party, deposit):
    made = drafted(party.of_a, distribution(deposit, {party.b: 200_000, party.c: 100_001}))
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submit(made, party.of_a)


def test_r104_each_deposit_is_its_own(party, deposit):
    """Another deposit of the same instrument does not count."""
    deposited(party.of_a, {party.cea: 200_000}, party.checker)
    made = drafted(party.of_a, distribution(deposit, {party.b: 300_001}))
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        submit(made, party.of_a)
    assert refusal.value.code == "more_than_left"


def test_a_deposit_under_review_cannot_be_returned(party, deposit):
    case = submitted(DEPOSIT, party.of_a, {party.cea: 9}, category="merger", reason="合并")
    made = drafted(party.of_a, distribution(case.id, {party.b: 9}))
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submit(made, party.of_a)


def test_anothers_deposit_cannot_be_returned(party, deposit):
    """D is linked with B and tries A's deposit."""
    link(party.d, [party.b], party.maker, party.checker)
    made = drafted(party.of_d, distribution(deposit, {party.b: 9}))
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submit(made, party.of_d)


def test_r105_a_receiver_meets_it_only_once_it_is_submitted(party, deposit):
    made = drafted(party.of_a, distribution(deposit, {party.b: 5}))
    for verb in (approve, send_back):
        with nothing_moves(), pytest.raises(NotFound):
            verb(made, party.of_b)

    submit(made, party.of_a)
    approve(made, party.of_b, comment="同意接收")

    row = db.session.get_one(Application, made)
    assert (row.events[-1].action, row.events[-1].comment) == ("approve", "同意接收")
    assert row.events[-1].member_id == party.of_b.id


def test_an_edited_return_is_its_applicants_alone_until_it_is_submitted_again(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 5})
    send_back(made, party.of_b)
    edited(made, party.of_a, distribution(deposit, {party.b: 6}))
    with nothing_moves(), pytest.raises(NotFound):
        approve(made, party.of_b)


def test_strangers_do_not_find_it(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 5})
    for verb in (approve, send_back, withdraw, submit):
        with nothing_moves(), pytest.raises(NotFound):
            verb(made, party.of_d)


def test_r106_an_enterprise_without_an_account_cannot_be_linked(party):
    with pytest.raises(IntegrityError, match="foreign key"):
        entered(LINK, party.a, party.maker, receivers=(999_999,), **NO_DOCUMENT)
    db.session.rollback()


def test_a_restricted_receiver_still_receives(party, deposit):
    """domain.md 11.7: credits are allowed."""
    made = returning(party.of_a, deposit, {party.b: 5})
    restrict(party.b)
    approve(made, party.of_b)
    approve(made, party.checker)
    assert holds(party.b, party.cea) == {"available": 5}


def test_a_restriction_of_the_depositor_blocks_the_return(party, deposit):
    made = returning(party.of_a, deposit, {party.b: 5})
    restrict(party.a)
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(made, party.of_b)
    assert refusal.value.code == "account_restricted"

    restrict(party.a, to=False)
    approve(made, party.of_b)
    restrict(party.a)
    with nothing_moves(), pytest.raises(NotAllowed):
        approve(made, party.checker)


def test_the_registrys_no_and_yes_are_by_people_who_had_no_part_in_it(party, deposit):
    """Officers of the registry start no returns; the previous reviewer may approve again."""
    made = returning(party.of_a, deposit, {party.b: 5})
    approve(made, party.of_b)
    send_back(made, party.checker)
    submit(made, party.of_a)
    approve(made, party.of_b)
    approve(made, party.checker)
    assert standing(made) == ("approved", 2)


def test_a_return_of_several_deposits_and_instruments(party, deposit):
    other = instrument("2022年度碳排放配额")
    give(party.a, other, 90)
    second = deposited(party.of_a, {party.cea: 1000, other: 90}, party.checker)
    lines = distribution(deposit, {party.b: 10}) + distribution(second, {party.b: 20, party.c: 30})
    made = drafted(party.of_a, lines)
    submit(made, party.of_a)
    for who in (party.of_c, party.of_b, party.checker):
        approve(made, who)

    assert holds(party.b, party.cea) == {"available": 30}
    assert (holds(party.c, party.cea), holds(party.c, other)) == ({"available": 30},) * 2
    assert holds(party.a, other) == {"custody": 40}
