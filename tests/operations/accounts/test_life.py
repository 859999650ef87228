"""Accounts through their life: closure, retirement, succession, classes, bankruptcy (N115-N126)."""

from __future__ import annotations

from datetime import date

import pytest

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import CARE_ACCOUNT_ID, Bucket
from app.extensions import db, transaction
from app.models import Account, Certificate, Instrument, LoginSession, Member, Notice
from app.operations.accounts import details, life, sectors
from app.operations.applications import engine
from app.operations.compliance import attestations
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.people import members
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import (
    account,
    at,
    changed,
    colleague,
    confirmed,
    draft,
    entered,
    give,
    instrument,
    issued_to,
    member,
    nothing_moves,
    notice,
    quantity,
    submitted,
)
from tests.operations import courts
from tests.operations.successions import succeeding as succession

CLOSURE = "account_closure"


@pytest.fixture
def province(app):
    return member("province", province="42")


@pytest.fixture
def second(app, maker, checker):
    """Another officer who approves after the checker."""
    return member("registry_checker")


def approve(application, *officers):
    for officer in officers:
        with transaction():
            engine.approve([application], Actor.of(officer), now=clock.now()).one()


def account_of(of):
    db.session.expire_all()
    return db.session.get_one(Account, of.id)


def closed(of, operator, checker, second):
    case = submitted(CLOSURE, operator, {}, reason="停产注销")
    approve(case.id, checker, second)
    return account_of(of)


def surrendered(by, notice_id, what, tonnes, *officers):
    case = submitted("surrender", by, {what: tonnes}, notice_id=notice_id)
    approve(case.id, *officers)


# Closure ----------------------------------------------------------------------------------------


def test_n117_an_empty_account_closes_and_nobody_signs_in(plant, operator, checker, second):
    found = closed(plant, operator, checker, second)

    assert (found.closed_as, found.closed_at is None) == ("closed", False)
    assert db.session.get_one(Member, operator.id).active is False
    with pytest.raises(RuleError, match="closed"), transaction():
        members.enable(operator.id, Actor.of(second))


def test_n117_a_refusal_names_all_that_is_left(plant, operator, maker, checker, province):
    cea = issued_to(plant, 1000)
    notice(plant, 600, [cea], by=province)
    submitted("voluntary_cancellation", operator, {cea: 100}, reason="自愿")
    order = courts.freeze(plant, maker, 50, cea)
    made = draft(CLOSURE, operator, {}, reason="停产")
    with pytest.raises(RuleError) as error, transaction():
        engine.submit([made], Actor.of(operator), now=clock.now()).one()
    assert error.value.code == "account_not_empty"
    told = str(error.value)
    for part in (f"{cea.code}: 1,000 tonnes", "under way", "open by 600 tonnes", "court order"):
        assert part in told
    assert order


def test_a_transfer_is_under_way_until_its_day_is_settled(plant, operator, checker, second):
    cea = issued_to(plant, 100)
    submitted("registry_to_trading", operator, {cea: 100})
    assert "application" in {each.what for each in life.obstacles_of(plant.id)}
    with transaction():
        settlement.settle_day(at("15:00").date(), SYSTEM, now=at("15:30"))
    assert [each.what for each in life.obstacles_of(plant.id)] == ["tonnes"]


def test_what_came_after_the_submission_refuses_the_approval(plant, operator, checker, second):
    case = submitted(CLOSURE, operator, {}, reason="停产")
    approve(case.id, checker)
    issued_to(plant, 10)
    with pytest.raises(RuleError, match="10 tonnes"):
        approve(case.id, second)
    assert account_of(plant).closed_at is None


def test_nothing_is_credited_to_a_closed_account(plant, operator, checker, second):
    what = instrument()
    closed(plant, operator, checker, second)
    with nothing_moves(), pytest.raises(Exception, match="closed"):
        give(plant, what, 5)


def test_a_closed_account_applies_for_nothing(plant, operator, checker, second, maker):
    cea = instrument()
    made = entered("issuance", plant, maker, lines={cea: 5}, category="approved", submits=False)
    closed(plant, operator, checker, second)
    with pytest.raises(NotAllowed, match="closed"), transaction():
        engine.submit([made], Actor.of(maker), now=clock.now()).one()


def test_a_province_asks_for_the_closure_of_its_own(plant, province, checker, second):
    other = account("乙", "31")
    with pytest.raises(RuleError, match="no such account"):
        entered("closure_by_office", other, province)
    made = entered("closure_by_office", plant, province)
    approve(made, checker, second)
    assert account_of(plant).closed_as == "closed"


# Retirement -------------------------------------------------------------------------------------


def test_what_was_never_used_is_retired_and_stays(plant, maker, checker):
    made = entered("account_retirement", plant, maker)
    approve(made, checker)
    assert account_of(plant).closed_as == "retired"
    with transaction():
        what = Instrument(code="PE2099000001", name="误建标的", vintage=2099)
        db.session.add(what)
    made = entered("instrument_retirement", db.session.get_one(Account, 1), maker,
                   proposal={"instrument": what.id, "code": what.code})  # fmt: skip
    approve(made, checker)
    db.session.expire_all()
    assert db.session.get_one(Instrument, what.id).retired_at
    with nothing_moves(), pytest.raises(Exception, match="retired"):
        give(account("乙"), what, 1)


def test_what_was_used_is_not_retired(plant, operator, maker):
    cea = issued_to(plant, 5)
    for kind, about, proposal in (
        ("account_retirement", plant, {}),
        ("instrument_retirement", db.session.get_one(Account, 1),
         {"instrument": cea.id, "code": cea.code}),
    ):  # fmt: skip
        with pytest.raises(RuleError, match="never used"):
            entered(kind, about, maker, proposal=proposal)


def test_who_has_signed_in_has_used_an_account(plant, operator, maker):
    with transaction():
        db.session.add(LoginSession(token_hash="x" * 64, member_id=operator.id))
    with pytest.raises(RuleError, match="has signed in"):
        entered("account_retirement", plant, maker)


# Succession -------------------------------------------------------------------------------------


@pytest.fixture
def owing(plant, operator, province, checker, maker):
    """Return the plant's notice, of 1,000,000 tonnes with 400,000 surrendered, and its instrument."""
    cea = issued_to(plant, 500_000)
    owed = notice(plant, 1_000_000, [cea], by=province)
    surrendered(operator, owed, cea, 400_000, province)
    return owed, cea


def owes(notice_id):
    db.session.expire_all()
    row = db.session.get_one(Notice, notice_id)
    done = db.session.scalar(
        db.text("SELECT coalesce(sum(surrendered), 0)::bigint FROM notice_surrender WHERE notice_id = :id"),
        {"id": notice_id},
    )  # fmt: skip
    return row.account_id, row.obligation - done


def test_n116_a_merger_takes_over_notice_and_tonnes(
    plant, owing, operator, maker, checker, second, province
):
    owed, cea = owing
    number = db.session.get_one(Notice, owed).number
    heir = account("乙发电有限公司")
    own = notice(heir, 50, [cea], by=province)

    made = succession(plant, maker, [(heir, "100")], {cea: 100_000})
    assert (quantity(plant, cea), quantity(plant, cea, Bucket.RESERVED)) == (0, 100_000)
    approve(made, checker)

    assert owes(owed) == (heir.id, 600_000)
    assert db.session.get_one(Notice, owed).number == number
    assert owes(own) == (heir.id, 50)
    assert (quantity(plant, cea), quantity(heir, cea)) == (0, 100_000)
    assert verify_ledger().is_sound
    # The successor surrenders for it, and the emptied account closes.
    by = member(of=heir)
    surrendered(by, owed, cea, 100_000, province)
    assert owes(owed) == (heir.id, 500_000)
    assert closed(plant, operator, checker, second).closed_as == "closed"


def test_an_inherited_notice_and_one_s_own_are_changed_apart(
    plant, owing, maker, checker, province
):
    owed, cea = owing
    heir = account("乙发电有限公司")
    own = notice(heir, 50, [cea], by=province)
    approve(succession(plant, maker, [(heir, "100")], {cea: 100_000}), checker)

    for each, wanted in ((owed, 900_000), (own, 60)):
        confirmed(changed(each, by=province, obligation=wanted), colleague(province))
    assert (owes(owed), owes(own)) == ((heir.id, 500_000), (heir.id, 60))
    assert verify_ledger().is_sound


def test_n116_a_division_splits_by_the_table(plant, owing, maker, checker):
    owed, cea = owing
    one, two = account("甲一"), account("甲二")
    give(plant, cea, 1)

    made = succession(plant, maker, [(one, "60"), (two, "40")], {cea: 100_001}, "division")
    approve(made, checker)

    assert (quantity(one, cea), quantity(two, cea)) == (60_001, 40_000)
    assert owes(owed) == (one.id, 360_000)
    (further,) = db.session.scalars(db.select(Notice.id).where(Notice.account_id == two.id))
    assert owes(further) == (two.id, 240_000)
    assert verify_ledger().is_sound


@pytest.mark.parametrize(
    ("percents", "category", "code"),
    [
        (("60", "39.9999"), "division", "shares_not_whole"),
        (("100",), "division", "successors_wrong"),
        (("60", "40"), "merger", "successors_wrong"),
    ],
)
def test_shares_are_checked(plant, maker, percents, category, code):
    heirs = [(account(f"承继{n}"), percent) for n, percent in enumerate(percents)]
    with nothing_moves(), pytest.raises(RuleError) as error:
        succession(plant, maker, heirs, category=category)
    assert error.value.code == code


def test_a_succession_moves_everything_or_nothing(plant, maker):
    cea = issued_to(plant, 1000)
    give(plant, cea, 5, Bucket.TRADING)
    heir = account("乙")
    for held in ({cea: 1000}, {cea: 999}, {}):
        with nothing_moves(), pytest.raises(RuleError, match="moves everything"):
            succession(plant, maker, [(heir, "100")], held)


def test_what_came_meanwhile_is_not_left_behind(plant, maker, checker):
    cea = issued_to(plant, 1000)
    made = succession(plant, maker, [(account("乙"), "100")], {cea: 1000})
    give(plant, cea, 7)
    with nothing_moves(), pytest.raises(RuleError, match="7 tonnes"):
        approve(made, checker)


def test_a_court_order_keeps_a_succession_off(plant, maker):
    cea = issued_to(plant, 1000)
    courts.freeze(plant, maker, 2000, cea)
    with nothing_moves(), pytest.raises(RuleError, match="court order"):
        succession(plant, maker, [(account("乙"), "100")], {cea: 1000})


def test_n118_what_nobody_succeeds_to_is_in_care(plant, maker, checker, province):
    cea = issued_to(plant, 1000)
    care = db.session.get_one(Account, CARE_ACCOUNT_ID)
    owed = notice(plant, 300, [cea], by=province)
    made = succession(plant, maker, [(care, "100")], {cea: 1000}, "dissolution")
    approve(made, checker)
    assert quantity(care, cea) == 1000
    assert owes(owed) == (plant.id, 300)


def test_a_certificate_of_the_successor_s_year_lapses(plant, owing, maker, checker, province):
    _owed, cea = owing
    heir = account("乙")
    give(heir, cea, 50)
    own = notice(heir, 50, [cea], by=province)
    surrendered(member(of=heir), own, cea, 50, province)
    assert attestations.of_notice(own)
    approve(succession(plant, maker, [(heir, "100")], {cea: 100_000}), checker)
    db.session.expire_all()
    assert attestations.of_notice(own) is None


def test_n120_who_leaves_the_list_owes_what_it_owed(plant, province):
    cea = issued_to(plant, 10)
    owed = notice(plant, 300, [cea], by=province)
    with transaction():
        sectors.change(plant.id, [], date(2026, 11, 20))
    assert owes(owed) == (plant.id, 300)
    with pytest.raises(RuleError) as error:
        notice(plant, 10, [cea], by=province, year=2027, sector="power")
    assert error.value.code == "not_of_the_sector"


# Classes ----------------------------------------------------------------------------------------


def rights(of_class, wanted, maker, checker, starts_on=date(2026, 11, 20)):
    about = db.session.get_one(Account, 1)
    made = entered("class_rule", about, maker, starts_on=starts_on,
                   proposal={"class": of_class, "rights": wanted})  # fmt: skip
    approve(made, checker)


def test_n126_an_institution_trades_and_cancels_and_has_no_obligation(
    maker, checker, province, app
):
    fund = account("某证券股份有限公司", holder_class="institution", sector=None)
    by, cea = member(of=fund), instrument()
    give(fund, cea, 100)
    submitted("voluntary_cancellation", by, {cea: 10}, reason="自愿")
    with nothing_moves(), pytest.raises(NotAllowed, match="right"):
        entered("issuance", fund, maker, lines={cea: 5}, category="approved")
    with pytest.raises(NotAllowed, match="right"):
        notice(fund, 10, [cea], by=province, sector="power")


def test_n125_a_right_changes_by_two_officers_from_a_day(maker, checker):
    fund = account("某证券股份有限公司", holder_class="institution", sector=None)
    by, cea = member(of=fund), instrument()
    give(fund, cea, 100)
    rights("institution", ["hold", "trade"], maker, checker, date(2026, 11, 21))
    submitted("voluntary_cancellation", by, {cea: 10}, reason="自愿")
    rights("institution", ["hold", "trade"], maker, checker)
    with pytest.raises(NotAllowed, match="right"):
        submitted("voluntary_cancellation", by, {cea: 10}, reason="自愿")
    with pytest.raises(RuleError, match="2026-11-19"):
        rights("institution", [], maker, checker, date(2026, 11, 19))


def test_the_database_knows_the_rights_of_kinds(app):
    from app.domain.kinds import KINDS

    for code, kind in KINDS.items():
        said = db.session.scalar(db.text("SELECT right_of_kind(:kind)"), {"kind": code})
        assert (said or "") == kind.right, code


# Bankruptcy ------------------------------------------------------------------------------------


PERSON = {
    "representative": "赵管理人",
    "representative_phone": "13800138009",
    "representative_email": "glr@example.com",
    "representative_identity_no": "11010519491231002X",
}


def declared(of, maker, checker):
    made = entered("bankruptcy", of, maker, submits=False, proposal=details.propose({}, PERSON))
    courts.attach(made, of, maker)
    with transaction():
        engine.submit([made], Actor.of(maker), now=clock.now()).one()
    approve(made, checker)


def test_n119_the_administrator_alone_acts(plant, operator, maker, checker):
    cea = issued_to(plant, 100)
    other = member("enterprise_maker", of=plant)
    rep = operator
    declared(plant, maker, checker)

    db.session.expire_all()
    assert details.current(plant.id)["representative"] == "赵管理人"
    assert db.session.get_one(Member, rep.id).password is None
    assert not db.session.get_one(Member, other.id).active
    assert not db.session.scalars(
        db.select(Certificate.id).where(
            Certificate.member_id.in_([rep.id, other.id]), Certificate.state != "revoked"
        )
    ).all()
    with nothing_moves(), pytest.raises(NotAllowed, match="administrator"):
        submitted("voluntary_cancellation", other, {cea: 10}, reason="自愿")
    submitted("voluntary_cancellation", db.session.get_one(Member, rep.id), {cea: 10}, reason="x")


def test_bankruptcy_needs_the_court_s_paper(plant, maker):
    with pytest.raises(RuleError, match="court's document"):
        entered("bankruptcy", plant, maker, proposal=details.propose({}, PERSON))
