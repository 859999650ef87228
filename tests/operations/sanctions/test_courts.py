"""司法冻结: queue, renewal, expiry and deduction, with the figures of rules-2026 N95-N106."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import CourtEffect, CourtLapse, OperationLog, OutboxMessage, Posting
from app.operations.accounts import accounts
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import EXCHANGE, SYSTEM, Actor
from app.operations.sanctions import lapses
from tests.factories import (
    account,
    at,
    confirmed,
    entered,
    give,
    instrument,
    issued_to,
    member,
    nothing_moves,
    quantity,
    submitted,
    venue,
)
from tests.operations import courts
from tests.operations.courts import assign, freeze, midnight, release, renew, stands

END = date(2027, 11, 19)


@pytest.fixture
def cea(plant):
    """An instrument of which the plant has 1,000 tonnes available."""
    return issued_to(plant, 1000)


@pytest.fixture
def held(plant, cea):
    """Return a function that tells what is available and what is frozen."""
    return lambda: (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN))


def lapse(now):
    """Run the job as often as the worker does."""
    done = []
    while True:
        with transaction():
            found = lapses.lapse_next(SYSTEM, now=now)
        if found is None:
            return done
        done.append(found)


def killed_while_lapsing(now):
    """Lose the connection in the midst of an account, as when the worker or its server dies."""
    with transaction():
        lapses.lapse_next(SYSTEM, now=now)
        db.session.execute(db.text("SELECT pg_terminate_backend(pg_backend_pid())"))


# N97: the queue --------------------------------------------------------------------------------


def test_n97_step_by_step(plant, cea, maker, checker, held):
    a = freeze(
        plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00", ends_on=date(2026, 12, 1)
    )
    assert (stands(a), held()) == ((600, 0), (400, 600))
    b = freeze(plant, maker, 700, cea, served="2026-11-20T09:00:00+08:00", category="03")
    assert (stands(a), stands(b), held()) == ((600, 0), (400, 300), (0, 1000))

    release(a, maker, 250)
    assert (stands(a), stands(b), held()) == ((350, 0), (650, 50), (0, 1000))

    give(plant, cea, 100)
    assert (stands(b), held()) == ((700, 0), (50, 1050))

    lapse(midnight(date(2026, 12, 2)))
    assert (stands(a), stands(b), held()) == ((0, 0), (700, 0), (400, 700))
    assert verify_ledger().is_sound


def test_a_freeze_holds_from_the_first_officer_s_submission(plant, cea, maker, checker, held):
    a = freeze(plant, maker, 600, cea, confirms=False)
    assert (stands(a), held()) == ((600, 0), (400, 600))
    with transaction():
        engine.send_back([a], Actor.of(checker), now=clock.now(), comment="案号有误").one()
    assert (stands(a), held()) == ((0, 0), (1000, 0))
    with transaction():
        engine.submit([a], Actor.of(maker), now=clock.now()).one()
    confirmed(a, checker)
    assert (stands(a), held()) == ((600, 0), (400, 600))
    assert verify_ledger().is_sound


def test_who_was_served_first_comes_first_whenever_it_is_entered(plant, cea, maker, held):
    later = freeze(plant, maker, 700, cea, served="2026-11-20T09:00:01+08:00")
    earlier = freeze(plant, maker, 600, cea, served="2026-11-20T09:00:00+08:00")
    assert (stands(earlier), stands(later), held()) == ((600, 0), (400, 300), (0, 1000))


def test_of_two_served_in_one_second_the_first_entered_comes_first(plant, cea, maker):
    first, second = (freeze(plant, maker, 600, cea) for _ in range(2))
    assert (stands(first), stands(second)) == ((600, 0), (400, 200))


def test_an_order_withdrawn_leaves_its_place(plant, cea, maker):
    a = freeze(plant, maker, 600, cea, confirms=False)
    b = freeze(plant, maker, 700, cea)
    with transaction():
        engine.withdraw([a], Actor.of(maker), now=clock.now()).one()
    assert (stands(a), stands(b)) == ((0, 0), (700, 0))


def test_an_order_for_what_is_not_held_waits_for_it(plant, maker):
    other = instrument()
    a = freeze(plant, maker, 50, other)
    assert stands(a) == (0, 50)
    give(plant, other, 80)
    assert (stands(a), quantity(plant, other)) == ((50, 0), 30)


def test_05_lifts_what_is_queued_and_no_more(plant, cea, maker, held):
    a = freeze(plant, maker, 1300, cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        release(a, maker, 301, category="05")
    assert refusal.value.code == "release_above_order"
    release(a, maker, 300, category="05")
    assert (stands(a), held()) == ((1000, 0), (0, 1000))
    give(plant, cea, 5)
    assert held() == (5, 1000)


def test_a_release_above_what_is_left_is_refused(plant, cea, maker):
    a = freeze(plant, maker, 600, cea)
    release(a, maker, 250)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="350"):
        release(a, maker, 351)


def test_of_two_releases_the_second_approved_finds_nothing(plant, cea, maker, checker):
    a = freeze(plant, maker, 600, cea)
    first, second = (release(a, maker, 400, confirms=False) for _ in range(2))
    confirmed(first, checker)
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        confirmed(second, checker)
    assert refusal.value.code == "release_above_order"


# N95: what a measure says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"document_no": " "}, "document_missing"),
        ({"authority": ""}, "authority_missing"),
        ({"category": ""}, "category_missing"),
        ({"category": "04"}, "category_unknown"),
        ({"proposal": {"request_no": " "}}, "request_no_missing"),
        ({"proposal": {"case_no": ""}}, "case_no_missing"),
        ({"proposal": {"contact": "电" * 101}}, "contact_missing"),
        ({"proposal": {"served_at": ""}}, "service_missing"),
        ({"proposal": {"served_at": "2026-11-20 09:00"}}, "service_missing"),
        ({"proposal": {"served_at": "2026-11-20T10:00:01+08:00"}}, "served_later"),
        ({"paper": False}, "paper_missing"),
        ({"starts_on": None}, "start_missing"),
        ({"ends_on": None}, "term_missing"),
        ({"ends_on": date(2029, 11, 21)}, "court_term_too_long"),
        ({"starts_on": date(2026, 11, 1), "ends_on": date(2026, 11, 19)}, "court_term_over"),
        ({"proposal": {"quantity": 0}}, "court_quantity"),
        ({"proposal": {"instrument": 999_999}}, "court_quantity"),
    ],
)  # fmt: skip
def test_a_freeze_says_everything_that_the_court_s_paper_says(plant, cea, maker, changed, code):
    said = {"instrument": cea.id, "quantity": 10} | changed.pop("proposal", {})
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        courts.entered("court_freeze", plant, maker, proposal=said, **changed)
    assert refusal.value.code == code


def test_three_years_to_the_day_are_taken(plant, cea, maker):
    assert stands(freeze(plant, maker, 1, cea, ends_on=date(2029, 11, 20))) == (1, 0)


def test_nobody_confirms_what_they_entered(plant, cea, maker):
    a = freeze(plant, maker, 600, cea, confirms=False)
    with nothing_moves(), pytest.raises(NotAllowed):
        confirmed(a, maker)


# N98, C5: the end ------------------------------------------------------------------------------


def test_n98_an_order_ends_at_midnight_after_its_last_day(plant, cea, maker, held):
    a = freeze(plant, maker, 600, cea, ends_on=END)
    assert lapse(datetime(2027, 11, 19, 23, 59, 59, tzinfo=BEIJING)) == []
    assert held() == (400, 600)

    (ended,) = lapse(midnight(END + timedelta(days=1), 0))

    assert (ended.orders, ended.effective, held()) == (1, 600, (1000, 0))
    entry = db.session.get_one(CourtLapse, a)
    posting = db.session.scalars(db.select(Posting).order_by(Posting.id.desc()).limit(1)).one()
    assert posting.document == entry.number
    assert (entry.ends_on, entry.effective, entry.queued) == (END, 600, 0)
    assert verify_ledger().is_sound


def test_the_end_is_told_to_holder_and_officers_and_notes_the_court_s_contact(plant, cea, maker):
    member("enterprise", of=plant)
    with transaction():
        maker.email = "maker@example.org"
    freeze(plant, maker, 600, cea, ends_on=END)
    lapse(midnight(END + timedelta(days=1)))
    told = db.session.scalars(db.select(OutboxMessage).filter_by(purpose="court_order")).all()
    assert {each.account_id for each in told} == {plant.id, None}
    assert all("600" in each.body and "武汉市中级人民法院" in each.body for each in told)
    noted = db.session.scalars(db.select(OperationLog).filter_by(action="court_order.lapse")).one()
    assert noted.detail["court"] == "湖北省武汉市中级人民法院"
    assert noted.detail["contact"]


def test_a_job_that_runs_again_ends_nothing_twice(plant, cea, maker, held):
    freeze(plant, maker, 600, cea, ends_on=END)
    after = midnight(END + timedelta(days=1))
    assert len(lapse(after)) == 1
    with nothing_moves():
        assert lapse(after) == []
        assert lapse(after + timedelta(days=1)) == []
    assert held() == (1000, 0)


def test_a_job_killed_in_the_middle_is_run_again_with_the_same_books(cea, plant, maker, held):
    others = [account(f"企业{n}") for n in range(3)]
    orders = []
    for each in (plant, *others):
        if each is not plant:
            give(each, cea, 1000)
        orders.append(freeze(each, maker, 600, cea, ends_on=END))
    after = midnight(END + timedelta(days=1))
    with transaction():
        lapses.lapse_next(SYSTEM, now=after)
    with pytest.raises(OperationalError):
        killed_while_lapsing(after)
    db.session.rollback()
    assert sum(stands(each)[0] for each in orders) == 1800

    lapse(after)

    assert [stands(each) for each in orders] == [(0, 0)] * 4
    assert [quantity(each, cea) for each in (plant, *others)] == [1000] * 4
    assert db.session.scalar(db.select(db.func.count()).select_from(CourtLapse)) == 4


def test_a_renewal_served_before_the_end_keeps_the_rank(plant, cea, maker, held):
    a = freeze(plant, maker, 600, cea, ends_on=date(2026, 11, 30))
    b = freeze(plant, maker, 700, cea, served="2026-11-20T09:30:00+08:00")
    renew(a, maker, date(2027, 11, 30))
    assert lapse(midnight(date(2026, 12, 1))) == []
    assert (stands(a), stands(b), held()) == ((600, 0), (400, 300), (0, 1000))
    lapse(midnight(date(2027, 12, 1)))
    assert stands(a) == (0, 0)


def test_a_renewal_under_review_keeps_the_order_until_it_is_decided(plant, cea, maker, checker):
    a = freeze(plant, maker, 600, cea, ends_on=date(2026, 11, 20))
    asked = renew(a, maker, date(2027, 11, 20), confirms=False)
    after = midnight(date(2026, 11, 21))
    assert lapse(after) == []
    with transaction():
        engine.send_back([asked], Actor.of(checker), now=clock.now(), comment="未加盖公章").one()
    assert len(lapse(after)) == 1
    with pytest.raises(RuleError) as refusal, transaction():
        engine.submit([asked], Actor.of(maker), now=clock.now()).one()
    assert refusal.value.code == "court_order_unknown"


def test_a_renewal_served_after_the_end_is_refused(plant, cea, maker):
    a = freeze(plant, maker, 600, cea, ends_on=date(2026, 11, 20))
    said = {"order": a, "served_at": "2026-11-21T00:00:00+08:00"}
    end = date(2027, 11, 20)
    made = courts.entered("court_renewal", plant, maker, submits=False, proposal=said, ends_on=end)
    with transaction():
        (case,) = engine.submit([made], Actor.of(maker), now=midnight(date(2026, 11, 21))).refused
    assert case[1].code == "renewal_too_late"


def test_a_renewal_ends_later_than_the_order(plant, cea, maker):
    a = freeze(plant, maker, 600, cea, ends_on=END)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        renew(a, maker, END)
    assert refusal.value.code == "renewal_not_longer"


def test_a_reminder_goes_out_once_thirty_days_before(plant, cea, maker):
    freeze(plant, maker, 600, cea, ends_on=END)
    early = midnight(END - timedelta(days=31))
    with transaction():
        assert lapses.remind(SYSTEM, now=early) == 0
    with transaction():
        assert lapses.remind(SYSTEM, now=early + timedelta(days=1)) == 1
    with transaction():
        assert lapses.remind(SYSTEM, now=early + timedelta(days=2)) == 0


# N99, N112: freezes of others ------------------------------------------------------------------


def test_n99_a_supervisor_s_freeze_does_not_end_by_itself(plant, cea, maker, checker, held):
    confirmed(entered("freeze", plant, maker, lines={cea: 300}), checker)
    assert lapse(midnight(date(2030, 1, 1))) == []
    assert held() == (700, 300)


def test_n112_a_hold_of_another_kind_comes_first_and_gives_way_to_the_queue(
    plant, cea, maker, checker, held
):
    hold = entered("freeze", plant, maker, lines={cea: 300})
    confirmed(hold, checker)
    a = freeze(plant, maker, 1000, cea)
    assert (stands(a), held()) == ((700, 300), (0, 1000))
    confirmed(entered("unfreeze", plant, maker, lines={cea: 200}, source=hold), checker)
    assert (stands(a), held()) == ((900, 100), (0, 1000))
    assert verify_ledger().is_sound


def test_a_court_s_freeze_is_entered_as_its_order(plant, cea, maker):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("freeze", plant, maker, lines={cea: 1}, category="judicial")
    assert refusal.value.code == "category_missing"


# N100: the whole account -----------------------------------------------------------------------


def test_n100_a_whole_account_order_takes_what_comes_up_to_its_quantity(plant, maker):
    older = issued_to(plant, 400)
    a = freeze(plant, maker, 1000)
    assert stands(a) == (400, 600)
    newer = instrument()
    give(plant, newer, 300)
    assert (stands(a), quantity(plant, newer)) == ((700, 300), 0)
    give(plant, older, 500)
    assert (stands(a), quantity(plant, older)) == ((1000, 0), 200)
    give(plant, newer, 10)
    assert quantity(plant, newer) == 10
    assert verify_ledger().is_sound


def test_a_whole_account_order_leaves_another_court_s_instrument_to_who_came_first(plant, maker):
    one, two = issued_to(plant, 100), issued_to(plant, 100)
    a = freeze(plant, maker, 80, one, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 300, served="2026-11-20T09:00:00+08:00")
    assert (stands(a), stands(b)) == ((80, 0), (120, 180))
    give(plant, two, 50)
    assert stands(b) == (170, 130)
    release(a, maker, 80)
    assert stands(b) == (250, 50)


# N102: what applications hold ------------------------------------------------------------------


def test_n102_units_under_review_go_to_the_queue_when_the_application_is_returned(
    plant, cea, maker, checker, held
):
    owner = member("enterprise", of=plant)
    deposit = submitted("custody_deposit", owner, {cea: 700}, category="merger", reason="合并")
    a = freeze(plant, maker, 1000, cea)
    assert (stands(a), held()) == ((300, 700), (0, 300))
    with transaction():
        engine.send_back([deposit.id], Actor.of(checker), now=clock.now(), comment="已被冻结").one()
    assert (stands(a), held()) == ((1000, 0), (0, 1000))
    assert verify_ledger().is_sound


def test_n102_what_was_approved_prevails(plant, cea, maker, checker, held):
    owner = member("enterprise", of=plant)
    asked = submitted("voluntary_cancellation", owner, {cea: 700}, reason="公益")
    a = freeze(plant, maker, 1000, cea)
    confirmed(asked.id, checker)
    assert (stands(a), held()) == ((300, 700), (0, 300))


def test_what_comes_home_from_trading_is_taken_at_the_day_end(plant, cea, maker, held):
    give(plant, cea, 300, Bucket.TRADING)
    a = freeze(plant, maker, 1200, cea)
    content = engine.Draft(
        "trading_to_registry", plant.id, (Line(cea.id, 300, venue_id=venue().id),), "home"
    )
    with transaction():
        (made,) = engine.start([content], EXCHANGE, now=clock.now())
        engine.submit([made], EXCHANGE, now=clock.now()).one()
    assert stands(a) == (1000, 200)
    with transaction():
        settlement.settle_day(date(2026, 11, 20), SYSTEM, now=at("16:00"))
    assert (stands(a), held()) == ((1200, 0), (100, 1200))
    assert verify_ledger().is_sound


def test_a_transfer_that_waits_for_a_colleague_is_not_moved_past_a_court(plant, cea, maker, held):
    first, second = (member(role, of=plant) for role in ("enterprise", "enterprise_checker"))
    with transaction():
        accounts.ask_colleagues(plant.id, Actor.of(first), asks=True, now=clock.now())
    asked = submitted("registry_to_trading", first, {cea: 700})
    a = freeze(plant, maker, 1000, cea)
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        confirmed(asked.id, second)
    assert refusal.value.code == "court_waits"
    with transaction():
        engine.withdraw([asked.id], Actor.of(first), now=clock.now()).one()
    assert (stands(a), held()) == ((1000, 0), (0, 1000))


def test_money_waits_in_the_queue_as_well(plant, maker):
    bank = issued_to(plant, 500_000)
    with transaction():
        bank.kind = "money"
    a = freeze(plant, maker, 800_000, bank)
    assert stands(a) == (500_000, 300_000)
    whole = freeze(plant, maker, 50)
    assert stands(whole) == (0, 50)  # Of allowances alone.
    give(plant, bank, 350_000)
    assert (stands(a), quantity(plant, bank)) == ((800_000, 0), 50_000)


# N103-N105: deduction --------------------------------------------------------------------------


def test_n104_a_deduction_draws_on_its_own_freeze_alone(plant, cea, maker, held):
    receiver = account("申请执行人有限公司")
    a = freeze(plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 700, cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        assign(a, maker, 601, cea, receiver)
    assert refusal.value.code == "assignment_above_hold"
    assign(a, maker, 450, cea, receiver)
    assert (stands(a), stands(b), held()) == ((150, 0), (400, 300), (0, 550))
    assert quantity(receiver, cea) == 450
    assert verify_ledger().is_sound
    effects = db.select(CourtEffect.quantity).filter_by(order_id=a, cause="assignment")
    assert db.session.scalars(effects).all() == [-450]


def test_what_is_queued_cannot_be_deducted(plant, cea, maker):
    freeze(plant, maker, 900, cea, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 700, cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="100"):
        assign(b, maker, 101, cea, account("申请执行人有限公司"))


def test_n103_without_an_admitted_account_they_have_to_be_sold(plant, cea, maker):
    a = freeze(plant, maker, 600, cea)
    registry = db.session.get_one(type(plant), 1)
    for receiver in (registry, plant):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            assign(a, maker, 10, cea, receiver)
        assert refusal.value.code == "sale_needed"


def test_a_receiver_s_own_queue_takes_what_is_assigned(plant, cea, maker):
    receiver = account("申请执行人有限公司")
    theirs = freeze(receiver, maker, 500, cea)
    a = freeze(plant, maker, 600, cea)
    assign(a, maker, 450, cea, receiver)
    assert (stands(theirs), quantity(receiver, cea)) == ((450, 50), 0)


def test_a_deduction_under_review_finds_nothing_after_an_earlier_service(
    plant, cea, maker, checker
):
    """The units went to a court that had been served before; the second officer is told."""
    b = freeze(plant, maker, 700, cea, served="2026-11-20T09:00:00+08:00")
    asked = assign(b, maker, 700, cea, account("申请执行人有限公司"), confirms=False)
    freeze(plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00")
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="400"):
        confirmed(asked, checker)


@pytest.mark.parametrize("kind", ["voluntary_cancellation", "custody_deposit"])
def test_n105_what_is_frozen_is_neither_cancelled_nor_deposited(plant, cea, maker, kind):
    owner = member("enterprise", of=plant)
    freeze(plant, maker, 1000, cea)
    category = "merger" if kind == "custody_deposit" else ""
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submitted(kind, owner, {cea: 1}, reason="办理", category=category)


# The database ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE court_order SET effective = 0",
        "DELETE FROM court_hold",
        "INSERT INTO court_lapse SELECT application_id, 'X', ends_on, 0, 0, now() FROM court_order",
        "SELECT serve_court_orders(1, NULL, now(), 'lapse', 1, 1)",
    ],
)
def test_the_application_s_role_writes_no_order(plant, cea, maker, statement):
    freeze(plant, maker, 600, cea)
    with pytest.raises(Exception, match="permission denied"), transaction():
        db.session.execute(db.text(statement))
    db.session.rollback()


def test_nothing_lapses_before_its_end_whoever_asks(plant, cea, maker, held):
    a = freeze(plant, maker, 600, cea, ends_on=END)
    asked = {"account": plant.id, "today": END, "at": clock.now()}
    with transaction():
        db.session.execute(db.text("SELECT lapse_court_orders(:account, :today, :at)"), asked)
    assert (stands(a), held()) == ((600, 0), (400, 600))
