"""The demonstration's market: a bank that answers, participants with money, and a day that was settled.

It goes the ways that everybody goes: applications, the bank's own protocol, a signed day package.  Only
the certificate of its exchange, of one day each, is written by the schema's owner.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_babel import force_locale
from sqlalchemy import func, literal, select, text

from app.delivery import banks as bank_lines
from app.domain.machines import SCOPES
from app.domain.money import plain_yuan
from app.domain.moves import HELD_BUCKETS, ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.installation import demo_exchange
from app.installation.demo import MANUAL_MEMBER_NO, NEWCOMER_NO
from app.models import (
    Account,
    Application,
    DayPackage,
    Holding,
    HoldingLimit,
    Instrument,
    Member,
    SettlementRun,
    Venue,
)
from app.operations.accounts import accounts, bindings
from app.operations.applications import engine
from app.operations.money import applying, banks
from app.operations.people import machine_keys
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, large_holdings, packages
from app.pki.canonical import canonical
from config import Settings
from simulators import package
from simulators.exchange import CLIENT

BANK, BANK_NAME = "ICBC", "工商银行（演示）"
PAID_IN = 50_000_000_00  # fen, by each participant
PRICES = (98_50, 98_20, 98_80, 99_10, 98_60, 98_40)
TRADES = (12_000, 8_500, 30_000, 5_600, 120_000, 21_000)  # tonnes; one of them a block deal
PARTICIPANTS = 4  # of each side
FIRST_DEAL = time(9, 41)
EVENING = time(16, 0)  # when the day is settled: banks are still open
KEY_DAYS = 700  # for which the exchange's key for the interface is registered


def seed_once(settings: Settings) -> None:
    """Let the demonstration's enterprises have traded on the last settled day; once."""
    day = db.session.scalar(select(func.max(SettlementRun.day)))
    if day is None or db.session.scalar(select(DayPackage.id).limit(1)) is not None:
        return
    maker, checker = (_member(number) for number in ("R0001", "R0002"))
    sellers, buyers = _sellers(), _buyers()
    with _on_the_evening_of(day):
        _trade(settings, day, sellers, buyers, maker, checker)


@contextlib.contextmanager
def _on_the_evening_of(day: date) -> Iterator[None]:
    """Let the clock show a day after its close, and go on from where it was."""
    began, morning = datetime.now(UTC), clock.now()
    with transaction():
        clock.set_to(datetime.combine(day, EVENING, tzinfo=BEIJING), SYSTEM)
    yield
    with transaction():
        clock.set_to(morning + (datetime.now(UTC) - began), SYSTEM)


def _trade(
    settings: Settings, day: date, sellers: Sequence[Account], buyers: Sequence[Account],
    maker: Actor, checker: Actor,
) -> None:  # fmt: skip
    with transaction():
        if banks.of_code(BANK) is None:
            banks.open_bank(BANK, BANK_NAME, maker)
    _register_exchange(settings, maker, checker)
    _bind([*sellers, *buyers], maker, checker)
    _let_fetch(sellers)
    bank_lines.exchange(settings)  # signs in and confirms the accounts
    _pay_in(buyers)
    bank_lines.exchange(settings)
    _settle(settings, day, sellers, buyers, maker, checker)
    _limit(day, sellers, maker, checker)


def _limit(day: date, sellers: Sequence[Account], maker: Actor, checker: Actor) -> None:
    """Limit holdings, link the first two sellers as a group, and search the day: some are above."""
    head, company, *_others = sellers
    draft = engine.Draft(
        "company_group", head.id, (), "demo:group", "同一实际控制人", document_no="交易函〔2026〕8号",
        starts_on=day, receivers=(company.id,),
    )  # fmt: skip
    _carry_out([draft], maker, checker)
    owned = sum((getattr(Holding, bucket.column) for bucket in HELD_BUCKETS), start=literal(0))
    largest = (
        select(Instrument.vintage, func.max(owned).label("quantity"))
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .join(Account, Account.id == Holding.account_id)
        .where(Account.kind == "enterprise", Instrument.kind == "allowance", owned > 1)
        .group_by(Instrument.vintage)
    )
    with transaction():
        for row in db.session.execute(largest):
            db.session.add(
                HoldingLimit(
                    sector="all",
                    vintage=row.vintage,
                    quantity=int(row.quantity) * 9 // 10,
                    basis="持仓限额通知（演示）",
                    valid_from=day,
                )
            )
    with transaction(), force_locale("zh"):
        large_holdings.find(day, SYSTEM, now=clock.now())


def _member(number: str) -> Actor:
    row = db.session.scalars(select(Member).where(Member.username == number)).one()
    return Actor.of(row, "192.0.2.1")


def _may_trade() -> Any:
    is_free = (Account.kind == "enterprise") & ~Account.is_restricted
    return is_free & (Account.member_no != NEWCOMER_NO)  # It binds its bank account itself.


def _sellers() -> Sequence[Account]:
    """Return those who have most of one instrument in trading."""
    held = (
        select(Holding.account_id)
        .join(Account, Account.id == Holding.account_id)
        .where(_may_trade(), Holding.trading > 0)
        .group_by(Holding.account_id)
        .order_by(func.max(Holding.trading).desc(), Holding.account_id)
        .limit(PARTICIPANTS)
    )
    ids = list(db.session.scalars(held))
    return [db.session.get_one(Account, id_) for id_ in ids]


def _buyers() -> Sequence[Account]:
    """Return enterprises that sell nothing, the manual's first."""
    sellers = {each.id for each in _sellers()}
    statement = (
        select(Account)
        .where(_may_trade(), Account.id.not_in(sellers))
        .order_by(Account.member_no != MANUAL_MEMBER_NO, Account.id)
        .limit(PARTICIPANTS)
    )
    return db.session.scalars(statement).all()


def _operator(account: Account) -> Actor:
    statement = select(Member).where(Member.username == account.member_no)
    return Actor.of(db.session.scalars(statement).one(), "192.0.2.10")


def _register_exchange(settings: Settings, maker: Actor, checker: Actor) -> None:
    """接入密钥登记 of the exchange, by two officers."""
    venue, today = _venue(), clock.now().date()
    key = machine_keys.read_key(json.dumps(demo_exchange.keys(settings).public()))
    client = {"client": CLIENT, "name": f"{venue.name}（演示交易系统）", "venue": venue.code}
    draft = engine.Draft(
        "machine_key", ISSUANCE_ACCOUNT_ID, (), f"demo:client:{CLIENT}", "演示交易系统接入",
        starts_on=today, ends_on=today + timedelta(days=KEY_DAYS),
        proposal={**client, "scopes": list(SCOPES), **key},
    )  # fmt: skip
    _carry_out([draft], maker, checker)


def _venue() -> Venue:
    return db.session.scalars(select(Venue).order_by(Venue.id)).all()[0]


def _let_fetch(sellers: Sequence[Account]) -> None:
    """划转权限 of the sellers: the exchange may fetch what they are to sell in large deals."""
    for account in sellers:
        if not account.allows_exchange_transfer:
            with transaction():
                accounts.allow_exchange_transfer(
                    account.id, _operator(account), allowed=True, now=clock.now()
                )


def _bind(participants: Sequence[Account], maker: Actor, checker: Actor) -> None:
    """银行账户绑定 of each, by two officers."""
    for number, account in enumerate(participants):
        proposal = bindings.propose(
            BANK, BANK_NAME, account.name, f"62220200{number:08d}{account.member_no[-3:]}"
        )
        draft = engine.Draft(
            "bank_binding", account.id, (), f"demo:bind:{account.member_no}", proposal=proposal
        )
        _carry_out([draft], _operator(account), maker, checker)


def _pay_in(participants: Sequence[Account]) -> None:
    for account in participants:
        draft = applying.draft(
            "deposit", account.id, PAID_IN, f"demo:deposit:{account.member_no}", reason="交易备付"
        )
        _carry_out([draft], _operator(account))


def _carry_out(drafts: Sequence[engine.Draft], actor: Actor, *officers: Actor) -> None:
    """Submit applications and let each officer approve them."""
    with transaction():
        made = engine.start(drafts, actor, now=clock.now())
        assert engine.submit(made, actor, now=clock.now()).refused == []
    for officer in officers:
        with transaction():
            assert engine.approve(made, officer, now=clock.now()).refused == []


def _settle(
    settings: Settings, day: date, sellers: Sequence[Account], buyers: Sequence[Account],
    maker: Actor, checker: Actor,
) -> None:  # fmt: skip
    """Hand in the day's package, review it twice, confirm it, and deliver."""
    keys = demo_exchange.keys(settings)
    demo_exchange.trust(settings, day)
    rows = _Market(day, sellers, buyers).rows()
    with transaction(), force_locale("zh"):
        content = package.write(_venue().code, day, rows, lambda said: keys.sign(said, day))
        package_id = packages.receive(content, SYSTEM, now=clock.now()).id
        settlement = clearing.propose(package_id, maker, now=clock.now())
        engine.submit([settlement], maker, now=clock.now()).one()
    result = clearing.result_of(db.session.get_one(Application, settlement).proposal)
    with transaction():
        clearing.confirm(settlement, keys.sign(canonical(result), day), now=clock.now())
        engine.approve([settlement], checker, now=clock.now(), comment="同意").one()
    with transaction():
        delivery.deliver_some(package_id, SYSTEM, now=clock.now())


class _Market:
    """The deals of the day, and what the exchange says of positions and funds after them."""

    def __init__(self, day: date, sellers: Sequence[Account], buyers: Sequence[Account]) -> None:
        self._day, self._sellers, self._buyers = day, sellers, buyers

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the tables of the package."""
        deals = list(self._deals())
        return {"DEAL": deals, "POS": self._positions(deals), "FUND": self._funds(deals)}

    def _deals(self) -> Any:
        start = datetime.combine(self._day, FIRST_DEAL, tzinfo=BEIJING)
        left = {each.id: self._stock(each) for each in self._sellers}
        for n, (quantity, price) in enumerate(zip(TRADES, PRICES, strict=True)):
            seller = self._sellers[n % len(self._sellers)]
            buyer = self._buyers[n % len(self._buyers)]
            code, most = left[seller.id]
            sold = min(quantity, most // 2)
            if not sold:
                continue
            left[seller.id] = (code, most - sold)
            at = start + timedelta(minutes=17 * n)
            yield (
                f"{self._day:%Y%m%d}{n + 1:06d}", at.isoformat(), 20 if sold >= 100_000 else 10, code,
                buyer.member_no, seller.member_no, plain_yuan(price), sold, plain_yuan(price * sold),
                "0.00", "0.00", f"B{n + 1:04d}", f"S{n + 1:04d}",
            )  # fmt: skip

    def _stock(self, account: Account) -> tuple[str, int]:
        """Return trade code and tonnes of what an account has most of in trading."""
        found = db.session.execute(
            text("""
                SELECT v.trade_code, h.trading FROM holding h
                  JOIN venue_instrument v ON v.instrument_id = h.instrument_id
                 WHERE h.account_id = :account ORDER BY h.trading DESC, v.trade_code LIMIT 1
            """),
            {"account": account.id},
        ).one()
        return found.trade_code, found.trading

    def _positions(self, deals: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        held = db.session.execute(
            text("""
                SELECT a.member_no, v.trade_code, h.trading FROM holding h
                  JOIN account a ON a.id = h.account_id AND a.kind = 'enterprise'
                  JOIN venue_instrument v ON v.instrument_id = h.instrument_id
                 WHERE h.trading > 0
            """)
        )
        opening = {(number, code): tonnes for number, code, tonnes in held}
        change = {key: [0, 0] for key in opening}
        for deal in deals:
            for side, place in ((deal[4], 0), (deal[5], 1)):
                change.setdefault((side, deal[3]), [0, 0])[place] += deal[7]
        return [
            (*key, opening.get(key, 0), 0, 0, bought, sold, opening.get(key, 0) + bought - sold)
            for key, (bought, sold) in sorted(change.items())
        ]

    def _funds(self, deals: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        rows = []
        for account in (*self._sellers, *self._buyers):
            paid_in = PAID_IN if account in self._buyers else 0
            spent, earned = (
                sum(int(deal[8].replace(".", "")) for deal in deals if deal[n] == account.member_no)
                for n in (4, 5)
            )
            figures = (0, paid_in, 0, spent, earned, 0, paid_in - spent + earned)
            rows.append((account.member_no, *map(plain_yuan, figures)))
        return rows
