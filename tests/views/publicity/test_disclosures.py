"""信息公开 without signing in: N160 and N161 as anybody reads them."""

from __future__ import annotations

import csv
import io
import re

import pytest
from sqlalchemy import event

from app.extensions import db, transaction
from app.models import Account
from app.operations.publicity import publishing, sources
from app.operations.records.actor import SYSTEM
from app.security.gate import RateLimit
from app.views.publicity import disclosures
from app.views.publicity.sets import SETS
from tests import factories


@pytest.fixture(autouse=True)
def _patient():
    disclosures._limit.clear()


def publish(day: int = 20) -> None:
    with transaction():
        publishing.publish_if_due(SYSTEM, now=factories.at("06:00", day=day))


def csv_of(client, address):
    text = client.get(address).get_data().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def test_the_index_leads_to_everything(client, app):
    page = client.get("/disclosures/").text
    assert "尚未公布" in page
    for code in SETS:
        for ending in ("", ".csv", ".json"):
            assert f'href="/disclosures/{code}{ending}"' in page
            with client.get(f"/disclosures/{code}{ending}") as answer:
                assert answer.status_code == 200, (code, ending)
    for address in ("/market/", "/verify/"):
        assert f'href="{address}"' in page
    publish()
    assert "截至2026-11-20" in client.get("/disclosures/").text


def test_pages_and_sources_have_the_same_data_sets_and_keys(world, client):
    assert SETS.keys() == sources.SOURCES.keys()
    publish()
    for code, data in SETS.items():
        part = "2025" if data.is_by_year else ""
        found = publishing.find(code, part)
        assert found, code
        for row in found.rows():
            assert row.keys() == {each.key for each in data.columns}, code


def test_n161_names_where_a_rule_orders_them_alone(world, client):
    """Without names_by: no name, number or code of any account, in whatever form it is published."""
    publish()
    known = [
        mark
        for each in db.session.query(Account).filter_by(kind="enterprise")
        for mark in (each.name, each.member_no, each.uscc)
        if mark
    ]
    for code, data in SETS.items():
        pages = [client.get(f"/disclosures/{code}{each}").text for each in ("", ".csv", ".json")]
        if data.names_by:
            # Whose numbers with the registry are nobody's business even there.
            known_numbers = [each.member_no for each in db.session.query(Account)]
            assert not [no for no in known_numbers if no in "".join(pages)], code
        else:
            assert not [mark for mark in known if mark in "".join(pages)], code
    assert {code for code, data in SETS.items() if data.names_by} == {
        "emitters", "penalties", "successions", "cancellations", "deductions",
    }  # fmt: skip


def test_a_list_says_nothing_of_an_enterprise_but_what_is_ordered(app):
    """Of who surrendered: a word, never tonnes (N160); figures of one are those of acts alone."""
    of_one = {code for code, data in SETS.items() if data.names_by
              and any(each.kind in ("number", "money") for each in data.columns)}  # fmt: skip
    assert of_one == {"penalties", "cancellations", "deductions"}


def test_files_have_their_day_and_are_kept(client, plant):
    publish()
    found = client.get("/disclosures/emitters.json?year=2026")
    content = found.get_json()
    assert (content["as_of"], content["year"], content["years"][0]) == (
        "2026-11-20",
        "2026",
        "2026",
    )
    assert content["rows"][0] == {
        "year": 2026, "province": "42", "sector": "power", "name": plant.name, "uscc": "",
        "surrender": "",
    }  # fmt: skip
    assert found.headers["Cache-Control"] == "public, max-age=300"
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert "emitters_2026_2026-11-20.json" in found.headers["Content-Disposition"]
    again = client.get(
        "/disclosures/emitters.json?year=2026", headers={"If-None-Match": found.headers["ETag"]}
    )
    assert (again.status_code, again.data) == (304, b"")
    rows = csv_of(client, "/disclosures/emitters.csv?year=2026")
    assert rows[0] == ["截至日期", "2026-11-20"]
    assert rows[2] == ["单位名称", "省份", "行业", "清缴情况", "统一社会信用代码", "履约年度"]
    assert rows[3][:3] == [plant.name, "湖北", "发电"]


def test_an_earlier_day_reads_as_it_was_published(client, plant):
    publish(20)
    factories.account("新开户公司")
    publish(21)
    name = "新开户公司"
    assert name in client.get("/disclosures/emitters").text
    assert name not in client.get("/disclosures/emitters?day=2026-11-20").text
    assert client.get("/disclosures/emitters.json?day=2026-11-19").get_json() == {
        "data_set": "emitters", "title": "重点排放单位名录", "as_of": None, "year": None,
        "basis": "《碳排放权交易管理暂行条例》：名录公布；清缴情况公布（第二十七条）",
        "years": None, "rows": [],
    }  # fmt: skip


def test_a_long_list_is_shown_by_pages_and_searched(client, monkeypatch):
    monkeypatch.setattr(disclosures, "SHOWN", 2)
    for each in "甲乙丙":
        factories.account(f"{each}电厂")
    publish()
    first = client.get("/disclosures/emitters").text
    assert "第1页，共2页，3条" in first
    second = client.get("/disclosures/emitters?page=2").text
    assert [each in second for each in ("甲电厂", "乙电厂", "丙电厂")].count(True) == 1
    found = client.get("/disclosures/emitters?q=乙电").text
    assert ("乙电厂" in found, "甲电厂" in found) == (True, False)


@pytest.mark.parametrize(
    "address",
    [
        "x",
        "x.csv",
        "emitters?day=x",
        "emitters?year=20x5",
        "vintages?year=2025",
        "emitters.json?day=9",
    ],
)
def test_what_is_not_there_is_not_found(client, address):
    assert client.get(f"/disclosures/{address}").status_code == 404


def test_a_stranger_cannot_ask_without_end(client, app, monkeypatch):
    monkeypatch.setattr(disclosures, "_limit", RateLimit(most=2))
    assert [client.get("/disclosures/fees.csv").status_code for _each in range(3)] == [
        200,
        200,
        429,
    ]


def test_a_request_reads_no_ledger(client, world, app):
    publish()
    statements = []
    event.listen(
        db.engine, "before_cursor_execute", lambda _c, _k, text, *_r: statements.append(text)
    )
    for code in SETS:
        client.get(f"/disclosures/{code}")
        client.get(f"/disclosures/{code}.json")
    forbidden = ("holding", "movement", "entry", "application", "notice", "posting")
    assert not [
        each for each in statements if re.search(rf"\b(FROM|JOIN) ({'|'.join(forbidden)})\b", each)
    ]
    assert len([each for each in statements if "publication" in each]) <= 6 * len(SETS)
