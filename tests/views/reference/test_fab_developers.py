"""docs/fab-developers.md: its code works as shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.views.reference.fab_developers import DOCUMENT

ROOT = Path(__file__).resolve().parents[3]


def test_the_code_of_the_document_builds_what_it_says(cluster):
    """In a separate process: a declared model would affect later tests."""
    urls = cluster.create_database("fab_developers")
    environment = os.environ | {
        "APP_PROFILE": "test",
        "DATABASE_URL": urls.app,
        "DATABASE_OWNER_URL": urls.owner,
        "SECRET_KEY": "test" * 10,
    }
    command = [sys.executable, "-m", "tests.views.reference.fab_developers"]
    try:
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        cluster.drop_database("fab_developers")
    assert ran.returncode == 0, ran.stderr
    assert "as the document says" in ran.stdout


def test_a_page_takes_about_ten_lines_and_an_act_five():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    page = blocks[1].partition("class ")[2].strip().splitlines()
    act = blocks[2].partition("@action")[2].strip().splitlines()
    assert len(page) <= 11
    assert len(act) == 5
