"""The `flask` commands: installation, demonstration, day-end, and verification."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select, text

from app import installation
from app.audit_command import audit_day_command
from app.commands import command, option
from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import STATUS_TITLES, Status
from app.extensions import db, transaction
from app.foreign_commands import refuse_foreign
from app.installation import demo
from app.models import Account, Member
from app.operations.accounts import operators
from app.operations.applications import evidence, unsubmitted
from app.operations.applications.verification import verify_signatures
from app.operations.exchange import trading
from app.operations.ledger import settlement
from app.operations.people import certificates, deed_verification, deeds, officers
from app.operations.people.members import NewMember, register_member
from app.operations.people.passwords import first_password
from app.operations.records import calendar, clock, log, personal_data
from app.operations.records import log_head as log_heads
from app.operations.records.actor import SYSTEM
from app.operations.settlement import large_holdings
from app.pki.errors import SignerAbsent
from app.security import production
from app.security.roles import ROLES

AFTER_CLOSE = time(15, 30)


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    for each in (
        init,
        seed,
        demo_logins,
        add_member,
        issue_codes,
        clock_command,
        settle_day,
        exchange_transfer,
        seal,
        verify_ledger,
        audit_day_command,
        worker_command,
        sweep_files,
        publish_crl,
        export_evidence,
        seal_log,
        log_head,
        verify_log,
        verify_installation,
        rotate_personal_data,
        new_command,
    ):
        app.cli.add_command(each)
    refuse_foreign(app)


@command(
    "init", _("Migrate, grant privileges, fill the calendar, write the roles. Safe to repeat.")
)
def init() -> None:
    """Migrate, grant privileges, fill the calendar, write the roles.  Safe to repeat.

    In production the database refuses unsigned acts from then on; a demonstration's is seeded first.
    """
    installation.install()
    if current_app.config["SETTINGS"].is_production:
        installation.note_mode()
    click.echo(gettext("ready"))


@command("seed", _("Fill an empty registry with demonstration data; never in production."))
def seed() -> None:
    """Fill an empty registry with demonstration data; never in production."""
    _require_demo()
    installation.install()
    done = demo.seed_once()
    installation.note_mode()
    click.echo(
        gettext("seeded") if done else gettext("There are data already; nothing was changed")
    )


@command("demo-logins", _("Print the demonstration's logins, one of each role."))
@option("--json", "as_json", is_flag=True, help=_("A list of {role, login, password}."))
def demo_logins(as_json: bool) -> None:
    """Print the demonstration's logins, one of each role."""
    _require_demo()
    found = demo.logins()
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for each in found:
        click.echo(f"{each['role']}\t{each['login']}\t{each['password']}")


@command(
    "add-member", _("Register a person and print the first password, which is shown this once.")
)
@click.argument("number")
@click.argument("name")
@option("--role", type=click.Choice(list(ROLES)), required=True)
@option("--province", help=_("GB/T 2260, for a provincial authority: 42"))
@option("--account", "account_no", help=_("Member number of the enterprise whose operator this is"))
@option("--email", default="", help=_("Where the first letters go."))
@option("--phone", default="", help=_("Where the authorisation code goes."))
def add_member(
    number: str,
    name: str,
    role: str,
    province: str | None,
    account_no: str | None,
    email: str,
    phone: str,
) -> None:
    """Register a person, such as a new installation's first administrators.

    Prints a password that is shown this once and has to be changed at the first sign-in.
    """
    person = _person(name, phone, email)
    password = first_password()
    with transaction():
        account_id = _account_of(number, account_no) if account_no else None
        newcomer = NewMember(number, role=role, account_id=account_id, province=province, **person)
        if account_id is None:
            officers.require_fitting(newcomer)
        register_member(newcomer, password)
        log.record(SYSTEM, "member.add", subject=number, account_id=account_id, role=role)
    label = gettext(
        "First password of %(number)s %(name)s, shown this once; it has to be changed at the first"
        " sign-in:",
        number=number,
        name=person["name"],
    )
    click.echo(label, err=True)
    click.echo(password)


def _person(name: str, phone: str, email: str) -> dict[str, str]:
    """Return name, telephone and address as a page reads them.  Raises RuleError with its messages."""
    titles = {"name": _("Name"), "phone": _("Mobile phone"), "email": _("E-mail")}
    typed = {"name": name, "phone": phone, "email": email}
    values, wrong = operators.read(**typed)
    for field, message in wrong.items():
        if typed[field] or field == "name":  # The other two may be left out.
            raise RuleError(_("%(field)s: %(problem)s", field=titles[field], problem=message))
    return {field: values.get(field, "") for field in titles}


def _account_of(number: str, account_no: str) -> int:
    """Return the account whose person this is to be.  Raises RuleError for a number of others."""
    found = db.session.scalar(select(Account.id).where(Account.member_no == account_no))
    if found is None:
        raise RuleError(_("There is no account %(number)s", number=account_no))
    if not re.fullmatch(rf"{re.escape(account_no)}(-\d\d)?", number, re.ASCII):
        raise RuleError(
            _("A number of this enterprise is %(number)s, or ends with - and two digits",
              number=account_no)
        )  # fmt: skip
    return found


@command(
    "issue-codes",
    _("Print the two codes of a person's first certificate; hand them over separately."),
)
@click.argument("number")
@click.option(
    "--bootstrap",
    type=click.File(),
    help="Where the word of `python -m app.pki.ceremony bootstrap` is; - reads what is typed.",
)
def issue_codes(number: str, bootstrap: Any) -> None:
    """Give an administrator, by number, the two codes of a first certificate: hand them over separately.

    For a new installation's first 系统管理员 and first 安全管理员 alone, who sign for everybody else.
    """
    evidence = deeds.by_bootstrap(_word(bootstrap)) if bootstrap else None
    with transaction():
        member = db.session.scalar(select(Member).where(Member.username == number))
        if member is None:
            raise RuleError(_("There is no member %(number)s", number=number))
        codes = certificates.open_enrolment(
            member.id, SYSTEM, now=datetime.now(UTC), evidence=evidence
        )
        name = member.first_name
    label = gettext(
        "Reference number and authorisation code of %(number)s %(name)s, for a certificate at"
        " %(address)s; good once, until %(time)s. Hand them over separately:",
        number=number,
        name=name,
        address=f"{current_app.config['SITE_URL']}/certificate/",
        time=f"{codes.expires_at.astimezone(BEIJING):%Y-%m-%d %H:%M}",
    )
    click.echo(label, err=True)
    click.echo(f"{codes.reference} {codes.code}")


def _word(file: Any) -> str:
    """Return the bootstrap's word, the first line of a file.  Raises RuleError where there is none."""
    try:
        found = str(file.readline().strip())
    except ValueError:
        found = ""
    if not found:
        raise RuleError(_("There is no word of the bootstrap in the file"))
    return found


@command("clock", _("Show the business clock; in a demonstration, move it."))
@option("--set", "moment", metavar="TIME", help=_("2026-11-23 10:00, or 14:59 of the same day."))
def clock_command(moment: str | None) -> None:
    """Show the business clock, or move it where it is the demonstration's own."""
    if moment:
        with transaction():
            clock.set_to(_moment(moment, clock.now().date()), SYSTEM)
    click.echo(f"{clock.now():%Y-%m-%d %H:%M:%S}")


@command("settle-day", _("Settle a trading day; a second run changes nothing."))
@option("--date", "day", metavar="YYYY-MM-DD", help=_("The trading day; today unless given."))
@option("--as-of", "as_of", metavar="TIME", help=_("The business time of the run."))
@option(
    "--yes", "may_skip", is_flag=True, help=_("Settle even where an earlier day is not settled.")
)
def settle_day(day: str | None, as_of: str | None, may_skip: bool) -> None:
    """Settle a trading day; a second run changes nothing.

    Asks where trading days before it were not settled, since they cannot be settled afterwards.
    Where the clock is its own, the day is brought to its close first and, afterwards, to the next
    trading day's morning.
    """
    now = clock.now()
    if day is None and clock.has_own_clock() and not calendar.is_trading_day(now.date()):
        chosen = calendar.last_trading_day(now.date())
    else:
        chosen = _day(day) if day else now.date()
    at = _moment(as_of, chosen) if as_of else now
    if as_of and not clock.has_own_clock() and at > now:
        raise RuleError(_("%(time)s is still to come", time=f"{at:%Y-%m-%d %H:%M:%S}"))
    if not as_of and clock.has_own_clock():
        at = max(now, datetime.combine(chosen, AFTER_CLOSE, tzinfo=BEIJING))
    done = _settled(chosen, at, may_skip=may_skip)
    with transaction():
        large_holdings.find(chosen, SYSTEM, now=at)
    with transaction():
        db.session.execute(text("SELECT seal_movements()"))  # needs the committed movements
        log.seal()
    if clock.has_own_clock() and not done.was_settled_before:
        with transaction():
            morning = datetime.combine(
                calendar.next_trading_day(chosen), clock.MORNING, tzinfo=BEIJING
            )
            clock.set_to(max(morning, now), SYSTEM)
    click.echo(_summary(done))


def _settled(day: date, at: datetime, *, may_skip: bool) -> settlement.Settlement:
    """Settle a day; where earlier ones are not settled, ask at a terminal, else refuse."""
    try:
        with transaction():
            return settlement.settle_day(day, SYSTEM, now=at, may_skip=may_skip)
    except settlement.DaysSkipped as skipped:
        if not _is_asked():
            raise
        question = gettext("Settle %(day)s all the same?", day=day)
        if not click.confirm(f"{skipped}\n{question}"):
            raise RuleError(_("Nothing was settled")) from skipped
    with transaction():
        return settlement.settle_day(day, SYSTEM, now=at, may_skip=True)


def _is_asked() -> bool:
    """Tell whether somebody sits at a terminal and can answer."""
    return sys.stdin.isatty()


@command(
    "exchange-transfer",
    _("Carry out transfers that the exchange starts: one by options, or a JSON list in a file."),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@option("--request-no", default="", help=_("The exchange's own number; carried out once."))
@option("--direction", type=click.Choice(["in", "out"]), help=_("in: registry to trading."))
@option("--member", "member_no", default="", help=_("Member number"))
@option("--instrument", "instrument_code", default="", help=_("Instrument code"))
@option("--quantity", default="", help=_("Whole tonnes."))
@option("--venue", "venue_code", default="ZGW", show_default=True, help=_("Trading venue"))
@option("--json", "as_json", is_flag=True, help=_("Answer with a JSON list, for programs."))
def exchange_transfer(file: Path | None, as_json: bool, **options: str) -> None:
    """Carry out transfers that the trading side starts: one by options, or a JSON list in FILE.

    Where any row is wrong, all wrong ones are named and none is carried out.
    """
    with transaction():
        requests, wrong = trading.read_requests(_listed(file) if file else [options])
        if wrong:
            raise RuleError(_faults(wrong, with_rows=file is not None))
        answers = trading.receive_transfers(requests, now=clock.now())
    if as_json:
        shown = ("request_no", "number", "status", "refusal")
        found = [{name: getattr(each, name) for name in shown} for each in answers]
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for each in answers:
        status = STATUS_TITLES[Status(each.status)]
        click.echo(f"{each.request_no}\t{each.number}\t{status}\t{each.refusal}")


def _faults(wrong: Sequence[tuple[int, str]], *, with_rows: bool) -> str:
    """Return every fault of the requests, one a line."""
    if not with_rows:
        return "\n".join(message for _row, message in wrong)
    lines = [
        gettext("Row %(row)s: %(message)s", row=row, message=message) for row, message in wrong
    ]
    rows = len({row for row, _message in wrong})
    return "\n".join(
        [gettext("%(count)s rows are wrong; no transfer was carried out", count=rows), *lines]
    )


def _listed(file: Path) -> list[dict[str, Any]]:
    """Parse a JSON list of objects."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RuleError(_("%(file)s is not a JSON list of requests", file=file.name))
    return rows


@command("seal", _("Seal the movements so far into the hash chain."))
def seal() -> None:
    """Seal the movements so far into the hash chain."""
    with transaction():
        sealed = db.session.scalar(text("SELECT seal_movements()"))
    click.echo(gettext("%(count)s sealed", count=sealed))


@command("publish-crl", _("Publish the list of revoked certificates."))
def publish_crl() -> None:
    """Publish the list of revoked certificates; the worker does it whenever one is due."""
    with transaction():
        number = certificates.publish_crl(SYSTEM, now=datetime.now(UTC)).number
    click.echo(gettext("Revocation list %(number)s was published", number=number))


@command("verify-ledger", _("Recompute every balance from the entries; exit with 1 on any fault."))
def verify_ledger() -> None:
    """Recompute every balance from the entries; exit with 1 and the offending keys on any fault."""
    from app.operations.ledger import verification

    report = verification.verify_ledger()
    verification.verify_routes(report)
    for name in _COUNTED:
        click.echo(f"{name}: {getattr(report, name)}")
    for fault in report.faults:
        click.echo(f"FAULT {fault.check}: {fault.key}", err=True)
    _conclude(report.totals.total())


_COUNTED = (
    "holdings",
    "postings",
    "movements",
    "entries",
    "sealed_blocks",
    "unsealed_movements",
    "last_root",
)


@command(
    "export-evidence",
    _("Write the signatures of an application, for an auditor who has openssl alone."),
)
@click.argument("application")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--certificate", is_flag=True, help="Of a certificate, by its serial number.")
def export_evidence(application: str, folder: Path | None, certificate: bool) -> None:
    """Write the signatures of an application, by its number, for an auditor who has openssl alone.

    FOLDER is made where it is not there; evidence-<number> here unless given.
    """
    target = folder or Path(f"evidence-{application}")
    export = evidence.export_deeds if certificate else evidence.export
    for path in export(application, target):
        click.echo(path)


@command("seal-log", _("Seal the rows of both logs so far into their hash chain."))
def seal_log() -> None:
    """Seal the rows of both logs so far into their hash chain."""
    with transaction():
        sealed = log.seal()
    click.echo(gettext("%(count)s sealed", count=sealed))


_HEADS = option(
    "--folder",
    type=click.Path(path_type=Path),
    help=_("Where the head files are; the profile's own folder unless given."),
)


@command(
    "log-head",
    _("Seal the logs, and write the day's head as a signed file, to be kept on another machine."),
)
@_HEADS
def log_head(folder: Path | None) -> None:
    """Seal the logs, and write the day's head as a signed file, to be kept on another machine."""
    with transaction():
        log.seal()
    name, sign, public_key = _seal_key()
    authority = Path(current_app.config["CA_FOLDER"])
    journal = log_heads.journal_of(authority) if name == "seal" else None
    path = log_heads.write(folder or _heads_folder(), sign, now=clock.now(), journal=journal)
    (path.parent / f"{name}.pub").write_bytes(public_key)
    if name == "file":
        click.echo(
            gettext("Signed with a key in a file, since the signing process does not answer"),
            err=True,
        )
    click.echo(path)


@command(
    "verify-log",
    _("Recompute the logs' chain and compare it with the heads; exit with 1 on any fault."),
)
@_HEADS
@option(
    "--key",
    type=click.Path(path_type=Path),
    help=_("The seal key's public half, kept elsewhere; those beside the heads unless given."),
)
def verify_log(folder: Path | None, key: Path | None) -> None:
    """Recompute the logs' chain and compare it with the heads, and verify every signature.

    Exits with 1 and names what is wrong.
    """
    folder = folder or _heads_folder()
    public_keys = [path.read_bytes() for path in ([key] if key else folder.glob("*.pub"))]
    heads, forged = log_heads.read(folder, *public_keys)
    report = log.verify_log(heads)
    for name in forged:
        report.add("log_head", gettext("%(file)s: the signature does not hold", file=name))
    checked = verify_signatures(report)
    for key in deed_verification.faults():
        report.add("deed", key)
    for name in ("blocks", "sealed_rows", "unsealed_rows", "heads", "last_root"):
        click.echo(f"{name}: {getattr(report, name)}")
    click.echo(f"signed_events: {checked.events}")
    click.echo(f"signatures: {checked.signatures}")
    for fault in report.faults:
        click.echo(f"FAULT {fault.check}: {fault.key}", err=True)
    _conclude(report.totals.total())


def _conclude(faults: int) -> None:
    """Print the number of faults, for programs and for people; exit with 1 where there are any."""
    click.echo(f"faults: {faults}")
    if faults:
        click.echo(gettext("%(count)s faults were found, see above", count=faults), err=True)
        sys.exit(1)
    click.echo(gettext("No fault was found"))


@command(
    "verify-installation",
    _("Tell all for which production refuses to serve; exit with 1 on any fault."),
)
def verify_installation() -> None:
    """Tell all for which production refuses to serve, every member's password tried; exit with 1."""
    found = production.faults(current_app, demo.DEMO_PASSWORD, every_member=True)
    for fault in found:
        click.echo(f"FAULT {fault}", err=True)
    _conclude(len(found))


def _heads_folder() -> Path:
    return current_app.config["SETTINGS"].folder / "log-heads"


def _seal_key() -> tuple[str, log_heads.Sign, bytes]:
    """Return the seal key's name, signing function and public key; the file key without a signing process."""
    try:
        return "seal", *log_heads.seal_key(Path(current_app.config["CA_FOLDER"]))
    except SignerAbsent:
        path = current_app.config["SETTINGS"].folder / "log-head-key.pem"
        return "file", *log_heads.file_key(path)


@command("rotate-personal-data", _("Encrypt anew, under the current key, what an older one wrote."))
def rotate_personal_data() -> None:
    """Encrypt anew, under the current key, what an older one wrote."""
    total = 0
    while True:
        with transaction():
            changed = personal_data.rotate()
        if not changed:
            break
        total += changed
    click.echo(gettext("%(count)s values were encrypted anew", count=total))


@command("sweep-files", _("Delete the files of forms that were never saved."))
def sweep_files() -> None:
    """Delete the files of forms that were never saved, as the worker does by itself."""
    total = 0
    swept = unsubmitted.SWEPT_AT_ONCE
    while swept == unsubmitted.SWEPT_AT_ONCE:
        with transaction():
            swept = unsubmitted.sweep(now=clock.now())
        total += swept
    click.echo(gettext("%(count)s files were deleted", count=total))


@command(
    "worker", _("Deliver messages and work through jobs, until stopped; several may run at once.")
)
@option("--parent", type=int, default=0, hidden=True, help=_("End when this process is gone."))
def worker_command(parent: int) -> None:
    """Deliver messages and work through jobs, until stopped; several may run at once."""
    from app import worker  # loads the queue's client, which only this command needs

    application = current_app._get_current_object()  # type: ignore[attr-defined]
    also = []
    if application.config["SETTINGS"].has_demo_market:
        from app.installation import demo_day

        also.append(worker.Periodic("demo_day", "* * * * * */1", demo_day.advance))
    worker.run(application, parent=parent, also=also)


@command("new", _("Write the files of a page of reference data, or of a kind of application."))
@click.argument("what", type=click.Choice(["reference", "kind"]))
@click.argument("name")
@option("--title", required=True, help=_("In English: the page's, such as Fuel types."))
@option("--chinese", required=True, help=_("The same in Chinese."))
@option(
    "--prefix", default="", help=_("Two capital letters that the numbers of a kind begin with.")
)
def new_command(what: str, name: str, title: str, chinese: str, prefix: str) -> None:
    """Write the files of a page of reference data, or of a kind of application, to go on from."""
    if current_app.config["SETTINGS"].is_production:
        raise RuleError(_("Code is written where it is tested, not in production"))
    from tools import new  # not installed in production

    try:
        asked = new.New(name, title, chinese, prefix)
        written = new.reference(asked) if what == "reference" else new.kind(asked)
    except new.NotPossible as error:
        raise RuleError(str(error)) from error
    click.echo("\n".join(written))


def _require_demo() -> None:
    if current_app.config["SETTINGS"].is_production:
        raise RuleError(_("Demonstration data are not for production"))


def _summary(done: settlement.Settlement) -> str:
    if done.was_settled_before:
        return gettext("%(day)s was settled before; nothing was changed", day=done.day)
    return gettext(
        "%(day)s is settled: %(to_trading)s tonnes of %(sending)s holdings went to trading,"
        " %(to_registry)s tonnes of %(receiving)s holdings to the registry",
        day=done.day,
        to_trading=done.to_trading_quantity,
        sending=done.to_trading_holdings,
        to_registry=done.to_registry_quantity,
        receiving=done.to_registry_holdings,
    )


def _day(typed: str) -> date:
    try:
        return date.fromisoformat(typed)
    except ValueError:
        raise RuleError(_("%(typed)s is not a date like 2026-11-20", typed=typed)) from None


_YEARS = range(2000, 2100)  # in which a business time may lie


def _moment(typed: str, day: date) -> datetime:
    """Parse a time of ``day`` or a full date and time, in Beijing unless it names a zone."""
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?", typed.strip()):
            return datetime.combine(day, time.fromisoformat(typed.strip().zfill(5)), tzinfo=BEIJING)
        moment = datetime.fromisoformat(typed.strip())
        if moment.year not in _YEARS:
            raise ValueError
    except ValueError:
        raise RuleError(
            _("%(typed)s is not a time like 14:59 or 2026-11-20 14:59", typed=typed)
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
