"""The demonstration: the manual's enterprise, a few dozen others in the provinces, and all roles.

Everything goes through the registry's operations, at business times of the past weeks, so that every
list has rows and the ledger verifies.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import func, select

from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.installation import (
    demo_announcements,
    demo_carry_over,
    demo_chain,
    demo_claims,
    demo_courts,
    demo_custody,
    demo_offsets,
    demo_people,
)
from app.installation.demo_compliance import (
    BEFORE,
    CURRENT,
    OWED_BEFORE,
    PASSED,
    PASSED_AT,
    comply,
    fulfil_before,
)
from app.models import (
    Account,
    ApplicationLine,
    Instrument,
    Member,
    SettlementRun,
    TradingDay,
    Venue,
    VenueInstrument,
)
from app.operations.accounts import accounts, sectors
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.exchange import trading
from app.operations.ledger import settlement
from app.operations.people.members import NewMember, register_members
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor

DEMO_PASSWORD = "Demo-2026-carbon"  # noqa: S105 - known to everybody, refused in production
MANUAL_MEMBER_NO = "21042300007"
OPENED_ON = date(2021, 4, 23)
MANUALS_ISSUES = {2020: 700, BEFORE: OWED_BEFORE}  # tonnes by vintage; the manual's 700 stay
NEWCOMER_NO = "21042300011"  # holds tonnes at the exchange, and has no bank account bound yet


@dataclass(frozen=True, slots=True)
class Vintage:
    """An instrument of the demonstration (domain.md section 7)."""

    code: str
    name: str
    year: int
    trade_code: str


VINTAGES = (
    Vintage("PE2021000025", "2021年5月17日增持的配额", 2020, "CEA"),
    Vintage("PE2022000001", "2021年度碳排放配额", 2021, "CEA21"),
    Vintage("PE2023000001", "2022年度碳排放配额", 2022, "CEA22"),
    Vintage("PE2024000001", "2023年度碳排放配额", 2023, "CEA23"),
    Vintage("PE2025000001", "2024年度碳排放配额", 2024, "CEA24"),
    Vintage("PE2026000001", "2025年度碳排放配额", 2025, "CEA25"),
    Vintage("PE2026000002", "2026年度碳排放配额（预分配）", 2026, "CEA26"),
)
CCER_AT = datetime(2025, 3, 10, 10, 30, tzinfo=BEIJING)  # when CCER accounts were bound
PROVINCES = {
    "11": "北京",
    "15": "内蒙古",
    "31": "上海",
    "32": "江苏",
    "37": "山东",
    "42": "湖北",
    "44": "广东",
}
# What a province decides about its notices takes two of its officers; 湖北's second has a key, too.
PROVINCE_OFFICERS = {"": "", "02": "（复核）"}
SECTORS = {"power": "发电", "steel": "钢铁", "cement": "水泥", "aluminium": "铝业"}
# Makes its own electricity, and has two notices a year: (province, sector) -> its other sector.
SECOND_SECTOR = {("42", "steel"): "power"}


def _officer(number: str, name: str, role: str, province: str | None = None) -> NewMember:
    """Return a member of no enterprise, with a reserved address and number."""
    phone = f"1380015{sum(map(ord, number)) % 1000:04}"
    email = f"{number.lower()}@registry.example.cn"
    return NewMember(number, name, role, province=province, email=email, phone=phone)


OFFICERS = (
    _officer("R0001", "注册登记管理机构经办 李敏", "registry_maker"),
    _officer("R0002", "注册登记管理机构复核 周强", "registry_checker"),
    _officer("S0001", "系统管理员 陈工", "system_admin"),
    _officer("S0002", "安全管理员 吴工", "security_admin"),
    _officer("S0003", "审计员 郑工", "auditor"),
)


def seed_once() -> bool:
    """Seed an empty registry; tell whether it did.  Concurrent starts seed once."""
    with transaction():
        db.session.execute(select(func.pg_advisory_xact_lock(7260004)))
        if db.session.scalar(select(Account.id).where(Account.member_no == MANUAL_MEMBER_NO)):
            return False
        _seed()
    return True


def logins() -> list[dict[str, str]]:
    """Return one login of each role."""
    wanted = [
        ("重点排放单位", MANUAL_MEMBER_NO),
        ("重点排放单位经办", f"{MANUAL_MEMBER_NO}-01"),
        ("重点排放单位复核", f"{MANUAL_MEMBER_NO}-02"),
        ("另一重点排放单位", NEWCOMER_NO),
    ]
    wanted += [(f"{name}主管部门", f"P{code}") for code, name in PROVINCES.items()]
    wanted.append(("湖北主管部门（复核）", "P4202"))
    wanted += [(officer.name.split()[0], officer.member_no) for officer in OFFICERS]
    present = set(
        db.session.scalars(
            select(Member.username).where(Member.username.in_([login for _role, login in wanted]))
        )
    )
    return [
        {"role": role, "login": login, "password": DEMO_PASSWORD}
        for role, login in wanted
        if login in present
    ]


def first_morning() -> datetime:
    """Return 10:00 of today, or of the next trading day where today is none."""
    today = datetime.now(BEIJING).date()
    day = db.session.scalar(
        select(func.min(TradingDay.day)).where(TradingDay.day >= today, TradingDay.is_trading)
    )
    return datetime.combine(day or today, clock.MORNING, tzinfo=BEIJING)


def _seed() -> None:
    chance = random.Random(2021)  # noqa: S311 - the same demonstration every time
    morning = first_morning()
    clock.start_at(morning)
    venue, instruments = _list_instruments()
    trades = list(_enterprises(chance))
    enterprises = [each for each, _codes in trades]
    db.session.add_all(enterprises)
    db.session.flush()
    sectors.begin({each.id: codes for each, codes in trades}, OPENED_ON)
    members = _register(enterprises)
    maker, checker = _officers()
    _issue(enterprises, instruments, chance, morning.date(), maker, checker)
    mirror = demo_offsets.bind(enterprises[::3], members, CCER_AT)
    for tonnes in demo_offsets.MANUALS_UNITS:
        mirror.freeze(enterprises[0], tonnes, CCER_AT)
    in_time = [enterprises[0], enterprises[-len(SECTORS)]]  # of power, as that year's plan
    fulfil_before(in_time, instruments, mirror, members, maker, checker)
    comply(PASSED, enterprises, instruments, mirror, members, maker, checker, PASSED_AT)
    demo_carry_over.complete(instruments, members, maker, checker)
    _live_some_days(enterprises, instruments, venue, members, chance, morning.date())
    _act_by_documents(enterprises, instruments, morning, maker, checker)
    evening = morning - timedelta(hours=16)  # after the last day-end
    comply(CURRENT, enterprises, instruments, mirror, members, maker, checker, evening)
    hubei = [each for each in enterprises if each.province == "42"]  # The manual's comes first.
    demo_claims.true_up(
        hubei, instruments[-1], members, demo_claims.Officers(maker, checker, evening)
    )
    demo_carry_over.open_one(instruments[-1], maker, checker, evening)
    demo_people.open_institution(maker, checker, evening)
    demo_announcements.announce(maker, checker, morning)
    parties = (hubei[1], hubei[0], hubei[2])
    demo_people.tell(enterprises, members, DEMO_PASSWORD, morning)
    demo_chain.leave_waiting(hubei, instruments[5], maker, checker, evening)
    demo_custody.split(parties, instruments[4], members, (maker, checker), morning)
    demo_custody.pledge(enterprises, instruments[5], members, (maker, checker), evening)
    demo_announcements.disclose(enterprises, maker, checker, morning)


def _list_instruments() -> tuple[Venue, list[Instrument]]:
    """Add the venue, and the vintages with their trade codes there."""
    venue = Venue(code="ZGW", name="中股网")
    instruments = [
        Instrument(code=each.code, name=each.name, vintage=each.year) for each in VINTAGES
    ]
    db.session.add_all([venue, *instruments])
    db.session.flush()
    db.session.add_all(
        VenueInstrument(venue_id=venue.id, instrument_id=instrument.id, trade_code=each.trade_code)
        for each, instrument in zip(VINTAGES, instruments, strict=True)
    )
    return venue, instruments


def _enterprises(chance: random.Random) -> Iterator[tuple[Account, list[str]]]:
    """Yield the enterprises, each with its sectors."""
    manuals = Account(
        member_no=MANUAL_MEMBER_NO,
        name="市场通测试030207",
        kind="enterprise",
        province="42",
        uscc="91420100MA4K2X7R0B",
        opened_on=OPENED_ON,
    )
    yield manuals, ["power"]
    serial = itertools.count(8)
    places = ("长江", "东湖", "泰山", "黄河", "珠江", "太湖", "阴山", "燕山")
    for (province, name), (sector, trade) in itertools.product(PROVINCES.items(), SECTORS.items()):
        n = next(serial)
        enterprise = Account(
            member_no=f"210423{n:05d}",
            name=f"{name}{chance.choice(places)}{trade}有限公司",
            kind="enterprise",
            province=province,
            opened_on=OPENED_ON,
        )
        second = SECOND_SECTOR.get((province, sector))
        yield enterprise, [sector, second] if second else [sector]


def _register(enterprises: list[Account]) -> dict[int, Member]:
    newcomers = [
        NewMember(each.member_no, each.name, "enterprise", account_id=each.id)
        for each in enterprises
    ]
    newcomers += [
        _officer(f"P{code}{colleague}", f"{name}主管部门{duty}", "province", code)
        for colleague, duty in PROVINCE_OFFICERS.items()
        for code, name in PROVINCES.items()
    ]
    register_members([*newcomers, *OFFICERS], DEMO_PASSWORD, must_change=False)
    return {row.account_id: row for row in db.session.scalars(select(Member)) if row.account_id}


def _officers() -> tuple[Actor, Actor]:
    """Return the registry's two officers: who enters, who confirms."""
    found = {
        number: db.session.scalars(select(Member).where(Member.username == number)).one()
        for number in ("R0001", "R0002")
    }
    return Actor.of(found["R0001"], "192.0.2.1"), Actor.of(found["R0002"], "192.0.2.2")


def _issue(
    enterprises: list[Account],
    instruments: list[Instrument],
    chance: random.Random,
    until: date,
    maker: Actor,
    checker: Actor,
) -> None:
    """Issue every vintage on its day; the manual's enterprise gets 700 tonnes, and what it surrendered."""
    for each, instrument in zip(VINTAGES, instruments, strict=True):
        issued_on = date(2021, 5, 17) if each.year == 2020 else date(each.year + 1, 9, 18)
        at = datetime.combine(
            min(issued_on, until - timedelta(days=60)), time(10, 30), tzinfo=BEIJING
        )
        drafts = []
        for enterprise in enterprises:
            is_manuals = enterprise.member_no == MANUAL_MEMBER_NO
            if is_manuals and each.year not in MANUALS_ISSUES:
                continue
            quantity = (
                MANUALS_ISSUES[each.year] if is_manuals else chance.randrange(120_000, 3_500_000)
            )
            drafts.append(
                engine.Draft(
                    "issuance",
                    enterprise.id,
                    (Line(instrument.id, quantity),),
                    f"issuance:{each.code}:{enterprise.member_no}",
                    "按分配方案发放",
                    category="pre_allocation" if each.year == until.year else "approved",
                    document_no=f"环办气候函〔{at.year}〕{each.year % 100}号",
                    starts_on=at.date() - timedelta(days=7),
                )
            )
        sent = chain.stops(
            ((each.account_id, instrument.id, each.category) for each in drafts), at.date()
        )
        drafts = [
            replace(
                each,
                lines=tuple(chain.sent(each.account_id, each.category, each.lines, sent)),
            )
            for each in drafts
        ]
        _confirm(_enter(drafts, maker, at), checker, at + timedelta(minutes=10))
        demo_chain.pass_on(at + timedelta(hours=1))


def _enter(drafts: list[engine.Draft], maker: Actor, at: datetime) -> list[int]:
    """Enter and submit, as the first officer does."""
    made = engine.start(drafts, maker, now=at)
    assert engine.submit(made, maker, now=at).refused == []
    return made


def _confirm(ids: list[int], checker: Actor, at: datetime) -> None:
    """Confirm, as the second officer does."""
    assert engine.approve(ids, checker, now=at, comment="同意").refused == []


@dataclass(frozen=True, slots=True)
class _Documents:
    """Acts of the two officers on authorities' documents, at one time."""

    maker: Actor
    checker: Actor
    at: datetime

    def day(self, days: int) -> date:
        return self.at.date() + timedelta(days=days)

    def enter(self, kind: str, account: Account, *lines: Line, **more: Any) -> int:
        draft = engine.Draft(
            kind,
            account.id,
            lines,
            f"demo:{more['document_no']}",
            starts_on=self.day(-40),
            **more,
        )
        return _enter([draft], self.maker, self.at)[0]

    def carry_out(self, kind: str, account: Account, *lines: Line, **more: Any) -> int:
        made = self.enter(kind, account, *lines, **more)
        _confirm([made], self.checker, self.at)
        return made


def _act_by_documents(
    enterprises: list[Account],
    instruments: list[Instrument],
    morning: datetime,
    maker: Actor,
    checker: Actor,
) -> None:
    """Freeze and unfreeze in part, confiscate and refund in part, restrict; one freeze is pending."""
    last = db.session.scalar(select(func.max(SettlementRun.day)))
    at = datetime.combine(last, time(16), tzinfo=BEIJING) if last else morning
    documents = _Documents(maker, checker, at)
    frozen, taken, restricted = [each for each in enterprises if each.province == "42"][1:4]
    older, newer = instruments[1:3]
    _freeze(documents, frozen, older, newer)
    _confiscate(documents, taken, older)
    demo_courts.order_freezes(
        taken, instruments[3], restricted, demo_courts.Courts(maker, checker, at)
    )
    bureau = "湖北省生态环境厅"
    documents.carry_out(
        "restriction",
        restricted,
        document_no="鄂环函〔2026〕36号",
        authority=bureau,
        reason="逾期未按要求整改",
    )
    documents.enter(
        "freeze",
        taken,
        Line(newer.id, 8_000),
        category="supervision",
        document_no="鄂环函〔2026〕41号",
        authority=bureau,
        ends_on=documents.day(300),
    )


def _freeze(documents: _Documents, account: Account, older: Instrument, newer: Instrument) -> None:
    bureau = "湖北省生态环境厅"
    freeze = documents.carry_out(
        "freeze",
        account,
        Line(older.id, 50_000),
        Line(newer.id, 20_000),
        category="supervision",
        document_no="鄂环函〔2026〕28号",
        authority=bureau,
        ends_on=documents.day(20),
    )
    documents.carry_out(
        "unfreeze",
        account,
        _drawn_from(freeze, older, 30_000),
        document_no="鄂环函〔2026〕33号",
        authority=bureau,
    )


def _confiscate(documents: _Documents, account: Account, instrument: Instrument) -> None:
    bureau = "湖北省生态环境厅"
    claim = documents.carry_out(
        "confiscation",
        account,
        Line(instrument.id, 17_000),
        category="true_up",
        document_no="TZ2026000007",
        authority=bureau,
    )
    documents.carry_out(
        "confiscation_refund",
        account,
        _drawn_from(claim, instrument, 7_000),
        document_no="TZ2026000012",
        authority=bureau,
    )


def _drawn_from(application_id: int, instrument: Instrument, quantity: int) -> Line:
    """Return a line that draws on an earlier application's line of an instrument."""
    source = db.session.scalars(
        select(ApplicationLine.id).where(
            ApplicationLine.application_id == application_id,
            ApplicationLine.instrument_id == instrument.id,
        )
    ).one()
    return Line(instrument.id, quantity, source_line_id=source)


def _live_some_days(
    enterprises: list[Account],
    instruments: list[Instrument],
    venue: Venue,
    members: dict[int, Member],
    chance: random.Random,
    today: date,
) -> None:
    """Transfer in both directions on the last trading days, and settle each evening."""
    days = db.session.scalars(
        select(TradingDay.day)
        .where(TradingDay.day < today, TradingDay.is_trading)
        .order_by(TradingDay.day.desc())
        .limit(6)
    ).all()
    others = [each for each in enterprises if each.member_no != MANUAL_MEMBER_NO]
    for day in reversed(days):
        at = datetime.combine(day, time(9, 40), tzinfo=BEIJING)
        for enterprise in chance.sample(others, 4):
            actor = Actor.of(members[enterprise.id], "192.0.2.10")
            if chance.random() < 0.4 and not enterprise.allows_exchange_transfer:
                accounts.allow_exchange_transfer(enterprise.id, actor, allowed=True, now=at)
            lines = tuple(
                Line(instrument.id, chance.randrange(500, 20_000), venue_id=venue.id)
                for instrument in chance.sample(instruments[1:], chance.choice((1, 1, 2)))
            )
            draft = engine.Draft(
                "registry_to_trading",
                enterprise.id,
                lines,
                f"demo:{day}:{enterprise.id}",
                "交易需要",
            )
            engine.submit(engine.start([draft], actor, now=at), actor, now=at)
        trading.receive_transfers(_exchange_requests(others, venue, chance, day), now=at)
        settlement.settle_day(day, SYSTEM, now=datetime.combine(day, time(15, 30), tzinfo=BEIJING))
    assert not days or db.session.scalar(select(func.max(SettlementRun.day))) == days[0]


def _exchange_requests(
    others: list[Account], venue: Venue, chance: random.Random, day: date
) -> list[trading.TransferRequest]:
    return [
        trading.TransferRequest(
            request_no=f"EX{day:%Y%m%d}{n:04d}",
            direction=chance.choice(("in", "out")),
            member_no=enterprise.member_no,
            instrument_code=chance.choice(VINTAGES[1:]).code,
            quantity=chance.randrange(100, 6_000),
            venue_code=venue.code,
        )
        for n, enterprise in enumerate(chance.sample(others, 3), start=1)
    ]
