"""操作日志 shows words: every act and detail that the program writes has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import OperationLog
from app.operations.records import clock, log
from app.operations.records.actor import SYSTEM
from app.views.administration.log_words import ACTIONS, DETAILS

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
    assert {"instrument.create", "notice.issue", "attestation.lapse", "announcement.pin"} <= found
    assert found - ACTIONS.keys() == set()


def test_every_detail_has_its_word():
    found = {
        word.arg
        for _path, call in calls()
        if any(VERB.fullmatch(text) for text in texts(call))
        for word in call.keywords
        if word.arg and word.arg not in NOT_DETAILS
    }
    assert found >= {"is_allowed", "trade_code", "effective_from"} - {"effective_from"}
    assert found - DETAILS.keys() == set()


@pytest.fixture
def auditor(app, sign_in):
    from tests import factories

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


def test_its_times_are_those_of_the_header_s_clock(auditor):
    with transaction():
        log.record(SYSTEM, "job.start", subject="1")
    now = clock.now()
    page = auditor.get("/operation-log/").text
    assert f"{now:%Y-%m-%d %H:}" in page
    assert "2026-11-20" in page
