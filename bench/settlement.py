"""A day's trades: checking the exchange's package, clearing, and delivery against payment."""

from __future__ import annotations

import random
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application
from app.operations.applications import engine
from app.operations.records.actor import SYSTEM
from app.operations.settlement import clearing, delivery, packages
from app.pki import cms
from app.pki.canonical import canonical
from bench.measure import Report, say
from bench.posting import LIMIT_BATCH
from bench.world import FIRST_ACCOUNT, UNTIED, World
from simulators import package

EVENING = datetime(2026, 11, 20, 16, 0, tzinfo=BEIJING)
PARTICIPANTS = 1_400  # of those with exchange accounts that trade in a period (domain.md 4)


def day(world: World, report: Report) -> None:
    """Compare a day of trades with as many bare transfers (limit A's batch; a trade is two)."""
    key = _Key()
    _market(world, key)
    limit = 1000 * world.pgbench(LIMIT_BATCH, clients=1)
    report.add("limit A: batch of 1,000", [limit], "rows/s")
    sizes = (1_000, 5_000) if world.is_quick else (5_000, 50_000)
    aims = {5_000: "<= 10 s with clearing", 50_000: "<= 40 s with clearing"}
    for number, trades in enumerate(sizes):
        on = date(2026, 11, 20) - timedelta(days=number)
        content = _package(world, key, on, trades)
        took = _run(world, key, on, content)
        bare = 2 * trades / limit
        say(f"  {trades:,} trades, a package of {len(content) // 1024:,} kB")
        report.add(f"check a package of {trades:,} deals", [took["check"]], "s",
                   note="aim <= 10 s at 50,000")  # fmt: skip
        report.add(f"clear {trades:,} trades (first review)", [took["clear"]], "s")
        report.add(
            f"deliver {trades:,} trades against payment", [took["deliver"]], "s",
            to=("as many bare transfers", [bare]), note=aims.get(trades, ""),
        )  # fmt: skip


class _Key:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange")])
        now = datetime(2026, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder(named, named, self._key.public_key(), 1, now,
                                          now + timedelta(days=3650))  # fmt: skip
        made = builder.sign(self._key, hashes.SHA256())
        self.certificate = made.public_bytes(serialization.Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def signature(self, content: bytes) -> bytes:
        return cms.sign(content, self, self.certificate, signed_at=EVENING)


def _market(world: World, key: _Key) -> None:
    """Give the first accounts money at one of two banks, and the venue its certificate."""
    with world.superuser() as connection:
        for code in ("A", "B"):
            connection.execute(
                "WITH i AS (INSERT INTO instrument (id, code, name, vintage, kind)"
                " VALUES (%s, %s, %s, 0, 'money') RETURNING id)"
                " INSERT INTO settlement_bank (code, name, instrument_id) SELECT %s, %s, id FROM i",
                [1_000 + ord(code), f"CNY-{code}", code, code, code],
            )
        connection.execute(
            "INSERT INTO bank_binding (account_id, bank_id, holder_name, bank_account, bound_at,"
            " withdrawals_from) SELECT a, 1 + a %% 2, '', '', now(), '2026-01-01'"
            "  FROM generate_series(%s::int, %s::int) AS a",
            [FIRST_ACCOUNT, FIRST_ACCOUNT + PARTICIPANTS - 1],
        )
        connection.execute(
            f"WITH made AS (INSERT INTO posting (business, stage, request_key, leads)"
            f" VALUES ('{UNTIED}', 'approval', 'bench:money', true) RETURNING id)"
            " INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
            " to_account, to_bucket) SELECT made.id, '2026-01-05', s.instrument_id, 10^12::bigint, 1, 12,"
            " b.account_id, 1 FROM made, bank_binding b JOIN settlement_bank s ON s.id = b.bank_id"
        )
        connection.execute(
            "INSERT INTO venue_certificate (venue_id, certificate, valid_from)"
            " VALUES (1, %s, '2026-01-01')",
            [key.certificate],
        )
        connection.execute("VACUUM ANALYZE holding")


def _package(world: World, key: _Key, on: date, trades: int) -> bytes:
    """Make a package of random deals between the participants, with figures that fit the ledger."""
    chance = random.Random(trades)
    numbers = [f"210423{FIRST_ACCOUNT + n:06d}" for n in range(PARTICIPANTS)]
    tonnes: dict[tuple[str, str], list[int]] = {}
    money: dict[str, list[int]] = {}
    deals = []
    for n in range(trades):
        seller, buyer = chance.sample(numbers, 2)
        code = f"CEA{chance.randint(1, world.instruments)}"
        quantity, price = chance.randint(1, 5), chance.randint(7_000, 9_000)
        amount = quantity * price
        at = datetime.combine(on, datetime.min.time(), tzinfo=BEIJING) + timedelta(
            hours=10, milliseconds=250 * n
        )
        deals.append((f"D{n:08d}", at.isoformat(), 10, code, buyer, seller, _yuan(price), quantity,
                      _yuan(amount), "0.00", "0.00", "", ""))  # fmt: skip
        for who, place in ((buyer, 0), (seller, 1)):
            tonnes.setdefault((who, code), [0, 0])[place] += quantity
            money.setdefault(who, [0, 0])[place] += amount
    with world.superuser() as connection:
        held = {
            (number, code): trading
            for number, code, trading in connection.execute(
                "SELECT a.member_no, v.trade_code, h.trading FROM holding h JOIN account a ON"
                " a.id = h.account_id JOIN venue_instrument v USING (instrument_id) WHERE a.id > 1"
            )
        }
        purses = dict(
            connection.execute(
                "SELECT a.member_no, (h.available + h.proceeds)::bigint FROM holding h JOIN account a"
                " ON a.id = h.account_id JOIN settlement_bank b USING (instrument_id) WHERE a.id > 3"
            ).fetchall()
        )
    positions = [(who, code, held[who, code], 0, 0, *found, held[who, code] + found[0] - found[1])
                 for (who, code), found in tonnes.items()]  # fmt: skip
    funds = [
        (who, _yuan(purses[who]), "0.00", "0.00", _yuan(spent), _yuan(earned), "0.00",
         _yuan(purses[who] - spent + earned))
        for who, (spent, earned) in money.items()
    ]  # fmt: skip
    rows: dict[str, Any] = {"DEAL": deals, "POS": positions, "FUND": funds}
    return package.write("ZGW", on, rows, key.signature)


def _yuan(fen: int) -> str:
    return f"{Decimal(fen) / 100:.2f}"


def _run(world: World, key: _Key, on: date, content: bytes) -> dict[str, float]:
    took = {}
    first, second = world.officers()
    with world.app.app_context():
        began = time.perf_counter()
        with transaction():
            package_id = packages.receive(content, SYSTEM, now=EVENING).id
        took["check"] = time.perf_counter() - began
        began = time.perf_counter()
        with transaction():
            settled = clearing.propose(package_id, first, now=EVENING)
            engine.submit([settled], first, now=EVENING).one()
        took["clear"] = time.perf_counter() - began
        proposal = db.session.get_one(Application, settled).proposal
        with transaction():
            signed = key.signature(canonical(clearing.result_of(proposal)))
            clearing.confirm(settled, signed, now=EVENING)
            engine.approve([settled], second, now=EVENING).one()
        began = time.perf_counter()
        after, is_over = 0, False
        while not is_over:
            with transaction():
                step = delivery.deliver_some(package_id, SYSTEM, now=EVENING, after=after)
            after, is_over = step.after, step.is_over
        took["deliver"] = time.perf_counter() - began
        db.session.remove()
    return took
