"""Write docs/rules.md from the code: the rules of each kind and step, with messages.

rules.py            write the file
rules.py --check    exit with 1 where the file differs from the code
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from babel.messages.pofile import read_po  # noqa: E402

from app.domain.kinds import KINDS, Kind  # noqa: E402
from app.domain.moves import BUCKET_TITLES, Bucket  # noqa: E402
from app.domain.workflow import Action, Party  # noqa: E402
from tools.refusals import Refusal, Sources  # noqa: E402

TARGET = ROOT / "docs" / "rules.md"
CATALOGUE = ROOT / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
PARTIES = {
    Party.APPLICANT: "重点排放单位",
    Party.AUTHORITY: "省级主管部门",
    Party.REGISTRY: "管理部门",
    Party.RECEIVER: "全部接收单位",
    Party.RECEIVER_AUTHORITY: "接收单位的省级主管部门",
    Party.EXCHANGE: "交易系统",
    Party.PLATFORM: "全国碳市场管理平台",
    Party.BANK: "结算银行",
    Party.BATCH: "结转批次",
    Party.OFFICE: "省级主管部门或管理部门，各自的两人",
}
Chinese = Callable[[object], str]
STEPS = {Action.SUBMIT: "提交", Action.APPROVE: "审核", Action.WITHDRAW: "撤回"}
# Functions of the engine with rules for all kinds.
ENGINE = (
    "app.domain.moves",
    "app.domain.workflow",
    "app.domain.trading_day",
    "app.operations.applications.engine",
)
# The parts of the program whose other refusals are listed, in this order.
PARTS = {
    "app.domain": "规则与文字",
    "app.operations.applications": "业务申请、附件、审核",
    "app.operations.imports": "导入（无代码的为逐行的问题）",
    "app.operations.accounts": "账户、开户、操作员",
    "app.operations.compliance": "履约",
    "app.operations.exchange": "交易机构与标的",
    "app.operations.ledger": "账簿与日终结算",
    "app.operations.people": "人员、证书、密码",
    "app.operations.records": "参数、日历、公告、数据字典",
    "app.security": "登录与签名核验",
    "app.views": "页面",
    "app.pki": "密钥、证书与签名进程",
    "app": "命令及其他",
}


@cache
def _sources() -> Sources:
    return Sources()


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
    yield from others(chinese)


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
    found = [each for each in _sources().refusals if each.module in ENGINE]
    yield from rows(sorted(found, key=lambda each: ENGINE.index(each.module)), chinese)


def others(chinese: Chinese) -> Iterator[str]:
    """Yield a table for each part of the program, of what is refused besides."""
    found = [each for each in _sources().refusals if each.module not in ENGINE]
    yield ""
    yield "## 其余的拒绝"
    yield ""
    yield "程序中每一处拒绝的代码与提示；`…` 表示随情形而定。"
    for part, title in PARTS.items():
        mine = [each for each in found if f"{each.module}.".startswith(f"{part}.")]
        found = [each for each in found if each not in mine]
        if mine:
            yield from ("", f"### {title}", "", "| 规则代码 | 提示 |", "|---|---|")
            yield from rows(mine, chinese)


def rows(found: Iterable[Refusal], chinese: Chinese) -> Iterator[str]:
    """Yield the rows of a table of refusals, each once."""
    pairs = ((each.code, message) for each in found for message in each.messages)
    for code, message in dict.fromkeys(pairs):
        text = " ".join(chinese(message).replace("|", "\\|").split())
        yield f"| {f'`{code}`' if code else ''} | {text} |"


def route(pair: tuple[Bucket, Bucket] | None, chinese: Chinese, kind: Kind | None = None) -> str:
    """Describe a move of tonnes between buckets."""
    if pair is None:
        return "–"
    source, target = (chinese(BUCKET_TITLES[bucket]) for bucket in pair)
    receiver = "接收单位" if kind and Party.RECEIVER in kind.reviews else ""
    return f"{source} → {receiver}{target}"


if __name__ == "__main__":
    main()
