"""Run the benchmarks: `python -m bench [--quick] [--only NAME ...]`."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Report, heading, say
from bench.world import opened

# Each case is a function of (world, report), named module.function, in the order of running.
CASES = (
    "posting.singles",
    "posting.batches",
    "operation.singles",
    "operation.hot",
    "operation.lists",
    "day_end.roll",
    "day_end.compare",
    "settlement.day",
    "review.bulk",
    "issuance.chain",
    "carry_over.batch",
    "review.recomputing",
    "pages.lists",
    "pages.as_of",
    "exports.csv",
    "exports.xlsx",
)


def main() -> int:
    """Measure, print and save; return 1 where a case left a ledger that does not verify.

    A missed aim is no error.
    """
    arguments = _arguments()
    began = time.monotonic()
    report, took, faulty = Report(), {}, []
    with opened(is_quick=arguments.quick) as world:
        facts = world.facts()
        say(", ".join(f"{name} {value}" for name, value in facts.items()))
        took["set-up"] = time.monotonic() - began
        heading()
        for name in CASES:
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            module, _dot, function = name.rpartition(".")
            case = getattr(importlib.import_module(f"bench.{module}"), function)
            started = time.monotonic()
            say(f"{name}: {case.__doc__.splitlines()[0]}")
            case(world, report)
            took[name] = time.monotonic() - started
            faults = world.faults()
            say("\n".join([f"  faults: {len(faults)}", *(f"    {fault}" for fault in faults)]))
            faulty += [name] if faults else []
    took["all"] = time.monotonic() - began
    _keep(arguments.quick, facts, took, report)
    _conclude(took, report)
    for name in faulty:
        say(f"the books do not verify: {name}")
    return 1 if faulty else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, in under two minutes")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="cases whose name holds this")
    return parser.parse_args()


def _keep(is_quick: bool, facts: dict, took: dict, report: Report) -> None:
    folder = Path(__file__).parent / "results"
    now = datetime.now(UTC)
    kind = "quick" if is_quick else "full"
    content = {
        "at": now.isoformat(timespec="seconds"),
        "kind": kind,
        "environment": facts,
        "seconds": took,
        "figures": report.as_json(),
    }
    path = folder / f"{now:%Y%m%dT%H%M%S}-{kind}.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    say(f"kept in bench/results/{path.name}")


def _conclude(took: dict, report: Report) -> None:
    say("seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in took.items()))
    for figure in report.short():
        say(f"short of its aim: {figure.case}: {figure.ratio:.3g}, aim {figure.aim}")


if __name__ == "__main__":
    raise SystemExit(main())
