"""Write docs/rules.md from the code: the rules of each kind and step, with messages.

rules.py            write the file
rules.py --check    exit with 1 where the file differs from the code
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from babel.messages.pofile import read_po  # noqa: E402

from app.domain.errors import (  # noqa: E402
    InsufficientQuantity,
    NotAllowed,
    NotFound,
    OutsideTradingHours,
    RuleError,
)
from app.domain.kinds import KINDS, Kind  # noqa: E402
from app.domain.moves import BUCKET_TITLES, Bucket  # noqa: E402
from app.domain.workflow import Action, Party  # noqa: E402

TARGET = ROOT / "docs" / "rules.md"
CATALOGUE = ROOT / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
PARTIES = {
    Party.APPLICANT: "重点排放单位",
    Party.AUTHORITY: "省级主管部门",
    Party.REGISTRY: "管理部门",
    Party.RECEIVER: "全部接收单位",
    Party.EXCHANGE: "交易系统",
    Party.OFFICE: "省级主管部门或管理部门，各自的两人",
}
Chinese = Callable[[object], str]
STEPS = {Action.SUBMIT: "提交", Action.APPROVE: "审核"}
# Functions of the engine with rules for all kinds.
ENGINE = (
    "app/domain/moves.py",
    "app/domain/workflow.py",
    "app/domain/trading_day.py",
    "app/operations/applications/engine.py",
)
ERRORS = {
    error.__name__: error.code
    for error in (RuleError, NotAllowed, NotFound, OutsideTradingHours, InsufficientQuantity)
}


def main() -> None:
    """Write the table, or compare it."""
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="zh")
    known = {message.id: message.string for message in catalogue if message.id}
    text = "\n".join(lines(known)) + "\n"
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            sys.exit("docs/rules.md differs from the code: run tools/rules.py")
        return
    TARGET.write_text(text, encoding="utf-8")


def lines(known: dict[str, str]) -> Iterator[str]:
    """Yield the lines of the page."""

    def chinese(message: object) -> str:
        original = str(message)
        return known.get(original) or original

    yield from heading()
    yield from kinds(chinese)
    yield from guards(chinese)


def heading() -> Iterator[str]:
    """Yield the title."""

    yield "# 业务种类与校验规则"
    yield ""
    yield "本页由程序生成（`tools/rules.py`），请勿手工修改。规则代码与程序中的 `code` 一致。"


def kinds(chinese: Chinese) -> Iterator[str]:
    """Yield the table of kinds."""
    yield ""
    yield "## 业务种类"
    yield ""
    yield "| 业务 | 代码 | 编号前缀 | 发起 | 审核（依次） | 提交时 | 通过后 | 受账户限制 |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind in KINDS.values():
        reviews = "、".join(PARTIES[party] for party in kind.reviews) or "无"
        yield (
            f"| {chinese(kind.title)} | `{kind.code}` | {kind.prefix} | {PARTIES[kind.started_by]}"
            f" | {reviews} | {route(kind.reserves, chinese)} | {route(kind.settles, chinese, kind)}"
            f" | {'是' if kind.debits else '否'} |"
        )


def guards(chinese: Chinese) -> Iterator[str]:
    """Yield the tables of rules."""
    yield ""
    yield "## 各业务的校验"
    yield ""
    yield "| 业务 | 环节 | 规则代码 | 提示 |"
    yield "|---|---|---|---|"
    for kind in KINDS.values():
        for rule in kind.guards:
            steps = "、".join(STEPS[action] for action in rule.at)
            yield f"| {chinese(kind.title)} | {steps} | `{rule.code}` | {chinese(rule.message)} |"
    yield ""
    yield "## 所有业务共同的校验"
    yield ""
    yield "| 规则代码 | 提示 |"
    yield "|---|---|"
    for code, message in engine_rules():
        yield f"| `{code}` | {chinese(message)} |"


def route(pair: tuple[Bucket, Bucket] | None, chinese: Chinese, kind: Kind | None = None) -> str:
    """Describe a move of tonnes between buckets."""
    if pair is None:
        return "–"
    source, target = (chinese(BUCKET_TITLES[bucket]) for bucket in pair)
    receiver = "接收单位" if kind and Party.RECEIVER in kind.reviews else ""
    return f"{source} → {receiver}{target}"


def engine_rules() -> list[tuple[str, str]]:
    """Read (code, message) of the refusals in the engine's source."""
    found = []
    for path in ENGINE:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ERRORS and node.args:
                text = message_of(node.args[0])
                codes = [word.value.value for word in node.keywords if word.arg == "code"]  # type: ignore[attr-defined]
                code = codes[0] if codes else ERRORS[ast.unparse(node.func)]
                if text and (code, text) not in found:
                    found.append((code, text))
    return found


def message_of(node: ast.expr) -> str:
    """Return the text of a `_("...")`, or ""."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "_":
        (text, *_rest) = node.args
        return text.value if isinstance(text, ast.Constant) else ""
    return ""


if __name__ == "__main__":
    main()
