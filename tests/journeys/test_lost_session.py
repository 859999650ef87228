"""A session that ends in mid-form: nothing that was typed or chosen is lost."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.files import pdf
from tests.journeys.conftest import sign_in
from tests.journeys.support.reading import open_from_menu
from tests.journeys.support.served import Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

MEMBER, OTHER, CODE = "21042300007", "P42", "PE2021000025"
REASON = "写了半小时的原因：履行社会责任，自愿注销"


def go_idle(site: Site) -> None:
    with site.cluster.connect(site.database) as connection:
        connection.execute(
            "UPDATE login_session SET seen_at = %s", [datetime.now(UTC) - timedelta(hours=1)]
        )


def send(page: Page) -> None:
    page.get_by_role("button", name="提交").click()
    page.get_by_role("dialog").get_by_role("button", name="提交").click()


def test_the_form_is_there_again_after_signing_in(site, visit, member, album, tmp_path: Path):
    page = member(MEMBER)
    open_from_menu(page, "自愿注销")
    page.get_by_role("link", name="自愿注销新增").click()
    file = tmp_path / "董事会决议.pdf"
    file.write_bytes(pdf())
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_label("申请原因").fill(REASON)
    page.locator("[data-picker-open]").click()
    page.get_by_role("dialog").get_by_label(CODE).check()
    page.get_by_role("dialog").get_by_role("button", name="确定").click()
    quantity = page.locator("input[name=lines-0-quantity]")
    quantity.fill("150")
    expect(
        page.get_by_role("link", name="董事会决议.pdf")
    ).to_be_visible()  # Chosen before the picker.

    go_idle(site)
    send(page)
    page.wait_for_url("**/login/")
    expect(page.get_by_text(f"重新以 {MEMBER} 登录")).to_be_visible()
    album.take(page, "lost-sign-in", everyway=True)

    # Another member of the same computer sees nothing of it.
    sign_in(page, OTHER)
    expect(page.get_by_text(REASON)).to_have_count(0)
    page.get_by_role("button", name="退出登录").click()

    page.get_by_label("会员编号").fill(MEMBER)
    page.get_by_label("密码", exact=True).fill("Demo-2026-carbon")
    page.get_by_role("button", name="登录").click()
    page.wait_for_url(re.compile(r"/voluntary-cancellations/new\?.*form="))
    expect(page.locator("main")).to_contain_text("请核对后再次提交")
    expect(quantity).to_have_value("150")
    expect(page.get_by_label("申请原因")).to_have_value(REASON)
    expect(page.get_by_role("link", name="董事会决议.pdf")).to_be_visible()
    album.take(page, "lost-form", everyway=True)
    page.reload()
    expect(quantity).to_have_value("150")

    send(page)
    page.get_by_role("heading", name="操作成功!").wait_for()
