"""A registry of the nation's size: 3,400 enterprises, a year of postings and their papers, by COPY.

Every row is made up, by a random number generator that always begins with the same seed.  Movements
are copied in the order of time; the one posting trigger derives holdings and entries from them, so
that balances are right by construction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import psycopg

from app.domain.errors import RuleError
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket, Stage
from app.domain.trading_day import BEIJING
from app.installation.demo import DEMO_PASSWORD, MANUAL_MEMBER_NO, OFFICERS
from app.installation.national_papers import RUNNING, Papers, Person
from app.operations.people import passwords

SEED = 2026
FIRST_DAY, LAST_DAY = date(2025, 11, 24), date(2026, 11, 20)  # a year of trading days
TRANSFERS = 0.6  # a trading day, for each enterprise
TOTAL_ISSUED = 28_000_000_000  # tonnes, all vintages together
SECTORS = {"power": 0.62, "cement": 0.28, "steel": 0.07, "aluminium": 0.03}
SIZES = {"power": 1.0, "cement": 0.45, "steel": 5.0, "aluminium": 3.0}  # of emissions, relative
SUFFIXES = {
    "power": ("发电", "热电", "能源发电", "洁净煤发电"),
    "cement": ("水泥", "特种水泥"),
    "steel": ("钢铁", "特钢"),
    "aluminium": ("铝业",),
}
# Places that are on no map.
PLACES = (
    "云溪 星河 松涛 望海 听泉 揽月 栖霞湾 青禾 白鹭 长亭 晚晴 春汀 秋水 雪浪 竹影 鹿鸣 鹤汀 枫桥岭 兰皋 棠溪 "
    "梅坞 柳浦 桃源里 荷风 芦洲 雁回 燕来 鸥波 石泉湾 金穗 银杏坪 玉屏川 碧落 丹崖 紫塬 苍梧岭 沧浪 扶摇 "
    "凌云渡 朝晖 暮云 晨曦 霁月 清漪 澄江口 平沙 远岫 横波"
).split()
PROVINCES = dict(
    zip(
        "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65"
        " 66".split(),
        "北京 天津 河北 山西 内蒙古 辽宁 吉林 黑龙江 上海 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南"
        " 广东 广西 海南 重庆 四川 贵州 云南 西藏 陕西 甘肃 青海 宁夏 新疆 兵团".split(),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Vintage:
    """An instrument, its share of all that was issued, and when it is issued and counted off."""

    year: int
    code: str
    name: str
    trade_code: str
    billions: float  # of tonnes; the sum is scaled to TOTAL_ISSUED
    issues: tuple[tuple[date, float, str], ...]  # when, which share, 预分配 or 核定
    surrendered_on: date | None
    sectors: tuple[str, ...] = ("power",)


_EVERY_SECTOR = tuple(SECTORS)
VINTAGES = (
    Vintage(2020, "PE2021000025", "碳排放配额19-20", "CEA", 6.4,
            ((date(2021, 5, 17), 0.7, "YF"), (date(2021, 9, 30), 0.3, "HD")), date(2021, 12, 31)),
    Vintage(2021, "PE2023000031", "碳排放配额21", "CEA21", 3.6,
            ((date(2022, 5, 20), 0.7, "YF"), (date(2023, 8, 15), 0.3, "HD")), date(2023, 12, 29)),
    Vintage(2022, "PE2023000032", "碳排放配额22", "CEA22", 3.7,
            ((date(2023, 3, 30), 0.7, "YF"), (date(2023, 9, 28), 0.3, "HD")), date(2023, 12, 29)),
    Vintage(2023, "PE2024000041", "碳排放配额23", "CEA23", 3.8,
            ((date(2024, 4, 26), 0.7, "YF"), (date(2024, 10, 25), 0.3, "HD")), date(2024, 12, 31)),
    Vintage(2024, "PE2025000052", "碳排放配额24", "CEA24", 4.2,
            ((date(2025, 4, 18), 0.7, "YF"), (date(2025, 10, 17), 0.3, "HD")), date(2025, 12, 31),
            _EVERY_SECTOR),
    Vintage(2025, "PE2026000061", "碳排放配额25", "CEA25", 4.1,
            ((date(2026, 4, 10), 0.7, "YF"), (date(2026, 9, 25), 0.3, "HD")), None, _EVERY_SECTOR),
    Vintage(2026, "PE2026000062", "碳排放配额26（预分配）", "CEA26", 2.2,
            ((date(2026, 7, 1), 1.0, "YF"),), None, _EVERY_SECTOR),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was written, in rows and tonnes, and how long it took."""

    enterprises: int
    members: int
    applications: int
    notices: int
    postings: int
    movements: int
    issued: int
    business_time: datetime
    seconds: float


@dataclass(slots=True)
class Enterprise:
    """An enterprise, its one operator and what it has of each instrument, in tonnes."""

    id: int
    member_id: int
    member_no: str
    name: str
    uscc: str
    province: str
    sector: str
    size: float
    opened_on: date
    allows_exchange_transfer: bool
    issued: list[int] = field(default_factory=list)
    available: list[int] = field(default_factory=list)
    trading: list[int] = field(default_factory=list)
    course: str = ""  # what becomes of its surrender for the running year


def seed_national(owner_url: str, *, enterprises: int = 3400, until: date = LAST_DAY) -> Seeded:
    """Fill an installed, empty registry and set its clock to 10:00 of the next trading day.

    ``owner_url`` is the schema owner's.  All or nothing; raises RuleError where accounts are there
    already.  Needs an application context for the password's hash.
    """
    began = time.monotonic()
    hashed = passwords.hash_of(DEMO_PASSWORD)
    address = owner_url.replace("+psycopg", "", 1)
    with psycopg.connect(address) as connection:
        _require_empty(connection)
        # Applications come in the state they reached, their lines behind them.
        lines_stay = "TRIGGER submitted_lines_stay_added"
        connection.execute(f"ALTER TABLE application_line DISABLE {lines_stay}")
        # One sort a month of 200,000 entries; freed at the end of the transaction.
        connection.execute("SET LOCAL work_mem = '128MB'; SET LOCAL synchronous_commit = off")
        days, morning = _trading_days(connection, until)
        nation = Nation(connection, enterprises)
        nation.open_accounts(hashed)
        nation.live(days)
        nation.finish()
        _set_clock(connection, morning)
        connection.execute(f"ALTER TABLE application_line ENABLE {lines_stay}")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return nation.told(morning, time.monotonic() - began)


class Nation:
    """The rows of a nation, with the ids they will have; they are copied month by month."""

    def __init__(self, connection: psycopg.Connection, enterprises: int) -> None:
        self.connection = connection
        self.random = random.Random(SEED)  # noqa: S311 - made-up data, the same every time
        self.rows: dict[str, list[str]] = {table: [] for table in COPIED}
        self.postings = self.movements = self.applications = self.members = 0
        self.first_account = 101
        self.enterprises = _enterprises(self.random, enterprises, self.first_account)
        self.papers = Papers(self, VINTAGES)
        self.officers: dict[str, Person] = {}
        self.provinces: dict[str, Person] = {}

    # Who there is -------------------------------------------------------------------------------

    def open_accounts(self, hashed: str) -> None:
        """Write instruments, the venue, accounts and everybody who signs in."""
        for number, vintage in enumerate(VINTAGES, 1):
            self.add("instrument", number, vintage.code, vintage.name, vintage.year, "allowance")
            self.add("venue_instrument", 1, number, vintage.trade_code)
        self.add("venue", 1, "ZGW", "中股网")
        for one in self.enterprises:
            allows = "t" if one.allows_exchange_transfer else "f"
            self.add("account", one.id, one.member_no, one.name, "enterprise", one.uscc,
                     one.province, one.sector, allows, one.opened_on)  # fmt: skip
        roles = dict(self.connection.execute("SELECT name, id FROM ab_role").fetchall())
        for number, (login, name, role, account, province) in enumerate(self._people(), 1):
            email = f"{login}@members.invalid"
            self.add("ab_user", number, name, "", login, hashed, "t", email, account, province, "f")
            self.add("ab_user_role", number, number, roles[role])
            self.members = number
            if role == "province":
                self.provinces[str(province)] = Person(number, name)
            elif role != "enterprise":
                self.officers[login] = Person(number, name)
        for one in self.enterprises:
            if one.allows_exchange_transfer:
                at = f"{one.opened_on} 10:00:00+08"
                self.add("transfer_permission_change", one.id, "t", one.member_id, at, "127.0.0.1")
        self.copy()

    def _people(self) -> Iterator[tuple[str, str, str, object, object]]:
        """Return login, name, role, account and province; operators first, as `_enterprises` counts."""
        for one in self.enterprises:
            yield one.member_no, one.name, "enterprise", one.id, None
        for code, name in PROVINCES.items():
            yield f"P{code}", f"{name}主管部门", "province", None, code
        for officer in OFFICERS:
            yield officer.member_no, officer.name, officer.role, None, None

    # What happens -------------------------------------------------------------------------------

    def live(self, days: Sequence[date]) -> None:
        """Let the years before pass, then each trading day: issues, transfers, day-end, surrender."""
        occasions, past = _occasions(), FIRST_DAY - timedelta(1)
        for day in sorted(each for each in occasions if each <= past):
            self.issue(day)
            self.surrender(day)
        self.copy()
        for _month, month in groupby(days, key=lambda day: (day.year, day.month)):
            for day in month:
                due = sorted(each for each in occasions if past < each <= day)
                for occasion in due:
                    self.issue(occasion)
                self.transfers(day)
                for occasion in due:
                    self.surrender(occasion)
                self.papers.surrender_due(day)
                past = day
            self.copy()

    def issue(self, day: date) -> None:
        """Issue what is due on a day; with the last of the running year's come its notices."""
        for index, vintage in enumerate(VINTAGES):
            for on, share, kind in vintage.issues:
                if on != day:
                    continue
                for one in self.enterprises:
                    if quantity := int(one.issued[index] * share):
                        self.papers.issue(one, index, quantity, kind, day)
                if vintage.year == RUNNING and on == vintage.issues[-1][0]:
                    for one in self.enterprises:
                        self.papers.call_for(one, index)

    def surrender(self, day: date) -> None:
        """Surrender at the end of a compliance year most of what each enterprise has left."""
        for index, vintage in enumerate(VINTAGES):
            if vintage.surrendered_on == day:
                for one in self.enterprises:
                    self.papers.settle_year(one, index, day)

    def transfers(self, day: date) -> None:
        """Live through one trading day: transfers both ways until 15:00, then the day-end."""
        transit: dict[tuple[int, int, bool], int] = {}
        count = max(1, int(len(self.enterprises) * TRANSFERS))
        step = 21_000 / count  # seconds from 09:00 to 14:50
        for number in range(count):
            second = int(number * step)
            at = f"{day} {9 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}+08"
            one = self.enterprises[int(len(self.enterprises) * self.random.random() ** 1.6)]
            self.transfer(one, day, at, transit)
        self.settle(day, transit)

    def transfer(
        self, one: Enterprise, day: date, at: str, transit: dict[tuple[int, int, bool], int]
    ) -> None:
        """Ask for one transfer: mostly it goes through; some are withdrawn, some refused."""
        choice = self.random.random
        homeward = choice() < 0.45
        source = one.trading if homeward else one.available
        held = [index for index, quantity in enumerate(source) if quantity > 10]
        if not held:
            homeward, source = not homeward, one.available if homeward else one.trading
            held = [index for index, quantity in enumerate(source) if quantity > 10]
            if not held:
                return
        chosen = self.random.sample(held, 2) if len(held) > 1 and choice() < 0.04 else [
            held[int(len(held) * choice())]
        ]  # fmt: skip
        share = 0.05 + 0.45 * choice()
        lines = [(index, max(1, int(source[index] * share))) for index in chosen]
        by_exchange = homeward or choice() < 0.1
        refused = by_exchange and not homeward and not one.allows_exchange_transfer
        posting = self.apply(one, day, at, lines, homeward, by_exchange, refused)
        if refused:
            return
        if not by_exchange and choice() < 0.01:
            self.withdraw(one, at, lines, posting)
            return
        for index, quantity in lines:
            source[index] -= quantity
            key = (one.id, index, homeward)
            transit[key] = transit.get(key, 0) + quantity

    def apply(
        self,
        one: Enterprise,
        day: date,
        at: str,
        lines: Sequence[tuple[int, int]],
        homeward: bool,
        by_exchange: bool,
        refused: bool,
    ) -> int:
        """Write an application with its lines, events and posting; return the posting's id."""
        self.applications += 1
        id_, (kind, prefix) = self.applications, KIND_OF[homeward, by_exchange]
        number = f"{prefix}{day.year}{id_:08d}"
        person = None if by_exchange else one.member_id
        name = "交易系统" if by_exchange else one.name
        status = "refused" if refused else "pending_settlement"
        posting = 0
        if not refused:
            key = f"{kind}:{id_}:{Stage.SUBMISSION}:0"
            posting = self.post(kind, Stage.SUBMISSION, key, number, id_, None, person, at)
        self.add("application", id_, number, kind, one.id, status, 1, REASONS[id_ % len(REASONS)],
                 REFUSAL if refused else "", f"national:{id_}", person, at, person,
                 None if refused else at, None if refused else day, posting or None, "", None,
                 0)  # fmt: skip
        for event in ("save", "refuse" if refused else "submit"):
            self.add("application_event", id_, event, at, person, name, "",
                     REFUSAL if event == "refuse" else "")  # fmt: skip
        route = _HOMEWARD if homeward else _OUTWARD
        for index, quantity in lines:
            self.add("application_line", id_, index + 1, quantity, 1)
            if not refused:
                self.move(posting, at, index + 1, quantity, one.id, route[0], one.id, route[1])
        return posting

    def withdraw(
        self, one: Enterprise, at: str, lines: Sequence[tuple[int, int]], posting: int
    ) -> None:
        """Take the last application back: its posting is turned round."""
        number, kind = self.rows["application"][-1].split("\t")[1:3]
        row = self.rows["application"][-1].replace("\tpending_settlement\t1\t", "\twithdrawn\t2\t")
        self.rows["application"][-1] = row
        turned = self.post(kind, Stage.WITHDRAWAL, f"reverse:{posting}", number,
                           self.applications, posting, one.member_id, at)  # fmt: skip
        for index, quantity in lines:
            self.move(turned, at, index + 1, quantity, one.id, _OUTWARD[1], one.id, _OUTWARD[0])
        self.add("application_event", self.applications, "withdraw", at, one.member_id, one.name,
                 "", "")  # fmt: skip

    def settle(self, day: date, transit: dict[tuple[int, int, bool], int]) -> None:
        """Close a day: what is in transit reaches the other side, one movement a holding."""
        at = f"{day} 15:30:00+08"
        posting = None
        if transit:
            posting = self.post("day_end", Stage.SETTLEMENT, f"day_end:{day}", str(day), None, None,
                                None, at)  # fmt: skip
        told = [0, 0, 0, 0]
        for (account, index, homeward), quantity in sorted(transit.items()):
            route = _HOME if homeward else _OUT
            self.move(posting, at, index + 1, quantity, account, route[0], account, route[1])
            one = self.enterprises[account - self.first_account]
            (one.available if homeward else one.trading)[index] += quantity
            told[2 * homeward] += 1
            told[2 * homeward + 1] += quantity
        self.add("settlement_run", day, at, at, posting, *told)

    # Rows ---------------------------------------------------------------------------------------

    def post(
        self,
        business: str,
        stage: Stage,
        key: str,
        document: str,
        application: int | None,
        reverses: int | None,
        member: int | None,
        at: str,
    ) -> int:
        """Write a posting and return its id."""
        self.postings += 1
        self.add("posting", self.postings, business, stage, key, document, application, reverses,
                 member, at)  # fmt: skip
        return self.postings

    def move(
        self,
        posting: int,
        at: str,
        instrument: int,
        quantity: int,
        source: int,
        source_bucket: int,
        target: int,
        target_bucket: int,
    ) -> None:
        """Write a movement."""
        self.movements += 1
        self.rows["movement"].append(
            f"{self.movements}\t{posting}\t{at}\t{instrument}\t{quantity}"
            f"\t{source}\t{source_bucket:d}\t{target}\t{target_bucket:d}"
        )

    def add(self, table: str, *values: object) -> None:
        """Write a row; none of our texts holds a character that COPY reads specially."""
        self.rows[table].append("\t".join(r"\N" if v is None else str(v) for v in values))

    def copy(self) -> None:
        """Send what has gathered; postings come before their movements."""
        for table, columns in COPIED.items():
            rows = self.rows[table]
            if rows:
                with self.connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    copy.write("\n".join(rows))
                rows.clear()

    def finish(self) -> None:
        """Let the next ids follow on ours."""
        for table, columns in COPIED.items():
            if columns.startswith("id,"):
                self.connection.execute(
                    f"SELECT setval(s, greatest(nextval(s), (SELECT max(id) FROM {table})))"  # noqa: S608
                    f" FROM pg_get_serial_sequence('{table}', 'id') AS s"
                )

    def told(self, morning: datetime, seconds: float) -> Seeded:
        """Return the figures."""
        return Seeded(
            enterprises=len(self.enterprises),
            members=self.members,
            applications=self.applications,
            notices=self.papers.notices,
            postings=self.postings,
            movements=self.movements,
            issued=sum(
                int(one.issued[index] * share)
                for one in self.enterprises
                for index, vintage in enumerate(VINTAGES)
                for _on, share, _kind in vintage.issues
            ),
            business_time=morning,
            seconds=seconds,
        )


# The tables in the order of copying: who is referred to comes first.
COPIED = {
    "instrument": "id, code, name, vintage, kind",
    "venue": "id, code, name",
    "venue_instrument": "venue_id, instrument_id, trade_code",
    "account": "id, member_no, name, kind, uscc, province, sector, allows_exchange_transfer, opened_on",
    "ab_user": "id, first_name, last_name, username, password, active, email, account_id, province,"
    " must_change_password",
    "ab_user_role": "id, user_id, role_id",
    "transfer_permission_change": "account_id, is_allowed, changed_by, changed_at, ip",
    "notice": "id, number, account_id, year, obligation, deadline, issued_by, issued_at",
    "notice_instrument": "notice_id, instrument_id",
    "posting": "id, business, stage, request_key, document, application_id, reverses_id, member_id,"
    " recorded_at",
    "application": "id, number, kind, account_id, status, version, reason, refusal, request_key,"
    " created_by, created_at, submitted_by, submitted_at, settles_on, posting_id, category,"
    " notice_id, step",
    "application_line": "application_id, instrument_id, quantity, venue_id",
    "application_event": "application_id, action, at, member_id, member_name, ip, comment",
    "movement": "id, posting_id, at, instrument_id, quantity, from_account, from_bucket, to_account,"
    " to_bucket",
    "settlement_run": "day, at, recorded_at, posting_id, to_trading_holdings, to_trading_quantity,"
    " to_registry_holdings, to_registry_quantity",
}
KIND_OF = {  # (homeward, started by the exchange)
    (False, False): ("registry_to_trading", "DJ"),
    (False, True): ("exchange_registry_to_trading", "JD"),
    (True, True): ("trading_to_registry", "JJ"),
}
REASONS = ("履约后盈余配额交易", "年度交易计划", "补充交易持仓", "资金安排需要", "集团内统筹")
REFUSAL = "企业已关闭划转权限"
_OUTWARD = (int(Bucket.AVAILABLE), int(Bucket.PENDING_TO_TRADING))
_HOMEWARD = (int(Bucket.TRADING), int(Bucket.PENDING_TO_REGISTRY))
_OUT = (int(Bucket.PENDING_TO_TRADING), int(Bucket.TRADING))
_HOME = (int(Bucket.PENDING_TO_REGISTRY), int(Bucket.AVAILABLE))


def unified_code(province: str, serial: int) -> str:
    """Return a 统一社会信用代码 with both its check characters (GB 32100, GB 11714)."""
    body = f"{serial:08d}"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = -sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11
    code = f"91{province}0100{body}{'X' if rest == 10 else rest}"
    return code + _CODE_DIGITS[-sum(_CODE_DIGITS.index(c) * 3**n for n, c in enumerate(code)) % 31]


_CODE_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def _enterprises(chance: random.Random, count: int, first_account: int) -> list[Enterprise]:
    """Make up the enterprises; the first is the manual's, so that its login works here too."""
    codes = sorted(chance.choices(list(PROVINCES), weights=range(60, 28, -1), k=count))
    sectors = chance.choices(list(SECTORS), weights=list(SECTORS.values()), k=count)
    names: set[str] = set()
    found = []
    for number, (province, sector) in enumerate(zip(codes, sectors, strict=True)):
        opened_on = date(2021, 4, 23) if sector == "power" else date(2025, 3, 17)
        found.append(
            Enterprise(
                id=first_account + number,
                member_id=number + 1,
                member_no=f"{opened_on:%y%m%d}{number + 101:05d}",
                name=_name(chance, PROVINCES[province], sector, names),
                uscc=unified_code(province, 70_000_000 + number * 37),
                province=province,
                sector=sector,
                size=SIZES[sector] * chance.lognormvariate(0, 0.8),
                opened_on=opened_on,
                allows_exchange_transfer=chance.random() < 0.4,
            )
        )
    manual = next((one for one in found if one.province == "42"), found[0])
    manual.member_no, manual.name = MANUAL_MEMBER_NO, "市场通测试030207"
    manual.opened_on, manual.sector = date(2021, 4, 23), "power"
    _allot(found)
    return found


def _name(chance: random.Random, province: str, sector: str, taken: set[str]) -> str:
    for attempt in range(1, 1000):
        number = "" if attempt < 20 else f"第{attempt - 18}"
        name = f"{province}{chance.choice(PLACES)}{number}{chance.choice(SUFFIXES[sector])}有限公司"
        if name not in taken:
            taken.add(name)
            return name
    raise AssertionError("no names are left")


def _allot(enterprises: Sequence[Enterprise]) -> None:
    """Share each vintage out by size, to the sectors that have it."""
    scale = TOTAL_ISSUED / sum(vintage.billions for vintage in VINTAGES)
    for vintage in VINTAGES:
        sizes = [one.size if one.sector in vintage.sectors else 0.0 for one in enterprises]
        for one, size in zip(enterprises, sizes, strict=True):
            one.issued.append(int(scale * vintage.billions * size / sum(sizes)))
            one.available.append(0)
            one.trading.append(0)


def _occasions() -> set[date]:
    """Return the days on which something is issued or surrendered."""
    found = {day for vintage in VINTAGES for day, _share, _kind in vintage.issues}
    return found | {each.surrendered_on for each in VINTAGES if each.surrendered_on}


def _require_empty(connection: psycopg.Connection) -> None:
    connection.execute("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE")
    found = connection.execute(
        "SELECT FROM account WHERE id <> %s UNION ALL SELECT FROM posting LIMIT 1",
        [ISSUANCE_ACCOUNT_ID],
    ).fetchone()
    if found is not None:
        raise RuleError("The registry is not empty; `make reset` first", code="not_empty")


def _trading_days(connection: psycopg.Connection, until: date) -> tuple[list[date], datetime]:
    """Return the trading days of the year, and the morning of the one after them."""
    days = [
        day
        for (day,) in connection.execute(
            "SELECT day FROM trading_day WHERE is_trading AND day >= %s ORDER BY day", [FIRST_DAY]
        )
    ]
    past = [day for day in days if day <= until]
    following = days[len(past)]
    return past, datetime(following.year, following.month, following.day, 10, tzinfo=BEIJING)


def _set_clock(connection: psycopg.Connection, morning: datetime) -> None:
    connection.execute(
        "INSERT INTO business_clock (id, ahead) VALUES (1, %(ahead)s)"
        " ON CONFLICT (id) DO UPDATE SET ahead = excluded.ahead",
        {"ahead": morning - datetime.now(UTC)},
    )
