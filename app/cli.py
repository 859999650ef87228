"""The `flask` commands: installation, demonstration, day-end, and verification."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from functools import wraps
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_babel import gettext as _
from sqlalchemy import select, text

from app import installation
from app.domain.errors import RuleError
from app.domain.moves import whole_tonnes
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.foreign_commands import refuse_foreign
from app.installation import demo
from app.models import Account, Member
from app.operations.applications import evidence
from app.operations.applications.verification import verify_signatures
from app.operations.exchange import trading
from app.operations.ledger import settlement
from app.operations.people import certificates
from app.operations.people.members import NewMember, register_member
from app.operations.people.passwords import first_password
from app.operations.records import calendar, clock, log, personal_data
from app.operations.records import log_head as log_heads
from app.operations.records.actor import SYSTEM
from app.pki.errors import SignerAbsent
from app.security import production
from app.security.roles import ROLES
from config import ConfigurationError

AFTER_CLOSE = time(15, 30)


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    for command in (
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
        worker_command,
        publish_crl,
        export_evidence,
        seal_log,
        log_head,
        verify_log,
        verify_installation,
        rotate_personal_data,
        new_command,
    ):
        app.cli.add_command(command)
    refuse_foreign(app)


def _command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command with application context that reports a refusal in one line and exits with 1."""

    def declared(function: Callable[..., Any]) -> click.Command:
        return click.command(name)(with_appcontext(_report_refusals(function)))

    return declared


def _report_refusals(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (RuleError, ConfigurationError) as error:
            raise click.ClickException(str(error)) from error

    return reporting


@_command("init")
def init() -> None:
    """Migrate, grant privileges, fill the calendar, write the roles.  Safe to repeat.

    In production the database refuses unsigned acts from then on; a demonstration's is seeded first.
    """
    installation.install()
    if current_app.config["SETTINGS"].is_production:
        installation.note_mode()
    click.echo("ready")


@_command("seed")
def seed() -> None:
    """Fill an empty registry with demonstration data; never in production."""
    _require_demo()
    installation.install()
    click.echo("seeded" if demo.seed_once() else "there already")
    installation.note_mode()


@_command("demo-logins")
@click.option("--json", "as_json", is_flag=True, help="A list of {role, login, password}.")
def demo_logins(as_json: bool) -> None:
    """Print the demonstration's logins, one of each role."""
    _require_demo()
    found = demo.logins()
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for each in found:
        click.echo(f"{each['role']}\t{each['login']}\t{each['password']}")


@_command("add-member")
@click.argument("number")
@click.argument("name")
@click.option("--role", type=click.Choice(list(ROLES)), required=True)
@click.option("--province", help="GB/T 2260, for a provincial authority: 42")
@click.option("--account", "account_no", help="会员编号 of the enterprise whose operator this is")
@click.option("--email", default="", help="Where the first letters go.")
@click.option("--phone", default="", help="Where the authorisation code goes.")
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
    password = first_password()
    with transaction():
        account_id = None
        if account_no:
            account_id = db.session.scalar(
                select(Account.id).where(Account.member_no == account_no)
            )
            if account_id is None:
                raise RuleError(_("There is no account %(number)s", number=account_no))
        register_member(NewMember(number, name, role, account_id, province, email, phone), password)
        log.record(SYSTEM, "member.add", subject=number, account_id=account_id, role=role)
    click.echo(password)


@_command("issue-codes")
@click.argument("number")
def issue_codes(number: str) -> None:
    """Give a person, by number, the two codes of a first certificate: hand them over separately.

    For a new installation's first administrators, who have the codes sent to everybody else by the
    page of members; a replacement needs two.
    """
    with transaction():
        member = db.session.scalar(select(Member).where(Member.username == number))
        if member is None:
            raise RuleError(_("There is no member %(number)s", number=number))
        codes = certificates.open_enrolment(member.id, SYSTEM, now=datetime.now(UTC))
    click.echo(f"{codes.reference} {codes.code}")


@_command("clock")
@click.option("--set", "moment", metavar="TIME", help="2026-11-23 10:00, or 14:59 of the same day.")
def clock_command(moment: str | None) -> None:
    """Show the business clock, or move it where it is the demonstration's own."""
    if moment:
        with transaction():
            clock.set_to(_moment(moment, clock.now().date()), SYSTEM)
    click.echo(f"{clock.now():%Y-%m-%d %H:%M:%S}")


@_command("settle-day")
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The trading day; today unless given.")
@click.option("--as-of", "as_of", metavar="TIME", help="The business time of the run.")
def settle_day(day: str | None, as_of: str | None) -> None:
    """Settle a trading day; a second run changes nothing.

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
    with transaction():
        done = settlement.settle_day(chosen, SYSTEM, now=at)
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


@_command("exchange-transfer")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--request-no", default="", help="The exchange's own number; carried out once.")
@click.option("--direction", type=click.Choice(["in", "out"]), help="in: registry to trading.")
@click.option("--member", "member_no", default="", help="会员编号")
@click.option("--instrument", "instrument_code", default="", help="标的编码")
@click.option("--quantity", default="", help="Whole tonnes.")
@click.option("--venue", "venue_code", default="ZGW", show_default=True)
def exchange_transfer(file: Path | None, **options: str) -> None:
    """Carry out transfers that the trading side starts: one by options, or a JSON list in FILE."""
    rows = _listed(file) if file else [options]
    requests = [
        trading.TransferRequest(
            **{name: str(row.get(name) or "") for name in _REQUEST_FIELDS},
            quantity=whole_tonnes(str(row.get("quantity") or "")),
        )
        for row in rows
    ]
    with transaction():
        answers = trading.receive_transfers(requests, now=clock.now())
    for answer in answers:
        click.echo(f"{answer.request_no}\t{answer.number}\t{answer.status}\t{answer.refusal}")


def _listed(file: Path) -> list[dict[str, Any]]:
    """Parse a JSON list of objects."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RuleError(_("%(file)s is not a JSON list of requests", file=file.name))
    return rows


_REQUEST_FIELDS = ("request_no", "direction", "member_no", "instrument_code", "venue_code")


@_command("seal")
def seal() -> None:
    """Seal the movements so far into the hash chain."""
    with transaction():
        sealed = db.session.scalar(text("SELECT seal_movements()"))
    click.echo(f"sealed {sealed}")


@_command("publish-crl")
def publish_crl() -> None:
    """Publish the list of revoked certificates; the worker does it whenever one is due."""
    with transaction():
        number = certificates.publish_crl(SYSTEM, now=datetime.now(UTC)).number
    click.echo(f"published {number}")


@_command("verify-ledger")
def verify_ledger() -> None:
    """Recompute every balance from the entries; exit with 1 and the offending keys on any fault."""
    from app.operations.ledger import verification

    report = verification.verify_ledger()
    verification.verify_routes(report)
    for name in _COUNTED:
        click.echo(f"{name}: {getattr(report, name)}")
    for fault in report.faults:
        click.echo(f"FAULT {fault.check}: {fault.key}", err=True)
    click.echo(f"faults: {report.totals.total()}")
    if not report.is_sound:
        sys.exit(1)


_COUNTED = (
    "holdings",
    "postings",
    "movements",
    "entries",
    "sealed_blocks",
    "unsealed_movements",
    "last_root",
)


@_command("export-evidence")
@click.argument("application")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
def export_evidence(application: str, folder: Path | None) -> None:
    """Write the signatures of an application, by its number, for an auditor who has openssl alone.

    FOLDER is made where it is not there; evidence-<number> here unless given.
    """
    target = folder or Path(f"evidence-{application}")
    for path in evidence.export(application, target):
        click.echo(path)


@_command("seal-log")
def seal_log() -> None:
    """Seal the rows of both logs so far into their hash chain."""
    with transaction():
        sealed = log.seal()
    click.echo(f"sealed {sealed}")


_HEADS = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the head files are; the profile's own folder unless given.",
)


@_command("log-head")
@_HEADS
def log_head(folder: Path | None) -> None:
    """Seal the logs, and write the day's head as a signed file, to be kept on another machine."""
    with transaction():
        log.seal()
    name, sign, public_key = _seal_key()
    path = log_heads.write(folder or _heads_folder(), sign, now=clock.now())
    (path.parent / f"{name}.pub").write_bytes(public_key)
    if name == "file":
        click.echo("signed by a key in a file: no signing process answers", err=True)
    click.echo(path)


@_command("verify-log")
@_HEADS
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The seal key's public half, kept elsewhere; those beside the heads unless given.",
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
        report.add("log_head", f"{name}: the signature does not hold")
    checked = verify_signatures(report)
    for name in ("blocks", "sealed_rows", "unsealed_rows", "heads", "last_root"):
        click.echo(f"{name}: {getattr(report, name)}")
    click.echo(f"signed_events: {checked.events}")
    click.echo(f"signatures: {checked.signatures}")
    for fault in report.faults:
        click.echo(f"FAULT {fault.check}: {fault.key}", err=True)
    click.echo(f"faults: {report.totals.total()}")
    if not report.is_sound:
        sys.exit(1)


@_command("verify-installation")
def verify_installation() -> None:
    """Tell all for which production refuses to serve, every member's password tried; exit with 1."""
    found = production.faults(current_app, demo.DEMO_PASSWORD, every_member=True)
    for fault in found:
        click.echo(f"FAULT {fault}", err=True)
    click.echo(f"faults: {len(found)}")
    if found:
        sys.exit(1)


def _heads_folder() -> Path:
    return current_app.config["SETTINGS"].folder / "log-heads"


def _seal_key() -> tuple[str, log_heads.Sign, bytes]:
    """Return the seal key's name, signing function and public key; the file key without a signing process."""
    try:
        return "seal", *log_heads.seal_key(Path(current_app.config["CA_FOLDER"]))
    except SignerAbsent:
        path = current_app.config["SETTINGS"].folder / "log-head-key.pem"
        return "file", *log_heads.file_key(path)


@_command("rotate-personal-data")
def rotate_personal_data() -> None:
    """Encrypt anew, under the current key, what an older one wrote."""
    total = 0
    while True:
        with transaction():
            changed = personal_data.rotate()
        if not changed:
            break
        total += changed
    click.echo(f"encrypted {total}")


@_command("worker")
@click.option("--parent", type=int, default=0, hidden=True, help="End when this process is gone.")
def worker_command(parent: int) -> None:
    """Deliver messages and work through jobs, until stopped; several may run at once."""
    from app import worker  # loads the queue's client, which only this command needs

    application = current_app._get_current_object()  # type: ignore[attr-defined]
    worker.run(application, parent=parent)


@_command("new")
@click.argument("what", type=click.Choice(["reference", "kind"]))
@click.argument("name")
@click.option("--title", required=True, help="In English: the page's, such as Fuel types.")
@click.option("--chinese", required=True, help="The same in Chinese.")
@click.option(
    "--prefix", default="", help="Two capital letters that the numbers of a kind begin with."
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
    state = "settled before, nothing changed" if done.was_settled_before else "settled"
    return (
        f"{done.day} {state}: {done.to_trading_quantity} t of {done.to_trading_holdings} holdings"
        f" to trading, {done.to_registry_quantity} t of {done.to_registry_holdings} to registry"
    )


def _day(typed: str) -> date:
    try:
        return date.fromisoformat(typed)
    except ValueError:
        raise RuleError(_("%(typed)s is not a date like 2026-11-20", typed=typed)) from None


def _moment(typed: str, day: date) -> datetime:
    """Parse a time of ``day`` or a full date and time, in Beijing unless it names a zone."""
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?", typed.strip()):
            return datetime.combine(day, time.fromisoformat(typed.strip().zfill(5)), tzinfo=BEIJING)
        moment = datetime.fromisoformat(typed.strip())
    except ValueError:
        raise RuleError(
            _("%(typed)s is not a time like 14:59 or 2026-11-20 14:59", typed=typed)
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
