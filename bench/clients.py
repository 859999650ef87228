"""Forked client processes that repeat an act for some seconds."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FORK = multiprocessing.get_context("fork")
Act = Callable[[], object]


class Clients:
    """Processes that wait to be run, each with the act that its ``prepare`` returned."""

    def __init__(self, count: int, prepare: Callable[[int], Act]) -> None:
        self.pipes, self.processes = [], []
        for number in range(count):
            ours, theirs = _FORK.Pipe()
            process = _FORK.Process(target=_serve, args=(theirs, prepare, number), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            assert pipe.recv() == "ready"

    def rate(self, seconds: float, *, clients: int | None = None) -> float:
        """Run the first clients concurrently for some seconds; return acts per second."""
        active = self.pipes[:clients]
        for pipe in active:
            pipe.send(seconds)
        return sum(count / elapsed for count, elapsed in (pipe.recv() for pipe in active))

    def end(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join()


@contextmanager
def waiting(count: int, prepare: Callable[[int], Act]) -> Iterator[Clients]:
    """Yield client processes and end them."""
    clients = Clients(count, prepare)
    try:
        yield clients
    finally:
        clients.end()


def _serve(pipe, prepare: Callable[[int], Act], number: int) -> None:
    act = prepare(number)
    for _warming in range(8):  # psycopg prepares a statement at its sixth use.
        act()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        count, began = 0, time.perf_counter()
        until = began + seconds
        while time.perf_counter() < until:
            act()
            count += 1
        pipe.send((count, time.perf_counter() - began))
