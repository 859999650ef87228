"""核定数据表: what the reporting platform's machine pushes, and an officer lets count (N03, N05)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_START, Facts, Rule, Violation
from app.domain.workflow import Case, Party


def _of_the_future(case: Case, facts: Facts) -> Violation | None:
    day = case.starts_on
    if day is None or day <= facts.moment.day:
        return None
    return Violation("starts_on", {"typed": day.isoformat()})


IS_DATED = Rule(
    "document_of_the_future",
    _("The document is dated today or earlier; %(typed)s was read"),
    _of_the_future,
    at=BOTH,
)


class FigureTable(Kind):
    """The platform's machine submits, an officer of the registry approves or sends back.

    The rows stand with the import that it names and count once it is approved (view `current_figure`).
    A table that was sent back is not changed: the platform pushes another one.
    """

    code = "figure_table"
    title = _("Pushed table of verified data")
    prefix = "HD"
    started_by = Party.PLATFORM
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_DOCUMENT, HAS_START, IS_DATED)
