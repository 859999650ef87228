"""The reference data that pages and rules use by code, cached by each process.

Every request reads the catalogue's version in the statement that reads its session, so that a
stale cache is detected without a query of its own.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from flask import current_app, g, has_request_context
from flask_babel import get_locale
from sqlalchemy import literal, select, union_all

from app.extensions import db
from app.models import Category, Sector
from app.models.reference.version import catalogue_version
from app.operations.records import clock

EVERY_SECTOR = "all"  # Stands for all of them where a row is of no one sector.
SECTOR = "sector"  # The pseudo kind of sectors in the catalogue.


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its name in both languages and the days on which it is in force."""

    name: str
    name_en: str
    valid_from: date
    disabled_from: date | None

    def __str__(self) -> str:
        """Return the name in the language of the request."""
        is_english = str(get_locale() or "").startswith("en")
        return (self.name_en if is_english else "") or self.name

    def is_offered(self, day: date) -> bool:
        """Tell whether it is in force on a day."""
        return self.valid_from <= day and (self.disabled_from is None or day < self.disabled_from)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All values by kind and code, disabled ones included, as of one version."""

    version: int
    values: Mapping[str, Mapping[str, Value]]

    def offered(self, day: date) -> frozenset[tuple[str, str]]:
        """Return (kind, code) of the values in force on a day, for Facts."""
        return frozenset(
            (kind, code)
            for kind, values in self.values.items()
            for code, value in values.items()
            if value.is_offered(day)
        )


class Titles(Mapping[str, Value]):
    """The titles of one kind's values by code, as columns, filters and fields take them.

    Lazy, so that it can be used in a class body.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, code: str) -> Value:
        """Return a value, disabled or not."""
        return self._values()[code]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the codes in the order of their addition."""
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def offered(self, today: date | None = None) -> dict[str, Value]:
        """Return the values in force today, which a caller may know already."""
        today = today or clock.now().date()
        return {code: each for code, each in self._values().items() if each.is_offered(today)}

    def _values(self) -> Mapping[str, Value]:
        return catalogue().values.get(self.kind, {})


SECTORS = Titles(SECTOR)


def sectors_after(every: Any) -> Mapping[str, Any]:
    """Return the titles of `EVERY_SECTOR` and of the sectors, to choose from."""
    return ChainMap({EVERY_SECTOR: every}, cast("Any", SECTORS))  # Nothing is written to it.


ISSUANCE_TYPES = Titles("issuance")
FREEZE_REASONS = Titles("freeze")
SUCCESSIONS = Titles("account_succession")
CONFISCATION_REASONS = Titles("confiscation")
DEDUCTION_REASONS = Titles("deduction")
CLAIM_REASONS = Titles("allowance_claim")
PENALTIES = Titles("penalty")
CUSTODY_TYPES = Titles("custody_deposit")


def sector_titles(codes: str) -> str:
    """Return the titles of sectors whose codes stand with commas between them."""
    return "、".join(str(SECTORS.get(each, each)) for each in codes.split(",") if each)


def catalogue() -> Catalogue:
    """Return the catalogue, reloaded where its version has changed."""
    version = g.get("catalogue_version") if has_request_context() else None
    if version is None:
        version = db.session.scalar(select(catalogue_version()))
    kept = current_app.extensions.get("catalogue")
    if kept is None or kept.version != version:
        kept = current_app.extensions["catalogue"] = _read()
    return kept


def _read() -> Catalogue:
    """Read version and values in one statement, on a connection of its own: committed rows only."""
    columns = ("id", "code", "name", "name_en", "valid_from", "disabled_from")
    sectors = select(literal(SECTOR).label("kind"), *(getattr(Sector, each) for each in columns))
    categories = select(Category.kind, *(getattr(Category, each) for each in columns))
    every = union_all(sectors, categories).subquery()
    values: dict[str, dict[str, Value]] = {}
    version = 0
    with db.engine.connect() as connection:
        for row in connection.execute(select(catalogue_version(), every).order_by(every.c.id)):
            version, kind, _id, code, *rest = row
            values.setdefault(kind, {})[code] = Value(*rest)
    return Catalogue(version, values)
