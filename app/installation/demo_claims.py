"""The demonstration's 多退少补: pushed figures, one of them wrong and pushed anew, a deduction, a claim."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import force_locale
from joserfc import jwk
from sqlalchemy import select

from app.domain.compliance.deductions import Deduction
from app.domain.machines import PLATFORM_SCOPES
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.workflow import Line
from app.extensions import db
from app.models import Account, ApplicationLine, Instrument, MachineClient, Member
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.imports import figure_import, platform_tables, tables
from app.operations.imports.platform_tables import Pushed
from app.operations.people import machine_keys
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

VERIFIED = 612_345  # tonnes, of the first enterprise; the next ones have more
PLATFORM_CLIENT = "MEE01"
CLAIMED, RETURNED = 17_000, 10_000  # tonnes
_PUSHED = ("member_no", "name", "year", "sector", "stage", "unit", "verified", "quantity")


@dataclass(frozen=True, slots=True)
class Officers:
    """The two officers of the registry, at one time."""

    maker: Actor
    checker: Actor
    at: datetime

    def carry_out(self, draft: engine.Draft) -> int:
        """Enter an application, and confirm it."""
        made = engine.start([draft], self.maker, now=self.at)
        assert engine.submit(made, self.maker, now=self.at).refused == []
        assert engine.approve(made, self.checker, now=self.at, comment="文书齐全").refused == []
        return made[0]


def true_up(
    enterprises: Sequence[Account],
    vintage: Instrument,
    members: Mapping[int, Member],
    officers: Officers,
) -> None:
    """Push the pre-allocations of a province, deduct from one, and claim from another."""
    _manuals, first, second, *_others = enterprises
    _push(enterprises[1:], vintage.vintage or 0, officers)
    _push_by_machine(enterprises[-1], len(enterprises) - 2, vintage.vintage or 0, officers)
    about = {"starts_on": officers.at.date() - timedelta(days=6), "reason": "2025年度核查结果变更"}
    officers.carry_out(
        engine.Draft(
            "deduction", first.id, (), "demo:deduction",
            category="verification", document_no="鄂环函〔2026〕51号",
            proposal=Deduction(2026, _sector(first), 40_000).stored(), **about,
        )
    )  # fmt: skip
    claim = officers.carry_out(
        engine.Draft(
            "allowance_claim", second.id, (Line(vintage.id, CLAIMED),), "demo:claim",
            category="true_up", document_no="鄂环函〔2026〕52号",
            ends_on=officers.at.date() + timedelta(days=14), **about,
        )
    )  # fmt: skip
    line = db.session.query(ApplicationLine).filter_by(application_id=claim).one()
    back = engine.Draft(
        "allowance_return", second.id, (Line(vintage.id, RETURNED, source_line_id=line.id),),
        "demo:return", reason="按配额调整通知书缴回",
    )  # fmt: skip
    by, later = Actor.of(members[second.id], "192.0.2.10"), officers.at + timedelta(minutes=20)
    made = engine.start([back], by, now=later)
    assert engine.submit(made, by, now=later).refused == []
    assert engine.approve(made, officers.checker, now=later, comment="同意").refused == []


def _push(enterprises: Sequence[Account], year: int, officers: Officers) -> None:
    """Import pre-allocations by unit and enterprise; the last one's is a tonne too high."""
    with force_locale("zh"):
        titles = {each.key: str(each.title) for each in figure_import.COLUMNS}
        rows = [[titles[key] for key in _PUSHED]]
        for number, each in enumerate(enterprises):
            verified = (VERIFIED + 1_357 * number, VERIFIED + 2_468 * number)
            shares = [tonnes // 2 for tonnes in verified]
            said = (each.member_no, each.name, year, str(SECTORS[_sector(each)]), "预分配")
            for unit, (tonnes, share) in enumerate(zip(verified, shares, strict=True), start=1):
                rows.append([*map(str, said), f"{unit}号", str(tonnes), str(share)])
            excess = number == len(enterprises) - 1
            rows.append([*map(str, said), "", str(sum(verified)), str(sum(shares) + excess)])
        content = io.StringIO()
        csv.writer(content).writerows(rows)
        file = io.BytesIO(content.getvalue().encode())
        table = tables.read(file, "湖北省预分配配额数据表.csv", figure_import.COLUMNS)
        figure_import.take(table, officers.maker, now=officers.at)


def _push_by_machine(of: Account, number: int, year: int, officers: Officers) -> None:
    """Register the platform's client, which pushes what the last enterprise's table had wrong; it waits."""
    key = jwk.ECKey.generate_key("P-256", {"kid": f"{year}-1"}).as_dict(private=False)
    said = {"client": PLATFORM_CLIENT, "name": "全国碳市场管理平台（演示）", "is_platform": True}
    day = officers.at.date()
    officers.carry_out(
        engine.Draft(
            "machine_key", ISSUANCE_ACCOUNT_ID, (), f"demo:client:{PLATFORM_CLIENT}", "管理平台接入",
            starts_on=day, ends_on=day + timedelta(days=365),
            proposal={
                **said, "scopes": list(PLATFORM_SCOPES), **machine_keys.read_key(json.dumps(key)),
            },
        )
    )  # fmt: skip
    verified = (VERIFIED + 1_357 * number, VERIFIED + 2_468 * number)
    figures = [
        *((f"{unit}号", tonnes, tonnes // 2) for unit, tonnes in enumerate(verified, start=1)),
        ("", sum(verified), sum(tonnes // 2 for tonnes in verified)),
    ]
    rows = [
        {"member_no": of.member_no, "name": of.name, "unit": unit, "verified": str(tonnes),
         "quantity": quantity}
        for unit, tonnes, quantity in figures
    ]  # fmt: skip
    client = select(MachineClient.id).where(MachineClient.code == PLATFORM_CLIENT)
    with force_locale("zh"):
        table = Pushed(year, _sector(of), "pre_allocation", "鄂环函〔2026〕55号", day, rows)
        platform_tables.receive(
            table, Actor(None, PLATFORM_CLIENT, said["name"]), db.session.scalars(client).one(),
            now=officers.at,
        )  # fmt: skip


def _sector(account: Account) -> str:
    return sectors.of_accounts([account.id])[account.id][0]
