"""清缴履约 and its notices: domain.md R70-R75, R78-R80, R83, R84, with their numbers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from app.domain.errors import InsufficientQuantity, NotFound, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import (
    Application,
    Attestation,
    Notice,
    OperationLog,
    OutboxMessage,
)
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.compliance import attestations, notices, plans, reminders
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import (
    account,
    changed,
    colleague,
    confirmed,
    draft,
    give,
    instrument,
    member,
    nothing_moves,
    quantity,
    submitted,
)

ZERO = Decimal(0)


def issue(to, accepted, obligation, *, by, year=2025, percent=ZERO, deadline=None):
    return factories.notice(
        to, obligation, accepted, by=by, year=year, percent=percent, deadline=deadline
    )


def surrender(by, lines, notice):
    return submitted("surrender", by, lines, notice_id=notice)


def approve(*ids, by):
    with transaction():
        return engine.approve(ids, Actor.of(by), now=clock.now())


def send_back(*ids, by):
    with transaction():
        return engine.send_back(ids, Actor.of(by), now=clock.now(), comment="请核对")


def adjust(of, obligation, *, by):
    """Change an obligation; a colleague approves it."""
    return confirmed(changed(of, by=by, obligation=obligation), colleague(by))


def refund(of, tonnes, notice, *, by, what=None):
    """Start and submit a refund of the first line of a surrender."""
    line = db.session.get_one(Application, of).lines[0]
    content = engine.Draft(
        "surrender_refund",
        line.application.account_id,
        (Line(what.id if what else line.instrument_id, tonnes, source_line_id=line.id),),
        str(uuid4()),
        reason="应履约量核减",
        document_no="环函〔2026〕10号",
        authority="湖北省生态环境厅",
        starts_on=clock.now().date(),
        notice_id=notice,
    )
    with transaction():
        ids = engine.start([content], Actor.of(by), now=clock.now())
        return engine.submit(ids, Actor.of(by), now=clock.now()).one()


def figures(notice):
    found = notices.surrender_figures()
    row = db.session.execute(
        select(*found.c).select_from(Notice).join(found, text("true")).where(Notice.id == notice)
    ).one()
    return row.surrendered, row.pending


# What may be submitted ------------------------------------------------------------------------


def test_no_more_than_is_due_can_be_submitted(plant, operator, hubei, maker):
    """R70: 1,000,000 - 400,000 - 150,000 = 450,000."""
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 1_050_000)
    notice = issue(plant, [cea25], 1_000_000, by=maker)
    first = surrender(operator, {cea25: 400_000}, notice)
    approve(first.id, by=hubei).one()
    surrender(operator, {cea25: 150_000}, notice)

    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        surrender(operator, {cea25: 450_001}, notice)
    assert (refusal.value.code, refusal.value.field) == ("above_due", "lines")
    assert "only 450,000 tonnes are still due" in str(refusal.value)

    surrender(operator, {cea25: 450_000}, notice)
    assert figures(notice) == (400_000, 600_000)
    assert verify_ledger().is_sound


def test_what_is_pending_is_locked(plant, operator, hubei, maker):
    """R71: available 500,000, submit 450,000 -> available 50,000."""
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 500_000)
    notice = issue(plant, [cea25], 450_000, by=maker)

    surrender(operator, {cea25: 450_000}, notice)

    assert quantity(plant, cea25) == 50_000
    with pytest.raises(InsufficientQuantity):
        submitted("voluntary_cancellation", operator, {cea25: 50_001}, reason="碳中和")


def test_returned_it_unlocks_and_can_be_submitted_again(plant, operator, cea, holds, hubei, maker):
    """R72: a draft reserves nothing; a returned one is released, changed and submitted again."""
    notice = issue(plant, [cea], 700, by=maker)
    waiting = draft("surrender", operator, {cea: 700}, notice_id=notice)
    assert holds() == {"available": 700}
    case = surrender(operator, {cea: 600}, notice)
    assert holds() == {"available": 100, "reserved": 600}

    send_back(case.id, by=hubei).one()
    assert holds() == {"available": 700}
    assert figures(notice) == (0, 0)

    content = engine.Draft("surrender", plant.id, (Line(cea.id, 650),), "again", notice_id=notice)
    with transaction():
        engine.edit(case.id, content, Actor.of(operator), now=clock.now())
        engine.submit([case.id], Actor.of(operator), now=clock.now()).one()
    assert holds() == {"available": 50, "reserved": 650}
    assert db.session.get_one(Application, waiting).status == "draft"


def test_approved_it_counts_for_good(plant, operator, cea, holds, hubei, maker):
    """R73: the tonnes leave the holding; an approved surrender cannot be withdrawn."""
    notice = issue(plant, [cea], 700, by=maker)
    case = surrender(operator, {cea: 450}, notice)

    approve(case.id, by=hubei).one()

    assert holds() == {"available": 250, "surrendered": 450}
    assert figures(notice) == (450, 0)
    for act in (
        lambda: approve(case.id, by=hubei).one(),
        lambda: send_back(case.id, by=hubei).one(),
    ):
        with nothing_moves(), pytest.raises(RuleError):
            act()
    with transaction(), pytest.raises(RuleError):
        engine.withdraw([case.id], Actor.of(operator), now=clock.now()).one()
    assert verify_ledger().is_sound


@pytest.mark.parametrize(
    ("year", "on", "accepted", "refused"),
    [
        (2025, None, (2025, 2026), (2019, 2020, 2023, 2024)),
        (2024, None, (2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026), (2027,)),
        (2023, None, (2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026), (2027,)),
        # While it was open in 2024.
        (2023, datetime(2024, 12, 2, 10, tzinfo=BEIJING), (2020, 2021, 2022, 2023), (2024,)),
        (2024, datetime(2025, 12, 2, 10, tzinfo=BEIJING), (2020, 2023, 2024), (2025, 2026)),
    ],
)
def test_n50_r74_which_vintages_count_is_said_by_the_plan_of_the_day(
    plant, operator, maker, year, on, accepted, refused
):
    """N50: year <= 2024 accepts 2019 to 2026, year >= 2025 accepts 2025 and 2026; 2023 in 2024 no CEA24."""
    vintages = {each: instrument(f"CEA{each}", vintage=each) for each in (*accepted, *refused)}
    for each in vintages.values():
        give(plant, each, 10, at=datetime(2024, 1, 5, tzinfo=BEIJING))
    if on:
        with transaction():
            clock.set_to(on, SYSTEM)
    notice = factories.notice(plant, 100, by=maker, year=year)

    for each in refused:
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            surrender(operator, {vintages[each]: 1}, notice)
        assert refusal.value.code == "not_eligible"
        assert refusal.value.field == f"lines.{vintages[each].id}.quantity"
    later = plans.later_years([notice], clock.now().date()).get(notice, {}) if on is None else {}
    for each in accepted:
        # Newer ones for an arrear are confirmed (N51).
        said = {"also_for": later[row.id]} if (row := vintages[each]).id in later else {}
        submitted("surrender", operator, {row: 1}, notice_id=notice, proposal=said)


def test_n52_allowances_of_another_sector_count(plant, operator, hubei, maker):
    """N52: CEA is CEA; an instrument belongs to no sector."""
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 300)
    with transaction():
        sectors.change(plant.id, ["power", "steel"], date(2024, 1, 1))
    notices_ = [
        factories.notice(plant, 100, by=maker, sector=sector) for sector in ("power", "steel")
    ]
    for each in notices_:
        approve(surrender(operator, {cea25: 100}, each).id, by=hubei).one()
    assert [figures(each) for each in notices_] == [(100, 0), (100, 0)]


def test_another_s_notice_cannot_be_surrendered_for(plant, operator, cea, maker):
    other = account("乙水泥有限公司")
    theirs = issue(other, [cea], 100, by=maker)
    for notice in (theirs, None):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            surrender(operator, {cea: 1}, notice)
        assert refusal.value.code == "notice_unknown"


def test_a_restricted_account_may_surrender(plant, operator, cea, maker):
    notice = issue(plant, [cea], 100, by=maker)
    with transaction():
        plant.is_restricted = True
    assert surrender(operator, {cea: 100}, notice).status == "in_review"


# Review ---------------------------------------------------------------------------------------


def test_another_province_neither_sees_nor_reviews_it(plant, operator, cea, maker):
    """R78; nor does the registry review it."""
    notice = issue(plant, [cea], 100, by=maker)
    case = surrender(operator, {cea: 50}, notice)
    with nothing_moves():
        with pytest.raises(NotFound):
            approve(case.id, by=member("province", province="43")).one()
        with pytest.raises(RuleError) as refusal:
            approve(case.id, by=maker).one()
        assert refusal.value.code == "not_your_turn"


def test_of_three_reviewed_at_once_one_that_was_decided_is_reported(
    plant, operator, cea, hubei, maker
):
    """R79: two are approved, one is reported; each has its own event and log row."""
    notice = issue(plant, [cea], 300, by=maker)
    ids = [surrender(operator, {cea: 100}, notice).id for _ in range(3)]
    with transaction():
        engine.withdraw([ids[1]], Actor.of(operator), now=clock.now()).one()

    outcome = approve(*ids, by=hubei)

    assert [case.id for case in outcome.done] == [ids[0], ids[2]]
    assert [case.id for case, _error in outcome.refused] == [ids[1]]
    assert figures(notice) == (200, 0)
    logged = select(OperationLog.subject).where(OperationLog.action == "surrender.approve")
    assert len(db.session.scalars(logged).all()) == 2


def test_an_approval_looks_at_the_notice_again(plant, operator, cea, hubei, maker):
    """Lowered meanwhile: the pending quantity no longer fits; the reviewer sees the figures."""
    notice = issue(plant, [cea], 500, by=maker)
    case = surrender(operator, {cea: 500}, notice)
    adjust(notice, 300, by=maker)

    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        approve(case.id, by=hubei).one()
    assert refusal.value.code == "above_due"
    assert "only 300 tonnes are still due" in str(refusal.value)
    send_back(case.id, by=hubei).one()
    assert quantity(plant, cea) == 700


def test_an_approval_sees_what_was_fulfilled_in_the_same_batch(plant, operator, cea, hubei, maker):
    notice = issue(plant, [cea], 400, by=maker)
    ids = [surrender(operator, {cea: 200}, notice).id for _ in range(2)]
    adjust(notice, 300, by=maker)

    outcome = approve(*ids, by=hubei)

    assert [case.id for case in outcome.done] == [ids[0]]
    (error,) = (error for _case, error in outcome.refused)
    assert error.code == "above_due"
    assert figures(notice) == (200, 200)


# Notices --------------------------------------------------------------------------------------


def test_lowering_below_the_surrendered_quantity_needs_a_refund(
    plant, operator, hubei, maker, checker
):
    """R83: 1,000,000 surrendered, lowered to 950,000: the excess of 50,000 is refunded first."""
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 1_000_000)
    notice = issue(plant, [cea25], 1_000_000, by=maker)
    case = surrender(operator, {cea25: 1_000_000}, notice)
    approve(case.id, by=hubei).one()

    with nothing_moves(), pytest.raises(RuleError) as refusal:
        adjust(notice, 950_000, by=maker)
    assert refusal.value.code == "beneath_surrendered"
    assert "1,000,000 tonnes have been surrendered" in str(refusal.value)
    assert "50,000 tonnes must be refunded first" in str(refusal.value)
    assert db.session.get_one(Notice, notice).obligation == 1_000_000

    taken_back = refund(case.id, 50_000, notice, by=maker)
    with pytest.raises(RuleError):  # Entered, but not yet confirmed by the second officer.
        adjust(notice, 950_000, by=maker)
    approve(taken_back.id, by=checker).one()
    assert quantity(plant, cea25) == 50_000
    adjust(notice, 950_000, by=maker)

    assert figures(notice) == (950_000, 0)
    with pytest.raises(InsufficientQuantity):
        surrender(operator, {cea25: 1}, notice)
    assert verify_ledger().is_sound


def test_a_refund_is_about_the_notice_of_what_it_draws_on(
    plant, operator, cea, holds, hubei, maker
):
    first = issue(plant, [cea], 300, by=maker)
    second = issue(plant, [cea], 300, by=maker, year=2024)
    case = surrender(operator, {cea: 300}, first)
    approve(case.id, by=hubei).one()

    with nothing_moves(), pytest.raises(RuleError) as refusal:
        refund(case.id, 100, second, by=maker)
    assert refusal.value.code == "other_notice"
    refund(case.id, 100, first, by=maker)
    with pytest.raises(InsufficientQuantity):
        refund(case.id, 201, first, by=maker)
    assert holds() == {"available": 400, "surrendered": 300}


def test_only_the_registry_refunds_and_another_officer_confirms(
    plant, operator, cea, hubei, maker, checker
):
    notice = issue(plant, [cea], 300, by=maker)
    case = surrender(operator, {cea: 300}, notice)
    approve(case.id, by=hubei).one()
    for person in (operator, hubei):
        with nothing_moves(), pytest.raises(RuleError):
            refund(case.id, 1, notice, by=person)
    entered = refund(case.id, 100, notice, by=maker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        approve(entered.id, by=maker).one()
    assert refusal.value.code == "own_application"
    approve(entered.id, by=checker).one()
    assert figures(notice) == (200, 0)
    # What was refunded is due again, and can be surrendered again.
    surrender(operator, {cea: 100}, notice)


# 提醒 -----------------------------------------------------------------------------------------


def test_a_reminder_names_obligation_gap_and_deadline(plant, operator, cea, hubei, maker):
    notice = issue(plant, [cea], 1_000, by=maker)
    approve(surrender(operator, {cea: 400}, notice).id, by=hubei).one()
    done = issue(account("乙", "42"), [cea], 0, by=maker)
    nobody = issue(account("丙", "42"), [cea], 7, by=maker)

    with transaction():
        outcome = reminders.remind(
            [notice, done, nobody, 999_999], Actor.of(hubei), now=clock.now()
        )

    assert outcome.done == [notice]
    assert {id_: str(error) for id_, error in outcome.refused.items()} == {
        done: "The obligation is fulfilled",
        nobody: "The account has no e-mail address and no telephone",
        999_999: "There is no such compliance notice",
    }
    (message,) = db.session.scalars(select(OutboxMessage)).all()
    assert (message.channel, message.recipient) == ("mail", operator.email)
    for figure in ("1,000", "600", "2026-12-31 23:59:59"):
        assert figure in message.body
    assert db.session.get_one(Notice, notice).reminded_at is not None
    with transaction():
        again = reminders.remind([notice], Actor.of(hubei), now=clock.now())
    assert str(again.refused[notice]) == "Was reminded today already"
    with transaction():
        tomorrow = clock.now() + timedelta(days=1)
        assert reminders.remind([notice], Actor.of(hubei), now=tomorrow).done == [notice]


# 履约证明 -------------------------------------------------------------------------------------


def test_the_certificate_comes_only_when_all_is_surrendered(plant, operator, cea, hubei, maker):
    """R84."""
    notice = issue(plant, [cea], 500, by=maker)
    approve(surrender(operator, {cea: 499}, notice).id, by=hubei).one()
    assert attestations.of_notice(notice) is None
    with transaction(), pytest.raises(RuleError) as refusal:
        attestations.certify_notice(notice, Actor.of(operator), clock.now())
    assert refusal.value.code == "notice_not_fulfilled"

    approve(surrender(operator, {cea: 1}, notice).id, by=hubei).one()

    found = attestations.of_notice(notice)
    assert found is not None
    assert (found.content["obligation"], found.content["total"]) == (500, 500)


def test_a_refund_ends_the_certificate_and_a_new_fulfilment_brings_another(
    plant, operator, cea, hubei, maker, checker
):
    notice = issue(plant, [cea], 500, by=maker)
    case = surrender(operator, {cea: 500}, notice)
    approve(case.id, by=hubei).one()
    first = attestations.of_notice(notice)
    back = refund(case.id, 200, notice, by=maker)
    assert attestations.of_notice(notice) is first  # Nothing is refunded before it is confirmed.

    approve(back.id, by=checker).one()

    assert attestations.of_notice(notice) is None
    db.session.refresh(first)
    assert first.lapsed_at.date() == clock.now().date()
    assert attestations.find(first.code) is first
    logged = select(OperationLog).where(OperationLog.action == "attestation.lapse")
    assert db.session.scalars(logged).one().subject == first.number
    with transaction(), pytest.raises(RuleError) as refusal:
        attestations.certify_notice(notice, Actor.of(operator), clock.now())
    assert refusal.value.code == "notice_not_fulfilled"

    adjust(notice, 400, by=maker)
    approve(surrender(operator, {cea: 100}, notice).id, by=hubei).one()

    second = attestations.of_notice(notice)
    assert second.code != first.code
    assert second.number != first.number
    assert (second.content["obligation"], second.content["total"]) == (400, 400)
    assert (first.content["obligation"], first.content["total"]) == (500, 500)
    assert second.lapsed_at is None


def test_a_raised_obligation_ends_the_certificate(plant, operator, cea, hubei, maker):
    notice = issue(plant, [cea], 500, by=maker)
    approve(surrender(operator, {cea: 500}, notice).id, by=hubei).one()
    first = attestations.of_notice(notice)

    adjust(notice, 600, by=maker)

    assert attestations.of_notice(notice) is None
    db.session.refresh(first)
    assert first.lapsed_at.date() == clock.now().date()


def test_c10_the_certificate_is_of_a_year_whose_notices_are_all_fulfilled(
    plant, operator, hubei, maker, checker
):
    """Steel with its own power station: 300 and 100; nothing is certified while one is open."""
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 500)
    with transaction():
        sectors.change(plant.id, ["power", "steel"], date(2024, 1, 1))
    steel = factories.notice(plant, 300, by=maker, sector="steel")
    power = factories.notice(plant, 100, by=maker)
    approve(surrender(operator, {cea25: 300}, steel).id, by=hubei).one()
    assert attestations.of_notice(steel) is None
    with transaction(), pytest.raises(RuleError, match="Not all notices of this year") as refusal:
        attestations.certify_notice(steel, Actor.of(operator), clock.now())
    assert refusal.value.code == "notice_not_fulfilled"

    approve(surrender(operator, {cea25: 100}, power).id, by=hubei).one()

    found = attestations.of_notice(steel)
    assert found is attestations.of_notice(power)
    assert (found.year, found.content["obligation"], found.content["total"]) == (2025, 400, 400)
    assert [each["sector"] for each in found.content["notices"]] == ["steel", "power"]
    assert [line["quantity"] for line in found.content["lines"]] == [400]
    adjust(power, 101, by=maker)
    assert attestations.of_notice(steel) is None
    approve(surrender(operator, {cea25: 1}, power).id, by=hubei).one()
    assert attestations.of_notice(steel).content["obligation"] == 401
    assert verify_ledger().is_sound


def test_c10_a_notice_that_comes_later_ends_the_certificate(plant, operator, hubei, maker, checker):
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 100)
    with transaction():
        sectors.change(plant.id, ["power", "steel"], date(2024, 1, 1))
    power = factories.notice(plant, 100, by=maker)
    approve(surrender(operator, {cea25: 100}, power).id, by=hubei).one()
    assert attestations.of_notice(power) is not None

    steel = factories.notice(plant, 7, by=maker, sector="steel")

    assert attestations.of_notice(power) is None
    confirmed(factories.withdrawn(steel, by=maker), checker)
    with transaction():
        again = attestations.certify_notice(power, Actor.of(operator), clock.now())
    assert again.content["total"] == 100


def test_another_notice_s_certificate_stays(plant, operator, cea, hubei, maker, checker):
    first, second = (issue(plant, [cea], 100, by=maker, year=year) for year in (2024, 2025))
    cases = [surrender(operator, {cea: 100}, notice) for notice in (first, second)]
    approve(*(case.id for case in cases), by=hubei)

    approve(refund(cases[0].id, 1, first, by=maker).id, by=checker).one()

    assert attestations.of_notice(first) is None
    assert attestations.of_notice(second).lapsed_at is None


def test_a_refund_that_is_sent_back_ends_nothing(plant, operator, cea, hubei, maker, checker):
    notice = issue(plant, [cea], 100, by=maker)
    case = surrender(operator, {cea: 100}, notice)
    approve(case.id, by=hubei).one()

    send_back(refund(case.id, 1, notice, by=maker).id, by=checker).one()

    assert attestations.of_notice(notice).lapsed_at is None


def test_an_approved_cancellation_brings_its_certificate(operator, cea, checker):
    case = submitted("voluntary_cancellation", operator, {cea: 5}, reason="碳中和")
    approve(case.id, by=checker).one()
    (found,) = db.session.scalars(select(Attestation)).all()
    assert (found.kind, found.application_id, found.content["total"]) == (
        "cancellation",
        case.id,
        5,
    )
