"""Names are compared folded, and PostgreSQL folds as Python does."""

from __future__ import annotations

import unicodedata

import pytest
from sqlalchemy import literal, select, text

from app.domain.texts import folded
from app.extensions import db
from app.models import Account
from app.models.account import folded_sql, has_part
from tests.factories import account

SAME = [
    ("湖北示例（襄阳）发电有限公司", "湖北示例(襄阳)发电有限公司"),
    ("湖北示例〇一三发电有限公司", "湖北示例○一三发电有限公司"),
    ("湖北示例〇一三发电有限公司", "湖北示例◯一三发电有限公司"),
    ("⻩冈⻢城⻘山⽔泥⼚", "黄冈马城青山水泥厂"),  # as copied from a PDF
    ("91420100ma4k2x7r0a", "９１４２０１００ＭＡ４Ｋ２Ｘ７Ｒ０Ａ"),
    (" 甲 发电\u3000有限\xa0公司\t", "甲发电有限公司"),
    ("约翰•李－史密斯", "约翰·李-史密斯"),
    ("ＡＢＣ电厂①号", "abc电厂1号"),
]
SAMPLES = [
    *(each for pair in SAME for each in pair),
    "", "𠮷㑇䶮囍", "ñ n\u0303", "İıßſK", "㈱㏒Ⅷﬁ", "👍🏽", "ㄅㄆ", "한글", "e\u0301" * 5,
    *("".join(chr(c) for c in range(start, start + 64)
              if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Cc"))
      for start in [*range(0x20, 0x3100, 64), *range(0xF900, 0x10000, 64), *range(0x1F100, 0x1F200, 64),
                    *range(0x2F800, 0x2FA20, 64)]),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_look_alike_are_equal(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("甲厂", "乙厂"), ("一厂", "—厂"), ("甲0", "甲O"), ("末", "未"), ("零", "〇")],
)
def test_different_names_stay_different(one, other):
    assert folded(one) != folded(other)


def test_folding_again_changes_nothing():
    for each in [name for pair in SAME for name in pair]:
        assert folded(folded(each)) == folded(each)


def test_postgresql_folds_as_python_does(app):
    query = text(f"SELECT {folded_sql('name')} FROM unnest(CAST(:names AS text[])) AS name")
    found = db.session.scalars(query, {"names": SAMPLES}).all()

    assert found == [folded(each) for each in SAMPLES]
    assert len(SAMPLES) > 200


@pytest.mark.parametrize(
    "typed", ["(襄阳)", "（襄 阳）", "示例(襄", "发⽤", "○一", "〇一", "%", "_"]
)
def test_a_name_is_found_however_it_is_typed(app, typed):
    kept = account("湖北示例（襄阳）发用〇一公司")
    other = account("百分100%_公司")

    found = db.session.scalars(select(Account.id).where(has_part(Account.name, typed))).all()

    assert found == ([other.id] if typed in "%_" else [kept.id])
    assert kept.name == "湖北示例（襄阳）发用〇一公司"


def test_a_text_without_a_folded_column_is_folded_as_it_is_searched(app):
    assert db.session.scalar(select(has_part(literal("厅（甲）〇"), "(甲)○")))


def test_a_search_by_name_reads_the_folded_column_and_no_other(app):
    condition = str(has_part(Account.name.label("account"), "甲"))
    assert "account.name_folded LIKE" in condition
    assert "normalize" not in condition
