"""A synthetic registry of national size: `python -m bench.national` fills an empty demonstration.

3,400 enterprises and a year of transfers with their documents, deterministic.  The statements are in
national.sql; all triggers are active and derive holdings and entries from the movements.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg

from app import installation
from app.domain.errors import RuleError
from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.installation.demo import DEMO_PASSWORD, MANUAL_MEMBER_NO, OFFICERS
from app.operations.people import passwords
from app.web import create_app

FIRST_DAY, LAST_DAY = date(2025, 11, 24), date(2026, 11, 20)  # a year of trading days
RUNNING = 2025  # the current compliance year
TRANSFERS = 0.6  # a trading day, for each enterprise
TOTAL_ISSUED = 28_000_000_000  # tonnes, all vintages together
PASSED_BEHIND = 0.03  # share of enterprises with a 缺口 in a past year
FIRST_ACCOUNT = 1001  # after those of the provinces
SECTORS = {"power": 0.62, "cement": 0.28, "steel": 0.07, "aluminium": 0.03}
SIZES = {"power": 1.0, "cement": 0.45, "steel": 5.0, "aluminium": 3.0}  # relative emissions
SUFFIXES = {
    "power": ("发电", "热电", "能源发电", "洁净煤发电"),
    "cement": ("水泥", "特种水泥"),
    "steel": ("钢铁", "特钢"),
    "aluminium": ("铝业",),
}
# Fictitious places.
PLACES = (
    "云溪 星河 松涛 望海 听泉 揽月 栖霞湾 青禾 白鹭 长亭 晚晴 春汀 秋水 雪浪 竹影 鹿鸣 鹤汀 枫桥岭 兰皋 棠溪 "
    "梅坞 柳浦 桃源里 荷风 芦洲 雁回 燕来 鸥波 石泉湾 金穗 银杏坪 玉屏川 碧落 丹崖 紫塬 苍梧岭 沧浪 扶摇 "
    "凌云渡 朝晖 暮云 晨曦 霁月 清漪 澄江口 平沙 远岫 横波"
).split()
_POWER, _ALL = ["power"], list(SECTORS)
# Year, code, name, trade code, billions of tonnes, sectors, day of surrender.
VINTAGES = (
    (2020, "PE2021000025", "碳排放配额19-20", "CEA", 6.4, _POWER, date(2021, 12, 31)),
    (2021, "PE2023000031", "碳排放配额21", "CEA21", 3.6, _POWER, date(2023, 12, 29)),
    (2022, "PE2023000032", "碳排放配额22", "CEA22", 3.7, _POWER, date(2023, 12, 29)),
    (2023, "PE2024000041", "碳排放配额23", "CEA23", 3.8, _POWER, date(2024, 12, 31)),
    (2024, "PE2025000052", "碳排放配额24", "CEA24", 4.2, _ALL, date(2025, 12, 31)),
    (2025, "PE2026000061", "碳排放配额25", "CEA25", 4.1, _ALL, None),
    (2026, "PE2026000062", "碳排放配额26（预分配）", "CEA26", 2.2, _ALL, None),
)
# Vintage, day, share, 预分配 or 核定.
ISSUES = (
    (1, date(2021, 5, 17), 0.7, "pre_allocation"), (1, date(2021, 9, 30), 0.3, "approved"),
    (2, date(2022, 5, 20), 0.7, "pre_allocation"), (2, date(2023, 8, 15), 0.3, "approved"),
    (3, date(2023, 3, 30), 0.7, "pre_allocation"), (3, date(2023, 9, 28), 0.3, "approved"),
    (4, date(2024, 4, 26), 0.7, "pre_allocation"), (4, date(2024, 10, 25), 0.3, "approved"),
    (5, date(2025, 4, 18), 0.7, "pre_allocation"), (5, date(2025, 10, 17), 0.3, "approved"),
    (6, date(2026, 4, 10), 0.7, "pre_allocation"), (6, date(2026, 9, 25), 0.3, "approved"),
    (7, date(2026, 7, 1), 1.0, "pre_allocation"),
)  # fmt: skip
CALLED_ON = date(2026, 9, 25)  # notices of the current year

_parts = re.split(
    r"^-- (\w+): .*$", Path(__file__).with_suffix(".sql").read_text("utf-8"), flags=re.M
)
STATEMENTS = dict(zip(_parts[1::2], _parts[2::2], strict=True))


@dataclass(frozen=True, slots=True)
class Enterprise:
    """An enterprise; its operator signs in with the member number."""

    number: int
    member_no: str
    name: str
    uscc: str
    province: str
    sector: str
    size: float
    opened_on: date
    allows: bool


def seed(owner_url: str, *, count: int = 3400, until: date = LAST_DAY) -> datetime:
    """Fill an installed, empty registry, and set its clock to 10:00 of the next trading day.

    Returns that time.  One transaction.  Raises RuleError where there are accounts.  Needs an
    application context, for hashing the password.
    """
    address = owner_url.replace("+psycopg", "", 1)
    with psycopg.connect(address, cursor_factory=psycopg.ClientCursor) as connection:
        _require_empty(connection)
        # For sorting thousands of entries a day.
        connection.execute("SET LOCAL work_mem = '128MB'; SET LOCAL synchronous_commit = off")
        connection.execute("SET LOCAL timezone = 'Asia/Shanghai'")
        days, morning = _trading_days(connection, until)
        _open(connection, enterprises(count))
        _live(connection, count, days)
        _run(connection, "finish", morning=morning)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return morning


def _require_empty(connection: psycopg.Connection) -> None:
    connection.execute("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE")
    found = connection.execute(
        "SELECT FROM account WHERE kind = 'enterprise' UNION ALL SELECT FROM posting LIMIT 1"
    ).fetchone()
    if found is not None:
        raise RuleError("登记簿不是空的，请先 make reset", code="not_empty")


def _trading_days(connection: psycopg.Connection, until: date) -> tuple[list[date], datetime]:
    """Return the trading days of the year, and the morning of the one after them."""
    query = "SELECT day FROM trading_day WHERE is_trading AND day >= %s ORDER BY day"
    days = [day for (day,) in connection.execute(query, [FIRST_DAY])]
    past = [day for day in days if day <= until]
    following = days[len(past)]
    return past, datetime(following.year, following.month, following.day, 10, tzinfo=BEIJING)


def _open(connection: psycopg.Connection, all_: Sequence[Enterprise]) -> None:
    """Insert instruments, accounts and members."""
    _run(connection, "prepare")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO enterprise VALUES (%s, %s, NULL, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(e.number, FIRST_ACCOUNT + e.number, e.member_no, e.name, e.uscc, e.province, e.sector,
              e.size, e.opened_on, e.allows) for e in all_],
        )  # fmt: skip
        cursor.executemany(
            "INSERT INTO vintage VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(number, *row) for number, row in enumerate(VINTAGES, 1)],
        )
        cursor.executemany("INSERT INTO issue VALUES (%s, %s, %s, %s)", ISSUES)
    people = [
        *((e.member_no, e.name, FIRST_ACCOUNT + e.number, None, "enterprise") for e in all_),
        *(
            (f"P{code}{number}", f"{name}主管部门", None, code, "province")
            for code, name in PROVINCES.items()
            for number in ("", "02")
        ),
        *((each.member_no, each.name, None, None, each.role) for each in OFFICERS),
    ]
    logins, names, account_ids, of_provinces, roles = map(list, zip(*people, strict=True))
    _run(
        connection, "open", password=passwords.hash_of(DEMO_PASSWORD), total=TOTAL_ISSUED,
        logins=logins, names=names, account_ids=account_ids, provinces=of_provinces, roles=roles,
    )  # fmt: skip


def _live(connection: psycopg.Connection, count: int, days: Sequence[date]) -> None:
    """Insert the past years, then each trading day: issuance, transfers, day-end, surrender."""
    occasions = {day for _vintage, day, _share, _kind in ISSUES} | {row[-1] for row in VINTAGES}
    occasions -= {None}
    earlier = sorted(day for day in occasions if day < FIRST_DAY)
    past = FIRST_DAY - timedelta(1)
    for day in [*earlier, *days]:
        if day in earlier or day.month != past.month:
            _run(connection, "analyze")
        due = sorted(each for each in occasions if past < each <= day) if day in days else [day]
        _write(connection, "issue", due)
        _write(connection, "pass_on", due)
        if CALLED_ON in due:
            _write(connection, "call_for", [CALLED_ON], year=RUNNING)
            _run(connection, "carry_out")
            _run(connection, "plan", year=RUNNING)
        if day in days:
            transfers = max(1, int(count * TRANSFERS))
            _write(connection, "transfers", [day], count=transfers, enterprises=count)
            _run(connection, "day_end", day=day)
            _write(connection, "surrender_due", [day], past=past, year=RUNNING)
            past = day
        for each in due:
            _write(connection, "call_for_past", [each], behind=PASSED_BEHIND)
            _run(connection, "carry_out")
            _write(connection, "close_year", [each])


def _write(
    connection: psycopg.Connection, name: str, days: Sequence[date], **values: object
) -> None:
    """Generate the applications of some days, and insert them with their movements."""
    for day in days:
        _run(connection, name, day=day, **values)
        if connection.execute("SELECT 1 FROM paper LIMIT 1").fetchone():
            _run(connection, "write")


def _run(connection: psycopg.Connection, name: str, **values: object) -> None:
    connection.execute(STATEMENTS[name], values or None)


def enterprises(count: int) -> list[Enterprise]:
    """Generate the enterprises, including the manual's with its login."""
    chance = random.Random(2026)
    codes = sorted(chance.choices(list(PROVINCES), weights=range(60, 28, -1), k=count))
    sectors = chance.choices(_ALL, weights=list(SECTORS.values()), k=count)
    manuals = codes.index("42") if "42" in codes else 0
    found = []
    for number, (province, sector) in enumerate(zip(codes, sectors, strict=True)):
        sector = "power" if number == manuals else sector
        opened_on = date(2021, 4, 23) if sector == "power" else date(2025, 3, 17)
        again, place = divmod(number - codes.index(province), len(PLACES))
        name = f"{PROVINCES[province]}{PLACES[place]}{f'第{again + 1}' if again else ''}"
        name += f"{chance.choice(SUFFIXES[sector])}有限公司"
        member_no = f"{opened_on:%y%m%d}{number + 101:05d}"
        if number == manuals:
            name, member_no = "市场通测试030207", MANUAL_MEMBER_NO
        uscc = unified_code(province, 70_000_000 + number * 37)
        size = SIZES[sector] * chance.lognormvariate(0, 0.8)
        allows = chance.random() < 0.4
        found.append(
            Enterprise(number, member_no, name, uscc, province, sector, size, opened_on, allows)
        )
    return found


_CODE_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def unified_code(province: str, serial: int) -> str:
    """Return a 统一社会信用代码 with both its check characters (GB 32100, GB 11714)."""
    body = f"{serial:08d}"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = -sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11
    code = f"91{province}0100{body}{'X' if rest == 10 else rest}"
    return code + _CODE_DIGITS[-sum(_CODE_DIGITS.index(c) * 3**n for n, c in enumerate(code)) % 31]


def main() -> None:
    """Install and fill the database of the environment's settings."""
    parser = argparse.ArgumentParser(prog="python -m bench.national", description=__doc__)
    parser.add_argument("--enterprises", type=int, default=3400)
    arguments = parser.parse_args()
    app = create_app()
    settings = app.config["SETTINGS"]
    if settings.is_production:
        sys.exit("✗ 全国规模的演示数据不得用于生产环境")
    with app.app_context():
        installation.install()
        try:
            morning = seed(settings.database_owner_url, count=arguments.enterprises)
        except RuleError as error:
            sys.exit(f"✗ {error}")
    print(f"✓ {arguments.enterprises} 家重点排放单位，业务时间 {morning:%Y-%m-%d %H:%M}")


if __name__ == "__main__":
    main()
