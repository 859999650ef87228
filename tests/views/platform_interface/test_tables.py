"""核定数据表 by the platform's interface: as a file is checked, and reviewed by an officer (N03-N05, N21)."""

from __future__ import annotations

import io

import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import AllocationFigure, Application, ImportFile, MachineAnswer
from app.models.figures import current_figure
from app.operations.applications import engine
from app.operations.imports import figure_import, tables
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import account, entered, instrument
from tests.operations.claims import issued
from tests.operations.machines import issued as of_member
from tests.operations.machines import of_platform
from tests.operations.machines import registered as of_venue
from tests.views.platform_interface.pushing import faults, push, row, sent

COAL = {"basis": "coal", "power": "3000000", "heat": "5000000", "power_benchmark": "0.7902",
        "heat_benchmark": "0.1027", "load": "60"}  # fmt: skip


def counting(of):
    """Return the rows that count of an enterprise."""
    db.session.rollback()
    found = current_figure.c
    rows = select(found.stage, found.unit, found.quantity, found.expected)
    return [tuple(each) for each in db.session.execute(rows.where(found.account_id == of.id))]


def sent_back(id_, by, comment="与盖章文件不符"):
    with transaction():
        engine.send_back([id_], Actor.of(by), now=clock.now(), comment=comment).one()


def application():
    db.session.rollback()
    return db.session.query(Application).filter_by(kind="figure_table").one()


def test_n03_a_table_of_units_counts_once_an_officer_approved_it(platform, plant, maker):
    answer = push(
        platform,
        sent(
            row(plant, 500_001, "1000002", unit="1号"),
            row(plant, 250_002, "500004", unit="2号"),
            row(plant, 750_003, "1500006"),
        ),
    )
    assert answer.status_code == 200, answer.text
    told = answer.json
    assert (told["state"], told["rows"], told["enterprises"]) == ("in_review", 3, 1)
    assert (told["differing_rows"], told["decided_at"], told["reason"]) == (0, None, "")
    assert counting(plant) == []
    made = application()
    assert (made.number, made.created_by, made.submitted_by) == (told["number"], None, None)
    assert (made.document_no, made.starts_on.isoformat()) == ("鄂环函〔2026〕1号", "2026-11-19")
    file = db.session.query(ImportFile).one()
    assert (file.imported_by, file.rows) == (None, 3)
    assert file.name == "平台接口：2025 年度发电预分配"

    factories.confirmed(made.id, maker)
    assert counting(plant) == [
        ("pre_allocation", "1号", 500_001, 500_001),
        ("pre_allocation", "2号", 250_002, 250_002),
        ("pre_allocation", "", 750_003, 750_003),
    ]
    now = platform.call("GET", f"/tables/{told['number']}").json
    assert (now["state"], now["decided_at"][:10]) == ("approved", "2026-11-20")


def test_n04_what_differs_is_kept_and_stops_its_enterprise_alone(platform, plant, maker, checker):
    other = account("乙发电有限公司")
    number = push(platform, sent(row(plant, 1790), row(other, 1789))).json["number"]
    cea25 = instrument(vintage=2025)
    differences = platform.call("GET", f"/tables/{number}/differences").json
    assert differences == {
        "differences": [{
            "member_no": plant.member_no, "name": plant.name, "unit": "",
            "quantity": 1790, "expected": 1789, "difference": 1,
        }],
        "next_cursor": None,
    }  # fmt: skip
    factories.confirmed(application().id, checker)
    with force_locale("zh"), pytest.raises(RuleError, match="应为1,789"):
        entered("issuance", plant, maker, lines={cea25: 1790}, category="pre_allocation")
    issued(other, cea25, 1789, by=maker, category="pre_allocation")

    push(platform, sent(row(plant, 1789)))
    waiting = db.session.query(Application).filter_by(kind="figure_table", status="in_review").one()
    factories.confirmed(waiting.id, checker)
    assert counting(plant) == [("pre_allocation", "", 1789, 1789)]
    issued(plant, cea25, 1789, by=maker, category="pre_allocation")


def test_approved_units_are_pushed_in_codes(platform, plant, maker):
    table = sent(
        row(plant, 2_884_100, "4000000", unit="1号", **COAL),
        row(plant, 500_000, "500000.5", unit="2号", basis="verified"),
        row(plant, 3_600_000, "4500000.5", basis="units"),
        stage="approved",
    )
    assert push(platform, table).json["differing_rows"] == 0
    factories.confirmed(application().id, maker)
    # N32: a change of the verification has no quantity, and asks for another approval.
    change = sent(row(plant, None, "4400000"), stage="verification")
    assert push(platform, change).status_code == 200


def test_a_table_that_is_sent_back_says_why_and_is_pushed_again(platform, plant, checker):
    table = sent(row(plant, 1790))
    number = push(platform, table).json["number"]
    again = push(platform, table)
    assert (again.status_code, faults(again)) == (409, {("rows", "table_seen_before")})
    assert number in again.json["errors"][0]["detail"]

    sent_back(application().id, checker)
    told = platform.call("GET", f"/tables/{number}").json
    assert (told["state"], told["reason"]) == ("returned", "与盖章文件不符")
    assert counting(plant) == []

    other = push(platform, table)
    assert (other.status_code, other.json["state"]) == (200, "in_review")
    assert other.json["number"] != number
    listed = platform.call("GET", "/tables?state=returned").json["tables"]
    assert [each["number"] for each in listed] == [number]


def test_a_table_counts_from_its_arrival(platform, plant, maker, checker):
    """What an officer imports meanwhile stays in force over what arrived before."""
    push(platform, sent(row(plant, 1790)))
    heading = ",".join(f"{each.title}" for each in figure_import.COLUMNS)
    with force_locale("zh"), transaction():
        heading = ",".join(f"{each.title}" for each in figure_import.COLUMNS)
        line = f"{plant.member_no},{plant.name},2025,发电,预分配,,3579.4,,,,,,,,,,1789,"
        file = io.BytesIO(f"{heading}\n{line}".encode())
        table = tables.read(file, "更正.csv", figure_import.COLUMNS)
        figure_import.take(table, Actor.of(maker), now=clock.now())
    factories.confirmed(application().id, checker)
    assert counting(plant) == [("pre_allocation", "", 1789, 1789)]


def test_all_faults_of_rows_are_named_at_once(platform, plant):
    answer = push(
        platform,
        sent(
            row(plant, 1789, share="51"),
            row(plant, 1789),
            {"member_no": "99999999999", "name": "某厂", "verified": "1", "quantity": 0},
            {**row(plant, 1000, unit="1号"), "name": "别的公司"},
            row(account("丙钢铁有限公司", sector="steel"), 1789),
        ),
    )
    assert answer.status_code == 422
    assert faults(answer) == {
        ("rows[0].share", "share_above_cap"),  # N21
        ("rows[2].member_no", "member_unknown"),
        ("rows[3].name", "name_differs"),
        ("rows[4]", "sector_not_theirs"),
    }
    assert "51" in answer.json["errors"][0]["detail"]
    assert db.session.query(ImportFile).count() == 0
    assert db.session.query(AllocationFigure).count() == 0
    assert db.session.query(MachineAnswer).count() == 0


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"year": 2018}, {("year", "no_plan")}),
        ({"sector": "cement_and_more"}, {("sector", "unknown_value")}),
        ({"stage": "预分配"}, {("stage", "unknown_value")}),
        ({"documented_on": "2026-11-31"}, {("documented_on", "wrong_day")}),
        ({"document_no": ""}, {("document_no", "wrong_length")}),
        ({"rows": []}, {("rows", "wrong_length")}),
        ({"more": 1}, {("more", "unknown_field")}),
    ],
)
def test_what_is_wrong_of_the_table_is_said_once(platform, plant, more, found):
    answer = push(platform, sent(row(plant, 1), row(plant, 1, unit="1号")) | more)
    assert (answer.status_code, faults(answer)) == (422, found)


def test_numbers_are_texts_of_six_decimals(platform, plant):
    wrong = sent(row(plant, 1, verified=3579.4), row(plant, 1.5, "1e3", unit="2"))
    assert faults(push(platform, wrong)) == {
        ("rows[0].verified", "wrong_type"),
        ("rows[1].quantity", "wrong_type"),
        ("rows[1].verified", "wrong_characters"),
    }


def test_a_document_of_tomorrow_is_refused(platform, plant):
    answer = push(platform, sent(row(plant, 1789), documented_on="2026-11-21"))
    assert (answer.status_code, faults(answer)) == (409, {("starts_on", "document_of_the_future")})
    assert db.session.query(ImportFile).count() == 0


def test_the_same_request_again_is_answered_alike(platform, plant):
    first = push(platform, sent(row(plant, 1789)), key="k1")
    again = push(platform, sent(row(plant, 1789)), key="k1")
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    other = push(platform, sent(row(plant, 1790)), key="k1")
    assert (other.status_code, other.json["errors"][0]["code"]) == (409, "idempotency_key_reused")
    assert db.session.query(ImportFile).count() == 1


def test_a_list_is_paged(platform, plant):
    other = account("乙发电有限公司")
    numbers = [push(platform, sent(row(plant, n), row(other, n))).json["number"] for n in (1, 2, 3)]
    page = platform.call("GET", "/tables?limit=2").json
    assert [each["number"] for each in page["tables"]] == numbers[:2]
    rest = platform.call("GET", f"/tables?limit=2&cursor={page['next_cursor']}").json
    assert [each["number"] for each in rest["tables"]] == numbers[2:]
    address = f"/tables/{numbers[0]}/differences"
    page = platform.call("GET", f"{address}?limit=1").json
    rest = platform.call("GET", f"{address}?limit=1&cursor={page['next_cursor']}").json
    named = [page["differences"][0]["member_no"], rest["differences"][0]["member_no"]]
    assert (named, rest["next_cursor"]) == ([plant.member_no, other.member_no], None)
    one = platform.call("GET", f"{address}?member_no={other.member_no}").json["differences"]
    assert [each["member_no"] for each in one] == [other.member_no]


def test_size_and_number_of_tables_are_limited(app, platform, plant, monkeypatch):
    monkeypatch.setattr("app.views.platform_interface.schemas.PushSchema.largest", 500)
    answer = push(platform, sent(*[row(plant, 1)] * 10))
    assert (answer.status_code, faults(answer)) == (413, {("", "too_large")})
    monkeypatch.undo()
    monkeypatch.setitem(app.config, "MACHINE_TABLES_PER_MINUTE", 1)
    answer = push(platform, sent(row(plant, 1789)))
    assert (answer.status_code, faults(answer)) == (429, {("", "too_many_requests")})
    assert platform.call("GET", "/tables").status_code == 200


def test_scopes_open_their_routes_alone(app, plant):
    reads = of_platform(app, "MEEPR", scopes=["figures:read"]).sign_in()
    answer = push(reads, sent(row(plant, 1789)))
    assert (answer.status_code, faults(answer)) == (403, {("", "insufficient_scope")})
    writes = of_platform(app, "MEEPW", scopes=["figures:write"]).sign_in()
    number = push(writes, sent(row(plant, 1789))).json["number"]
    assert writes.call("GET", f"/tables/{number}").status_code == 403
    assert reads.call("GET", f"/tables/{number}").status_code == 200  # of the platform, too


def test_each_interface_is_its_own_clients(app, platform, operator):
    venue, system = of_venue(app).sign_in(), of_member(app, operator).sign_in()
    for machine, own in ((venue, "交易接口"), (system, "会员接口")):
        home = machine.base
        machine.base = platform.base
        answer = machine.call("GET", "/tables")
        assert (answer.status_code, faults(answer)) == (403, {("", "wrong_interface")})
        assert own in answer.json["errors"][0]["detail"]
        assert machine.ask_token().json["error"] == "invalid_client"
        machine.base = home
    for base, path in ((venue.base, "/positions"), (system.base, "/holdings")):
        platform.base = base
        answer = platform.call("GET", path)
        assert (answer.status_code, faults(answer)) == (403, {("", "wrong_interface")})
        assert "平台接口" in answer.json["errors"][0]["detail"]
        assert platform.ask_token().json["error"] == "invalid_client"


def test_unknown_tables_are_404(platform):
    for path in ("/tables/HD999", "/tables/HD999/differences", "/tables/%00"):
        assert platform.call("GET", path).status_code == 404


# The officers' pages ------------------------------------------------------------------------------


def test_officers_see_what_was_pushed_and_review_it(
    platform, plant, desk, sign_in, checker, operator
):
    number = push(platform, sent(row(plant, 1790))).json["number"]
    made = application().id
    shown = desk.get(f"/figure-tables/{made}").text
    for text in (number, "MEEPT", "鄂环函〔2026〕1号", "推送 1,790，注登系统计算 1,789"):
        assert text in shown
    assert number in desk.get("/figure-tables/").text
    rows = desk.get(f"/pushed-figures/?table={number}").text
    assert plant.name in rows
    assert "不一致" in rows
    reviewer = sign_in(checker)
    assert "推送 1,790，注登系统计算 1,789" in reviewer.get(f"/reviews/{made}").text
    factories.confirmed(made, checker)
    assert "平台接口" in desk.get("/allocation-figures/").text
    for page in ("figure-tables", "pushed-figures"):
        assert sign_in(operator).get(f"/{page}/").status_code == 403
