"""The assistant knows the words of everything that the registry has signed."""

from __future__ import annotations

import re

from app.domain.kinds import KINDS
from app.installation.reference import CATEGORIES
from app.operations.applications import evidence
from assistant.contents import Request, describe
from assistant.words import LABELS, VALUES


def test_every_kind_and_type_has_its_word():
    assert set(KINDS) <= VALUES["kind"].keys()
    categories = {category for each in CATEGORIES.values() for category in each}
    assert categories <= VALUES["category"].keys()


def test_every_part_of_what_is_signed_has_its_word():
    parts = set(re.findall(r"'(\w+)', (?:\w+\.|\(SELECT|CASE|json)", str(evidence._CONTENTS)))
    assert parts
    assert parts <= LABELS.keys()


def test_a_manifest_of_submissions_says_how_many_of_what_and_how_much():
    """Of thousands of lines the sums come first, then the file, then the list."""
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
