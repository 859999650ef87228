"""操作日志 shows words: every act and detail that the program writes has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import OperationLog
from app.operations.records import log
from app.operations.records.actor import SYSTEM
from app.views.administration.log_words import ACTIONS, DETAILS
from tests import factories
from tests.views.toys import table

ROOT = Path(__file__).resolve().parents[3]
WRITING = {"record", "_record", "_tell", "_log", "_finish"}  # functions that write the log
VERB = re.compile(r"[a-z_]+\.[a-z_]+")
NOT_DETAILS = {"subject", "account_id", "result", "before", "after"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                if called in WRITING:
                    yield path.relative_to(ROOT).as_posix(), node


def texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def verbs() -> set[str]:
    found = {text for _path, call in calls() for text in texts(call) if VERB.fullmatch(text)}
    for path, call in calls():
        if path.endswith("announcements.py") and ast.unparse(call.func) == "_log":
            found.add(f"announcement.{ast.literal_eval(call.args[0])}")
    for path in (ROOT / "app").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for statement in re.findall(r"INSERT INTO operation_log.*?\"\"\"", source, re.DOTALL):
            found |= set(re.findall(r"'([a-z_]+\.[a-z_]+)'", statement))
    return found


def test_every_act_has_its_word():
    found = verbs()
    assert {"instrument.create", "notice.issued", "attestation.lapse", "announcement.pin"} <= found
    assert found - ACTIONS.keys() == set()


def test_every_detail_has_its_word():
    found = {
        word.arg
        for _path, call in calls()
        if any(VERB.fullmatch(text) for text in texts(call))
        for word in call.keywords
        if word.arg and word.arg not in NOT_DETAILS
    }
    assert {"is_allowed", "trade_code"} <= found
    assert found - DETAILS.keys() == set()


@pytest.fixture
def auditor(app, sign_in):
    return sign_in(factories.member("auditor"))


def test_pages_are_named_by_their_titles(auditor):
    about = {"result": "refused", "path": "POST /reviews/5/decide", "rule": "no_permission"}
    with transaction():
        log.record(SYSTEM, "access.refused", subject="ReviewView.decide", **about)
        log.record(
            SYSTEM, "list.export", subject="ReviewView", conditions={"kind": "custody_deposit"}
        )
        log.record(SYSTEM, "parameter.set", subject="lock_failures", reason="试")
        log.record(SYSTEM, "member.role", subject="R1", before=["auditor"], after=["system_admin"])
    page = auditor.get("/operation-log/").text
    assert "ReviewView" not in page
    assert "待办" in page
    assert "lock_failures" not in page
    ids = db.session.scalars(select(OperationLog.id).order_by(OperationLog.id)).all()
    shown = [auditor.get(f"/operation-log/{id_}").text for id_ in ids[-4:]]
    assert "待办" in shown[0]
    assert "ReviewView" not in shown[0]
    assert "存管" in shown[1]
    assert "custody_deposit" not in shown[1]
    assert "审计员" in shown[3]
    assert "系统管理员" in shown[3]
    assert "system_admin" not in shown[3]
    exported = auditor.get("/operation-log/export.csv").text
    assert "ReviewView" not in exported
    assert "待办" in exported


@pytest.mark.parametrize("page", ["/operation-log/", "/login-records/"])
def test_a_page_has_one_clock(app, sign_in, page):
    """The header's last sign-in and the rows are dated by the machine, and shown by the site's clock."""
    member = factories.member("auditor")
    sign_in(member)
    auditor = sign_in(member)
    with transaction():
        log.record(SYSTEM, "job.start", subject="1")
    shown = auditor.get(page).text
    assert f"{datetime.now(BEIJING):%Y-%m-%d}" not in shown
    header = re.search(r"上次登录.*?(\d{4}-\d\d-\d\d \d\d:\d\d)", shown, re.DOTALL)
    assert header
    assert header[1].startswith("2026-11-20 10:")
    assert " ".join(table(shown)[0]).count("2026-11-20 10:") == 1
