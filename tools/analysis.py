"""Static analysis: bandit, semgrep with our own rules, and the audit of dependencies.

    AUDIT=1 make check          an advisory service that does not answer is a fault, too
    AUDIT_URL=https://… …       asks a mirror of one's own, which speaks OSV

The audit needs an advisory service within reach.  Without one pip-audit passes having looked at
nothing, so it is first asked about a package whose faults everybody knows; where it names none,
nothing can be learnt from it, and that is said.
The tools live in an environment of their own (`tools/setup.py analysis`): semgrep's requirements
contradict the program's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import DEVNULL, PIPE

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "analysis" / "bin"
RULES = "tools/semgrep/registry.yml"
EXAMPLES = "tools/semgrep"  # What each rule finds and what it leaves alone, marked so.
FAULTY = "jinja2==2.4.1\n"  # From 2010; its faults are in every list of advisories.
SCANNED = ["app", "assistant", "config.py", "app.py", "tools"]
OFFLINE = ["semgrep", "scan", "--metrics=off", "--disable-version-check"]
SEMGREP, TESTED = [*OFFLINE, "--config", RULES], [*OFFLINE, "--test"]


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
            run("semgrep's rules", [*TESTED, EXAMPLES], silent="All tests passed"),
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
        stdout=PIPE,
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
    """Ask for known faults of every pinned package, wherever an advisory service answers."""
    if not is_answered():
        is_required = os.environ.get("AUDIT") == "1"
        print("pip-audit: NO ADVISORY SERVICE ANSWERS, no package was looked up", end="")
        print("" if is_required else "; AUDIT=1 makes that a fault")
        return not is_required
    strict = ["--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    files = sorted(path.name for path in ROOT.glob("requirements*.txt"))
    ask = ["pip-audit", *service(), *strict]
    found = [run(f"pip-audit {name}", [*ask, "-r", name]) for name in files]
    return all(found)


def service() -> list[str]:
    """Return which advisory service is asked; pip-audit's own where nothing else is said."""
    url = os.environ.get("AUDIT_URL", "")
    return ["-s", "osv", "--osv-url", url] if url else []


def is_answered() -> bool:
    """Tell whether the advisory service knows the faults of a package that has some."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "requirements.txt"
        probe.write_text(FAULTY)
        command = [str(BIN / "pip-audit"), *service(), "--timeout", "5", "-f", "json"]
        command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-r", str(probe)]
        try:
            done = subprocess.run(
                command, stdout=PIPE, stderr=DEVNULL, text=True, timeout=30, check=False
            )
            (found,) = json.loads(done.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError):
            return False
    return bool(found.get("vulns"))


if __name__ == "__main__":
    main()
