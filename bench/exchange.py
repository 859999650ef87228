"""Transfers that the exchange starts, through its interface."""

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
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db, transaction
from app.models import MachineKey
from app.operations.applications import engine
from app.operations.people import machine_keys, machine_sign_in
from bench.clients import waiting
from bench.measure import Report, interleaved
from bench.pages import served
from bench.posting import LIMIT_BATCH
from bench.world import FIRST_ACCOUNT, MORNING, World

LENGTH = 1_000
PATH = "/api/exchange/v1/transfers"


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
