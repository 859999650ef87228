"""Requests of the exchange's system, and the transfer permission."""

from __future__ import annotations

import pytest

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, OperationLog, TransferPermissionChange
from app.operations.accounts import accounts
from app.operations.exchange import trading
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import account, at, give, nothing_moves


def ask(number, plant, what, tonnes, direction="in", **more):
    known = {
        "request_no": number,
        "direction": direction,
        "member_no": plant.member_no,
        "instrument_code": what.code,
        "quantity": tonnes,
        "venue_code": "ZGW",
    }
    return trading.TransferRequest(**known | more)


def receive(*requests, now=None):
    with transaction():
        return trading.receive_transfers(requests, now=now or clock.now())


def permit(plant, operator, *, allowed=True):
    with transaction():
        accounts.allow_exchange_transfer(
            plant.id, Actor.of(operator, ip="10.1.2.3"), allowed=allowed, now=at("10:00")
        )


def test_without_permission_it_is_refused_kept_and_nothing_moves(plant, cea):
    request = ask("T1", plant, cea, 100)

    with nothing_moves():
        (answer,) = receive(request)

    assert (answer.status, answer.number[:2]) == ("refused", "JD")
    assert "permission" in answer.refusal
    row = db.session.query(Application).one()
    assert (row.status, row.refusal) == ("refused", answer.refusal)


def test_with_permission_the_tonnes_leave_at_once(plant, operator, cea, holds):
    permit(plant, operator)

    (answer,) = receive(ask("T1", plant, cea, 100))

    assert (answer.status, answer.refusal) == ("pending_settlement", "")
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_a_transfer_to_the_registry_needs_no_permission(plant, cea, holds):
    give(plant, cea, 50, Bucket.TRADING)

    (answer,) = receive(ask("T1", plant, cea, 50, "out"))

    assert answer.status == "pending_settlement"
    assert holds() == {"available": 700, "pending_to_registry": 50}


def test_the_same_number_again_is_answered_and_moves_nothing(plant, operator, cea):
    permit(plant, operator)
    first = receive(ask("T1", plant, cea, 100))

    with nothing_moves():
        assert receive(ask("T1", plant, cea, 100)) == first

    assert db.session.query(Application).count() == 1


def test_a_refusal_is_final_for_its_number(plant, operator, cea):
    first = receive(ask("T1", plant, cea, 100))
    permit(plant, operator)

    with nothing_moves():
        assert receive(ask("T1", plant, cea, 100)) == first


def test_each_request_of_a_batch_is_independent(plant, operator, cea, holds):
    permit(plant, operator)
    other = account("乙水泥有限公司")

    answers = receive(
        ask("T1", plant, cea, 400),
        ask("T2", plant, cea, 301),
        ask("T3", other, cea, 1),
        ask("T4", plant, cea, 300),
        ask("T5", plant, cea, 1, member_no="nobody"),
        ask("T6", plant, cea, 1, instrument_code="nothing"),
        ask("T7", plant, cea, 1, venue_code="nowhere"),
        ask("T8", plant, cea, 1, "sideways"),
    )

    assert [answer.status for answer in answers] == [
        "pending_settlement",
        "refused",
        "refused",
        "pending_settlement",
        *["refused"] * 4,
    ]
    assert [answer.request_no for answer in answers] == [f"T{n}" for n in range(1, 9)]
    assert all(answer.refusal for answer in answers if answer.status == "refused")
    assert [bool(answer.number) for answer in answers] == [True] * 4 + [False] * 4
    assert holds() == {"pending_to_trading": 700}
    assert verify_ledger().is_sound


def test_outside_trading_hours_it_is_refused(plant, operator, cea):
    permit(plant, operator)

    with nothing_moves():
        (answer,) = receive(ask("T1", plant, cea, 100), now=at("15:00"))

    assert answer.status == "refused"
    assert "15:00" in answer.refusal


def test_a_switch_of_the_permission_is_kept(plant, operator):
    permit(plant, operator)
    permit(plant, operator, allowed=False)

    changes = db.session.query(TransferPermissionChange).order_by("id").all()
    assert [(c.is_allowed, c.changed_by, c.ip) for c in changes] == [
        (True, operator.id, "10.1.2.3"),
        (False, operator.id, "10.1.2.3"),
    ]
    assert db.session.query(OperationLog).filter_by(subject=plant.member_no).count() == 2


@pytest.mark.parametrize("allowed", [True, False])
def test_switching_to_what_it_is_writes_nothing(plant, operator, allowed):
    if allowed:
        permit(plant, operator)
    before = db.session.query(TransferPermissionChange).count()

    with pytest.raises(RuleError) as refusal:
        permit(plant, operator, allowed=allowed)

    assert refusal.value.code == "unchanged"
    assert db.session.query(TransferPermissionChange).count() == before


def test_a_number_used_before_with_other_content_is_refused(plant, operator, cea, holds):
    permit(plant, operator)
    receive(ask("T1", plant, cea, 100))

    with nothing_moves():
        (answer,) = receive(ask("T1", plant, cea, 101))

    assert (answer.status, answer.number) == ("refused", "")
    assert "other content" in answer.refusal
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_a_number_twice_in_one_batch_with_other_content_is_carried_out_once(
    plant, operator, cea, holds
):
    permit(plant, operator)

    first, second = receive(ask("T1", plant, cea, 100), ask("T1", plant, cea, 200))

    assert first.status == "pending_settlement"
    assert "other content" in second.refusal
    assert holds() == {"available": 600, "pending_to_trading": 100}


@pytest.mark.parametrize(
    ("number", "tonnes"), [("", 1), ("x" * 61, 1), ("T1", 0), ("T1", -5), ("T1", 10**12 + 1)]
)
def test_a_request_that_cannot_be_stored_is_refused_alone(plant, operator, cea, number, tonnes):
    permit(plant, operator)

    bad, good = receive(ask(number, plant, cea, tonnes), ask("T2", plant, cea, 1))

    assert (bad.status, bad.number) == ("refused", "")
    assert good.status == "pending_settlement"
