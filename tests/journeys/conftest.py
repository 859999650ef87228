"""A server, a Chromium and visitors for the journeys; console errors fail a journey."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    expect,
    sync_playwright,
)

from app import embedded
from app.installation.demo import DEMO_PASSWORD
from tests.journeys.support.pictures import WIDE, Album
from tests.journeys.support.served import (
    Demonstration,
    Site,
    demonstrating,
    make_template,
    serving,
)

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20_000  # Milliseconds to wait for anything.
SWITCHES = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-dev-shm-usage",
]

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def _template(cluster: embedded.Cluster) -> None:
    make_template(cluster)


@pytest.fixture(scope="session")
def _test_site(cluster: embedded.Cluster, _template: None) -> Iterator[Site]:
    with serving(cluster, "test") as site:
        yield site


@pytest.fixture(scope="session")
def _demo_site(cluster: embedded.Cluster, _template: None) -> Iterator[Site]:
    with serving(cluster, "demo") as site:
        yield site


@pytest.fixture
def site(_test_site: Site) -> Site:
    """The registry in its test profile, freshly seeded, at 10:00 of a trading day."""
    _test_site.reset()
    return _test_site


@pytest.fixture
def demo_site(_demo_site: Site) -> Site:
    """The registry as `make run` starts it, with its 验证码."""
    _demo_site.reset()
    return _demo_site


@pytest.fixture
def demo_worker(demo_site: Site) -> Iterator[None]:
    """The demonstration's worker, for as long as one journey lasts."""
    with demo_site.worker():
        yield


@pytest.fixture(scope="session")
def demonstration(cluster: embedded.Cluster) -> Iterator[Demonstration]:
    """A whole demonstration of its own, for trading days."""
    with demonstrating(cluster) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of this test process."""
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        pytest.fail(
            "the journeys need Chromium: sudo apt-get install -y chromium fonts-noto-cjk",
            pytrace=False,
        )
    expect.set_options(timeout=PATIENCE)
    switches = [*SWITCHES, "--no-sandbox"] if os.geteuid() == 0 else SWITCHES
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Folder of the pictures of this journey."""
    folder = Path(os.environ.get("PICTURE_FOLDER") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return Album(folder)


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Return a function that opens a separate browser context on a site."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(site: Site, *, script: bool = True, viewport: dict[str, int] = WIDE) -> Page:
        context = chromium.new_context(
            base_url=site.url,
            viewport=viewport,  # type: ignore[arg-type]
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            java_script_enabled=script,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        _listen(page, site, complaints)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _listen(page: Page, site: Site, complaints: list[str]) -> None:
    def hear(message: ConsoleMessage) -> None:
        # A form that is shown again answers 400 or 422; Chromium reports that as if it were a fault.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(f"{message.type}: {message.text}")

    def look(response: Response) -> None:
        is_page = response.request.resource_type == "document"
        if response.status >= 500 or (response.status >= 400 and not is_page):
            complaints.append(f"{response.status}: {response.url}")
        if not response.url.startswith((site.url, "data:", "blob:")):
            complaints.append(f"a foreign host: {response.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("response", look)


def sign_in(page: Page, login: str, password: str = DEMO_PASSWORD) -> None:
    """Sign in as a member does, where no 验证码 is asked."""
    page.goto("/login/")
    page.get_by_label("会员编号").fill(login)
    page.get_by_label("密码", exact=True).fill(password)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/")


def choose_certificate(page: Page, name: str, pin: str = "1234") -> None:
    """Tick a certificate in the assistant's window, confirm and enter its PIN (manual 二-二)."""
    page.wait_for_url("**/login/certificate")
    with page.expect_popup() as opened:
        page.get_by_role("button", name="选择证书").click()
    window = opened.value
    window.get_by_role("radio", name=name).check()
    window.get_by_label("PIN码", exact=True).fill(pin)
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()


@pytest.fixture
def member(visit: Visit, site: Site) -> Callable[[str], Page]:
    """Return a function that opens a browser in which a member has signed in, at 首页."""

    def open_page(login: str) -> Page:
        page = visit(site)
        page.context.add_cookies([site.cookie_of(login)])  # type: ignore[list-item]
        page.goto("/")
        return page

    return open_page
