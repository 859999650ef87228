"""A load of submissions and withdrawals that reports each commit, until it is killed."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

import config
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.records.actor import Actor
from app.web import create_app


def main() -> None:
    """Run four threads; arguments: account, venue, day and hour, instruments."""
    account, venue, now, *instruments = sys.argv[1:]
    app = create_app(config.load(os.environ))
    moment = datetime.fromisoformat(now).replace(tzinfo=BEIJING)
    lines = tuple(Line(int(id_), 1, venue_id=int(venue)) for id_ in instruments)

    applicant = Actor(member_id=None, member_no="load", name="负载", account_id=int(account))

    def work() -> None:
        with exit_on_failure(), app.app_context():
            for n in range(1_000_000):
                draft = engine.Draft(
                    "registry_to_trading", int(account), lines, str(uuid4()), "负载"
                )
                with transaction():
                    made = engine.start([draft], applicant, now=moment)
                    engine.submit(made, applicant, now=moment).one()
                report("submitted", made[0])
                if n % 4 == 3:
                    with transaction():
                        engine.withdraw(made, applicant, now=moment).one()
                    report("withdrawn", made[0])
                db.session.remove()

    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()


@contextmanager
def exit_on_failure() -> Iterator[None]:
    """Exit the whole program where a thread fails."""
    try:
        yield
    finally:
        traceback.print_exc()
        os._exit(1)


def report(what: str, id_: int) -> None:
    """Report a commit in a single write."""
    os.write(1, f"{what} {id_}\n".encode())


if __name__ == "__main__":
    main()
