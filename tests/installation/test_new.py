"""`flask new`: its output passes every gate; not available in production."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools import new

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", "var", "node_modules", "bench", "pictures", "__pycache__", "journeys")
GATES = (
    ["-m", "ruff", "check", "."],
    ["-m", "ruff", "format", "--check", "."],
    ["-m", "mypy"],
    ["tools/translations.py", "--check"],
    ["tools/rules.py", "--check"],
    ["tools/words.py", "--check"],
    # What a generated page or kind cannot break is left to the suite itself.
    ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k",
     "not (picture or another_schema or installing_twice or somebody_added or refusal or of_rules)",
     "tests/views/reference/test_fuel_type.py", "tests/views/sanctions/test_site_inspection.py",
     "tests/test_layers.py", "tests/test_permissions.py", "tests/test_catalogue.py",
     "tests/views/frame/test_pages.py", "tests/test_migrations.py"],
)  # fmt: skip


@pytest.fixture
def scratch(tmp_path):
    """A copy of the working tree in which commands run."""
    copy = tmp_path / "registry"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST")
    } | {
        "APP_PROFILE": "test",
        "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "DATABASE_OWNER_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "SECRET_KEY": "test" * 10,
    }  # fmt: skip

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=copy, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def generate(run, what, name, title, chinese, *more):
    titles = ("--title", title, "--chinese", chinese)
    return run("-m", "flask", "--app", "wsgi", "new", what, name, *titles, *more)


@pytest.mark.slow
def test_what_is_written_passes_every_gate(scratch):
    page = generate(scratch, "reference", "fuel_type", "Fuel types", "燃料类型")
    assert page.returncode == 0, page.stderr
    assert "app/views/reference/fuel_type.py" in page.stdout
    inspection = ("site_inspection", "Site inspections", "现场核查", "--prefix", "HC")
    kind = generate(scratch, "kind", *inspection)
    assert kind.returncode == 0, kind.stderr
    again = generate(scratch, "kind", *inspection)
    assert again.returncode == 1  # Nothing is written over.
    for gate in GATES:
        found = scratch(*gate)
        assert found.returncode == 0, f"{gate}: {found.stdout[-3000:]}{found.stderr[-2000:]}"


@pytest.mark.parametrize("name", ["", "FuelType", "fuel-type", "../fuel", "燃料", "fuel__type"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(new.NotPossible, match="fuel_type"):
        new.New(name, "Fuel types", "燃料类型")


@pytest.mark.parametrize("prefix", ["", "hc", "DD", "H1"])
def test_a_prefix_that_is_none_or_taken_is_refused(prefix):
    with pytest.raises(new.NotPossible, match="prefix"):
        new.kind(new.New("site_inspection", "Site inspections", "现场核查", prefix))


def test_production_writes_no_code(app, monkeypatch):
    production = replace(app.config["SETTINGS"], profile="production")
    monkeypatch.setitem(app.config, "SETTINGS", production)
    asked = ["new", "reference", "fuel_type", "--title", "Fuel types", "--chinese", "燃料类型"]
    ran = app.test_cli_runner().invoke(args=asked)
    assert ran.exit_code == 1
    assert "生产环境" in ran.output
    assert not (ROOT / "app/views/reference/fuel_type.py").exists()
