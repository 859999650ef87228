"""The engine: a transfer from draft to settlement, and what refuses it."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import (
    InsufficientQuantity,
    NotAllowed,
    NotFound,
    OutsideTradingHours,
    RuleError,
)
from app.domain.moves import LARGEST_REQUEST, Bucket
from app.domain.workflow import Line, Status
from app.extensions import db, transaction
from app.models import Application, OperationLog
from app.operations.applications import engine, rows
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import EXCHANGE, SYSTEM, Actor
from tests.factories import (
    account,
    at,
    draft,
    give,
    instrument,
    member,
    nothing_moves,
    submitted,
    venue,
)
from tests.views.toys import counting

KIND = "registry_to_trading"


def submit(*ids: int, by, now=None):
    with transaction():
        return engine.submit(ids, _actor(by), now=now or clock.now())


def withdraw(*ids: int, by, now=None):
    with transaction():
        return engine.withdraw(ids, _actor(by), now=now or clock.now(), comment="填错了")


def settle(day: int = 20):
    with transaction():
        return settlement.settle_day(at("15:00", day=day).date(), SYSTEM, now=at("16:00", day=day))


def asked_for(kind, by, lines, key, *, reason=""):
    lines = tuple(Line(what.id, tonnes, venue_id=venue().id) for what, tonnes in lines.items())
    content = engine.Draft(kind, by.account_id, lines, key, reason)
    with transaction():
        (made,) = engine.start([content], Actor.of(by), now=clock.now())
    return made


def _actor(by):
    return by if isinstance(by, Actor) else Actor.of(by, ip="10.1.2.3")


def read(application_id: int) -> Application:
    db.session.expire_all()
    return db.session.get_one(Application, application_id)


# Submission --------------------------------------------------------------------------------


def test_the_manuals_example(plant, operator, cea, holds):
    """700+0+0+0+0 → 600+0+100+0+0 → day-end → 600+0+0+100+0 (domain.md R10)."""
    assert holds() == {"available": 700}
    submitted(KIND, operator, {cea: 100})
    assert holds() == {"available": 600, "pending_to_trading": 100}
    settle()
    assert holds() == {"available": 600, "trading": 100}
    assert verify_ledger().is_sound


def test_a_draft_holds_nothing(operator, cea, holds):
    made = draft(KIND, operator, {cea: 100}, reason="试一试")

    row = read(made)
    assert (row.status, row.reason, row.number) == ("draft", "试一试", f"DJ2026{made:08d}")
    assert [(line.instrument_id, line.quantity) for line in row.lines] == [(cea.id, 100)]
    assert holds() == {"available": 700}


def test_who_when_and_from_where_are_kept(operator, cea):
    made = draft(KIND, operator, {cea: 100})
    submit(made, by=operator, now=at("11:30"))

    events = read(made).events
    assert [event.action for event in events] == ["save", "submit"]
    assert (events[1].member_id, events[1].ip, events[1].at) == (
        operator.id,
        "10.1.2.3",
        at("11:30"),
    )
    row = read(made)
    assert (row.submitted_by, row.submitted_at) == (operator.id, at("11:30"))
    log = db.session.query(OperationLog).filter_by(subject=row.number).one()
    assert (log.action, log.account_id) == (f"{KIND}.submit", operator.account_id)


def test_more_than_available_is_refused_and_nothing_moves(operator, cea):
    made = draft(KIND, operator, {cea: 701})

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="701") as refusal:
        submit(made, by=operator).one()

    assert refusal.value.field == f"lines.{cea.id}.quantity"
    assert read(made).status == "draft"


def test_several_instruments_go_all_or_none(plant, operator, cea, holds):
    cea21, cea22 = instrument("CEA21"), instrument("CEA22")
    give(plant, cea21, 50)
    give(plant, cea22, 50)

    too_much = draft(KIND, operator, {cea: 100, cea21: 50, cea22: 51})
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="CEA22"):
        submit(too_much, by=operator).one()

    submitted(KIND, operator, {cea: 100, cea21: 50, cea22: 1})
    assert holds(what=cea21) == {"pending_to_trading": 50}
    assert holds(what=cea22) == {"available": 49, "pending_to_trading": 1}


def test_submitting_twice_moves_once(operator, cea, holds):
    made = draft(KIND, operator, {cea: 100})
    submit(made, by=operator).one()

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        submit(made, by=operator).one()

    assert refusal.value.code == "wrong_status"
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_the_same_id_twice_in_one_call_is_one(operator, cea, holds):
    made = draft(KIND, operator, {cea: 100})

    outcome = submit(made, made, by=operator)

    assert len(outcome.done) == 1
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_the_same_request_key_makes_one_application(operator, cea):
    first = asked_for(KIND, operator, {cea: 100}, "the browser's key")
    submit(first, by=operator).one()

    with nothing_moves():
        again = asked_for(KIND, operator, {cea: 100}, "the browser's key")

    assert again == first
    assert db.session.query(Application).count() == 1


def test_somebody_elses_request_key_is_not_found(operator, cea):
    asked_for(KIND, operator, {cea: 100}, "taken")
    stranger = member(of=account("乙水泥有限公司"))

    with pytest.raises(NotFound):
        asked_for(KIND, stranger, {cea: 1}, "taken")

    assert db.session.query(Application).count() == 1


def test_nobody_drafts_for_another_enterprise(operator, cea):
    other = account("乙水泥有限公司")
    content = engine.Draft(KIND, other.id, (Line(cea.id, 1),), "for somebody else")

    with pytest.raises(NotFound), transaction():
        engine.start([content], Actor.of(operator), now=clock.now())

    assert db.session.query(Application).count() == 0


@pytest.mark.parametrize(
    ("lines", "reason", "code"),
    [
        ([], "", "no_lines"),
        ([1, 1], "", "line_twice"),
        (range(1, 202), "", "too_many_lines"),
        ([1], "长" * 501, "reason_too_long"),
    ],
)
def test_a_malformed_draft_is_refused(operator, lines, reason, code):
    content = engine.Draft(
        KIND, operator.account_id, tuple(Line(n, 1) for n in lines), "key", reason
    )

    with pytest.raises(RuleError) as refusal, transaction():
        engine.start([content], Actor.of(operator), now=clock.now())

    assert refusal.value.code == code
    assert db.session.query(Application).count() == 0


def test_the_database_limits_a_line_too(operator, cea):
    with pytest.raises(Exception, match="line_quantity_sane"):
        asked_for(KIND, operator, {cea: LARGEST_REQUEST + 1}, "too much")
    with pytest.raises(Exception, match="line_quantity_sane"):
        asked_for(KIND, operator, {cea: 0}, "nothing")


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (at("15:00"), OutsideTradingHours),
        (at("23:59"), OutsideTradingHours),
        (at("10:00", day=21), OutsideTradingHours),  # Saturday
        (at("10:00", day=22), OutsideTradingHours),
    ],
)
def test_outside_trading_hours_the_draft_is_kept_and_nothing_moves(operator, cea, now, error):
    made = draft(KIND, operator, {cea: 100})

    with nothing_moves(), pytest.raises(error):
        submit(made, by=operator, now=now).one()

    assert read(made).status == "draft"
    assert (
        submit(made, by=operator, now=at("14:59:59.999999")).one().settles_on == at("15:00").date()
    )


def test_a_restricted_account_is_refused_and_nothing_moves(plant, operator, cea):
    made = draft(KIND, operator, {cea: 100})
    with transaction():
        plant.is_restricted = True

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        submit(made, by=operator).one()

    assert refusal.value.code == "account_restricted"


def test_an_instrument_without_a_trade_code_is_refused_and_nothing_moves(plant, operator):
    unlisted = instrument("未挂牌", trade_code=None)
    give(plant, unlisted, 10)
    made = draft(KIND, operator, {unlisted: 1})

    with nothing_moves(), pytest.raises(RuleError, match="未挂牌") as refusal:
        submit(made, by=operator).one()

    assert refusal.value.code == "no_trade_code"


@pytest.mark.parametrize("verb", [submit, withdraw])
def test_another_enterprises_application_is_not_found(operator, cea, verb):
    made = draft(KIND, operator, {cea: 100})
    stranger = member(of=account("乙水泥有限公司"))

    with nothing_moves(), pytest.raises(NotFound):
        verb(made, by=stranger).one()
    with nothing_moves(), pytest.raises(NotFound):
        verb(made + 1000, by=stranger).one()

    assert read(made).status == "draft"


def test_another_enterprises_draft_cannot_be_edited(operator, cea):
    made = draft(KIND, operator, {cea: 100})
    stranger = member(of=account("乙水泥有限公司"))
    content = engine.Draft(KIND, operator.account_id, (Line(cea.id, 1),), "x")

    with pytest.raises(NotFound), transaction():
        engine.edit(made, content, Actor.of(stranger), now=clock.now())

    assert [line.quantity for line in read(made).lines] == [100]


def test_a_batch_of_good_and_bad_reports_each(plant, operator, cea, holds):
    stranger = account("乙水泥有限公司")
    give(stranger, cea, 10)
    foreign = draft(KIND, member(of=stranger), {cea: 1})
    good = draft(KIND, operator, {cea: 400})
    also_good = draft(KIND, operator, {cea: 300})
    too_much = draft(KIND, operator, {cea: 1})

    outcome = submit(good, foreign, too_much, also_good, 987654, by=operator)

    assert [case.id for case in outcome.done] == [good, also_good]
    refused = {case.id: type(error) for case, error in outcome.refused}
    assert refused == {foreign: NotFound, 987654: NotFound, too_much: InsufficientQuantity}
    assert holds() == {"pending_to_trading": 700}
    assert holds(of=stranger) == {"available": 10}
    assert verify_ledger().is_sound


def test_a_draft_can_be_changed_until_it_is_submitted(operator, cea, holds):
    made = draft(KIND, operator, {cea: 100})
    changed = engine.Draft(
        KIND, operator.account_id, (Line(cea.id, 250, venue_id=venue().id),), "x", "改小"
    )
    with transaction():
        engine.edit(made, changed, Actor.of(operator), now=clock.now())
    submit(made, by=operator).one()

    assert holds() == {"available": 450, "pending_to_trading": 250}
    with nothing_moves(), pytest.raises(NotAllowed), transaction():
        engine.edit(made, changed, Actor.of(operator), now=clock.now())
    assert verify_ledger().is_sound


# Withdrawal --------------------------------------------------------------------------------


def test_a_withdrawal_gives_everything_back(operator, cea, holds):
    case = submitted(KIND, operator, {cea: 100})

    withdraw(case.id, by=operator).one()

    assert holds() == {"available": 700}
    assert read(case.id).status == Status.WITHDRAWN
    assert read(case.id).events[-1].comment == "填错了"
    assert verify_ledger().is_sound


def test_a_withdrawal_happens_once(operator, cea, holds):
    case = submitted(KIND, operator, {cea: 100})
    withdraw(case.id, by=operator).one()

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        withdraw(case.id, by=operator).one()
    assert refusal.value.code == "wrong_status"

    with nothing_moves(), pytest.raises(NotAllowed):
        submit(case.id, by=operator).one()


def test_a_withdrawal_is_possible_after_the_cut_off_until_settlement(operator, cea, holds):
    case = submitted(KIND, operator, {cea: 100})

    withdraw(case.id, by=operator, now=at("15:20")).one()

    assert holds() == {"available": 700}
    assert settle().to_trading_quantity == 0


def test_after_settlement_nothing_is_withdrawn(operator, cea):
    case = submitted(KIND, operator, {cea: 100})
    settle()

    with nothing_moves(), pytest.raises(NotAllowed, match="2026-11-20") as refusal:
        withdraw(case.id, by=operator, now=at("16:30")).one()

    assert refusal.value.code == "already_settled"
    assert verify_ledger().is_sound


def test_a_draft_that_is_withdrawn_is_given_up_for_good(operator, cea):
    made = draft(KIND, operator, {cea: 100})

    with nothing_moves():
        withdraw(made, by=operator).one()
        with pytest.raises(NotAllowed):
            submit(made, by=operator).one()

    assert read(made).status == Status.WITHDRAWN
    assert verify_ledger().is_sound


def test_a_withdrawn_quantity_can_be_asked_for_again(operator, cea, holds):
    for _ in range(3):
        case = submitted(KIND, operator, {cea: 700})
        withdraw(case.id, by=operator).one()
    submitted(KIND, operator, {cea: 700})

    assert holds() == {"pending_to_trading": 700}
    assert verify_ledger().is_sound


# Transfers that the exchange starts --------------------------------------------------------


@pytest.fixture
def fetched(plant, cea):
    """Return a function by which the exchange asks for tonnes of the plant."""

    def ask(kind: str, tonnes: int) -> int:
        content = engine.Draft(
            kind,
            plant.id,
            (Line(cea.id, tonnes, venue_id=venue().id),),
            f"exchange {kind} {tonnes}",
        )
        with transaction():
            (made,) = engine.start([content], EXCHANGE, now=clock.now())
        return made

    return ask


def submit_or_refuse(made: int) -> RuleError:
    with transaction():
        outcome = engine.submit([made], EXCHANGE, now=clock.now())
        engine.refuse(outcome.refused, EXCHANGE, now=clock.now())
    ((_case, error),) = outcome.refused
    return error


def test_the_exchange_is_refused_without_permission_and_the_refusal_is_kept(fetched, cea):
    made = fetched("exchange_registry_to_trading", 100)

    with nothing_moves():
        error = submit_or_refuse(made)

    row = read(made)
    assert (row.status, row.refusal) == ("refused", str(error))
    assert error.code == "transfer_not_permitted"
    assert verify_ledger().is_sound


def test_the_exchange_fetches_with_permission(plant, fetched, operator, holds):
    with transaction():
        plant.allows_exchange_transfer = True
    made = fetched("exchange_registry_to_trading", 100)

    submit(made, by=EXCHANGE).one()

    assert holds() == {"available": 600, "pending_to_trading": 100}
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        withdraw(made, by=operator).one()
    assert refusal.value.code == "not_yours"
    settle()
    assert holds() == {"available": 600, "trading": 100}


def test_transfers_to_the_registry_settle_at_day_end(plant, cea, fetched, holds):
    give(plant, cea, 200, Bucket.TRADING)
    made = fetched("trading_to_registry", 150)

    submit(made, by=EXCHANGE).one()
    assert holds() == {"available": 700, "trading": 50, "pending_to_registry": 150}

    settle()
    assert holds() == {"available": 850, "trading": 50}
    assert verify_ledger().is_sound


def test_a_refused_request_stays_refused(fetched):
    made = fetched("exchange_registry_to_trading", 100)
    submit_or_refuse(made)

    with nothing_moves(), pytest.raises(NotAllowed):
        submit(made, by=EXCHANGE).one()


def test_who_may_see_an_application_does_not_act_in_its_name(plant, operator, cea):
    officer = member("province", province=plant.province)
    mine = draft("registry_to_trading", operator, {cea: 100})

    for verb in (engine.submit, engine.withdraw):
        with nothing_moves(), transaction(), pytest.raises(NotAllowed, match="applicant"):
            verb([mine], Actor.of(officer), now=clock.now()).one()


def test_submitted_lines_stay_as_they_are(operator, cea):
    case = submitted("registry_to_trading", operator, {cea: 100})

    for statement, refusal in (
        (
            "UPDATE application_line SET quantity = 1 WHERE application_id = :id",
            "permission denied",
        ),
        ("DELETE FROM application_line WHERE application_id = :id", "lines of a submitted"),
    ):
        with pytest.raises(DBAPIError, match=refusal), transaction():
            db.session.execute(text(statement), {"id": case.id})


def test_a_bulk_act_after_a_single_one_is_planned_anew(app, operator, cea, monkeypatch):
    """And the other way round, on one connection; others in a row cost no statement more (ADR 0097)."""
    monkeypatch.setattr(rows, "BULK", 3)
    drafts = [draft(KIND, operator, {cea: 1}) for _ in range(12)]

    def forgets(number: int) -> bool:
        some = [drafts.pop() for _ in range(number)]
        with counting(app) as statements:
            engine.submit(some, Actor.of(operator), now=clock.now())
        return "DISCARD PLANS" in statements

    with transaction():
        forgets(1)
        assert [forgets(number) for number in (1, 2, 3, 4, 1)] == [False, False, True, False, True]
