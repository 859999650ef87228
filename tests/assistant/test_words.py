"""The assistant has a title for everything that the registry has signed."""

from __future__ import annotations

import re
import subprocess
import sys

from app.domain.kinds import KINDS
from app.installation.reference import CATEGORIES
from app.operations.applications import evidence
from assistant.contents import Request, describe
from assistant.words import LABELS, word_of

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_kind_and_type_has_its_word():
    assert {code for code, kind in KINDS.items() if kind.has_category} == CATEGORIES.keys()
    for kind in KINDS.values():
        assert CHINESE.search(word_of("kind", kind.code, ""))
        for category in CATEGORIES.get(kind.code, ()):
            assert CHINESE.search(word_of("category", category, kind.code))


def test_the_words_are_the_catalogue_s():
    command = [sys.executable, "tools/words.py", "--check"]
    assert subprocess.run(command, capture_output=True, check=False).stderr == b""


def test_a_type_is_called_as_in_its_kind_of_application():
    for kind, word in (("freeze", "司法冻结"), ("confiscation", "司法决定")):
        payload = {"kind": kind, "category": "judicial"}
        (facts,) = describe(Request("submit", "https://registry.example", "A" * 43, payload))
        assert facts["rows"][1] == ["类型", f"{word}（judicial）"]
    # What is no kind at all names no words; the code is shown as it stands.
    payload = {"kind": "other", "category": "judicial"}
    (facts,) = describe(Request("submit", "https://registry.example", "A" * 43, payload))
    assert facts["rows"] == [["业务类型", "other"], ["类型", "judicial"]]


def test_every_part_of_what_is_signed_has_its_word():
    parts = set(re.findall(r"'(\w+)', (?:\w+\.|\(SELECT|CASE|json)", str(evidence._CONTENTS)))
    assert parts
    assert parts <= LABELS.keys()


def test_a_manifest_of_submissions_says_how_many_of_what_and_how_much():
    """Totals come first, then the file, then the list."""
    payload = {
        "schema": evidence.SUBMISSIONS,
        "member_no": "R0001",
        "member_name": "李敏",
        "kind": "issuance",
        "count": 2,
        "enterprises": 2,
        "total": "735",
        "lines": [{"code": "PE2021000025", "name": "配额", "quantity": "735"}],
        "files": [{"batch": "7", "name": "分配表.csv", "sha256": "a" * 64}],
        "items": [{"number": f"FF20260000000{n}", "sha256": "b" * 64} for n in (1, 2)],
    }
    facts, *tables = describe(Request("submit", "https://registry.example", "A" * 43, payload))

    assert facts["rows"][:4] == [
        ["业务类型", "配额发放（issuance）"],
        ["条数", "2"],
        ["单位数", "2"],
        ["合计（吨）", "735"],
    ]
    assert [table["title"] for table in tables] == [
        "明细（共 1 条）",
        "导入文件（共 1 条）",
        "清单（共 2 条）",
    ]
    assert tables[1]["columns"] == ["序号", "导入批次", "名称", "内容摘要（SHA-256）"]
    assert tables[2]["rows"][1] == ["2", "FF202600000002", "b" * 64]


def test_every_act_that_pages_have_signed_has_its_word(app):
    acts = {name for page in app.extensions["pages"].values() for name in page.signed_acts}
    assert {"member.disable", "account.colleague_review", "certificate.revoke"} <= acts
    assert [act for act in sorted(acts) if not CHINESE.search(word_of("act", act, ""))] == []
