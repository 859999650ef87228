"""省级主管部门, 注册登记管理机构 and the administrators: what each sees, and its scope."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.support.reading import menu, open_from_menu, rows

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

BUSINESS = ["持仓划转管理", "信息查询"]


def test_a_province_sees_its_own_enterprises(site, member, album):
    page = member("P42")
    assert set(BUSINESS) < set(menu(page))
    open_from_menu(page, "持仓查询")
    names = {row["会员名称"] for row in rows(page)}
    assert names
    assert all(name.startswith("湖北") or name == "市场通测试030207" for name in names)
    album.take(page, "province-holdings", keep=True)
    page.get_by_label("会员", exact=True).fill("北京")
    page.get_by_role("button", name="查询").click()
    expect(page.locator(".empty-state")).to_contain_text("暂无数据")
    open_from_menu(page, "登记发起登记转交易")
    expect(page.get_by_role("link", name="新增")).to_have_count(0)
    assert all(row["会员名称"].startswith("湖北") for row in rows(page))


def test_the_registry_sees_every_province(site, member, album):
    page = member("R0001")
    open_from_menu(page, "登记发起登记转交易")
    page.get_by_label("每页条数").select_option("100")
    page.wait_for_url("**size=100**")
    provinces = {row["会员名称"][:2] for row in rows(page)}
    assert len(provinces) > 3
    album.take(page, "registry-transfers", keep=True, everyway=True)
    page.locator("#list-table").get_by_role("link", name="详情").first.click()
    expect(page.locator(".timeline-list")).to_contain_text("提交")
    expect(page.get_by_role("button", name="撤回")).to_have_count(0)
    album.take(page, "registry-detail")


@pytest.mark.parametrize("login", ["S0001", "S0002", "S0003"])
def test_an_administrator_meets_no_business(site, member, album, login):
    page = member(login)
    reads = (
        {"信息查询"} if login == "S0003" else set()
    )  # An auditor follows where holdings came from.
    assert not (set(BUSINESS) - reads) & set(menu(page))
    album.take(page, f"administrator-{login}")
    page.goto("/holdings/")
    expect(page.locator("#error-title")).to_be_visible()
    album.take(page, "no-permission")
    page.goto("/")
    for link in page.locator("#menu .menu-link").all():
        name = link.inner_text().strip()
        address = link.get_attribute("href") or "/"
        page.context.pages[0].goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        picture = address.strip("/").replace("/", "-") or "home"
        album.take(page, f"administration-{picture}", keep=name != "首页")
        page.goto("/")
