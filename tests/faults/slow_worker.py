"""A worker with a slow kind of job that notices dead workers soon (operations/applications/test_jobs.py)."""

from __future__ import annotations

import sys
import time

from app import worker
from app.operations.applications import jobs
from app.operations.records import log
from app.web import create_app


def step(work: jobs.Work) -> jobs.Chunk:
    """Write a log row for each of two items, slowly."""
    items = work.next_items("items", 2)
    for item in items:
        log.record(work.actor, "toy.item", subject=str(item))
        time.sleep(0.2)
    return jobs.Chunk(done=len(items))


def main() -> None:
    """Run a worker that ends with the process named, if any."""
    jobs.JOB_KINDS["slow"] = jobs.JobKind("slow", "Slow", step)
    worker.HEARTBEAT, worker.HEARTBEAT_TIMEOUT, worker.REVIVAL = 1, 3, "* * * * * *"
    worker.run(create_app(), parent=int(sys.argv[1]) if len(sys.argv) > 1 else 0)


if __name__ == "__main__":
    main()
