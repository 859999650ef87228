"""The chapters of the menu, in the manual's words and order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _


@dataclass(frozen=True, eq=False, slots=True)
class Chapter:
    """A collapsible group of the menu; without a title its entries are top-level."""

    title: Any = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A page's place in the menu, counted from 1; its title is the label.

    ``icon`` is for a top-level entry.
    """

    chapter: Chapter
    place: int
    icon: str = ""


FIRST = Chapter()
ACCOUNTS = Chapter(_("Account management"), "ti-building-bank")
TRANSFERS = Chapter(_("Holding transfers"), "ti-arrows-exchange")
SETTLEMENT = Chapter(_("Settlement management"), "ti-arrows-left-right")
COMPLIANCE = Chapter(_("Compliance management"), "ti-clipboard-check")
CARRY_OVERS = Chapter(_("Carry-over management"), "ti-repeat")
OFFSETS = Chapter(_("CCER offset"), "ti-plant-2")
CUSTODY = Chapter(_("Custody and returns"), "ti-building-warehouse")
CANCELLATIONS = Chapter(_("Voluntary cancellation management"), "ti-leaf")
PLEDGES = Chapter(_("Pledge management"), "ti-shield-lock")
MONEY = Chapter(_("Money management"), "ti-cash")
ENQUIRIES = Chapter(_("Enquiries"), "ti-search")
REVIEWS = Chapter(_("Reviews"), "ti-gavel")
ISSUANCE = Chapter(_("Issuance management"), "ti-certificate")
SANCTIONS = Chapter(_("Freezes and confiscations"), "ti-lock")
ADMINISTRATION = Chapter(_("System administration"), "ti-settings")
LAST = Chapter()

CHAPTERS = (
    FIRST,
    ACCOUNTS,
    TRANSFERS,
    SETTLEMENT,
    COMPLIANCE,
    CARRY_OVERS,
    OFFSETS,
    CUSTODY,
    CANCELLATIONS,
    PLEDGES,
    MONEY,
    ENQUIRIES,
    REVIEWS,
    ISSUANCE,
    SANCTIONS,
    ADMINISTRATION,
    LAST,
)
