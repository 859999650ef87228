"""Issues through provinces, reversals, the list of the differentiated and commissions, for tests."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import select

from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db, transaction
from app.models import Account, Application, ApplicationLine
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import colleague, confirmed, entered, officer_of


def of_province(code="42"):
    return db.session.scalars(
        select(Account).where(Account.kind == "province", Account.province == code)
    ).one()


def issued_to_province(plant, lines, maker, checker, category="approved"):
    """Issue as the registry does, where the plan says; return the application."""
    return confirmed(entered("issuance", plant, maker, lines=lines, category=category), checker).id


def waiting(plant):
    """Return what waits for an enterprise, by line."""
    rows = db.session.execute(
        select(waiting_line.c.line_id, waiting_line.c.remaining).where(
            waiting_line.c.account_id == plant.id
        )
    )
    return [row.remaining for row in rows.all()]


def lines_waiting(plant):
    """Return the lines that the province received for an enterprise."""
    rows = select(waiting_line.c.line_id).where(waiting_line.c.account_id == plant.id)
    return list(db.session.scalars(rows.order_by(waiting_line.c.line_id)))


def passed_on(plant):
    """Let two officers of the province issue what waits for an enterprise."""
    officer = officer_of(plant.province)
    rows = db.session.execute(
        select(
            waiting_line.c.line_id, waiting_line.c.instrument_id, waiting_line.c.remaining
        ).where(waiting_line.c.account_id == plant.id, waiting_line.c.remaining > 0)
    ).all()
    lines = [engine.Line(what, tonnes, source_line_id=line) for line, what, tonnes in rows]
    if lines:
        confirmed(_sent("province_issue", plant, officer, lines), colleague(officer))


def reversal(issue, plant, maker, tonnes=None, *, submits=True):
    """Enter the reversal of an issue."""
    rows = select(ApplicationLine).where(ApplicationLine.application_id == issue)
    lines = [
        engine.Line(
            each.instrument_id,
            tonnes or each.quantity,
            account_id=ISSUANCE_ACCOUNT_ID,
            source_line_id=each.id,
        )
        for each in db.session.scalars(rows)
    ]
    return _sent("issuance_reversal", plant, maker, lines, document_no="", submits=submits)


def listed(plant, year, officer, *, reason="unfulfilled"):
    """Enter an enterprise in the list of the differentiated, approved by a colleague."""
    made = entered("differentiation", plant, officer, category=reason, proposal={"year": str(year)})
    return confirmed(made, colleague(officer))


def removal(plant, year, officer, *, submits=True):
    """Enter an enterprise's removal from the list; return the application."""
    said = {"proposal": {"year": str(year)}, "submits": submits}
    return _sent("differentiation_removal", plant, officer, chain.released(plant.id, year), **said)


def removed(plant, year, officer):
    """Take an enterprise out of the list, approved by a colleague."""
    return confirmed(removal(plant, year, officer), colleague(officer))


def commissioned(plant, notice, officer, *, submits=True, lines=None):
    """Ask for what the order of the plan says for a notice; return the application."""
    found = chain.commissioned([plant.id], clock.now().date()).lines.get(notice, {})
    lines = chain.lines_of(found) if lines is None else lines
    return _sent("commission", plant, officer, lines, notice_id=notice, submits=submits)


def executed(application_id, *officers):
    """Approve a commission as two officers of the registry."""
    for each in officers:
        case = confirmed(application_id, each)
    return case


def taken(application_id):
    """Return the tonnes of an application by vintage."""
    application = db.session.get_one(Application, application_id)
    found: dict[int, int] = {}
    for line in application.lines:
        found[line.instrument.vintage] = found.get(line.instrument.vintage, 0) + line.quantity
    return found


def _sent(kind, plant, officer, lines, *, submits=True, **more):
    key = str(uuid4())
    content = {"reason": "依据文书办理", "document_no": f"鄂环函〔2026〕{int(key[:8], 16)}号"}
    made = engine.Draft(kind, plant.id, tuple(lines), key, **content | more)
    with transaction():
        (id_,) = engine.start([made], Actor.of(officer), now=clock.now())
        if submits:
            engine.submit([id_], Actor.of(officer), now=clock.now()).one()
    return id_
