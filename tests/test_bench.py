"""The benchmarks: a case that leaves a ledger that does not verify fails the run."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest

from bench import __main__ as bench


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs two cases with these faults, and returns code and output."""

    def run_(*faults: list[str]) -> tuple[int, str]:
        left = iter(faults)
        world = SimpleNamespace(facts=dict, faults=lambda: next(left))

        @contextmanager
        def opened(*, is_quick: bool):
            yield world

        def case(_world, _report):
            """Do nothing."""

        module = ModuleType("bench.idle")
        module.first = module.second = case
        monkeypatch.setitem(sys.modules, "bench.idle", module)
        monkeypatch.setattr(bench, "CASES", ("idle.first", "idle.second"))
        monkeypatch.setattr(bench, "opened", opened)
        monkeypatch.setattr(bench, "_keep", lambda *_: None)
        monkeypatch.setattr(sys, "argv", ["bench"])
        return bench.main(), capsys.readouterr().out

    return run_


def test_sound_books_end_the_run_well(run):
    code, said = run([], [])
    assert code == 0
    assert said.count("faults: 0") == 2


def test_a_fault_is_printed_and_fails_the_run_to_its_end(run):
    code, said = run(["document_hold: holding 1001/1"], [])
    assert code == 1
    assert "    document_hold: holding 1001/1\n" in said
    assert "the books do not verify: idle.first" in said
    assert "idle.second" in said
