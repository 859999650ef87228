"""二（二） with the USBKey assistant's window: tick the certificate, 确定, PIN; and who gets nothing."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from app.installation.demo import DEMO_PASSWORD
from tests.journeys.support.pictures import PHONE, WIDE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-certificate")]

MEMBER, NAME = "21042300007", "市场通测试030207"
WINDOW = {"width": 580, "height": 760}


def enter_password(page: Page, site, member_no: str = MEMBER) -> None:
    page.goto("/login/")
    page.get_by_label("会员编号").fill(member_no)
    page.get_by_label("密码", exact=True).fill(DEMO_PASSWORD)
    page.get_by_label("验证码", exact=True).fill(site.captcha())
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/login/certificate")


def open_assistant(page: Page) -> Page:
    with page.expect_popup() as opened:
        page.get_by_role("button", name="选择证书").click()
    window = opened.value
    window.set_viewport_size(WINDOW)
    window.get_by_role("radio").first.wait_for()
    return window


def test_number_password_captcha_certificate_and_pin(demo_site, visit, album):
    """As the manual tells it; a wrong PIN says how many tries are left."""
    page = visit(demo_site)
    enter_password(page, demo_site)
    expect(page.get_by_role("heading", level=1)).to_have_text("请选择证书并输入PIN码")
    expect(page.locator(".certificate-card")).to_contain_text(MEMBER)
    album.take(page, "certificate", keep=True, everyway=True)

    window = open_assistant(page)
    expect(window.get_by_role("heading", level=1)).to_have_text("登录")
    expect(window.locator("#origin")).to_have_text(demo_site.url)
    expect(window.locator("#blocks")).to_contain_text(MEMBER)
    expect(window.locator("#soft")).to_contain_text("软证书仅供演示")
    expect(window.get_by_role("radio")).to_have_count(17)
    expect(window.locator(".choice").first).to_contain_text(NAME)

    window.get_by_role("button", name="确定").click()
    expect(window.get_by_role("alert")).to_have_text("请先勾选证书。")
    window.get_by_role("radio", name=NAME).check()
    window.get_by_label("PIN码", exact=True).fill("4321")
    window.get_by_role("button", name="确定").click()
    expect(window.get_by_role("alert")).to_have_text("PIN码错误，还可尝试 4 次。")
    expect(window.get_by_label("PIN码", exact=True)).to_have_value("")
    take_window(window, album)

    window.get_by_label("PIN码", exact=True).fill("1234")
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()
    page.wait_for_url("**/")
    expect(page.locator(".member-strip")).to_contain_text(f"您好, {NAME}")


def test_a_closed_window_signs_nothing_and_the_page_says_so(demo_site, visit):
    page = visit(demo_site)
    enter_password(page, demo_site)
    window = open_assistant(page)
    with window.expect_event("close"):
        window.get_by_role("button", name="取消").click()
    expect(page.get_by_role("alert")).to_contain_text("没有完成签名")
    window = open_assistant(page)  # And may be opened again.
    expect(window.get_by_role("heading", level=1)).to_have_text("登录")


def test_another_member_s_certificate_is_marked_and_refused(demo_site, visit):
    page = visit(demo_site)
    enter_password(page, demo_site)
    window = open_assistant(page)
    other = window.locator(".choice").filter(has_text=re.compile(r"会员编号 P42\b"))
    expect(other).to_contain_text("与会员编号不符")
    other.get_by_role("radio").check()
    window.get_by_label("PIN码", exact=True).fill("1234")
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()
    page.wait_for_url("**/login/")
    expect(page.locator(".message-danger")).to_contain_text("证书属于其他会员")


def test_a_locked_key_says_so(demo_site, visit):
    page = visit(demo_site)
    enter_password(page, demo_site, "P11")
    window = open_assistant(page)
    window.locator(".choice").filter(has_text="会员编号 P11").get_by_role("radio").check()
    for _ in range(5):
        window.get_by_label("PIN码", exact=True).fill("0000")
        window.get_by_role("button", name="确定").click()
        expect(window.get_by_label("PIN码", exact=True)).to_have_value("")
    expect(window.get_by_role("alert")).to_contain_text("USBKey已锁定")
    expect(window.get_by_role("button", name="确定")).to_be_disabled()


@pytest.fixture
def evil_site() -> Iterator[str]:
    """A page on another port of this machine: another origin, with whatever it likes to try."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(EVIL_PAGE)

        def log_message(self, *_words: object) -> None:
            """Be quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


EVIL_PAGE = b"""<title>evil</title><button>go</button><script>
window.heard = [];
addEventListener("message", (event) => heard.push(event.data));
document.querySelector("button").onclick = () => {
  window.opened = open(location.hash.slice(1) + "/ui", "x", "popup");
};
window.push = () => opened.postMessage({ type: "login", challenge: "c".repeat(43),
  payload: { schema: "login/1", member_no: "21042300007" } }, "*");
window.attempt = (path, options) => fetch(location.hash.slice(1) + path, options).then(
  (response) => response.status, () => "blocked");
</script>"""


def test_an_evil_page_gets_nothing_from_the_assistant(demo_site, chromium, evil_site):
    """It may open the window, and learns no more than that there is one."""
    page = chromium.new_page()
    assistant = f"http://127.0.0.1:{demo_site.assistant_port}"
    page.goto(f"{evil_site}/#{assistant}")
    with page.expect_popup() as opened:
        page.get_by_role("button").click()
    window = opened.value
    page.wait_for_function("heard.length > 0")  # The window listens from now on.
    page.evaluate("push()")
    expect(window.locator("#waiting-text")).to_contain_text(
        f"{evil_site} 不在USBKey助手的信任名单中"
    )
    assert window.get_by_role("radio").count() == 0
    assert page.evaluate("heard") == [{"assistant": "ready"}]
    for path in ("/ui", "/popup.js", "/request", "/sign"):
        assert page.evaluate("path => attempt(path)", path) == "blocked"
        options = {"method": "POST", "headers": {"Content-Type": "text/plain"}, "body": "{}"}
        assert page.evaluate("([path, o]) => attempt(path, o)", [path, options]) == "blocked"
    page.close()
    window.close()


def take_window(window: Page, album) -> None:
    """Take the assistant's window, dark and on a phone, too; it follows the machine's preference."""
    album.take(window, "assistant", keep=True, whole=True)
    for name, size in (("assistant-wide", WIDE), ("assistant-phone", PHONE)):
        window.set_viewport_size(size)
        for scheme in ("light", "dark"):
            window.emulate_media(color_scheme=scheme)
            album.take(window, f"{name}-{scheme}", whole=True)
    window.set_viewport_size(WINDOW)
    window.emulate_media(color_scheme="light")
