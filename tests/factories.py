"""Functions that create test data; each commits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from uuid import uuid4

import pytest
from flask import current_app
from sqlalchemy import create_engine, insert
from sqlalchemy.dialects import postgresql

from app.domain.compliance.notices import Decision, Terms
from app.domain.compliance.plans import FIELDS, PlanDecision
from app.domain.kinds import KINDS, Kind
from app.domain.moves import (
    ISSUANCE_ACCOUNT_ID,
    Bucket,
    Move,
    Pocket,
    PostingRequest,
    Stage,
    within,
)
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Line
from app.extensions import db, transaction
from app.models import (
    Account,
    ApplicationLine,
    Holding,
    Instrument,
    Member,
    Notice,
    NoticeChange,
    OffsetUnit,
    Plan,
    UntiedBusiness,
    Venue,
    VenueInstrument,
)
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.compliance import chain, notices, plans
from app.operations.imports import notice_import
from app.operations.ledger import posting, routes
from app.operations.offsets import applying, bindings, incoming
from app.operations.offsets.exchange import Incoming, UnitFacts
from app.operations.people.members import NewMember, register_member
from app.operations.records import clock
from app.operations.records.actor import Actor

PASSWORD = "Correct-Horse-1"
DEADLINE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=BEIJING)  # of 2025, by its plan
# The document that an allocation table rests on.
PAPER = {"document_no": "鄂环函〔2026〕7号", "documented_on": date(2026, 11, 18)}
TRIAL = "trial"  # a business whose postings carry out nothing
_number = itertools.count(1000)


def sync_routes() -> None:
    """Write the routes of the kinds of now, as the owner; trials carry out nothing, here alone."""
    database = create_engine(current_app.config["SETTINGS"].database_owner_url)
    with database.begin() as connection:
        routes.sync(connection)
        connection.execute(
            postgresql.insert(UntiedBusiness).on_conflict_do_nothing(), {"business": TRIAL}
        )
    database.dispose()


def known(monkeypatch: pytest.MonkeyPatch, *kinds: type[Kind]) -> None:
    """Add kinds to the catalogue for a test; their routes are of no use to what comes after."""
    for kind in kinds:
        assert kind.code not in KINDS, f"{kind.code} is a kind of the program"
        monkeypatch.setitem(KINDS, kind.code, kind())
    sync_routes()


def reset_numbers(first: int = 1000) -> None:
    """Start the numbers again: what a test makes is named alike whatever ran before it.

    From 1000 on they sort alike as numbers and as texts, and do not collide with literals in tests.
    """
    global _number
    _number = itertools.count(first)


def account(
    name: str = "甲发电有限公司", province: str = "42", sector: str | None = "power", **more: object
) -> Account:
    """Open an enterprise's registry account; ``sector`` may be several, with commas between them."""
    with transaction():
        row = Account(
            member_no=f"2104230{next(_number):04d}",
            name=name,
            kind="enterprise",
            province=province,
            **more,
        )
        db.session.add(row)
        db.session.flush()
        sectors.begin({row.id: sectors.split(sector or "")}, date(2021, 7, 1))
    return row


def plan(
    year: int = 2025,
    sector: str = "power",
    *,
    accepts: Iterable[int] = (),
    starts_on: date | None = None,
    **says: object,
) -> int:
    """Write a version of a plan as the owner, beside what is in force; return its id.

    ``accepts`` are vintages accepted besides.  What is not said is as before, or usual.
    """
    before = plans.latest(year, sector)
    if before is None:
        usual: dict[str, object] = {
            "method": "基准法", "rounding": "unit", "offset_percent": Decimal(0), "vintages": [],
            "source": "测试", "confidence": "certain", "is_draft": False, "exemptions": "", "note": "",
            "surrender_by": datetime(year + 1, 12, 31, 23, 59, 59, tzinfo=BEIJING),
            "document_no": "测试〔2026〕1号",
            "documented_on": date(2026, 1, 5),
            "starts_on": date(2020, 1, 1),
        }  # fmt: skip
    else:
        usual = {
            each.name: getattr(before, each.name)
            for each in Plan.__table__.c
            if each.name not in ("id", "application_id", "replaces_id")
        }
    usual |= says
    usual["vintages"] = sorted({*usual["vintages"], *accepts})
    usual |= {
        "year": year,
        "sector": sector,
        "replaces_id": before.id if before else None,
        "starts_on": starts_on or usual["starts_on"],
        "approved_at": datetime(2026, 1, 5, 9, tzinfo=BEIJING),
    }
    db.session.rollback()
    database = create_engine(current_app.config["SETTINGS"].database_owner_url)
    with database.begin() as connection:
        made = connection.execute(insert(Plan).values(usual).returning(Plan.id)).scalar_one()
    database.dispose()
    return made


def proposing(
    year: int,
    sector: str,
    *,
    by: Member,
    submits: bool = True,
    starts_on: date = date(2026, 11, 20),
    documented_on: date | None = date(2026, 11, 18),
    reason: str = "国家规定调整",
    document_no: str = "环办气候函〔2026〕99号",
    replaces: int | None = None,
    **says: str,
) -> int:
    """Propose a plan, or the change of what is the latest; return the application's id."""
    before = db.session.get(Plan, replaces) if replaces else plans.latest(year, sector)
    values = before.values() if before else {each.name: "" for each in FIELDS}
    decision = PlanDecision(
        year,
        sector,
        before.id if before else None,
        values if before else None,
        values | says,
        documented_on,
    )
    asked = engine.Draft(
        "plan",
        ISSUANCE_ACCOUNT_ID,
        (),
        str(uuid4()),
        reason=reason,
        document_no=document_no,
        starts_on=starts_on,
        proposal=decision.stored(),
    )
    with transaction():
        made = engine.start([asked], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def instrument(
    name: str = "2021年5月17日增持的配额", *, trade_code: str | None = "CEA", vintage: int = 2020
) -> Instrument:
    """Create an instrument; with a trade code it is transferable to the one venue."""
    n = next(_number)
    with transaction():
        row = Instrument(code=f"PE2021{n:06d}", name=name, vintage=vintage)
        db.session.add(row)
        db.session.flush()
        if trade_code:
            db.session.add(VenueInstrument(venue=venue(), instrument=row, trade_code=trade_code))
    return row


def at(hour: str, *, day: int = 20) -> datetime:
    """Return a Beijing time of November 2026: the 20th is the tests' Friday."""
    return datetime.combine(date(2026, 11, day), time.fromisoformat(hour), tzinfo=BEIJING)


def venue() -> Venue:
    """Return the one trading venue."""
    row = db.session.query(Venue).first() or Venue(code="ZGW", name="中股网")
    db.session.add(row)
    db.session.flush()
    return row


def member(
    role: str = "enterprise",
    *,
    of: Account | None = None,
    province: str | None = None,
    **more: object,
) -> Member:
    """Register a person; an enterprise's operator signs in with its 会员编号."""
    named = {"province": "P"}.get(
        role, role
    )  # Pages of members are read for words that are not Chinese.
    number = of.member_no if of is not None else f"{named}{next(_number)}"
    if db.session.query(Member).filter_by(username=number).first():
        number = f"{number}-{next(_number)}"
    with transaction():
        name, account_id = (of.name, of.id) if of is not None else (named, None)
        newcomer = NewMember(number, name, role, account_id, province, **more)
        member_id = register_member(newcomer, PASSWORD, must_change=False)
    return db.session.get_one(Member, member_id)


def officer_of(province: str | None) -> Member:
    """Return an officer of the province's authority, registered where there is none."""
    known = db.session.query(Member).filter_by(province=province).order_by(Member.id).first()
    return known or member("province", province=province)


def give(
    to: Account,
    what: Instrument,
    quantity: int,
    bucket: Bucket = Bucket.AVAILABLE,
    *,
    at: datetime | None = None,
) -> None:
    """Issue ``quantity`` tonnes into a bucket of the account."""
    moves: tuple[Move, ...] = (
        Move(
            Pocket(ISSUANCE_ACCOUNT_ID, what.id, Bucket.ISSUED),
            Pocket(to.id, what.id, Bucket.AVAILABLE),
            quantity,
        ),
    )
    if bucket is not Bucket.AVAILABLE:
        moves += (within(to.id, what.id, Bucket.AVAILABLE, bucket, quantity),)
    with transaction():
        posting.post(
            [PostingRequest(TRIAL, Stage.APPROVAL, f"give:{uuid4()}", moves)],
            at=at or datetime(2026, 1, 5, 9, 0, tzinfo=BEIJING),
        )


def issued_to(by: Account, quantity: int) -> Instrument:
    """Create an instrument of which the account has this quantity available."""
    row = instrument()
    give(by, row, quantity)
    return row


def mirrored(by: Member, quantity: int, **facts: object) -> OffsetUnit:
    """Let the CCER registry freeze CCER of the member's enterprise, bound before; return the unit."""
    account = db.session.get_one(Account, by.account_id)
    ccer_account = f"CC{account.id:08d}"
    if not account.uscc:
        with transaction():
            account.uscc = f"91420100{account.id:010d}"
    if bindings.of_account(account.id) is None:
        told(
            Incoming(
                f"{next(_number):016d}", "binding", ccer_account, account.uscc, account.name, "{}"
            )
        )
        _answer_binding(by)
    first = next(_number) * 1_000_000
    usual = {
        "project_no": "CCER-01-2024-0001", "project_name": "海上风电并网项目",
        "project_type": "并网海上风力发电", "period_from": date(2022, 1, 1),
        "period_to": date(2023, 12, 31), "registered_on": date(2025, 3, 6), "in_ets": False,
        "first_serial": first, "last_serial": first + quantity - 1, "quantity": quantity,
    }  # fmt: skip
    unit = UnitFacts(**usual | facts)  # type: ignore[arg-type]
    told(
        Incoming(
            f"{next(_number):016d}", "freeze", ccer_account, account.uscc, account.name, "{}", unit
        )
    )
    last = db.select(OffsetUnit).order_by(OffsetUnit.id.desc()).limit(1)
    return db.session.scalars(last).one()


def told(item: Incoming) -> None:
    """Take a message of the CCER registry, which is accepted."""
    with transaction():
        assert incoming.receive(item, now=clock.now()).is_done


def _answer_binding(by: Member) -> None:
    proposal = applying.binding_proposal(by.account_id or 0, "confirmed")
    content = engine.Draft("offset_binding", by.account_id, (), str(uuid4()), proposal=proposal)
    with transaction():
        made = engine.start([content], Actor.of(by), now=clock.now())
        engine.submit(made, Actor.of(by), now=clock.now()).one()


def offsetting(by: Member, notice_id: int, *units: OffsetUnit) -> int:
    """Save a CCER抵销申请 and return its id."""
    proposal = applying.proposal(by.account_id or 0, [each.id for each in units])
    return draft("offset", by, {}, notice_id=notice_id, proposal=proposal)


def draft(kind: str, by: Member, lines: dict[Instrument, int], **more: object) -> int:
    """Save a draft and return its id."""
    content = engine.Draft(
        kind=kind,
        account_id=by.account_id,
        lines=tuple(
            Line(what.id, quantity, venue_id=venue().id) for what, quantity in lines.items()
        ),
        request_key=str(uuid4()),
        **more,
    )
    with transaction():
        (made,) = engine.start([content], Actor.of(by), now=clock.now())
    return made


def submitted(kind: str, by: Member, lines: dict[Instrument, int], **more: object) -> Case:
    """Save and submit an application."""
    made = draft(kind, by, lines, **more)
    with transaction():
        return engine.submit([made], Actor.of(by), now=clock.now()).one()


def entered(
    kind: str,
    about: Account,
    by: Member,
    *,
    lines: dict[Instrument, int] | None = None,
    source: int | None = None,
    submits: bool = True,
    **more: object,
) -> int:
    """Enter an officer's application about an account, with a document where the kind needs one.

    ``source`` is the application whose lines it draws on.
    """
    sources = dict(
        db.session.execute(
            db.select(ApplicationLine.instrument_id, ApplicationLine.id).where(
                ApplicationLine.application_id == (source or 0)
            )
        ).all()
    )
    content: dict[str, object] = {
        "reason": "依据文书办理",
        "document_no": f"鄂法执〔2026〕{next(_number)}号",
        "authority": "湖北省高级人民法院",
        "starts_on": date(2026, 11, 20),
    }
    if kind == "freeze":
        content |= {"ends_on": date(2027, 11, 19), "category": "supervision"}
    found = [
        Line(what.id, tonnes, source_line_id=sources.get(what.id))
        for what, tonnes in (lines or {}).items()
    ]
    if kind == "issuance":
        found = chain.routed(about.id, str(more.get("category", "")), found, clock.now().date())
    asked = engine.Draft(
        kind=kind,
        account_id=about.id,
        lines=tuple(found),
        request_key=str(uuid4()),
        **content | more,  # type: ignore[arg-type]
    )
    with transaction():
        made = engine.start([asked], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def confirmed(application_id: int, by: Member) -> Case:
    """Approve what another officer entered."""
    with transaction():
        return engine.approve([application_id], Actor.of(by), now=clock.now()).one()


def colleague(of: Member) -> Member:
    """Return another officer of the same authority, and register one where there is none."""
    code = of.roles[0].name.replace("maker", "checker")
    found = db.select(Member).where(
        Member.id != of.id,
        Member.account_id.is_(None),
        Member.province.is_not_distinct_from(of.province),
        Member.roles.any(name=code),
    )
    return db.session.scalars(found).first() or member(code, province=of.province)


def notice(
    to: Account,
    obligation: int,
    accepted: Iterable[Instrument] = (),
    *,
    by: Member,
    year: int = 2025,
    sector: str = "",
    percent: Decimal | int | None = None,
    deadline: datetime | None = None,
) -> int:
    """Issue a 履约通知书, which a colleague approves; return its id.

    The plan accepts the vintages of ``accepted`` besides its own, and up to ``percent`` of CCER; it is
    due at ``deadline``: where it does not say so yet, a version of it is written first.
    """
    sector = sector or sectors.of_accounts([to.id])[to.id][0]
    known = plans.latest(year, sector)
    wanted = {each.vintage for each in accepted if each.kind == "allowance"}
    says = {
        "offset_percent": None if percent is None else Decimal(percent),
        "surrender_by": deadline,
    }
    says = {name: value for name, value in says.items() if value is not None}
    differs = known is None or any(getattr(known, name) != value for name, value in says.items())
    if differs or not wanted <= set(known.vintages):
        plan(year, sector, accepts=wanted, **says)
    return decided(to, Decision(year, sector, None, Terms(obligation)), by=by)


def decided(about: Account, decision: Decision, *, by: Member, **more: object) -> int:
    """Decide about a notice, approved by a colleague; return its id."""
    made = deciding(about, decision, by=by, **more)
    confirmed(made, colleague(by))
    return db.session.scalars(
        db.select(NoticeChange.notice_id).where(NoticeChange.application_id == made)
    ).one()


def deciding(
    about: Account, decision: Decision, *, by: Member, submits: bool = True, **more: object
) -> int:
    """Propose a decision about a notice; return the application's id."""
    content = {"reason": "核查结果", "document_no": "鄂环函〔2026〕8号"} | more
    asked = notice_import.draft(about.id, decision, str(uuid4()), **content)
    with transaction():
        made = engine.start([asked], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def changed(
    notice_id: int,
    *,
    by: Member,
    submits: bool = True,
    import_id: int | None = None,
    **terms: object,
) -> int:
    """Propose to change a notice's terms; return the application's id, which nobody has approved."""
    row = db.session.get_one(Notice, notice_id)
    before = notices.terms_of(notice_id)
    assert before
    decision = Decision(row.year, row.sector, before, replace(before, **terms))
    more = {"notice_id": notice_id, "import_id": import_id}
    return deciding(row.account, decision, by=by, submits=submits, **more)


def withdrawn(notice_id: int, *, by: Member) -> int:
    """Propose to withdraw a notice; return the application's id, which nobody has approved."""
    row = db.session.get_one(Notice, notice_id)
    decision = Decision(row.year, row.sector, notices.terms_of(notice_id), None)
    return deciding(row.account, decision, by=by, notice_id=notice_id)


def quantity(of: Account, what: Instrument, bucket: Bucket = Bucket.AVAILABLE) -> int:
    """Return the current balance of a bucket, in tonnes."""
    db.session.expire_all()
    holding = db.session.get(Holding, (of.id, what.id))
    return getattr(holding, bucket.column) if holding else 0


@contextmanager
def nothing_moves() -> Iterator[None]:
    """Assert that the block changes no balance, movement or posting."""
    before = _ledger()
    yield
    assert _ledger() == before


def _ledger() -> list[object]:
    db.session.rollback()
    found = [
        db.session.execute(db.text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
        for table in ("holding", "posting", "movement", "entry")
    ]
    db.session.rollback()
    return found
