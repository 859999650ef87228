"""CCER as a mirror of another registry: rules-2026 N80-N87 and N91, with their numbers."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import (
    Attestation,
    OffsetBinding,
    OffsetEvent,
    OffsetMessage,
    OffsetUnit,
    OutboxMessage,
)
from app.operations.applications import engine
from app.operations.compliance import attestations
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import changed, colleague, give, instrument, nothing_moves
from tests.operations.offsets import lines

PERCENT = 5


@pytest.fixture
def enterprise(line):
    return line.member()


@pytest.fixture
def hubei(app):
    return factories.member("province", province="42")


@pytest.fixture
def notice(enterprise, maker):
    """Return a function that issues a notice to the enterprise."""

    def issue(obligation, *, of=None, year=2025, percent=PERCENT, accepts=()):
        account = db.session.get_one(factories.Account, (of or enterprise).account_id)
        return factories.notice(account, obligation, accepts, by=maker, year=year, percent=percent)

    return issue


def approve(case, by):
    with transaction():
        return engine.approve([case.id], Actor.of(by), now=clock.now(), comment="同意").one()


def send_back(case, by):
    with transaction():
        return engine.send_back([case.id], Actor.of(by), now=clock.now(), comment="请核对").one()


def figures(notice_id):
    db.session.rollback()
    row = db.session.execute(
        text("SELECT * FROM notice_surrender WHERE notice_id = :id"), {"id": notice_id}
    ).one_or_none()
    return (row.surrendered, row.pending) if row else (0, 0)


def test_a_unit_goes_from_frozen_there_to_counting_here(line, enterprise, notice, hubei):
    """N81: it counts once its cancellation is confirmed, not at the approval."""
    of = notice(100_000)
    unit = line.freeze(enterprise, 4_000)
    with nothing_moves():
        case = lines.apply_for(enterprise, of, unit)
        assert (lines.state_of(unit), figures(of)) == ("in_application", (0, 4_000))
        approve(case, hubei)
        assert (lines.state_of(unit), figures(of)) == ("approved", (0, 4_000))

        line.exchange()

    assert (lines.state_of(unit), figures(of)) == ("registered", (4_000, 0))
    assert line.registry.units("cancelled") == {unit.serial: 4_000}
    found = select(OffsetEvent.state).where(OffsetEvent.unit_id == unit.id)
    assert list(db.session.scalars(found.order_by(OffsetEvent.id))) == [
        "frozen", "in_application", "approved", "cancel_ordered", "cancelled", "registered",
    ]  # fmt: skip
    assert verify_ledger().is_sound


def test_the_certificate_names_project_and_quantity(line, enterprise, notice, hubei):
    """N91: issued with the confirmation that fulfils the year."""
    cea = instrument("CEA25", vintage=2025)
    give(db.session.get_one(factories.Account, enterprise.account_id), cea, 95_000)
    of = notice(100_000)
    unit = line.freeze(enterprise, 5_000, project_no="CCER-01-2024-0007", project_name="海上风电")
    allowances = factories.submitted("surrender", enterprise, {cea: 95_000}, notice_id=of)
    approve(allowances, hubei)
    approve(lines.apply_for(enterprise, of, unit), hubei)
    assert attestations.of_notice(of) is None

    line.exchange()

    (certificate,) = db.session.scalars(select(Attestation)).all()
    assert certificate.content["total"] == 100_000
    (ccer,) = [each for each in certificate.content["lines"] if "CCER" in each["code"]]
    assert ccer == {
        "code": "CCER-01-2024-0007",
        "name": f"CCER：海上风电（序列号段{unit.serial}）",
        "vintage": 2023,
        "quantity": 5_000,
    }


# N80 -----------------------------------------------------------------------------------------


def test_a_binding_is_started_there_and_confirmed_here_one_to_one(line):
    member = factories.member(of=factories.account(uscc=lines.uscc()))
    account = db.session.get_one(factories.Account, member.account_id)
    first = line.registry.bind("CC1", account.uscc, account.name)
    line.exchange()
    assert line.registry.reply_to(first) == ("done", "")
    assert db.session.scalar(select(OffsetBinding.state)) == "asked"
    number = line.registry.freeze("CC1", 100)
    line.exchange()
    assert line.registry.reply_to(number)[0] == "refused"  # Not before it is confirmed.

    second = line.registry.bind("CC2", account.uscc, account.name)
    lines.answer_binding(member)
    line.exchange()

    assert line.registry.reply_to(second)[0] == "refused"
    assert line.registry.state["accounts"]["CC1"]["answer"] == "confirmed"
    assert line.registry.units("refused")


def test_a_declined_binding_makes_room_for_the_right_one(line):
    member = factories.member(of=factories.account(uscc=lines.uscc()))
    account = db.session.get_one(factories.Account, member.account_id)
    line.registry.bind("CC1", account.uscc, account.name)
    line.exchange()
    lines.answer_binding(member, "declined")
    line.registry.bind("CC2", account.uscc, account.name)
    line.exchange()
    lines.answer_binding(member)
    line.exchange()
    assert line.registry.state["accounts"]["CC1"]["answer"] == "declined"
    assert line.registry.state["accounts"]["CC2"]["answer"] == "confirmed"


def test_nobody_answers_the_binding_of_another(line, enterprise):
    other = factories.member(of=factories.account("乙"))
    binding = db.session.scalars(select(OffsetBinding)).one()
    proposal = {"binding": binding.id, "ccer_account": binding.ccer_account, "answer": "confirmed"}
    draft = engine.Draft("offset_binding", other.account_id, (), "k", proposal=proposal)
    with transaction():
        made = engine.start([draft], Actor.of(other), now=clock.now())
    with pytest.raises(RuleError) as refusal, transaction():
        engine.submit(made, Actor.of(other), now=clock.now()).one()
    assert refusal.value.code == "binding_not_asked"


def test_a_code_that_no_account_has_is_refused(line):
    number = line.registry.bind("CC1", "91420100MA00000000", "无此企业")
    line.exchange()
    outcome, reason = line.registry.reply_to(number)
    assert outcome == "refused"
    assert "91420100MA00000000" in reason


# N82, N83 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sent back", "withdrawn"])
def test_what_is_not_approved_is_released_there(line, enterprise, notice, hubei, how):
    """N82: blocked until the release is confirmed."""
    of = notice(100_000)
    unit = line.freeze(enterprise, 4_000)
    case = lines.apply_for(enterprise, of, unit)
    if how == "sent back":
        send_back(case, hubei)
    else:
        with transaction():
            engine.withdraw([case.id], Actor.of(enterprise), now=clock.now()).one()
    assert (lines.state_of(unit), figures(of)) == ("release_ordered", (0, 0))
    with pytest.raises(NotAllowed) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == "unit_taken"
    line.registry.fail("release", "refuse")
    line.exchange()
    assert lines.state_of(unit) == "release_ordered"  # Not confirmed: it stays blocked.

    with transaction():
        from app.operations.offsets import messages

        officer = Actor.of(factories.member("registry_maker"))
        refused = lines.message_of(unit, "release").id
        messages.release_again(refused, officer, now=clock.now())
    with pytest.raises(NotAllowed), transaction():
        messages.release_again(refused, officer, now=clock.now())
    line.exchange()

    assert lines.state_of(unit) == "released"
    assert line.registry.units("free") == {unit.serial: 4_000}


def test_a_refused_cancellation_is_released_and_does_not_count(line, enterprise, notice, hubei):
    of = notice(100_000)
    unit = line.freeze(enterprise, 4_000)
    approve(lines.apply_for(enterprise, of, unit), hubei)
    line.registry.fail("cancel", "refuse")
    line.exchange()
    line.exchange()
    assert (lines.state_of(unit), figures(of)) == ("released", (0, 0))
    assert verify_ledger().is_sound


def test_the_holder_has_a_free_unit_back_and_no_other(line, enterprise, notice):
    of = notice(100_000)
    free, taken = (line.freeze(enterprise, 1_000) for _n in range(2))
    lines.apply_for(enterprise, of, taken)
    asked = [line.registry.ask_release(each.serial) for each in (free, taken)]
    line.exchange()
    assert [line.registry.reply_to(each)[0] for each in asked] == ["done", "refused"]
    assert (lines.state_of(free), lines.state_of(taken)) == ("released", "in_application")


def test_serials_are_mirrored_once(line, enterprise):
    unit = line.freeze(enterprise, 1_000, first_serial=5_001)
    other = line.member("乙")
    number = line.registry.freeze(lines.ccer_account(other), 500, first_serial=5_900)
    line.exchange()
    outcome, reason = line.registry.reply_to(number)
    assert outcome == "refused"
    assert "5900~6399" in reason
    assert line.freeze(other, 500, first_serial=6_001).id != unit.id


def test_an_instrument_of_kind_offset_is_refused_by_the_database(line):
    """N83, C8: nothing of CCER is an instrument, and so nothing else can be done with it."""
    instrument("CCER", trade_code=None)
    with pytest.raises(IntegrityError), transaction():
        db.session.execute(text("UPDATE instrument SET kind = 'offset'"))


# N84 to N87 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("obligation", "most"), [(1_234_567, 61_728), (20, 1)])
def test_the_share_is_rounded_down(line, enterprise, notice, obligation, most):
    of = notice(obligation)
    above, within = (line.freeze(enterprise, each) for each in (most + 1, most))
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        lines.apply_for(enterprise, of, above)
    assert refusal.value.code == "offset_limit"
    assert f"{most:,}" in str(refusal.value)
    lines.apply_for(enterprise, of, within)


def test_of_nineteen_tonnes_nothing_is_offset(line, enterprise, notice):
    of = notice(19)
    unit = line.freeze(enterprise, 1)
    with pytest.raises(InsufficientQuantity) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == "offset_limit"


def test_what_waits_is_within_the_share(line, enterprise, notice, hubei):
    """N84: under review and under way together."""
    of = notice(100_000)
    units = [line.freeze(enterprise, 2_000) for _n in range(3)]
    approve(lines.apply_for(enterprise, of, units[0]), hubei)
    lines.apply_for(enterprise, of, units[1])
    with pytest.raises(InsufficientQuantity) as refusal:
        lines.apply_for(enterprise, of, units[2])
    assert refusal.value.code == "offset_limit"


def test_the_share_holds_in_the_database_too(line, enterprise, notice, monkeypatch):
    of = notice(100_000)
    unit = line.freeze(enterprise, 5_001)
    from app.domain.kinds import KINDS

    monkeypatch.setitem(vars(KINDS["offset"]), "guards", ())
    with pytest.raises(InsufficientQuantity) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == "insufficient_quantity"
    assert lines.state_of(unit) == "frozen"


@pytest.mark.parametrize(("registered", "is_taken"), [("2024-01-21", False), ("2024-01-22", True)])
@pytest.mark.parametrize("by", ["program", "database"])
def test_the_day_of_registration(line, enterprise, notice, registered, is_taken, by, monkeypatch):
    """N85."""
    of = notice(100_000)
    unit = line.freeze(enterprise, 100, registered_on=registered)
    if by == "database":
        from app.domain.kinds import KINDS

        monkeypatch.setitem(vars(KINDS["offset"]), "guards", ())
    if is_taken:
        lines.apply_for(enterprise, of, unit)
        return
    with pytest.raises(RuleError) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == (
        "registered_too_early" if by == "program" else "insufficient_quantity"
    )


@pytest.mark.parametrize("by", ["program", "database"])
def test_a_project_inside_the_boundary_is_refused(line, enterprise, notice, by, monkeypatch):
    """N86."""
    of = notice(100_000)
    unit = line.freeze(enterprise, 100, in_ets=True)
    if by == "database":
        from app.domain.kinds import KINDS

        monkeypatch.setitem(vars(KINDS["offset"]), "guards", ())
    with pytest.raises(RuleError) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == ("inside_boundary" if by == "program" else "insufficient_quantity")


def test_old_stock_is_cancelled_first_and_counts_for_2023_alone(line, enterprise, notice, hubei):
    """N85: the other order of messages; until 2024-12-31."""
    lines.at(datetime(2024, 11, 1, 10, 0, tzinfo=BEIJING))
    of = notice(100_000, year=2023)
    unit = line.freeze(enterprise, 4_000, kind="report", registered_on="2017-03-13")
    returned = lines.apply_for(enterprise, of, unit)
    send_back(returned, hubei)
    assert lines.state_of(unit) == "frozen"  # There is nothing to release.

    approve(lines.apply_for(enterprise, of, unit), hubei)

    assert (lines.state_of(unit), figures(of)) == ("registered", (4_000, 0))
    assert not db.session.scalars(select(OffsetMessage).where(OffsetMessage.kind == "cancel")).all()


@pytest.mark.parametrize(("moment", "year"), [("2025-01-01", 2023), ("2024-12-20", 2024)])
def test_old_stock_is_refused_later_and_for_later_years(line, enterprise, notice, moment, year):
    lines.at(datetime.combine(date.fromisoformat(moment), datetime.min.time(), tzinfo=BEIJING))
    of = notice(100_000, year=year)
    unit = line.freeze(enterprise, 4_000, kind="report", registered_on="2017-03-13")
    with pytest.raises(RuleError) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code in ("registered_too_early", "offset_late")


def test_newer_ccer_cannot_be_reported_as_old_stock(line, enterprise):
    number = line.registry.freeze(
        lines.ccer_account(enterprise), 10, kind="report", registered_on="2017-03-14"
    )
    line.exchange()
    assert line.registry.reply_to(number)[0] == "refused"


def test_an_own_last_day(line, enterprise, notice):
    """N87."""
    factories.plan(2025, "power", offset_by=date(2026, 11, 22))
    of = notice(100_000)
    unit = line.freeze(enterprise, 100)
    with pytest.raises(RuleError) as refusal:
        lines.apply_for(enterprise, of, unit)
    assert refusal.value.code == "offset_late"


def test_no_obligation_sinks_beneath_what_is_under_way(line, enterprise, notice, hubei, maker):
    """What is approved will count once it is confirmed, whatever happens meanwhile."""
    of = notice(100_000)
    unit = line.freeze(enterprise, 5_000)
    approve(lines.apply_for(enterprise, of, unit), hubei)
    with pytest.raises(RuleError) as refusal:
        changed(of, by=maker, obligation=4_999)
    assert refusal.value.code == "beneath_surrendered"
    # More than the share by now: it is cancelled for good, and nothing refunds it.
    factories.confirmed(changed(of, by=maker, obligation=5_000), colleague(maker))
    line.exchange()
    assert figures(of) == (5_000, 0)


def test_allowances_are_not_approved_beyond_what_is_under_way(
    line, enterprise, notice, hubei, maker
):
    cea = instrument("CEA25", vintage=2025)
    give(db.session.get_one(factories.Account, enterprise.account_id), cea, 100_000)
    of = notice(105_000)
    unit = line.freeze(enterprise, 5_000)
    surrender = factories.submitted("surrender", enterprise, {cea: 100_000}, notice_id=of)
    approve(lines.apply_for(enterprise, of, unit), hubei)
    factories.confirmed(changed(of, by=maker, obligation=100_000), colleague(maker))
    with pytest.raises(InsufficientQuantity) as refusal:
        approve(surrender, hubei)
    assert refusal.value.code == "above_due"
    line.exchange()
    assert figures(of)[0] == 5_000


def test_others_units_are_not_ones_own(line, enterprise, notice):
    other = line.member("乙")
    unit = line.freeze(other, 100)
    of = notice(100_000)
    proposal = {"units": [{"unit": unit.id, "serial": unit.serial, "quantity": 100}], "total": 100}
    draft = engine.Draft("offset", enterprise.account_id, (), "k", notice_id=of, proposal=proposal)
    with transaction():
        made = engine.start([draft], Actor.of(enterprise), now=clock.now())
    with pytest.raises(RuleError) as refusal, transaction():
        engine.submit(made, Actor.of(enterprise), now=clock.now()).one()
    assert refusal.value.code == "unit_unknown"


def test_a_unit_is_written_by_the_database_alone(line, enterprise):
    unit = line.freeze(enterprise, 100)
    for statement in (
        "UPDATE offset_unit SET state = 'registered'",
        "DELETE FROM offset_unit",
        "UPDATE offset_message SET state = 'done'",
        "INSERT INTO offset_event (unit_id, state, at) SELECT id, 'registered', now() FROM offset_unit",
    ):
        with pytest.raises(Exception, match="permission denied"), transaction():
            db.session.execute(text(statement))
    with pytest.raises(IntegrityError), transaction():
        db.session.execute(
            text(
                "INSERT INTO offset_message (direction, number, kind, account_id, unit_id, state, due_at,"
                " created_at, changed_at) SELECT 'out', 'x', 'cancel', account_id, id, 'done', now(),"
                " now(), now() FROM offset_unit"
            )
        )
    assert lines.state_of(unit) == "frozen"
    assert db.session.scalar(select(OffsetUnit.quantity)) == 100
    assert db.session.scalars(select(OutboxMessage.purpose)).all() != []
