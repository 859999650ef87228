"""No password, PIN or code in any log or table."""

from __future__ import annotations

import logging
import re

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import OperationLog
from app.operations.records import log
from tests.security.conftest import ENTERPRISE, OTHER, PASSWORD, SECURITY_ADMIN

WRONG, WEAK, CHOSEN = "Wrong-Horse-77", "weakhorse77", "Chosen-Horse-77"


@pytest.fixture
def everything(cluster):
    """Return a function that reads every text of every table, by table and column."""

    def read() -> dict[str, str]:
        found = {}
        with cluster.connect("registry") as connection:
            columns = connection.execute(
                "SELECT table_schema, table_name, column_name FROM information_schema.columns"
                " JOIN information_schema.tables USING (table_schema, table_name)"
                " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
                " AND table_type = 'BASE TABLE'"
            ).fetchall()
            for schema, table, column in columns:
                text = connection.execute(
                    f'SELECT string_agg("{column}"::text, chr(10)) FROM {schema}."{table}"'
                ).fetchone()[0]
                found[f"{table}.{column}"] = text or ""
        return found

    return read


def columns_with(secret: str, texts: dict[str, str]) -> list[str]:
    """Return the columns that contain a secret, as text or bytes."""
    return [
        where
        for where, text in texts.items()
        if secret in text or (len(secret) > 7 and secret.encode().hex() in text)
    ]


def use_secrets(app, browser, new_browser, people) -> dict[str, str]:
    """Sign in wrongly and rightly, change and reset passwords; return the secrets used."""
    browser.sign_in(ENTERPRISE, WRONG)
    browser.sign_in("21042399999", WRONG)
    browser.sign_in()
    browser.submit("/password/", original=WRONG, new=CHOSEN, confirm=CHOSEN)
    browser.submit("/password/", original=PASSWORD, new=WEAK, confirm=WEAK)
    assert (
        browser.submit("/password/", original=PASSWORD, new=CHOSEN, confirm=CHOSEN).status_code
        == 302
    )
    officer = new_browser("192.0.2.10")
    officer.sign_in(SECURITY_ADMIN)
    page = officer.submit("/password/", f"/members/{people[OTHER]}/reset").text
    (first,) = re.findall(r">([A-Za-z2-9]{5}-[A-Za-z2-9]{5}-[A-Za-z2-9]{5})<", page)
    with browser.client.session_transaction() as session:
        token = session["token"]
    return {
        "the old password": PASSWORD, "a wrong password": WRONG, "a weak password": WEAK,
        "the new password": CHOSEN, "a first password": first, "the session's token": token,
    }  # fmt: skip


def test_no_table_and_no_log_holds_a_secret(
    app, browser, new_browser, people, everything, caplog, cluster
):
    caplog.set_level(logging.DEBUG)
    secrets = use_secrets(app, browser, new_browser, people)

    texts = everything()
    assert texts["login_record.member_no"]
    assert texts["operation_log.action"].count("password.") >= 3
    for name, secret in secrets.items():
        holders = columns_with(secret, texts)
        assert holders == [], f"{name} is in {holders}"
        assert secret not in caplog.text, f"{name} is in the program's log"
    for path in cluster.folder.rglob("*log*"):
        if path.is_file():
            content = path.read_bytes()
            for name, secret in secrets.items():
                assert secret.encode() not in content, f"{name} is in {path.name}"


def test_the_answer_of_a_captcha_is_in_no_log(browser, with_captcha, everything):
    browser.get("/login/")
    _id, answer = browser.captcha()
    browser.sign_in(captcha="wrong")
    logs = ("operation_log.detail", "operation_log.subject", "login_record.member_no",
            "login_record.outcome", "outbox_message.body", "outbox_message.subject")  # fmt: skip
    texts = [text for where, text in everything().items() if where in logs]
    assert len(texts) == len(logs)
    assert not any(re.search(rf"\b{answer}\b", text) for text in texts)


def test_a_password_typed_as_the_number_is_not_kept_in_the_log(browser, everything):
    browser.sign_in(WRONG, WRONG)
    browser.sign_in(CHOSEN + " ", PASSWORD)
    written = everything()["login_record.member_no"].splitlines()
    assert sorted(written) == ["Ch***", "Wr***"]


def test_a_mistyped_number_is_kept_as_it_was_typed(browser, everything):
    typed = ["21042399999", "P99", "nobody", "r0001"]
    for number in typed:
        browser.sign_in(number, WRONG)
    written = everything()["login_record.member_no"].splitlines()
    assert sorted(written) == sorted(typed)


def test_what_is_refused_is_written_down_with_who_and_what(app, browser, people):
    browser.sign_in()
    assert browser.get("/members/").status_code == 403
    with app.app_context():
        row = db.session.scalars(
            select(OperationLog).where(OperationLog.action == "access.refused")
        ).one()
        assert (row.member_no, row.ip, row.result) == (ENTERPRISE, "198.51.100.1", "refused")
        assert row.detail == {"path": "GET /members/", "rule": "no_permission"}
        with transaction():
            log.seal()
        db.session.rollback()
        assert log.verify_log().is_sound


def test_a_stranger_who_is_sent_to_sign_in_fills_no_log(app, browser, count):
    browser.get("/members/")
    browser.get("/nowhere/\x1b[31m")
    assert count(OperationLog, OperationLog.action == "access.refused") == 0
