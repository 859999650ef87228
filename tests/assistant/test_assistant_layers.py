"""The assistant runs on members' machines and imports only the public-key parts of the registry."""

from __future__ import annotations

import re
from pathlib import Path

import assistant

ROOT = Path(assistant.__file__).parent.parent


def imported(folder: str) -> set[str]:
    return {
        module
        for path in (ROOT / folder).rglob("*.py")
        for module in re.findall(
            r"^\s*(?:from|import) ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }


def test_the_assistant_knows_the_public_key_parts_alone():
    ours = {name for name in imported("assistant") if name.partition(".")[0] in ("app", "config")}
    assert {name.partition(".")[2].partition(".")[0] for name in ours} == {"pki"}


def test_the_registry_does_not_know_the_assistant():
    assert not [name for name in imported("app") if name.partition(".")[0] == "assistant"]
