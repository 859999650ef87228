"""通知公告 on screen: audience, unread count, and the acts of officers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from app.extensions import db, transaction
from app.models import Announcement
from app.operations.records import announcements, clock
from app.operations.records.actor import Actor
from app.operations.records.announcements import Content
from app.views.administration.announcements import paragraphs
from tests.factories import account, member

CONTENT = Content("系统维护通知", "周六维护。\n\n详见 https://www.mee.gov.cn/a?b=1。<b>注意</b>")
FORM = {"title": "通知", "text": "正文", "audience": "everybody", "province": ""}


@pytest.fixture
def officers(app):
    return {role: member(f"registry_{role}") for role in ("maker", "checker")}


@pytest.fixture
def publish(officers):
    """Return a function that writes and publishes an announcement."""
    maker, checker = (Actor.of(officers[role]) for role in ("maker", "checker"))

    def run(content: Content = CONTENT) -> int:
        with transaction():
            made = announcements.write(content, maker, now=clock.now())
            announcements.publish(made, checker, version=1, now=clock.now())
        return made

    return run


def unread(browser) -> str:
    """Return the number at the bell in the header, "" without one."""
    found = re.search(r'未读公告: (\d+)"', browser.get("/").text)
    return found[1] if found else ""


def test_opening_one_marks_it_read(publish, sign_in):
    made = publish()
    browser, other = sign_in(member(of=account())), sign_in(member("auditor"))
    assert unread(browser) == "1"
    assert "未读" in browser.get("/announcements/").text

    page = browser.get(f"/announcements/{made}").text
    assert "周六维护。" in page
    assert "未读公告" not in page  # The header knows it at once.
    assert unread(browser) == ""
    assert [line for line in browser.get("/announcements/?state=unread").text.splitlines()
            if f'href="/announcements/{made}"' in line] == []  # fmt: skip
    assert unread(other) == "1"


def test_all_are_marked_read_at_once(publish, sign_in):
    for _each in range(3):
        publish()
    browser = sign_in(member(of=account()))
    page = browser.post("/announcements/read", follow_redirects=True).text
    assert "已将 3 条公告标为已读。" in page
    assert "全部标为已读" not in page
    assert unread(browser) == ""


@pytest.mark.parametrize(
    ("audience", "province", "answers"),
    [
        ("enterprises", "42", (200, 404, 404)),
        ("authorities", None, (404, 404, 200)),
        ("everybody", "31", (404, 200, 404)),
    ],
)
def test_it_is_not_found_outside_its_audience(publish, sign_in, audience, province, answers):
    made = publish(replace(CONTENT, audience=audience, province=province))
    people = (
        member(of=account()),
        member(of=account("乙水泥有限公司", "31")),
        member("province", province="42"),
    )
    for person, answer in zip(people, answers, strict=True):
        browser = sign_in(person)
        assert browser.get(f"/announcements/{made}").status_code == answer
        for address in ("/", "/announcements/", "/announcements/export.csv"):
            with browser.get(address) as page:
                assert (CONTENT.title in page.get_data(as_text=True)) == (answer == 200), address


def test_a_draft_and_what_is_withdrawn_are_the_officers_alone(publish, officers, sign_in):
    with transaction():
        maker, checker = (Actor.of(officers[role]) for role in ("maker", "checker"))
        draft = announcements.write(CONTENT, maker, now=clock.now())
    gone = publish()
    with transaction():
        announcements.withdraw(gone, checker, now=clock.now())
    reader, officer = sign_in(member(of=account())), sign_in(officers["checker"])
    for made in (draft, gone):
        assert reader.get(f"/announcements/{made}").status_code == 404
        assert officer.get(f"/announcements/{made}").status_code == 404
        assert officer.get(f"/announcement-desk/{made}").status_code == 200
    assert reader.get("/announcement-desk/").status_code == 403


def test_the_officers_write_publish_pin_and_withdraw(app, officers, sign_in):
    maker, checker = (sign_in(officers[role]) for role in ("maker", "checker"))
    page = maker.post("/announcement-desk/new", data=FORM, follow_redirects=True)
    assert "草稿已保存，由另一人发布。" in page.text
    made = db.session.scalar(db.select(Announcement.id))
    desk = f"/announcement-desk/{made}"

    changed = FORM | {"title": "更正", "version": "1"}
    assert "更正" in maker.post(f"{desk}/edit", data=changed, follow_redirects=True).text
    assert maker.post(f"{desk}/publish", data={"version": "2"}).status_code == 403
    assert checker.post(f"{desk}/edit", data=changed).status_code == 403
    assert checker.post(f"{desk}/publish", data={"version": "1"}).status_code == 409
    page = checker.post(f"{desk}/publish", data={"version": "2"}, follow_redirects=True)
    assert "公告已发布。" in page.text

    reader = sign_in(member(of=account()))
    reader.get(f"/announcements/{made}")
    assert "1 / 3" in checker.get("/announcement-desk/").text  # of maker, checker and reader
    checker.post(f"{desk}/pin", data={"is_pinned": "1"})
    assert "置顶</span>" in reader.get("/").text
    checker.post(f"{desk}/withdraw")
    assert "更正" not in reader.get("/").text
    assert maker.get(f"{desk}/edit").status_code == 302


def test_a_refused_form_keeps_what_was_typed(app, officers, sign_in):
    browser = sign_in(officers["maker"])
    page = browser.post("/announcement-desk/new", data=FORM | {"title": "长" * 101})
    assert page.status_code == 422
    assert "长" * 101 in page.text
    assert "正文" in page.text


def test_pinned_ones_stand_first(publish, sign_in):
    publish(replace(CONTENT, title="置顶的", is_pinned=True))
    publish(replace(CONTENT, title="后来的"))
    browser = sign_in(member("auditor"))
    for address in ("/", "/announcements/"):
        page = browser.get(address).text
        assert page.index("置顶的") < page.index("后来的")


def test_texts_are_text_and_links_lead_to_the_web_alone():
    first, second = paragraphs(CONTENT.text)
    url = "https://www.mee.gov.cn/a?b=1"
    assert str(first) == "周六维护。"
    assert f'<a href="{url}" rel="noopener noreferrer nofollow">{url}</a>。' in second
    assert "&lt;b&gt;注意" in second
    for text in ("javascript:alert(1)", 'https://x"onclick=alert(1)', "http://<script>"):
        (line,) = paragraphs(text)
        assert not re.search(r"<(?!/?a[ >])|onclick=[^<]*\">", line), line
