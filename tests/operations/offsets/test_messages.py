"""Messages that are repeated, lost, contradicted or cut off: rules-2026 N88."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.delivery import ccer as delivery
from app.delivery.ccer_line import HttpCcerLine, LineError
from app.extensions import db, transaction
from app.models import OffsetMessage, OffsetMessageEvent, OffsetUnit, OutboxMessage
from app.operations.applications import engine
from app.operations.offsets import messages
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.offsets import lines


@pytest.fixture
def approved(line, maker):
    """A unit whose cancellation is to be ordered."""
    member = line.member()
    account = db.session.get_one(factories.Account, member.account_id)
    of = factories.notice(account, 100_000, by=maker, percent=5)
    unit = line.freeze(member, 4_000)
    case = lines.apply_for(member, of, unit)
    with transaction():
        hubei = Actor.of(factories.member("province", province="42"))
        engine.approve([case.id], hubei, now=clock.now(), comment="").one()
    return unit


def events(unit, kind="cancel"):
    message = lines.message_of(unit, kind)
    found = select(OffsetMessageEvent.what).where(OffsetMessageEvent.message_id == message.id)
    return list(db.session.scalars(found.order_by(OffsetMessageEvent.id)))


def test_a_message_that_comes_twice_has_one_effect(line, maker):
    member = line.member()
    number = line.registry.freeze(lines.ccer_account(member), 500)
    line.exchange()
    line.registry.repeat(number)
    line.exchange()
    assert line.registry.reply_to(number) == ("done", "")
    assert db.session.scalar(select(func.count(OffsetUnit.id))) == 1


def test_another_quantity_under_the_same_number_is_refused_and_told(line, maker):
    factories.member("registry_checker", email="checker@registry.example.cn")
    member = line.member()
    number = line.registry.freeze(lines.ccer_account(member), 500)
    line.exchange()
    line.registry.repeat(number, quantity=501)
    line.exchange()
    assert line.registry.reply_to(number)[0] == "refused"
    assert db.session.scalar(select(OffsetUnit.quantity)) == 500
    found = select(OutboxMessage.subject).where(OutboxMessage.purpose == "offset")
    assert any("contradicts" in subject for subject in db.session.scalars(found))


def test_a_refused_message_is_refused_again(line):
    number = line.registry.bind("CC1", "91420100MA00000000", "无此企业")
    line.exchange()
    first = line.registry.reply_to(number)
    line.registry.repeat(number)
    line.exchange()
    assert line.registry.reply_to(number) == first


@pytest.mark.parametrize("fault", ["lost_after", "lost_before", "unknown", "unsigned"])
def test_a_lost_answer_is_queried_by_number(line, approved, fault):
    """What never arrived goes again under its number; what was done is not done twice."""
    line.registry.fail("cancel", fault)
    line.exchange()
    line.exchange()
    assert lines.state_of(approved) == "registered"
    message = lines.message_of(approved, "cancel")
    assert line.registry.received[message.number] == (
        2 if fault in ("lost_before", "unknown") else 1
    )
    assert (
        db.session.scalar(
            select(func.count(OffsetMessage.id)).where(OffsetMessage.kind == "cancel")
        )
        == 1
    )
    assert events(approved) == ["pending", "sent", "unknown", "done"]


def test_an_answer_with_another_quantity_changes_nothing(line, approved):
    factories.member("registry_checker", email="checker@registry.example.cn")
    line.registry.fail("cancel", "quantity")
    line.exchange()
    assert lines.state_of(approved) == "cancel_ordered"
    assert "contradiction" in events(approved)
    lines.later(minutes=3)
    line.exchange()
    assert lines.state_of(approved) == "registered"


class Killed(BaseException):
    """The worker is killed here."""


@pytest.mark.parametrize("when", ["before it is sent", "after it is sent", "while it is booked"])
def test_killed_at_any_step_it_is_finished_by_the_next_run(line, approved, when, monkeypatch):
    def die(*_given, **_more):
        raise Killed

    kept = HttpCcerLine.send

    def send_and_die(self, message):
        kept(self, message)
        raise Killed

    with monkeypatch.context() as patch:
        if when == "while it is booked":
            patch.setattr(messages, "answer", die)
        else:
            patch.setattr(HttpCcerLine, "send", die if when.startswith("before") else send_and_die)
        with pytest.raises(Killed):
            line.exchange()
    db.session.rollback()
    assert lines.state_of(approved) == "cancel_ordered"
    line.exchange()
    assert lines.state_of(approved) == "cancel_ordered"  # It waits for the answer that may come.
    lines.later(minutes=3)
    line.exchange()
    assert lines.state_of(approved) == "registered"
    assert line.registry.received[lines.message_of(approved, "cancel").number] == 1


def test_killed_between_taking_and_acknowledging_a_freeze(line, maker, monkeypatch):
    member = line.member()
    number = line.registry.freeze(lines.ccer_account(member), 500)

    def die(*_given, **_more):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(HttpCcerLine, "acknowledge", die)
        with pytest.raises(Killed):
            line.exchange()
    line.exchange()
    assert line.registry.reply_to(number) == ("done", "")
    assert db.session.scalar(select(func.count(OffsetUnit.id))) == 1


def test_query_now(line, approved, maker):
    line.registry.fail("cancel", "lost_after")
    line.exchange()
    message = lines.message_of(approved, "cancel")
    assert message.state == "unknown" or lines.state_of(approved) == "registered"
    with transaction():
        if message.state == "unknown":
            messages.query_now(message.id, Actor.of(maker), now=clock.now())
    line.exchange()
    assert lines.state_of(approved) == "registered"


def test_an_item_that_is_not_signed_by_the_ccer_registry_is_not_taken(line):
    other = lines.ECKey.generate_key("P-256")
    forged = HttpCcerLine(line.http._address, lines.jwk(lines.OURS, private=True), lines.jwk(other))
    with pytest.raises(LineError):
        forged.incoming()
    delivery.exchange_with(forged)
    assert db.session.scalar(select(func.count(OffsetMessage.id))) == 0


def test_nobody_but_the_registry_is_listened_to(line):
    other = lines.ECKey.generate_key("P-256")
    stranger = HttpCcerLine(
        line.http._address, lines.jwk(other, private=True), lines.jwk(lines.THEIRS)
    )
    with pytest.raises(LineError, match="HTTP 401"):
        stranger.incoming()
