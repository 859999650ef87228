"""结算单: its figures, who may read it, its files, and that it stays as it was."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime

import pypdf
import pytest
from sqlalchemy import select

from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Instrument, OperationLog
from app.views.settlement import figures
from tests import factories
from tests.views.toys import table


def statement_csv(browser, number: str) -> list[list[str]]:
    with browser.get(f"/statements/{number}/statement.csv") as response:
        assert response.status_code == 200
        content = response.get_data()
    return list(csv.reader(io.StringIO(content.removeprefix(b"\xef\xbb\xbf").decode())))


def after(rows: list[list[str]], title: str, row: int = 1) -> dict[str, str]:
    """Return a row of a table by its headings."""
    place = rows.index([title]) + 1
    return dict(zip(rows[place], rows[place + row], strict=True))


def test_the_list_has_a_row_a_settled_day(world, sign_in):
    rows = table(sign_in(world.a.member).get("/statements/").text)
    assert [row[1:6] for row in rows] == [
        ["2026-11-19", "810.00", "2,005.00", "0.80", "有未交收"],
    ]
    everyone = table(sign_in(world.officers["auditor"]).get("/statements/").text)
    assert len(everyone) == 3


def test_figures_are_those_of_what_was_delivered(world, sign_in):
    """Sold 20 at 80.00 and bought 10 at 81.00 out of the proceeds; 5 sold tonnes were not paid for."""
    rows = statement_csv(sign_in(world.a.member), world.a.statements[0])
    facts = dict(row for row in rows[: rows.index([])])
    assert (facts["已交收笔数"], facts["未交收笔数"]) == ("2", "1")
    assert (facts["买入成交额"], facts["卖出成交额"]) == ("810.00", "1600.00")
    assert (facts["手续费合计"], facts["收付净额"]) == ("0.80", "789.20")
    held = after(rows, "交易持有量", row=2)  # beneath the world's own instrument
    assert [*held.values()][2:] == ["100", "10", "20", "0", "90"]
    money = after(rows, "资金（元）")
    assert [*money.values()][1:] == [
        # The money came in on the day itself.
        "0.00", "0.00", "810.00", "1600.00", "0.80", "10000.00", "10000.00", "789.20", "10789.20",
    ]  # fmt: skip
    trades = rows[rows.index(["当日成交"]) + 2 :]
    assert [(row[0], row[-1]) for row in trades] == [
        ("D000001", "已交收"), ("D000002", "已交收"), ("D000003", "违约"),
    ]  # fmt: skip


def test_the_page_shows_the_same_and_names_the_deadline(world, sign_in):
    page = sign_in(world.a.member).get(f"/statements/{world.a.statements[0]}").text
    assert "10,789.20" in page
    assert "2026-11-23 09:30" in page
    assert not [mark for mark in world.b.marks if mark in page]


@pytest.mark.parametrize("file", ["", "/statement.pdf", "/statement.csv"])
def test_only_its_participant_and_those_who_oversee_it_read_it(world, sign_in, file):
    number = world.a.statements[0]
    for member, code in (
        (world.a.member, 200),
        (world.b.member, 404),
        (world.officers["registry_maker"], 200),
        (world.officers["auditor"], 200),
        (world.officers["province"], 200),
        (world.officers["province:31"], 404),
    ):
        with sign_in(member).get(f"/statements/{number}{file}") as response:
            assert response.status_code == code, member.username


@pytest.mark.parametrize("number", ["x", "20261119-ZGW-1", "99999999-ZGW-1", "20261118-ZGW-{no}"])
def test_what_is_no_statement_is_not_found(world, sign_in, number):
    number = number.format(no=world.a.account.member_no)
    assert sign_in(world.a.member).get(f"/statements/{number}").status_code == 404


def test_it_stays_as_it_was_whatever_moves_afterwards(world, sign_in):
    browser, number = sign_in(world.a.member), world.a.statements[0]
    before = statement_csv(browser, number)
    traded = db.session.scalars(select(Instrument).where(Instrument.code == before[15][0])).one()
    factories.give(
        world.a.account, traded, 7, Bucket.TRADING, at=datetime(2026, 11, 23, 16, tzinfo=BEIJING)
    )
    assert statement_csv(browser, number) == before


def test_the_pdf_says_the_same_each_time_and_downloads_are_recorded(world, sign_in):
    browser, number = sign_in(world.a.member), world.a.statements[0]
    first, second = (
        browser.get(f"/statements/{number}/statement.pdf").get_data() for _each in range(2)
    )
    assert first == second
    words = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(first)).pages)
    for text in (number, world.a.account.name, "10,789.20", "2026-11-23 09:30:00"):
        assert text in words
    logged = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "statement.download")
    ).all()
    assert [row.subject for row in logged] == [number, number]


@pytest.mark.parametrize(
    ("settled_at", "until"),
    [
        ("2026-11-20T16:30", "2026-11-23T09:30"),  # R56
        ("2026-11-23T08:00", "2026-11-23T09:30"),  # late, before the opening
        ("2026-11-23T10:00", "2026-11-24T09:30"),  # later still: the first opening after it
    ],
)
def test_objections_end_at_the_next_opening(app, settled_at, until):
    as_of, end = (
        datetime.fromisoformat(each).replace(tzinfo=BEIJING) for each in (settled_at, until)
    )
    assert figures.deadline(date(2026, 11, 20), as_of) == end
