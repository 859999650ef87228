"""The data sets of 信息公开: their titles, columns, and the rules that order them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.compliance.disclosure import ALL, LEAST, OTHERS
from app.domain.money import plain_yuan
from app.domain.regions import PROVINCES
from app.operations.records.catalogue import PENALTIES, SECTORS, SUCCESSIONS
from app.views.lists.columns import TONNES, YUAN
from app.views.lists.sheets import plain_value, shown_value

PLACES = {ALL: _("The whole country"), OTHERS: _("Other provinces, together"), **PROVINCES}
SURRENDERED = {"fulfilled": _("In full"), "short": _("Not in full"), "": "-"}


@dataclass(frozen=True, slots=True)
class SetColumn:
    """A column; ``kind`` is text, lines, code, number, money (fen), date or year."""

    key: str
    title: Any
    kind: str = "text"
    unit: Any = ""
    choices: Mapping[Any, Any] | None = None

    def shown(self, value: Any) -> Any:
        """Return a value as the page shows it."""
        if self.choices is not None:
            return str(self.choices.get(value, value))
        return value.splitlines() if self.kind == "lines" else shown_value(value, self.kind)

    def in_file(self, value: Any) -> str:
        """Return a value as a CSV file has it: words, plain numbers, no formula."""
        if self.choices is not None:
            return str(self.choices.get(value, value))
        return plain_value(value, "text" if self.kind == "lines" else self.kind)

    def in_json(self, value: Any) -> Any:
        """Return a value as JSON has it: codes, money as a text in yuan, exact to the fen."""
        return plain_yuan(value) if self.kind == "money" and value is not None else value

    @property
    def heading(self) -> str:
        """Title and unit in one text."""
        return f"{self.title}（{self.unit}）" if self.unit else str(self.title)


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is published under a code; ``names_by`` is the rule that orders names, "" where there are none."""

    title: Any
    about: Any
    basis: Any
    columns: tuple[SetColumn, ...]
    names_by: str = ""
    is_by_year: bool = False


def _number(key: str, title: Any, unit: Any = "") -> SetColumn:
    return SetColumn(key, title, "number", unit)


DAY = SetColumn("day", _("Date"), "date")
PENALTY_STATES = {
    "in_force": _("Penalty in force"),
    "withdrawn": _("Withdrawn by the authority"),
}
NAME = SetColumn("name", _("Enterprise"))
YEAR = SetColumn("year", _("Compliance year"), "year")
DOCUMENT = SetColumn("document_no", _("Document"), "code")
INSTRUMENT = (
    SetColumn("code", _("Instrument code"), "code"),
    SetColumn("instrument", _("Instrument")),
)
QUANTITY = _number("quantity", _("Quantity"), TONNES)
SETS: Mapping[str, DataSet] = {
    "compliance": DataSet(
        _("Compliance by year and province"),
        _(
            "Enterprises that have surrendered in full and those that have not, and their tonnes;"
            " provinces with fewer than %(least)s enterprises are one line",
            least=LEAST,
        ),
        _("Order 775, article 27"),
        (
            YEAR,
            SetColumn("province", _("Province"), choices=PLACES),
            _number("enterprises", _("Enterprises")),
            _number("fulfilled", _("Fulfilled")),
            _number("open", _("Not fulfilled yet")),
            _number("obligation", _("Obligation"), TONNES),
            _number("surrendered", _("Surrendered for the notice"), TONNES),
            _number("gap", _("Gap"), TONNES),
        ),
    ),
    "vintages": DataSet(
        _("Allowances by vintage"),
        _(
            "Issued, voluntarily cancelled, and issued less cancelled: what is cancelled is gone for ever"
        ),
        _("Measures for trading, article 19"),
        (
            SetColumn("vintage", _("Vintage"), "year"),
            _number("issued", _("Issued"), TONNES),
            _number("cancelled", _("Cancelled"), TONNES),
            _number("remaining", _("Issued less cancelled"), TONNES),
        ),
    ),
    "emitters": DataSet(
        _("List of emitting enterprises"),
        _("By year and sector; whether they surrendered in full, once it was due"),
        _("Order 775: lists of emitting enterprises, and surrender by article 27"),
        (
            NAME,
            SetColumn("province", _("Province"), choices=PROVINCES),
            SetColumn("sector", _("Sector"), choices=SECTORS),
            SetColumn("surrender", _("Whether surrendered"), choices=SURRENDERED),
            SetColumn("uscc", _("Unified social credit code"), "code"),
            YEAR,
        ),
        names_by="O775-27",
        is_by_year=True,
    ),
    "penalties": DataSet(
        _("Administrative penalties"),
        _("Penalties that authorities imposed on enterprises of the market"),
        _("Order 775, article 27"),
        (
            DAY,
            NAME,
            YEAR,
            SetColumn("type", _("What for"), choices=PENALTIES),
            SetColumn("amount", _("Fine"), "money", YUAN),
            SetColumn("authority", _("Deciding authority")),
            DOCUMENT,
            SetColumn("state", _("Status"), choices=PENALTY_STATES),
            SetColumn("withdrawn_by", _("Withdrawn by document")),
        ),
        names_by="O775-27",
    ),
    "successions": DataSet(
        _("Mergers and divisions"),
        _("Enterprises whose allowances and obligations went to others"),
        _("Measures for trading, article 18"),
        (
            DAY,
            NAME,
            SetColumn("form", _("Form"), choices=SUCCESSIONS),
            SetColumn("successors", _("Successors")),
            DOCUMENT,
        ),
        names_by="M19-18",
    ),
    "cancellations": DataSet(
        _("Voluntary cancellations"),
        _("Who cancelled what; natural persons are not named"),
        _("Measures for trading, article 19"),
        (DAY, NAME, *INSTRUMENT, SetColumn("vintage", _("Vintage"), "year"), QUANTITY),
        names_by="M19-19",
    ),
    "deductions": DataSet(
        _("Public notice of judicial deductions"),
        _("What courts assigned to another holder; nothing of the case"),
        _("Registration rules, article 22"),
        (
            DAY,
            NAME,
            *INSTRUMENT,
            QUANTITY,
            SetColumn("amount", _("Amount"), "money", YUAN),
            DOCUMENT,
        ),
        names_by="REG21-22",
    ),
    "fees": DataSet(
        _("Charges and rates"),
        _("What registration, trading and settlement cost"),
        _("Order 775, article 5"),
        (
            SetColumn("name", _("Charge")),
            SetColumn("payer", _("Payer")),
            SetColumn("rate", _("Rate")),
            SetColumn("basis", _("Basis")),
            SetColumn("valid_from", _("In force from"), "date"),
        ),
    ),
    "announcements": DataSet(
        _("Public announcements"),
        _("What the registry announces to everybody"),
        _("Order 775, article 5"),
        (DAY, SetColumn("title", _("Title")), SetColumn("text", _("Text"), "lines")),
    ),
}
