"""The commands as called by scripts: through the shell, with a database given by its address."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

import config
from app import embedded
from app.commands import Command
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.installation.demo import DEMO_PASSWORD
from app.models import Application, Member, SettlementRun, Venue
from app.operations.accounts import accounts
from app.operations.people import certificates
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import nothing_moves
from tests.installation import commands

SEEDED = "cli_seeded"
MEMBER, CODE = "21042300007", "PE2021000025"
_number = count(1)
pytestmark = pytest.mark.xdist_group("commands")


@dataclass
class Shell:
    """Runs commands on one database."""

    cluster: embedded.Cluster
    database: str
    more: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        urls = self.cluster.urls(self.database)
        environment = {
            **os.environ,
            "APP_PROFILE": "test",
            "DATABASE_URL": urls.app,
            "DATABASE_OWNER_URL": urls.owner,
            "SECRET_KEY": "command" * 6,
            "PYTHONUTF8": "1",
            **more,
        }
        return commands.run(arguments, environment)

    def says(self, *arguments: str) -> str:
        """Return the output of a command, which must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def rows(self, statement: str) -> list[tuple]:
        with self.cluster.connect(self.database) as connection:
            return connection.execute(statement).fetchall()

    def holding(self) -> dict[str, int]:
        """Return the manual's enterprise's holding of the manual's instrument."""
        buckets = ("available", "pending_to_trading", "trading", "pending_to_registry")
        (row,) = self.rows(
            f"SELECT {', '.join(buckets)} FROM holding h JOIN account a ON a.id = h.account_id"
            f" JOIN instrument i ON i.id = h.instrument_id"
            f" WHERE a.member_no = '{MEMBER}' AND i.code = '{CODE}'"
        )
        return dict(zip(buckets, row, strict=True))


@pytest.fixture(scope="module")
def template(cluster: embedded.Cluster) -> Shell:
    """An empty database on which `flask init` ran twice at once and once more, then `flask seed`."""
    cluster.create_database(SEEDED)
    shell = Shell(cluster, SEEDED)
    with ThreadPoolExecutor() as both:
        for done in both.map(lambda _: shell.run("init"), range(2)):
            assert (done.returncode, done.stdout.strip()) == (0, "已就绪"), done.stderr
    return shell


@pytest.fixture(scope="module")
def seeded(template: Shell) -> Shell:
    assert template.says("seed") == "已填入演示数据"
    return template


@pytest.fixture
def shell(cluster: embedded.Cluster, seeded: Shell) -> Iterator[Shell]:
    """A shell on a private copy of the seeded registry."""
    name = f"cli_{next(_number)}"
    cluster.create_database(name, SEEDED)
    yield Shell(cluster, name)
    cluster.drop_database(name)


def test_init_again_changes_nothing(template):
    def state() -> list[list[tuple]]:
        return [
            template.rows(f"SELECT * FROM {table} ORDER BY 1")
            for table in ("alembic_version", "ab_role", "ab_permission_view_role", "trading_day")
        ]

    before = state()
    assert all(before)
    assert template.says("init") == "已就绪"
    assert state() == before


def test_seeding_again_changes_nothing(seeded):
    before = seeded.rows("SELECT count(*), max(id) FROM posting")
    assert seeded.says("seed") == "已有数据，未作任何改变"
    assert seeded.rows("SELECT count(*), max(id) FROM posting") == before


def test_the_demo_holds_what_the_manual_shows(seeded):
    assert seeded.holding() == {
        "available": 700,
        "pending_to_trading": 0,
        "trading": 0,
        "pending_to_registry": 0,
    }
    assert seeded.rows(
        f"SELECT i.code, i.name FROM holding h JOIN account a ON a.id = h.account_id"
        f" JOIN instrument i ON i.id = h.instrument_id WHERE a.member_no = '{MEMBER}'"
        " AND h.available + h.reserved + h.frozen > 0 ORDER BY 1"
    ) == [(CODE, "2021年5月17日增持的配额")]


def test_the_demo_lets_ccer_be_tried(seeded):
    """Of 600 tonnes 30 may be offset: one unit is that, the other one more; others' count already."""
    assert seeded.rows(
        "SELECT u.quantity, u.state FROM offset_unit u JOIN account a ON a.id = u.account_id"
        f" WHERE a.member_no = '{MEMBER}' ORDER BY 1"
    ) == [(30, "frozen"), (100, "frozen")]
    ((bound, offset, pending),) = seeded.rows(
        "SELECT (SELECT count(*) FROM offset_binding WHERE state = 'confirmed'),"
        " (SELECT count(*) FROM notice_surrender WHERE offset_surrendered > 0),"
        " (SELECT count(*) FROM offset_message WHERE state IN ('pending', 'sent', 'unknown'))"
    )
    assert (bound, offset, pending) == (10, 9, 0)


def test_the_demo_has_a_company_with_two_notices_a_year(seeded):
    """C10: steel with its own power station; of 2024 one certificate, once both are fulfilled."""
    assert seeded.rows(
        "SELECT n.year, string_agg(n.sector, ',' ORDER BY n.sector) FROM notice n"
        " JOIN account a ON a.id = n.account_id WHERE a.name LIKE '湖北%钢铁%'"
        " GROUP BY n.year ORDER BY n.year"
    ) == [(2024, "power,steel"), (2025, "power,steel")]


def test_demo_logins_are_a_list_for_scripts(seeded):
    found = json.loads(seeded.says("demo-logins", "--json"))
    assert {frozenset(each) for each in found} == {frozenset({"role", "login", "password"})}
    assert found[0] == {"role": "重点排放单位", "login": MEMBER, "password": DEMO_PASSWORD}
    roles = {each["role"] for each in found}
    assert roles >= {"湖北主管部门", "注册登记管理机构经办", "注册登记管理机构复核"}
    assert roles >= {"系统管理员", "安全管理员", "审计员"}
    assert MEMBER in seeded.says("demo-logins")


def test_the_clock_is_shown_and_set(shell):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 10:\d\d:\d\d", shell.says("clock"))
    assert shell.says("clock", "--set", "2026-11-20 14:59").startswith("2026-11-20 14:59:0")
    assert shell.says("clock", "--set", "9:30").startswith("2026-11-20 09:30:0")


# What is mistyped needs no shell: the same commands, called within the test's process.


@pytest.fixture
def refused(app):
    """Return a function that calls a command that must be refused, and returns the message."""

    def call(*arguments: str) -> str:
        done = app.test_cli_runner().invoke(args=arguments)
        assert done.exit_code == 1, done.output
        assert isinstance(done.exception, SystemExit), done.exception  # Told, not thrown.
        return done.output

    return call


def test_a_time_of_another_zone_is_understood(app):
    done = app.test_cli_runner().invoke(args=["clock", "--set", "2026-11-20T06:59:59Z"])
    assert done.output.startswith(("2026-11-20 14:59:59", "2026-11-20 15:00:00"))


@pytest.mark.parametrize(
    "typed", ["tomorrow", "25:00", "14:60", "2026-02-30 10:00", "１４:００", "-1", "x" * 200]
)
def test_what_is_no_time_does_not_move_the_clock(app, refused, typed):
    began, before = datetime.now(UTC), clock.now()
    assert "不是时间，应如 14:59" in refused("clock", "--set", typed)
    after = clock.now()
    assert timedelta(0) <= after - before <= datetime.now(UTC) - began


def test_a_day_is_settled_once(shell):
    today = shell.says("clock")[:10]
    transfer = ["exchange-transfer", "--member", MEMBER, "--instrument", CODE]
    answer = shell.says(*transfer, "--request-no", "T1", "--direction", "in", "--quantity", "100")
    assert answer.split("\t")[2] == "已拒绝"  # The enterprise has not permitted it.
    shell.rows("UPDATE account SET allows_exchange_transfer = true RETURNING 1")
    ask = [*transfer, "--request-no", "T2", "--direction", "in", "--quantity", "100"]
    assert shell.says(*ask).split("\t")[2] == "待结算"
    (again,) = json.loads(shell.says(*ask, "--json"))  # The same number: once.
    assert (again["request_no"], again["status"]) == ("T2", "pending_settlement")
    assert shell.holding()["pending_to_trading"] == 100

    told = shell.says("settle-day", "--date", today, "--as-of", "16:00")
    assert f"{today} 日终结算完成：1 个持仓共 100 吨转入交易持有" in told
    assert shell.holding() == {
        "available": 600,
        "pending_to_trading": 0,
        "trading": 100,
        "pending_to_registry": 0,
    }
    entries = shell.rows("SELECT count(*) FROM entry")
    again = shell.says("settle-day", "--date", today)
    assert "此前已日终结算，未作任何改变" in again
    assert shell.rows("SELECT count(*) FROM entry") == entries
    tomorrow = shell.says("clock")
    assert tomorrow[:10] > today
    assert " 10:0" in tomorrow  # The demonstration's clock went on to the next trading morning.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--date", "2026-13-01"], "不是日期"),
        (["--date", "today"], "不是日期"),
        (["--date", "2026-11-22"], "2026-11-22 不是交易日"),  # A Sunday.
        (["--date", "1999-01-04"], "1999-01-04"),
        (["--as-of", "noon"], "不是时间"),
        (["--as-of", "14:59"], "须在 15:00 以后才能日终结算"),
    ],
)
def test_a_day_that_cannot_be_settled_is_refused(app, refused, arguments, said):
    assert said in refused("settle-day", *arguments)
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(SettlementRun)) == 0


def test_the_exchange_is_answered_line_by_line(shell, tmp_path):
    file = tmp_path / "requests.json"
    common = {"member_no": MEMBER, "instrument_code": CODE, "venue_code": "ZGW", "quantity": 10}
    requests = [
        {**common, "request_no": "A1", "direction": "in"},
        {**common, "request_no": "A2", "direction": "out"},
    ]
    file.write_text(json.dumps(requests), encoding="utf-8")
    with_reasons = [
        line.split("\t") for line in shell.says("exchange-transfer", str(file)).split("\n")
    ]
    assert [(line[0], line[2]) for line in with_reasons] == [("A1", "已拒绝"), ("A2", "已拒绝")]
    assert all(line[1] and line[3] for line in with_reasons)
    assert shell.holding()["available"] == 700


def test_every_bad_row_of_the_exchange_is_named_and_none_is_carried_out(
    app, refused, plant, operator, cea, tmp_path
):
    with transaction():
        accounts.allow_exchange_transfer(
            plant.id, Actor.of(operator), allowed=True, now=clock.now()
        )
    venue = db.session.scalars(select(Venue.code)).first()
    good = {"member_no": plant.member_no, "instrument_code": cea.code, "venue_code": venue}
    good |= {"quantity": 10, "direction": "in"}
    rows = [
        {**good, "request_no": "A1"},
        {**good, "request_no": "A2", "quantity": 1.5, "member_no": "00000000000"},
        {**good, "request_no": "A3", "direction": "up", "instrument_code": None},
        {**good, "request_no": "A1", "quantity": 20},
        {**good, "request_no": "A\ud800\x00", "venue_code": ["x"]},
        {**good, "request_no": ""},
        {},
    ]
    file = tmp_path / "requests.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    with nothing_moves():
        told = refused("exchange-transfer", str(file))
    assert "有 6 行有误，未办理任何划转" in told
    for said in (
        "第 2 行：数量须为大于 0 的整数",
        "第 2 行：会员编号 00000000000 不存在",
        "第 3 行：方向只能是",
        "第 3 行：标的编码",
        "第 4 行：该请求号已用于内容不同的请求",
        "第 5 行：交易端",
        "第 6 行：请求号须为",
        "第 7 行：请输入数量",
        "第 7 行：会员编号",
    ):
        assert said in told
    assert "第 1 行" not in told
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0

    file.write_text(json.dumps(rows[:1]), encoding="utf-8")
    done = app.test_cli_runner().invoke(args=["exchange-transfer", str(file)])
    assert "待结算" in done.output


def test_a_skipped_trading_day_is_named_and_asked_about(app, refused, monkeypatch):
    def settle(*arguments, **more):
        return app.test_cli_runner().invoke(args=["settle-day", *arguments], **more)

    def days():
        db.session.rollback()
        return list(db.session.scalars(select(SettlementRun.day).order_by(SettlementRun.day)))

    friday, tuesday = date(2026, 11, 20), date(2026, 11, 24)
    assert settle("--date", "2026-11-20").exit_code == 0  # The first run skips nothing.
    told = refused("settle-day", "--date", "2026-11-25")
    assert "2026-11-25 之前有 2 个交易日尚未日终结算：2026-11-23、2026-11-24" in told
    assert "--yes" in told
    assert days() == [friday]

    monkeypatch.setattr("app.cli._is_asked", lambda: True)
    refusal = settle("--date", "2026-11-24", input="n\n")
    assert (refusal.exit_code, days()) == (1, [friday])
    assert "仍要结算 2026-11-24 吗？" in refusal.output
    assert "未作日终结算" in refusal.output
    assert settle("--date", "2026-11-24", input="y\n").exit_code == 0
    assert days() == [friday, tuesday]
    assert settle("--date", "2026-11-27", "--yes").exit_code == 0
    assert days() == [friday, tuesday, date(2026, 11, 27)]


# One wrong call at least of each command: a message in Chinese, and never a traceback.
WRONG = {
    "init": [["--nothing"], ["extra"]],
    "seed": [["extra"]],
    "demo-logins": [["--jsn"], ["extra"]],
    "add-member": [
        [],
        ["R0009"],
        ["R0009", "x", "--role", "king"],
        ["R0009", "x", "--role", "province", "--province", "99"],
        ["R0009", "x", "--role", "enterprise", "--account", "00000000000"],
        ["R" * 500, "x", "--role", "auditor"],
        ["R0009", "x" * 5000, "--role", "auditor"],
        ["R0009", "a\u202eb", "--role", "auditor"],
        ["编号", "x", "--role", "auditor"],
        ["R0009", "x", "--role", "auditor", "--email", "nobody"],
        ["R0009", "x", "--role", "auditor", "--phone", "12"],
        ["R0009", "x", "--role"],
    ],
    "issue-codes": [
        [],
        ["R0008"],
        ["a" * 9000],
        ["R0008", "--bootstrap", "/nowhere/word"],
        ["R0008", "--bootstrap", "/dev/null"],
    ],
    "clock": [["--set", "noon"], ["--set"], ["extra"], ["--set", "9999-12-31 23:59"]],
    "settle-day": [
        ["--date", "x"],
        ["--date", "0001-01-01"],
        ["--date", "9999-12-31"],
        ["--as-of", "x"],
    ],
    "exchange-transfer": [
        [],
        ["--direction", "up"],
        ["--quantity", "x"],
        ["/nowhere/requests.json"],
        ["/"],
        ["/dev/null"],
    ],
    "seal": [["extra"]],
    "publish-crl": [["extra"], []],
    "verify-ledger": [["extra"]],
    "audit-day": [["--day", "x"], ["--opening"], ["extra"], []],
    "export-evidence": [[], ["KH1"], ["KH1", "/proc/nowhere"]],
    "seal-log": [["extra"]],
    "sweep-files": [["extra"]],
    "verify-installation": [["extra"]],
    "log-head": [["--folder", "/proc/nowhere"], ["--folder"]],
    "verify-log": [["--key", "/nowhere.pub"], ["--key", "/"], ["--key", "/dev/null"]],
    "rotate-personal-data": [["extra"]],
    "worker": [["--parent", "x"], ["extra"]],
    "new": [
        [],
        ["page", "x"],
        ["kind", "x"],
        ["reference", "../x", "--title", "X", "--chinese", "某"],
    ],
}


def test_there_is_a_wrong_call_of_each_command(app):
    ours = {name for name, each in app.cli.commands.items() if isinstance(each, Command)}
    assert ours == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_told_in_chinese(app, name):
    for arguments in WRONG[name]:
        done = app.test_cli_runner().invoke(args=[name, *arguments])
        assert done.exit_code in (1, 2), (arguments, done.output)
        assert isinstance(done.exception, SystemExit), (arguments, done.exception)
        assert done.output.startswith("错误："), (arguments, done.output)
        assert "Traceback" not in done.output
        assert re.search(r"[\u4e00-\u9fff]", done.output.removeprefix("错误：").partition("\n")[0])
        db.session.rollback()


@pytest.mark.parametrize("name", WRONG)
def test_the_help_is_chinese(app, name):
    told = app.test_cli_runner().invoke(args=[name, "--help"]).output
    assert told.startswith("用法：")
    for line in told.splitlines():
        written = re.sub(r"--?[a-z-]+|[A-Z_-]{2,}|\[.*?\]|/", "", line).strip()
        assert not written or re.search(r"[\u4e00-\u9fff]", told.partition("\n")[2])
    assert "显示本说明" in told


def test_a_database_that_does_not_answer_is_told(app, monkeypatch):
    def fail(*_arguments):
        raise OperationalError("SELECT 1", {}, psycopg.OperationalError("connection refused"))

    monkeypatch.setattr("app.cli.clock.now", fail)
    done = app.test_cli_runner().invoke(args=["clock"])
    assert (done.exit_code, done.output) == (1, "错误：数据库没有应答：connection refused\n")


@pytest.mark.parametrize("typed", ["0", "-5", "1.5", "1e3", "１００", "", str(2**63)])
def test_a_bad_quantity_of_the_exchange_is_refused(refused, typed):
    ask = ["--request-no", "Q1", "--direction", "in", "--member", MEMBER, "--instrument", CODE]
    assert "数量" in refused("exchange-transfer", *ask, "--quantity", typed)


def test_verifying_a_sound_ledger_and_a_tampered_one(shell):
    told = dict(
        line.split(": ") for line in shell.says("verify-ledger").splitlines() if ": " in line
    )
    assert told["faults"] == "0"
    assert int(told["entries"]) > int(told["postings"]) > 0
    with shell.cluster.connect(shell.database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE holding SET available = available + 1 WHERE account_id ="
            f" (SELECT id FROM account WHERE member_no = '{MEMBER}')"
        )
    done = shell.run("verify-ledger")
    assert done.returncode == 1
    assert "FAULT" in done.stderr
    assert "Traceback" not in done.stderr
    assert "faults: 0" not in done.stdout


def test_the_log_is_sealed_its_head_written_and_a_changed_row_named(shell, tmp_path):
    folder = ["--folder", str(tmp_path)]
    assert shell.says("seal-log").startswith("已封存 ")
    head = shell.says("log-head", *folder).strip()
    assert head.endswith(".json")
    *lines, conclusion = shell.says("verify-log", *folder).splitlines()
    told = dict(line.split(": ") for line in lines)
    assert conclusion == "核对无误"
    assert (told["faults"], told["heads"]) == ("0", "1")
    assert int(told["sealed_rows"]) > 0
    with shell.cluster.connect(shell.database) as connection:
        connection.execute("SET session_replication_role = replica")
        (row,) = connection.execute("SELECT min(id) FROM operation_log").fetchone()
        connection.execute("UPDATE operation_log SET subject = 'x' WHERE id = %s", [row])
    done = shell.run("verify-log", *folder)
    assert done.returncode == 1
    assert f"FAULT log_changed: operation_log {row} of block" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_head_that_was_touched_is_named(shell, tmp_path):
    path = Path(shell.says("log-head", "--folder", str(tmp_path)).strip())
    head = path.read_bytes()
    assert b'"version":1' in head
    path.write_bytes(head.replace(b'"version":1', b'"version":2'))
    done = shell.run("verify-log", "--folder", str(tmp_path))
    assert done.returncode == 1
    assert f"{path.name}：签名不符" in done.stderr


def test_personal_data_under_the_present_key_stay(shell):
    assert shell.says("rotate-personal-data").startswith("已重新加密 ")


def test_demonstrations_are_not_for_production(cluster, seeded):
    production = {
        "APP_PROFILE": "production",
        "SECRET_KEY": "p" * 40,
        "PERSONAL_DATA_KEY": f"2026a:{'a' * 64},index:{'b' * 64}",
    }
    for command in (["seed"], ["demo-logins", "--json"]):
        done = seeded.run(*command, **production)
        assert done.returncode != 0
        assert DEMO_PASSWORD not in done.stdout


def test_what_the_settings_lack_is_told_at_once(seeded):
    done = seeded.run("verify-ledger", APP_PROFILE="production", SECRET_KEY="short")
    assert (done.returncode, done.stdout) == (1, "")
    first, *others = done.stderr.splitlines()
    assert first.startswith("Error: SECRET_KEY 须不少于32个字符。")
    lacking = ("TRUSTED_HOSTS", "MAIL_URL", "MAIL_FROM", "SMS_URL", "SMS_KEY", "PERSONAL_DATA_KEY")
    assert [next(name for name in lacking if name in line) for line in others] == list(lacking)


def test_what_is_not_fit_for_production_is_listed(seeded):
    done = seeded.run("verify-installation")
    faults = [line for line in done.stderr.splitlines() if line.startswith("FAULT ")]
    assert (done.returncode, done.stdout.strip()) == (1, f"faults: {len(faults)}")
    for told in (
        "SECRET_KEY 的密钥或口令易猜",
        f"默认密码：{MEMBER} 等 ",
        "生产环境不得关闭验证码",
    ):
        assert sum(told in line for line in faults) == 1, told
    assert DEMO_PASSWORD not in done.stderr


@pytest.mark.parametrize("content", ["", "{", '{"request_no": "A1"}', "[1]", "\udcff"])
def test_a_file_that_lists_no_requests_is_refused(app, refused, tmp_path, content):
    file = tmp_path / "requests.json"
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert "requests.json 不是划转请求的 JSON 列表" in refused("exchange-transfer", str(file))
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0


def test_evidence_of_no_application_is_refused(app, refused, tmp_path):
    assert "没有申请 KH202600000099" in refused(
        "export-evidence", "KH202600000099", str(tmp_path / "evidence")
    )
    assert not (tmp_path / "evidence").exists()


def test_codes_of_a_first_certificate_are_for_members_alone(shell):
    shell.says("add-member", "R0009", "新经办", "--role", "registry_maker")
    reference, code = shell.says("issue-codes", "R0009").split()
    assert (len(reference), len(code)) == (10, 10)
    done = shell.run("issue-codes", "R0008")
    assert (done.returncode, done.stderr.strip()) == (1, "错误：没有会员 R0008")


def test_codes_and_passwords_say_whose_they_are_what_for_and_until_when(shell):
    added = shell.run("add-member", "R0009", "新经办", "--role", "registry_maker")
    assert (added.returncode, len(added.stdout.split())) == (0, 1)  # For programs: the password.
    assert "R0009 新经办 的初始密码，只显示这一次，首次登录时必须修改" in added.stderr
    given = shell.run("issue-codes", "R0009")
    until = datetime.now(BEIJING) + certificates.LIFETIME
    assert "R0009 新经办 的参考号与授权码" in given.stderr
    assert "/certificate/ 申领证书用，一次有效" in given.stderr
    assert f"至 {until:%Y-%m-%d} " in given.stderr
    assert len(given.stdout.split()) == 2


MISTAKEN = {
    ("r0009", "某"): "编号以大写字母开头",
    ("R" * 13, "某"): "编号以大写字母开头",
    ("R0009", " "): "名称：请填写",
    ("R0009", "某" * 65): "名称：",
    ("R0009", "某", "--phone", "027-87654321"): "手机号：",
    ("R0009", "某", "--email", "nobody@"): "邮箱：",
    ("R0009", "某", "--email", "甲@registry.example.cn"): "邮箱：",
    ("R0009", "某", "--province", "42"): "省级主管部门须选择省份",
    ("R0009", "某", "--role", "province"): "省级主管部门须选择省份",
    ("R0009", "某", "--role", "province", "--province", "99"): "省级主管部门须选择省份",
    ("R0009", "某", "--role", "enterprise"): "请选择角色",
}


@pytest.mark.parametrize("arguments", MISTAKEN)
def test_what_no_page_accepts_of_a_person_no_command_does(app, refused, arguments):
    before = db.session.scalar(select(func.count()).select_from(Member))
    usual = () if "--role" in arguments else ("--role", "auditor")
    assert MISTAKEN[arguments] in refused("add-member", *arguments, *usual)
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Member)) == before


def test_a_person_of_an_enterprise_has_its_number(app, refused, plant):
    asked = ("--role", "enterprise_maker", "--account", plant.member_no)
    told = refused("add-member", "21099900001-01", "某", *asked)
    assert f"该单位人员的编号须为 {plant.member_no}" in told
    number = f"{plant.member_no}-77"
    done = app.test_cli_runner().invoke(args=["add-member", number, "某", *asked])
    assert done.exit_code == 0, done.output
    assert db.session.scalars(select(Member.account_id).where(Member.username == number)).all() == [
        plant.id
    ]


def test_a_database_that_is_not_there_is_one_sentence_at_every_start(cluster):
    away = f"postgresql://registry_app:x@127.0.0.1:{embedded.free_port()}/registry"
    environment = {
        **os.environ, "APP_PROFILE": "test", "DATABASE_URL": away, "SECRET_KEY": "k" * 40,
        "PYTHONUTF8": "1", "PORT": str(embedded.free_port()), "DATA_FOLDER": str(cluster.folder / "away"),
    }  # fmt: skip
    for command in (["app.py"], ["-m", "flask", "verify-ledger"], ["-m", "flask", "run"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=config.ROOT, env=environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode != 0, command
        assert "数据库没有应答" in done.stderr.splitlines()[-1], (command, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_number_and_an_address_are_one_persons(shell):
    more = ("--role", "system_admin", "--email", "first@registry.example.cn")
    shell.says("add-member", "S0008", "系统管理员", *more, "--phone", "13800138000")
    for number, address in (("S0008", "other@registry.example.cn"), ("S0007", more[-1])):
        done = shell.run(
            "add-member", number, "系统管理员", "--role", "system_admin", "--email", address
        )
        assert done.returncode == 1
        assert number in done.stderr or "e-mail" in done.stderr or "邮箱" in done.stderr
