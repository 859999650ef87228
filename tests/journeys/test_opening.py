"""From a table of enterprises to evidence verified by openssl: letters, certificate, signatures."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.files import pdf
from tests.journeys.test_chapter_two_certificate import open_assistant
from tests.journeys.test_signed_application import confirm, sign, sign_in
from tests.openings import Letters, as_csv, enterprise, read_letters

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-certificate")]

MAKER, CHECKER = "R0001", "R0002"
PASSWORD = "Riverside-Plant-7"
NAME = "江城第1发电有限公司"
BLANK = "新USBKey"
ARRIVES_WITHIN = 60  # seconds: the worker writes every three, delivers every three


def until_shown(page: Page, find: Callable[[], int]) -> None:
    """Poll until something has arrived."""
    ends = time.monotonic() + ARRIVES_WITHIN
    while not find():
        assert time.monotonic() < ends, "nothing arrived"
        page.wait_for_timeout(1000)
        page.reload()


def read_mailbox(page: Page) -> Letters:
    """Read both letters where the demonstration delivers them."""
    bodies = []
    for recipient in ("rep1@plant.example", "13800000001"):
        page.goto(f"/demo/mailbox/?recipient={recipient}")
        links = page.get_by_role("link", name="查看", exact=True)
        until_shown(page, links.count)
        links.first.click()
        bodies.append(page.locator("main .message-body").last.inner_text())
    return read_letters(*bodies)


def import_table(page: Page, folder: Path, album) -> None:
    """Import a table after one with an error, and sign at the second try."""
    page.goto("/account-openings/")
    page.get_by_role("link", name="导入开户信息").click()
    rows = [
        enterprise(n, sector="发电", province="湖北省", representative_phone=phone)
        for n, phone in ((1, "13800000001"), (2, "12"))
    ]
    for number, name in enumerate(("有误.csv", "开户.csv")):
        file = folder / name
        file.write_bytes(as_csv(rows[: 2 - number]))
        page.get_by_label("开户信息表").set_input_files(file)
        page.get_by_role("button", name="导入").click()
        if not number:
            expect(page.get_by_role("alert")).to_contain_text("发现 1 处问题")
            expect(page.locator("tbody")).to_contain_text("手机号")
            album.take(page, "opening-report", keep=True, everyway=True)
    expect(page.locator(".detail-head")).to_contain_text("草稿")
    album.take(page, "import-drafts", keep=True, everyway=True)
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.locator("main")).to_contain_text("开户.csv")
    album.take(page, "signing-import", everyway=True)
    window = sign(page, MAKER, "开户（account_opening）", "开户.csv", "KH2026")
    album.take(window, "assistant-import", whole=True)
    confirm(window, MAKER)
    expect(page.locator("main")).to_contain_text("已提交1条申请")


def first_sign_in(page: Page, letters: Letters, album) -> None:
    """Open the mail's link, choose a password, and fetch the certificate with both codes."""
    page.goto(f"/first-sign-in/#{letters.token}")
    expect(page.get_by_label("首次登录码")).to_be_hidden()
    assert letters.token not in page.url
    album.take(page, "first-sign-in", keep=True, everyway=True)
    page.get_by_label("新密码", exact=True).fill("short")
    page.get_by_label("确认新密码").fill("short")
    page.get_by_role("button", name="设置密码").click()
    expect(page.locator(".field-error").first).to_be_visible()
    page.get_by_label("新密码", exact=True).fill(PASSWORD)
    page.get_by_label("确认新密码").fill(PASSWORD)
    page.get_by_role("button", name="设置密码").click()
    page.wait_for_url("**/certificate/?member=*")
    page.get_by_label("参考号").fill(letters.reference)
    page.get_by_label("授权码").fill("2222222222")
    album.take(page, "enrolment", keep=True, everyway=True)
    with page.expect_popup():
        page.get_by_role("button", name="申领证书").click()
    expect(page.locator("[data-answer]")).to_have_text("参考号或授权码无效，或已失效")
    page.get_by_label("授权码").fill(letters.code)
    with page.expect_popup() as opened:
        page.get_by_role("button", name="申领证书").click()
    window = opened.value
    expect(window.locator("#blocks")).to_contain_text(NAME)
    window.get_by_role("radio", name=BLANK).check()
    window.get_by_label("PIN码", exact=True).fill("1234")
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()
    page.wait_for_url("**/login/")
    expect(page.locator(".message-success")).to_contain_text("证书已存入USBKey")


@pytest.mark.usefixtures("demo_worker")
def test_from_the_table_to_verified_evidence(demo_site, visit, album, tmp_path):
    maker = visit(demo_site)
    sign_in(maker, demo_site, MAKER)
    import_table(maker, tmp_path, album)
    maker.get_by_role("link", name="详情").first.click()
    expect(maker.locator("tbody")).to_contain_text(NAME)
    album.take(maker, "openings", keep=True, everyway=True)

    checker = visit(demo_site)
    sign_in(checker, demo_site, CHECKER)
    checker.goto("/reviews/?kind=account_opening")
    expect(checker.locator("tbody")).to_contain_text(NAME)
    checker.get_by_role("link", name="审核").last.click()
    expect(checker.locator("main")).to_contain_text("138****0001")
    album.take(checker, "opening-review", keep=True, whole=True)
    checker.get_by_role("button", name="通过").click()
    confirm(sign(checker, CHECKER), CHECKER)
    expect(checker.locator("main")).to_contain_text("成功")

    letters = read_mailbox(checker)
    visitor = visit(demo_site)
    first_sign_in(visitor, letters, album)

    member_no = next(word for word in letters.mail.split() if word.strip("。").isdigit()).strip(
        "。"
    )
    visitor.get_by_label("会员编号").fill(member_no)
    visitor.get_by_label("密码", exact=True).fill(PASSWORD)
    visitor.get_by_label("验证码", exact=True).fill(demo_site.captcha())
    visitor.get_by_role("button", name="登录").click()
    visitor.wait_for_url("**/login/certificate")
    confirm(open_assistant(visitor), member_no)
    expect(visitor.locator(".member-strip")).to_contain_text(NAME)

    number = change_details(visitor, member_no)
    checker.goto(f"/reviews/?number={number}")
    checker.get_by_role("link", name="审核").last.click()
    checker.get_by_role("button", name="通过").click()
    confirm(sign(checker, CHECKER, number), CHECKER)
    expect(checker.locator("main")).to_contain_text("成功")

    maker.goto("/account-openings/?status=approved")
    opening = maker.locator("tbody tr").filter(has_text=NAME).locator("td.code").first
    folder = tmp_path / "开户"
    demo_site.flask("export-evidence", opening.inner_text(), str(folder))
    assert verify(folder) == 0
    signed_by_the_maker = folder / "01-submit.json"
    digest = signed_by_the_maker.read_bytes()
    signed_by_the_maker.write_bytes(digest.replace(b'"sha256":"', b'"sha256":"0', 1))
    assert verify(folder) == 1

    folder = tmp_path / "证据"
    demo_site.flask("export-evidence", number, str(folder))
    assert verify(folder) == 0
    submitted = folder / "01-submit.json"
    submitted.write_bytes(submitted.read_bytes().replace(member_no.encode(), b"21042300007"))
    assert verify(folder) == 1

    # What server, worker, assistant and signing process wrote holds nothing secret.
    logs = list(demo_site.cluster.folder.rglob("*.log"))
    assert {path.name for path in logs} >= {f"{demo_site.database}.log", "signer.log"}
    written = "".join(path.read_text(errors="replace") for path in logs)
    for secret in (letters.token, letters.code, letters.reference, PASSWORD):
        assert secret not in written


def change_details(page: Page, member_no: str) -> str:
    """Upload the opening's documents with the first change of details, signed; return its number."""
    page.goto("/account-changes/new")
    page.get_by_label("注册地址").fill("湖北省武汉市江岸区一元路2号")
    page.get_by_label("申请原因").fill("补充开户附件")
    page.locator("input[type=file]").set_input_files(
        {"name": "营业执照.pdf", "mimeType": "application/pdf", "buffer": pdf()}
    )
    page.get_by_role("button", name="提交", exact=True).click()
    confirm(sign(page, member_no, "补充开户附件"), member_no)
    expect(page.locator("main")).to_contain_text("操作成功")
    return page.locator("main .code").first.inner_text()


def verify(folder: Path) -> int:
    return subprocess.run(
        ["sh", "verify.sh"], cwd=folder, capture_output=True, check=False
    ).returncode


def test_a_certificate_is_renewed_in_its_last_days(demo_site, visit, album):
    """One window makes the new key and waits; another signs for it with the present certificate."""
    member_no = "21042300007"
    page = visit(demo_site)
    sign_in(page, demo_site, member_no)
    with demo_site.cluster.connect(demo_site.database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE certificate SET not_after = now() + interval '30 days' WHERE state = 'active'"
        )
    page.goto("/certificates/")
    album.take(page, "certificates", keep=True, everyway=True)
    page.get_by_role("link", name="续期").click()
    with page.expect_popup() as opened:
        page.get_by_role("button", name="1. 生成新密钥").click()
    making = opened.value
    making.get_by_role("radio", name=BLANK).check()
    making.get_by_label("PIN码", exact=True).fill("1234")
    making.get_by_role("button", name="确定").click()
    sign_button = page.get_by_role("button", name="2. 用原证书签名")
    expect(sign_button).to_be_visible()
    album.take(page, "renewal", keep=True, everyway=True)
    with page.expect_popup() as opened:
        sign_button.click()
    window = opened.value
    expect(window.get_by_role("heading", level=1)).to_have_text("证书更新")
    with making.expect_event("close"):
        confirm(window, member_no)
    page.wait_for_url("**/certificates/")
    expect(page.locator(".message-success")).to_contain_text("新证书已存入USBKey")
    own = page.locator("tbody tr").filter(has_text="市场通测试030207")
    expect(own).to_have_count(2)
