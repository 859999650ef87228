"""A market for tests: banks, participants with tonnes and money, a venue that signs its packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, Move, Pocket, PostingRequest, Stage
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    ApplicationLine,
    Holding,
    Instrument,
    Member,
    SettlementBank,
    Venue,
    VenueInstrument,
)
from app.operations.applications import engine
from app.operations.ledger import posting
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages
from app.pki import cms
from app.pki.canonical import canonical
from simulators import package
from tests import factories
from tests.tables import Tables

DAY = date(2026, 11, 20)  # the tests' Friday
EVENING = datetime(2026, 11, 20, 16, 0, tzinfo=BEIJING)
MORNING = datetime(2026, 11, 23, 9, 30, tzinfo=BEIJING)  # of the next trading day


class VenueKey:
    """A venue's key and the self-signed certificate of it."""

    def __init__(self, name: str = "交易系统") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime(2026, 1, 1, tzinfo=UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(named)
            .issuer_name(named)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=3650))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )

    def sign(self, data: bytes) -> bytes:
        """Hash and sign the data."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def signature(self, content: bytes) -> bytes:
        """Return the detached CMS signature over the content."""
        return cms.sign(content, self, self.certificate, signed_at=EVENING)


@dataclass
class Market:
    """Participants trade ``cea`` at ``venue``; money is at the banks."""

    tables: Tables
    key: VenueKey = field(default_factory=VenueKey)
    deals: list[tuple[Any, ...]] = field(default_factory=list)
    day: date = DAY
    code: str = "CEA"  # by which the venue trades ``cea``
    beside: Market | None = (
        None  # the market of a first venue, whose ``cea`` a second one trades, too
    )

    def __post_init__(self) -> None:
        if self.beside:
            self.cea, self.venue = self.beside.cea, Venue(code="ZGB", name="另一交易机构")
            listed = {"instrument": self.cea, "trade_code": self.code}
            db.session.add(VenueInstrument(venue=self.venue, **listed))
        else:
            self.cea = factories.instrument(trade_code=self.code)
            self.venue = factories.venue()
        db.session.commit()
        self.venue_id, self.venue_code = self.venue.id, self.venue.code
        self.tables.connection.execute(
            "INSERT INTO venue_certificate (venue_id, certificate, valid_from) VALUES (%s, %s, %s)",
            [self.venue_id, self.key.certificate, date(2026, 1, 1)],
        )
        self.banks: dict[str, SettlementBank] = {}
        self.participants: list[Account] = []

    def bank(self, code: str) -> SettlementBank:
        """Return a settlement bank, opened when first named."""
        known = select(SettlementBank).where(SettlementBank.code == code)
        if code not in self.banks and (found := db.session.scalar(known)):
            self.banks[code] = found
        if code not in self.banks:
            with transaction():
                money = Instrument(
                    code=f"CNY-{code}", name=f"资金（{code}）", vintage=0, kind="money"
                )
                db.session.add(money)
                db.session.flush()
                self.banks[code] = SettlementBank(
                    code=code, name=f"{code}银行", instrument_id=money.id
                )
                db.session.add(self.banks[code])
        return self.banks[code]

    def participant(
        self, name: str, *, tonnes: int = 0, yuan: str = "0", bank: str = "ICBC"
    ) -> Account:
        """Open an account with tonnes in trading and money at a bank."""
        return self.join(factories.account(name), tonnes=tonnes, yuan=yuan, bank=bank)

    def join(
        self, account: Account, *, tonnes: int = 0, yuan: str = "0", bank: str = "ICBC"
    ) -> Account:
        """Let an account trade, with tonnes in trading and money at a bank."""
        at = self.bank(bank)
        self.tables.connection.execute(
            "INSERT INTO bank_binding (account_id, bank_id, holder_name, bank_account, bound_at,"
            " withdrawals_from) VALUES (%s, %s, %s, '', %s, %s) ON CONFLICT DO NOTHING",
            [account.id, at.id, account.name, EVENING - timedelta(days=30), date(2026, 10, 30)],
        )
        if tonnes:
            factories.give(account, self.cea, tonnes, Bucket.TRADING)
        if Decimal(yuan):
            self.pay_in(account, yuan)
        self.participants.append(account)
        return account

    def pay_in(self, account: Account, yuan: str) -> None:
        """Give money to a participant at its bank."""
        self._pay(account, yuan, is_in=True)

    def pay_out(self, account: Account, yuan: str) -> None:
        """Take money of a participant away."""
        self._pay(account, yuan, is_in=False)

    def _pay(self, account: Account, yuan: str, *, is_in: bool) -> None:
        money = self.money_of(account)
        bank = Pocket(ISSUANCE_ACCOUNT_ID, money, Bucket.ISSUED)
        own = Pocket(account.id, money, Bucket.AVAILABLE)
        source, target = (bank, own) if is_in else (own, bank)
        self.post(f"pay:{uuid4()}", Move(source, target, int(Decimal(yuan) * 100)))

    def freeze(self, account: Account, yuan: str, maker: Member, checker: Member) -> int:
        """Freeze money of a participant, as a court does; return the document's line."""
        line = Line(self.money_of(account), int(Decimal(yuan) * 100))
        application_id = self._decide("freeze", account, line, maker, checker, category="other")
        return db.session.scalars(
            select(ApplicationLine.id).where(ApplicationLine.application_id == application_id)
        ).one()

    def unfreeze(
        self, account: Account, yuan: str, frozen: int, maker: Member, checker: Member
    ) -> None:
        """Give back what was frozen under a document's line."""
        line = Line(self.money_of(account), int(Decimal(yuan) * 100), source_line_id=frozen)
        self._decide("unfreeze", account, line, maker, checker)

    def _decide(
        self, kind: str, account: Account, line: Line, maker: Member, checker: Member, **more: Any
    ) -> int:
        content = engine.Draft(
            kind=kind, account_id=account.id, lines=(line,), request_key=str(uuid4()),
            document_no="（2026）鄂01执保7号", authority="武汉市中级人民法院", starts_on=DAY,
            ends_on=date(2027, 11, 19) if kind == "freeze" else None,
            reason="诉讼保全", **more,
        )  # fmt: skip
        with transaction():
            (application_id,) = engine.start([content], Actor.of(maker), now=EVENING)
            engine.submit([application_id], Actor.of(maker), now=EVENING).one()
        with transaction():
            engine.approve([application_id], Actor.of(checker), now=EVENING).one()
        return application_id

    def post(self, key: str, move: Move) -> None:
        """Move something by a posting of a trial."""
        with transaction():
            posting.post(
                [PostingRequest(factories.TRIAL, Stage.APPROVAL, key, (move,))],
                at=datetime(2026, 1, 5, 9, 0, tzinfo=BEIJING),
            )

    def money_of(self, account: Account) -> int:
        """Return the instrument of the money of a participant's bank."""
        (found,) = self.tables.connection.execute(
            "SELECT s.instrument_id FROM bank_binding b JOIN settlement_bank s ON s.id = b.bank_id"
            " WHERE b.account_id = %s AND b.ended_at IS NULL",
            [account.id],
        ).fetchone()
        return found

    def deal(
        self, seller: Account, buyer: Account, quantity: int, price: str, *, method: int = 10,
        fees: tuple[str, str] = ("0.00", "0.00"), at: str = "",
        cells: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Add a deal to the day's package."""
        number = len(self.deals) + 1
        row = {
            "deal_no": f"D{number:06d}",
            "dealt_at": at or f"{self.day}T{10 + number // 3600:02d}:{number // 60 % 60:02d}"
                              f":{number % 60:02d}+08:00",
            "method": str(method),
            "trade_code": self.code,
            "buyer": buyer.member_no,
            "seller": seller.member_no,
            "price": price,
            "quantity": str(quantity),
            "amount": f"{Decimal(price) * quantity:.2f}",
            "buy_fee": fees[0],
            "sell_fee": fees[1],
            "buy_order_no": "",
            "sell_order_no": "",
        } | dict(cells or {})  # fmt: skip
        self.deals.append(tuple(row[column] for column in package.COLUMNS["DEAL"]))

    def package(self, *, day: date | None = None, **tables: Sequence[Sequence[Any]]) -> bytes:
        """Return the day's package, signed: positions and funds follow from ledger and deals."""
        rows: Mapping[str, Sequence[Sequence[Any]]] = {
            "DEAL": self.deals,
            "POS": self.positions(),
            "FUND": self._funds(),
        } | tables
        return package.write(self.venue_code, day or self.day, rows, self.key.signature)

    def positions(self) -> list[tuple[Any, ...]]:
        """Return the rows of POS, as ledger and deals have them."""
        rows = []
        for account in self.participants:
            opening = self.tonnes(account)
            bought = sum(int(deal[7]) for deal in self.deals if deal[4] == account.member_no)
            sold = sum(int(deal[7]) for deal in self.deals if deal[5] == account.member_no)
            closing = opening + bought - sold
            rows.append(
                (account.member_no, self.code, opening, 0, 0, bought, sold, max(closing, 0))
            )
        return rows

    def _funds(self) -> list[tuple[Any, ...]]:
        rows = []
        for account in self.participants:
            opening = Decimal(self._all_money(account)) / 100
            mine = [deal for deal in self.deals if account.member_no in deal[4:6]]
            bought = sum((Decimal(d[8]) for d in mine if d[4] == account.member_no), Decimal())
            sold = sum((Decimal(d[8]) for d in mine if d[5] == account.member_no), Decimal())
            fees = sum(
                (Decimal(d[9] if d[4] == account.member_no else d[10]) for d in mine), Decimal()
            )
            closing = opening - bought + sold - fees
            rows.append(
                (account.member_no, *(f"{figure:.2f}" for figure in
                                      (opening, 0, 0, bought, sold, fees, max(closing, Decimal()))))
            )  # fmt: skip
        return rows

    def settle(
        self, maker: Member, checker: Member, *, now: datetime = EVENING,
        content: bytes | None = None,
    ) -> int:  # fmt: skip
        """Settle the day: package, 初审, confirmation, 复审, delivery; return the package's id."""
        with transaction():
            package_id = packages.receive(content or self.package(), SYSTEM, now=now).id
            settlement = clearing.propose(package_id, Actor.of(maker), now=now)
        with transaction():
            engine.submit([settlement], Actor.of(maker), now=now).one()
            result = clearing.result_of(db.session.get_one(Application, settlement).proposal)
            signature = self.key.signature(canonical(result))
            clearing.confirm(settlement, signature, now=now, venue_id=self.venue_id)
        with transaction():
            engine.approve([settlement], Actor.of(checker), now=now).one()
        with transaction():
            assert delivery.deliver_some(package_id, SYSTEM, now=now).is_over
        return package_id

    def _all_money(self, account: Account) -> int:
        key = (account.id, self.money_of(account))
        row = db.session.get(Holding, key, populate_existing=True)
        return row.available + row.proceeds + row.reserved + row.frozen if row else 0

    def tonnes(self, account: Account) -> int:
        """Return what a participant holds in trading."""
        row = db.session.get(Holding, (account.id, self.cea.id), populate_existing=True)
        return row.trading if row else 0

    def money(self, account: Account) -> tuple[int, int]:
        """Return a participant's available money and proceeds, in fen."""
        row = db.session.get(Holding, (account.id, self.money_of(account)), populate_existing=True)
        return (row.available, row.proceeds) if row else (0, 0)
