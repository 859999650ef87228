"""The list of the differentiated, and surrenders by commission (rules-2026 N13, N40-N45)."""

from __future__ import annotations

import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, Attestation, CourtOrder
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import account, confirmed, entered, instrument, member, nothing_moves, quantity
from tests.operations import courts
from tests.operations.chains import (
    commissioned,
    executed,
    issued_to_province,
    listed,
    of_province,
    removed,
    taken,
    waiting,
)

pytestmark = pytest.mark.usefixtures("_in_chinese")


@pytest.fixture
def _in_chinese(app):
    with force_locale("zh"):
        yield


@pytest.fixture
def office(app):
    """Two officers of 湖北."""
    return member("province", province="42"), member("province", province="42")


@pytest.fixture
def cea(app):
    return instrument(name="2025年度配额", vintage=2025)


def held_for(plant, cea, tonnes, due, maker, checker, office):
    """Let so much wait for a listed enterprise that owes so much for 2025; return the notice."""
    listed(plant, 2025, office[0])
    issued_to_province(plant, {cea: tonnes}, maker, checker)
    return factories.notice(plant, due, by=maker)


def test_n13_only_its_own_waiting_units_are_taken(plant, cea, maker, checker, office):
    """120,000 wait for A, 80,000 for B: A's 150,000 take 120,000 and leave a gap of 30,000."""
    other = account("乙水泥有限公司", sector="cement")
    issued_to_province(other, {cea: 80_000}, maker, checker)
    notice = held_for(plant, cea, 120_000, 150_000, maker, checker, office)

    executed(commissioned(plant, notice, office[0]), maker, checker)

    assert (waiting(plant), waiting(other)) == ([0], [80_000])
    assert quantity(plant, cea, Bucket.SURRENDERED) == 120_000
    assert chain.commissioned([plant.id], clock.now().date()).gaps[notice] == 30_000
    assert quantity(of_province(), cea) == 80_000
    assert verify_ledger().is_sound


def test_n40_of_2023_nothing_at_pre_allocation_and_the_approved_to_the_province(
    plant, maker, checker, office
):
    cea23 = instrument(name="2023年度配额", vintage=2023)
    listed(plant, 2023, office[0])
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("issuance", plant, maker, lines={cea23: 70}, category="pre_allocation")
    assert refusal.value.code == "off_the_way"
    issued_to_province(plant, {cea23: 100}, maker, checker)
    assert (waiting(plant), quantity(plant, cea23)) == ([100], 0)

    other = account("乙发电有限公司")
    issued_to_province(other, {cea23: 70}, maker, checker, "pre_allocation")
    assert quantity(other, cea23) == 70


def test_n40_of_2025_both_stages_to_the_province(plant, cea, maker, checker, office):
    listed(plant, 2025, office[0], reason="risk")
    for category in ("pre_allocation", "approved"):
        issued_to_province(plant, {cea: 50}, maker, checker, category)
    assert (sorted(waiting(plant)), quantity(plant, cea)) == ([50, 50], 0)


def test_n41_on_removal_what_waits_goes_to_the_enterprise(plant, cea, maker, checker, office):
    listed(plant, 2025, office[0])
    source = issued_to_province(plant, {cea: 1_200_000}, maker, checker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("province_issue", plant, office[0], lines={cea: 1}, source=source)
    assert refusal.value.code == "withheld"

    removed(plant, 2025, office[0])

    assert (quantity(plant, cea), waiting(plant)) == (1_200_000, [0])
    assert verify_ledger().is_sound


@pytest.mark.parametrize("document", ["", " "])
def test_n41_the_list_needs_a_document(plant, office, document):
    with pytest.raises(RuleError) as refusal:
        entered(
            "differentiation", plant, office[0], category="risk", document_no=document,
            proposal={"year": "2025"},
        )  # fmt: skip
    assert refusal.value.field == "document_no"


def test_an_enterprise_is_listed_once_a_year_and_leaves_what_it_is_in(plant, office):
    with pytest.raises(RuleError) as refusal:
        removed(plant, 2025, office[0])
    assert refusal.value.code == "not_listed"
    listed(plant, 2025, office[0])
    with pytest.raises(RuleError) as refusal:
        listed(plant, 2025, office[0])
    assert refusal.value.code == "listed_already"
    listed(plant, 2024, office[0])
    removed(plant, 2025, office[0])
    listed(plant, 2025, office[0])


def test_n42_the_remainder_is_released_after_fulfilment(plant, cea, maker, checker, office):
    """1,200,000 wait, 1,000,000 are due: 200,000 are released, and only then."""
    notice = held_for(plant, cea, 1_200_000, 1_000_000, maker, checker, office)
    made = commissioned(plant, notice, office[0])
    source = db.session.scalars(select(chain.waiting_line.c.application_id)).one()
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("province_issue", plant, office[0], lines={cea: 200_000}, source=source)
    assert refusal.value.code == "withheld"
    confirmed(made, maker)
    assert quantity(plant, cea, Bucket.SURRENDERED) == 0  # One officer is not enough.
    with pytest.raises(RuleError):
        confirmed(made, maker)

    confirmed(made, checker)

    assert (quantity(plant, cea, Bucket.SURRENDERED), waiting(plant)) == (1_000_000, [200_000])
    release = entered("province_issue", plant, office[0], lines={cea: 200_000}, source=source)
    confirmed(release, office[1])
    assert (quantity(plant, cea), waiting(plant)) == (200_000, [0])
    assert verify_ledger().is_sound


def test_n42_a_gap_releases_nothing(plant, cea, maker, checker, office):
    """800,000 wait, 1,000,000 are due: the gap is 200,000."""
    notice = held_for(plant, cea, 800_000, 1_000_000, maker, checker, office)
    executed(commissioned(plant, notice, office[0]), maker, checker)
    assert quantity(plant, cea, Bucket.SURRENDERED) == 800_000
    assert chain.commissioned([plant.id], clock.now().date()).gaps[notice] == 200_000
    late = issued_to_province(plant, {cea: 10}, maker, checker, "supplementary")
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("province_issue", plant, office[0], lines={cea: 10}, source=late)
    assert refusal.value.code == "withheld"
    assert db.session.scalars(select(Attestation)).all() == []


def test_n42_one_document_for_one_enterprise_and_year(plant, cea, maker, checker, office):
    notice = held_for(plant, cea, 100, 150, maker, checker, office)
    first = commissioned(plant, notice, office[0])
    document = db.session.get_one(Application, first).document_no
    executed(first, maker, checker)
    issued_to_province(plant, {cea: 10}, maker, checker, "supplementary")
    second = commissioned(plant, notice, office[0], submits=False)
    with transaction():
        db.session.execute(
            db.text("UPDATE application SET document_no = :no WHERE id = :id"),
            {"no": document, "id": second},
        )
    with nothing_moves(), pytest.raises(RuleError, match="文号"), transaction():
        engine.submit([second], Actor.of(office[0]), now=clock.now()).one()


def test_n43_own_year_first_by_two_documents(plant, maker, checker, office):
    """Waiting CEA21 600 and CEA22 500, due 700 and 300: 100 of CEA22 remain."""
    vintages = [2021, 2022]
    for year in vintages:
        factories.plan(
            year, issue_route="differentiated", commission_order="own_first", accepts=vintages
        )
        listed(plant, year, office[0])
    of21, of22 = (instrument(name=f"{year}年度配额", vintage=year) for year in vintages)
    issued_to_province(plant, {of21: 600}, maker, checker)
    issued_to_province(plant, {of22: 500}, maker, checker)
    due21 = factories.notice(plant, 700, by=maker, year=2021, sector="power")
    due22 = factories.notice(plant, 300, by=maker, year=2022, sector="power")

    first = commissioned(plant, due21, office[0])
    assert taken(first) == {2021: 600, 2022: 100}
    executed(first, maker, checker)
    source = db.session.scalars(
        select(chain.waiting_line.c.application_id).where(chain.waiting_line.c.vintage == 2022)
    ).one()
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("province_issue", plant, office[0], lines={of22: 100}, source=source)
    assert refusal.value.code == "withheld"
    second = commissioned(plant, due22, office[0])
    assert taken(second) == {2022: 300}
    executed(second, maker, checker)

    confirmed(
        entered("province_issue", plant, office[0], lines={of22: 100}, source=source), office[1]
    )
    assert quantity(plant, of22) == 100
    assert verify_ledger().is_sound


def test_what_is_asked_for_follows_the_order(plant, cea, maker, checker, office):
    notice = held_for(plant, cea, 100, 150, maker, checker, office)
    line = db.session.scalars(select(chain.waiting_line.c.line_id)).one()
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        commissioned(plant, notice, office[0], lines=chain.lines_of({line: 99}))
    assert refusal.value.code == "commission_out_of_order"


def test_who_is_not_listed_surrenders_itself(plant, cea, maker, checker, office):
    issued_to_province(plant, {cea: 100}, maker, checker)
    notice = factories.notice(plant, 50, by=maker)
    line = db.session.scalars(select(chain.waiting_line.c.line_id)).one()
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        commissioned(plant, notice, office[0], lines=chain.lines_of({line: 50}))
    assert refusal.value.code == "commission_not_listed"


def test_n44_the_certificate_says_by_commission(plant, cea, maker, checker, office):
    notice = held_for(plant, cea, 100, 100, maker, checker, office)
    made = commissioned(plant, notice, office[0])
    executed(made, maker, checker)
    (attestation,) = db.session.scalars(select(Attestation)).all()
    (said,) = attestation.content["commissions"]
    assert (said["title"], said["quantity"]) == ("协助清缴", 100)
    assert attestation.content["total"] == 100


def test_n45_a_court_s_freeze_does_not_reach_what_waits(plant, cea, maker, checker):
    issued_to_province(plant, {cea: 100}, maker, checker)
    order = courts.freeze(plant, maker, 60, cea)
    assert (db.session.get_one(CourtOrder, order).queued, quantity(of_province(), cea)) == (60, 100)
    assert waiting(plant) == [100]
