"""`flask audit-day`: the second book's check of a day, told in Chinese or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import click
import psycopg
from asn1crypto import x509
from flask import current_app
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy.engine import make_url

from app.commands import Refused, command, option
from app.domain.errors import RuleError
from app.pki import cms
from app.pki.errors import PkiError
from audit.day import NotAuditable, Report, audit_day, open_book

DIFFERS = 3  # the exit code of a day that is refused

TITLES = {
    "package_altered": _("The package was altered after it was accepted"),
    "package_replaced": _("A sealed day's package was replaced"),
    "package_unreadable": _("The package cannot be read any more"),
    "signature_invalid": _("The package's signature is not its venue's"),
    "manifest_differs": _("The package is not what its manifest says"),
    "package_counts_differ": _("The registry counts the package otherwise"),
    "trade_missing": _("A deal of the package is not among the trades"),
    "trade_not_in_package": _("A trade is in no signed package"),
    "trade_differs": _("A trade is not what the signed package says"),
    "deal_not_posted": _("A deal of the package has no posting"),
    "posting_not_in_package": _("A posting delivers no deal of a signed package"),
    "posting_differs": _("A delivery's posting is of another kind"),
    "delivery_differs": _("The posting and the note of the delivery differ"),
    "one_leg": _("A trade was posted with one leg"),
    "leg_differs": _("A leg of a delivery differs"),
    "settlement_missing": _("The package's settlement is not approved"),
    "confirmation_invalid": _("The exchange's signed confirmation is missing or not valid"),
    "one_officer": _("The settlement was not approved by two officers"),
    "result_differs": _("The confirmed result is not the package's"),
    "position_differs": _("The exchange's position differs from the books"),
    "fund_differs": _("The exchange's money differs from the books"),
    "bank_balance_differs": _("A bank's balance differs from the books"),
    "reported_differs": _("The exchange's figures differ from its own deals"),
    "row_missing": _("The exchange's figures lack a member that dealt"),
    "business_unknown": _("A posting is of a business that nobody knows"),
    "route_not_allowed": _("A movement is one that its business never makes"),
    "application_missing": _("A posting has no application, or one too many"),
    "lines_differ": _("A posting moved something else than its application says"),
    "carry_over_differs": _("A carry-over granted something else than it recalled"),
    "carry_over_strays": _("A carry-over is of several accounts, or grants what it recalled"),
    "stands_alone": _("A posting or a movement stands alone"),
    "issued_differs": _("Tonnes came into being otherwise than approved"),
    "money_from_nowhere": _("Money came from elsewhere than a bank's deposit"),
    "banks_differ": _("What one bank gave up another did not take over"),
    "not_conserved": _("The holdings of an instrument do not sum to zero"),
    "closing_differs": _("A holding is not what its movements add up to"),
    "history_rewritten": _("Movements of sealed days were changed"),
    "chain_broken": _("The chain of sealed days is broken"),
}
REASONS = {
    "no_day": _("No day has been settled yet"),
    "later_day_sealed": _(
        "A later day, %(day)s, is sealed already; days are sealed in their order"
    ),
    "book_is_open": _("The second book is open already"),
}


@command(
    "audit-day",
    _("Check a day by the second book and seal it; exit with 3 where the books differ."),
)
@option("--day", metavar="YYYY-MM-DD", help=_("The day; the last settled one unless given."))
@option(
    "--opening",
    "is_opening",
    is_flag=True,
    help=_("Open the second book with the totals of now, as those of --day."),
)
@option("--json", "as_json", is_flag=True, help=_("Answer with a JSON object, for programs."))
def audit_day_command(day: str | None, is_opening: bool, as_json: bool) -> None:
    """Check a day by the second book, and seal it where the books agree.

    Exits with 0 where they agree, 1 where the check cannot be made, 2 for wrong arguments, 3 where the
    books differ: the day is refused.
    """
    chosen = _day(day)
    if is_opening and chosen is None:
        raise RuleError(_("--opening needs a --day"))
    report = _checked(chosen, is_opening=is_opening)
    click.echo(json.dumps(as_json_object(report), ensure_ascii=False) if as_json else told(report))
    if not report.agrees:
        sys.exit(DIFFERS)


def as_json_object(report: Report) -> dict[str, Any]:
    """Return a report for programs: every code and figure as it is."""
    return {
        "day": report.day.isoformat(),
        "agrees": report.agrees,
        "was_sealed_before": report.was_sealed_before,
        "packages": report.packages,
        "trades": report.trades,
        "delivered": report.delivered,
        "movements": report.movements,
        "pockets": report.pockets,
        "digest": report.digest.hex(),
        "counts": dict(report.findings.counts),
        "findings": [asdict(each) for each in report.findings.named],
    }


def told(report: Report) -> str:
    """Return a report for people: a line a finding, then what was counted and decided."""
    lines = [
        gettext(
            "%(title)s: %(key)s: expected %(expected)s, found %(found)s",
            title=TITLES[each.code], key=each.key,
            expected=each.expected or gettext("nothing"), found=each.found or gettext("nothing"),
        )
        for each in report.findings.named
    ]  # fmt: skip
    lines.append(
        gettext(
            "%(day)s: %(packages)s packages, %(trades)s trades (%(delivered)s delivered),"
            " %(movements)s movements, %(pockets)s totals",
            day=report.day, packages=len(report.packages), trades=report.trades,
            delivered=report.delivered, movements=report.movements, pockets=report.pockets,
        )
    )  # fmt: skip
    if not report.agrees:
        count = report.findings.counts.total()
        lines.append(gettext("%(count)s differences: the day is refused", count=count))
    elif report.was_sealed_before:
        lines.append(
            gettext("The books agree; sealed before as %(digest)s", digest=report.digest.hex())
        )
    else:
        lines.append(gettext("The books agree; sealed as %(digest)s", digest=report.digest.hex()))
    return "\n".join(lines)


def _checked(day: date | None, *, is_opening: bool) -> Report:
    url = current_app.config["SETTINGS"].database_audit_url
    if not url:
        raise RuleError(_("DATABASE_AUDIT_URL is not set"))
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            if is_opening and day is not None:
                return open_book(connection, day)
            return audit_day(connection, day, is_signed)
    except NotAuditable as error:
        raise RuleError(REASONS[error.code] % {"day": error.day}) from error
    except psycopg.OperationalError as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refused(gettext("The database does not answer: %(reason)s", reason=reason)) from error


class _Certificate:
    def __init__(self, der: bytes) -> None:
        self.der = der


def is_signed(content: bytes, signature: bytes, certificates: Sequence[bytes]) -> str:
    """Verify a CMS signature by one of the certificates (DER); return why it does not hold, or ""."""
    known = {}
    for der in certificates:
        parsed = x509.Certificate.load(der)
        known[parsed.issuer.dump(), parsed.serial_number] = _Certificate(der)
    try:
        cms.verify(content, signature, lambda issuer, serial: known.get((issuer, serial)))
    except PkiError as error:
        return error.code or "refused"
    return ""


def _day(written: str | None) -> date | None:
    if written is None:
        return None
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise RuleError(_("%(typed)s is not a date like 2026-11-20", typed=written)) from error
