"""Unsigned imports: drafts that are submitted or withdrawn together."""

from __future__ import annotations

import io
from pathlib import Path

import openpyxl
import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.domain.errors import NotFound, RuleError
from app.extensions import db, transaction
from app.models import Account, Application, ImportFile
from app.operations.applications import engine, evidence
from app.operations.imports import allocation, batches, opening_import, tables
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import account, instrument, member, nothing_moves
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
        return allocation.take(table, maker, now=clock.now(), only_tries=True, **factories.PAPER)


def submit(ids, maker):
    with transaction():
        return engine.submit_all(ids, maker, now=clock.now())


def withdraw(import_id, maker):
    with transaction():
        return batches.withdraw(import_id, maker, now=clock.now())


def statuses(import_id):
    db.session.rollback()
    return dict(batches.find(import_id, "allocation").statuses)


FILES = Path(__file__).resolve().parent / "files"


def test_names_are_compared_as_people_read_them_and_kept_as_registered(cea, maker):
    """Brackets of either width, 〇 or ○: the issuance shows the registered name."""
    names = [
        "湖北示例（襄阳）发电有限公司",
        "湖北示例(十堰)发电有限公司",
        "湖北示例〇一三发电有限公司",
    ]
    plants = [account(name) for name in names]
    book = openpyxl.load_workbook(FILES / "06_allocation_bracket_width.xlsx")
    for line, plant in enumerate(plants, start=2):
        assert book.active.cell(line, 3).value != plant.name
        book.active.cell(line, 1).value = plant.member_no
        book.active.cell(line, 4).value = cea.code.lower()
    buffer = io.BytesIO()
    book.save(buffer)
    table = tables.read(io.BytesIO(buffer.getvalue()), "分配表.xlsx", allocation.COLUMNS)

    done = take(table, maker)

    assert table.problems == []
    applied = db.session.scalars(select(Application.account_id).order_by(Application.account_id))
    assert list(applied) == [plant.id for plant in plants]
    assert len(done.applications) == 3
    assert [db.session.get_one(Account, plant.id).name for plant in plants] == names


def test_another_enterprises_name_is_refused_with_both(plant, cea, maker):
    table = allocations(plant, cea, ("核定", 5))
    table.rows[0].cells["name"] = "乙厂"
    with nothing_moves(), pytest.raises(RuleError):
        take(table, maker)
    (problem,) = table.problems
    assert (problem.row, problem.column) == (2, "企业名称")
    assert plant.name in str(problem.message)
    assert "乙厂" in str(problem.message)


def test_every_problem_of_a_row_is_told_with_what_was_read_and_what_is_offered(plant, cea, maker):
    table = allocations(plant, cea, ("赠送", "1e3"))
    table.rows[0].cells["code"] = "PE9"
    with nothing_moves(), pytest.raises(RuleError):
        take(table, maker)
    found = {each.column: str(each.message) for each in table.problems}
    assert set(found) == {"标的编码", "发放类型", "发放量"}
    assert "PE9" in found["标的编码"]
    assert "赠送" in found["发放类型"]
    assert "预分配、核定" in found["发放类型"]
    assert "1e3" in found["发放量"]


def test_a_landline_is_refused_and_a_rare_name_is_opened(maker):
    content = (FILES / "08_openings_brackets_rare_landline.xlsx").read_bytes()
    table = tables.read(io.BytesIO(content), "开户.xlsx", opening_import.COLUMNS)
    with pytest.raises(RuleError), transaction():
        opening_import.take(table, maker, now=clock.now())

    assert [(each.row, each.column) for each in table.problems] == [(5, "手机号")]
    assert "0710-3456789" in str(table.problems[0].message)
    assert db.session.query(Application).count() == 0

    table.problems.clear()
    table.rows.pop()
    with transaction():
        opening_import.take(table, maker, now=clock.now())
    names = [each.proposal["name"][1] for each in db.session.query(Application)]
    assert "湖北𠮷㑇䶮囍能源有限公司" in names


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("湖北", "42"),
        ("湖北省", "42"),
        ("42", "42"),
        ("兵团", "66"),
        ("新疆兵团", "66"),
        ("新疆生产建设兵团", "66"),
        ("新疆", "65"),
        ("新疆维吾尔自治区", "65"),
        ("内蒙古", "15"),
        ("广西壮族自治区", "45"),
        ("北京市", "11"),
        (" 上 海 ", "31"),
    ],
)
def test_a_province_is_known_by_its_short_and_its_full_name(typed, code):
    proposal, wrong = opening_import.judge(enterprise(province=typed))
    assert wrong == {}
    assert proposal["province"] == ["", code]


def test_who_names_no_province_and_no_sector_is_told_which_there_are():
    _proposal, wrong = opening_import.judge(enterprise(province="台北", sector="纺织"))
    for name in ("台北", "湖北（湖北省）", "兵团（新疆生产建设兵团）", "广西（广西壮族自治区）"):
        assert name in wrong["province"]
    for name in ("纺织", "发电", "钢铁", "水泥", "铝"):
        assert name in wrong["sector"]


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
        opening_import.take(
            openings_table([enterprise(1)]), maker, now=clock.now(), only_tries=True
        )
    other = openings_table([enterprise(1, name="另名有限公司")])
    with pytest.raises(RuleError), transaction():
        opening_import.take(other, maker, now=clock.now(), only_tries=True)
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
