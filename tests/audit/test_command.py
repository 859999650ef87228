"""`flask audit-day`: what it prints, and how it exits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg
import pytest

import audit
from app.audit_command import TITLES
from tests.audit.conftest import OPENING
from tests.markets import DAY


@pytest.fixture
def run(app):
    """Return a function that runs the command."""
    return lambda *arguments: app.test_cli_runner().invoke(args=["audit-day", *arguments])


def test_an_honest_day_in_one_line_and_a_conclusion(settled, run):
    done = run("--day", "2026-11-20")
    counted, conclusion = done.output.splitlines()
    assert done.exit_code == 0
    assert counted == "2026-11-20：数据包 1 份，成交 2 笔（已交收 2 笔），移动 8 笔，合计 11 项"
    assert conclusion.startswith("两账一致；已封存，封存值 ")
    again = run()  # the last settled day
    assert again.exit_code == 0
    assert again.output.splitlines()[1].startswith("两账一致；此前已封存，封存值 ")


def test_a_difference_is_a_line_with_its_key_and_both_figures(settled, run):
    settled.tamper(
        "UPDATE holding SET trading = trading + 5 WHERE (account_id, instrument_id) = (%s, %s)",
        settled.buyer.id, settled.market.cea.id,
    )  # fmt: skip
    done = run()
    pocket = f"{settled.buyer.member_no} {settled.market.cea.code} trading"
    lines = done.output.splitlines()
    assert done.exit_code == 3
    assert f"持有量与移动记录的合计不符：{pocket}：应为 2000，实为 2005" in lines
    assert lines[-1] == "2 处不符：该日不予封存"


def test_for_programs_it_answers_with_json(settled, run):
    honest = json.loads(run("--json").output)
    assert (honest["agrees"], honest["findings"], honest["day"]) == (True, [], DAY.isoformat())
    assert len(honest["digest"]) == 64
    settled.tamper("DELETE FROM settlement_confirmation")
    done = run("--json")
    told = json.loads(done.output)
    assert (done.exit_code, told["agrees"]) == (3, False)
    assert told["counts"] == {"confirmation_invalid": 1}
    assert told["findings"] == [
        {
            "code": "confirmation_invalid",
            "key": f"{settled.market.venue_code} {DAY}",
            "expected": "",
            "found": "",
        }
    ]


def test_the_book_is_opened_once(books, run):
    opened = run("--opening", "--day", OPENING.isoformat())
    assert opened.exit_code == 0
    assert "合计 4 项" in opened.output
    again = run("--opening", "--day", OPENING.isoformat())
    assert (again.exit_code, again.output) == (1, "错误：第二账已经开账\n")


def test_what_cannot_be_checked_exits_with_1(books, run, monkeypatch):
    assert run().output == "错误：尚无已结算的日期\n"
    assert run("--opening").output == "错误：--opening 须与 --day 一起使用\n"

    def fail(*_arguments, **_more):
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr("app.audit_command.psycopg.connect", fail)
    done = run()
    assert (done.exit_code, done.output) == (1, "错误：数据库没有应答：connection refused\n")


def test_every_code_has_a_title():
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(audit.__file__).parent.glob("*.py")
    )
    written = re.findall(
        r"(?:findings\.(?:add|compare)|compare|_compare_columns)\(\s*\"([a-z_]+)\"", source
    )
    assert set(written) == set(TITLES)
