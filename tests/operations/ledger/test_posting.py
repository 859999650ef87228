"""The one posting path: many requests in one call, all or none, idempotent."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, RuleError
from app.domain.moves import Bucket, Move, Pocket, PostingRequest, Stage, within
from app.extensions import db, transaction
from app.models import Entry, Holding, Posting
from app.operations.ledger import posting
from app.operations.ledger.verification import verify_ledger
from tests.factories import TRIAL, account, at, give, instrument, nothing_moves, quantity

OUT = (Bucket.AVAILABLE, Bucket.TRADING)


def request(*moves: Move, key: str = "") -> PostingRequest:
    return PostingRequest(TRIAL, Stage.APPROVAL, key or str(uuid4()), moves)


def post(*requests: PostingRequest, now=None) -> dict[str, int]:
    with transaction():
        return posting.post(requests, at=now or at("10:00"))


def reverse(*postings: int) -> dict[int, int]:
    with transaction():
        return posting.reverse(postings, stage=Stage.WITHDRAWAL, at=at("11:00"), member_id=None)


def test_many_requests_are_posted_in_one_call(plant, cea, holds):
    keys = [f"request {n}" for n in range(50)]

    made = post(*(request(within(plant.id, cea.id, *OUT, 2), key=key) for key in keys))

    assert sorted(made) == sorted(keys)
    assert len(set(made.values())) == 50
    assert holds() == {"available": 600, "trading": 100}
    assert verify_ledger().is_sound


def test_one_that_lacks_tonnes_takes_all_of_them_back(plant, cea):
    good = request(within(plant.id, cea.id, *OUT, 700))
    bad = request(within(plant.id, cea.id, *OUT, 1))

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="another request was faster"):
        post(good, bad)


def test_a_request_key_posts_once_for_ever(plant, cea):
    post(request(within(plant.id, cea.id, *OUT, 5), key="one"))

    with nothing_moves(), pytest.raises(RuleError) as refusal:
        post(request(within(plant.id, cea.id, *OUT, 5), key="one"))
    assert refusal.value.code == "done_before"

    with nothing_moves(), pytest.raises(RuleError):
        post(*(request(within(plant.id, cea.id, *OUT, 5), key="two") for _ in range(2)))


def test_a_posting_is_reversed_completely_and_once(plant, cea, holds):
    cea21 = instrument("CEA21")
    give(plant, cea21, 50)
    made = post(
        request(within(plant.id, cea.id, *OUT, 100), within(plant.id, cea21.id, *OUT, 50), key="k")
    )["k"]

    turned = reverse(made)

    assert holds() == {"available": 700}
    assert holds(what=cea21) == {"available": 50}
    row = db.session.get_one(Posting, turned[made])
    assert (row.reverses_id, row.stage, row.request_key) == (made, "withdrawal", f"reverse:{made}")
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        reverse(made)
    assert refusal.value.code == "done_before"
    assert verify_ledger().is_sound


def test_spent_tonnes_cannot_be_reversed(plant, cea, holds):
    made = post(request(within(plant.id, cea.id, *OUT, 700), key="k"))["k"]
    post(request(within(plant.id, cea.id, Bucket.TRADING, Bucket.CANCELLED, 1)))

    with nothing_moves(), pytest.raises(InsufficientQuantity):
        reverse(made)


def test_a_movement_between_accounts_opens_the_receivers_holding(plant, cea, holds):
    newcomer = account("乙水泥有限公司")
    move = Move(
        Pocket(plant.id, cea.id, Bucket.AVAILABLE), Pocket(newcomer.id, cea.id, Bucket.AVAILABLE), 9
    )

    post(request(move))

    assert holds() == {"available": 691}
    assert holds(of=newcomer) == {"available": 9}
    assert verify_ledger().is_sound


def test_a_debit_without_a_holding_fails(plant, cea):
    empty = instrument("CEA21")

    # The trigger finds no holding to take from: a fault of ours, not a rule for people.
    with nothing_moves(), pytest.raises(IntegrityError, match="does not exist"):
        post(request(within(plant.id, empty.id, *OUT, 1)))


def test_entries_carry_what_was_before_and_after(plant, cea):
    post(
        request(within(plant.id, cea.id, *OUT, 100)),
        request(within(plant.id, cea.id, Bucket.TRADING, Bucket.AVAILABLE, 30)),
    )

    rows = (
        db.session.query(Entry.seq, Entry.bucket, Entry.delta, Entry.after)
        .filter_by(account_id=plant.id)
        .order_by(Entry.seq)
        .all()
    )
    assert rows == [
        (1, Bucket.AVAILABLE, 700, 700),
        (2, Bucket.AVAILABLE, -100, 600),
        (3, Bucket.TRADING, 100, 100),
        (4, Bucket.TRADING, -30, 70),
        (5, Bucket.AVAILABLE, 30, 630),
    ]


def test_time_in_the_entries_never_runs_backwards(plant, cea):
    post(request(within(plant.id, cea.id, *OUT, 1)), now=at("14:00"))
    post(request(within(plant.id, cea.id, *OUT, 1)), now=at("13:00"))

    times = [
        row.at for row in db.session.query(Entry).filter_by(account_id=plant.id).order_by(Entry.seq)
    ]
    assert times == sorted(times)
    assert times[-1] == at("14:00")
    assert db.session.get_one(Holding, (plant.id, cea.id)).moved_at == at("14:00")
    assert verify_ledger().is_sound


def test_the_sum_of_everything_is_zero(plant, cea):
    other = account("乙水泥有限公司")
    give(other, cea, 10**12)

    assert quantity(other, cea) == 10**12
    total = db.session.scalar(
        db.text("SELECT sum(available + trading + issued) FROM holding WHERE instrument_id = :id"),
        {"id": cea.id},
    )
    assert total == 0
