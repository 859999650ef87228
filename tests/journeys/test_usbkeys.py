"""The assistant's window with real tokens, asked by the registry's own script on a page of a site."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from assistant.keyring import Keyring, usb_keys
from tests.assistant.conftest import CHALLENGE, CODE, MEMBER, authority, serve
from tests.assistant.test_usbkeys import GOOD, folder_of, issue
from tests.journeys.support.pictures import PHONE, WIDE
from tests.pki.conftest import MODULE, softhsm

__all__ = ["authority", "issue", "serve", "softhsm"]  # fixtures, shared

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-certificate")]

SCRIPT = Path(__file__).parents[2] / "app/static/js/assistant.js"
PAGE = """<!doctype html><meta charset="utf-8"><title>site</title><link rel="icon" href="data:,">
<meta name="usbkey-assistant" content="{assistant}"><button>签名</button><output></output>
<script type="module">
import {{ assistant }} from "/assistant.js";
const request = {{ type: "login", challenge: "{challenge}",
  payload: {{ schema: "login/1", member_no: "{member}", member_name: "市场通测试030207" }} }};
document.querySelector("button").onclick = async () => {{
  const told = await assistant.sign(request).then((signed) => signed.cms, (error) => error.code);
  document.querySelector("output").textContent = told;
}};
</script>"""

KEPT = """new Promise((resolve) => {
  indexedDB.open("usbkey-assistant").onsuccess = (event) => {
    const keys = event.target.result.transaction("keys").objectStore("keys");
    keys.get("pairing").onsuccess = (event) => resolve(event.target.result);
  };
})"""


class Registry(http.server.ThreadingHTTPServer):
    """A site with the registry's script, whose clock may be another than this computer's."""

    daemon_threads = True
    ahead = 0  # seconds
    assistant = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        values = {"assistant": self.server.assistant, "challenge": CHALLENGE, "member": MEMBER}
        is_script = self.path == "/assistant.js"
        content = SCRIPT.read_bytes() if is_script else PAGE.format(**values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_script else "text/html")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.ahead)

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


@pytest.fixture
def registry(serve, softhsm, tmp_path) -> Iterator[Registry]:
    """A site and, trusting it, an assistant with the real driver."""
    server = Registry(("127.0.0.1", 0), Answer)
    keyring = Keyring(usb_keys(MODULE, [], tmp_path / "state"))
    server.assistant = serve(keyring, site=server.url).own
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(locale="zh-CN")
    yield context
    context.close()


def ask(page: Page) -> Page:
    with page.expect_popup() as opened:
        page.get_by_role("button", name="签名").click()
    opened.value.set_viewport_size({"width": 580, "height": 760})
    return opened.value


def pair(window: Page, code: str = CODE) -> None:
    window.get_by_label("配对码").fill(code)
    window.get_by_role("button", name="配对").click()


def confirm(window: Page, pin: str = GOOD) -> None:
    window.get_by_label("PIN码", exact=True).fill(pin)
    window.get_by_role("button", name="确定").click()


def test_a_browser_is_paired_once_and_signs_with_the_chosen_key(
    registry, browser, issue, album, chromium
):
    (first, _), (second, _) = issue(MEMBER), issue(MEMBER)
    page = browser.new_page()
    page.goto(registry.url)
    window = ask(page)
    expect(window.get_by_role("heading", level=1)).to_have_text("在此浏览器中首次使用")
    for wrong in ("", "AAAA-BBBB-CCCC-DDDD"):
        pair(window, wrong)
        expect(window.locator("#pair-message")).to_have_text("配对码不正确，请核对后重新填写。")
    take_everyway(album, window, "assistant-pairing")
    pair(window, CODE.lower())
    expect(window.get_by_role("radio")).to_have_count(2)
    for serial in (first, second):
        expect(window.locator("#list")).to_contain_text(f"序列号 {serial}")
    take_everyway(album, window, "assistant-two-keys")
    window.locator(".choice").filter(has_text=second).get_by_role("radio").check()
    with window.expect_event("close"):
        confirm(window)
    expect(page.locator("output")).not_to_have_text("")

    # Once: the next window asks for no code, and no script can read the kept key out.
    window = ask(page)
    expect(window.get_by_role("radio")).to_have_count(2)
    read_out = "key => crypto.subtle.exportKey('raw', key).then(() => 'read', (e) => e.name)"
    assert window.evaluate(f"{KEPT}.then({read_out})") == "InvalidAccessError"
    # Another browser of this computer has to be paired itself.
    other = chromium.new_context()
    stranger = other.new_page()
    stranger.goto(registry.url)
    expect(ask(stranger).get_by_label("配对码")).to_be_visible()
    other.close()


def test_a_key_pulled_out_put_back_and_locked(registry, browser, issue, tmp_path, album):
    page = browser.new_page()
    page.goto(registry.url)
    window = ask(page)
    pair(window)
    expect(window.locator("#none")).to_contain_text("没有找到证书")
    (serial, _), (other, _) = issue(MEMBER), issue("P42")
    window.get_by_role("button", name="重新读取").click()
    expect(window.get_by_role("radio")).to_have_count(2)
    chosen = window.locator(".choice").filter(has_text=serial)
    chosen.get_by_role("radio").check()
    inside, pocket = folder_of(serial, tmp_path), tmp_path / "pocket"
    shutil.move(inside, pocket)
    confirm(window)
    expect(window.locator("#message")).to_contain_text("没有读到所选的USBKey，可能已被拔出")
    shutil.move(pocket, inside)
    for left in (4, 3, 2, 1):
        confirm(window, "000000")
        expect(window.locator("#message")).to_have_text(f"PIN码错误，还可尝试 {left} 次。")
    confirm(window, "000000")
    expect(window.locator("#message")).to_contain_text("USBKey已锁定")
    expect(window.get_by_role("button", name="确定")).to_be_disabled()
    # The lock is that key's: another can still be chosen, and the locked one is marked.
    window.get_by_role("button", name="重新读取").click()
    expect(chosen).to_contain_text("已锁定")
    expect(chosen.get_by_role("radio")).to_be_disabled()
    album.take(window, "assistant-locked", whole=True)
    window.locator(".choice").filter(has_text=other).get_by_role("radio").check()
    with window.expect_event("close"):
        confirm(window)


def test_a_wrong_clock_is_named_in_the_window(registry, browser, issue, album):
    issue(MEMBER)
    registry.ahead = 3 * 3600 + 38 * 60 + 30
    page = browser.new_page()
    page.goto(registry.url)
    window = ask(page)
    pair(window)
    expect(window.locator("#clock")).to_contain_text("本机时间不正确")
    expect(window.locator("#clock")).to_contain_text("本机慢 3 小时 38 分钟")
    window.get_by_role("radio").check()
    confirm(window, "000000")
    expect(window.locator("#message")).to_contain_text("没有签名，也没有试PIN码")
    take_everyway(album, window, "assistant-clock")
    registry.ahead = 0
    window.close()
    window = ask(page)
    expect(window.locator("#clock")).to_be_hidden()


def take_everyway(album, window: Page, name: str) -> None:
    for size in (WIDE, PHONE, {"width": 580, "height": 760}):
        window.set_viewport_size(size)
        for scheme in ("light", "dark"):
            window.emulate_media(color_scheme=scheme)
            album.take(window, f"{name}-{size['width']}-{scheme}", whole=True)
    window.emulate_media(color_scheme="light")
