"""Submitting a transfer through the whole operation, in client processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from uuid import uuid4

from app.domain.moves import Bucket, PostingRequest, Stage, within
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.ledger import posting
from app.operations.records.actor import Actor
from bench import hordak
from bench.clients import waiting
from bench.measure import Report, interleaved
from bench.posting import ACROSS, LIMIT
from bench.world import FIRST_ACCOUNT, MORNING, UNTIED, World

MOST = 8


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
