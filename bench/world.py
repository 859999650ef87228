"""A temporary, durable cluster with an installed registry, for the cases."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import psycopg
from flask import Flask

import config
from app import embedded, installation, memory
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.operations.ledger import verification
from app.operations.records import clock, log
from app.operations.records.actor import SYSTEM, Actor
from app.web import create_app

MORNING = datetime(2026, 11, 20, 10, 0, tzinfo=BEIJING)  # a Friday, a trading day
TODAY = date(2026, 11, 20)
UNTIED = "bench"  # a business whose postings carry out nothing
FIRST_ACCOUNT = 1001
EACH_HAS = 1_000_000_000  # tonnes, in 登记可用 and again in 交易持有


@dataclass(slots=True)
class World:
    """The cluster, its application, and the sizes."""

    cluster: embedded.Cluster
    app: Flask
    is_quick: bool
    accounts: int
    instruments: int
    rounds: int
    seconds: int  # of one pgbench run

    @property
    def last_account(self) -> int:
        """The last account with holdings."""
        return FIRST_ACCOUNT + self.accounts - 1

    def superuser(self) -> psycopg.Connection:
        """Open an autocommit connection as superuser."""
        return self.cluster.connect(embedded.DATABASE)

    def officers(self) -> tuple[Actor, Actor]:
        """Return two officers of the registry."""
        found = [Actor(id_, f"bench-{id_}", f"bench-{id_}") for id_ in (901, 902)]
        with self.superuser() as connection:
            for each in found:
                connection.execute(
                    "INSERT INTO ab_user (id, first_name, last_name, username, email, active)"
                    " VALUES (%s, %s, '', %s, %s, true) ON CONFLICT DO NOTHING",
                    [each.member_id, each.name, each.member_no, f"{each.name}@example.cn"],
                )
        return found[0], found[1]

    def pgbench(
        self, script: str, *, clients: int, seconds: int | None = None, **variables
    ) -> float:
        """Run a script for some seconds as the application's role; return transactions per second.

        Statements are prepared; every script has :accounts, :first and :instruments.
        """
        known = {"accounts": self.accounts, "first": FIRST_ACCOUNT, "instruments": self.instruments}
        defined = [f"--define={name}={value}" for name, value in {**known, **variables}.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            said = self.run(
                "pgbench",
                "--no-vacuum",
                "--protocol=prepared",
                f"--client={clients}",
                f"--jobs={min(clients, os.cpu_count() or 1)}",
                f"--time={seconds or self.seconds}",
                f"--file={file.name}",
                *defined,
                embedded.DATABASE,
            )
        (rate,) = re.findall(r"tps = ([0-9.]+) \(without initial", said)
        (failed,) = re.findall(r"number of failed transactions: (\d+)", said)
        assert failed == "0", said
        return float(rate)

    def run(self, program: str, *arguments: str, **options) -> str:
        """Run one of PostgreSQL's programs as the application's role and return its output."""
        environment = {**os.environ, **self.environment()}
        command = [str(embedded.programs() / program), *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def environment(self, role: str = embedded.APP) -> dict[str, str]:
        """Return the environment for PostgreSQL's programs to connect."""
        parts = psycopg.conninfo.conninfo_to_dict(self.cluster.url(role).replace("+psycopg", ""))
        return {
            "PGHOST": str(parts["host"]),
            "PGPORT": str(parts["port"]),
            "PGUSER": str(parts["user"]),
            "PGPASSWORD": str(parts["password"]),
            "PGDATABASE": embedded.DATABASE,
        }

    def faults(self) -> list[str]:
        """Verify the ledger and both logs; return the first hundred faults of each check."""
        with self.app.app_context():
            found = [*verification.verify_ledger().faults, *log.verify_log().faults]
            db.session.remove()
        return [f"{fault.check}: {fault.key}" for fault in found]

    def facts(self) -> dict[str, object]:
        """Return the conditions of the measurement."""
        with self.superuser() as connection:
            shown = {
                name: connection.execute(f"SHOW {name}").fetchone()[0]
                for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            }
        return {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "load": os.getloadavg()[0],
            **shown,
        }


@contextmanager
def opened(*, is_quick: bool) -> Iterator[World]:
    """Yield a world, and remove it."""
    with embedded.throwaway(safe=True) as cluster:
        urls = cluster.urls()
        app = create_app(settings(urls.app, urls.owner))
        with app.app_context():
            installation.install()
            with transaction():
                clock.set_to(MORNING, SYSTEM)
            db.session.remove()
        memory.settle()
        world = World(
            cluster=cluster,
            app=app,
            is_quick=is_quick,
            accounts=2_000 if is_quick else 10_000,
            instruments=5 if is_quick else 10,
            rounds=3 if is_quick else 5,
            seconds=1 if is_quick else 5,
        )
        _fill(world)
        yield world
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


def settings(app_url: str, owner_url: str) -> config.Settings:
    """Return the settings of the application under measurement."""
    return config.load(
        {
            "APP_PROFILE": "test",
            "DATABASE_URL": app_url,
            "DATABASE_OWNER_URL": owner_url,
            "SECRET_KEY": "bench" * 8,
        }
    )


def _fill(world: World) -> None:
    """Open accounts, issue every instrument to each, and fill the yardsticks' tables alike."""
    script = (Path(__file__).parent / "yardsticks" / "yardsticks.sql").read_text(encoding="utf-8")
    sizes = {
        "first": FIRST_ACCOUNT,
        "last": world.last_account,
        "instruments": world.instruments,
        "each": EACH_HAS,
        "issuer": ISSUANCE_ACCOUNT_ID,
        "at": datetime(2026, 1, 5, 9, 0, tzinfo=BEIJING),
    }
    with world.superuser() as connection:
        connection.execute(script)
        # Client-side binding, since several statements cannot have server-side parameters.
        psycopg.ClientCursor(connection).execute(_FILL, sizes)
        connection.execute("VACUUM ANALYZE")


_FILL = f"""
INSERT INTO untied_business VALUES ('{UNTIED}');
INSERT INTO instrument (id, code, name, vintage)
SELECT n, 'PE2026' || lpad(n::text, 6, '0'), '碳排放配额' || n, 2020 + n
  FROM generate_series(1, %(instruments)s) AS n;
INSERT INTO venue (id, code, name) VALUES (1, 'ZGW', '中股网');
INSERT INTO venue_instrument SELECT 1, id, 'CEA' || id FROM instrument;
INSERT INTO account (id, member_no, name, kind, province, allows_exchange_transfer)
SELECT n, '210423' || lpad(n::text, 6, '0'), '虚构发电' || n || '有限公司', 'enterprise', '42', true
  FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO account_sector (account_id, sector, starts_on)
SELECT n, 'power', '2021-02-01' FROM generate_series(%(first)s, %(last)s) AS n;
-- One plan that accepts every instrument here.
INSERT INTO plan (year, sector, replaces_id, starts_on, document_no, documented_on, method, rounding,
                  surrender_by, vintages, offset_percent, source, confidence, is_draft, approved_at)
SELECT 2025, 'power', (SELECT max(id) FROM plan WHERE year = 2025 AND sector = 'power'), '2026-09-01',
       '虚构', '2026-09-01', '基准法', 'unit', '2026-12-31 23:59:59+08',
       (SELECT array_agg(DISTINCT vintage) FROM instrument), 5, '虚构', 'unsure', false, now();
INSERT INTO posting (business, stage, request_key, leads)
VALUES ('{UNTIED}', 'approval', 'bench:issue', true);
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT (SELECT id FROM posting WHERE request_key = 'bench:issue'), %(at)s, i, 2 * %(each)s,
       %(issuer)s, 12, a, 1
  FROM generate_series(%(first)s, %(last)s) AS a, generate_series(1, %(instruments)s) AS i;
INSERT INTO posting (business, stage, request_key, leads)
VALUES ('{UNTIED}', 'approval', 'bench:trading', true);
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT (SELECT id FROM posting WHERE request_key = 'bench:trading'), %(at)s, i, %(each)s, a, 1, a, 5
  FROM generate_series(%(first)s, %(last)s) AS a, generate_series(1, %(instruments)s) AS i;
INSERT INTO yardstick.balance
SELECT a, i, %(each)s FROM generate_series(%(first)s, %(last)s) AS a,
                           generate_series(1, %(instruments)s) AS i;
GRANT USAGE ON SCHEMA yardstick TO {embedded.APP};
GRANT ALL ON ALL TABLES IN SCHEMA yardstick TO {embedded.APP}
"""
