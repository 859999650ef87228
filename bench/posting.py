"""The database's posting path, by pgbench, compared with the minimal cost of a durable transfer."""

from __future__ import annotations

from functools import partial

from bench.measure import Report, interleaved
from bench.world import World

CLIENTS = (1, 8)

FLOOR = "INSERT INTO yardstick.nothing VALUES (now());"

_PICK = """
\\set source random(:first, :first + :accounts - 1)
\\set target :first + (:source - :first + random(1, :accounts - 1)) % :accounts
\\set instrument random(1, :instruments)
\\set quantity random(1, 100)
"""
LIMIT = _PICK + "SELECT yardstick.transfer(:source, :target, :instrument, :quantity);"

_POST = """
WITH made AS (
  INSERT INTO posting (business, stage, request_key, leads)
  VALUES ('bench', 'approval', gen_random_uuid()::text, true) RETURNING id)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT id, now(), :instrument, :quantity, {route} FROM made;
"""
ACROSS = _PICK + _POST.format(route=":source, 5, :target, 5")
WITHIN = _PICK + _POST.format(route=":source, 1, :source, 5")

# 1,000 random movements, generated in the database for the yardstick and for us.
_THOUSAND = """
  SELECT source, :first + (source - :first + 1 + random() * (:accounts - 2))::int %% :accounts AS target,
         1 + (random() * (:instruments - 1))::int AS instrument, 1 + (random() * 99)::bigint AS quantity
    FROM (SELECT :first + (random() * (:accounts - 1))::int AS source
            FROM generate_series(1, 1000)) AS drawn
""".replace("%%", "%")
LIMIT_BATCH = f"""
SELECT yardstick.transfer_many(array_agg(source), array_agg(target), array_agg(instrument),
                               array_agg(quantity)) FROM ({_THOUSAND}) AS t;
"""
_BATCH = """
WITH made AS (
  INSERT INTO posting (business, stage, request_key, leads)
  VALUES ('bench', 'approval', gen_random_uuid()::text, true) RETURNING id)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT made.id, now(), instrument, quantity, {route} FROM made, ({thousand}) AS t;
"""
ACROSS_BATCH = _BATCH.format(route="source, 5, target, 5", thousand=_THOUSAND)
WITHIN_BATCH = _BATCH.format(route="source, 1, source, 5", thousand=_THOUSAND)
# Like operations: one posting per document.
DOCUMENTS_BATCH = f"""
WITH t AS MATERIALIZED (SELECT gen_random_uuid()::text AS key, * FROM ({_THOUSAND}) AS t),
     made AS (
  INSERT INTO posting (business, stage, request_key, leads)
  SELECT 'bench', 'approval', key, row_number() OVER () = 1 FROM t
  RETURNING id, request_key)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT made.id, now(), instrument, quantity, source, 1, source, 5 FROM made JOIN t ON key = request_key;
"""


def singles(world: World, report: Report) -> None:
    """Compare one posting of one movement a transaction with limit A and with the floor.

    Limit A is one call of one stored function in tables of its own: 2 balance updates, 1 journal
    row, 2 entries.  The floor is an insert of one empty row.
    """
    scripts = {"floor": FLOOR, "limit A": LIMIT, "across": ACROSS, "within": WITHIN}
    for clients in CLIENTS[1:] if world.is_quick else CLIENTS:
        found = interleaved(
            world.rounds,
            {
                name: partial(world.pgbench, script, clients=clients)
                for name, script in scripts.items()
            },
        )
        limit, aimed = ("limit A", found["limit A"]), clients == 8
        tail = f"{clients} client{'s' if clients > 1 else ''}"
        report.add(f"empty durable insert (floor), {tail}", found["floor"], "tx/s")
        report.add(
            f"limit A: stored function, {tail}",
            found["limit A"],
            "tx/s",
            to=("floor", found["floor"]),
        )
        report.add(
            f"post 1 across accounts, {tail}", found["across"], "tx/s", to=limit,
            aim=">= 0.55" if aimed else "",
        )  # fmt: skip
        report.add(
            f"post 1 within an account, {tail}", found["within"], "tx/s", to=limit,
            aim=">= 0.65" if aimed else "",
        )  # fmt: skip


def batches(world: World, report: Report) -> None:
    """Compare 1,000 movements in one statement with limit A's own batch of 1,000, by one client."""
    scripts = {
        "limit": LIMIT_BATCH,
        "across": ACROSS_BATCH,
        "within": WITHIN_BATCH,
    }
    if not world.is_quick:
        scripts["documents"] = DOCUMENTS_BATCH
    found = interleaved(
        world.rounds,
        {
            name: lambda script=script: 1000 * world.pgbench(script, clients=1)
            for name, script in scripts.items()
        },
    )
    limit = ("limit A's batch", found["limit"])
    report.add("limit A: batch of 1,000", found["limit"], "rows/s")
    report.add("post 1,000 across accounts", found["across"], "rows/s", to=limit, aim=">= 0.50")
    report.add("post 1,000 within accounts", found["within"], "rows/s", to=limit, aim=">= 0.75")
    if "documents" in found:
        report.add(
            "post 1,000 within accounts, a posting each", found["documents"], "rows/s", to=limit
        )
