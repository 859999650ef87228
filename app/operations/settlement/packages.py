"""Receiving a day package: its signature, its rows against our records, all of it or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from asn1crypto import x509
from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, Integer, SmallInteger, String, insert, select, text

from app.domain.errors import NotFound, RuleError
from app.domain.money import plain_yuan
from app.domain.trades import BLOCK_FROM, METHOD_TITLES, Method, is_of_its_size, price_band
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import DayPackage, PackageRefusal, Venue, VenueCertificate
from app.operations.records import calendar, log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed
from app.operations.settlement.package_file import Fault, PackageFile, Row, read
from app.pki import cms
from app.pki.errors import PkiError

MOST_WARNINGS = 200


class PackageRefused(RuleError):
    """A package with faults; nothing of it was kept but its digest and the faults."""

    code = "package_refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(
            _("The package was refused for %(count)d faults; nothing of it was imported",
              count=len(faults))
        )  # fmt: skip
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Received:
    """A package that is kept; ``is_new`` is false where the same file came before."""

    id: int
    is_new: bool
    warnings: int


@dataclass(frozen=True, slots=True)
class _Certificate:
    der: bytes


@dataclass(slots=True)
class _Names:
    """What the rows name, by code: accounts, instruments by trade code, and the payers' money."""

    accounts: Mapping[str, int]
    instruments: Mapping[str, int]
    money: Mapping[int, int]
    closes: Mapping[int, int]  # instrument -> previous close, in fen


def receive(
    content: bytes,
    actor: Actor,
    *,
    now: datetime,
    venue_id: int | None = None,
    day: date | None = None,
) -> Received:
    """Keep a venue's day package; the same file again is a no-op (domain.md R55).

    ``venue_id`` is the sender's, where the sender is known, and ``day`` the one that it named.
    Raises PackageRefused with all faults, RuleError where the day has another package already.
    """
    file = read(content)
    if day is not None and not file.faults and file.day != day:
        message = _("The package is of %(day)s", day=file.day)
        file.fault("day_differs", message, column="day", value=day)
    venue = _venue(file, venue_id)
    if venue is not None and (before := _before(file, venue)) is not None:
        return before
    certificate = _signed_by(file, venue) if venue else b""
    warnings: list[Fault] = []
    if not file.faults and venue is not None and file.day is not None:
        names = _names(file, venue, file.day)
        _check_day(file, now)
        _check_rows(file, names, warnings)
    if file.faults or venue is None or file.day is None:
        raise PackageRefused(file.faults)
    return _keep(content, file, venue, certificate, names, warnings, actor, now)


def note_refusal(
    content_digest: str, faults: Sequence[Fault], actor: Actor, *, now: datetime
) -> None:
    """Keep what was refused and why, in a transaction of its own."""
    db.session.execute(
        insert(PackageRefusal).values(
            digest=content_digest,
            faults=[asdict(fault) for fault in faults],
            received_at=now,
            received_by=actor.member_id,
        )
    )
    log.record(actor, "package.refuse", subject=content_digest[:16], faults=len(faults))


def _venue(file: PackageFile, venue_id: int | None) -> Venue | None:
    if file.faults:
        return None
    venue = db.session.scalar(select(Venue).where(Venue.code == file.venue))
    if venue is None or venue_id not in (None, venue.id):
        message = _("The package is not of a venue that may send it")
        file.fault("venue_unknown", message, column="venue", value=file.venue)
        return None
    return venue


_LOCK = text("SELECT pg_advisory_xact_lock(7260012, :venue)")


def _before(file: PackageFile, venue: Venue) -> Received | None:
    """Return the day's package, the same one; raises RuleError for another one (R55)."""
    db.session.execute(_LOCK, {"venue": venue.id})
    kept = db.session.execute(
        select(DayPackage.id, DayPackage.digest, DayPackage.warnings).where(
            DayPackage.venue_id == venue.id, DayPackage.day == file.day
        )
    ).first()
    if kept is None:
        return None
    if kept.digest != file.digest:
        raise RuleError(
            _(
                "%(venue)s has handed in %(day)s already, with the digest %(digest)s; this is another"
                " package",
                venue=venue.name,
                day=file.day,
                digest=kept.digest[:16],
            ),
            code="package_differs",
        )
    return Received(kept.id, False, len(kept.warnings))


def _signed_by(file: PackageFile, venue: Venue) -> bytes:
    """Verify the manifest's signature; return the certificate that made it."""
    known = {}
    for row in db.session.scalars(
        select(VenueCertificate).where(
            VenueCertificate.venue_id == venue.id, VenueCertificate.valid_from <= file.day
        )
    ):
        if row.disabled_from is not None and file.day and row.disabled_from <= file.day:
            continue
        parsed = x509.Certificate.load(row.certificate)
        known[parsed.issuer.dump(), parsed.serial_number] = _Certificate(row.certificate)
    try:
        verified = cms.verify(
            file.manifest, file.signature, lambda issuer, serial: known.get((issuer, serial))
        )
    except PkiError as error:
        message = _("The signature is not one of this venue's over this manifest")
        file.fault("signature_refused", message, value=error.code)
        return b""
    return verified.certificate.der


def _check_day(file: PackageFile, now: datetime) -> None:
    assert file.day
    today = now.astimezone(BEIJING)
    if not calendar.is_trading_day(file.day):
        message = _("%(day)s is not a trading day", day=file.day)
        file.fault("not_a_trading_day", message, column="day", value=file.day)
    closes = datetime.combine(file.day, calendar.cut_off(file.day), tzinfo=BEIJING)
    if today < closes:
        message = _("%(day)s is over at %(hour)s", day=file.day, hour=f"{closes:%H:%M}")
        file.fault("day_not_over", message, column="day", value=file.day)


# Rows against our records ----------------------------------------------------------------


def _check_rows(file: PackageFile, names: _Names, warnings: list[Fault]) -> None:
    bought, sold, spent = _check_deals(file, names, warnings)
    _check_positions(file, names, bought, sold)
    _check_funds(file, names, spent)
    seen: set[str] = set()
    for row in file.tables["TRANSFER"]:
        _known_member(file, "TRANSFER", row, "member_no", names)
        _known_instrument(file, "TRANSFER", row, names)
        _once(file, "TRANSFER", row, "request_no", row["request_no"], seen)


def _check_deals(
    file: PackageFile, names: _Names, warnings: list[Fault]
) -> tuple[dict[Any, int], dict[Any, int], dict[str, list[int]]]:
    """Check deals; return tonnes bought and sold by (member, code), and fen (bought, sold, fees)."""
    bought: dict[Any, int] = defaultdict(int)
    sold: dict[Any, int] = defaultdict(int)
    spent: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    seen: set[str] = set()
    for row in file.tables["DEAL"]:
        _once(file, "DEAL", row, "deal_no", row["deal_no"], seen)
        instrument = _known_instrument(file, "DEAL", row, names)
        for side in ("buyer", "seller"):
            account = _known_member(file, "DEAL", row, side, names)
            if account is not None and account not in names.money:
                message = _("This member has no bank account bound")
                file.fault("no_bank_account", message, table="DEAL", row=row.number, column=side,
                           value=row[side])  # fmt: skip
        if row["buyer"] == row["seller"]:
            message = _("Buyer and seller are the same member")
            file.fault("one_party", message, table="DEAL", row=row.number, column="seller",
                       value=row["seller"])  # fmt: skip
        _check_amount(file, row)
        _check_price(row, names.closes.get(instrument or 0), warnings)
        quantity, amount = row["quantity"] or 0, row["amount"] or 0
        bought[row["buyer"], row["trade_code"]] += quantity
        sold[row["seller"], row["trade_code"]] += quantity
        spent[row["buyer"]][0] += amount
        spent[row["buyer"]][2] += row["buy_fee"] or 0
        spent[row["seller"]][1] += amount
        spent[row["seller"]][2] += row["sell_fee"] or 0
    return bought, sold, spent


def _check_amount(file: PackageFile, row: Row) -> None:
    price, quantity, amount = row["price"], row["quantity"], row["amount"]
    if None not in (price, quantity, amount) and amount != price * quantity:
        message = _("The amount is not price times quantity, %(wanted)s",
                    wanted=plain_yuan(price * quantity))  # fmt: skip
        file.fault("amount_differs", message, table="DEAL", row=row.number, column="amount",
                   value=plain_yuan(amount))  # fmt: skip
    if None not in (amount, row["sell_fee"]) and row["sell_fee"] > amount:
        message = _("The fee is larger than the amount")
        file.fault("fee_too_large", message, table="DEAL", row=row.number, column="sell_fee",
                   value=plain_yuan(row["sell_fee"]))  # fmt: skip


def _check_price(row: Row, previous_close: int | None, warnings: list[Fault]) -> None:
    """Note what is unusual; the deal stands as it was matched (交易管理规则 13)."""
    if None in (row["method"], row["quantity"], row["price"]) or len(warnings) >= MOST_WARNINGS:
        return
    method = Method(row["method"])
    title = METHOD_TITLES[method]
    if not is_of_its_size(method, row["quantity"]):
        message = _("%(method)s and %(quantity)s tonnes: the limit between listed and block deals is"
                    " %(limit)s", method=title, quantity=f"{row['quantity']:,}",
                    limit=f"{BLOCK_FROM:,}")  # fmt: skip
        warnings.append(Fault("DEAL", row.number, "quantity", "size_unusual", message,
                              str(row["quantity"])))  # fmt: skip
    band = price_band(previous_close, method) if previous_close else None
    if band and not band[0] <= row["price"] <= band[1]:
        message = _("The price lies outside %(lowest)s to %(highest)s",
                    lowest=plain_yuan(band[0]), highest=plain_yuan(band[1]))  # fmt: skip
        warnings.append(Fault("DEAL", row.number, "price", "price_unusual", message,
                              plain_yuan(row["price"])))  # fmt: skip


def _check_positions(
    file: PackageFile, names: _Names, bought: Mapping[Any, int], sold: Mapping[Any, int]
) -> None:
    seen: set[Any] = set()
    for row in file.tables["POS"]:
        key = row["member_no"], row["trade_code"]
        _once(file, "POS", row, "member_no", key, seen)
        _known_member(file, "POS", row, "member_no", names)
        _known_instrument(file, "POS", row, names)
        _adds_up(file, "POS", row, ("opening", "moved_in", "bought"), ("moved_out", "sold"))
        for column, deals in (("bought", bought), ("sold", sold)):
            _as_dealt(file, "POS", row, column, deals.get(key, 0))
    for key in sorted(set(bought) | set(sold), key=str):
        if key not in seen and None not in key:
            message = _("A member that dealt has no row here")
            file.fault("row_missing", message, table="POS", value="/".join(key))


def _check_funds(file: PackageFile, names: _Names, spent: Mapping[str, list[int]]) -> None:
    seen: set[Any] = set()
    for row in file.tables["FUND"]:
        _once(file, "FUND", row, "member_no", row["member_no"], seen)
        _known_member(file, "FUND", row, "member_no", names)
        _adds_up(file, "FUND", row, ("opening", "paid_in", "sold"), ("paid_out", "bought", "fees"))
        dealt = spent.get(row["member_no"], [0, 0, 0])
        for column, fen in zip(("bought", "sold", "fees"), dealt, strict=True):
            _as_dealt(file, "FUND", row, column, fen)
    for member in sorted(set(spent) - seen - {None}, key=str):
        message = _("A member that dealt has no row here")
        file.fault("row_missing", message, table="FUND", value=member)


def _adds_up(
    file: PackageFile, table: str, row: Row, gains: Sequence[str], losses: Sequence[str]
) -> None:
    if None in (row["closing"], *(row[column] for column in (*gains, *losses))):
        return
    wanted = sum(row[column] for column in gains) - sum(row[column] for column in losses)
    if row["closing"] != wanted:
        shown = plain_yuan(wanted) if table == "FUND" else f"{wanted}"
        message = _("The closing figure should be %(wanted)s", wanted=shown)
        file.fault("closing_differs", message, table=table, row=row.number, column="closing",
                   value=row["closing"])  # fmt: skip


def _as_dealt(file: PackageFile, table: str, row: Row, column: str, dealt: int) -> None:
    if row[column] is not None and row[column] != dealt:
        shown = plain_yuan(dealt) if table == "FUND" else f"{dealt}"
        message = _("The deals add up to %(dealt)s", dealt=shown)
        file.fault("deals_differ", message, table=table, row=row.number, column=column,
                   value=row[column])  # fmt: skip


def _once(file: PackageFile, table: str, row: Row, column: str, key: Any, seen: set[Any]) -> None:
    if key in seen:
        message = _("This row is there twice")
        file.fault("row_twice", message, table=table, row=row.number, column=column, value=key)
    seen.add(key)


def _known_member(
    file: PackageFile, table: str, row: Row, column: str, names: _Names
) -> int | None:
    found = names.accounts.get(row[column])
    if found is None and row[column] is not None:
        message = _("There is no account %(code)s", code=row[column])
        file.fault("member_unknown", message, table=table, row=row.number, column=column,
                   value=row[column])  # fmt: skip
    return found


def _known_instrument(file: PackageFile, table: str, row: Row, names: _Names) -> int | None:
    found = names.instruments.get(row["trade_code"])
    if found is None and row["trade_code"] is not None:
        message = _("%(code)s is no trade code of this venue on that day", code=row["trade_code"])
        file.fault("trade_code_unknown", message, table=table, row=row.number, column="trade_code",
                   value=row["trade_code"])  # fmt: skip
    return found


# Reading and writing -----------------------------------------------------------------------

_ACCOUNTS = typed(
    "SELECT member_no, id FROM account WHERE kind = 'enterprise' AND member_no = ANY(:numbers)",
    numbers=String,
)
_INSTRUMENTS = text("""
    SELECT trade_code, instrument_id FROM venue_instrument
     WHERE venue_id = :venue AND valid_from <= :day
       AND coalesce(disabled_from > :day, true)
""")
_MONEY = typed(
    """
    SELECT b.account_id, s.instrument_id FROM bank_binding b JOIN settlement_bank s ON s.id = b.bank_id
     WHERE b.ended_at IS NULL AND b.account_id = ANY(:accounts)
    """,
    accounts=Integer,
)
_CLOSES = text("""
    SELECT DISTINCT ON (instrument_id) instrument_id, close FROM daily_quote
     WHERE venue_id = :venue AND day < :day ORDER BY instrument_id, day DESC
""")


def _names(file: PackageFile, venue: Venue, day: date) -> _Names:
    columns = {"DEAL": ("buyer", "seller"), "POS": ("member_no",), "FUND": ("member_no",),
               "TRANSFER": ("member_no",)}  # fmt: skip
    numbers = {row[column] for table, each in columns.items() for row in file.tables[table]
               for column in each} - {None}  # fmt: skip
    accounts = dict(db.session.execute(_ACCOUNTS, {"numbers": sorted(numbers)}).all())
    at = {"venue": venue.id, "day": day}
    return _Names(
        accounts=accounts,
        instruments=dict(db.session.execute(_INSTRUMENTS, at).all()),
        money=dict(db.session.execute(_MONEY, {"accounts": list(accounts.values())}).all()),
        closes=dict(db.session.execute(_CLOSES, at).all()),
    )


_TRADES = typed(
    """
    INSERT INTO trade (package_id, deal_no, dealt_at, method, instrument_id, buyer_id, seller_id,
                       quantity, price, amount, buy_fee, sell_fee, buyer_money_id, seller_money_id,
                       buy_order_no, sell_order_no)
    SELECT :package, * FROM unnest(:deal_no, :dealt_at, :method, :instrument, :buyer, :seller, :quantity,
                                   :price, :amount, :buy_fee, :sell_fee, :buyer_money, :seller_money,
                                   :buy_order_no, :sell_order_no)
    """,
    **dict.fromkeys(("deal_no", "buy_order_no", "sell_order_no"), String),
    **dict.fromkeys(("instrument", "buyer", "seller", "buyer_money", "seller_money"), Integer),
    **dict.fromkeys(("quantity", "price", "amount", "buy_fee", "sell_fee"), BigInteger),
    dealt_at=DateTime,
    method=SmallInteger,
)
_POSITIONS = typed(
    """
    INSERT INTO reported_position (package_id, account_id, instrument_id, opening, moved_in, moved_out,
                                   bought, sold, closing)
    SELECT :package, * FROM unnest(:account, :instrument, :opening, :moved_in, :moved_out, :bought, :sold,
                                   :closing)
    """,
    **dict.fromkeys(("account", "instrument"), Integer),
    **dict.fromkeys(("opening", "moved_in", "moved_out", "bought", "sold", "closing"), BigInteger),
)
_FUNDS = typed(
    """
    INSERT INTO reported_fund (package_id, account_id, opening, paid_in, paid_out, bought, sold, fees,
                               closing)
    SELECT :package, * FROM unnest(:account, :opening, :paid_in, :paid_out, :bought, :sold, :fees, :closing)
    """,
    account=Integer,
    **dict.fromkeys(
        ("opening", "paid_in", "paid_out", "bought", "sold", "fees", "closing"), BigInteger
    ),
)
_TRANSFERS = typed(
    """
    INSERT INTO reported_transfer (package_id, request_no, direction, account_id, instrument_id, quantity)
    SELECT :package, * FROM unnest(:request_no, :direction, :account, :instrument, :quantity)
    """,
    **dict.fromkeys(("request_no", "direction"), String),
    **dict.fromkeys(("account", "instrument"), Integer),
    quantity=BigInteger,
)


def _keep(
    content: bytes, file: PackageFile, venue: Venue, certificate: bytes, names: _Names,
    warnings: Sequence[Fault], actor: Actor, now: datetime,
) -> Received:  # fmt: skip
    deals = sorted(file.tables["DEAL"], key=lambda row: (row["dealt_at"], row.number))
    package = DayPackage(
        venue_id=venue.id,
        day=file.day,
        version=file.version,
        digest=file.digest,
        file=content,
        certificate=certificate,
        trades=len(deals),
        positions=len(file.tables["POS"]),
        funds=len(file.tables["FUND"]),
        transfers=len(file.tables["TRANSFER"]),
        quantity=sum(row["quantity"] for row in deals),
        amount=sum(row["amount"] for row in deals),
        warnings=[asdict(warning) for warning in warnings],
        received_at=now,
        received_by=actor.member_id,
    )
    db.session.add(package)
    db.session.flush()
    _insert(_TRADES, package.id, _deal_columns(deals, names))
    for statement, table in ((_POSITIONS, "POS"), (_FUNDS, "FUND"), (_TRANSFERS, "TRANSFER")):
        _insert(statement, package.id, _columns(file.tables[table], names))
    log.record(
        actor, "package.receive", subject=f"{venue.code} {file.day}", digest=file.digest,
        trades=len(deals),
    )  # fmt: skip
    return Received(package.id, True, len(warnings))


def _insert(statement: Any, package_id: int, columns: dict[str, list[Any]]) -> None:
    if any(columns.values()):
        db.session.execute(statement, {"package": package_id, **columns})


def _deal_columns(deals: Sequence[Row], names: _Names) -> dict[str, list[Any]]:
    plain = ("deal_no", "dealt_at", "method", "quantity", "price", "amount", "buy_fee", "sell_fee",
             "buy_order_no", "sell_order_no")  # fmt: skip
    found = {column: [row[column] for row in deals] for column in plain}
    found["instrument"] = [names.instruments[row["trade_code"]] for row in deals]
    for side in ("buyer", "seller"):
        found[side] = [names.accounts[row[side]] for row in deals]
        found[f"{side}_money"] = [names.money[account] for account in found[side]]
    return found


def _columns(rows: Sequence[Row], names: _Names) -> dict[str, list[Any]]:
    if not rows:
        return {}
    found = {column: [row[column] for row in rows] for column in rows[0].values}
    found["account"] = [names.accounts[number] for number in found.pop("member_no")]
    if "trade_code" in found:
        found["instrument"] = [names.instruments[code] for code in found.pop("trade_code")]
    return found


def package_of(venue_id: int, day: date) -> DayPackage:
    """Return a venue's package of a day.  Raises NotFound."""
    found = db.session.scalar(
        select(DayPackage).where(DayPackage.venue_id == venue_id, DayPackage.day == day)
    )
    if found is None:
        raise NotFound(_("There is no package of %(day)s", day=day))
    return found
