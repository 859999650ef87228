"""Processes forked from one that has imported the program: they begin in a tenth of the time."""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["app.web", "app.installation.demo", "app.worker"])
