"""Transfers through the whole operation: one by one in client processes, and in lists by HTTP."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Callable
from datetime import date
from functools import partial
from uuid import uuid4

from joserfc import jwk

from app.domain.machines import SCOPES
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, PostingRequest, Stage, within
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import MachineKey
from app.operations.applications import engine
from app.operations.ledger import posting
from app.operations.people import machine_keys, machine_sign_in
from app.operations.records.actor import Actor
from bench.clients import waiting
from bench.measure import Report, interleaved
from bench.pages import served
from bench.posting import ACROSS, LIMIT, LIMIT_BATCH
from bench.world import FIRST_ACCOUNT, MORNING, UNTIED, World
from bench.yardsticks import hordak

MOST = 8
LENGTH = 1_000
PATH = "/api/exchange/v1/transfers"


def singles(world: World, report: Report) -> None:
    """Compare one transfer through the whole operation with limit A and with django-hordak.

    The operation is start and submit in one transaction: request key, locks, every check, the
    posting, two events and the operation log.  `ledger.post` alone is the same without the
    application.  django-hordak makes its own transfer, which checks no balance.
    """
    hordak.install(world)
    with (
        waiting(MOST, partial(_submissions, world)) as whole,
        waiting(MOST, partial(_postings, world)) as bare,
        waiting(MOST, hordak.transfers) as other,
    ):
        for clients in (MOST,) if world.is_quick else (1, MOST):
            found = interleaved(
                world.rounds,
                {
                    "limit": partial(world.pgbench, LIMIT, clients=clients),
                    "whole": partial(whole.rate, world.seconds, clients=clients),
                    "bare": partial(bare.rate, world.seconds, clients=clients),
                    "hordak": partial(other.rate, world.seconds, clients=clients),
                },
            )
            tail, aimed = f"{clients} client{'s' if clients > 1 else ''}", clients == MOST
            limit, theirs = ("limit A", found["limit"]), ("django-hordak", found["hordak"])
            report.add(f"limit A: stored function, {tail}", found["limit"], "tx/s")
            report.add(f"django-hordak's bare transfer, {tail}", found["hordak"], "tx/s", to=limit)
            report.add(
                f"transfer through the operation, {tail}", found["whole"], "tx/s", to=limit,
                aim=">= 0.25" if aimed else "",
            )  # fmt: skip
            report.add(
                f"transfer through the operation, {tail}", found["whole"], "tx/s", to=theirs,
                aim=">= 3" if aimed else "",
            )  # fmt: skip
            report.add(f"ledger.post of one movement, {tail}", found["bare"], "tx/s", to=limit)


def hot(world: World, report: Report) -> None:
    """Compare 32 clients posting into one pocket one by one with the same in batches of 1,000.

    Only the database path: the gain of batching where all transfers contend for one row.
    """
    hot_pocket = str(FIRST_ACCOUNT)
    single = ACROSS.replace(":target, 5 FROM made", f"{hot_pocket}, 5 FROM made").replace(
        "random(:first, :first + :accounts - 1)", "random(:first + 1, :first + :accounts - 1)"
    )
    found = interleaved(
        2 if world.is_quick else world.rounds,
        {
            "single": partial(world.pgbench, single, clients=32),
            "batch": lambda: 1000 * world.pgbench(_HOT_BATCH, clients=32),
        },
    )
    report.add("one hot pocket, singles, 32 clients", found["single"], "rows/s")
    report.add(
        "one hot pocket, batches of 1,000, 32 clients", found["batch"], "rows/s",
        to=("hot singles", found["single"]), aim=">= 20",
    )  # fmt: skip


_HOT_BATCH = f"""
WITH made AS (
  INSERT INTO posting (business, stage, request_key, leads)
  VALUES ('bench', 'approval', gen_random_uuid()::text, true) RETURNING id)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT made.id, now(), 1, 1 + n % 100, :first + 1 + n % (:accounts - 1), 5, {FIRST_ACCOUNT}, 5
  FROM made, generate_series(1, 1000) AS n;
"""


def lists(world: World, report: Report) -> None:
    """Compare lists of 1,000 transfers by HTTP with limit A's batch of as many rows.

    Served by two processes, as `make run` does; each list is signed in for, read, carried out with every
    check, posted, logged and answered item by item.
    """
    token = _token(world)
    with (
        served(world, workers=2) as (port, _pid),
        waiting(4, partial(_sender, world, port, token)) as senders,
    ):
        found = interleaved(
            world.rounds,
            {
                "limit": lambda: LENGTH * world.pgbench(LIMIT_BATCH, clients=1),
                **{
                    f"{count}": lambda count=count: (
                        LENGTH * senders.rate(2 * world.seconds, clients=count)
                    )
                    for count in (1, 4)
                },
            },
        )
    limit = ("limit A's batch", found["limit"])
    for count in (1, 4):
        report.add(
            f"lists of {LENGTH:,} transfers by HTTP, {count} at a time", found[f"{count}"],
            "transfers/s", to=limit, note="aim >= 4,000 transfers/s",
        )  # fmt: skip


def _submissions(world: World, number: int) -> Callable[[], object]:
    """Return the submission of a transfer by a random enterprise."""
    chance, _context = random.Random(number), _forked(world)

    def submit() -> None:
        account = FIRST_ACCOUNT + chance.randrange(world.accounts)
        actor = Actor(
            None, f"2104230{account}", "虚构发电有限公司", "127.0.0.1", account_id=account
        )
        line = Line(
            1 + chance.randrange(world.instruments), chance.randint(1, 100), venue_id=1
        )  # fmt: skip
        draft = engine.Draft("registry_to_trading", account, (line,), str(uuid4()), "交易需要")
        with transaction():
            ids = engine.start([draft], actor, now=MORNING)
            engine.submit(ids, actor, now=MORNING).one()

    return submit


def _postings(world: World, number: int) -> Callable[[], object]:
    """Return one posting of one movement within a random account."""
    chance, _context = random.Random(number), _forked(world)

    def post() -> None:
        account = FIRST_ACCOUNT + chance.randrange(world.accounts)
        instrument = 1 + chance.randrange(world.instruments)
        move = within(
            account, instrument, Bucket.AVAILABLE, Bucket.TRADING, chance.randint(1, 100)
        )  # fmt: skip
        with transaction():
            posting.post(
                [PostingRequest(UNTIED, Stage.APPROVAL, str(uuid4()), (move,))], at=MORNING
            )

    return post


def _forked(world: World) -> object:
    """Enter an application context in a forked process, with connections of its own."""
    context = world.app.app_context()
    context.push()
    db.session.remove()
    db.engine.dispose(close=False)
    return context


def _token(world: World) -> str:
    """Register the venue's client as two officers do, and return a token of its."""
    first, second = world.officers()
    key = jwk.ECKey.generate_key("P-256", {"kid": "bench"})
    public = machine_keys.read_key(machine_keys.shown_key(key.as_dict(private=False)))
    draft = engine.Draft(
        "machine_key", ISSUANCE_ACCOUNT_ID, (), str(uuid4()), "接入",
        starts_on=date(2026, 1, 1), ends_on=date(2026, 12, 31),
        proposal={"client": "BENCH", "name": "交易系统", "venue": "ZGW", "scopes": list(SCOPES), **public},
    )  # fmt: skip
    token = machine_sign_in.new_token()
    with world.app.app_context():
        with transaction():
            asked = engine.start([draft], first, now=MORNING)
            engine.submit(asked, first, now=MORNING).one()
            engine.approve(asked, second, now=MORNING).one()
        with transaction():
            key_id = db.session.scalars(db.select(MachineKey.id)).one()
            machine_sign_in.save_token(token, key_id, SCOPES)
        db.session.remove()
    return token


def _sender(world: World, port: int, token: str, number: int) -> Callable[[], object]:
    """Return the sending of a list of random transfers to trading."""
    chance = random.Random(number)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send() -> None:
        rows = [
            {
                "request_no": str(uuid4()),
                "direction": "in",
                "member_no": f"210423{FIRST_ACCOUNT + chance.randrange(world.accounts):06d}",
                "instrument_code": f"PE2026{chance.randint(1, world.instruments):06d}",
                "quantity": chance.randint(1, 100),
            }
            for _ in range(LENGTH)
        ]
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        connection.request("POST", PATH, json.dumps({"transfers": rows}), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        assert answer.status == 200, found
        assert all(each["number"] for each in found["transfers"])

    return send
