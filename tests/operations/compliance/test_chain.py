"""The issuance chain: registry, province, enterprise (rules-2026 N10-N16)."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import pytest
from flask_babel import force_locale

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.extensions import db, transaction
from app.models import Account
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    account,
    confirmed,
    entered,
    instrument,
    member,
    nothing_moves,
    quantity,
    submitted,
)
from tests.operations.chains import issued_to_province, of_province, reversal, waiting

pytestmark = pytest.mark.usefixtures("_in_chinese")


@pytest.fixture
def _in_chinese(app):
    with force_locale("zh"):
        yield


@pytest.fixture
def cea(app):
    """CEA25: by the plans of 2025 every issue goes through the province."""
    return instrument(name="2025年度配额", vintage=2025)


@pytest.fixture
def office(app):
    """Two officers of 湖北."""
    return member("province", province="42"), member("province", province="42")


def straight(plant, line, maker):
    """Submit an issue of a line as it stands."""
    made = engine.Draft(
        "issuance", plant.id, (line,), str(uuid4()), category="approved", document_no="1",
        starts_on=date(2026, 1, 5),
    )  # fmt: skip
    with transaction():
        ids = engine.start([made], Actor.of(maker), now=clock.now())
        engine.submit(ids, Actor.of(maker), now=clock.now()).one()


def test_n11_the_province_receives_and_issues_what_the_table_says(
    plant, cea, maker, checker, office
):
    """500,000 for 湖北: 300,000 to A, 200,000 to B, and a further tonne is refused."""
    other = account("乙水泥有限公司", sector="cement")
    of_a = issued_to_province(plant, {cea: 300_000}, maker, checker)
    of_b = issued_to_province(other, {cea: 200_000}, maker, checker)

    assert quantity(of_province(), cea) == 500_000
    assert (quantity(plant, cea), waiting(plant), waiting(other)) == (0, [300_000], [200_000])

    for whose, source, tonnes in ((plant, of_a, 300_000), (other, of_b, 200_000)):
        made = entered("province_issue", whose, office[0], lines={cea: tonnes}, source=source)
        confirmed(made, office[1])
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("province_issue", plant, office[0], lines={cea: 1}, source=of_a)

    assert refusal.value.code == "more_than_left"
    issuer = db.session.get_one(Account, ISSUANCE_ACCOUNT_ID)
    assert (quantity(plant, cea), quantity(other, cea)) == (300_000, 200_000)
    assert (quantity(of_province(), cea), quantity(issuer, cea, Bucket.ISSUED)) == (0, -500_000)
    assert verify_ledger().is_sound


@pytest.mark.parametrize(("tonnes", "left"), [(300_001, None), (299_999, 1)])
def test_n12_no_more_than_the_table_says(plant, cea, maker, checker, office, tonnes, left):
    """Of 300,000: 300,001 are refused; after 299,999 one waits still."""
    source = issued_to_province(plant, {cea: 300_000}, maker, checker)
    if left is None:
        with nothing_moves(), pytest.raises(RuleError, match="300,000"):
            entered("province_issue", plant, office[0], lines={cea: tonnes}, source=source)
        return
    confirmed(
        entered("province_issue", plant, office[0], lines={cea: tonnes}, source=source), office[1]
    )
    assert (quantity(plant, cea), waiting(plant)) == (tonnes, [left])
    assert verify_ledger().is_sound


def test_n14_an_enterprise_of_another_province_is_refused(cea, maker, checker, office):
    henan = account("丙钢铁有限公司", province="41", sector="steel")
    source = issued_to_province(henan, {cea: 500}, maker, checker)
    with nothing_moves(), pytest.raises(NotFound):
        entered("province_issue", henan, office[0], lines={cea: 500}, source=source)
    assert quantity(of_province("41"), cea) == 500


def test_the_registry_does_not_issue_for_a_province(plant, cea, maker, checker):
    source = issued_to_province(plant, {cea: 500}, maker, checker)
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        entered("province_issue", plant, maker, lines={cea: 500}, source=source)
    assert refusal.value.code == "not_the_province"


def test_an_issue_goes_where_the_plan_says(plant, cea, maker):
    """By hand past the province: refused, as is one through it where the plan has no province."""
    old = instrument(vintage=2021)
    for line in (engine.Line(cea.id, 1), engine.Line(old.id, 5, account_id=of_province().id)):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            straight(plant, line, maker)
        assert refusal.value.code == "off_the_way"


@pytest.mark.parametrize("vintage", [2021, 2025])
def test_n16_a_wrong_issue_is_reversed_and_made_again(plant, maker, checker, vintage):
    """1,000,000 instead of 100,000: undone on the same day, at the enterprise or at its province."""
    cea = instrument(vintage=vintage)
    wrong = issued_to_province(plant, {cea: 1_000_000}, maker, checker)

    confirmed(reversal(wrong, plant, maker), checker)
    assert waiting(plant) in ([], [0])
    issued_to_province(plant, {cea: 100_000}, maker, checker)

    issuer = db.session.get_one(Account, ISSUANCE_ACCOUNT_ID)
    assert quantity(issuer, cea, Bucket.ISSUED) == -100_000
    assert quantity(plant, cea) + quantity(of_province(), cea) == 100_000
    assert verify_ledger().is_sound


def test_n16_what_was_used_is_claimed_not_reversed(plant, operator, maker, checker):
    """1,000,000 issued, 50,000 transferred since: the message names the notice of adjustment."""
    cea = instrument(vintage=2021)
    wrong = issued_to_province(plant, {cea: 1_000_000}, maker, checker)
    submitted("registry_to_trading", operator, {cea: 50_000})
    with nothing_moves(), pytest.raises(RuleError, match=r"950,000.*配额调整通知书") as refusal:
        reversal(wrong, plant, maker)
    assert refusal.value.code == "reversal_of_used"


def test_n16_not_in_part_nor_on_a_later_day(plant, maker, checker):
    cea = instrument(vintage=2021)
    wrong = issued_to_province(plant, {cea: 1_000_000}, maker, checker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        reversal(wrong, plant, maker, tonnes=900_000)
    assert refusal.value.code == "reversal_in_part"
    entered_today = reversal(wrong, plant, maker)
    with transaction():
        clock.set_to(clock.now().replace(day=23), Actor.of(maker))
    with nothing_moves(), pytest.raises(RuleError, match="2026-11-20"):
        confirmed(entered_today, checker)
