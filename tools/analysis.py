"""Static analysis: bandit, semgrep with our own rules, and, where asked, the audit of dependencies.

    AUDIT=1 make check     asks an advisory service about every pinned package, too

The audit needs such a service within reach.  Without one pip-audit passes having looked at nothing,
so it only ever runs strictly, and what did not run is said.
The tools live in an environment of their own (`tools/setup.py analysis`): semgrep's requirements
contradict the program's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "analysis" / "bin"
RULES = "tools/semgrep/registry.yml"
EXAMPLES = "tools/semgrep/registry.py"
SCANNED = ["app", "assistant", "config.py", "app.py", "tools"]
SEMGREP = ["semgrep", "scan", "--metrics=off", "--disable-version-check", "--config", RULES]


def main() -> None:
    """Run what can be run; end with 1 where something was found, or where nothing was looked at."""
    scanned = [each for each in SCANNED if (ROOT / each).exists()]
    is_clean = all(
        [
            # ruff's S608 and S704 are B608 and B704, and know the reason of each exception.
            run(
                "bandit",
                ["bandit", "-q", "-r", *scanned, "-ll", "-ii", "-s", "B608,B704", "-x", EXAMPLES],
            ),
            run("semgrep's rules", [*SEMGREP, "--test", EXAMPLES], silent="All tests passed"),
            run("semgrep", [*SEMGREP, "--quiet", "--error", "--exclude", EXAMPLES, *scanned]),
            audit(),
        ]
    )
    sys.exit(0 if is_clean else 1)


def run(name: str, command: list[str], silent: str = "") -> bool:
    """Run a tool and show what it says where it fails, or where it does not say ``silent``."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment["SEMGREP_SEND_METRICS"] = "off"
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    is_clean = done.returncode == 0 and silent in done.stdout
    print(f"{name}: {'clean' if is_clean else 'FOUND SOMETHING'}")
    if not is_clean:
        print(done.stdout)
    return is_clean


def audit() -> bool:
    """Ask for known faults of the pinned packages, where AUDIT=1 says that somebody can answer."""
    if os.environ.get("AUDIT") != "1":
        print("pip-audit: not run (AUDIT=1 where an advisory service can be reached)")
        return True
    strict = ["--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    return run("pip-audit", ["pip-audit", *strict, "-r", "requirements.txt"])


if __name__ == "__main__":
    main()
