"""Issues, claims, returns and deductions as people enter them."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

from app.domain.compliance.deductions import Deduction
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Account, ApplicationLine, Instrument, Member
from app.models.figures import line_draw
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import colleague, confirmed, entered
from tests.operations import chains

LAST = date(2026, 12, 4)  # ten working days after the tests' Friday
DOCUMENT = {"document_no": "鄂环函〔2026〕31号", "starts_on": date(2026, 11, 18)}


def issued(
    to: Account, what: Instrument, tonnes: int, *, by: Member, category: str = "supplementary"
) -> int:
    """Issue an instrument to an enterprise, through its province where the plan says so.

    Each step is approved by a colleague; return the registry's application's id.
    """
    made = entered("issuance", to, by, lines={what: tonnes}, category=category)
    confirmed(made, colleague(by))
    chains.passed_on(to)
    return made


def claiming(
    of: Account, what: Instrument, tonnes: int, *, by: Member, ends_on: date | None = LAST,
    submits: bool = True, category: str = "true_up",
) -> int:  # fmt: skip
    """Enter a claim, which nobody has approved; return the application's id."""
    return entered(
        "allowance_claim", of, by, lines={what: tonnes}, category=category, ends_on=ends_on,
        submits=submits, **DOCUMENT,
    )  # fmt: skip


def claimed(of: Account, what: Instrument, tonnes: int, *, by: Member, **more: object) -> int:
    """Claim an instrument back, approved by a colleague; return the application's id."""
    made = claiming(of, what, tonnes, by=by, **more)  # type: ignore[arg-type]
    confirmed(made, colleague(by))
    return made


def returning(claim: int, tonnes: int, *, by: Member, submits: bool = True) -> int:
    """Return tonnes for a claim, which nobody has reviewed; return the application's id."""
    line = line_of(claim)
    draft = engine.Draft(
        "allowance_return",
        by.account_id or 0,
        (Line(line.instrument_id, tonnes, source_line_id=line.id),),
        str(uuid4()),
        reason="按调整通知书缴回",
    )
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def line_of(application_id: int) -> ApplicationLine:
    """Return an application's only line."""
    found = db.select(ApplicationLine).where(ApplicationLine.application_id == application_id)
    return db.session.scalars(found).one()


def open_of(claim: int) -> int:
    """Return what is open of a claim, less what waits for its review."""
    db.session.rollback()
    return db.session.scalar(
        db.select(line_draw.c.remaining).where(line_draw.c.application_id == claim)
    )


def deducting(
    of: Account, tonnes: int, *, by: Member, year: int = 2025, sector: str = "power",
    category: str = "verification", documented_on: date | None = date(2026, 11, 18),
    allowance: int | None = None, submits: bool = True,
) -> int:  # fmt: skip
    """Decide to deduct, which nobody has approved; return the application's id."""
    draft = engine.Draft(
        "deduction", of.id, (), str(uuid4()), reason="核查数据更正", category=category,
        document_no="鄂环函〔2026〕32号", starts_on=documented_on,
        proposal=Deduction(year, sector, tonnes, allowance).stored(),
    )  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def deducted(of: Account, tonnes: int, *, by: Member, **more: object) -> int:
    """Deduct, approved by a colleague; return the application's id."""
    made = deducting(of, tonnes, by=by, **more)  # type: ignore[arg-type]
    confirmed(made, colleague(by))
    return made
