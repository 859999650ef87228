"""结转 (rules-2026 N65-N76): round, notices, applications and batches, as officers and enterprises act."""

from __future__ import annotations

from datetime import date, datetime

import psycopg
import pytest
from sqlalchemy import select, text

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application, CarryOverGrant, CarryOverRefusal, Member, Notice
from app.operations.applications import engine
from app.operations.carry_over import batches
from app.operations.compliance import carry_over
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import BATCH, SYSTEM, Actor
from tests.factories import (
    account,
    confirmed,
    entered,
    give,
    instrument,
    member,
    nothing_moves,
    notice,
    plan,
    quantity,
)
from tests.markets import Market
from tests.operations import carrying, courts
from tests.operations.carrying import applied, batch, carried_out, fulfilled, notice_of, on

TODAY, TOMORROW = date(2026, 11, 20), date(2026, 11, 21)


@pytest.fixture
def cea21(plant):
    row = instrument("2021年度配额", vintage=2021)
    give(plant, row, 40_000, at=carrying.BEFORE)
    return row


@pytest.fixture
def cea23(plant):
    row = instrument("2023年度配额", vintage=2023)
    give(plant, row, 60_000, at=carrying.BEFORE)
    return row


@pytest.fixture
def cea25(app):
    return carrying.target()


@pytest.fixture
def plan_of_59_999(app):
    """B such that T is N69's 59,999 without any deal."""
    plan(2024, "power", carry_over_base=59_999)


@pytest.fixture
def ready(plan_of_59_999, plant, operator, maker, checker, cea21, cea23, cea25):
    """The plant has a notice of 59,999 tonnes."""
    carrying.decided_round(maker, checker)
    fulfilled(plant, operator, maker)
    carrying.noticed(maker, checker)
    found = notice_of(plant)
    assert found
    assert found.quota == 59_999
    return found


def refused(code, act, *arguments, **more):
    with pytest.raises(RuleError) as refusal:
        act(*arguments, **more)
    assert refusal.value.code == code
    return str(refusal.value)


def sound():
    report = verify_ledger()
    assert report.is_sound, report.faults


# The round ------------------------------------------------------------------------------------------


def test_n76_a_round_is_dated_data_of_two_officers(app, maker, checker, cea25):
    asked = carrying.round_of(maker)
    assert carry_over.latest(2025) is None
    with pytest.raises(NotAllowed):
        confirmed(asked, maker)
    confirmed(asked, checker)
    found = carry_over.latest(2025)
    assert found.values() == carrying.SAYS | {"target": cea25.code}
    # Another year with other parameters is data alone.
    later = carrying.target(2027)
    carrying.decided_round(
        maker, checker, 2027, target=later.code, vintages="2025,2026", base_rule="sum",
        years="2026", plan_year="2026",
    )  # fmt: skip
    assert [each.year for each in carry_over.rounds()] == [2027, 2025]
    # A change is another version.
    carrying.decided_round(
        maker, checker, apply_until="2026-12-10", batches="2026-12-10/2026-12-20"
    )
    assert carry_over.latest(2025).replaces_id == found.id
    sound()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("carry_over_target", {"target": "PE0"}),
        ("carry_over_target", {"vintages": "2024,2025"}),
        ("carry_over_days", {"sold_from": "2026-01-01"}),
        ("carry_over_days", {"notice_by": "2025-12-30"}),
        ("carry_over_batches", {"batches": "2026-03-20/2026-03-27"}),
        ("carry_over_batches", {"batches": "2026-11-20/2026-11-20"}),
        ("carry_over_incomplete", {"source": ""}),
    ],
)
def test_what_a_round_cannot_say(app, maker, cea25, code, says):
    refused(code, carrying.round_of, maker, **says)


def test_notices_keep_what_they_follow_from(ready, maker, checker):
    said = refused("carry_over_in_use", carrying.round_of, maker, sold_until="2025-12-30")
    assert "1 notices" in said
    refused("carry_over_in_use", carrying.round_of, maker,
            apply_until="2026-11-19", batches="2026-11-19/2026-11-27")  # fmt: skip
    carrying.decided_round(
        maker, checker, apply_until="2026-12-10", batches="2026-12-10/2026-12-20"
    )


# Notices --------------------------------------------------------------------------------------------


def test_n67_c1_the_holding_of_32_000(app, plant, operator, maker, checker, cea25):
    """Available 12,000 + trading 15,000 + frozen by a court 5,000; the rest is shown, not counted."""
    plan(2024, "power", carry_over_base=100_000)
    old = instrument("2021年度配额", vintage=2021)
    give(plant, old, 12_000 - 100 + 5_000 + 8_000 + 700, at=carrying.BEFORE)
    give(plant, old, 15_000, Bucket.TRADING, at=carrying.BEFORE)
    with transaction():
        clock.set_to(datetime(2025, 12, 10, 10, tzinfo=BEIJING), SYSTEM)
    confirmed(entered("freeze", plant, maker, lines={old: 700}, starts_on=date(2025, 12, 10),
                      ends_on=date(2026, 12, 9)), checker)  # fmt: skip
    carrying.start(
        engine.Draft("voluntary_cancellation", plant.id, (carrying.Line(old.id, 8_000),),
                     "cancel", reason="自愿"), operator,
    )  # fmt: skip
    courts.freeze(plant, maker, 5_000, old, served="2025-12-10T09:00:00+08:00")
    on(TODAY)
    # Another 100 of the vintage, which it surrenders after the deadline.
    fulfilled(plant, operator, maker, at=clock.now())
    carrying.decided_round(maker, checker)
    give(plant, old, 50_000)  # after the instant
    row = db.session.execute(
        text("SELECT * FROM carry_over_figures(:r, :d, :a)"),
        {"r": carry_over.latest(2025).id, "d": TODAY, "a": plant.id},
    ).one()
    assert (row.available, row.trading, row.frozen_judicial) == (12_000, 15_000, 5_000)
    assert (row.reserved, row.frozen_other, row.in_transit) == (8_000, 700, 0)
    assert row.holding == row.quota == 32_000
    assert row.refusal == "unfulfilled"  # N66: late


def test_n66_who_fulfilled_in_time_gets_one_and_the_others_the_reason(
    plan_of_59_999, plant, operator, maker, checker, cea21, cea25
):
    late = account("乙发电有限公司")
    its = member(of=late)
    free = account("丙贸易有限公司", sector=None)
    for each in (late, free):
        give(each, cea21, 1_000, at=carrying.BEFORE)
    fulfilled(plant, operator, maker)
    number = db.session.get_one(Notice, fulfilled(late, its, maker, at=clock.now())).number
    carrying.decided_round(maker, checker)
    carrying.noticed(maker, checker)
    assert notice_of(plant)
    assert notice_of(late) is None
    with nothing_moves():
        said = refused("carry_over_no_notice", applied, its, {cea21: 10})
    assert number in said
    assert "not fulfilled by its deadline" in said
    said = refused("carry_over_no_notice", applied, member(of=free), {cea21: 10})
    assert "None of its sectors" in said
    assert carry_over.outlook(carry_over.latest(2025), TODAY)[1] == {
        "no_base": 1, "unfulfilled": 1,
    }  # fmt: skip


@pytest.mark.parametrize("at", [carrying.IN_TIME, datetime(2026, 1, 5, 10, tzinfo=BEIJING)])
def test_n66_what_another_enterprise_supplied_counts_by_its_submission(
    plan_of_59_999, plant, operator, hubei, maker, checker, cea21, cea25, at
):
    helper = account("丙发电有限公司")
    give(helper, cea21, 100, at=carrying.BEFORE)
    notice_id = notice(plant, 100, by=maker, year=2024)
    content = engine.Draft(
        "assisted_surrender", helper.id, (Line(cea21.id, 100, account_id=plant.id),), "assist",
        "该单位银行账户被冻结", notice_id=notice_id,
    )  # fmt: skip
    with transaction():
        made = engine.start([content], Actor.of(member(of=helper)), now=at)
        engine.submit(made, Actor.of(member(of=helper)), now=at).one()
        engine.approve(made, Actor.of(operator), now=at).one()
        engine.approve(made, Actor.of(hubei), now=at).one()
    carrying.decided_round(maker, checker)
    found = carry_over.refusal_of(carry_over.latest(2025), plant.id, TODAY)
    number = db.session.get_one(Notice, notice_id).number
    assert found == (("", "") if at == carrying.IN_TIME else ("unfulfilled", number))


def test_of_several_sectors_the_largest_base_counts_once_or_their_sum(app, maker, checker, cea25):
    both = account("钢铁联合有限公司", sector="power,steel")
    old = instrument("2022年度配额", vintage=2022)
    give(both, old, 350_000, at=carrying.BEFORE)
    fulfilled(both, member(of=both), maker, sector="power")
    carrying.decided_round(maker, checker)

    def base():
        row = db.session.execute(
            text("SELECT base, sectors FROM carry_over_figures(:r, :d, :a)"),
            {"r": carry_over.latest(2025).id, "d": TODAY, "a": both.id},
        ).one()
        assert row.sectors == "power,steel"
        return row.base

    assert base() == 100_000
    carrying.decided_round(maker, checker, base_rule="sum")
    assert base() == 110_000


def test_what_two_officers_signed_is_what_is_made(ready, plant, maker, checker, cea21):
    """The figures are signed; others by the approval are refused, and notices are made once."""
    refused("carry_over_no_notices", carrying.notices_of, maker)
    second = account("乙发电有限公司")
    give(second, cea21, 5_000, at=carrying.BEFORE)
    fulfilled(second, member(of=second), maker)
    asked = carrying.notices_of(maker)
    third = account("丙发电有限公司")
    give(third, cea21, 7_000, at=carrying.BEFORE)
    fulfilled(third, member(of=third), maker)
    said = refused("carry_over_figures_changed", confirmed, asked, checker)
    assert "2, 12,000 tonnes" in said
    with transaction():
        engine.send_back([asked], Actor.of(checker), now=clock.now(), comment="数字已变")
    carrying.noticed(maker, checker)
    assert [notice_of(each).quota for each in (second, third)] == [5_000, 7_000]
    sound()


# Applications ---------------------------------------------------------------------------------------


def test_n69_30_000_and_29_999_of_59_999_and_no_tonne_more(ready, operator, cea21, cea23, plant):
    applied(operator, {cea21: 10_000, cea23: 20_000})
    applied(operator, {cea23: 29_999})
    with nothing_moves():
        said = refused("carry_over_above_quota", applied, operator, {cea21: 1})
    assert "1 tonnes asked for" in said
    assert "0 of 59,999" in said
    assert quantity(plant, cea21, Bucket.RESERVED) == 10_000  # N70


def test_n69_what_is_not_available_is_not_applied_for(ready, operator, cea21):
    with pytest.raises(InsufficientQuantity):
        applied(operator, {cea21: 40_001})


def test_n69_the_last_day_counts_and_the_day_after_does_not(ready, operator, cea21):
    on(TODAY, 23)
    applied(operator, {cea21: 1})
    on(TOMORROW, 0)
    with nothing_moves():
        said = refused("carry_over_closed", applied, operator, {cea21: 1})
    assert "until 2026-11-20" in said


def test_other_vintages_are_not_carried_over(ready, operator, plant):
    newer = instrument("2026年度配额", vintage=2026)
    give(plant, newer, 10)
    refused("carry_over_vintage", applied, operator, {newer: 1})


def test_n70_a_withdrawal_before_the_batch_gives_all_back(ready, operator, plant, cea21):
    asked = applied(operator, {cea21: 30_000})
    with transaction():
        engine.withdraw([asked], Actor.of(operator), now=clock.now()).one()
    assert quantity(plant, cea21) == 40_000
    applied(operator, {cea21: 30_001})


def test_another_enterprises_notice_is_of_no_use(ready, maker, cea21):
    other = account("乙发电有限公司")
    give(other, cea21, 100)
    content = carrying.draft(member(of=other), {cea21: 1})
    content.proposal["notice"] = str(ready.id)
    by = db.session.scalars(select(Member).where(Member.account_id == other.id)).one()
    refused("carry_over_no_notice", carrying.start, content, by)


def test_n72_what_a_court_froze_is_carried_over_after_its_release_without_an_end(
    ready, operator, plant, maker, checker, cea21
):
    order = courts.freeze(plant, maker, 40_000, cea21)
    with pytest.raises(InsufficientQuantity):
        applied(operator, {cea21: 1})
    on(date(2026, 12, 10))
    number = db.session.get_one(Application, courts.release(order, maker, 5_000)).number
    refused("carry_over_closed", applied, operator, {cea21: 1})
    refused("carry_over_release", applied, operator, {cea21: 1}, release="SC0")
    applied(operator, {cea21: 3_000}, release=number)
    said = refused("carry_over_release", applied, operator, {cea21: 2_001}, release=number)
    assert "leaves 2,000 tonnes" in said
    applied(operator, {cea21: 2_000}, release=number)
    on(date(2026, 12, 11))
    batch(maker, checker, date(2026, 12, 10))
    assert carried_out() == 2
    sound()


# Batches --------------------------------------------------------------------------------------------


def test_n71_one_document_two_moves(ready, plant, operator, maker, checker, cea21, cea23, cea25):
    asked = applied(operator, {cea21: 10_000, cea23: 20_000})
    number = db.session.get_one(Application, asked).number
    on(TOMORROW)
    made = batch(maker, checker, TODAY)
    assert carried_out() == 1
    assert quantity(plant, cea25) == 30_000
    assert (carrying.recalled(plant, cea21), carrying.recalled(plant, cea23)) == (10_000, 20_000)
    assert quantity(plant, cea21, Bucket.RESERVED) == 0
    postings = db.session.execute(
        text("SELECT business, sum(quantity) FROM posting p JOIN movement m ON m.posting_id = p.id"
             " WHERE p.document = :number AND p.stage <> 'submission' GROUP BY 1 ORDER BY 1"),
        {"number": number},
    ).all()  # fmt: skip
    assert [tuple(each) for each in postings] == [
        ("carry_over", 30_000), ("carry_over_grant", 30_000),
    ]  # fmt: skip
    grant = db.session.get_one(CarryOverGrant, asked)
    assert (grant.batch_id, grant.quantity) == (made, 30_000)
    # The same batch twice is a no-op.
    with nothing_moves():
        assert carried_out() == 0
    with pytest.raises(NotAllowed), transaction():
        engine.withdraw([asked], Actor.of(operator), now=clock.now()).one()
    sound()


def test_n71_a_batch_takes_what_was_submitted_until_its_day(
    ready, operator, plant, maker, checker, cea21, cea25
):
    refused("carry_over_batch_day", batch, maker, checker, TODAY)
    first = applied(operator, {cea21: 100})
    on(TOMORROW)
    carrying.decided_round(
        maker, checker, apply_until="2026-12-10", batches="2026-12-10/2026-12-20"
    )
    second = applied(operator, {cea21: 200})
    batch(maker, checker, TODAY)
    carried_out()
    states = [db.session.get_one(Application, each).status for each in (first, second)]
    assert states == ["approved", "in_review"]
    refused("carry_over_batch_empty", batch, maker, checker, TODAY)


def test_a_batch_is_what_two_officers_signed(ready, operator, maker, checker, cea21):
    asked = applied(operator, {cea21: 100})
    applied(operator, {cea21: 50})
    on(TOMORROW)
    made = carrying.start(carrying.drafts.of_batch(2025, TODAY, "batch", reason="按期收回"), maker)
    with transaction():
        engine.withdraw([asked], Actor.of(operator), now=clock.now()).one()
    said = refused("carry_over_batch_changed", confirmed, made, checker)
    assert "1, 50 tonnes" in said


def test_kill_safe_each_chunk_is_whole_and_the_rest_follows(
    ready, operator, plant, maker, checker, cea21, cea25, monkeypatch
):
    for _each in range(3):
        applied(operator, {cea21: 100})
    on(TOMORROW)
    batch(maker, checker, TODAY)
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    batches.carry_out_next(SYSTEM, now=clock.now())
    db.session.rollback()  # killed before the commit
    assert quantity(plant, cea25) == 0
    with transaction():
        assert batches.carry_out_next(SYSTEM, now=clock.now()) == 2
    assert quantity(plant, cea25) == 200
    assert carried_out() == 1
    assert quantity(plant, cea25) == 300
    sound()


def test_what_a_rule_refuses_stays_under_review_with_the_reason(
    ready, operator, maker, checker, cea21, cea25, plant, monkeypatch
):
    asked = applied(operator, {cea21: 100})
    on(TOMORROW)
    made = batch(maker, checker, TODAY)
    monkeypatch.setattr(
        "app.operations.applications.evidence.unfit", lambda ids, _certifying: (set(ids), set())
    )
    assert carried_out() == 1
    assert quantity(plant, cea21, Bucket.RESERVED) == 100
    found = db.session.get_one(CarryOverRefusal, (made, asked))
    assert "differs from what was signed" in found.reason


def test_nobody_approves_one_by_hand(ready, operator, maker, checker, cea21):
    """No officer's turn; and without its grant the database refuses the approval."""
    asked = applied(operator, {cea21: 100})
    for by in (Actor.of(maker), Actor.of(checker), SYSTEM):
        with pytest.raises(NotAllowed), transaction():
            engine.approve([asked], by, now=clock.now()).one()
    with pytest.raises(Exception, match="carry_over_is_granted"), transaction():
        engine.approve([asked], BATCH, now=clock.now()).one()
    db.session.rollback()


def test_the_database_keeps_within_the_notice_whoever_writes(
    ready, operator, plant, cea21, cluster
):
    """Without the engine: the trigger counts what is under review."""
    applied(operator, {cea21: 30_000})
    asked = carrying.start(carrying.draft(operator, {cea21: 30_000}), operator, submits=False)
    address = cluster.urls().app.replace("+psycopg", "")
    with (
        psycopg.connect(address) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="more is carried over"),
    ):
        connection.execute(
            "UPDATE application SET status = 'in_review', submitted_at = now() WHERE id = %s",
            [asked],
        )


def test_n68_notices_wait_until_both_books_agree(app, tables, maker, checker, cea25):
    """A day of the deals that the second book has not checked; then the figures are the trades'."""
    market = Market(tables)
    seller = market.join(account("甲发电有限公司"), tonnes=20_000, yuan="0")
    buyer = market.join(account("乙发电有限公司"), tonnes=1, yuan="99999.00")
    market.deal(seller, buyer, 101, "90.00")
    carrying.decided_round(
        maker, checker, sold_from="2026-11-01", sold_until="2026-11-20",
        held_at="2026-11-20 23:59:00", notice_by="2026-11-30", apply_until="2026-12-10",
        batches="2026-12-10/2026-12-20", years="2024",
    )  # fmt: skip
    refused("carry_over_too_early", carrying.notices_of, maker)
    for each in (seller, buyer):
        fulfilled(each, member(of=each), maker)
    market.settle(maker, checker)
    on(date(2026, 11, 23))
    said = refused("carry_over_books_differ", carrying.notices_of, maker)
    assert "2026-11-20: the second book has not checked the day" in said
    tables.connection.execute(
        "INSERT INTO audit_day (day, is_opening, from_xid, to_xid, movements, changes, packages,"
        " previous, digest) SELECT '2026-11-20', true, '1', pg_current_xact_id(), 0, 0, '[]', '',"
        " sha256('x')"
    )
    carrying.noticed(maker, checker)
    found = notice_of(seller)
    assert (found.sold, found.bought, found.base) == (101, 0, 10_000)
    assert (found.holding, found.quota) == (19_899, 10_151)  # 10,000 + 1.5 x 101, rounded down
    other = notice_of(buyer)
    assert (other.sold, other.bought, other.quota) == (0, 101, 102)
    sound()
