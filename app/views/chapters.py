"""The chapters of the menu, in the manual's words and order; a page names its chapter and place itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _


@dataclass(frozen=True, eq=False, slots=True)
class Chapter:
    """A part of the menu that folds; without a title its entries stand by themselves."""

    title: Any = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """Where a page stands in the menu, counted from 1; its title is the entry's label.

    ``icon`` is for an entry that stands by itself.
    """

    chapter: Chapter
    place: int
    icon: str = ""


FIRST = Chapter()
ACCOUNTS = Chapter(_("Account management"), "ti-building-bank")
TRANSFERS = Chapter(_("Holding transfers"), "ti-arrows-exchange")
COMPLIANCE = Chapter(_("Compliance management"), "ti-clipboard-check")
CUSTODY = Chapter(_("Custody and returns"), "ti-building-warehouse")
CANCELLATIONS = Chapter(_("Voluntary cancellation management"), "ti-leaf")
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
    COMPLIANCE,
    CUSTODY,
    CANCELLATIONS,
    ENQUIRIES,
    REVIEWS,
    ISSUANCE,
    SANCTIONS,
    ADMINISTRATION,
    LAST,
)
