"""Static analysis: bandit, semgrep with our own rules, and the audit of dependencies.

    AUDIT=1 make check          fail where the advisory service does not answer
    AUDIT_URL=https://… …       use another service, with the OSV API

Without an advisory service pip-audit passes without having checked anything, so it is first tried on
a package with known vulnerabilities; where it reports none, the audit is reported as not done.
The tools have an environment of their own (`tools/setup.py analysis`), since semgrep's requirements
conflict with the program's.
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
EXAMPLES = "tools/semgrep"  # tests of our rules
FAULTY = "jinja2==2.4.1\n"  # from 2010, with known vulnerabilities
SCANNED = ["app", "assistant", "config.py", "app.py", "tools"]
OFFLINE = ["semgrep", "scan", "--metrics=off", "--disable-version-check"]
SEMGREP, TESTED = [*OFFLINE, "--config", RULES], [*OFFLINE, "--test"]


def main() -> None:
    """Run all tools; exit with 1 for findings, or where a tool checked nothing."""
    scanned = [each for each in SCANNED if (ROOT / each).exists()]
    is_clean = all(
        [
            # Covered by ruff's S608 and S704, where the exceptions are justified.
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
    """Run a tool; show its output where it fails or lacks ``silent``."""
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
    """Check all pinned packages for known vulnerabilities, if an advisory service answers."""
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
    """Return pip-audit's options for AUDIT_URL, if set."""
    url = os.environ.get("AUDIT_URL", "")
    return ["-s", "osv", "--osv-url", url] if url else []


def is_answered() -> bool:
    """Tell whether the advisory service reports the vulnerabilities of FAULTY."""
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
