"""The assistant and the rules load no web application; the second book loads nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "flask_appbuilder",
    "flask_sqlalchemy",
    "sqlalchemy",
    "config",
    "app.models",
    "app.operations",
    "app.security",
    "app.views",
    "app.web",
}


def modules_of(folder: str) -> list[str]:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert len(names) > 3
    return names


def loaded_by(names: list[str]) -> set[str]:
    """Return what a fresh interpreter has loaded once it has imported the modules."""
    program = f"import sys\nimport {', '.join(names)}\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("folder", ["app/domain", "app/pki", "assistant"])
def test_rules_keys_and_assistant_load_no_web_application(folder):
    assert loaded_by(modules_of(folder)) & HEAVY == set()


def test_the_second_book_loads_nothing_of_the_first():
    ours = {"app", "config", "assistant", "simulators"}
    assert {name.partition(".")[0] for name in loaded_by(modules_of("audit"))} & ours == set()


def test_the_web_application_would_be_seen():
    assert loaded_by(["app.web"]) >= HEAVY
