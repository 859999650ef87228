"""Two enterprises of two provinces with rows in every list, and a member of every role."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import func, insert, inspect, select

from app.domain.accounts import Share
from app.domain.banks import OrderState, Said
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    ApplicationParty,
    Attachment,
    Attestation,
    BankLineEvent,
    Certificate,
    CompanyGroupMember,
    FeeRate,
    HoldingLimit,
    Instrument,
    Job,
    JobFailure,
    Member,
    SettlementDifference,
    TradeDefault,
)
from app.models.figures import true_up
from app.operations.accounts import accounts, bindings, details, group_view
from app.operations.applications import attachments, engine
from app.operations.exchange import trading
from app.operations.imports import (
    figure_import,
    notice_import,
    opening_import,
    province_issues,
    tables,
)
from app.operations.ledger import settlement
from app.operations.money import applying, banks, files, orders, reserve
from app.operations.offsets import applying as mirror
from app.operations.offsets import comparison
from app.operations.people import credentials, machine_sign_in
from app.operations.people.members import NewMember, register_members
from app.operations.records import announcements, clock, outbox
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import defaults, large_holdings, reconciliation
from app.security import lockout, sign_in
from app.security.roles import ROLES
from app.views.lists.listing import ListPage
from tests import custody, factories
from tests.files import pdf
from tests.markets import Market
from tests.openings import enterprise as to_open
from tests.operations import carrying, chains, claims, courts, machines, pledging
from tests.security.certified import issue, make_authority, register
from tests.tables import Tables

PASSWORD = "Correct-Horse-1"
ADMINISTRATOR = {
    "representative": "赵管理人",
    "representative_phone": "13800138009",
    "representative_email": "administrator@example.com",
    "representative_identity_no": "11010519491231002X",
}
TRANSFER = "registry_to_trading"
CANCELLATION = "voluntary_cancellation"
TITLES = {
    "registry_maker": "注册登记管理机构经办",
    "registry_checker": "注册登记管理机构复核",
    "system_admin": "系统管理员",
    "security_admin": "安全管理员",
    "auditor": "审计员",
}


@dataclass
class Enterprise:
    """An account, its operator, and the ids of its records."""

    account: Account
    member: Member
    instrument: Instrument
    draft: int = 0
    submitted: int = 0
    withdrawn: int = 0
    waiting: list[int] = field(default_factory=list)  # lines at the province
    province_batch: int = 0
    cancelling: int = 0  # 自愿注销: a draft, one in review, one approved
    in_review: int = 0
    approved: int = 0
    changes: tuple[int, int] = (0, 0)  # 账户信息修改: a draft, one in review
    by_officers: dict[str, tuple[int, int]] = field(default_factory=dict)  # kind: draft, approved
    notices: list[int] = field(default_factory=list)  # 履约: one fulfilled, one with a rest
    custody: dict[str, tuple[int, int]] = field(default_factory=dict)  # by kind: draft, submitted
    surrenders: dict[str, int] = field(default_factory=dict)  # by state; refunds as "refund ..."
    assisted: tuple[int, int] = (0, 0)  # 协助清缴: a draft, one in review
    batch: int = 0  # an imported file of notices
    from_exchange: list[int] = field(default_factory=list)
    to_registry: list[int] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)  # 结算单, by number
    objections: list[int] = field(default_factory=list)  # 结算异议: a draft, one in review
    money: dict[str, tuple[int, int]] = field(default_factory=dict)  # by kind: draft, approved
    credential: str = ""  # 系统接入凭证
    carry_overs: list[int] = field(default_factory=list)  # 结转: a draft, in review, carried out
    carry_over_notice: int = 0
    orders: list[int] = field(
        default_factory=list
    )  # at the bank: one done, one whose outcome is open
    offsets: tuple[int, int] = (0, 0)  # CCER抵销申请: a draft, one in review
    offset_units: list[int] = field(default_factory=list)
    offset_bindings: tuple[int, int] = (0, 0)  # CCER账户绑定确认: a draft, one that was answered

    @property
    def attachments(self) -> list[int]:
        """The file of the draft 自愿注销."""
        return self._ids(Attachment)

    @property
    def attestations(self) -> list[int]:
        """履约证明 and 自愿注销证明."""
        return self._ids(Attestation)

    @property
    def true_ups(self) -> list[int]:
        """多退少补 of its years and sectors."""
        mine = select(true_up.c.id).where(true_up.c.account_id == self.account.id)
        return list(db.session.scalars(mine))

    @property
    def asked(self) -> int:
        """A return that waits for this enterprise's agreement."""
        waits = ApplicationParty.agreed_at.is_(None) & (Application.status == "in_review")
        found = (
            select(Application.id)
            .join(ApplicationParty, ApplicationParty.application_id == Application.id)
            .where(ApplicationParty.account_id == self.account.id, waits)
            .where(Application.kind == custody.RETURN)
        )
        return db.session.scalars(found).first() or 0

    def _ids(self, table: type[Any]) -> list[int]:
        return list(db.session.scalars(select(table.id).where(table.account_id == self.account.id)))

    @property
    def marks(self) -> list[str]:
        """Texts that appear on a page only where this enterprise's data are shown."""
        numbers = db.session.scalars(
            select(Application.number).where(Application.account_id == self.account.id)
        )
        return [self.account.member_no, self.account.name, *numbers]


@dataclass
class World:
    """甲 in 湖北 and 乙 in 上海, and the officers."""

    a: Enterprise
    b: Enterprise
    officers: dict[str, Member]  # by role; provinces as "province" (湖北) and "province:31"
    announced: int = 0  # an announcement to everybody
    to_announce: int = 0  # a draft of one

    def member_of(self, role: str) -> Member:
        """Return a person of a role: 甲's operator for enterprises, 湖北's officer for provinces."""
        return self.a.member if role == "enterprise" else self.officers[role]


MAX_AGE = 720.0  # Seconds; guesses at a password count for 15 minutes (`lock_minutes`).
AFTER_WORLD = 3000  # What a test adds to the world is numbered from here on.
_kept: list[tuple[float, World, Callable[[], None]]] = []


def restored_world(tables: Tables) -> World:
    """Make the world, or restore this process's last one, which takes a hundredth of the time.

    A test gets a copy: what it adds to an enterprise is gone with its rows.
    """
    if not _kept or time.monotonic() > _kept[0][0] + MAX_AGE:
        began, made = time.monotonic(), make_world(tables)
        _kept[:] = [(began, made, tables.keep())]
    _began, world, put_back = _kept[0]
    db.session.rollback()
    put_back()
    factories.reset_numbers(AFTER_WORLD)
    a, b = (
        replace(
            of,
            account=_reloaded(of.account),
            member=_reloaded(of.member),
            instrument=_reloaded(of.instrument),
        )
        for of in (world.a, world.b)
    )
    officers = {role: _reloaded(row) for role, row in world.officers.items()}
    return replace(world, a=a, b=b, officers=officers)


def _reloaded(row: Any) -> Any:
    """Return a row of an earlier test in the current session."""
    return db.session.get_one(type(row), inspect(row).identity)


def make_world(tables: Tables) -> World:
    """Make it by operations; everything is committed."""
    officers = _officers()
    a = _enterprise("甲发电有限公司", "42", "EXA")
    b = _enterprise("乙水泥有限公司", "31", "EXB")
    with transaction():
        reviewer = Actor.of(officers["registry_maker"])
        engine.approve([a.approved, b.approved], reviewer, now=clock.now())
    for enterprise in (a, b):
        _by_officers(enterprise, officers["registry_maker"], officers["registry_checker"])
        _courts(enterprise, officers["registry_maker"], officers["registry_checker"])
        _pledges(enterprise, officers["registry_maker"], officers["registry_checker"])
        _groups(enterprise, officers["registry_maker"], officers["registry_checker"])
        _plans(enterprise, officers["registry_maker"], officers["registry_checker"])
        _allocate(enterprise, officers["registry_maker"], officers["registry_checker"])
        _lives(enterprise, officers["registry_maker"], officers["registry_checker"])
    _push((a, b), officers["registry_checker"])
    _merge((a, b), officers["registry_maker"], officers["registry_checker"])
    _carry_over((a, b), officers["registry_maker"], officers["registry_checker"])
    _assist((a, b), officers["registry_maker"])
    for of, province in ((a, "province"), (b, "province:31")):
        _comply(of, officers["registry_maker"], officers[province])
        _chain(of, officers["registry_maker"], officers["registry_checker"], officers[province])
        _closures(of, officers[province])
    for of in (a, b):
        _mirror(of)
        _take_back(of, officers["registry_maker"])
    _differ_from_ccer()
    bank = _bank(officers["registry_maker"])
    for of in (a, b):
        _bank_with(of, bank, officers["registry_maker"], officers["registry_checker"])
    _differ_from_bank(bank, officers["registry_maker"])
    _trade(a, b, tables, officers)
    for number, of in enumerate((a, b), start=1):
        _certify_and_enter(of, number, officers["registry_maker"])
        of.credential = _credential(of.member)
    for province in ("province", "province:31"):
        _certify(officers[province])
        _credential(officers[province])
    officers |= _operators(a)
    _operators(b)
    for of in (a, b):
        of.changes = _account_changes(of.member)
        with transaction():
            file = attachments.look_at("说明.pdf", pdf())
            attachments.change(of.cancelling, Actor.of(of.member), now=clock.now(), add=[file])
    for member in (a.member, b.member, *officers.values()):
        _job(member)
    _letter()
    with transaction():
        visitor = sign_in.Visitor("198.51.100.9")
        lockout.take_a_guess("21042399999", visitor.source("21042399999"))
        sign_in.record("21042399999", "unknown", visitor)
        # A day before the tests' own, so that some rows have settled.
        settlement.settle_day(
            date(2026, 11, 19), SYSTEM, now=factories.at("15:30", day=19).astimezone(BEIJING)
        )
    _large(a)
    _consents((a, b), tables)
    return World(a, b, officers, *_announce(officers))


def _trade(a: Enterprise, b: Enterprise, tables: Tables, officers: dict[str, Member]) -> None:
    """Settle a day on which each sold to the other, and to somebody who could not pay."""
    market = Market(tables, day=date(2026, 11, 19), code="CEA26")
    for of in (a, b):
        market.join(of.account, tonnes=100, yuan="10000")
    poor = market.participant("丁投资有限公司", yuan="1000")
    market.deal(a.account, b.account, 20, "80.00", fees=("1.60", "0.80"))
    market.deal(b.account, a.account, 10, "81.00")
    for of in (a, b):
        market.deal(of.account, poor, 5, "81.00")
    content = market.package()
    market.pay_out(poor, "1000")
    two = (officers["registry_maker"], officers["registry_checker"])
    package_id = market.settle(*two, now=clock.now(), content=content)
    for of in (a, b):
        of.statements = [f"20261119-{market.venue_code}-{of.account.member_no}"]
        about = {"package": package_id, "day": "2026-11-19"}
        for submits in (False, True):
            draft = engine.Draft(
                "settlement_objection", of.account.id, (), str(uuid4()), reason="成交价有误",
                proposal=about,
            )  # fmt: skip
            with transaction():
                made = engine.start([draft], Actor.of(of.member), now=clock.now())
                if submits:
                    at = factories.at("09:00")
                    engine.submit(made, Actor.of(of.member), now=at).one()
            of.objections += made
    _explain(package_id, poor, two[0])
    _provide_and_cover(two[0])
    for of, other in ((a, b), (b, a)):  # Both lacked something once.
        tables.connection.execute(
            "INSERT INTO trade_default (trade_id, account_id, missing_tonnes, missing_fen, found_at, due_at)"
            " SELECT id, %s, 0, 12345, now(), now() FROM trade WHERE buyer_id = %s AND seller_id = %s",
            [of.account.id, of.account.id, other.account.id],
        )
    for of in (a, b):  # The exchange did not report what they hold beside the day's instrument.
        resolution = _explain(package_id, of.account, two[0])
        with transaction():
            engine.submit([resolution], Actor.of(two[0]), now=clock.now()).one()
            engine.approve([resolution], Actor.of(two[1]), now=clock.now()).one()


def _provide_and_cover(maker: Member) -> None:
    """Ask for a provision out of the fees; draft another, and the cover of a default."""
    default_id = db.session.scalars(select(func.min(TradeDefault.id))).one()
    for submits, draft in (
        (False, defaults.draft(default_id, str(uuid4()), reason="逾期未补足")),
        (False, reserve.draft("ICBC", 50, str(uuid4()), reason="计提")),
        (True, reserve.draft("ICBC", 100, str(uuid4()), reason="计提")),
    ):
        with transaction():
            made = engine.start([draft], Actor.of(maker), now=clock.now())
            if submits:
                engine.submit(made, Actor.of(maker), now=clock.now()).one()


def _explain(package_id: int, account: Account, maker: Member) -> int:
    """Let an officer enter why registry and exchange differ; return the application."""
    difference = db.session.scalars(
        select(SettlementDifference).where(
            SettlementDifference.package_id == package_id,
            SettlementDifference.account_id == account.id,
        )
    ).one()
    draft = engine.Draft(
        "difference_resolution", account.id, (), str(uuid4()), reason="交易机构已更正",
        proposal=dict(reconciliation.proposal_for(difference)),
    )  # fmt: skip
    with transaction():
        (made,) = engine.start([draft], Actor.of(maker), now=clock.now())
    return made


def _announce(officers: dict[str, Member]) -> tuple[int, int]:
    """Announce something to everybody, and leave a draft."""
    maker, checker = (Actor.of(officers[f"registry_{role}"]) for role in ("maker", "checker"))
    content = announcements.Content("系统维护通知", "周六20:00起维护。", is_pinned=True)
    with transaction():
        made, draft = (announcements.write(content, maker, now=clock.now()) for _each in range(2))
        announcements.publish(made, checker, version=1, now=clock.now())
    return made, draft


def _certify_and_enter(of: Enterprise, number: int, maker: Member) -> None:
    """Certify the operator; enter an opening and a replacement, and a draft of each."""
    row = _certify(of.member)
    actor = Actor.of(maker)
    for kind in ("account_opening", "certificate_replacement"):
        made = []
        for place in (0, 1):
            cells = to_open(number * 10 + place, representative_email=f"{number}@139.com")
            draft = opening_import.draft(opening_import.judge(cells)[0], str(uuid4()))
            if kind == "certificate_replacement":
                proposal = {"member_no": of.member.username, "certificate": row.serial.upper()}
                draft = engine.Draft(
                    kind, of.account.id, (), str(uuid4()), reason="遗失", proposal=proposal
                )
            with transaction():
                made += engine.start([draft], actor, now=clock.now())
        with transaction():
            engine.submit([made[1]], actor, now=clock.now()).one()
        of.by_officers[kind] = (made[0], made[1])


def _credential(by: Member) -> str:
    """Issue a credential and use it once; return its code."""
    key, now = machines.new_key(), clock.now()
    with transaction():
        code = credentials.issue(machines.wanted(key), Actor.of(by), None, now=now)
        client = machine_sign_in.find_client(code, now.date())
        assert client is not None
        valid = machine_sign_in.find_key(client.id, key.kid, now.date())
        assert valid is not None
        token = machine_sign_in.new_token()
        machine_sign_in.save_token(token, valid.id, client.scopes, ip="198.51.100.7")
        machine_sign_in.count_call(client.id, token, now, ip="198.51.100.7")
    return code


def _certify(member: Member) -> Certificate:
    if not _AUTHORITY:
        _AUTHORITY.append(make_authority())
    return register(member.username, issue(_AUTHORITY[0], member.username))


_AUTHORITY: list[Any] = []  # One for all worlds: its keys take a while.


def _operators(of: Enterprise) -> dict[str, Member]:
    """Add a colleague of each role, and switch 操作复核 on and off again."""
    roles = ("enterprise_maker", "enterprise_checker")
    found = {role: factories.member(role, of=of.account) for role in roles}
    for is_on in (True, False):
        with transaction():
            actor = Actor.of(of.member, "192.0.2.7")
            accounts.ask_colleagues(of.account.id, actor, asks=is_on, now=clock.now())
    return found


def _account_changes(by: Member) -> tuple[int, int]:
    """Propose new details twice: a draft and a submitted one."""
    actor, proposal = Actor.of(by), {"bank_name": ["", "中国银行"]}
    drafts = [
        engine.Draft("account_change", by.account_id, (), str(uuid4()), proposal=proposal)
        for _each in range(2)
    ]
    with transaction():
        draft, submitted = engine.start(drafts, actor, now=clock.now())
        engine.submit([submitted], actor, now=clock.now()).one()
    return draft, submitted


def _by_officers(of: Enterprise, maker: Member, checker: Member) -> None:
    """Approve one application of every kind for two officers, and leave a draft of each."""
    what = of.instrument
    lines = {
        "issuance": (5, "", "approved"),
        "freeze": (100, "", "supervision"),
        "unfreeze": (40, "freeze", ""),
        "confiscation": (30, "", "penalty"),
        "confiscation_refund": (10, "confiscation", ""),
        "restriction": (0, "", ""),
        "restriction_lifting": (0, "", ""),
    }
    for kind, (tonnes, source, category) in lines.items():
        drawn = of.by_officers[source][1] if source else None
        content = {"category": category, "lines": {what: tonnes} if tonnes else {}, "source": drawn}
        shown = factories.entered(kind, of.account, maker, **content)
        with transaction():
            engine.approve([shown], Actor.of(checker), now=clock.now()).one()
        draft = factories.entered(kind, of.account, maker, submits=False, **content)
        of.by_officers[kind] = (draft, shown)
    _machine_keys(of, maker, checker)
    # One that waits, so that the lists of what is held show both sorts.
    factories.entered("freeze", of.account, maker, lines={what: 3}, category="other")


def _machine_keys(of: Enterprise, maker: Member, checker: Member) -> None:
    """Register a key and revoke it, and leave a draft of each."""
    client = f"EX{of.account.id}"
    for kind in (machines.REGISTRATION, machines.REVOCATION):
        key = machines.new_key()
        proposal = machines.proposed(key, client)
        if kind == machines.REVOCATION:
            shown = of.by_officers[machines.REGISTRATION][1]
            proposal = dict(db.session.get_one(Application, shown).proposal)
            proposal = {name: proposal[name] for name in ("client", "kid", "thumbprint")}
        draft = machines.asked(proposal, maker, kind, submits=False)
        shown = machines.asked(proposal, maker, kind)
        factories.confirmed(shown, checker)
        of.by_officers[kind] = (draft, shown)


def _courts(of: Enterprise, maker: Member, checker: Member) -> None:
    """Approve a court's measure of every kind, and leave a draft of each; a second order is queued."""
    what, receiver = of.instrument, factories.account("申请执行人有限公司", of.account.province)
    measures = {
        "court_freeze": lambda **more: courts.freeze(of.account, maker, 9, what, **more),
        "court_renewal": lambda **more: courts.renew(order(), maker, date(2028, 1, 1), **more),
        "court_release": lambda **more: courts.release(order(), maker, 2, **more),
        "court_assignment": lambda **more: courts.assign(order(), maker, 3, what, receiver, **more),
        "court_sale": lambda **more: courts.sell(order(), maker, 2, what, **more),
        "court_sale_end": lambda **more: courts.end_sale(
            of.by_officers["court_sale"][1], maker, 2, **more
        ),
    }

    def order() -> int:
        return of.by_officers["court_freeze"][1]

    for kind, enter in measures.items():
        # Of what an end brings back nothing is left for a draft.
        draft = enter(confirms=False, submits=False)
        shown = enter(confirms=False)
        factories.confirmed(shown, checker)
        of.by_officers[kind] = (draft, shown)
    owed = factories.notice(of.account, 40, [what], by=maker, year=2028)
    asked = [
        courts.surrender(order(), of.member, 1, what, owed, submits=submits)
        for submits in (False, True)
    ]
    of.by_officers["court_surrender"] = (asked[0], asked[1])


def _pledges(of: Enterprise, maker: Member, checker: Member) -> None:
    """Pledge as a note and with a freeze, draw on both, and leave a draft of each kind."""
    what = factories.instrument(trade_code=None, vintage=2025)
    factories.give(of.account, what, 500)
    notice = factories.notice(of.account, 40, [what], by=maker, year=2027)
    pledgee = factories.member(
        of=factories.account(
            "商业银行", of.account.province, sector=None, holder_class="institution"
        )
    )
    code = pledging.known_here(pledgee.account)
    about: dict[str, Any] = {"code": code}
    for kind, mode in (("pledge_note", 1), ("pledge", 2)):
        pledging.switched(mode)
        shown = pledging.pledging(of.member, {what: 100}, kind=kind, **about)
        pledging.approved(shown, pledgee, maker, checker)
        draft = pledging.pledging(of.member, {what: 9}, kind=kind, submits=False, **about)
        of.by_officers[kind] = (draft, shown)
    drawing: dict[str, tuple[str, Member, dict[str, Any], list[Member]]] = {
        "pledge_note_release": ("pledge_note", maker, {}, [checker]),
        "pledge_release": ("pledge", maker, {}, [checker]),
        "pledge_joint_release": ("pledge", of.member, {}, [pledgee, maker]),
        "pledge_surrender": ("pledge", of.member, {"notice_id": notice}, [pledgee]),
    }
    for kind, (source, by, more, agreeing) in drawing.items():
        made = [
            pledging.drawing(kind, of.by_officers[source][1], 5, by, submits=submits, **more)
            for submits in (False, True)
        ]
        pledging.approved(made[1], *agreeing)
        of.by_officers[kind] = (made[0], made[1])


def _chain(of: Enterprise, maker: Member, checker: Member, province: Member) -> None:
    """Issue through the province, list, surrender by commission, reverse; leave a draft of each."""
    year, what = 2026, factories.instrument(trade_code=None, vintage=2026)

    def issued(tonnes: int) -> int:
        made = factories.entered(
            "issuance", of.account, maker, lines={what: tonnes}, category="supplementary"
        )
        return factories.confirmed(made, checker).id

    source = issued(9)
    of.province_batch = _batch(of, Actor.of(province), province_issues)
    more: dict[str, Any] = {"lines": {what: 2}, "source": source}
    shown = factories.entered("province_issue", of.account, province, **more)
    factories.confirmed(shown, factories.colleague(province))
    more |= {"submits": False, "import_id": of.province_batch}
    draft = factories.entered("province_issue", of.account, province, **more)
    of.by_officers["province_issue"] = (draft, shown)

    of.by_officers["issuance_reversal"] = (
        chains.reversal(issued(4), of.account, maker, submits=False),
        chains.reversal(issued(3), of.account, maker),
    )
    factories.confirmed(of.by_officers["issuance_reversal"][1], checker)

    shown = chains.listed(of.account, year, maker).id
    about: dict[str, Any] = {"category": "risk", "proposal": {"year": "2024"}}
    draft = factories.entered("differentiation", of.account, maker, submits=False, **about)
    of.by_officers["differentiation"] = (draft, shown)
    notice = factories.notice(of.account, 3, by=maker, year=year)
    shown = chains.commissioned(of.account, notice, province)
    chains.executed(shown, maker, checker)
    owed = factories.changed(notice, by=maker, obligation=4)
    factories.confirmed(owed, checker)
    draft = chains.commissioned(of.account, notice, province, submits=False)
    of.by_officers["commission"] = (draft, shown)
    chains.listed(of.account, 2023, maker)
    shown = chains.removed(of.account, 2023, maker).id
    draft = chains.removal(of.account, year, maker, submits=False)
    of.by_officers["differentiation_removal"] = (draft, shown)
    of.waiting = chains.lines_waiting(of.account)


def _groups(of: Enterprise, maker: Member, checker: Member) -> None:
    """Put the enterprise at the head of a group, and draft its dissolution."""
    linked = (factories.account("关联企业有限公司", of.account.province).id,)
    about = {"authority": "", "starts_on": date(2026, 11, 1)}
    shown = factories.entered("company_group", of.account, maker, receivers=linked, **about)
    factories.confirmed(shown, checker)
    draft = factories.entered("company_group", of.account, maker, submits=False, **about)
    of.by_officers["company_group"] = (draft, shown)


def _lives(of: Enterprise, maker: Member, checker: Member) -> None:
    """Retire an account that was opened by mistake; enter each other step of an account's life twice."""
    home = of.account.province
    mistaken = factories.account("误开有限公司", home)
    retired = factories.entered("account_retirement", mistaken, maker)
    factories.confirmed(retired, checker)
    merged, failed = (factories.account(f"{name}有限公司", home) for name in ("被并", "资不抵债"))
    factories.member(of=failed)
    share = Share(of.account.id, Decimal(100), of.account.member_no, of.account.name)
    national = db.session.get_one(Account, ISSUANCE_ACCOUNT_ID)
    with transaction():
        wrong = Instrument(code=f"PEX{of.account.id}", name="误建标的", vintage=2099)
        db.session.add(wrong)
    entered: dict[str, tuple[Account, dict[str, Any]]] = {
        "account_retirement": (factories.account("再误开有限公司", home), {}),
        "account_succession": (
            merged, {"category": "merger", "proposal": {"shares": [share.stored()]}},
        ),
        "bankruptcy": (failed, {"proposal": details.propose({}, ADMINISTRATOR)}),
        "class_rule": (
            national, {"proposal": {"class": "other", "rights": ["hold", "trade", "cancel"]}},
        ),
        "instrument_retirement": (
            national,
            {"proposal": {"instrument": wrong.id, "code": wrong.code, "instrument_name": "误建"}},
        ),
    }  # fmt: skip
    for kind, (about, content) in entered.items():
        draft = factories.entered(kind, about, maker, submits=False, **content)
        of.by_officers[kind] = (draft, retired)
        if kind != "account_retirement":
            shown = factories.entered(kind, about, maker, submits=False, **content)
            if kind == "bankruptcy":
                courts.attach(shown, about, maker)
            with transaction():
                engine.submit([shown], Actor.of(maker), now=clock.now()).one()
            if kind in ("class_rule", "instrument_retirement"):
                factories.confirmed(shown, checker)
            of.by_officers[kind] = (draft, shown)


def _closures(of: Enterprise, officer: Member) -> None:
    """Draft closures of the account, and withdraw one of each kind: it is not empty."""
    for kind, by in (("account_closure", of.member), ("closure_by_office", officer)):
        drafts = [
            engine.Draft(
                kind, of.account.id, (), str(uuid4()), "停产", document_no="鄂环〔2026〕9号"
            )
            for _each in range(2)
        ]
        with transaction():
            made = engine.start(drafts, Actor.of(by), now=clock.now())
            engine.withdraw([made[1]], Actor.of(by), now=clock.now()).one()
        of.by_officers[kind] = (made[0], made[1])


def _consents(enterprises: Sequence[Enterprise], tables: Tables) -> None:
    """Let a company of each group consent to its head, and each enterprise have consented before."""
    for of in enterprises:
        (company,) = db.session.scalars(
            select(CompanyGroupMember.account_id).where(
                CompanyGroupMember.head_id == of.account.id,
                CompanyGroupMember.account_id != of.account.id,
            )
        )
        account = db.session.get_one(Account, company)
        factories.give(account, of.instrument, 3)
        factories.notice(account, 7, by=factories.officer_of(account.province))
        by = factories.member(of=account)
        with transaction():
            group_view.change(Actor.of(by), gives=True, now=clock.now())
        tables.connection.execute(
            "INSERT INTO group_consent (account_id, head_id, is_given, changed_by, changed_at)"
            " VALUES (%s, %s, true, %s, now())",
            [of.account.id, company, of.member.id],
        )


def _plans(of: Enterprise, maker: Member, checker: Member) -> None:
    """Prolong a plan's deadline, and draft another version."""
    year, later = 2030 + of.account.id % 50, {"reason": "延长清缴期限"}
    says = {
        "method": "基准法", "rounding": "unit", "vintages": f"{year}", "source": "虚构",
        "surrender_by": f"{year + 1}-12-31 23:59:59", "confidence": "unsure", "is_draft": "draft",
    }  # fmt: skip
    shown = factories.proposing(year, "power", by=maker, **says)
    factories.confirmed(shown, checker)
    draft = factories.proposing(year, "power", by=maker, note="草稿", submits=False, **later)
    of.by_officers["plan"] = (draft, shown)


def _allocate(of: Enterprise, maker: Member, checker: Member) -> None:
    """Push a pre-allocation, deduct from it, and claim what was issued; leave drafts, of returns too."""
    account, number = of.account, of.account.member_no
    lines = (
        "会员编号,企业名称,履约年度,行业,环节,经核查排放量,配额量",
        f"{number},{account.name},2025,发电,预分配,1000,500",
    )
    content = io.BytesIO("\n".join(lines).encode())
    table = tables.read(content, f"{number}.csv", figure_import.COLUMNS)
    with transaction():
        assert not figure_import.take(table, Actor.of(maker), now=clock.now()).differing
    for kind, enter in (
        ("deduction", lambda **more: claims.deducting(account, 30, by=maker, **more)),
        (
            "allowance_claim",
            lambda **more: claims.claiming(account, of.instrument, 2, by=maker, **more),
        ),
        (
            "penalty",
            lambda **more: factories.entered(
                "penalty",
                account,
                maker,
                category="shortfall",
                proposal={"year": "2025", "fen": 2_000_000},
                **more,
            ),
        ),
    ):
        shown = enter()
        factories.confirmed(shown, checker)
        of.by_officers[kind] = (enter(submits=False), shown)
    claim = of.by_officers["allowance_claim"][1]
    made = [claims.returning(claim, 1, by=of.member, submits=False) for _each in range(2)]
    of.custody["allowance_return"] = (made[0], made[1])


def _push(both: Sequence[Enterprise], checker: Member) -> None:
    """Push what was imported of both once more by the platform's machine, and approve it."""
    rows = [
        {"member_no": of.account.member_no, "name": of.account.name, "verified": "1000",
         "quantity": 500}
        for of in both
    ]  # fmt: skip
    factories.confirmed(machines.pushed(*rows), checker)


def _carry_over(both: Sequence[Enterprise], maker: Member, checker: Member) -> None:
    """Make notices of a round, apply in every state, and carry out a batch; leave drafts of each."""
    old = factories.instrument("2021年度配额", trade_code=None, vintage=2021)
    in_2024 = datetime(2024, 12, 20, 10, tzinfo=BEIJING)
    for of in both:
        factories.give(of.account, old, 500, at=carrying.BEFORE)
        carrying.fulfilled(of.account, of.member, maker, year=2023, at=in_2024)
    about = both[0].by_officers
    shown = carrying.round_of(maker, years="2023")
    factories.confirmed(shown, checker)
    about["carry_over_round"] = (carrying.round_of(maker, note="草稿", submits=False), shown)
    shown = carrying.notices_of(maker)
    factories.confirmed(shown, checker)
    about["carry_over_notices"] = (carrying.notices_of(maker, submits=False), shown)
    for of in both:
        notice = carrying.notice_of(of.account)
        assert notice
        of.carry_over_notice = notice.id
        done = engine.start(
            [carrying.draft(of.member, {old: 30})], Actor.of(of.member), now=clock.now()
        )
        engine.submit(done, Actor.of(of.member), now=factories.at("10:00", day=19)).one()
        db.session.commit()
        of.carry_overs = [
            carrying.start(carrying.draft(of.member, {old: 10}), of.member, submits=False),
            carrying.applied(of.member, {old: 20}),
            *done,
        ]
    shown = carrying.batch(maker, checker, date(2026, 11, 19))
    assert carrying.carried_out() == len(both)
    content = carrying.drafts.of_batch(2025, date(2026, 11, 20), str(uuid4()), reason="按期收回")
    about["carry_over_batch"] = (carrying.start(content, maker, submits=False), shown)


def _large(a: Enterprise) -> None:
    """Limit what may be held, and search the settled day: both enterprises hold more."""
    with transaction():
        db.session.add(
            HoldingLimit(sector="all", vintage=a.instrument.vintage, quantity=100, basis="规则")
        )
        db.session.add(FeeRate(code="fee", name="手续费", payer="双方", rate="免收", basis="公告"))
    with transaction():
        assert large_holdings.find(date(2026, 11, 19), SYSTEM, now=clock.now())


def _differ_from_bank(bank: int, maker: Member) -> None:
    """Let a bank's file name what nobody knows, twice; officers have begun to resolve one."""
    with transaction():
        for number in (1, 2):
            banks.note(
                bank, date(2026, 11, 18), "unmatched", clock.now(), bank_serial=f"990000{number}",
                serial="", amount=12_345, direction="in", reason="没有该流水",
            )  # fmt: skip
    (event,) = db.session.scalars(
        select(func.min(BankLineEvent.id)).where(BankLineEvent.event == "unmatched")
    )
    for submits in (False, True):
        draft = engine.Draft(
            "bank_difference", ISSUANCE_ACCOUNT_ID, (), str(uuid4()), reason="银行已更正",
            proposal=files.proposal_for(event),
        )  # fmt: skip
        with transaction():
            made = engine.start([draft], Actor.of(maker), now=clock.now())
            if submits:
                engine.submit(made, Actor.of(maker), now=clock.now()).one()


def _merge(enterprises: Sequence[Enterprise], maker: Member, checker: Member) -> None:
    """Let each enterprise deposit and return to a third one, which returns something to each in turn.

    With a draft of each kind.
    """
    third, what = factories.account("丙新能源有限公司", "11"), factories.instrument()
    factories.give(third, what, 100)
    by = factories.member(of=third)
    deposit = custody.deposited(by, {what: 50}, checker)
    custody.link(third, [each.account for each in enterprises], maker, checker)
    for of in enterprises:
        custody.approve(custody.returning(by, deposit, {of.account: 4}), of.member)
        custody.returning(by, deposit, {of.account: 4})
        _deposit(of, third, maker, checker)


def _assist(enterprises: Sequence[Enterprise], maker: Member) -> None:
    """Let each enterprise supply something for the notice of a third one, and draft more of it."""
    third = factories.account("丁供热有限公司", "11")
    about = factories.notice(third, 100, [of.instrument for of in enterprises], by=maker)
    for of in enterprises:
        lines = (Line(of.instrument.id, 2, account_id=third.id),)
        drafts = [
            engine.Draft("assisted_surrender", of.account.id, lines, str(uuid4()), notice_id=about)
            for _ in range(2)
        ]
        actor = Actor.of(of.member)
        with transaction():
            first, second = engine.start(drafts, actor, now=clock.now())
            engine.submit([second], actor, now=clock.now()).one()
        of.assisted = (first, second)


def _deposit(of: Enterprise, third: Account, maker: Member, checker: Member) -> None:
    what = {of.instrument: 10}
    deposit = custody.deposited(of.member, what, checker)
    draft = factories.draft(custody.DEPOSIT, of.member, what, category="merger", reason="企业合并")
    of.custody[custody.DEPOSIT] = (draft, deposit)
    link = custody.link(of.account, [third], maker, checker)
    other = factories.account("新设单位").id
    about = {"document_no": "", "authority": "", "starts_on": None, "receivers": (other,)}
    drafted = factories.entered(custody.LINK, of.account, maker, submits=False, **about)
    of.by_officers[custody.LINK] = (drafted, link)
    lines = custody.distribution(deposit, {third: 4})
    returning = custody.returning(of.member, deposit, {third: 4})
    of.custody[custody.RETURN] = (custody.drafted(of.member, lines), returning)


def _mirror(of: Enterprise) -> None:
    """Mirror CCER, apply for offset with one unit, draft another, and differ from the CCER registry."""
    units = [factories.mirrored(of.member, 5) for _each in range(3)]
    of.offset_units = [each.id for each in units]
    made = [factories.offsetting(of.member, of.notices[1], each) for each in units[:2]]
    with transaction():
        engine.submit(made[1:], Actor.of(of.member), now=clock.now()).one()
    of.offsets = (made[0], made[1])
    proposal = mirror.binding_proposal(of.account.id, "declined")
    drafted = factories.draft("offset_binding", of.member, {}, proposal=proposal)
    answered = select(Application.id).where(
        Application.account_id == of.account.id,
        Application.kind == "offset_binding",
        Application.id != drafted,
    )
    of.offset_bindings = (drafted, db.session.scalars(answered).one())


def _take_back(of: Enterprise, maker: Member) -> None:
    """Draft refunds of every sort, a revocation, and the ends of the CCER account's binding."""
    sources = {
        "refund_of_commission": of.by_officers["commission"][1],
        "refund_to_helper": of.assisted[1],
        "refund_to_pledge": of.by_officers["pledge_surrender"][1],
    }
    for kind, source in sources.items():
        line = db.session.get_one(Application, source).lines[0]
        about = {"notice_id": line.application.notice_id, "source": source, "submits": False}
        made = [
            factories.entered(kind, of.account, maker, lines={line.instrument: 1}, **about)
            for _each in range(2)
        ]
        of.by_officers[kind] = (made[0], made[1])
    claim = db.session.get_one(Application, of.by_officers["allowance_claim"][1])
    ending = mirror.end_proposal(of.account.id)
    for kind, proposal in (
        ("revocation", {"number": claim.number, "kind": claim.kind}),
        ("offset_binding_end_by_registry", ending),
    ):
        made = [
            factories.entered(kind, of.account, maker, submits=False, proposal=proposal)
            for _each in range(2)
        ]
        of.by_officers[kind] = (made[0], made[1])
    made = [
        factories.draft("offset_binding_end", of.member, {}, proposal=ending, reason="账户调整")
        for _each in range(2)
    ]
    of.by_officers["offset_binding_end"] = (made[0], made[1])


def _differ_from_ccer() -> None:
    """Compare with a CCER registry that has nothing of it."""
    with transaction():
        asked = comparison.due(now=clock.now())
        assert asked
        comparison.compare(asked, [], now=clock.now())


def _bank(maker: Member) -> int:
    with transaction():
        return banks.open_bank("ICBC", "工商银行", Actor.of(maker)).id


def _bank_with(of: Enterprise, bank: int, maker: Member, checker: Member) -> None:
    """Bind a bank account; deposit and withdraw, with a draft of each and a withdrawal 待查."""
    of.money["bank_binding"] = (
        _apply(of, _binding(of, "6222020000000001"), submits=False),
        _apply(of, _binding(of, "6222020000000002")),
    )
    for officer in (maker, checker):
        with transaction():
            bound = [of.money["bank_binding"][1]]
            engine.approve(bound, Actor.of(officer), now=factories.at("09:00", day=18)).one()
    with transaction():
        for each in banks.to_bind(bank):
            banks.bound(each.binding_id, is_confirmed=True, message="{}", now=clock.now())
    for kind in ("deposit", "withdrawal"):
        made = []
        for submits in (False, True):
            draft = applying.draft(kind, of.account.id, 100_000, str(uuid4()))
            made.append(_apply(of, draft, submits=submits))
        of.money[kind] = (made[0], made[1])
        of.orders.append(_sent(bank, is_done=kind == "deposit"))


def _binding(of: Enterprise, number: str) -> engine.Draft:
    proposal = bindings.propose("ICBC", "工商银行", of.account.name, number)
    return engine.Draft("bank_binding", of.account.id, (), str(uuid4()), proposal=proposal)


def _apply(of: Enterprise, draft: engine.Draft, *, submits: bool = True) -> int:
    actor = Actor.of(of.member)
    with transaction():
        made = engine.start([draft], actor, now=clock.now())
        if submits:
            engine.submit(made, actor, now=clock.now()).one()
    return made[0]


def _sent(bank: int, *, is_done: bool) -> int:
    """Send the next order, and answer it; return its id."""
    with transaction():
        orders.register(bank, now=clock.now())
    with transaction():
        order = orders.next_to_send(bank, now=clock.now())
        assert order
    outcome = OrderState.DONE if is_done else OrderState.UNKNOWN
    with transaction():
        said = Said(outcome, "{}", f"BANK{order.order_id:06d}" if is_done else "")
        orders.answer(order.order_id, said, "answer", now=clock.now())
    return order.order_id


def _job(member: Member) -> None:
    """Add a job with a failure."""
    asked = {
        "kind": "review",
        "title": f"批量审核 {member.username}",
        "member_id": member.id,
        "account_id": member.account_id,
        "total": 2,
        "created_at": clock.now(),
    }
    with transaction():
        job = db.session.get_one(
            Job, db.session.scalar(insert(Job).values(asked).returning(Job.id))
        )
        job.position, job.done, job.failed, job.state = 2, 1, 1, "done"
        db.session.add(JobFailure(job_id=job.id, number=member.username, reason="已被审核"))


def _letter() -> None:
    """Put a letter into the demonstration's mailbox."""
    with transaction():
        outbox.send(outbox.Message("mail", "rep@plant.example", "您好", "notice", subject="通知"))
        message = outbox.claim("mail")
        assert message
        outbox.put_in_mailbox(message)
        outbox.sent(message)


def _officers() -> dict[str, Member]:
    newcomers = [
        NewMember("P42", "湖北主管部门", "province", province="42"),
        NewMember("P31", "上海主管部门", "province", province="31"),
    ]
    newcomers += [
        NewMember(f"Z{number:04d}", TITLES[code], code)
        for number, (code, role) in enumerate(ROLES.items(), start=1)
        if role.scope == "all"
    ]
    with transaction():
        ids = register_members(newcomers, PASSWORD, must_change=False)
    found: dict[str, Member] = {}
    for newcomer in newcomers:
        key = "province:31" if newcomer.province == "31" else newcomer.role
        found[key] = db.session.get_one(Member, ids[newcomer.member_no])
    return found


def _enterprise(name: str, province: str, prefix: str) -> Enterprise:
    account = factories.account(name, province)
    instrument = factories.instrument()
    factories.give(account, instrument, 1000)
    factories.give(account, instrument, 500, Bucket.TRADING)
    made = Enterprise(account, factories.member(of=account), instrument)
    fill(made, prefix)
    made.cancelling = factories.draft(CANCELLATION, made.member, {instrument: 1}, reason="碳中和")
    made.approved = _cancelling(made)
    return made


def _cancelling(enterprise: Enterprise) -> int:
    """Submit a voluntary cancellation."""
    what = {enterprise.instrument: 1}
    return factories.submitted(CANCELLATION, enterprise.member, what, reason="碳中和").id


def _comply(of: Enterprise, maker: Member, province: Member) -> None:
    """Issue two notices, with surrenders in every status and a refund."""
    registry, reviewer = Actor.of(maker), Actor.of(province)
    of.notices[:] = [
        factories.notice(of.account, tonnes, [of.instrument], by=maker, year=year)
        for year, tonnes in ((2024, 1), (2025, 300))
    ]
    by, what = of.member, {of.instrument: 1}
    done, due = of.notices
    approved = factories.submitted("surrender", by, what, notice_id=done)
    first = factories.submitted("surrender", by, {of.instrument: 3}, notice_id=due)
    with transaction():
        engine.approve([approved.id, first.id], reviewer, now=clock.now())
    lowered = factories.changed(due, by=maker, obligation=200)
    factories.confirmed(lowered, factories.colleague(maker))
    of.batch = _batch(of, registry)
    draft = factories.changed(due, by=maker, submits=False, import_id=of.batch, obligation=199)
    of.by_officers["notice"] = (draft, lowered)
    of.surrenders["approved"] = first.id
    of.surrenders["in_review"] = factories.submitted("surrender", by, what, notice_id=due).id
    of.surrenders["draft"] = factories.draft("surrender", by, what, notice_id=due)
    source = db.session.get_one(Application, first.id).lines[0].id
    for state in ("refund draft", "refund in_review"):
        content = engine.Draft(
            "surrender_refund",
            of.account.id,
            (Line(of.instrument.id, 1, source_line_id=source),),
            f"world:{state}:{of.account.id}",
            reason="核减",
            document_no="环函2号",
            authority="省生态环境厅",
            starts_on=clock.now().date(),
            notice_id=due,
        )
        with transaction():
            (of.surrenders[state],) = engine.start([content], registry, now=clock.now())
    with transaction():
        ids = [of.surrenders["refund in_review"]]
        engine.submit(ids, registry, now=clock.now()).one()


def _batch(of: Enterprise, by: Actor, importer: Any = notice_import) -> int:
    """Return the id of an imported file."""
    name = of.account.member_no
    rows = [tables.Row(2, {})]
    table = tables.Table(f"{name}.csv", name, importer.COLUMNS, rows)
    with transaction():
        return tables.remember(importer.FILE_KIND, table, by, clock.now())


def fill(enterprise: Enterprise, prefix: str) -> None:
    """Add one application of every kind and state."""
    by, what = enterprise.member, {enterprise.instrument: 1}
    actor = Actor.of(by, "192.0.2.7")
    enterprise.draft = factories.draft(TRANSFER, by, what, reason="交易需要")
    enterprise.submitted = factories.submitted(TRANSFER, by, what).id
    enterprise.withdrawn = factories.submitted(TRANSFER, by, what).id
    enterprise.in_review = _cancelling(enterprise)
    with transaction():
        engine.withdraw([enterprise.withdrawn], actor, now=clock.now()).one()
    for is_on in (True, False):
        with transaction():
            accounts.allow_exchange_transfer(
                enterprise.account.id, actor, allowed=is_on, now=clock.now()
            )
        _ask(enterprise, f"{prefix}{is_on:d}")


def _ask(enterprise: Enterprise, prefix: str) -> None:
    """Request a tonne in each direction as the exchange."""
    requests = [
        trading.TransferRequest(
            f"{prefix}-{direction}",
            direction,
            enterprise.account.member_no,
            enterprise.instrument.code,
            1,
            "ZGW",
        )
        for direction in ("in", "out")
    ]
    with transaction():
        trading.receive_transfers(requests, now=clock.now())

    def of_kind(kind: str) -> list[int]:
        mine = Application.account_id == enterprise.account.id
        return list(
            db.session.scalars(select(Application.id).where(Application.kind == kind, mine))
        )

    enterprise.from_exchange = of_kind("exchange_registry_to_trading")
    enterprise.to_registry = of_kind("trading_to_registry")


def list_pages(app: Any) -> list[Any]:
    """Return every list page that is registered."""
    return [view for view in app.appbuilder.baseviews if isinstance(view, ListPage)]
