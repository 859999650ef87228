"""The list page: every row once, scope, and robustness against any input."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from flask_babel import gettext
from hypothesis import given
from hypothesis import strategies as st

from app.extensions import db, transaction
from app.models import Preference
from app.security.scope import scope_of
from app.views.lists.conditions import Conditions, Filter
from app.views.lists.listing import Column, ListPage
from app.views.lists.paging import SIZES, BadCursor, Place, read_cursor, write_cursor
from tests import factories
from tests.views import toys
from tests.views.toys import NOON, link, numbers, table


@pytest.fixture
def accounts(app):
    """Five enterprises; two share a name, two have no sector."""
    named = [("甲电厂", "11", "power"), ("乙钢铁", "42", "steel"), ("乙钢铁", "42", None)]
    named += [("丙%水_泥\\厂", "11", "cement"), ("丁厂", "31", None)]
    return [factories.account(name, province, sector=sector) for name, province, sector in named]


@pytest.fixture
def visit(toy_app, officer, monkeypatch):
    """Return a function that opens a page as an officer and returns its text."""
    toys.grant(monkeypatch)
    browser = toys.open_browser(toy_app, officer)

    def get(url: str, status: int = 200) -> str:
        response = browser.get(url, follow_redirects=True)
        assert response.status_code == status, response.text
        return response.text

    return get


def walk(visit, url: str, label: str) -> list[list[int]]:
    """Follow a link of the pager to its end."""
    pages = []
    while url:
        page = visit(url)
        pages.append(numbers(page))
        assert len(pages) < 30
        url = link(page, label)
    return pages


# Pages


@pytest.mark.parametrize("condition", ["", "name=乙", "allowed=1", "sector=power"])
@pytest.mark.parametrize(
    "sort", ["", "name", "-name", "sector", "-sector", "quantity", "-quantity", "at", "-at"]
)
def test_walking_forth_and_back_shows_every_row_once(visit, accounts, officer, sort, condition):
    toys.switches(accounts, 47, officer)
    whole = numbers(visit(f"/toys/?size=100&sort={sort}&{condition}"))
    url = f"/toys/?size=10&sort={sort}&{condition}"

    forth = walk(visit, url, gettext("Next page"))
    last = visit(url + "&last=1")
    back = walk(visit, url + "&last=1", gettext("Previous page"))

    assert len(whole) == len(set(whole)) > 8
    assert [number for page in forth for number in page] == whole
    assert [number for page in reversed(back) for number in page] == whole
    assert numbers(last) == forth[-1]
    assert link(last, gettext("Next page")) is None
    assert forth == back[::-1]


def test_rows_are_sorted_as_asked_and_newest_first_otherwise(visit, accounts, officer):
    ids = toys.switches(accounts, 12, officer)

    assert numbers(visit("/toys/")) == ids[::-1]
    quantities = [row[5] for row in table(visit("/toys/?sort=-quantity"))]
    assert quantities == sorted(quantities, key=lambda text: -int(text.replace(",", "")))
    sectors = [row[4] for row in table(visit("/toys/?sort=sector"))]
    assert sectors[-1] == "-"  # What is empty stands last.
    assert table(visit("/toys/?sort=-sector"))[0][4] == "-"


def test_paging_stays_in_place_while_rows_arrive(visit, accounts, officer):
    ids = toys.switches(accounts, 25, officer)
    first = visit("/toys/?size=10")
    toys.switches(accounts, 5, officer)

    assert numbers(visit(link(first, gettext("Next page")))) == ids[5:15][::-1]


def test_a_page_is_found_by_its_number_and_the_last_one_is_never_passed(visit, accounts, officer):
    ids = toys.switches(accounts, 25, officer)[::-1]

    page = visit("/toys/?size=10&page=2")
    assert numbers(page) == ids[10:20]
    assert table(page)[0][0] == "11"  # 序号 goes on.
    assert numbers(visit("/toys/?size=10&page=99")) == ids[20:]


def test_more_rows_than_are_counted_are_said_to_be_more(visit, accounts, officer, monkeypatch):
    monkeypatch.setattr("app.views.lists.listing.COUNTED", 20)
    monkeypatch.setattr("app.views.lists.paging.COUNTED", 20)
    ids = toys.switches(accounts, 47, officer)[::-1]

    first = visit("/toys/?size=10")
    assert gettext("More than %(count)s rows", count="20") in first
    last = visit(link(first, gettext("Last page")))
    assert numbers(last) == ids[-10:]
    assert numbers(visit(link(last, gettext("Previous page")))) == ids[-20:-10]
    third = visit(link(visit("/toys/?size=10&page=2"), gettext("Next page")))
    assert numbers(third) == ids[20:30]
    assert table(third)[0][0] == "21"
    assert "2" in visit("/toys/?size=10&page=3", 400)


def test_an_empty_list_says_so(visit):
    page = visit("/toys/")

    assert table(page) == []
    assert gettext("No data") in page
    assert gettext("%(count)s rows in all", count="0") in page


# Conditions


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name=乙", {"乙钢铁"}),
        ("name=%25", {"丙%水_泥\\厂"}),
        ("name=_", {"丙%水_泥\\厂"}),
        ("name=\\", {"丙%水_泥\\厂"}),
        ("name=%25_", set()),
        ("name=' OR 1=1 --", set()),
        ("sector=steel", {"乙钢铁"}),
        ("either=10.0.0.9", set()),
        ("either=丁", {"丁厂"}),
        ("quantity_from=99999999999999999", set()),
        ("at_from=2026-11-20 12:00:01&at_to=2026-11-20 12:00", set()),
        ("account=9223372036854775807", set()),
    ],
)
def test_conditions_mean_what_they_say(visit, accounts, officer, condition, expected):
    toys.switches(accounts, 10, officer)
    page = visit(f"/toys/?{condition}")

    assert {row[3] for row in table(page)} == expected


def test_ranges_include_both_ends(visit, accounts, officer):
    ids = toys.switches(accounts[:1], 30, officer)  # five a minute from noon
    toys.switches(accounts[:1], 1, officer, changed_at=NOON + timedelta(days=1))

    assert len(numbers(visit("/toys/?size=50&day_from=2026-11-20&day_to=2026-11-20"))) == 30
    assert len(numbers(visit("/toys/?size=50&day_from=2026-11-21"))) == 1
    at = "at_from=2026-11-20 12:01&at_to=2026-11-20 12:02"
    assert sorted(numbers(visit(f"/toys/?{at}"))) == ids[5:15]
    assert sorted(numbers(visit("/toys/?as_of=2026-11-20 12:00:00"))) == ids[:5]
    assert len(numbers(visit("/toys/?size=50&as_of=2026-11-20"))) == 30
    between = [row[5] for row in table(visit("/toys/?quantity_from=1000&quantity_to=2,000"))]
    assert set(between) == {"1,000", "2,000"}
    assert len(numbers(visit("/toys/?size=50&opened=2026-11-20"))) in (0, 31)


def test_a_code_is_found_by_its_beginning(visit, accounts, officer):
    toys.switches(accounts, 5, officer)

    assert len(numbers(visit("/toys/?member_no=2104"))) == 5
    assert len(numbers(visit(f"/toys/?member_no={accounts[0].member_no}"))) == 1
    assert numbers(visit("/toys/?member_no=104230")) == []


HOSTILE = [
    ("at_from=2021-13-01", "at_from"),
    ("at_from=2021-02-30 10:00", "at_from"),
    ("at_from=0001-01-01", "at_from"),
    ("at_to=9999-12-31 23:59:59", "at_to"),
    ("day_from=yesterday", "day_from"),
    ("day_from=２０２１-05-19", "day_from"),
    ("day_from=2026-11-21&day_to=2026-11-20", "day_to"),
    ("opened=2021-5", "opened"),
    ("as_of=2021-05-19T25:00:00", "as_of"),
    ("sector=gold", "sector"),
    ("allowed=True", "allowed"),
    ("name=" + "长" * 101, "name"),
    ("name=a%00b", "name"),
    ("name=a%0Ab", "name"),
    ("member_no=%1B", "member_no"),
    ("quantity_from=1.5", "quantity_from"),
    ("quantity_from=1e3", "quantity_from"),
    ("quantity_from=１００", "quantity_from"),
    ("quantity_to=9223372036854775808", "quantity_to"),
    ("account=abc", None),
    ("size=15", None),
    ("size=1000000", None),
    ("size=-1", None),
    ("page=abc", None),
    ("page=0", None),
    ("page=-1", None),
    ("page=１", None),
    ("page=1.5", None),
    ("page=501", None),
    ("page=99999999999999999999", None),
    ("sort=password", None),
    ("sort=ip", None),
    ("sort=--at", None),
    ("sort=at; DROP TABLE account", None),
    ("after=%00", None),
    ("after=zzzz", None),
    ("after=" + "A" * 5000, None),
    ("before=W10", None),
    ("before=bnVsbA", None),
]


@pytest.mark.parametrize(("query", "field"), HOSTILE)
def test_what_cannot_be_used_is_said_at_its_field_and_no_row_is_shown(
    visit, accounts, officer, query, field
):
    toys.switches(accounts, 5, officer)
    page = visit(f"/toys/?{query}", 400)

    assert table(page) == []
    assert gettext("No data") not in page
    assert 'role="alert"' in page
    if field:
        assert f'id="e-{field}"' in page
        assert f'aria-describedby="e-{field}"' in page
    assert 'class="pager-bar"' not in page


def test_what_was_typed_is_kept_and_the_limit_is_named(visit):
    page = visit(f"/toys/?name={'x' * 120}&member_no=<b>&sector=gold", 400)

    assert f'value="{"x" * 120}"' in page
    assert 'value="&lt;b&gt;"' in page
    assert 'value="gold" selected' in page
    message = gettext("At most %(limit)d characters; %(count)d were typed", limit=100, count=120)
    assert gettext("%(field)s: %(message)s", field="会员名称", message=message) in page


@pytest.mark.parametrize("values", [[1], [None, 1], ["x", 1, 1], [True, 1], ["x", 2**70], "1", {}])
@pytest.mark.parametrize("sort", ["name", "quantity", "at", "sector"])
def test_a_place_that_fits_another_order_is_refused(visit, accounts, officer, sort, values):
    toys.switches(accounts, 5, officer)
    cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    is_fitting = (sort == "sector" and values == [None, 1]) or values == ["x", 1]

    visit(f"/toys/?sort={sort}&after={cursor}", 200 if is_fitting else 400)


@pytest.mark.parametrize(
    ("sort", "values"),
    [
        ("name", ["\ud800", 1]),
        ("name", ["\x00", 1]),
        ("at", ["2026-11-20T12:00:00", 1]),
        ("at", ["infinity", 1]),
        ("", ["1"]),
        ("", [1.5]),
    ],
)
def test_a_place_holds_only_what_its_columns_can_hold(visit, sort, values):
    cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")

    visit(f"/toys/?sort={sort}&before={cursor}", 400)


@pytest.mark.parametrize(
    ("sort", "values"),
    [
        ("", [2**63 - 1]),
        ("quantity", [-(2**63) + 1, 2**62]),
        ("at", ["0001-01-01T00:00:00+00:00", 1]),
    ],
)
def test_a_place_beyond_all_rows_is_no_error(visit, accounts, officer, sort, values):
    toys.switches(accounts, 5, officer)

    visit(f"/toys/?sort={sort}&after={write_cursor(values)}")


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-(2**63) + 1, 2**63 - 1),
            st.text(
                alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
                max_size=50,
            ),
        ),
        min_size=1,
    )
)
def test_a_place_is_read_as_it_was_written(values):
    types = [type(value) if value is not None else str for value in values]
    written = write_cursor(values)
    try:
        assert read_cursor(written, types) == values
    except BadCursor:
        assert len(written) > 1000


@given(
    st.text(max_size=300),
    st.sampled_from(["text", "prefix", "number", "choice", "date", "datetime"]),
)
def test_reading_a_condition_never_raises(text, kind):
    each = Filter("x", "X", kind=kind, choices={"a": "A"})
    asked = Conditions.read((each,), {"x": text})

    assert not (asked.values and asked.errors)
    assert Place.read({"page": text, "size": text}).size in SIZES


def test_the_address_holds_what_was_asked_and_nothing_else(toy_app, officer, monkeypatch):
    toys.grant(monkeypatch)
    browser = toys.open_browser(toy_app, officer)

    answer = browser.get("/toys/?name=&sector=power&at_from=&size=&sort=")
    assert answer.status_code == 302
    assert answer.location == "/toys/?sector=power"


def test_an_address_names_nothing_of_how_addresses_are_made(toy_app, officer, monkeypatch):
    """Reserved arguments of `url_for` are conditions like any other."""
    toys.grant(monkeypatch)
    browser = toys.open_browser(toy_app, officer)
    answer = browser.get("/toys/?name=&endpoint=x&_external=1&_anchor=y")
    assert answer.status_code == 302
    assert answer.location == "/toys/?endpoint=x&_external=1&_anchor=y"
    page = browser.get("/toys/?sector=power&foreign=1&size=50").text
    assert "foreign" not in page
    assert 'name="sector" value="power"' in page  # The pager's forms keep the condition.


def test_conditions_survive_a_visit_to_a_row(visit, accounts, officer):
    toys.switches(accounts, 2, officer)
    page = visit("/toys/?name=甲")

    assert re.search(r'href="/toys/\d+\?x=1&amp;back=%2Ftoys%2F%3Fname%3D%25E7%2594%25B2"', page)
    assert 'name="back" value="/toys/?name=%E7%94%B2"' in page


# Whose rows


def seen_by(toy_app, member, url="/toys/?size=100"):
    return numbers(toys.open_browser(toy_app, member).get(url).text)


def test_each_sees_the_rows_of_their_scope(toy_app, accounts, officer, monkeypatch):
    toys.grant(monkeypatch)
    ids = toys.switches(accounts, 10, officer)
    enterprise = factories.member("enterprise", of=accounts[1])
    authority = factories.member("province", province="42")

    assert seen_by(toy_app, officer) == ids[::-1]
    assert seen_by(toy_app, enterprise) == [ids[6], ids[1]]
    assert seen_by(toy_app, authority) == [ids[7], ids[6], ids[2], ids[1]]
    other = f"/toys/?account={accounts[0].id}"
    assert seen_by(toy_app, enterprise, other) == []
    assert seen_by(toy_app, authority, other) == []
    assert seen_by(toy_app, enterprise, "/open-toys/?size=100") == ids[::-1]


def test_whoever_lacks_the_scope_of_their_role_sees_nothing():
    def someone(role, **scope):
        known = {"account_id": None, "province": None, "roles": []} | scope
        known["roles"] = [SimpleNamespace(name=name) for name in ([role] if role else [])]
        known["role_codes"] = frozenset()
        return SimpleNamespace(**known)

    assert scope_of(someone("registry_maker")) == "all"
    assert scope_of(someone("enterprise")) == ""
    assert scope_of(someone("province")) == ""
    assert scope_of(someone("")) == ""
    assert scope_of(someone("unheard_of")) == ""
    assert scope_of(None) == ""
    assert scope_of(someone("enterprise", account_id=7)) == "account"
    assert scope_of(someone("province", province="42")) == "province"
    assert scope_of(someone("enterprise", account_id=7, province="42")) == "account"


def test_a_page_without_the_permission_stays_closed(toy_app, officer, monkeypatch):
    toys.grant(monkeypatch, frozenset({("can_list", "ToyPage")}))
    browser = toys.open_browser(toy_app, officer)

    page = browser.get("/toys/")
    assert page.status_code == 200
    assert "export.csv" not in page.text
    assert browser.get("/toys/export.csv").status_code == 403
    assert browser.get("/bulk-toys/").status_code == 403
    assert browser.post("/toys/bulk").status_code == 404


def test_a_page_must_say_whose_its_rows_are():
    class Forgotten(ListPage):
        columns = (Column("id", "编号"),)

    assert not hasattr(Forgotten, "account_column")


# Queries


def test_a_page_takes_two_queries_of_its_own(toy_app, accounts, officer, monkeypatch):
    toys.grant(monkeypatch)
    toys.switches(accounts, 60, officer)
    browser = toys.open_browser(toy_app, officer)
    browser.get("/toys/")
    for url in ("/toys/?size=50", "/toys/?size=10&page=3", "/toys/?last=1&sort=name"):
        with toys.counting(toy_app) as statements:
            assert browser.get(url).status_code == 200
        own = [text for text in statements if "found" in text]

        assert len(own) == 2, own
        # Besides: what finds the session with all that pages read of a member, and the to-do counts.
        assert len(statements) <= 4, statements


# Columns


def test_columns_are_chosen_per_member_and_remembered(toy_app, accounts, officer, monkeypatch):
    toys.grant(monkeypatch)
    toys.switches(accounts, 1, officer)
    browser = toys.open_browser(toy_app, officer)
    chosen = {"column": ["number", "ip", "nonsense"], "back": "/toys/?name=甲"}

    answer = browser.post("/toys/columns", data=chosen)
    assert unquote(answer.location) == "/toys/?name=甲"
    assert len(table(browser.get("/toys/").text)[0]) == 4  # 序号, 编号, 地址, 操作
    other = toys.open_browser(toy_app, factories.member("registry_checker"))
    assert len(table(other.get("/toys/").text)[0]) == 9
    kept = db.session.get(Preference, (officer.id, "columns:ToyPage")).value
    assert kept["ip"] is True
    assert "nonsense" not in kept

    browser.post("/toys/columns", data={"usual": "1", "column": ["number"]})
    assert len(table(browser.get("/toys/").text)[0]) == 9
    browser.post("/toys/columns", data={"back": "https://elsewhere.example/"})
    assert len(table(browser.get("/toys/").text)[0]) == 9  # None at all is not taken.


def test_an_outdated_choice_of_columns_is_ignored(toy_app, officer, monkeypatch):
    toys.grant(monkeypatch)
    browser = toys.open_browser(toy_app, officer)
    for value in ([], "x", {"gone": True}, {column.key: False for column in toys.ToyPage.columns}):
        with transaction():
            db.session.merge(Preference(member_id=officer.id, name="columns:ToyPage", value=value))
        assert browser.get("/toys/").status_code == 200


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil", "/other/", "/toys/../x", ""])
def test_the_way_back_leads_to_this_list_only(toy_app, officer, monkeypatch, back):
    toys.grant(monkeypatch)
    browser = toys.open_browser(toy_app, officer)

    answer = browser.post("/toys/columns", data={"column": "number", "back": back})
    assert answer.location == "/toys/"


# What is shown


def test_values_are_formatted_by_the_conventions(visit, accounts, officer):
    (zero,) = toys.switches([accounts[4]], 1, officer)
    while zero % 7:
        (zero,) = toys.switches([accounts[4]], 1, officer)
    toys.switches([accounts[0]], 1, officer)
    rows = table(visit("/toys/"))

    assert rows[0][4:7] == ["发电", "1,000", "2026-11-20 12:00:00"]
    assert rows[1][4:6] == ["-", "0"]
    assert rows[0][7] == gettext("Yes")
    page = visit("/toys/")
    assert '<span class="tag tag-green">发电</span>' in page
    assert f'数量<span class="unit">{gettext("tonnes")}</span>' in page


def test_markup_in_the_data_stays_text(visit, officer):
    nasty = factories.account('<script>alert(1)</script>"&{{7*7}}')
    toys.switches([nasty], 1, officer)
    page = visit("/toys/")

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&amp;{{7*7}}" in page


# Bulk operations


@pytest.fixture
def bulk(toy_app, officer, monkeypatch):
    toys.grant(monkeypatch)
    toys.BulkToyPage.got.clear()
    return toys.open_browser(toy_app, officer)


def test_a_bulk_operation_asks_with_the_exact_count_then_says_what_became_of_each(
    bulk, accounts, officer
):
    ids = toys.switches(accounts, 5, officer)
    form = {"action": "forget", "id": ids}

    question = bulk.post("/bulk-toys/bulk", data=form).text
    assert "确定清除所选 5 条？" in question
    assert toys.BulkToyPage.got == []
    result = bulk.post("/bulk-toys/bulk", data={**form, "count": "5"}).text
    assert toys.BulkToyPage.got == [("forget", ids)]
    failed = len([id_ for id_ in ids if id_ % 3 == 0])
    words = gettext(
        "Succeeded: %(done)s, failed: %(failed)s", done=str(5 - failed), failed=str(failed)
    )
    assert words in result
    assert result.count("每逢三的倍数不行") == failed
    third = next(id_ for id_ in ids if id_ % 3 == 0)
    assert [str(third), accounts[ids.index(third)].name, "每逢三的倍数不行"] in [
        re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]*)", row)[1:] for row in result.split("<tr>")
    ]


def test_a_bulk_operation_takes_only_what_is_in_scope(toy_app, accounts, officer, bulk):
    ids = toys.switches(accounts, 10, officer)
    enterprise = toys.open_browser(toy_app, factories.member("enterprise", of=accounts[1]))
    own = [ids[1], ids[6]]

    enterprise.post("/bulk-toys/bulk", data={"action": "forget", "id": ids, "count": "2"})
    enterprise.post("/bulk-toys/bulk", data={"action": "forget", "all": "1", "count": "2"})
    assert toys.BulkToyPage.got == [("forget", own), ("forget", own)]
    answer = enterprise.post(
        "/bulk-toys/bulk",
        data={"action": "forget", "id": [ids[1], ids[0], "x", "9" * 30], "count": "1"},
    )
    assert gettext("There is no such record") in answer.text


def test_all_means_all_that_meet_the_conditions_and_a_changed_count_asks_again(
    bulk, accounts, officer
):
    toys.switches(accounts, 50, officer)
    url = "/bulk-toys/bulk?name=甲"
    form = {"action": "forget", "all": "1", "count": "10"}

    toys.switches(accounts[:1], 1, officer)
    assert "确定清除所选 11 条？" in bulk.post(url, data=form).text
    assert toys.BulkToyPage.got == []
    bulk.post(url, data={**form, "count": "11"})
    assert len(toys.BulkToyPage.got[0][1]) == 11


def test_a_bulk_operation_on_nothing_or_too_much_is_refused(bulk, accounts, officer, monkeypatch):
    monkeypatch.setattr("app.views.lists.listing.BULK_LIMIT", 3)
    toys.switches(accounts, 5, officer)

    assert bulk.post("/bulk-toys/bulk", data={"action": "forget"}).status_code == 302
    many = {"action": "forget", "all": "1", "count": "5"}
    assert bulk.post("/bulk-toys/bulk", data=many).status_code == 302
    assert bulk.post("/bulk-toys/bulk", data={"action": "unheard_of"}).status_code == 400
    assert bulk.post("/bulk-toys/bulk?name=%00", data=many).status_code == 400
    assert toys.BulkToyPage.got == []
