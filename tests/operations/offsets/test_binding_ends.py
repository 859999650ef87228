"""The end of a confirmed binding of the two CCER accounts, and another one afterwards (rules-2026 N83)."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select

from app.domain.errors import NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import Account, OffsetBinding, OffsetMessage
from app.operations.applications import engine
from app.operations.offsets import applying
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import confirmed
from tests.operations.offsets import lines


def ending(by, about=None, *, kind="offset_binding_end", submits=True, **more):
    """Ask for the end of a binding, which nobody has confirmed; return the application's id."""
    about = about or by.account_id
    draft = engine.Draft(kind, about, (), str(uuid4()), "账户调整",
                         proposal=applying.end_proposal(about), **more)  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def states(by):
    db.session.rollback()
    found = select(OffsetBinding.state).where(OffsetBinding.account_id == by.account_id)
    return db.session.scalars(found.order_by(OffsetBinding.id)).all()


def test_n83_a_binding_ends_and_another_one_follows(line, maker):
    member = line.member()
    unit = line.freeze(member, 1_000)
    with pytest.raises(RuleError) as refusal:
        ending(member)
    assert (refusal.value.code, unit.serial in str(refusal.value)) == ("ccer_under_way", True)
    _released(line, member, unit)

    made = ending(member)
    assert states(member) == ["confirmed"]
    confirmed(made, maker)
    assert states(member) == ["ended"]
    line.exchange()
    assert line.registry.state["accounts"][lines.ccer_account(member)]["answer"] == "ended"
    message = db.session.scalars(select(OffsetMessage).where(OffsetMessage.number.like("ETS-E%")))
    assert message.one().state == "done"
    number = line.registry.freeze(lines.ccer_account(member), 5)
    line.exchange()
    assert line.registry.reply_to(number)[0] == "refused"

    line.bind(member)
    assert states(member) == ["ended", "confirmed"]
    line.freeze(member, 7)


def _released(line, member, unit):
    number = line.registry.ask_release(unit.serial)
    line.exchange()
    assert line.registry.reply_to(number)[0] == "done"


def test_the_registry_ends_it_on_a_document_by_two(line, maker, checker):
    member = line.member()
    about, kind = member.account_id, "offset_binding_end_by_registry"
    with pytest.raises(RuleError) as refusal:
        ending(maker, about, kind=kind)
    assert refusal.value.code == "document_missing"
    made = ending(maker, about, kind=kind, document_no="环办函〔2026〕9号")
    with pytest.raises(NotAllowed):
        confirmed(made, maker)
    confirmed(made, checker)
    assert states(member) == ["ended"]
    with pytest.raises(RuleError, match="No CCER account is bound"):
        ending(member)


def test_what_was_frozen_meanwhile_keeps_the_binding(line, maker):
    member = line.member()
    made = ending(member)
    line.freeze(member, 3)
    with pytest.raises(RuleError) as refusal:
        confirmed(made, maker)
    assert (refusal.value.code, states(member)) == ("ccer_under_way", ["confirmed"])


def test_nobody_ends_the_binding_of_another(line, maker):
    member = line.member()
    other = factories.member(of=factories.account("乙"))
    draft = engine.Draft("offset_binding_end", other.account_id, (), "k", "错误",
                         proposal=applying.end_proposal(member.account_id))  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(other), now=clock.now())
    with pytest.raises(RuleError) as refusal, transaction():
        engine.submit(made, Actor.of(other), now=clock.now()).one()
    assert refusal.value.code == "ccer_not_bound"


def test_a_unit_is_mirrored_for_who_is_bound_alone(line, maker):
    """The trigger has the binding's lock: whoever ends it waits, and then sees the unit."""
    member = line.member()
    unit = line.freeze(member, 3)
    other = db.session.scalar(select(Account.id).where(Account.kind == "enterprise").limit(1))
    assert other == unit.account_id
    stranger = factories.account("乙")
    with pytest.raises(Exception, match="bound to none"), transaction():
        db.session.execute(
            db.text(
                "INSERT INTO offset_unit (account_id, project_no, project_name, project_type, period_from,"
                " period_to, registered_on, first_serial, last_serial, quantity, in_ets, received_at,"
                " changed_at) SELECT :to, project_no, project_name, project_type, period_from, period_to,"
                " registered_on, 900, 902, 3, in_ets, received_at, changed_at FROM offset_unit"
            ),
            {"to": stranger.id},
        )
