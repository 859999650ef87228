"""Pages without business, for testing the list page alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Select, event, insert, select

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Account, AccountSector, Member, TransferPermissionChange
from app.security import manager, sessions
from app.views.lists.listing import (
    BulkResult,
    Column,
    Conditions,
    Filter,
    ListPage,
    RowAction,
    action,
    in_bulk,
)
from app.web import create_app

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=BEIJING)
SECTORS = {"power": ("发电", "green"), "steel": ("钢铁", "amber"), "cement": ("水泥", "grey")}
YES_NO = {True: "是", False: "否"}


class ToyPage(ListPage):
    """Switches of a permission: ties, NULLs, two joined names, times, numbers."""

    route_base = "/toys"
    title = "玩具"
    help = ("只用于测试",)
    account_column = "account_id"
    columns = (
        Column("number", "编号", kind="code"),
        Column("member_no", "会员编号", kind="code"),
        Column("name", "会员名称", is_sortable=True),
        Column(
            "sector", "行业", kind="status", choices=SECTORS, is_sortable=True, is_nullable=True
        ),
        Column("quantity", "数量", kind="quantity", is_sortable=True),
        Column("at", "时间", kind="datetime", is_sortable=True),
        Column("is_allowed", "允许", kind="boolean"),
        Column("ip", "地址", is_shown=False),
        Column("opened_on", "开户日", kind="date", is_shown=False),
    )
    filters = (
        Filter("member_no", "会员编号", kind="prefix"),
        Filter("name", "会员名称"),
        Filter("sector", "行业", kind="choice", choices=SECTORS),
        Filter("allowed", "允许", kind="choice", choices=YES_NO, on=("is_allowed",)),
        Filter("at", "时间", kind="datetime_range"),
        Filter("day", "日期", kind="date_range", on=("at",)),
        Filter("opened", "开户日", kind="date", on=("opened_on",)),
        Filter("quantity", "数量", kind="quantity_range"),
        Filter("either", "名称或地址", on=("name", "ip")),
        Filter("as_of", "截至", kind="datetime", applies=False),
        Filter("account", "账户", kind="number", on=("account_id",), is_hidden=True),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        change = TransferPermissionChange
        statement = select(
            change.id,
            change.id.label("number"),
            change.account_id,
            Account.member_no,
            Account.name,
            AccountSector.sector,
            Account.opened_on,
            (change.id % 7 * 1000).label("quantity"),
            change.changed_at.label("at"),
            change.is_allowed,
            change.ip,
        ).join(Account, Account.id == change.account_id)
        statement = statement.outerjoin(AccountSector, AccountSector.account_id == Account.id)
        if conditions.get("as_of") is not None:
            statement = statement.where(change.changed_at <= conditions.get("as_of"))
        return statement

    def tools(self) -> Iterator[RowAction]:
        yield RowAction("新增", "/toys/new")

    def actions(self, row: Any) -> Iterator[RowAction]:
        """One of each method."""
        yield RowAction("详情", f"/toys/{row.id}?x=1")
        if row.is_allowed:
            yield RowAction(
                "撤回", f"/toys/{row.id}/withdraw", method="post", confirm=f"撤回 {row.number}？"
            )


class BulkToyPage(ToyPage):
    """The same with a bulk operation."""

    route_base = "/bulk-toys"
    bulk_name = "number"
    bulk_object = "name"
    got: list[tuple[str, Sequence[int]]] = []

    @action("forget", "清除", "确定清除所选 %(count)s 条？", single=False)
    @in_bulk(is_dangerous=True)
    def forget(self, ids: Sequence[int]) -> BulkResult:
        """Refuse every third row."""
        self.got.append(("forget", list(ids)))
        refused = {id_: "每逢三的倍数不行" for id_ in ids if id_ % 3 == 0}
        return BulkResult(done=[id_ for id_ in ids if id_ not in refused], refused=refused)


class OpenToyPage(ToyPage):
    """The same without an account."""

    route_base = "/open-toys"
    account_column = None


PAGES = (ToyPage, BulkToyPage, OpenToyPage)
_GRANTS = frozenset(
    (f"can_{name}", page.__name__) for page in PAGES for name in ("list", "export", "bulk")
)


def make_app(settings: Any, client_class: Any) -> Flask:
    """Make an application with the toy pages."""
    app = create_app(settings)
    app.config["TESTING"] = True
    app.test_client_class = client_class
    with app.app_context():
        for page in PAGES:
            app.appbuilder.add_view_no_menu(page)  # type: ignore[attr-defined]
    return app


def close(app: Flask) -> None:
    """Dispose of its connections."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def grant(monkeypatch: Any, grants: frozenset[tuple[str, str]] = _GRANTS) -> None:
    """Allow the toy pages to every member."""
    load = manager._load_permissions
    monkeypatch.setattr(manager, "_load_permissions", lambda: load() | grants)


def open_browser(app: Flask, member: Member) -> FlaskClient:
    """Return a signed-in browser on the toy application."""
    with transaction():
        token = sessions.begin(member.id, ip="127.0.0.1")
    browser = app.test_client()
    browser.arm(token=token)  # type: ignore[attr-defined]
    return browser


def switches(accounts: Sequence[Account], count: int, by: Member, **more: Any) -> list[int]:
    """Insert rows with ties in times and numbers, and return their ids."""
    rows = [
        {
            "account_id": accounts[number % len(accounts)].id,
            "is_allowed": number % 2 == 0,
            "changed_by": by.id,
            "changed_at": NOON + timedelta(minutes=number // 5),
            "ip": f"10.0.0.{number % 4}",
            **more,
        }
        for number in range(count)
    ]
    with transaction():
        return list(
            db.session.scalars(
                insert(TransferPermissionChange).returning(TransferPermissionChange.id), rows
            )
        )


@contextmanager
def counting(app: Flask) -> Iterator[list[str]]:
    """Collect the statements executed."""
    seen: list[str] = []
    with app.app_context():
        engine = db.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def table(page: str) -> list[list[str]]:
    """Return the texts of the list's table body."""
    body = page[page.index('id="list-table"') :].partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [
            unescape(re.sub(r"<[^>]+>|\s+", " ", cell)).strip()
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)
    ]


def numbers(page: str) -> list[int]:
    """Return the ids of the rows on a page: the cell behind 序号."""
    return [int(row[1]) for row in table(page)]


def link(page: str, label: str) -> str | None:
    """Return the address of a link."""
    found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*aria-label="{label}"', page)
    return unescape(found[1]) if found else None
