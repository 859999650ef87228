"""Deliveries of a day's trades in a process of their own, a few trades in each transaction."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from app.extensions import transaction
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.operations.settlement import delivery
from app.web import create_app
from tests.installation.commands import FORKED


class Delivering:
    """A process that delivers a package, and says how far it is."""

    def __init__(self, package_id: int, environment: Mapping[str, str]) -> None:
        self._told, telling = FORKED.Pipe(duplex=False)
        self.process: BaseProcess = FORKED.Process(
            target=_deliver, args=(package_id, dict(environment), telling)
        )
        self.process.start()
        telling.close()

    def steps(self) -> Iterator[str]:
        """Yield "begins", "posted" and "committed N" of each chunk of trades, until it ends."""
        with contextlib.suppress(EOFError):
            while True:
                yield self._told.recv()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join(60)
        self._told.close()

    def finish(self) -> int | None:
        """Return its exit code."""
        self.process.join(60)
        self._told.close()
        return self.process.exitcode


def _deliver(package_id: int, environment: Mapping[str, str], told: Connection) -> None:
    os.environ.update(environment)
    delivery.AT_ONCE = 20
    with create_app().app_context():
        after = 0
        while True:
            told.send("begins")
            with transaction():
                step = delivery.deliver_some(package_id, SYSTEM, now=clock.now(), after=after)
                told.send("posted")
            after = step.after
            told.send(f"committed {step.delivered}")
            if step.is_over:
                return
