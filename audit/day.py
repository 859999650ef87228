"""The check of a day: everything since the last sealed day, in one snapshot; then the day is sealed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from psycopg import Connection, IsolationLevel

from audit import (
    banks,
    businesses,
    issued,
    names,
    package,
    reported,
    seal,
    settlements,
    totals,
    trades,
)
from audit.findings import Findings
from audit.names import Names
from audit.package import Verify
from audit.totals import Sealed, Sums, Totals


class NotAuditable(Exception):
    """A day cannot be checked; ``code`` says why: ``no_day``, ``later_day_sealed``, ``book_is_open``."""

    def __init__(self, code: str, day: date | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.day = day


@dataclass(slots=True)
class Report:
    """A day's check: what was counted, what was found, and the digest under which it stands sealed."""

    day: date
    was_sealed_before: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    trades: int = 0
    delivered: int = 0
    movements: int = 0
    pockets: int = 0
    findings: Findings = field(default_factory=Findings)
    digest: bytes = b""

    @property
    def agrees(self) -> bool:
        """Tell whether the books agree."""
        return not self.findings.counts


@dataclass(frozen=True, slots=True)
class _Books:
    """What a check stands on: the days sealed before, the range that it covers, and the sums."""

    day: date
    previous: Sealed | None
    sealed: Sealed | None  # this day, where it was sealed before
    first: int
    beyond: int
    before: Totals
    sums: Sums


def audit_day(connection: Connection, day: date | None, verify: Verify) -> Report:
    """Check a day, the last settled one unless given, and seal it where the books agree.

    A day that was sealed before is checked again and not sealed twice.  ``connection`` reads all tables
    and writes audit_day and audit_total; it is outside of any transaction.  Raises NotAuditable.
    """
    with _alone(connection):
        with _snapshot(connection):
            chosen = day or _last_settled_day(connection)
            books = _books(connection, chosen)
            report = _check(connection, books, verify)
        _seal(connection, books, report, is_opening=False)
    return report


def open_book(connection: Connection, day: date) -> Report:
    """Take over the ledger's totals as they are, as those of a day before the first one checked.

    Raises NotAuditable where the second book has a day already.
    """
    with _alone(connection):
        with _snapshot(connection):
            books = _books(connection, day)
            if books.previous or books.sealed:
                raise NotAuditable("book_is_open", day)
            report = Report(day, movements=books.sums.movements, pockets=len(books.sums.sealable))
            _check_totals(connection, books, names.read(connection), report.findings)
        _seal(connection, books, report, is_opening=True)
    return report


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let one check run at a time; the transaction that seals takes the same lock."""
    connection.autocommit = True
    connection.execute("SELECT pg_advisory_lock(7260018)")
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(7260018)")


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            connection.execute("SET LOCAL work_mem = '128MB'")
            yield
    finally:
        connection.isolation_level = None
        connection.read_only = None


def _last_settled_day(connection: Connection) -> date:
    row = connection.execute(
        "SELECT max(day) FROM (SELECT day FROM settlement_run UNION ALL SELECT p.day FROM day_package p"
        " JOIN settlement_stage s ON s.package_id = p.id AND s.stage = 'delivered') AS settled"
    ).fetchone()
    if row is None or row[0] is None:
        raise NotAuditable("no_day")
    found: date = row[0]
    return found


def _books(connection: Connection, day: date) -> _Books:
    days = totals.sealed_days(connection)
    sealed = next((each for each in days if each.day == day), None)
    if sealed is None and days and days[-1].day > day:
        raise NotAuditable("later_day_sealed", days[-1].day)
    previous = next((each for each in reversed(days) if each.day < day), None)
    first = previous.to_xid if previous else 0
    beyond = sealed.to_xid if sealed else totals.horizon(connection)
    return _Books(
        day, previous, sealed, first, beyond,
        before=totals.as_sealed(connection, previous.day) if previous else {},
        sums=totals.add_up(connection, first, beyond),
    )  # fmt: skip


def _check(connection: Connection, books: _Books, verify: Verify) -> Report:
    known = names.read(connection)
    report = Report(
        books.day,
        was_sealed_before=books.sealed is not None,
        movements=books.sums.movements,
        pockets=len(books.sums.sealable),
    )
    if books.sealed:
        report.digest = books.sealed.digest
    _check_totals(connection, books, known, report.findings)
    _check_chain(connection, books, report.findings)
    if books.sealed is not None and books.sealed.is_opening:
        return report
    _check_packages(connection, books, verify, known, report)
    businesses.check(connection, books.first, known, report.findings)
    issued.check(connection, books.first, known, report.findings)
    since = books.previous.day if books.previous else date.min
    banks.check(connection, since, books.day, report.findings)
    return report


def _check_totals(connection: Connection, books: _Books, known: Names, findings: Findings) -> None:
    sums = books.sums
    if books.previous:
        totals.compare("history_rewritten", books.before, sums.opening, known, findings)
    if books.sealed:
        as_sealed = totals.as_sealed(connection, books.day)
        totals.compare("history_rewritten", as_sealed, sums.sealable, known, findings)
        findings.compare("history_rewritten", "movements", books.sealed.movements, sums.movements)
    held = totals.holdings(connection)
    totals.compare("closing_differs", sums.current, held, known, findings)
    totals.check_conservation(held, known, findings)


def _check_chain(connection: Connection, books: _Books, findings: Findings) -> None:
    """Check that each day names the one before, and that the last ones are what their digest says."""
    last, beyond = b"", 0
    for each in totals.sealed_days(connection):
        key = each.day.isoformat()
        findings.compare("chain_broken", key, last.hex(), each.previous.hex())
        findings.compare("chain_broken", f"{key} from_xid", beyond, each.from_xid)
        last, beyond = each.digest, each.to_xid
    for sealed in (books.previous, books.sealed):
        if sealed is None:
            continue
        balances = totals.as_sealed(connection, sealed.day)
        again = seal.digest_again(sealed, balances)
        findings.compare("chain_broken", f"{sealed.day} digest", again.hex(), sealed.digest.hex())
        _compare_packages(connection, sealed, findings)


def _compare_packages(connection: Connection, sealed: Sealed, findings: Findings) -> None:
    rows = connection.execute(
        "SELECT concat(v.code, ' ', p.day), encode(sha256(p.file), 'hex')"
        " FROM day_package p JOIN venue v ON v.id = p.venue_id"
        " WHERE concat(v.code, ' ', p.day) = ANY(%s)",
        [list(sealed.packages)],
    ).fetchall()
    kept: dict[str, str] = dict(rows)
    for name, digest in sealed.packages.items():
        findings.compare("package_replaced", name, digest, kept.get(name, ""))


def _check_packages(
    connection: Connection, books: _Books, verify: Verify, known: Names, report: Report
) -> None:
    """Check the packages since the last sealed day, and earlier ones whose trades were posted since."""
    posted = trades.packages_posted(connection, books.first, report.findings)
    since = books.previous.day if books.previous else date.min
    ids = _package_ids(connection, since, books.day, sorted(posted))
    fresh: dict[date, list[trades.Checked]] = defaultdict(list)
    for each in package.read(connection, ids, verify, report.findings):
        checked = trades.check(connection, each, known, report.findings)
        settlements.check(connection, checked, verify, books.sums.current, known, report.findings)
        if each.day > since:
            fresh[each.day].append(checked)
        report.packages[each.name] = each.digest
        report.trades += len(checked.delivered) + len(checked.undelivered)
        report.delivered += len(checked.delivered)
    for day in fresh.values():
        reported.check(connection, day, books.first, books.sums.current, known, report.findings)


def _package_ids(
    connection: Connection, since: date, day: date, posted: Sequence[int]
) -> list[int]:
    rows = connection.execute(
        "SELECT id FROM day_package WHERE day <= %s AND (day > %s OR id = ANY(%s))",
        [day, since, posted],
    )
    return [each for (each,) in rows]


def _seal(connection: Connection, books: _Books, report: Report, *, is_opening: bool) -> None:
    """Seal a day whose books agree, unless it was sealed before."""
    if books.sealed or not report.agrees:
        return
    previous = books.previous.digest if books.previous else b""
    balances = books.sums.sealable
    report.digest = seal.digest_of(
        previous, books.day, books.first, books.beyond, report.movements, report.packages, balances
    )
    sealed = Sealed(
        books.day, is_opening, books.first, books.beyond, report.movements, report.packages,
        previous, report.digest,
    )  # fmt: skip
    with connection.transaction():
        seal.write(connection, sealed, books.before, balances)
