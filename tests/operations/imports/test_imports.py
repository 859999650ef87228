"""What an import leaves while its signature is missing: drafts that are submitted, or withdrawn, together."""

from __future__ import annotations

import io

import pytest
from flask_babel import force_locale

from app.domain.errors import NotFound, RuleError
from app.extensions import db, transaction
from app.models import Application, ImportFile
from app.operations.applications import engine, evidence
from app.operations.imports import allocation, batches, opening_import, tables
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import instrument, member, nothing_moves
from tests.openings import enterprise
from tests.openings import table as openings_table


@pytest.fixture(autouse=True)
def _in_chinese(app):
    """The table's headings and types are read as people write them."""
    with force_locale("zh"):
        yield


@pytest.fixture
def maker(app):
    return Actor.of(member("registry_maker"))


@pytest.fixture
def cea(app):
    return instrument()


def allocations(plant, cea, *rows: tuple[str, int]):
    heads = "会员编号,企业名称,标的编码,发放类型,发放量"
    lines = [f"{plant.member_no},{plant.name},{cea.code},{kind},{tonnes}" for kind, tonnes in rows]
    return tables.read(
        io.BytesIO("\r\n".join([heads, *lines]).encode()), "分配表.csv", allocation.COLUMNS
    )


def take(table, maker):
    with transaction():
        return allocation.take(table, maker, now=clock.now(), is_signed=True)


def submit(ids, maker):
    with transaction():
        return engine.submit_all(ids, maker, now=clock.now())


def withdraw(import_id, maker):
    with transaction():
        return batches.withdraw(import_id, maker, now=clock.now())


def statuses(import_id):
    db.session.rollback()
    return dict(batches.find(import_id, "allocation").statuses)


def test_what_is_to_be_signed_is_tried_and_undone(plant, cea, maker):
    with nothing_moves():
        done = take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)

    assert statuses(done.import_id) == {"draft": 2}
    rows = db.session.query(Application).all()
    assert {(row.submitted_at, row.submitted_by, row.version) for row in rows} == {(None, None, 0)}
    actions = db.session.scalars(db.text("SELECT action FROM application_event")).all()
    assert actions == ["save", "save"]
    assert batches.drafts(done.import_id) == done.applications


def test_what_would_be_refused_is_not_signed_in_vain(plant, cea, maker, monkeypatch):
    def refused(*_arguments):
        raise RuleError("受限", code="restricted")

    monkeypatch.setattr(engine, "_judge", refused)
    with nothing_moves(), pytest.raises(RuleError, match="受限"):
        take(allocations(plant, cea, ("预分配", 700)), maker)
    assert db.session.query(Application).count() == db.session.query(ImportFile).count() == 0


def test_the_same_file_is_refused_until_it_was_withdrawn_as_a_whole(plant, cea, maker):
    def again():
        return take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)

    first = again()
    with pytest.raises(RuleError) as refusal:
        again()
    assert refusal.value.code == "import_seen_before"

    assert withdraw(first.import_id, maker) == 2
    assert statuses(first.import_id) == {"withdrawn": 2}
    second = again()
    assert statuses(second.import_id) == {"draft": 2}
    assert db.session.query(ImportFile.attempt).order_by(ImportFile.id).all() == [(1,), (2,)]
    submit(second.applications, maker)
    with pytest.raises(RuleError):
        again()


def test_what_was_submitted_stays_when_the_drafts_are_withdrawn(plant, cea, maker):
    done = take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)
    submit(done.applications[:1], maker)

    assert withdraw(done.import_id, maker) == 1
    assert statuses(done.import_id) == {"in_review": 1, "withdrawn": 1}
    with pytest.raises(RuleError):
        take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)


def test_what_waits_for_its_signature_is_not_issued_by_another_file(plant, cea, maker):
    done = take(allocations(plant, cea, ("预分配", 700)), maker)
    other = allocations(plant, cea, ("预分配", 701))
    with pytest.raises(RuleError):
        take(other, maker)
    assert db.session.get(Application, done.applications[0]).number in str(
        other.problems[0].message
    )


def test_an_enterprise_whose_opening_waits_for_its_signature_is_refused_in_another_file(maker):
    with force_locale("en"), transaction():
        opening_import.take(openings_table([enterprise(1)]), maker, now=clock.now(), is_signed=True)
    other = openings_table([enterprise(1, name="另名有限公司")])
    with pytest.raises(RuleError), transaction():
        opening_import.take(other, maker, now=clock.now(), is_signed=True)
    assert len(other.problems) == 1


def test_all_are_submitted_or_none(plant, cea, maker):
    done = take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)
    submit(done.applications[1:], maker)

    with nothing_moves(), pytest.raises(engine.NoneSubmitted) as refusal:
        submit(done.applications, maker)

    ((case, why),) = refusal.value.refused
    assert (case.id, why.code) == (done.applications[1], "wrong_status")
    assert case.number in str(refusal.value)
    assert statuses(done.import_id) == {"draft": 1, "in_review": 1}


def test_the_manifest_says_what_all_of_it_adds_up_to(plant, cea, maker):
    cement = instrument("CCER")
    done = take(allocations(plant, cea, ("预分配", 700), ("补发", 5)), maker)
    more = take(allocations(plant, cement, ("补发", 30)), maker)

    manifest = evidence.submissions(
        evidence.contents([*done.applications, *more.applications]), maker
    )

    assert manifest["schema"] == "submissions/1"
    assert (manifest["kind"], manifest["count"], manifest["enterprises"]) == ("issuance", 3, 1)
    assert manifest["total"] == "735"
    assert [(line["code"], line["quantity"]) for line in manifest["lines"]] == [
        (cea.code, "705"),
        (cement.code, "30"),
    ]
    assert [each["batch"] for each in manifest["files"]] == [
        str(done.import_id),
        str(more.import_id),
    ]
    assert plant.name not in str(manifest)  # Each enterprise's evidence is handed out with it.


def test_a_file_of_another_kind_is_not_found(plant, cea, maker):
    done = take(allocations(plant, cea, ("补发", 5)), maker)
    with pytest.raises(NotFound):
        batches.find(done.import_id, "account_opening")
