"""质押登记 with the figures of rules-2026 N110-N114: notes and holds, releases, rank, surrender, messages."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, OutboxMessage
from app.operations.accounts import life
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.pledges import notices
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import (
    account,
    confirmed,
    draft,
    give,
    instrument,
    member,
    nothing_moves,
    notice,
    plan,
    quantity,
    submitted,
)
from tests.operations.compliance.test_compliance import figures
from tests.operations.courts import freeze, stands
from tests.operations.pledging import (
    approved,
    drawing,
    known_here,
    pledged,
    pledging,
    switched,
)


@pytest.fixture
def cea(plant):
    """An allowance of 2025 of which the plant has 1,000 tonnes available."""
    what = instrument("2025年度配额", vintage=2025)
    give(plant, what, 1000)
    return what


@pytest.fixture
def held(plant, cea):
    """Return a function that tells what is available and what is frozen."""
    return lambda: (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN))


@pytest.fixture
def bank(app):
    """An account of the pledgee's, with its member."""
    row = account("湖北碳金融有限公司", holder_class="institution", sector=None)
    known_here(row)
    return member(of=row)


@pytest.fixture
def hold(app):
    switched(2)


def sent_to(address):
    rows = db.select(OutboxMessage).filter_by(purpose="pledge", recipient=address)
    return db.session.scalars(rows.order_by(OutboxMessage.id)).all()


def tell(now=None):
    with transaction():
        return notices.tell(SYSTEM, now=now or clock.now())


# N110: two modes, off by default ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pledge", "pledge_note"])
def test_n110_off_by_default(operator, cea, kind):
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        pledging(operator, {cea: 300}, kind=kind)
    assert refusal.value.code == "pledge_not_offered"


@pytest.mark.parametrize(("mode", "kind"), [(1, "pledge"), (2, "pledge_note")])
def test_n110_one_of_the_two_at_a_time(operator, cea, mode, kind):
    switched(mode)
    with nothing_moves(), pytest.raises(NotAllowed):
        pledging(operator, {cea: 300}, kind=kind)


def test_n110_the_mode_is_that_of_the_day(operator, cea):
    switched(2, since=clock.now().date() + timedelta(days=1))
    with nothing_moves(), pytest.raises(NotAllowed):
        pledging(operator, {cea: 300})


def test_n110_switched_off_under_review_it_is_not_registered_any_more(
    operator, cea, maker, hold, held
):
    made = pledging(operator, {cea: 300})
    assert held() == (700, 0)
    switched(0)
    with nothing_moves(), pytest.raises(NotAllowed):
        confirmed(made, maker)
    with transaction():
        engine.send_back([made], Actor.of(maker), now=clock.now(), comment="已停办").one()
    assert held() == (1000, 0)


def test_n110_a_note_moves_nothing(operator, cea, maker, checker, held):
    switched(1)
    note = pledged(operator, {cea: 300}, maker, checker, kind="pledge_note")
    assert held() == (1000, 0)
    sold = submitted("voluntary_cancellation", operator, {cea: 900}, reason="公益")
    assert sold.status == "in_review"
    with pytest.raises(InsufficientQuantity):
        drawing("pledge_note_release", note, 301, maker)
    approved(drawing("pledge_note_release", note, 300, maker), checker)


def test_n110_a_hold_is_frozen_once_two_officers_agree(operator, cea, maker, checker, hold, held):
    made = pledging(operator, {cea: 300})
    assert (held(), quantity(operator.account, cea, Bucket.RESERVED)) == ((700, 0), 300)
    approved(made, maker)
    assert held() == (700, 0)
    with pytest.raises(NotAllowed) as refusal:
        confirmed(made, maker)
    assert refusal.value.code == "own_application"
    approved(made, checker)
    assert held() == (700, 300)
    assert verify_ledger().is_sound


def test_n110_no_more_than_is_available(operator, cea, hold):
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        pledging(operator, {cea: 1001})
    assert refusal.value.field == f"lines.{cea.id}.quantity"


def test_n110_a_pledgee_with_an_account_agrees_itself(
    operator, cea, bank, maker, checker, hold, held
):
    made = pledging(operator, {cea: 300}, code=bank.account.uscc)
    with pytest.raises(NotAllowed):
        confirmed(made, maker)
    approved(made, bank, maker, checker)
    assert held() == (700, 300)


def test_n110_sent_back_it_is_asked_anew(operator, cea, bank, maker, checker, hold, held):
    made = pledging(operator, {cea: 300}, code=bank.account.uscc)
    approved(made, bank)
    with transaction():
        engine.send_back([made], Actor.of(maker), now=clock.now(), comment="合同号有误").one()
        engine.submit([made], Actor.of(operator), now=clock.now()).one()
    with pytest.raises(NotAllowed):
        confirmed(made, maker)
    approved(made, bank, maker, checker)
    assert held() == (700, 300)


def test_n110_a_pledgee_with_an_account_is_not_left_out(operator, cea, bank, hold):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        pledging(operator, {cea: 300}, code=bank.account.uscc, receivers=())
    assert refusal.value.code == "pledgee_not_asked"


# N111: what it says, and who releases it --------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({"pledgee": " "}, "pledgee_missing", "pledgee"),
        ({"pledgee": "行" * 201}, "pledgee_missing", "pledgee"),
        ({"uscc": "914201003000000001"}, "pledgee_uscc", "uscc"),
        ({"contract_no": ""}, "contract_no_missing", "contract_no"),
        ({"filing_no": ""}, "filing_no_missing", "filing_no"),
        ({"email": "银行"}, "pledgee_email", "email"),
    ],
)
def test_n111_the_fields(operator, cea, hold, said, code, field):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        pledging(operator, {cea: 300}, proposal=said)
    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_n111_the_filing_s_end_and_the_paper(operator, cea, hold):
    for more, code in (
        ({"ends_on": clock.now().date() - timedelta(days=2)}, "filing_over"),
        ({"ends_on": None}, "filing_over"),
        ({"paper": False}, "pledgee_paper_missing"),
    ):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            pledging(operator, {cea: 300}, **more)
        assert refusal.value.code == code


def test_n111_not_to_itself(operator, cea, hold):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        pledging(operator, {cea: 300}, code=known_here(operator.account), receivers=())
    assert refusal.value.code == "pledged_to_itself"


def test_n111_released_on_the_pledgee_s_document_by_two_officers(
    operator, cea, maker, checker, hold, held
):
    made = pledged(operator, {cea: 300}, maker, checker)
    for more, code in (
        ({"paper": False}, "pledgee_paper_missing"),
        ({"document_no": ""}, "document_missing"),
    ):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            drawing("pledge_release", made, 100, maker, **more)
        assert refusal.value.code == code
    asked = drawing("pledge_release", made, 100, maker)
    assert held() == (700, 300)
    with pytest.raises(NotAllowed):
        confirmed(asked, maker)
    approved(asked, checker)
    assert held() == (800, 200)
    with pytest.raises(InsufficientQuantity) as refusal:
        drawing("pledge_release", made, 201, maker)
    assert refusal.value.code == "more_than_left"
    assert verify_ledger().is_sound


def test_n111_released_by_both(operator, cea, bank, maker, checker, hold, held):
    made = approved(pledging(operator, {cea: 300}, code=bank.account.uscc), bank, maker, checker).id
    asked = drawing("pledge_joint_release", made, 300, operator)
    with pytest.raises(NotAllowed):
        confirmed(asked, maker)
    assert held() == (700, 300)
    approved(asked, bank, maker)
    assert held() == (1000, 0)


def test_n111_never_by_the_holder_alone(operator, cea, bank, maker, checker, hold):
    of_bank = pledged(operator, {cea: 300}, maker, checker)
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        drawing("pledge_joint_release", of_bank, 300, operator)
    assert refusal.value.code == "pledgee_has_to_agree"
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        drawing("pledge_release", of_bank, 300, operator)
    assert refusal.value.code == "not_the_registry"
    here = approved(pledging(operator, {cea: 300}, code=bank.account.uscc), bank, maker, checker).id
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        drawing("pledge_joint_release", here, 300, operator, receivers=())
    assert refusal.value.code == "pledgee_has_to_agree"
    # Nor with somebody else's agreement.
    other = account("路人有限公司")
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        drawing("pledge_joint_release", here, 300, operator, receivers=(other.id,))
    assert refusal.value.code == "pledgee_not_asked"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("pledge_joint_release", "by the holder alone"),
        ("pledge_release", "is not confirmed by officers"),
        ("pledge_note_release", "draws on no such pledge"),
        ("unfreeze", "draws on what is pledged"),
    ],
)
def test_n111_the_database_has_no_other_way_out(operator, cea, maker, checker, hold, kind, fault):
    made = pledged(operator, {cea: 300}, maker, checker)
    by = operator if kind == "pledge_joint_release" else maker
    asked = drawing(
        kind, made, 300, by, submits=False, authority="湖北银行", starts_on=date(2026, 11, 20)
    )
    with pytest.raises(IntegrityError) as refusal, transaction():
        _written(asked, "approved")
    assert fault in str(refusal.value)


def _written(application_id, status):
    """Write a state past the engine, as a program with a fault would."""
    written = text(
        "UPDATE application SET status = :status, submitted_at = coalesce(submitted_at, now())"
        " WHERE id = :id"
    )
    db.session.execute(written.bindparams(status=status, id=application_id))


def test_n110_the_database_registers_nothing_while_it_is_off(operator, cea):
    made = pledging(operator, {cea: 300}, submits=False)
    for status in ("in_review", "approved"):
        with pytest.raises(IntegrityError) as refusal, transaction():
            _written(made, status)
        assert "is not offered" in str(refusal.value)


def test_n110_the_database_wants_paper_two_officers_and_the_pledgee(
    operator, cea, bank, maker, hold
):
    bare = pledging(operator, {cea: 300}, submits=False, paper=False)
    with pytest.raises(IntegrityError) as refusal, transaction():
        _written(bare, "in_review")
    assert "rests on no document" in str(refusal.value)
    alone = pledging(operator, {cea: 300})
    approved(alone, maker)
    with pytest.raises(IntegrityError) as refusal, transaction():
        _written(alone, "approved")
    assert "is not confirmed by officers" in str(refusal.value)
    unasked = pledging(operator, {cea: 300}, code=bank.account.uscc, receivers=(), submits=False)
    with pytest.raises(IntegrityError) as refusal, transaction():
        _written(unasked, "in_review")
    assert "by the holder alone" in str(refusal.value)


# N112: rank with courts' freezes ----------------------------------------------------------------


def test_n112_a_pledge_comes_first_and_gives_way_to_the_queue(
    operator, plant, cea, maker, checker, hold, held
):
    made = pledged(operator, {cea: 300}, maker, checker)
    order = freeze(plant, maker, 1000, cea)
    assert (stands(order), held()) == ((700, 300), (0, 1000))
    approved(drawing("pledge_release", made, 200, maker), checker)
    assert (stands(order), held()) == ((900, 100), (0, 1000))
    approved(drawing("pledge_release", made, 100, maker), checker)
    assert (stands(order), held()) == ((1000, 0), (0, 1000))
    assert verify_ledger().is_sound


def test_n112_after_a_court_a_pledge_takes_only_what_is_available(
    operator, plant, cea, maker, checker, hold, held
):
    freeze(plant, maker, 800, cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        pledging(operator, {cea: 201})
    pledged(operator, {cea: 200}, maker, checker)
    assert held() == (0, 1000)
    assert verify_ledger().is_sound


def test_n112_a_pledge_sent_back_goes_to_the_court(operator, plant, cea, maker, hold, held):
    made = pledging(operator, {cea: 300})
    order = freeze(plant, maker, 1000, cea)
    assert stands(order) == (700, 300)
    with transaction():
        engine.send_back([made], Actor.of(maker), now=clock.now(), comment="法院已冻结").one()
    assert (stands(order), held()) == ((1000, 0), (0, 1000))


# N113: surrender with the pledgee's consent, and the warning ------------------------------------


@pytest.fixture
def owed(plant, maker):
    return notice(plant, 500, by=maker)


def test_n113_surrendered_out_of_the_pledge_with_consent(
    operator, plant, cea, maker, checker, hubei, hold, held, owed
):
    made = pledged(operator, {cea: 800}, maker, checker)
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submitted("surrender", operator, {cea: 300}, notice_id=owed)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        drawing("pledge_surrender", made, 300, operator, notice_id=owed, paper=False)
    assert refusal.value.code == "pledgee_paper_missing"
    asked = drawing("pledge_surrender", made, 300, operator, notice_id=owed)
    assert (held(), figures(owed)) == ((200, 800), (0, 300))
    with pytest.raises(InsufficientQuantity):  # What is about to be surrendered is not released.
        drawing("pledge_release", made, 501, maker)
    approved(asked, maker, checker, hubei)
    assert (held(), figures(owed)) == ((200, 500), (300, 0))
    assert quantity(plant, cea, Bucket.SURRENDERED) == 300
    with pytest.raises(InsufficientQuantity) as refusal:
        drawing("pledge_surrender", made, 201, operator, notice_id=owed)
    assert refusal.value.code == "above_due"
    assert verify_ledger().is_sound


def test_n113_a_pledgee_with_an_account_consents_itself(
    operator, cea, bank, maker, checker, hubei, hold, owed
):
    made = approved(pledging(operator, {cea: 800}, code=bank.account.uscc), bank, maker, checker).id
    asked = drawing("pledge_surrender", made, 300, operator, notice_id=owed)
    with pytest.raises(NotAllowed):
        confirmed(asked, maker)
    approved(asked, bank, maker, checker, hubei)
    assert figures(owed) == (300, 0)


def test_n113_a_court_gets_nothing_of_what_is_surrendered(
    operator, plant, cea, maker, checker, hubei, hold, owed
):
    made = pledged(operator, {cea: 800}, maker, checker)
    order = freeze(plant, maker, 1000, cea)
    assert stands(order) == (200, 800)
    approved(
        drawing("pledge_surrender", made, 300, operator, notice_id=owed), maker, checker, hubei
    )
    assert stands(order) == (200, 800)


def test_n113_not_for_another_enterprise_s_notice(operator, cea, maker, checker, hold):
    made = pledged(operator, {cea: 800}, maker, checker)
    other = notice(account("乙发电有限公司"), 500, by=maker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        drawing("pledge_surrender", made, 300, operator, notice_id=other)
    assert refusal.value.code == "notice_unknown"


def test_n113_the_database_keeps_it_within_the_notice(operator, plant, cea, maker, checker, hold):
    made = pledged(operator, {cea: 800}, maker, checker)
    owed = notice(plant, 200, by=maker)
    asked = drawing("pledge_surrender", made, 300, operator, notice_id=owed, submits=False)
    with pytest.raises(IntegrityError) as refusal, transaction():
        _written(asked, "in_review")
    assert "supplies what its notice does not ask for" in str(refusal.value)


DEADLINE = datetime(2029, 12, 31, 23, 59, 59, tzinfo=BEIJING)


def before(days):
    return datetime(2029, 12, 31, 12, tzinfo=BEIJING) - timedelta(days=days)


def test_n113_the_warning_comes_once_sixty_days_before(operator, plant, cea, maker, checker, hold):
    """1,000 held of which 800 pledged: 500 due and 200 free."""
    pledged(operator, {cea: 800}, maker, checker)
    notice(plant, 500, by=maker, deadline=DEADLINE)
    assert tell(before(61)) == 0
    assert tell(before(60)) == 1
    assert tell(before(59)) == 0
    (told,) = sent_to("pledge@bank.example")
    assert "500 tonnes by 2029-12-31" in told.body
    assert "only 200 tonnes free" in told.body
    assert [each.account_id for each in sent_to(operator.email)] == [plant.id]


def test_n113_no_warning_where_enough_is_free(operator, plant, cea, maker, checker, hold):
    pledged(operator, {cea: 400}, maker, checker)
    notice(plant, 600, by=maker, deadline=DEADLINE)
    assert tell(before(30)) == 0


def test_n113_what_trades_is_free_and_a_moved_deadline_is_another_one(
    operator, plant, cea, maker, checker, hold
):
    give(plant, cea, 300, Bucket.TRADING)
    pledged(operator, {cea: 800}, maker, checker)
    notice(plant, 501, by=maker, deadline=DEADLINE)
    assert tell(before(30)) == 1
    assert "only 500 tonnes free" in sent_to("pledge@bank.example")[0].body
    plan(2025, surrender_by=DEADLINE + timedelta(days=31))
    assert tell(before(30)) == 0
    assert tell(before(28)) == 1


# N114: lapse of a vintage -----------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kind"), [(2, "pledge"), (1, "pledge_note")])
def test_n114_both_are_told_once_that_a_vintage_lost_its_use(
    operator, plant, maker, checker, bank, mode, kind
):
    switched(mode)
    old = instrument("2033年度配额", vintage=2033)
    give(plant, old, 300)
    last = datetime(2034, 12, 31, 23, 59, 59, tzinfo=BEIJING)
    plan(2033, accepts=(2033,), surrender_by=last)
    pledged(operator, {old: 300}, bank, maker, checker, kind=kind, code=bank.account.uscc)
    assert tell(last) == 0
    assert tell(last + timedelta(seconds=2)) == 1
    assert tell(last + timedelta(days=3)) == 0
    for address in ("pledge@bank.example", operator.email, bank.email):
        (told,) = sent_to(address)
        assert "300 tonnes" in told.body
        assert "since 2035-01-01" in told.body


def test_n114_nothing_is_said_of_what_was_released(operator, plant, maker, checker, hold):
    old = instrument("2033年度配额", vintage=2033)
    give(plant, old, 300)
    last = datetime(2034, 12, 31, 23, 59, 59, tzinfo=BEIJING)
    plan(2033, accepts=(2033,), surrender_by=last)
    made = pledged(operator, {old: 300}, maker, checker)
    approved(drawing("pledge_release", made, 300, maker), checker)
    assert tell(last + timedelta(days=1)) == 0


# N116, N117, N125: the account's life -----------------------------------------------------------


@pytest.mark.parametrize(("mode", "kind"), [(2, "pledge"), (1, "pledge_note")])
def test_n117_an_account_with_a_pledge_in_force_is_not_closed(
    operator, plant, cea, maker, checker, mode, kind
):
    switched(mode)
    made = pledged(operator, {cea: 300}, maker, checker, kind=kind)
    number = db.session.get_one(Application, made).number
    told = [
        (each.name, each.quantity) for each in life.obstacles_of(plant.id) if each.what == "pledge"
    ]
    assert told == [(number, 300)]
    closing = draft("account_closure", operator, {}, reason="不再经营")
    with nothing_moves(), pytest.raises(RuleError) as refusal, transaction():
        engine.submit([closing], Actor.of(operator), now=clock.now()).one()
    assert f"pledge {number} in force: 300 tonnes" in str(refusal.value)
    release = {"pledge": "pledge_release", "pledge_note": "pledge_note_release"}[kind]
    approved(drawing(release, made, 300, maker), checker)
    assert "pledge" not in {each.what for each in life.obstacles_of(plant.id)}


def test_n125_who_may_pledge_is_said_by_the_class(cea, maker, hold):
    """Other holders without obligation may not pledge by the rights installed."""
    other = account("碳资产有限公司", holder_class="other", sector=None)
    give(other, cea, 500)
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        pledging(member(of=other), {cea: 300})
    assert refusal.value.code == "class_lacks_right"


def test_n105_what_is_pledged_is_not_cancelled_nor_transferred(
    operator, plant, cea, maker, checker, hold
):
    pledged(operator, {cea: 1000}, maker, checker)
    for kind, more in (("voluntary_cancellation", {"reason": "公益"}), ("registry_to_trading", {})):
        with nothing_moves(), pytest.raises(RuleError):
            submitted(kind, operator, {cea: 1}, **more)
