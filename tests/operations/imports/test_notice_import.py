"""A table of notices: every problem at once, what is new and changed, and taking a batch back."""

from __future__ import annotations

import io

import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.domain.compliance.notices import Decision
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Application, Notice
from app.operations.applications import engine
from app.operations.imports import batches, notice_import, tables
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import account, submitted

HEADINGS = "会员编号,履约年度,行业,应履约量（吨）"
DOCUMENT = "鄂环函〔2026〕8号"


@pytest.fixture(autouse=True)
def _in_chinese(app):
    with force_locale("zh"):
        yield


def table(*lines):
    content = "\n".join([HEADINGS, *lines]).encode()
    return tables.read(io.BytesIO(content), "履约通知书.csv", notice_import.COLUMNS)


def take(asked, by, *, reason="核查结果", document_no="", only_tries=False):
    with transaction():
        return notice_import.take(
            asked,
            Actor.of(by),
            now=clock.now(),
            reason=reason,
            document_no=document_no,
            only_tries=only_tries,
        )


def refused(asked, by, **more):
    with pytest.raises(RuleError) as refusal:
        take(asked, by, **more)
    return refusal.value


def approve(ids, by):
    with transaction():
        assert not engine.approve(ids, Actor.of(by), now=clock.now()).refused


def take_back(import_id, by):
    with transaction():
        batch = notice_import.take_back(
            import_id, Actor.of(by), now=clock.now(), reason="批次有误", document_no=DOCUMENT
        )
        ids = batches.drafts(batch)
        engine.submit_all(ids, Actor.of(by), now=clock.now())
    return ids


def obligations():
    db.session.rollback()
    rows = db.session.execute(
        select(Notice.year, Notice.obligation, Notice.withdrawn_at.is_not(None)).order_by(Notice.id)
    )
    return [tuple(row) for row in rows]


def test_a_table_becomes_notices_once_a_colleague_approves(plant, cea, maker, checker):
    other = account("乙", "31")
    asked = table(
        f"{plant.member_no},2025,发电,1000000",
        f"{other.member_no},2025,发电,20",
    )
    done = take(asked, maker)
    assert db.session.query(Notice).count() == 0

    approve(done.applications, checker)

    first, second = db.session.scalars(select(Notice).order_by(Notice.account_id)).all()
    assert [(each.year, each.sector, each.obligation) for each in (first, second)] == [
        (2025, "power", 1_000_000),
        (2025, "power", 20),
    ]
    assert first.import_id == second.import_id == done.import_id
    assert refused(asked, maker).code == "import_seen_before"
    again = table(f"{plant.member_no},2025,发电,1000000")
    assert refused(again, maker).code == "nothing_new"
    assert verify_ledger().is_sound


def test_only_tried_it_waits_as_drafts(plant, cea, maker):
    asked = table(f"{plant.member_no},2025,发电,10")
    done = take(asked, maker, only_tries=True)
    (draft,) = db.session.scalars(select(Application)).all()
    assert ([draft.id], draft.status) == (done.applications, "draft")
    assert refused(asked, maker).code == "import_seen_before"


def test_known_notices_are_changed_and_what_changes_nothing_is_left_out(plant, cea, maker, checker):
    other = account("乙", "31")
    known = factories.notice(plant, 1000, [cea], by=maker)
    factories.notice(other, 500, [cea], by=maker)
    lines = (
        f"{plant.member_no},2025,发电,1200",
        f"{other.member_no},2025,发电,500",
        f"{other.member_no},2024,发电,70",
    )
    assert refused(table(*lines), maker).code == "document_missing"

    done = take(table(*lines), maker, document_no=DOCUMENT)

    change, new = (db.session.get_one(Application, id_) for id_ in sorted(done.applications))
    assert change.notice_id == known
    decision = Decision.read(change.proposal)
    assert (decision.before.obligation, decision.after.obligation) == (1000, 1200)
    assert (new.notice_id, Decision.read(new.proposal).act) == (None, "issue")
    approve(done.applications, checker)
    assert obligations() == [(2025, 1200, False), (2025, 500, False), (2024, 70, False)]


def test_every_problem_of_every_row_is_named_at_once(plant, cea, hubei):
    issued, foreign = account("已有", "42"), account("乙", "31")
    both = account("丁钢铁", "42", "power,steel")
    none = account("戊", "42", None)
    factories.notice(issued, 1, [cea], by=hubei)
    asked = table(
        f"{plant.member_no},2025,发电,1000",
        f"{foreign.member_no},2025,发电,1000",
        f"{plant.member_no},2025,发电,1e3",
        f"{plant.member_no},2024,钢铁,1000",
        f"{issued.member_no},2025,发电,１００",
        f"{issued.member_no},2019x,发电,soon",
        f"{plant.member_no},9999,发电,0",
        f"{plant.member_no},,,",
        f"{both.member_no},2025,,10",
        f"{none.member_no},2025,,10",
        f"{both.member_no},2025,玻璃,10",
        f"{both.member_no},2025,power,10",
    )
    refused(asked, hubei)

    assert db.session.query(Notice).count() == 1
    assert db.session.query(Application).count() == 1
    said = {(each.row, each.column): str(each.message) for each in asked.problems}
    assert set(said) == {
        (3, "会员编号"),
        (4, "会员编号"),
        (4, "应履约量（吨）"),
        (5, "行业"),
        (6, "应履约量（吨）"),
        (7, "履约年度"),
        (7, "应履约量（吨）"),
        (8, "履约年度"),
        (9, "履约年度"),
        (9, "应履约量（吨）"),
        (10, "行业"),
        (11, "行业"),
        (12, "行业"),
        (13, "行业"),
    }
    assert "钢铁" in said[5, "行业"]
    assert "9999年度发电" in said[8, "履约年度"]
    assert "发电、钢铁" in said[10, "行业"]
    assert "玻璃" in said[12, "行业"]


def test_c10_an_enterprise_in_two_sectors_has_a_notice_for_each(maker, checker, plant):
    """Steel with its own power station: the row says which; in one sector alone it may be left out."""
    both = account("丁钢铁", "42", "steel,power")
    lines = (
        f"{both.member_no},2025,钢铁,300",
        f"{both.member_no},2025,发电,100",
        f"{plant.member_no},2025,,50",
    )
    done = take(table(*lines), maker)
    approve(done.applications, checker)
    rows = db.session.execute(select(Notice.account_id, Notice.sector, Notice.obligation))
    assert sorted(tuple(row) for row in rows) == sorted(
        [(both.id, "steel", 300), (both.id, "power", 100), (plant.id, "power", 50)]
    )
    assert refused(table(*reversed(lines)), maker).code == "nothing_new"
    twice = table(f"{both.member_no},2024,钢铁,3", f"{both.member_no},2024,钢铁,3")
    refused(twice, maker)
    assert [(each.row, str(each.column)) for each in twice.problems] == [(3, "会员编号")]
    assert verify_ledger().is_sound


def test_it_needs_a_reason(plant, cea, maker):
    asked = table(f"{plant.member_no},2025,发电,10")
    error = refused(asked, maker, reason=" ")
    assert (error.code, error.field) == ("reason_missing", "reason")


def test_a_wrong_batch_is_taken_back_by_two_people(plant, cea, maker, checker):
    other = account("乙", "31")
    factories.notice(plant, 1000, [cea], by=maker)
    lines = [f"{each.member_no},2025,发电,7" for each in (plant, other)]
    done = take(table(*lines), maker, document_no=DOCUMENT)
    approve(done.applications, checker)
    assert obligations() == [(2025, 7, False), (2025, 7, False)]

    ids = take_back(done.import_id, maker)
    assert obligations() == [(2025, 7, False), (2025, 7, False)]
    with transaction():
        outcome = engine.approve(ids, Actor.of(maker), now=clock.now())
    assert [error.code for _case, error in outcome.refused] == ["own_application"] * 2
    approve(ids, checker)

    assert obligations() == [(2025, 1000, False), (2025, 0, True)]
    assert verify_ledger().is_sound
    with pytest.raises(RuleError) as refusal:
        take_back(done.import_id, maker)
    assert refusal.value.code == "nothing_in_force"
    again = take(table(*lines), maker, document_no=DOCUMENT)  # Taken back, it may come once more.
    assert len(again.applications) == 2


def test_what_was_decided_upon_again_stays_when_a_batch_is_taken_back(plant, cea, maker, checker):
    other = account("乙", "31")
    lines = [f"{each.member_no},2025,发电,7" for each in (plant, other)]
    done = take(table(*lines), maker)
    approve(done.applications, checker)
    change = take(table(f"{plant.member_no},2025,发电,8"), maker, document_no=DOCUMENT)
    approve(change.applications, checker)

    approve(take_back(done.import_id, maker), checker)

    assert obligations() == [(2025, 8, False), (2025, 0, True)]
    assert verify_ledger().is_sound


def test_taking_back_waits_as_a_batch_and_is_begun_once(plant, cea, maker, checker):
    done = take(table(f"{plant.member_no},2025,发电,7"), maker)
    approve(done.applications, checker)
    with transaction():
        batch = notice_import.take_back(
            done.import_id, Actor.of(maker), now=clock.now(), reason="x", document_no="1"
        )
    with pytest.raises(RuleError) as refusal:
        take_back(done.import_id, maker)
    assert refusal.value.code == "import_seen_before"
    with transaction():
        assert batches.withdraw(batch, Actor.of(maker), now=clock.now()) == 1
    approve(take_back(done.import_id, maker), checker)
    assert obligations() == [(2025, 0, True)]


@pytest.mark.parametrize(
    ("field", "without"), [("reason", "reason"), ("document_no", "document_no")]
)
def test_taking_back_needs_reason_and_document(plant, cea, maker, field, without):
    words = {"reason": "x", "document_no": "1"} | {without: ""}
    with pytest.raises(RuleError) as refusal, transaction():
        notice_import.take_back(1, Actor.of(maker), now=clock.now(), **words)
    assert refusal.value.field == field


def test_a_batch_surrendered_for_is_not_taken_back_and_all_such_notices_are_named(
    plant, cea, maker, checker
):
    others = [account(name, "31") for name in "乙丙"]
    factories.plan(accepts=[cea.vintage])
    lines = [f"{each.member_no},2025,发电,7" for each in (plant, *others)]
    done = take(table(*lines), maker)
    approve(done.applications, checker)
    for each in (plant, others[0]):
        factories.give(each, cea, 5)
        (notice,) = db.session.scalars(select(Notice.id).where(Notice.account_id == each.id))
        submitted("surrender", factories.member(of=each), {cea: 1}, notice_id=notice)

    with pytest.raises(engine.NoneSubmitted) as refusal:
        take_back(done.import_id, maker)

    assert [error.code for _case, error in refusal.value.refused] == ["surrendered_already"] * 2
    assert db.session.query(Application).filter_by(kind="notice").count() == 3
    assert obligations() == [(2025, 7, False)] * 3


def test_nothing_is_taken_back_before_it_took_effect(plant, cea, maker):
    done = take(table(f"{plant.member_no},2025,发电,7"), maker)
    with pytest.raises(RuleError) as refusal:
        take_back(done.import_id, maker)
    assert refusal.value.code == "nothing_in_force"
