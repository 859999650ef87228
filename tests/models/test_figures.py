"""The aggregating views: surrendered by notice, drawn by line."""

from __future__ import annotations

import pytest

from app.extensions import db, transaction
from app.models import ApplicationLine, Notice
from app.models.figures import line_draw, notice_surrender
from app.operations.applications import engine
from app.operations.compliance.notices import surrender_figures
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import confirmed, entered, give, instrument, member


@pytest.fixture
def cea(plant):
    row = instrument()
    give(plant, row, 1000)
    return row


def of_line(application_id):
    db.session.rollback()
    line = db.session.query(ApplicationLine.id).filter_by(application_id=application_id).scalar()
    row = db.session.execute(db.select(line_draw).where(line_draw.c.line_id == line)).one()
    return row.drawn, row.pending, row.remaining


def test_pending_and_approved_draws_reduce_the_remainder(plant, cea):
    maker, checker = member("registry_maker"), member("registry_checker")
    freeze = entered("freeze", plant, maker, lines={cea: 400})
    confirmed(freeze, checker)
    confirmed(entered("unfreeze", plant, maker, lines={cea: 150}, source=freeze), checker)
    asked = entered("unfreeze", plant, maker, lines={cea: 100}, source=freeze)

    assert of_line(freeze) == (150, 100, 150)
    with transaction():
        engine.send_back([asked], Actor.of(checker), now=clock.now(), comment="文号有误")
    assert of_line(freeze) == (150, 0, 250)


# The views are of all notices and lines.  Whoever asks for some must not pay for all: where a filter
# does not reach beneath the grouping, the plan adds up everything.
FIGURES = surrender_figures()
ASKED = {
    "notices by id": (
        db.select(notice_surrender).where(
            notice_surrender.c.notice_id == db.func.any(db.cast([1, 2], db.ARRAY(db.Integer)))
        ),
        "notice_id = ANY",
    ),
    "a list of notices": (
        db.select(Notice.id, FIGURES.c.surrendered).join(FIGURES, db.true()),
        "notice_id = notice.id",
    ),
    "lines by id": (
        db.select(line_draw).where(line_draw.c.line_id.in_([1, 2])),
        "source_line_id = s.id",
    ),
    "lines of an application": (
        db.select(line_draw).where(line_draw.c.application_id == 1),
        "source_line_id = s.id",
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_filtered_views_use_indexes(app, asked):
    statement, condition = ASKED[asked]
    query = statement.compile(db.engine, compile_kwargs={"literal_binds": True})
    db.session.execute(db.text("SET LOCAL enable_seqscan = off"))
    db.session.execute(db.text("SET LOCAL enable_bitmapscan = off"))

    plan = "\n".join(db.session.scalars(db.text(f"EXPLAIN {query}".replace(":", "\\:"))))

    assert condition in plan
    assert "Seq Scan" not in plan
