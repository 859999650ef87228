"""The audit of dependencies: strict where the service answers, reported where not."""

from __future__ import annotations

import re
import subprocess
from subprocess import CompletedProcess

import pytest

from tools import analysis

KNOWN = '{"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "X"}]}]}'
SKIPPED = '{"dependencies": [{"name": "jinja2", "skip_reason": "not found"}]}'
EMPTY = '{"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": []}]}'


@pytest.fixture
def asked(monkeypatch):
    """Replace pip-audit: answer its probe and record how it is run."""
    monkeypatch.delenv("AUDIT", raising=False)
    monkeypatch.delenv("AUDIT_URL", raising=False)
    seen: list[list[str]] = []

    def answer(output: str | Exception, code: int = 0):
        def run(command, **_options):
            seen.append(command)
            if isinstance(output, Exception):
                raise output
            return CompletedProcess(command, code if "json" not in command else 0, output)

        monkeypatch.setattr(subprocess, "run", run)
        return seen

    return answer


SILENT = ["", "Traceback", SKIPPED, EMPTY, subprocess.TimeoutExpired("pip-audit", 30)]


@pytest.mark.parametrize("output", SILENT, ids=str)
def test_without_an_answer_it_is_said_and_the_check_goes_on(asked, capsys, output):
    seen = asked(output)
    assert analysis.audit()
    assert "NO ADVISORY SERVICE ANSWERS" in capsys.readouterr().out
    assert len(seen) == 1


@pytest.mark.parametrize("output", SILENT, ids=str)
def test_where_it_is_a_must_no_answer_fails(asked, monkeypatch, output):
    asked(output)
    monkeypatch.setenv("AUDIT", "1")
    assert not analysis.audit()


@pytest.mark.parametrize(("code", "is_clean"), [(0, True), (1, False)])
def test_an_answer_makes_every_pinned_file_audited_strictly(asked, code, is_clean):
    seen = asked(KNOWN, code)
    assert analysis.audit() is is_clean
    _probe, *audits = seen
    assert [command[-1] for command in audits] == sorted(
        path.name for path in analysis.ROOT.glob("requirements*.txt")
    )
    assert all({"--strict", "--require-hashes"} <= set(command) for command in audits)


def test_a_mirror_of_one_s_own_is_asked(asked, monkeypatch):
    seen = asked(KNOWN)
    monkeypatch.setenv("AUDIT_URL", "https://advisories.example/v1/query")
    assert analysis.audit()
    assert all("https://advisories.example/v1/query" in command for command in seen)


def test_every_rule_of_ours_has_an_example_that_it_finds():
    folder = analysis.ROOT / "tools" / "semgrep"
    rules = set(re.findall(r"^  - id: ([\w-]+)$", (folder / "registry.yml").read_text(), re.M))
    examples = "".join(path.read_text() for path in folder.glob("registry.[ph]*"))
    marks = re.findall(r"\bruleid: ([\w, -]+?)(?: -->)?$", examples, re.M)
    assert len(rules) > 10
    assert {name.strip() for mark in marks for name in mark.split(",")} == rules
