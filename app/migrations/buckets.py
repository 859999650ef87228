"""What the ledger's SQL says of every bucket, and the one step by which a migration adds another.

A migration names the buckets of its own day, in the order of their numbers, 1 for the first; it
never reads `app.domain.moves.Bucket`, which grows.  A later one adds `pledged`, say, as number 13:

    BUCKETS = ("available", ..., "issued", "pledged")
    upgrade:   buckets.add(op, BUCKETS)
    downgrade: buckets.remove(op, BUCKETS)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

SQL = Path(__file__).resolve().parent / "sql"
POSTING = SQL / "0001" / "post_movements.sql"


def run(op, statements: str, buckets: Sequence[str] = ()) -> None:
    """Run SQL as it stands in a file, what it says of every bucket written out."""
    op.get_bind().exec_driver_sql(render(statements, buckets).replace("%", "%%"))


def render(statements: str, buckets: Sequence[str]) -> str:
    """Repeat each line with $bucket for every bucket ($n is its number), and fill in the lists."""
    lines = []
    for line in statements.splitlines():
        if re.search(r"\$bucket\b", line):
            each = ({"bucket": name, "n": str(n)} for n, name in enumerate(buckets, 1))
            lines += [_fill(line, words) for words in each]
        else:
            lines.append(_fill(line, _lists(buckets)) if buckets else line)
    return "\n".join(lines) + "\n"


def _fill(line: str, words: dict[str, str]) -> str:
    return re.sub(r"\$([a-z_]+)", lambda found: words[found[1]], line)


def _lists(buckets: Sequence[str]) -> dict[str, str]:
    last = len(buckets)
    return {
        "buckets": ", ".join(buckets),
        "zeros": ", ".join("0" for _bucket in buckets),
        "issued": str(buckets.index("issued") + 1),
        "never_negative": " AND ".join(f"{name} >= 0" for name in buckets if name != "issued"),
        "bucket_known": f"from_bucket BETWEEN 1 AND {last} AND to_bucket BETWEEN 1 AND {last}",
    }


def add(op, buckets: Sequence[str]) -> None:
    """Add the last of these buckets to the ledger."""
    op.execute(f"ALTER TABLE holding ADD COLUMN {buckets[-1]} BIGINT DEFAULT '0' NOT NULL")
    _renew(op, buckets)


def remove(op, buckets: Sequence[str]) -> None:
    """Take the last of these buckets away; the database refuses where a movement names it."""
    _renew(op, buckets[:-1])
    op.execute(f"ALTER TABLE holding DROP COLUMN {buckets[-1]}")


def _renew(op, buckets: Sequence[str]) -> None:
    """Let the CHECKs and the function that posts know exactly these buckets."""
    for table, check in (("holding", "never_negative"), ("movement", "bucket_known")):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
        condition = _lists(buckets)[check]
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({condition})")
    run(op, POSTING.read_text(encoding="utf-8"), buckets)
