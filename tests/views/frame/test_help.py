"""帮助: every page leads to an existing section of the reader's guide."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from app.security.roles import ROLES, may_open
from app.views.frame.help import GUIDES, parsed
from app.views.lists.listing import ListPage
from tests.factories import account, member


def pages_with_section(app) -> list:
    """Return the pages described by a guide: menu entries and the lists beneath them."""
    return [page for page in app.appbuilder.baseviews if page.menu or isinstance(page, ListPage)]


@pytest.mark.parametrize("role", ROLES)
def test_every_page_that_a_role_may_open_has_its_section(app, role):
    guide = ROLES[role].guide
    _tokens, headings = parsed(guide)
    anchors = {heading.anchor for heading in headings}
    pages = [page for page in pages_with_section(app) if may_open(ROLES[role], page)]
    assert len(pages) > 5
    assert [page.endpoint for page in pages if page.guide.get(guide) not in anchors] == []


@pytest.mark.parametrize("guide", sorted({role.guide for role in ROLES.values()}))
def test_every_section_named_exists_in_the_guide(app, guide):
    _tokens, headings = parsed(guide)
    anchors = [heading.anchor for heading in headings]
    assert len(anchors) == len(set(anchors)), "two headings of one name"
    named = {page.guide[guide] for page in app.appbuilder.baseviews if guide in page.guide}
    assert named
    assert named - set(anchors) == set()
    assert {name for page in app.appbuilder.baseviews for name in page.guide} <= GUIDES.keys()


def test_the_button_leads_to_the_section_of_one_s_own_guide(app, sign_in):
    for person, guide, section in (
        (member(of=account()), "enterprise", "一持仓信息查询"),
        (member("province", province="42"), "province", "查询"),
        (member("registry_checker"), "registry", "信息查询"),
    ):
        page = sign_in(person).get("/holdings/").text
        found = re.search(r'href="(/help/[^"]+)" title="帮助"', page)
        assert found
        assert unquote(found[1]) == f"/help/{guide}#{section}"


@pytest.mark.parametrize("guide", GUIDES)
def test_links_and_pictures_of_a_guide_lead_somewhere(app, sign_in, guide):
    browser = sign_in(member("auditor"))
    page = browser.get(f"/help/{guide}").text
    article = page[page.index("<article") : page.index("</article>")]
    assert ".md" not in article
    assert "../" not in article
    for name in set(re.findall(r'src="([^"]+)"', article)):
        with browser.get(name) as picture:
            assert picture.status_code == 200, name
            assert picture.mimetype == "image/png"
    for target in set(re.findall(r'href="([^"]+)"', article)):
        path, _hash, place = unquote(target).partition("#")
        there = browser.get(path).text if path else page
        assert not place or f'id="{place}"' in there, target


@pytest.mark.parametrize(
    "address",
    [
        "/help/nothing",
        "/help/pictures/nothing.png",
        "/help/pictures/..%2f..%2fREADME.md",
        "/help/x.md",
    ],
)
def test_nothing_but_the_guides_is_served(app, sign_in, address):
    assert sign_in(member("auditor")).get(address).status_code == 404


def test_markup_in_a_guide_is_text(app, monkeypatch, tmp_path):
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "usbkey.md").write_text("# 甲\n\n## 乙\n\n<script>1</script>", "utf-8")
    monkeypatch.setattr("app.views.frame.help._folder", lambda: tmp_path)
    tokens, headings = parsed("usbkey")
    assert [heading.anchor for heading in headings] == ["甲", "乙"]
    assert "html_block" not in {token.type for token in tokens}
