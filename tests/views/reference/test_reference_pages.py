"""Reference data kept by 系统管理员: errors at their fields, nothing is lost."""

from __future__ import annotations

import re
import threading
from datetime import date
from html import unescape

import pytest
from flask_appbuilder import ModelView
from sqlalchemy import select, update

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Category, City, OperationLog, Sector, VenueInstrument
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.views.lists.listing import action
from app.views.reference import pages
from app.views.reference.base import ReferenceView
from app.views.reference.pages import SectorView
from tests import factories
from tests.security.conftest import AUDITOR, ENTERPRISE, SYSTEM_ADMIN
from tests.views.toys import table

TODAY = "2026-11-20"
PAGES = (
    pages.SectorView,
    pages.CategoryView,
    pages.VenueView,
    pages.TradeCodeView,
    pages.CityView,
)


@pytest.fixture
def system(new_browser):
    browser = new_browser("192.0.2.11")
    browser.sign_in(SYSTEM_ADMIN)
    return browser


def only(model, **known):
    """Read the single row."""
    db.session.rollback()
    rows = select(model).filter_by(**known).execution_options(populate_existing=True)
    return db.session.scalars(rows).one()


def add(browser, **typed):
    form = {"code": "textile", "name": "纺织", "name_en": "Textiles", "valid_from": TODAY}
    return browser.submit("/sectors/new", **(form | typed))


def change(browser, row, version=None, **typed):
    form = {"name": row.name, "name_en": row.name_en, "disabled_from": ""}
    known = row.version if version is None else version
    return browser.submit(f"/sectors/{row.id}/edit", **(form | typed), version=str(known))


def error_at(page: str, field: str) -> str:
    found = re.search(rf'id="{field}-error">(.*?)</div>', page)
    return unescape(found[1]) if found else ""


def logged(action):
    db.session.rollback()
    found = select(OperationLog).where(OperationLog.action == action).order_by(OperationLog.id)
    return list(db.session.scalars(found))


# What is there


def test_every_page_is_a_model_view_with_our_addresses_alone(app):
    for page in PAGES:
        assert issubclass(page, ModelView)
        rules = [
            each for each in app.url_map.iter_rules() if each.endpoint.startswith(page.__name__)
        ]
        assert {each.endpoint.partition(".")[2] for each in rules} == {
            "list", "export", "export_xlsx", "choose_columns", "bulk_ask", "new", "edit",
        }  # fmt: skip
        permissions = next(v for v in app.appbuilder.baseviews if type(v) is page).base_permissions
        assert set(permissions) == {"can_list", "can_export", "can_edit", "can_bulk"}


def test_the_dictionary_leads_to_every_page_and_counts(system):
    page = system.get("/dictionary/").text
    for each in PAGES:
        assert str(each.title) in page
        assert f'href="{each.route_base}/"' in page
    assert ">4</td>" in page  # sectors
    assert system.get("/sectors/").status_code == 200


@pytest.mark.parametrize("path", [page.route_base for page in PAGES])
def test_every_page_lists_exports_and_offers_a_form(system, path):
    assert system.get(f"{path}/").status_code == 200
    assert system.get(f"{path}/export.csv").status_code == 200
    page = system.get(f"{path}/new")
    assert page.status_code == 200
    assert "生效日期" in page.text


def test_other_roles_can_only_read(new_browser, count):
    auditor = new_browser("192.0.2.12")
    auditor.sign_in(AUDITOR)
    page = auditor.get("/sectors/").text
    assert "发电" in page
    assert "新增" not in page
    assert "停用</button>" not in page
    token = auditor.token("/password/")
    for path in ("/sectors/new", "/sectors/1/edit", "/sectors/bulk"):
        assert auditor.post(path, {"csrf_token": token, "code": "x"}).status_code == 403
    enterprise = new_browser("192.0.2.13")
    enterprise.sign_in(ENTERPRISE)
    assert enterprise.get("/sectors/").status_code == 403
    assert count(Sector) == 4


def test_the_cities_of_a_province_are_found_by_it(system):
    rows = table(system.get("/cities/?province=42&size=50").text)
    assert ["420100", "武汉市"] in [row[3:5] for row in rows]
    assert {row[2] for row in rows} == {"湖北"}
    assert "荆沙市" not in str(rows)  # Not what it was once called.


# Adding


def test_a_value_is_added_and_offered_from_its_day_on(system, count):
    assert add(system).status_code == 302
    add(system, code="paper", name="造纸", valid_from="2026-12-01")
    opening = factories.member("registry_maker")
    assert count(Sector) == 6
    (first, _second) = logged("reference.add")
    assert first.subject == "sector textile"
    assert first.detail["after"]["name"] == "纺织"
    assert first.member_no == SYSTEM_ADMIN
    assert opening
    states = {row[3]: row[7] for row in table(system.get("/sectors/").text)}
    assert (states["纺织"], states["造纸"]) == ("启用", "待启用")


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"code": ""}, "code", "请填写"),
        ({"code": "Textile"}, "code", "编码以小写字母开头"),
        ({"code": "纺织"}, "code", "编码以小写字母开头"),
        ({"code": "a" * 21}, "code", "不能超过 20 个字"),
        ({"code": "power"}, "code", "已被使用"),
        ({"name": "  "}, "name", "请填写"),
        ({"name": "发电"}, "name", "已被使用"),
        ({"name": "纺\x00织"}, "name", "无法"),
        ({"valid_from": "明天"}, "valid_from", "请输入日期"),
        ({"valid_from": ""}, "valid_from", "请填写"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_its_field_and_stays_typed(system, typed, field, says, count):
    response = add(system, **({"name_en": "Typed before"} | typed))
    assert response.status_code == 422
    assert says in error_at(response.text, field)
    assert 'value="Typed before"' in response.text
    assert count(Sector) == 4
    assert logged("reference.add") == []


def test_a_city_belongs_to_the_province_of_its_code(system, count):
    before = count(City)
    response = system.submit(
        "/cities/new", province="42", code="110900", name="某市", valid_from=TODAY
    )
    assert response.status_code == 422
    assert "与其他各项不符" in error_at(response.text, "code")
    response = system.submit("/cities/new", province="99", code="990100", name="某市")
    assert error_at(response.text, "province")
    assert "Not a valid choice" not in response.text
    assert count(City) == before


def test_a_trade_code_names_a_venue_and_an_instrument_once(system, count):
    instrument = factories.instrument()
    (known,) = db.session.scalars(select(VenueInstrument))
    form = {"venue": str(known.venue_id), "instrument": str(instrument.id), "valid_from": TODAY}
    response = system.submit("/trade-codes/new", **form, trade_code="CEA26")
    assert response.status_code == 422
    assert "已被使用" in error_at(response.text, "instrument")
    other = factories.instrument(trade_code=None)
    form["instrument"] = str(other.id)
    assert "大写字母" in system.submit("/trade-codes/new", **form, trade_code="cea").text
    assert count(VenueInstrument) == 1
    assert system.submit("/trade-codes/new", **form, trade_code="CEA26").status_code == 302
    assert other.code in system.get("/trade-codes/?trade_code=CEA26").text


# Changing and disabling


def test_a_change_keeps_what_was_before(system):
    row = only(Sector, code="cement")
    assert change(system, row, name="水泥熟料").status_code == 302
    changed = only(Sector, code="cement")
    assert (changed.name, changed.version) == ("水泥熟料", 1)
    (entry,) = logged("reference.change")
    assert entry.detail["before"]["name"] == "水泥"
    assert entry.detail["after"]["name"] == "水泥熟料"


def test_what_is_saved_unchanged_leaves_no_trace(system):
    change(system, only(Sector, code="cement"))
    assert only(Sector, code="cement").version == 0
    assert logged("reference.change") == []


def test_a_code_never_changes(system):
    row = only(Sector, code="cement")
    change(system, row, code="clinker", name="水泥熟料")
    assert only(Sector, id=row.id).code == "cement"


def test_the_later_of_two_is_told_and_may_then_decide(system, new_browser):
    other = new_browser("192.0.2.12")
    other.sign_in(SYSTEM_ADMIN)  # Ends the first session; both are the same person's browsers.
    row = only(Sector, code="cement")
    change(other, row, name="水泥甲")
    response = change(other, row, version=0, name="水泥乙")
    assert response.status_code == 422
    assert "其间已有他人修改" in response.text
    assert "水泥甲" in response.text  # the present value
    assert 'value="水泥乙"' in response.text  # what was typed
    assert only(Sector, code="cement").name == "水泥甲"
    (version,) = re.findall(r'name="version"[^>]*value="(\d+)"', response.text)
    assert change(other, row, version=version, name="水泥乙").status_code == 302
    assert only(Sector, code="cement").name == "水泥乙"


@pytest.mark.parametrize("version", ["", "x", "-1", "９", "9" * 400])
def test_a_version_that_is_none_changes_nothing(system, version):
    row = only(Sector, code="cement")
    assert change(system, row, version=version, name="水泥乙").status_code == 422
    assert only(Sector, code="cement").name == "水泥"


def test_nothing_is_disabled_in_the_past(system):
    row = only(Sector, code="cement")
    response = change(system, row, disabled_from="2026-11-19")
    assert "停用日期不得早于当日" in error_at(response.text, "disabled_from")
    assert only(Sector, code="cement").disabled_from is None


def test_what_is_disabled_is_no_longer_offered_and_keeps_its_name(system, sign_in, app):
    plant = factories.account(sector="steel")
    operator = factories.member(of=plant)
    row = only(Sector, code="steel")
    bulk = {"action": "disable", "id": str(row.id)}
    question = system.submit("/sectors/", "/sectors/bulk", **bulk)
    assert "自当日起停用所选 1 项" in question.text
    assert only(Sector, code="steel").disabled_from is None
    done = system.submit("/sectors/", "/sectors/bulk", **bulk, count="1")
    assert "成功 1 条" in done.text
    assert only(Sector, code="steel").disabled_from == date(2026, 11, 20)
    again = system.submit("/sectors/", "/sectors/bulk", **bulk, count="1")
    assert "已停用" in again.text
    assert len(logged("reference.disable")) == 1

    officer = sign_in(factories.member("registry_maker"))
    assert 'value="steel"' not in officer.get("/account-openings/new").text
    assert 'value="cement"' in officer.get("/account-openings/new").text
    own = sign_in(operator).get("/account-changes/new").text
    assert re.search(r'checked[^>]*value="steel"', own)  # Its own sector stays as it is.

    change(system, only(Sector, code="steel"), disabled_from="")  # It is wanted again.
    assert 'value="steel"' in officer.get("/account-openings/new").text


def test_a_disabled_reason_is_refused_on_submission_and_shown_in_history(app, sign_in):
    plant, cea = factories.account(), factories.instrument()
    factories.give(plant, cea, 100)
    officer, other = (factories.member(f"registry_{each}") for each in ("maker", "checker"))
    before = factories.entered("freeze", plant, officer, lines={cea: 10})
    draft = factories.entered("freeze", plant, officer, lines={cea: 10}, submits=False)
    with transaction():
        values = {"disabled_from": date(2026, 11, 20), "version": Category.version + 1}
        db.session.execute(
            update(Category).filter_by(kind="freeze", code="supervision").values(values)
        )
    with factories.nothing_moves(), pytest.raises(RuleError, match="类型"), transaction():
        engine.submit([draft], Actor.of(officer), now=clock.now()).one()
    factories.confirmed(before, other)  # What was submitted before is still reviewed.
    assert "监管措施" in sign_in(officer).get(f"/freezes/{before}").text


def test_a_disabled_venue_takes_no_transfer(system, sign_in):
    plant, cea = factories.account(), factories.instrument()
    factories.give(plant, cea, 100)
    operator = factories.member(of=plant)
    draft = factories.draft("registry_to_trading", operator, {cea: 10}, reason="交易需要")
    venue = factories.venue()
    db.session.rollback()
    (row,) = table(system.get("/venues/").text)
    assert row[2:4] == ["ZGW", "中股网"]
    form = {"name": "中股网", "disabled_from": TODAY, "version": "1"}
    assert system.submit(f"/venues/{venue.id}/edit", **form).status_code == 302
    with factories.nothing_moves(), pytest.raises(RuleError, match="交易代码"), transaction():
        engine.submit([draft], Actor.of(operator), now=clock.now()).one()
    assert "中股网" not in sign_in(operator).get("/transfers/registry-to-trading/new").text


# Conditions and the other traps


@pytest.mark.parametrize(
    "query",
    ["page_SectorView=abc", "page=abc", "psize_SectorView=x", "_flt_0_name=发", "_oc_SectorView=x",
     "size=-1", "valid_from=1", "after=%00", "name=%25", "name=_", "code=\\"],
)  # fmt: skip
def test_nothing_in_the_address_breaks_the_page(system, query):
    assert system.get(f"/sectors/?{query}").status_code in (200, 302, 400)


def test_a_percent_sign_is_no_wildcard(system):
    assert table(system.get("/sectors/?name=%25").text) == []
    assert table(system.get("/sectors/?code=_ower").text) == []
    assert len(table(system.get("/sectors/?code=pow").text)) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sectors/list/"), ("GET", "/sectors/show/1"), ("POST", "/sectors/add"),
        ("POST", "/sectors/delete/1"), ("GET", "/sectors/delete/1"), ("POST", "/sectors/edit/1"),
        ("GET", "/sectors/action/disable/1"), ("POST", "/sectors/action_post"),
        ("GET", "/sectors/download/x"), ("GET", "/sectors/api/read"), ("POST", "/sectors/api/create"),
    ],
)  # fmt: skip
def test_the_framework_s_own_addresses_are_not_there(system, method, path):
    headers = {"X-CSRFToken": system.token("/sectors/new")}
    assert system.client.open(path, method=method, headers=headers).status_code == 404


def test_no_get_changes_anything(system):
    row = only(Sector, code="cement")
    system.get(f"/sectors/{row.id}/edit?name=x&version=0")
    system.get(f"/sectors/bulk?action=disable&id={row.id}&count=1")
    system.get("/sectors/new?code=paper&name=纸")
    changed = only(Sector, code="cement")
    assert (changed.name, changed.disabled_from) == ("水泥", None)


def test_a_form_without_its_token_changes_nothing(system, count):
    form = {"code": "textile", "name": "纺织", "valid_from": TODAY}
    assert system.post("/sectors/new", form).status_code == 400
    assert count(Sector) == 4


@pytest.mark.parametrize("id_", [0, 999_999, 2**63])
def test_what_is_not_there_is_not_found(system, id_):
    assert system.get(f"/sectors/{id_}/edit").status_code == 404


def test_what_lies_outside_one_s_scope_is_not_there(system, monkeypatch):
    monkeypatch.setattr(
        SectorView, "in_scope", lambda self, rows, columns: rows.where(columns.code == "power")
    )
    steel = only(Sector, code="steel")
    assert [row[2] for row in table(system.get("/sectors/").text)] == ["power"]
    assert "steel" not in system.get("/sectors/export.csv").text
    assert system.get(f"/sectors/{steel.id}/edit").status_code == 404
    asked = {"action": "disable", "id": str(steel.id), "count": "1"}
    system.submit("/sectors/", "/sectors/bulk", **asked)
    assert only(Sector, code="steel").disabled_from is None


@pytest.mark.parametrize(
    "declared", [{"base_filters": [["id", None, 1]]}, {"pre_add": lambda self, item: None},
                 {"related_views": [SectorView]}]
)  # fmt: skip
def test_a_page_that_declares_what_has_no_effect_does_not_start(app, declared):
    body = {"datamodel": SectorView.datamodel, "list_columns": ["code"], "account_column": None}
    with pytest.raises(AssertionError, match="no effect"):
        type("WrongView", (ReferenceView,), body | declared)


def test_a_page_must_say_whose_rows_they_are(app):
    body = {"datamodel": SectorView.datamodel, "list_columns": ["code"]}
    with pytest.raises(AttributeError):
        _scope = type("NobodysView", (ReferenceView,), body).account_column


# Twelve at once


def at_once(jobs):
    """Run jobs concurrently and return their answers."""
    answers, start = [None] * len(jobs), threading.Barrier(len(jobs))

    def work(number, job):
        start.wait(timeout=20)
        answers[number] = job()

    threads = [threading.Thread(target=work, args=each) for each in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return answers


def browsers(app, sign_in, many=12):
    return [sign_in(factories.member("system_admin")) for _ in range(many)]


def test_twelve_who_search_at_once_find_what_each_asked_for(app, sign_in):
    codes = ["power", "steel", "cement", "aluminium"] * 3

    def ask(browser, code):
        return lambda: [table(browser.get(f"/sectors/?code={code}").text)[0][2] for _ in range(4)]

    pages = zip(browsers(app, sign_in), codes, strict=True)
    assert at_once([ask(browser, code) for browser, code in pages]) == [
        [code] * 4 for code in codes
    ]


def test_of_twelve_who_add_one_code_one_does_and_the_others_are_told(app, sign_in, count):
    form = {"code": "textile", "name": "纺织", "name_en": "", "valid_from": TODAY}

    def ask(browser):
        return lambda: browser.post("/sectors/new", data=form)

    answers = at_once([ask(browser) for browser in browsers(app, sign_in)])
    told = [answer for answer in answers if answer.status_code == 422]
    assert sorted(answer.status_code for answer in answers) == [302] + [422] * 11
    assert all("已被使用" in answer.text for answer in told)
    assert count(Sector) == 5
    assert len(logged("reference.add")) == 1


def test_of_twelve_who_change_one_row_one_does_and_the_others_are_told(app, sign_in):
    id_ = only(Sector, code="cement").id

    def ask(number, browser):
        form = {"name": f"水泥{number}", "name_en": "", "disabled_from": "", "version": "0"}
        return lambda: browser.post(f"/sectors/{id_}/edit", data=form)

    answers = at_once([ask(*each) for each in enumerate(browsers(app, sign_in))])
    assert sorted(answer.status_code for answer in answers) == [302] + [422] * 11
    assert only(Sector, code="cement").version == 1
    assert len(logged("reference.change")) == 1


def test_an_action_does_not_hide_a_method_of_the_list_page(app):
    declared = action("check", "核对", "核对 %(count)s 项？")(lambda self, ids: None)
    with pytest.raises(AssertionError, match="of this name"):
        type("HidingView", (SectorView,), {"check": declared})
