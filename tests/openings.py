"""Data of account openings, and the letters to representatives."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from stdnum.cn import ric, uscc

from app.extensions import db, transaction
from app.models import Application, Member, OutboxMessage
from app.operations.accounts import openings
from app.operations.applications import deciding, engine
from app.operations.imports import opening_import, tables
from app.operations.imports.tables import Table
from app.operations.records import clock
from app.operations.records.actor import Actor

HEADINGS = (
    "企业名称", "统一社会信用代码", "所属行业", "省份", "注册地址", "法定代表人", "账户代表姓名",
    "手机号", "邮箱", "身份证号", "开户银行", "银行账号",
)  # fmt: skip
KEYS = tuple(each.key for each in opening_import.COLUMNS)


def credit_code(number: int) -> str:
    """Return the number-th valid credit code."""
    body = f"91420100MA4K{number:05d}"
    return body + uscc.calc_check_digit(body)


def identity_no(number: int) -> str:
    """Return a valid identity number."""
    body = f"42010619800101{number % 1000:03d}"
    return body + ric.calc_check_digit(body + "0")


def enterprise(number: int = 1, **changed: str) -> dict[str, str]:
    """Return the cells of an enterprise, by key."""
    cells = {
        "name": f"江城第{number}发电有限公司",
        "uscc": credit_code(number),
        "sector": "power",
        "province": "42",
        "registered_address": "湖北省武汉市江岸区一元路1号",
        "legal_representative": "王建国",
        "representative": "李晓梅",
        "representative_phone": f"138{number:08d}",
        "representative_email": f"rep{number}@plant.example",
        "representative_identity_no": identity_no(number),
        "bank_name": "中国建设银行武汉分行",
        "bank_account": f"4200123456789{number:06d}",
    }
    return cells | changed


def as_csv(rows: Sequence[dict[str, str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADINGS)
    writer.writerows([[row[key] for key in KEYS] for row in rows])
    return buffer.getvalue().encode()


def table(rows: Sequence[dict[str, str]], name: str = "开户.csv") -> Table:
    """Read the rows as the page does, in the current language."""
    columns = opening_import.COLUMNS
    headings = [str(each.title) for each in columns]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(headings)
    writer.writerows([[row[key] for key in KEYS] for row in rows])
    return tables.read(io.BytesIO(buffer.getvalue().encode()), name, columns)


def imported(rows: Sequence[dict[str, str]], by: Member) -> list[int]:
    """Import a file; return the applications that wait for approval."""
    with transaction():
        done = opening_import.take(table(rows), Actor.of(by), now=clock.now())
    query = db.select(Application.id).where(Application.import_id == done.import_id)
    return list(db.session.scalars(query.order_by(Application.id)))


def confirm(ids: Sequence[int], by: Member) -> engine.Outcome:
    with transaction():
        return deciding.decide(ids, deciding.APPROVE, Actor.of(by), now=clock.now(), comment="")


def write_letters() -> int:
    """Let the worker write pending letters."""
    with transaction():
        return openings.write_letters(now=datetime.now(UTC), most=1000)


class Letters(NamedTuple):
    """The contents of both letters."""

    token: str
    reference: str
    code: str
    mail: str
    sms: str


def letters_of(member_no: str) -> Letters:
    """Return the contents of the last letters to a member."""
    db.session.rollback()
    rows = (
        db.session.query(OutboxMessage)
        .join(Member, Member.id == OutboxMessage.member_id)
        .filter(Member.username == member_no)
        .order_by(OutboxMessage.id)
    )
    found = {row.channel: row for row in rows}
    return read_letters(found["mail"].body, found["sms"].body)


def read_letters(mail: str, sms: str) -> Letters:
    token = re.search(r"#([\w-]{43})", mail)
    reference = re.search(r"(?<!\d)\d{10}(?!\d)", mail)
    code = re.search(r"(?<![0-9A-Z])[2-9A-HJ-KMNP-Z]{10}(?![0-9A-Z])", sms)
    assert reference
    assert code
    return Letters(token[1] if token else "", reference[0], code[0], mail, sms)
