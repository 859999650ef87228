"""The demonstration's market: a bank that answers, participants with money, and a day that was settled.

It goes the ways that everybody goes: applications, the bank's own protocol, a signed day package.  Only
the certificate of its exchange, of this one day, is written by the schema's owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask_babel import force_locale
from sqlalchemy import create_engine, func, literal, select, text

from app.delivery import banks as bank_lines
from app.domain.money import plain_yuan
from app.domain.moves import HELD_BUCKETS
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.installation.demo import MANUAL_MEMBER_NO
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
from app.operations.accounts import bindings
from app.operations.applications import engine
from app.operations.money import applying, banks
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, large_holdings, packages
from app.pki import cms
from app.pki.canonical import canonical
from config import Settings
from simulators import package

BANK, BANK_NAME = "ICBC", "工商银行（演示）"
PAID_IN = 50_000_000_00  # fen, by each participant
PRICES = (98_50, 98_20, 98_80, 99_10, 98_60, 98_40)
TRADES = (12_000, 8_500, 30_000, 5_600, 120_000, 21_000)  # tonnes; one of them a block deal
PARTICIPANTS = 4  # of each side
FIRST_DEAL = time(9, 41)


def seed_once(settings: Settings) -> None:
    """Let the demonstration's enterprises have traded on the last settled day; once."""
    day = db.session.scalar(select(func.max(SettlementRun.day)))
    if day is None or db.session.scalar(select(DayPackage.id).limit(1)) is not None:
        return
    maker, checker = (_member(number) for number in ("R0001", "R0002"))
    sellers, buyers = _sellers(), _buyers()
    with transaction():
        if banks.of_code(BANK) is None:
            banks.open_bank(BANK, BANK_NAME, maker)
    _bind([*sellers, *buyers], maker, checker)
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


def _sellers() -> Sequence[Account]:
    """Return those who have most of one instrument in trading."""
    held = (
        select(Holding.account_id)
        .join(Account, Account.id == Holding.account_id)
        .where(Account.kind == "enterprise", ~Account.is_restricted, Holding.trading > 0)
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
        .where(Account.kind == "enterprise", ~Account.is_restricted, Account.id.not_in(sellers))
        .order_by(Account.member_no != MANUAL_MEMBER_NO, Account.id)
        .limit(PARTICIPANTS)
    )
    return db.session.scalars(statement).all()


def _operator(account: Account) -> Actor:
    statement = select(Member).where(Member.username == account.member_no)
    return Actor.of(db.session.scalars(statement).one(), "192.0.2.10")


def _bind(accounts: Sequence[Account], maker: Actor, checker: Actor) -> None:
    """银行账户绑定 of each, by two officers."""
    for number, account in enumerate(accounts):
        proposal = bindings.propose(
            BANK, BANK_NAME, account.name, f"62220200{number:08d}{account.member_no[-3:]}"
        )
        draft = engine.Draft(
            "bank_binding", account.id, (), f"demo:bind:{account.member_no}", proposal=proposal
        )
        _carry_out([draft], _operator(account), maker, checker)


def _pay_in(accounts: Sequence[Account]) -> None:
    for account in accounts:
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
    venue = db.session.scalars(select(Venue).order_by(Venue.id)).first()
    assert venue
    sign, certificate = _exchange_key()
    _trust(settings, venue.id, certificate, day)
    rows = _Market(day, sellers, buyers).rows()
    with transaction(), force_locale("zh"):
        content = package.write(venue.code, day, rows, sign)
        package_id = packages.receive(content, SYSTEM, now=clock.now()).id
        settlement = clearing.propose(package_id, maker, now=clock.now())
        engine.submit([settlement], maker, now=clock.now()).one()
    result = clearing.result_of(db.session.get_one(Application, settlement).proposal)
    with transaction():
        clearing.confirm(settlement, sign(canonical(result)), now=clock.now())
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
            opening = PAID_IN if account in self._buyers else 0
            spent, earned = (
                sum(int(deal[8].replace(".", "")) for deal in deals if deal[n] == account.member_no)
                for n in (4, 5)
            )
            figures = (opening, 0, 0, spent, earned, 0, opening - spent + earned)
            rows.append((account.member_no, *map(plain_yuan, figures)))
        return rows


def _exchange_key() -> tuple[Callable[[bytes], bytes], bytes]:
    """Return how the demonstration's exchange signs, with a key that nobody keeps, and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "演示交易机构")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(named, named, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    der = made.public_bytes(serialization.Encoding.DER)

    class Signer:
        """Signs with the key."""

        def sign(self, data: bytes) -> bytes:
            """Hash and sign the data."""
            return key.sign(data, ec.ECDSA(hashes.SHA256()))

    return lambda content: cms.sign(content, Signer(), der, signed_at=datetime.now(UTC)), der


def _trust(settings: Settings, venue_id: int, certificate: bytes, day: date) -> None:
    """Let the venue's certificate count for this day alone, as the schema's owner."""
    engine_of_owner = create_engine(settings.database_owner_url)
    with engine_of_owner.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO venue_certificate (venue_id, certificate, valid_from, disabled_from)
                VALUES (:venue, :certificate, :day, :after)
            """),
            {"venue": venue_id, "certificate": certificate, "day": day,
             "after": day + timedelta(days=1)},
        )  # fmt: skip
    engine_of_owner.dispose()
