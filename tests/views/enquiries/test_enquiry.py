"""信息查询: holdings and their formula, now and in the past, and the entries behind them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.moves import HELD_BUCKETS, Bucket
from app.domain.trading_day import BEIJING
from app.extensions import transaction
from app.operations.accounts import accounts
from app.operations.applications import engine
from app.operations.exchange import trading
from app.operations.ledger import settlement
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import at
from tests.views.toys import table

KEYS = (
    "available",
    "frozen_all",
    "pending_to_trading",
    "trading",
    "pending_to_registry",
    "waiting_for_trading",
    "total",
)
TRANSFER = "registry_to_trading"


@pytest.fixture
def a(app):
    return factories.account()


@pytest.fixture
def operator(a):
    return factories.member(of=a)


@pytest.fixture
def what(a):
    made = factories.instrument()
    factories.give(a, made, 700, at=datetime(2021, 5, 17, 10, 30, tzinfo=BEIJING))
    return made


@pytest.fixture
def browser(sign_in, operator):
    return sign_in(operator)


def export(browser: FlaskClient, path: str, query: str = "") -> list[dict[str, str]]:
    """Return the rows of a page's file by its header."""
    with browser.get(f"{path}export.csv{query}") as response:
        assert response.status_code == 200
        content = response.get_data()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content[3:].decode())))


def figures(browser: FlaskClient, query: str = "") -> list[tuple[int, ...]]:
    """Return the seven figures of each holding; asserts the manual's formula."""
    found = []
    for row in table(browser.get(f"/holdings/{query}").text):
        numbers = tuple(int(cell.replace(",", "")) for cell in row[-8:-1])
        available, frozen, in_transit, trading_, homeward, waiting, total = numbers
        # 总持有量=登记可用量+登记冻结量+登记待划转量+交易持有量+交易待划转量
        assert total == available + frozen + in_transit + trading_ + homeward
        assert waiting == in_transit
        found.append(numbers)
    return found


def submit(operator: Any, what: Any, tonnes: int) -> int:
    return factories.submitted(TRANSFER, operator, {what: tonnes}).id


def settle(day: int) -> None:
    with transaction():
        settlement.settle_day(at("15:30", day=day).date(), SYSTEM, now=at("15:30", day=day))


def go_to(hour: str, day: int = 20) -> None:
    with transaction():
        clock.set_to(at(hour, day=day), SYSTEM)


def test_the_manual_s_hundred_of_seven_hundred(browser, operator, what):
    assert figures(browser) == [(700, 0, 0, 0, 0, 0, 700)]
    submit(operator, what, 100)
    assert figures(browser) == [(600, 0, 100, 0, 0, 100, 700)]
    settle(20)
    assert figures(browser) == [(600, 0, 0, 100, 0, 0, 700)]


def test_seven_columns_and_the_formula_are_shown(browser, what):
    page = browser.get("/holdings/").text
    for words in (
        "登记可用量",
        "登记冻结量",
        "登记待划转量",
        "交易持有量",
        "交易待划转量",
        "待转交易量",
        "总持有量",
        "总持有量 = 登记可用量 + 登记冻结量 + 登记待划转量 + 交易持有量 + 交易待划转量",
        "当天结算后，待转交易量归入交易持有量",
        "登记持仓流水",
        "交易持仓流水",
    ):
        assert words in page, words


def test_every_bucket_counts_towards_the_total(browser, a, what):
    for bucket, tonnes in (
        (Bucket.RESERVED, 1),
        (Bucket.FROZEN, 20),
        (Bucket.TRADING, 300),
        (Bucket.PENDING_TO_REGISTRY, 4000),
        (Bucket.SURRENDERED, 50_000),
        (Bucket.CUSTODY, 600_000),
    ):
        factories.give(a, what, tonnes, bucket)
    # What was surrendered or lies in custody is no longer held.
    assert figures(browser) == [(700, 21, 0, 300, 4000, 0, 5021)]


def test_every_part_of_the_total_is_in_a_column(browser, a, what):
    for n, bucket in enumerate(HELD_BUCKETS):
        factories.give(a, what, 10**n, bucket)
    ((*_columns, total),) = figures(browser)
    assert total == 700 + sum(10**n for n in range(len(HELD_BUCKETS)))


def test_the_home_page_counts_every_part_of_the_total(browser, a, what):
    for n, bucket in enumerate(HELD_BUCKETS):
        factories.give(a, what, 10**n, bucket)
    assert f"{700 + sum(10**n for n in range(len(HELD_BUCKETS))):,}" in browser.get("/").text


def test_what_is_frozen_is_what_its_parts_hold(world, sign_in):
    """Every kind of application that holds something of what is frozen is listed behind the figure."""
    officer = sign_in(world.officers["registry_checker"])
    frozen, parts = Counter(), Counter()
    for row in export(officer, "/holdings/"):
        frozen[row["会员编号"], row["标的编码"]] += int(row["登记冻结量（吨）"])
    for row in export(officer, "/holdings/frozen/"):
        parts[row["会员编号"], row["标的编码"]] += int(row["占用量（吨）"])
    assert +frozen == +parts
    assert frozen.total() > 0


def test_billions_are_shown_exactly(browser, a, what):
    factories.give(a, what, 8_194_000_000)
    assert figures(browser) == [(8_194_000_700, 0, 0, 0, 0, 0, 8_194_000_700)]
    assert "8,194,000,700" in browser.get("/holdings/").text
    (row,) = export(browser, "/holdings/")
    assert row["登记可用量（吨）"] == "8194000700"


def test_a_past_moment_shows_what_stood_then(browser, operator, what):
    submit(operator, what, 100)
    go_to("11:00")
    submit(operator, what, 50)
    settle(20)
    moments = {
        "2021-05-17 10:29:59": [],
        "2021-05-17 10:30:00": [(700, 0, 0, 0, 0, 0, 700)],
        "2026-11-20 09:59:59": [(700, 0, 0, 0, 0, 0, 700)],
        "2026-11-20 10:59": [(600, 0, 100, 0, 0, 100, 700)],
        "2026-11-20 15:00:00": [(550, 0, 150, 0, 0, 150, 700)],
        "2026-11-20": [(550, 0, 0, 150, 0, 0, 700)],
        "2026-11-20T15:30:00": [(550, 0, 0, 150, 0, 0, 700)],
    }
    for moment, expected in moments.items():
        assert figures(browser, f"?as_of={moment}") == expected, moment
    exported = export(browser, "/holdings/", "?as_of=2026-11-20 10:59")
    assert [row["登记待划转量（吨）"] for row in exported] == ["100"]


@pytest.mark.parametrize(
    "typed", ["昨天", "2026-02-30", "2026-11-20 25:00", "0001-01-01", "' OR 1"]
)
def test_a_moment_that_is_none_is_told_at_its_field(browser, what, typed):
    response = browser.get("/holdings/", query_string={"as_of": typed})
    assert response.status_code in (200, 400)
    assert 'id="e-as_of"' in response.text
    assert table(response.text) == []


# The entries --------------------------------------------------------------------------------------


def entries(browser: FlaskClient, side: str, query: str = "?size=100") -> list[dict[str, str]]:
    return export(browser, f"/holdings/{side}-entries/", query)


def test_entries_tell_before_change_and_after(browser, operator, what):
    submit(operator, what, 100)
    settle(20)
    registry = [
        (row["持仓项目"][:5], row["变动前（吨）"], row["变动数量（吨）"], row["变动后（吨）"])
        for row in entries(browser, "registry")
    ]
    assert registry == [
        ("登记待划转", "100", "-100", "0"),
        ("登记待划转", "0", "100", "100"),
        ("登记可用量", "700", "-100", "600"),
        ("登记可用量", "0", "700", "700"),
    ]
    (held,) = entries(browser, "trading")
    assert (held["变动前（吨）"], held["变动数量（吨）"], held["变动后（吨）"]) == (
        "0",
        "100",
        "100",
    )
    assert held["业务类型"] == "日终结算"
    assert held["时间"] == "2026-11-20 15:30:00"


def test_each_entry_goes_on_where_the_last_one_ended(browser, a, operator, what):
    """before + change = after, and after is the next entry's before."""
    actor = Actor.of(operator)
    first, second = submit(operator, what, 100), submit(operator, what, 30)
    with transaction():
        engine.withdraw([second], actor, now=clock.now()).one()
    settle(20)
    go_to("10:00", day=23)
    with transaction():
        accounts.allow_exchange_transfer(a.id, actor, allowed=True, now=clock.now())
    for direction, tonnes in (("out", 40), ("in", 70)):
        request = trading.TransferRequest(
            f"E-{direction}", direction, a.member_no, what.code, tonnes, "ZGW"
        )
        with transaction():
            trading.receive_transfers([request], now=clock.now())
    settle(23)
    assert figures(browser) == [(570, 0, 0, 130, 0, 0, 700)]

    standing: dict[str, int] = {}
    found = [*reversed(entries(browser, "registry")), *reversed(entries(browser, "trading"))]
    for row in found:
        before, delta, after = (int(row[f"变动{name}（吨）"]) for name in ("前", "数量", "后"))
        assert before == standing.get(row["持仓项目"], 0)
        assert before + delta == after >= 0
        standing[row["持仓项目"]] = after
    assert sorted(value for value in standing.values() if value) == [130, 570]
    numbers = {row["单据编号"] for row in found}
    assert any(number.startswith("DJ") for number in numbers)
    assert any(number.startswith("JD") for number in numbers)
    assert any(number.startswith("JJ") for number in numbers)
    assert first


def test_entries_of_one_holding_alone(browser, a, what):
    other = factories.instrument("2021年度碳排放配额")
    factories.give(a, other, 5)
    query = f"?account={a.id}&instrument={other.id}"
    assert [row["变动后（吨）"] for row in entries(browser, "registry", query)] == ["5"]
    assert len(entries(browser, "registry")) == 2
    # 查询 keeps which holding it is about.
    assert (
        f'name="instrument" value="{other.id}"'
        in browser.get(f"/holdings/registry-entries/{query}").text
    )


def test_entries_by_time_business_and_document(browser, operator, what):
    submit(operator, what, 100)
    (row,) = {
        entry["单据编号"] for entry in entries(browser, "registry") if "DJ" in entry["单据编号"]
    }
    assert len(entries(browser, "registry", f"?document={row}")) == 2
    assert len(entries(browser, "registry", "?business=registry_to_trading")) == 2
    assert entries(browser, "registry", "?business=issuance") == []
    assert len(entries(browser, "registry", "?at_from=2026-11-20&at_to=2026-11-20")) == 2
    assert len(entries(browser, "registry", "?at_to=2021-12-31")) == 1
    assert entries(browser, "trading") == []


def test_pages_of_entries_never_lose_or_repeat_a_row(browser, a, what):
    for number in range(25):
        factories.give(a, what, number + 1, at=at("09:00") + timedelta(seconds=number // 5))
    import re

    seen: list[str] = []
    address = "/holdings/registry-entries/?size=10"
    for _ in range(5):
        page = browser.get(address).text
        seen += [row[-4] + row[-5] for row in table(page)]
        following = re.search(r'<a[^>]*href="([^"]*)"[^>]*aria-label="下一页"', page)
        if not following:
            break
        address = following[1].replace("&amp;", "&")
    assert len(seen) == 26
