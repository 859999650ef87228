"""A national table through the chain: registry to provinces, provinces to enterprises (ADR 0087)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from flask_babel import force_locale
from sqlalchemy import Row, select

from app.extensions import db, transaction
from app.models import Account, Instrument
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.imports import allocation, province_issues, tables
from app.operations.people.members import NewMember, register_members
from app.operations.records.actor import Actor
from bench.measure import Report, seconds
from bench.review import ENTERPRISES
from bench.world import FIRST_ACCOUNT, MORNING, World

VINTAGE = 2026  # By its plan every issue goes through the province.


def chain(world: World, report: Report) -> None:
    """Import a table of 3,400 enterprises, and issue what it brings to their provinces."""
    took: dict[str, float] = {}
    with world.app.app_context(), force_locale("zh"):
        code, parties = _instrument(), _parties(min(world.accounts, ENTERPRISES))
        maker, checker = officers("CHAIN", "registry_maker", "registry_checker")
        table = _table(parties, code)
        made: list[int] = []
        took["import"] = seconds(lambda: made.extend(_import(table, maker)))
        took["approve"] = seconds(lambda: _approve(made, checker))
        took["issue"] = seconds(lambda: _issue_all({each.province or "" for each in parties}))
        with world.superuser() as connection:
            connection.execute("VACUUM ANALYZE")
        db.session.remove()
    count = f"{len(parties):,}"
    report.add(f"table of {count} enterprises, imported and submitted", [took["import"]], "s")
    report.add(f"{count} issues to provinces, approved", [took["approve"]], "s")
    report.add(f"{count} issues by provinces, submitted and approved", [took["issue"]], "s")
    report.add(f"{count} enterprises through the chain", [sum(took.values())], "s")


def _instrument() -> str:
    with transaction():
        row = Instrument(id=9001, code="PE2026999925", name="2026年度碳排放配额", vintage=VINTAGE)
        db.session.add(row)
    return str(row.code)


def _parties(count: int) -> Sequence[Row[Any]]:
    """Return number, name and province of enterprises, as values: no row is read again."""
    wanted = select(Account.member_no, Account.name, Account.province)
    some = wanted.where(Account.id.between(FIRST_ACCOUNT, FIRST_ACCOUNT + count - 1))
    return db.session.execute(some).all()


def officers(prefix: str, *roles: str, province: str | None = None) -> list[Actor]:
    """Register officers, and return who they are as those that act."""
    newcomers = [
        NewMember(f"{prefix}-{place}", f"{prefix}-{place}", role, province=province)
        for place, role in enumerate(roles, start=1)
    ]
    with transaction():
        ids = register_members(newcomers, None)
    return [
        Actor(ids[each.member_no], each.member_no, each.name, "127.0.0.1", province=province)
        for each in newcomers
    ]


def _table(parties: Sequence[Row[Any]], code: str) -> tables.Table:
    rows = [
        tables.Row(place, dict.fromkeys((each.key for each in allocation.COLUMNS), "") | {
            "member_no": party.member_no, "name": party.name, "code": code, "category": "核定",
            "quantity": "100000",
        })
        for place, party in enumerate(parties, start=2)
    ]  # fmt: skip
    return tables.Table("分配表.csv", "bench-chain", allocation.COLUMNS, rows)


def _import(table: tables.Table, maker: Actor) -> list[int]:
    with transaction():
        return allocation.take(
            table,
            maker,
            now=MORNING,
            document_no="测试〔2026〕1号",
            documented_on=date(2026, 11, 2),
        ).applications


def _approve(ids: list[int], by: Actor) -> None:
    with transaction():
        outcome = engine.approve(ids, by, now=MORNING)
    assert len(outcome.done) == len(ids), outcome.refused[:1]


def _issue_all(provinces: set[str]) -> None:
    """Issue all that waits of the vintage, by two officers of each province."""
    for province in sorted(provinces):
        maker, checker = officers(f"P{province}", "province", "province", province=province)
        lines = db.session.scalars(
            select(waiting_line.c.line_id)
            .join(Account, Account.id == waiting_line.c.account_id)
            .where(Account.province == province, waiting_line.c.remaining > 0)
        ).all()
        with transaction():
            ids = province_issues.draft_waiting(lines, maker, now=MORNING)
            engine.submit_all(ids, maker, now=MORNING)
        _approve(ids, checker)
