"""Commands in processes of their own; what they are given and say is as at a terminal."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import config

# Forked from a process that has imported the program, others begin in a tenth of the time.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["app.web", "app.installation.demo", "app.worker"])
PATIENCE = 120  # seconds


def run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `flask` with arguments and environment, and wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("stdout", "stderr")]
        process = FORKED.Process(
            target=_main, args=(list(arguments), dict(environment), *map(str, said))
        )
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["flask", *arguments], PATIENCE)
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in said]
        return subprocess.CompletedProcess(["flask", *arguments], process.exitcode, *texts)


def _main(arguments: list[str], environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Become the command: its environment, streams and arguments."""
    from flask.cli import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(config.ROOT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["flask", *arguments]
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
