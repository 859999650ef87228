"""每日行情: for everybody, by day, as page and as files that may be cached."""

from __future__ import annotations

import csv
import io
import re

import pytest

from app.views.settlement import market
from tests.views.frame.test_language import english


@pytest.fixture(autouse=True)
def _no_requests_counted():
    market._limit.clear()


def test_a_stranger_reads_the_latest_day(world, client):
    answer = client.get("/market/")
    assert answer.status_code == 200
    cells = [text.strip() for text in re.findall(r'<td class="num">([^<]*)</td>', answer.text)]
    assert cells == [
        "80.50", "81.00", "80.00", "40", "3,220.00", "0", "0.00", "0", "0.00", "40", "3,220.00",
    ]  # fmt: skip
    assert not [mark for mark in (*world.a.marks, *world.b.marks) if mark in answer.text]
    assert english(answer.text, {"CEA26"}) == []
    assert answer.headers["Cache-Control"] == "no-store"  # It carries the reader's theme.


def test_the_sign_in_page_leads_there(client):
    assert 'href="/market/"' in client.get("/login/").text


def test_files_have_the_day_and_may_be_kept(world, client):
    found = client.get("/market/quotes.json")
    (quote,) = found.get_json()["quotes"]
    assert (quote["day"], quote["trade_code"], quote["close"]) == ("2026-11-19", "CEA26", "80.50")
    assert (quote["total_quantity"], quote["total_amount"]) == (40, "3220.00")
    assert "public" in found.headers["Cache-Control"]
    assert "Set-Cookie" not in found.headers
    again = client.get("/market/quotes.json", headers={"If-None-Match": found.headers["ETag"]})
    assert again.status_code == 304
    file = client.get("/market/quotes.csv?day=2026-11-19")
    assert 'filename="quotes_2026-11-19.csv"' in file.headers["Content-Disposition"]
    (row,) = csv.DictReader(io.StringIO(file.text.removeprefix("\ufeff")))
    assert row["日期"] == "2026-11-19"
    assert row["收盘价（元/吨）"] == "80.50"
    assert row["总成交额（元）"] == "3220.00"


def test_days_without_quotes_lead_to_those_with_some(world, client):
    page = client.get("/market/?day=2026-11-20").text
    assert "2026-11-20 没有行情" in page
    assert 'href="/market/?day=2026-11-19"' in page
    assert client.get("/market/quotes.json?day=2026-11-18").get_json() == {
        "day": "2026-11-18", "previous": None, "next": "2026-11-19", "quotes": [],
    }  # fmt: skip


def test_before_the_first_trade_it_says_so(app, client):
    assert "尚无成交" in client.get("/market/").text
    assert client.get("/market/quotes.json").get_json()["quotes"] == []


@pytest.mark.parametrize("day", ["x", "2026-13-01", "0", "2026-11-19'--"])
def test_what_is_no_day_is_not_found(app, client, day):
    assert client.get("/market/", query_string={"day": day}).status_code == 404


def test_one_address_asks_so_often_a_minute(app, client, monkeypatch):
    monkeypatch.setattr(market._limit, "most", 2)
    assert [client.get("/market/quotes.csv").status_code for _each in range(3)] == [200, 200, 429]
