"""A market whose second book is open, and days of it that are settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import psycopg
import pytest

from app.audit_command import is_signed
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Account, Application, Member
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, delivery, packages
from app.operations.settlement.clearing import result_of
from app.pki.canonical import canonical
from audit.day import Report, audit_day, open_book
from tests.markets import DAY, EVENING, Market

OPENING = date(2026, 11, 19)


@dataclass
class Books:
    """The books of a market: ``connection`` is the checker's, ``superuser`` bypasses the triggers."""

    market: Market
    maker: Member
    checker: Member
    connection: psycopg.Connection
    superuser: psycopg.Connection
    seller: Account
    buyer: Account

    def open(self) -> Report:
        """Take over what the participants were given."""
        return open_book(self.connection, OPENING)

    def settle(self, day: date = DAY, content: bytes | None = None) -> int:
        """Settle the market's deals of a day in its evening; return the package's id."""
        now = datetime.combine(day, time(16), tzinfo=BEIJING)
        with transaction():
            package = packages.receive(content or self.market.package(day=day), SYSTEM, now=now).id
        with transaction():
            settlement = clearing.propose(package, Actor.of(self.maker), now=now)
        with transaction():
            engine.submit([settlement], Actor.of(self.maker), now=now).one()
        proposal = db.session.get_one(Application, settlement).proposal
        with transaction():
            signature = self.market.key.signature(canonical(result_of(proposal)))
            clearing.confirm(settlement, signature, now=now)
        with transaction():
            engine.approve([settlement], Actor.of(self.checker), now=now).one()
        with transaction():
            assert delivery.deliver_some(package, SYSTEM, now=now).is_over
        return package

    def check(self, day: date | None = DAY) -> Report:
        """Check a day."""
        db.session.rollback()
        return audit_day(self.connection, day, is_signed)

    def tamper(self, statement: str, *values: Any) -> int:
        """Run a statement past all triggers; return how many rows it changed."""
        done = self.superuser.execute(statement, values)
        assert done.rowcount > 0
        return done.rowcount


@pytest.fixture
def books(app, tables, cluster, settings, maker, checker) -> Iterator[Books]:
    """Two deals between two participants and a third at another bank, on Friday 2026-11-20."""
    with transaction():
        clock.set_to(EVENING, SYSTEM)
    market = Market(tables)
    seller = market.participant("甲发电有限公司", tonnes=10_000)
    buyer = market.participant("乙钢铁有限公司", yuan="1000000.00")
    with _opened(cluster, settings) as (connection, superuser):
        yield Books(market, maker, checker, connection, superuser, seller, buyer)


@contextmanager
def _opened(cluster, settings) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    address = settings.database_audit_url.replace("+psycopg", "")
    with (
        psycopg.connect(address, autocommit=True) as connection,
        cluster.connect("registry") as superuser,
    ):
        superuser.execute("SET session_replication_role = replica")
        yield connection, superuser


@pytest.fixture
def settled(books) -> Books:
    """An honest day: a deal at one bank, and one across banks, with fees."""
    third = books.market.participant("丙水泥有限公司", yuan="500000.00", bank="CCB")
    books.open()
    books.market.deal(books.seller, books.buyer, 2_000, "81.50", fees=("10.00", "5.00"))
    books.market.deal(books.seller, third, 1_000, "80.00", fees=("8.00", "4.00"))
    books.settle()
    return books
