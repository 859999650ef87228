"""帮助: the guides of docs/guide as pages, and the section about each page."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flask import abort, current_app, g, send_file, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from app.security.roles import ALL_ROLES, ROLES, codes_of
from app.views.page import Page

# By name in the address: file in docs/guide, title.
GUIDES: Mapping[str, tuple[str, Any]] = {
    "enterprise": ("重点排放单位.md", _("Emitting enterprise")),
    "province": ("省级主管部门.md", _("Provincial authority")),
    "registry": ("注册登记管理机构.md", _("Registry")),
    "administration": ("系统管理.md", _("System administration")),
    "usbkey": ("usbkey.md", _("USBKey")),
}
_PICTURE = re.compile(r"\.\./pictures/([a-z0-9-]+\.png)")
_NO_LETTER = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a guide and its anchor."""

    level: int
    title: str
    anchor: str


def help_url(member: Any, endpoint: str) -> str:
    """Return the address of the section about a view in the guide of the member's role."""
    guide = guide_of(member)
    page = current_app.extensions["pages"].get(endpoint)
    return url_for("HelpView.show", page=guide, _anchor=page.guide.get(guide) if page else None)


def guide_of(member: Any) -> str:
    """Return the guide of the member's first role."""
    return next((ROLES[code].guide for code in codes_of(member)), "usbkey")


def anchor(title: str) -> str:
    """Return a heading's anchor as code hosts generate it, so that links between files work."""
    return _NO_LETTER.sub("", title.strip().lower()).replace(" ", "-")


def parsed(page: str) -> tuple[list[Token], list[Heading]]:
    """Return the tokens of a guide and its headings; HTML in it is text."""
    name, _title = GUIDES[page]
    text = (_folder() / "guide" / name).read_text(encoding="utf-8")
    tokens = _markdown().parse(text)
    headings = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            heading = Heading(int(token.tag[1:]), inline.content, anchor(inline.content))
            token.attrSet("id", heading.anchor)
            headings.append(heading)
    return tokens, headings


class HelpView(Page):
    """帮助: every member may read all guides."""

    route_base = "/help"
    default_view = "show_own"
    title = _("User guide")
    grants = {ALL_ROLES: "show"}

    @expose("/")
    @has_access
    @permission_name("show")
    def show_own(self) -> Any:
        """Show the guide of the member's role."""
        return self.show(guide_of(g.user))

    @expose("/<page>")
    @has_access
    @permission_name("show")
    def show(self, page: str) -> Any:
        if page not in GUIDES:
            abort(404)
        tokens, headings = parsed(page)
        for token in _inline_tokens(tokens):
            _rewrite_link(token)
        return self.render_template(
            "frame/help.html",
            crumb=gettext("Help"),
            title=headings[0].title,
            page=page,
            # Our own files, parsed with HTML switched off.
            guide=Markup(_markdown().renderer.render(tokens[3:], _markdown().options, {})),  # noqa: S704
            headings=[each for each in headings if each.level in (2, 3)],
            guides=[(name, title) for name, (_file, title) in GUIDES.items()],
        )

    @expose("/pictures/<name>")
    @has_access
    @permission_name("show")
    def picture(self, name: str) -> Any:
        path = _picture(name)
        if path is None:
            abort(404)
        return send_file(path, mimetype="image/png")


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _folder() -> Path:
    return Path(current_app.root_path).parent / "docs"


def _inline_tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def _rewrite_link(token: Token) -> None:
    """Point links and pictures of the files to our addresses; unknown links become text."""
    if token.type == "image":
        token.attrSet("loading", "lazy")
        token.attrSet("alt", token.content)
        found = _PICTURE.fullmatch(str(token.attrs["src"]))
        path = _picture(found[1]) if found else None
        if path:
            # Known sizes keep the layout stable while pictures load.
            with path.open("rb") as file:
                width, height = struct.unpack(">II", file.read(24)[16:])
            token.attrs |= {"width": width, "height": height}
            token.attrSet("src", url_for("HelpView.picture", name=path.name))
    elif token.type == "link_open":
        name, _hash, place = unquote(str(token.attrs["href"])).partition("#")
        page = next((page for page, (file, _title) in GUIDES.items() if file == name), None)
        if page:
            token.attrSet("href", url_for("HelpView.show", page=page, _anchor=place or None))
        elif name:  # For administrators of the server; not served.
            token.tag, token.attrs = "span", {}


def _picture(name: str) -> Path | None:
    path = _folder() / "pictures" / name
    return path if _PICTURE.fullmatch(f"../pictures/{name}") and path.is_file() else None
