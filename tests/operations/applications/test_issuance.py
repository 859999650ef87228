"""发放: instruments, issuing by two officers, and the allocation table (domain.md R26, R36, decision 16)."""

from __future__ import annotations

import io

import openpyxl
import pytest
from flask_babel import force_locale
from sqlalchemy import event

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.extensions import db, transaction
from app.models import Account, Application, ImportFile, Instrument, OperationLog, VenueInstrument
from app.operations.applications import engine
from app.operations.exchange import instruments
from app.operations.imports import allocation, batches, tables
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import (
    account,
    confirmed,
    entered,
    instrument,
    nothing_moves,
    quantity,
    venue,
)

HEADINGS = "会员编号,统一社会信用代码,企业名称,标的编码,发放类型,发放量"


@pytest.fixture(autouse=True)
def _in_chinese(app):
    """Headings and types of the table are Chinese."""
    with force_locale("zh"):
        yield


@pytest.fixture
def cea(app):
    return instrument()


def issued(what):
    db.session.expire_all()
    row = db.session.get(Account, ISSUANCE_ACCOUNT_ID)
    return quantity(row, what, Bucket.ISSUED)


# One by one ----------------------------------------------------------------------------------


def test_nothing_is_issued_before_the_second_approval(plant, cea, maker, checker):
    made = entered("issuance", plant, maker, lines={cea: 700}, category="approved")
    assert (quantity(plant, cea), issued(cea)) == (0, 0)

    confirmed(made, checker)

    assert (quantity(plant, cea), issued(cea)) == (700, -700)
    assert verify_ledger().is_sound


def test_it_comes_from_the_issuance_account_and_reaches_enterprises_alone(cea, maker):
    """R26: the path of an issue."""
    source = db.session.get_one(Account, ISSUANCE_ACCOUNT_ID)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("issuance", source, maker, lines={cea: 1}, category="approved")
    assert refusal.value.code == "not_an_enterprise"


@pytest.mark.parametrize("category", ["", "gift"])
def test_an_issue_says_what_it_is(plant, cea, maker, category):
    with nothing_moves(), pytest.raises(RuleError, match="类型"):
        entered("issuance", plant, maker, lines={cea: 1}, category=category)


# Instruments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("category", ["pre_allocation", "approved"])
def test_what_is_issued_once_is_issued_once(plant, cea, maker, checker, category):
    """A returned application is not submitted again beside another one (R26)."""
    late = entered("issuance", plant, maker, lines={cea: 100}, category=category, submits=False)
    first = entered("issuance", plant, maker, lines={cea: 700}, category=category)
    for is_issued in (False, True):
        if is_issued:
            confirmed(first, checker)
        with nothing_moves(), pytest.raises(RuleError) as refused, transaction():
            engine.submit([late], Actor.of(maker), now=clock.now()).one()
        assert refused.value.code == "issued_before"
        assert db.session.get(Application, first).number in str(refused.value)

    entered("issuance", plant, maker, lines={cea: 5}, category="supplementary")
    entered("issuance", plant, maker, lines={cea: 5}, category="supplementary")
    entered("issuance", plant, maker, lines={instrument(): 5}, category=category)


def test_of_two_in_one_batch_the_first_is_issued(plant, cea, maker):
    ids = [
        entered("issuance", plant, maker, lines={cea: 5}, category="approved", submits=False)
        for _ in range(2)
    ]
    with transaction():
        outcome = engine.submit(ids, Actor.of(maker), now=clock.now())
    assert [case.id for case in outcome.done] == ids[:1]
    assert [error.code for _case, error in outcome.refused] == ["issued_before"]


def create(maker, **more):
    new = instruments.NewInstrument(**{"name": "2026年度碳排放配额", "vintage": 2026} | more)
    with transaction():
        return instruments.create(new, Actor.of(maker), now=clock.now())


def test_the_system_gives_the_code(maker):
    first = create(maker, venue_id=venue().id, trade_code="CEA26")
    second = create(maker, name="2027年度碳排放配额", vintage=2027)

    assert (first.code, second.code) == ("PE2026000001", "PE2026000002")
    link = db.session.query(VenueInstrument).one()
    assert (link.instrument_id, link.trade_code) == (first.id, "CEA26")
    log = db.session.query(OperationLog).filter_by(action="instrument.create").order_by("id").all()
    assert [row.subject for row in log] == [first.code, second.code]
    assert log[0].member_no == maker.username


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "配" * 101}, "name"),
        ({"vintage": 2018}, "vintage"),
        ({"vintage": 2028}, "vintage"),
        ({"trade_code": "CEA26"}, "trade_code"),
        ({"venue_id": 1}, "trade_code"),
        ({"venue_id": 1, "trade_code": "碳"}, "trade_code"),
        ({"venue_id": 999_999, "trade_code": "CEA26"}, "venue"),
    ],
)
def test_a_bad_instrument_is_refused(maker, given, field):
    with pytest.raises(RuleError) as refusal:
        create(maker, **given)
    assert refusal.value.field == field
    assert db.session.query(Instrument).count() == 0


def test_a_name_is_given_once_and_by_the_registry(maker, operator):
    create(maker)
    with pytest.raises(RuleError) as refusal:
        create(maker)
    assert refusal.value.code == "name_taken"
    with pytest.raises(NotAllowed):
        create(operator, name="另一个")


# The allocation table ------------------------------------------------------------------------


@pytest.fixture
def cement(app):
    return account("乙水泥有限公司", province="31", uscc="91420100MA4K2X7R0A")


def line(who, what, category="预分配", tonnes="100", *, uscc=None, name=None, more=""):
    code = (who.uscc or "") if uscc is None else uscc
    return f"{who.member_no},{code},{name or who.name},{what.code},{category},{tonnes}{more}"


def read(*lines, headings=HEADINGS):
    text = "\r\n".join([headings, *lines])
    return tables.read(io.BytesIO(text.encode()), "分配表.csv", allocation.COLUMNS)


def take(table, maker, **more):
    with transaction():
        return allocation.take(table, Actor.of(maker), now=clock.now(), **factories.PAPER | more)


def refused(table, maker, **more):
    """Import, expect a refusal, assert that nothing was stored, and return the errors."""
    with nothing_moves(), pytest.raises(RuleError):
        take(table, maker, **more)
    db.session.rollback()
    assert db.session.query(Application).count() == 0
    assert db.session.query(ImportFile).count() == 0
    return [(each.row, str(each.column), str(each.message)) for each in table.problems]


def test_a_table_becomes_issuances_that_await_the_second_officer(
    plant, cement, cea, maker, checker
):
    cea21 = instrument("CEA21")
    table = read(
        line(plant, cea, "预分配", "700"),
        line(plant, cea21, "预分配", "30"),
        line(plant, cea, "补发", "5"),
        line(cement, cea, "核定", "200000", more=",900000,700000"),
        headings=HEADINGS + ",核定配额量,已预分配量",
    )

    done = take(table, maker, declared=200735)

    batch = batches.find(done.import_id, "allocation")
    assert (batch.statuses, batch.file.rows, batch.tonnes) == ({"in_review": 3}, 4, 200_735)
    made = db.session.query(Application).order_by(Application.id).all()
    assert {(row.status, row.import_id) for row in made} == {("in_review", done.import_id)}
    assert [(row.account_id, row.category, len(row.lines)) for row in made] == [
        (plant.id, "pre_allocation", 2),
        (plant.id, "supplementary", 1),
        (cement.id, "approved", 1),
    ]
    assert issued(cea) == 0
    with nothing_moves(), pytest.raises(NotAllowed):
        confirmed(made[0].id, maker)

    with transaction():
        outcome = engine.approve([row.id for row in made], Actor.of(checker), now=clock.now())
    assert len(outcome.done) == 3
    assert (quantity(plant, cea), quantity(plant, cea21), quantity(cement, cea)) == (
        705,
        30,
        200_000,
    )
    assert verify_ledger().is_sound


def test_the_same_table_as_xlsx(plant, cea, maker):
    book = openpyxl.Workbook()
    for cells in (
        HEADINGS.split(","),
        [plant.member_no, None, plant.name, cea.code, "预分配", 700],
    ):
        book.active.append(cells)
    file = io.BytesIO()
    book.save(file)
    file.seek(0)

    done = take(tables.read(file, "分配表.xlsx", allocation.COLUMNS), maker)

    assert (len(done.applications), batches.find(done.import_id, "allocation").tonnes) == (1, 700)


def test_every_bad_row_is_named_by_row_and_column_and_nothing_is_imported(
    plant, cement, cea, maker
):
    table = read(
        line(plant, cea),
        f"21049900001,,无此单位,{cea.code},预分配,1",
        line(cement, cea, uscc="91420100MA4K2X7R0B", name="乙水泥厂"),
        f"{plant.member_no},,{plant.name},PE2099000001,预分配,1",
        line(plant, cea, "赠送"),
        line(plant, cea, "补发", "1.5"),
        line(plant, cea, "补发", "0"),
        line(plant, cea, "预分配", "7"),
    )

    assert [(row, column) for row, column, _message in refused(table, maker)] == [
        (3, "会员编号"),
        (4, "统一社会信用代码"),
        (4, "企业名称"),
        (5, "标的编码"),
        (6, "发放类型"),
        (7, "发放量"),
        (8, "发放量"),
        (9, ""),
    ]
    assert "第2行" in str(table.problems[-1].message)


@pytest.mark.parametrize(
    ("sums", "column", "words"),
    [
        ("900000,700000", "发放量", "700,000=200,000，与发放量200,001不符"),
        ("900000,", "已预分配量", "同时填写"),
        (",700000", "核定配额量", "同时填写"),
        ("690000,707000", "发放量", "-17,000"),  # R23: that would be a confiscation.
    ],
)
def test_sums_that_do_not_add_up_are_refused(plant, cea, maker, sums, column, words):
    table = read(
        line(plant, cea, "核定", "200001", more=f",{sums}"),
        headings=HEADINGS + ",核定配额量,已预分配量",
    )
    ((row, found, message),) = refused(table, maker)
    assert (row, found) == (2, column)
    assert words in message


def test_rows_that_do_not_add_up_to_the_total_declared_are_refused(plant, cement, cea, maker):
    table = read(line(plant, cea, tonnes="100"), line(cement, cea, tonnes="200"))
    ((row, column, message),) = refused(table, maker, declared=301)
    assert (row, column) == (0, "发放量")
    assert "合计300吨，与填报的合计301吨不一致" in message


def test_the_same_file_is_imported_once(plant, cea, maker):
    take(read(line(plant, cea, "补发")), maker)

    with nothing_moves(), pytest.raises(RuleError) as refusal:
        take(read(line(plant, cea, "补发")), maker)

    assert refusal.value.code == "import_seen_before"
    assert db.session.query(Application).count() == 1


def test_what_is_issued_once_is_not_issued_by_another_file(plant, cea, maker, checker):
    done = take(read(line(plant, cea)), maker)
    again = read(line(plant, cea, tonnes="101"))
    with pytest.raises(RuleError), transaction():
        allocation.take(again, Actor.of(maker), now=clock.now(), **factories.PAPER)
    (problem,) = again.problems
    number = db.session.query(Application.number).filter_by(import_id=done.import_id).scalar()
    assert number in str(problem.message)

    with transaction():  # Sent back, it is issued by nobody any more.
        made = db.session.query(Application.id).scalar()
        engine.send_back([made], Actor.of(checker), now=clock.now(), comment="有误").one()
    assert take(read(line(plant, cea, tonnes="102")), maker).applications


def test_only_the_registry_imports(plant, cea, operator):
    with pytest.raises(NotAllowed):
        take(read(line(plant, cea)), operator)


def test_ten_thousand_rows_take_few_statements(app, maker, checker):
    what = [instrument(f"标的{n}") for n in range(10)]
    with transaction():
        db.session.execute(
            db.text(
                "INSERT INTO account (member_no, name, kind, province)"
                " SELECT '2199' || lpad(n::text, 7, '0'), '企业' || n, 'enterprise', '42'"
                " FROM generate_series(1, 1000) AS n"
            )
        )
    parties = db.session.query(Account).filter(Account.kind == "enterprise").all()
    table = read(*(line(who, each, tonnes="9") for who in parties for each in what))
    assert table.is_clear
    statements = []

    def note(_connection, _cursor, statement, *_rest):
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    done = take(table, maker)
    event.remove(db.engine, "before_cursor_execute", note)

    batch = batches.find(done.import_id, "allocation")
    assert (batch.file.rows, len(done.applications), batch.tonnes) == (10_000, 1000, 90_000)
    assert len(statements) <= 30
    with transaction():
        ids = db.session.scalars(db.select(Application.id)).all()
        outcome = engine.approve(ids, Actor.of(checker), now=clock.now())
    assert len(outcome.done) == 1000
    assert verify_ledger().is_sound
