"""The Chinese catalogue is complete and consistent; every kind is declared everywhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from babel.messages.catalog import Message
from flask_babel import force_locale

from app.domain.kinds import KINDS
from app.domain.moves import Bucket
from app.domain.workflow import MACHINES, Party
from app.security.roles import ROLES
from app.views.applications.desk import ApplicationDesk
from app.views.applications.list import ApplicationList
from tools import translations
from tools.refusals import ROOT, Sources

PLACEHOLDER = re.compile(r"%\((\w+)\)([sdif])|%(?!\()([sdif%])|\{(\w*)\}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def texts(message: Message) -> list[tuple[str, str]]:
    """Return (original, translation) of every form of a message."""
    originals = message.id if isinstance(message.id, tuple) else (message.id,)
    found = message.string if isinstance(message.string, tuple) else (message.string,)
    return [(originals[min(n, len(originals) - 1)], text) for n, text in enumerate(found)]


def placeholders(text: str) -> list[tuple[str, ...]]:
    return sorted(PLACEHOLDER.findall(text))


def test_every_text_of_the_code_is_translated():
    known = translations.catalogue()
    missing = [
        message.id
        for message in translations.template()
        if message.id and not translations.is_translated(known, message)
    ]
    assert missing == []


def test_every_text_in_the_catalogue_is_translated():
    """Includes Flask-AppBuilder's texts, which reach people through ours."""
    known = translations.catalogue()
    assert [m.id for m in known if m.id and not translations.is_translated(known, m)] == []


def test_texts_of_flask_appbuilder_are_in_the_catalogue():
    known = {message.id for message in translations.catalogue() if message.id}
    # Its own sentences; single words of its example applications are of no use to anybody.
    sentences = {text for text in translations.appbuilder_texts() if text.count(" ") >= 2}
    assert sentences - known == set()


def test_translations_keep_the_places_of_their_messages():
    wrong = [
        (original, text)
        for message in translations.catalogue()
        if message.id and message.id.isascii()
        for original, text in texts(message)
        if placeholders(original) != placeholders(text)
    ]
    assert wrong == []


def test_translations_are_chinese():
    """A copied text would count as translated; some are identical in both."""
    same = {"OpenID"}
    wrong = [
        text
        for message in translations.catalogue()
        if message.id
        for original, text in texts(message)
        if re.search(r"[A-Za-z]{3}", PLACEHOLDER.sub("", original))
        and not CHINESE.search(text)
        and text not in same
    ]
    assert wrong == []


def test_the_compiled_catalogue_is_what_is_shown(app):
    with force_locale("zh"):
        assert str(KINDS["registry_to_trading"].title) == "登记发起登记转交易"


def holders(pages: list, permission: str) -> set[str]:
    """Return the roles that hold a permission on one of the pages."""
    asked = {(f"can_{permission}", page.class_permission_name) for page in pages}
    return {role.code for role in ROLES.values() if role.permissions() & asked}


@pytest.mark.parametrize("code", KINDS)
def test_a_kind_has_title_page_menu_and_roles(app, code):
    kind = KINDS[code]
    with force_locale("zh"):
        assert CHINESE.search(str(kind.title))
    pages = [
        view
        for view in app.appbuilder.baseviews
        if isinstance(view, ApplicationList) and getattr(view, "kind", "") == code
    ]
    desks = [page for page in pages if isinstance(page, ApplicationDesk)]
    # What a machine starts is looked at alone; everything else is started at one desk.
    assert len(desks) == (kind.started_by not in MACHINES)
    assert pages
    for page in pages:
        with force_locale("zh"):
            assert CHINESE.search(str(page.title))
        assert page.menu
        assert page.menu.chapter.title
    readers = holders(pages, "list")
    assert readers >= {"registry_maker", "registry_checker"}
    if kind.started_by not in (Party.REGISTRY, Party.PLATFORM):
        assert readers >= {"province"}
    if kind.started_by not in (Party.REGISTRY, Party.PLATFORM, Party.OFFICE, Party.AUTHORITY):
        assert readers >= {"enterprise"}
    writers = holders(pages, "write")
    starters = {
        Party.APPLICANT: {"enterprise", "enterprise_maker"},
        Party.REGISTRY: {"registry_maker"},
        Party.OFFICE: {"province", "registry_maker"},
        Party.AUTHORITY: {"province"},
    }
    assert writers == starters.get(kind.started_by, set())


def test_kinds_are_told_apart():
    assert len({kind.prefix for kind in KINDS.values()}) == len(KINDS)
    assert {code: kind.code for code, kind in KINDS.items()} == {code: code for code in KINDS}


def test_the_glossary_has_every_kind_and_bucket():
    words = {f"`{code}`" for code in KINDS}
    words |= {f"`{each.column}` (`Bucket.{each.name}`, {each})" for each in Bucket}
    glossary = (translations.ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert {word for word in words if word not in glossary} == set()


def test_the_menu_is_the_manual_s(app):
    with force_locale("zh"):
        found = {
            str(category.label): [str(entry.label) for entry in category.childs]
            for category in app.appbuilder.menu.get_list()
            if category.childs
        }
    order = [
        "账户管理",
        "持仓划转管理",
        "结算管理",
        "履约管理",
        "结转管理",
        "CCER抵销",
        "存管返还管理",
        "自愿注销管理",
        "质押登记管理",
        "资金管理",
        "信息查询",
        "审核管理",
        "发放管理",
        "冻结收缴管理",
        "系统管理",
    ]
    assert list(found) == order
    assert found["持仓划转管理"] == [
        "登记发起登记转交易",
        "划转权限",
        "交易发起交易转登记",
        "交易发起登记转交易",
    ]


def test_every_refusal_of_the_program_is_in_the_table():
    """Each place that makes a RuleError, or a class of it: its message is found, and listed."""
    sources = Sources()
    assert sources.not_understood() == [], "tools/refusals.py finds no message there"
    found = sources.refusals
    made = sum(
        len(re.findall(r"\b(?:RuleError|NotAllowed|NotFound)\(", path.read_text(encoding="utf-8")))
        for path in (ROOT / "app").rglob("*.py")
    )
    assert len(found) > made * 0.95
    known = {message.id: message.string for message in translations.catalogue() if message.id}
    listed = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    missing = {
        (each.module, message)
        for each in found
        for message in each.messages
        if " ".join((known.get(message) or message).replace("|", "\\|").split()) not in listed
    }
    assert missing == set(), "run tools/rules.py"


def test_the_table_of_rules_is_the_code_s():
    """docs/rules.md: which rule guards which kind at which step, with its code and message."""
    command = [sys.executable, "tools/rules.py", "--check"]
    assert subprocess.run(command, capture_output=True, check=False).stderr == b""
