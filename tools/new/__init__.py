"""Generate the files of a new reference page or kind of application, as a start.

`flask new reference NAME` and `flask new kind NAME` call it; docs/fab-developers.md shows them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from tools import translations

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = Path(__file__).resolve().parent / "templates"
_GENERATORS = ("tools/translations.py", "tools/words.py", "tools/rules.py", "tools/permissions.py")


class NotPossible(Exception):
    """The files cannot be generated; the argument says why."""


@dataclass(frozen=True, slots=True)
class New:
    """The input: a name in snake_case, and its titles in both languages."""

    name: str
    title: str
    chinese: str
    prefix: str = ""  # of the kind's application numbers

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", self.name):
            raise NotPossible("名称须为小写英文加下划线，如 fuel_type / a name is like fuel_type")

    @property
    def words(self) -> dict[str, str]:
        """Return the templates' variables."""
        camel = "".join(part.capitalize() for part in self.name.split("_"))
        path = self.name.replace("_", "-")
        return {
            "name": self.name, "Class": camel, "path": path, "title": self.title,
            "Lower": self.title[0].lower() + self.title[1:], "chinese": self.chinese,
            "prefix": self.prefix,
        }  # fmt: skip


def reference(new: New) -> list[str]:
    """Generate a page of reference data: model, migration, privileges, page, texts, guide, test."""
    versions = ROOT / "app" / "migrations" / "versions"
    revisions = sorted(
        re.findall(r'^revision = "(\d+)"', "\n".join(map(_read, versions.glob("*.py"))), re.M)
    )
    numbers = {"before": revisions[-1], "revision": f"{int(revisions[-1]) + 1:04d}"}
    words = new.words | numbers
    migration = f"app/migrations/versions/{datetime.now(UTC):%Y_%m_%d}_{new.name}.py"
    page, test = f"app/views/reference/{new.name}.py", f"tests/views/reference/test_{new.name}.py"
    model, models = f"app/models/reference/{new.name}.py", "app/models/__init__.py"
    written = {model: "model", migration: "migration", page: "page", test: "page_test"}
    _write_new(written, words)
    importing = f"from app.models.reference.{new.name} import {words['Class']}\n"
    _insert(models, "from app.models.reference.values import", importing)
    _insert(models, '    "AccountDetail",', f'    "{words["Class"]}",\n')
    _insert("app/migrations/sql/privileges.sql", "GRANT INSERT, UPDATE ON sector",
            f"GRANT INSERT, UPDATE ON {new.name} TO {{app}};\n")  # fmt: skip
    _insert(
        "docs/guide/系统管理.md", "- 每个值自 **生效日期**", f"- **{new.chinese}**：用途待补充。\n"
    )
    _finish({new.title: new.chinese, f"What {words['Lower']} are for": "用途待补充"})
    digest = hashlib.sha256(_read(ROOT / migration).encode()).hexdigest()[:16]
    frozen = f'    "{migration.removeprefix("app/migrations/")}": "{digest}",\n'
    _insert("tests/test_migrations.py", '    "versions/2026_11_30_the_first_schema.py"', frozen)
    subprocess.run([sys.executable, "tools/schema.py"], cwd=ROOT, check=True, capture_output=True)
    return [*written, models]


def kind(new: New) -> list[str]:
    """Generate a kind reviewed by a second officer: kind, page, texts, guide, tests."""
    kinds = "\n".join(map(_read, (ROOT / "app" / "domain" / "kinds").rglob("*.py")))
    if not re.fullmatch("[A-Z]{2}", new.prefix) or f'prefix = "{new.prefix}"' in kinds:
        raise NotPossible("--prefix 须为未使用的两个大写字母 / two capital letters of its own")
    words = new.words | {"place": str(_places("SANCTIONS") + 1)}
    domain, page = f"app/domain/kinds/{new.name}.py", f"app/views/sanctions/{new.name}.py"
    test = f"tests/views/sanctions/test_{new.name}.py"
    _write_new({domain: "kind", page: "desk", test: "kind_test"}, words)
    catalogue = "app/domain/kinds/__init__.py"
    importing = f"from app.domain.kinds.{new.name} import {words['Class']}\n"
    _insert(catalogue, "from app.domain.kinds.rules import Facts", importing)
    _insert(catalogue, "    )\n}", f"        {words['Class']},\n")
    _insert("tests/views/world.py", '        "restriction": (0, "", "")',
            f'        "{new.name}": (0, "", ""),\n')  # fmt: skip
    _insert("tests/views/lists/test_queries.py", '    "RestrictionView": "restriction"',
            f'    "{words["Class"]}View": "{new.name}",\n')  # fmt: skip
    _insert("tests/views/frame/test_scope.py", '    ("RestrictionView", "id")',
            f'    ("{words["Class"]}View", "id"),\n')  # fmt: skip
    term = f"`{new.name}`, `{words['Class']}`, `/{words['path']}`"
    _insert("docs/glossary.md", "| 账户限制 / 解除限制 |",
            f"| {new.chinese} | {term} | – | number {new.prefix}…; two officers |\n")  # fmt: skip
    guide = f"### {new.chinese}\n\n一人经办、一人复核；办理条件待补充。\n\n"
    _insert("docs/guide/注册登记管理机构.md", "### 账户限制与解除限制", guide)
    _finish({
        new.title: new.chinese,
        f"New {words['Lower']}": f"新增{new.chinese}",
        "One officer enters it, another confirms it": "一人经办，另一人复核",
    })  # fmt: skip
    return [domain, page, test, catalogue]


def _places(chapter: str) -> int:
    """Return the number of menu entries of a chapter."""
    pages = "\n".join(map(_read, (ROOT / "app" / "views").rglob("*.py")))
    return len(re.findall(rf"MenuEntry\({chapter}, \d+\)", pages))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _filled(template: str, words: Mapping[str, str]) -> str:
    return Template(_read(TEMPLATES / f"{template}.py.txt")).substitute(words)


def _write_new(files: Mapping[str, str], words: Mapping[str, str]) -> None:
    """Write all files, or none where one exists."""
    for name in files:
        if (ROOT / name).exists():
            raise NotPossible(f"文件已存在 / it is there already: {name}")
    for name, template in files.items():
        (ROOT / name).write_text(_filled(template, words), encoding="utf-8")


def _insert(file: str, before: str, text: str) -> None:
    """Insert a text before the line that begins with another."""
    path = ROOT / file
    content = _read(path)
    if content.count(before) != 1:
        raise NotPossible(f"{file}: {before!r} 不是恰好一处 / is not there exactly once")
    path.write_text(content.replace(before, text + before), encoding="utf-8")


def _finish(chinese: Mapping[str, str]) -> None:
    """Sort imports and regenerate translations, words, rules and permissions."""
    for command in (["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, check=True)
    subprocess.run([sys.executable, _GENERATORS[0]], cwd=ROOT, check=True, capture_output=True)
    known = translations.catalogue()
    for text, translated in chinese.items():
        if entry := known.get(text):
            entry.string = entry.string or translated
    translations.write(known)
    for generator in _GENERATORS[1:]:
        subprocess.run([sys.executable, generator], cwd=ROOT, check=True, capture_output=True)
