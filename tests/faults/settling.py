"""A process that delivers a day's trades, a few in each transaction, and says how far it is."""

from __future__ import annotations

import sys

from app.extensions import transaction
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.operations.settlement import delivery
from app.web import create_app


def main() -> None:
    """Deliver the package named, chunk by chunk; each commit is a line."""
    delivery.AT_ONCE = 20
    with create_app().app_context():
        after = 0
        while True:
            print("begins", flush=True)  # noqa: T201
            with transaction():
                step = delivery.deliver_some(int(sys.argv[1]), SYSTEM, now=clock.now(), after=after)
                print("posted", flush=True)  # noqa: T201
            after = step.after
            print("committed", step.delivered, flush=True)  # noqa: T201
            if step.is_over:
                return


if __name__ == "__main__":
    main()
