"""The same transfer in a browser that runs no script: plain forms and links."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.conftest import sign_in
from tests.journeys.support.reading import menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

CODE = "PE2021000025"


def test_a_transfer_without_script(site, visit, album):
    page = visit(site, script=False)
    sign_in(page, "21042300007")
    assert "登记发起登记转交易" in menu(page)
    page.goto("/transfers/registry-to-trading/")
    page.get_by_role("link", name="新增").click()
    album.take(page, "without-script-new", whole=True, everyway=False)
    page.locator("#picker").get_by_label(CODE).check()
    page.locator("#picker").get_by_role("button", name="确定").click()

    quantity = page.get_by_label(f"划转数量 {CODE}")
    quantity.fill("701")
    page.get_by_label("申请原因").fill("交易需要")
    page.get_by_role("button", name="提交").click()
    expect(page.get_by_text("超过可用量 700 吨").first).to_be_visible()
    expect(quantity).to_have_value("701")
    album.take(page, "without-script-refused", whole=True)

    quantity.fill("100")
    page.get_by_role("button", name="提交").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("操作成功!")
    page.get_by_role("link", name="返回", exact=True).click()
    assert row_with(page, CODE)["状态"] == "待结算"
    page.goto("/holdings/")
    assert row_with(page, CODE)["登记可用量"] == "600"
    album.take(page, "without-script-holdings", whole=True)
    page.goto("/transfers/registry-to-trading/")
    page.get_by_role("button", name="撤回").click()
    expect(page.locator(".detail-head .tag")).to_have_text("已撤回")
