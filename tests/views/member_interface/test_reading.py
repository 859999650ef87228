"""What members' own systems read: in the member's row scope, as the pages show it, in few statements."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.machines import MEMBER_SCOPES
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, Notice
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import account, give, instrument, member
from tests.operations.machines import issued
from tests.views.toys import counting

LISTS = {
    "/holdings": "holdings",
    "/notices": "notices",
    "/applications": "applications",
    "/statements": "statements",
}
# Statements of a call besides the two of its token: the list, and what belongs to its rows.
COSTS = {"/me": 1, "/holdings": 2, "/holdings/entries": 2, "/notices": 1, "/applications": 3,
         "/statements": 1}  # fmt: skip
THE_DOOR = 3  # token, counters, and the tests' own clock


@pytest.fixture
def of_a(app, world):
    return issued(app, world.a.member).sign_in()


@pytest.fixture
def of_province(app, world):
    return issued(app, world.officers["province"]).sign_in()


def test_a_system_knows_who_it_is(system, provincial, plant):
    found = system.call("GET", "/me").json
    assert (found["credential"], found["member_no"], found["member_name"]) == (
        system.code, plant.member_no, "甲发电有限公司",
    )  # fmt: skip
    assert (found["member_kind"], found["ends_on"]) == ("enterprise", "2027-11-01")
    assert found["as_of"] == "2026-11-20T10:00:00.000+08:00"[:11] + found["as_of"][11:]
    found = provincial.call("GET", "/me").json
    assert (found["member_kind"], found["member_no"]) == ("province", None)
    assert found["member_name"] == "湖北"
    assert found["scopes"] == list(MEMBER_SCOPES)


def test_holdings_are_those_of_the_page(system, plant, cea):
    give(plant, cea, 30, Bucket.TRADING)
    (found,) = system.call("GET", "/holdings").json["holdings"]
    assert found == {
        "member_no": plant.member_no, "member_name": "甲发电有限公司", "instrument_code": cea.code,
        "instrument_name": cea.name, "vintage": 2020, "available": 700, "reserved": 0, "frozen": 0,
        "pending_to_trading": 0, "trading": 30, "pending_to_registry": 0, "total": 730,
    }  # fmt: skip


def test_all_pages_of_holdings_are_of_one_instant(system, plant):
    held = [factories.issued_to(plant, n) for n in range(1, 6)]
    first = system.call("GET", "/holdings?limit=2").json
    give(plant, held[0], 50)
    give(plant, held[-1], 50)
    factories.issued_to(plant, 9)  # nothing of it at that instant
    rows, cursor = first["holdings"], first["next_cursor"]
    while cursor:
        page = system.call("GET", f"/holdings?limit=2&cursor={cursor}").json
        assert page["as_of"] == first["as_of"]
        rows, cursor = rows + page["holdings"], page["next_cursor"]
    assert [row["available"] for row in rows] == [1, 2, 3, 4, 5]
    now = system.call("GET", "/holdings").json["holdings"]
    assert [row["available"] for row in now] == [51, 2, 3, 4, 55, 9]


def test_what_was_written_before_a_page_and_committed_after_it_is_not_seen(system, plant):
    """The cursor holds which transactions count, not a time."""
    held = [factories.issued_to(plant, n) for n in range(1, 4)]
    first = system.call("GET", "/holdings/entries?limit=1").json
    give(plant, held[0], 50)
    seen, cursor = first["entries"], first["next_cursor"]
    while cursor:
        page = system.call("GET", f"/holdings/entries?limit=1&cursor={cursor}").json
        seen, cursor = seen + page["entries"], page["next_cursor"]
    assert [each["after"] for each in seen] == [1, 2, 3] or seen == []


def test_entries_are_asked_for_by_period_and_side(system, plant):
    """`give` posts at 9:00 of 2026-01-05."""
    cea = factories.issued_to(plant, 10)
    give(plant, cea, 30, Bucket.TRADING)
    assert system.call("GET", "/holdings/entries").json["entries"] == []  # thirty days
    asked = "/holdings/entries?from=2026-01-05&to=2026-01-05"
    found = system.call("GET", asked).json
    assert (found["from"], found["to"]) == ("2026-01-05", "2026-01-05")
    told = [
        (each["seq"], each["bucket"], each["before"], each["delta"], each["after"])
        for each in found["entries"]
    ]
    assert told == [
        (1, "available", 0, 10, 10),
        (2, "available", 10, 30, 40),
        (3, "available", 40, -30, 10),
        (4, "trading", 0, 30, 30),
    ]
    assert found["entries"][0]["at"] == "2026-01-05T09:00:00.000+08:00"
    (trading,) = system.call("GET", f"{asked}&side=trading").json["entries"]
    assert trading["bucket"] == "trading"
    pages, cursor = [], ""
    while cursor is not None:
        page = system.call("GET", f"{asked}&limit=1" + (f"&cursor={cursor}" if cursor else "")).json
        pages, cursor = pages + page["entries"], page["next_cursor"]
    assert pages == found["entries"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-11-20&to=2026-11-19", "to"),
        ("from=2024-01-01&to=2026-01-01", "to"),
        ("from=2026-13-01", "from"),
        ("side=both", "side"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("account_id=1", "account_id"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(system, query, field):
    answer = system.call("GET", f"/holdings/entries?{query}")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
    assert answer.json["type"].startswith("/api/member/v1/#")


def test_a_province_names_the_enterprise_whose_entries_it_asks_for(provincial, plant):
    answer = provincial.call("GET", "/holdings/entries")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "member_no")
    answer = provincial.call("GET", f"/holdings/entries?member_no={plant.member_no}")
    assert answer.status_code == 200


def test_each_reads_its_own_alone(app, world, of_a, of_province):
    of_b = issued(app, world.b.member).sign_in()
    for path, name in LISTS.items():
        if path == "/statements":
            continue
        own, theirs, provincial = (
            who.call("GET", f"{path}?limit=100").json[name] for who in (of_a, of_b, of_province)
        )
        assert {each["member_no"] for each in own} >= {world.a.account.member_no}, path
        seen = {each["member_no"] for each in provincial}
        assert world.a.account.member_no in seen, path
        assert world.b.account.member_no not in seen, path
        assert world.b.account.member_no in {each["member_no"] for each in theirs}, path
        # As a receiver 甲 is asked by 乙, on that page and here.
        others = {each["kind"] for each in own if each["member_no"] == world.b.account.member_no
                  } if path == "/applications" else set()  # fmt: skip
        assert others <= {"custody_return"}
    # To name another member finds nothing, as one that there is not.
    for path in ("/holdings", "/notices", "/applications"):
        for number in (world.b.account.member_no, "00000000000"):
            found = of_a.call("GET", f"{path}?member_no={number}").json
            assert found[LISTS[path]] == [], path
            assert of_province.call("GET", f"{path}?member_no={number}").json[LISTS[path]] == []


def test_a_row_of_another_member_is_not_found(world, of_a, of_province):
    theirs = db.session.query(Application).filter_by(account_id=world.b.account.id).all()
    numbers = [each.number for each in theirs if each.kind != "custody_return"]
    notices = [
        each.number for each in db.session.query(Notice).filter_by(account_id=world.b.account.id)
    ]
    assert numbers
    assert notices
    for who in (of_a, of_province):
        for number in numbers:
            answer = who.call("GET", f"/applications/{number}")
            assert answer.status_code == 404, number
            assert number not in answer.text
        for number in notices:
            assert who.call("GET", f"/notices/{number}").status_code == 404
    for rest in ("", "/trades"):
        answer = of_a.call("GET", f"/statements/{world.b.statements[0]}{rest}")
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (404, "not_found")


@pytest.mark.parametrize("number", ["x", "%00", "%ED%A0%80", "x" * 300, "20261119-ZGW-1"])
@pytest.mark.parametrize("path", ["/applications", "/notices", "/statements"])
def test_an_unknown_number_is_not_found(system, path, number):
    assert system.call("GET", f"{path}/{number}").status_code == 404


def test_a_province_reads_the_statements_of_its_enterprises(world, of_province):
    """As its officers do on the page; 乙 is of another province."""
    found = [each["number"] for each in of_province.call("GET", "/statements").json["statements"]]
    assert world.a.statements[0] in found
    assert not set(world.b.statements) & set(found)
    assert of_province.call("GET", f"/statements/{world.a.statements[0]}").status_code == 200
    assert of_province.call("GET", f"/statements/{world.b.statements[0]}").status_code == 404


def test_the_kinds_are_those_of_the_pages(app, world, of_a, of_province, sign_in):
    pages = [page for page in app.extensions["pages"].values() if getattr(page, "kind", "")]
    for who, person in ((of_a, world.a.member), (of_province, world.officers["province"])):
        browser = sign_in(person)
        shown = {
            page.kind for page in pages if browser.get(f"{page.route_base}/").status_code == 200
        }
        rows, cursor = [], ""
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            page = who.call("GET", f"/applications?limit=100{more}").json
            rows, cursor = rows + page["applications"], page["next_cursor"]
        kinds = {each["kind"] for each in rows}
        assert {"surrender", "voluntary_cancellation", "freeze"} <= kinds <= shown
        hidden = db.session.query(Application).filter(Application.kind.not_in(shown)).all()
        assert hidden
        for each in hidden:
            assert who.call("GET", f"/applications/{each.number}").status_code == 404


def test_what_is_only_enquired_after_is_there_once_it_is_approved(system, provincial, plant, cea):
    """A freeze in the making would be a warning to move the tonnes away."""
    maker, checker = member("registry_maker"), member("registry_checker")
    kept = factories.entered("freeze", plant, maker, lines={cea: 20}, submits=False)
    asked = factories.entered("freeze", plant, maker, lines={cea: 10})
    secret = [db.session.get_one(Application, id_).number for id_ in (kept, asked)]
    for who in (system, provincial):
        assert who.call("GET", "/applications?kind=freeze").json["applications"] == []
        for number in secret:
            assert who.call("GET", f"/applications/{number}").status_code == 404
    factories.confirmed(asked, checker)
    for who in (system, provincial):
        (found,) = who.call("GET", "/applications?kind=freeze").json["applications"]
        assert (found["number"], found["state"]) == (secret[1], "approved")
        assert (found["events"], found["reason"]) == ([], "")
        assert found["lines"][0]["quantity"] == 10


def test_statements_say_what_the_page_says(world, of_a):
    (row,) = of_a.call("GET", "/statements").json["statements"]
    assert (row["number"], row["bought_fen"], row["sold_fen"]) == (
        world.a.statements[0],
        81000,
        200500,
    )
    found = of_a.call("GET", f"/statements/{row['number']}").json
    assert (found["trades_delivered"], found["trades_undelivered"]) == (2, 1)
    assert (found["bought_fen"], found["sold_fen"], found["fees_fen"]) == (81000, 160000, 80)
    assert found["deadline"] == "2026-11-23T09:30:00.000+08:00"
    (money,) = [each for each in found["money"] if each["sold_fen"]]
    assert (money["available_fen"], money["proceeds_fen"]) == (1000000, 78920)
    trades, cursor = [], ""
    while cursor is not None:
        address = f"/statements/{row['number']}/trades?limit=1"
        page = of_a.call("GET", address + (f"&cursor={cursor}" if cursor else "")).json
        trades, cursor = trades + page["trades"], page["next_cursor"]
    assert [(each["deal_no"], each["side"], each["state"]) for each in trades] == [
        ("D000001", "sell", "delivered"), ("D000002", "buy", "delivered"),
        ("D000003", "sell", "default"),
    ]  # fmt: skip
    for period, count in (("from=2026-11-20", 0), ("to=2026-11-18", 0), ("to=2026-11-19", 1)):
        assert len(of_a.call("GET", f"/statements?{period}").json["statements"]) == count


def test_a_notice_with_what_was_surrendered(world, of_a):
    found = of_a.call("GET", "/notices").json["notices"]
    own = db.select(Notice.number).where(Notice.account_id == world.a.account.id)
    assert {each["number"] for each in found} == set(db.session.scalars(own))
    one = of_a.call("GET", f"/notices/{found[0]['number']}").json
    assert one == found[0]
    assert one["remaining"] == max(one["obligation"] - one["surrendered"] - one["pending"], 0)
    assert {each["state"] for each in found} <= {
        "due",
        "partial",
        "fulfilled",
        "overdue",
        "late",
        "withdrawn",
    }
    assert of_a.call("GET", "/notices?year=2000").json["notices"] == []


def test_an_application_with_its_course(world, of_a):
    application = db.session.get_one(Application, world.a.approved)
    found = of_a.call("GET", f"/applications/{application.number}").json
    assert (found["kind"], found["state"]) == ("voluntary_cancellation", "approved")
    assert [each["action"] for each in found["events"]][-1] == "approve"
    assert found["events"][0]["by"] == world.a.member.first_name
    assert [line["quantity"] for line in found["lines"]]
    assert "ip" not in found["events"][0]
    drafts = of_a.call("GET", "/applications?state=draft&kind=voluntary_cancellation").json
    assert [each["state"] for each in drafts["applications"]] == ["draft"]
    assert of_a.call("GET", "/applications?to=2020-01-01").json["applications"] == []


def test_a_receiver_sees_its_own_share_alone(world, of_a):
    """乙 returns to several: 甲 sees its own line, no draft and no comment of others."""
    asked = world.a.asked
    assert asked
    application = db.session.get_one(Application, asked)
    found = of_a.call("GET", f"/applications/{application.number}").json
    assert found["member_no"] != world.a.account.member_no
    assert {line["receiver_no"] for line in found["lines"]} == {world.a.account.member_no}
    assert "save" not in {each["action"] for each in found["events"]}
    assert {each["comment"] for each in found["events"]} == {""}


@pytest.mark.parametrize("path", COSTS)
def test_a_call_takes_few_statements_however_many_rows(app, world, of_a, path):
    def cost() -> int:
        of_a.call("GET", path)
        with counting(app) as statements:
            assert of_a.call("GET", f"{path}").status_code == 200
        return len([each for each in statements if "SAVEPOINT" not in each])

    assert cost() == COSTS[path] + THE_DOOR
    for _each in range(5):
        give(world.a.account, instrument(), 5)
        factories.submitted(
            "voluntary_cancellation", world.a.member, {world.a.instrument: 1}, reason="减排"
        )
    assert cost() == COSTS[path] + THE_DOOR


def test_a_statement_takes_few_statements(app, world, of_a):
    with counting(app) as statements:
        of_a.call("GET", f"/statements/{world.a.statements[0]}")
    assert len(statements) == 4 + THE_DOOR  # one is of the calendar, for the deadline


def test_a_cursor_keeps_to_its_list_its_conditions_and_its_hour(app, world, of_a, plant):
    for _each in range(3):
        factories.issued_to(world.a.account, 5)
    cursor = of_a.call("GET", "/holdings?limit=1").json["next_cursor"]
    for address in (
        f"/notices?cursor={cursor}",
        f"/holdings?cursor={cursor}&instrument_code=PE1",
        f"/holdings?cursor={cursor}x",
    ):
        answer = of_a.call("GET", address)
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "cursor_unknown")
    # With it another member reads its own rows, too.
    of_b = issued(app, world.b.member).sign_in()
    other = of_b.call("GET", f"/holdings?cursor={cursor}")
    assert world.a.account.member_no not in other.text
    with transaction():
        clock.set_to(clock.now() + timedelta(hours=2), SYSTEM)
    answer = of_a.call("GET", f"/holdings?limit=1&cursor={cursor}")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "cursor_over")


def test_a_deleted_draft_is_not_there(system, plant, cea, operator):
    id_ = factories.draft("voluntary_cancellation", operator, {cea: 5})
    (found,) = system.call("GET", "/applications").json["applications"]
    assert found["state"] == "draft"
    with transaction():
        engine.discard(id_, Actor.of(operator), now=clock.now())
    assert system.call("GET", "/applications").json["applications"] == []
    assert system.call("GET", f"/applications/{found['number']}").status_code == 404


def test_an_enterprise_of_another_province_is_not_the_province_s(app, provincial):
    other = account("乙水泥有限公司", province="31")
    factories.issued_to(other, 5)
    member(of=other)
    assert provincial.call("GET", "/holdings").json["holdings"] == []
