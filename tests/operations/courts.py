"""Courts' measures as officers enter them: a freeze, its renewal, release and deduction."""

from __future__ import annotations

import hashlib
import itertools
from datetime import date, datetime
from uuid import uuid4

from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Account, Attachment, CourtOrder, CourtSale, Instrument, Member
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import colleague, confirmed

PAPER = b"%PDF-1.4 court"
_number = itertools.count(1)


def entered(
    kind: str,
    about: Account,
    by: Member,
    *,
    submits: bool = True,
    lines: tuple[Line, ...] = (),
    paper: bool = True,
    proposal: dict[str, object] | None = None,
    **more: object,
) -> int:
    """Enter a court's measure, with everything that it needs; return the application's id."""
    number = next(_number)
    said = {
        "request_no": f"2026{number:06d}",
        "case_no": f"（2026）鄂01执{number}号",
        "contact": "王法官 027-65600000",
        "served_at": "2026-11-20T09:00:00+08:00",
    } | (proposal or {})
    content: dict[str, object] = {
        "document_no": f"（2026）鄂01执{number}号之一",
        "authority": "湖北省武汉市中级人民法院",
    }
    if kind in ("court_freeze", "court_renewal"):
        content |= {"starts_on": date(2026, 11, 20), "ends_on": date(2027, 11, 19)}
    content.setdefault("category", {"court_freeze": "01", "court_renewal": "02",
                                    "court_release": "04", "court_assignment": "06"}
                       .get(kind, ""))  # fmt: skip
    draft = engine.Draft(
        kind=kind, account_id=about.id, lines=lines, request_key=str(uuid4()),
        proposal=said, **content | more,
    )  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if paper:
            attach(made[0], about, by)
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def attach(application_id: int, about: Account, by: Member) -> None:
    db.session.add(
        Attachment(
            application_id=application_id, account_id=about.id, name="裁定书.pdf",
            media_type="application/pdf", size=len(PAPER), sha256=hashlib.sha256(PAPER).hexdigest(),
            content=PAPER, uploaded_by=by.id, uploaded_at=clock.now(),
        )
    )  # fmt: skip
    db.session.flush()


def freeze(
    about: Account,
    by: Member,
    quantity: int,
    what: Instrument | None = None,
    *,
    served: str = "2026-11-20T09:00:00+08:00",
    confirms: bool = True,
    **more: object,
) -> int:
    """Enter and confirm an order to freeze; without an instrument it is for the whole account."""
    said = {
        "instrument": what.id if what else None,
        "instrument_code": what.code if what else "",
        "quantity": quantity,
        "served_at": served,
    }
    made = entered("court_freeze", about, by, proposal=said, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def release(order: int, by: Member, quantity: int, *, confirms: bool = True, **more: object) -> int:
    """Enter and confirm a release of an order, in part or whole."""
    about = db.session.get_one(CourtOrder, order).account
    said = {"order": order, "quantity": quantity} | more.pop("proposal", {})
    made = entered("court_release", about, by, proposal=said, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def renew(order: int, by: Member, ends_on: date, *, confirms: bool = True, **more: object) -> int:
    """Enter and confirm a renewal."""
    about = db.session.get_one(CourtOrder, order).account
    said = {"order": order} | more.pop("proposal", {})
    made = entered("court_renewal", about, by, proposal=said, ends_on=ends_on, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def assign(
    order: int,
    by: Member,
    quantity: int,
    what: Instrument,
    to: Account,
    *,
    confirms: bool = True,
    **more: object,
) -> int:
    """Enter and confirm a deduction to a receiver."""
    about = db.session.get_one(CourtOrder, order).account
    lines = (Line(what.id, quantity, account_id=to.id),)
    made = entered("court_assignment", about, by, proposal={"order": order}, lines=lines, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def surrender(
    order: int, by: Member, quantity: int, what: Instrument, notice: int, *, submits: bool = True,
    paper: bool = True, **more: object,
) -> int:  # fmt: skip
    """Apply, as the holder, for a surrender out of what an order has frozen; return the application's id."""
    content = {
        "document_no": "（2026）鄂01执保118号复函",
        "authority": "湖北省武汉市中级人民法院",
    } | more
    draft = engine.Draft(
        kind="court_surrender", account_id=by.account_id, lines=(Line(what.id, quantity),),
        request_key=str(uuid4()), proposal={"order": order}, notice_id=notice, **content,
    )  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if paper:
            attach(made[0], db.session.get_one(Account, by.account_id), by)
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def sell(
    order: int,
    by: Member,
    quantity: int,
    what: Instrument,
    *,
    confirms: bool = True,
    **more: object,
) -> int:
    """Enter and confirm a sale of what an order has frozen."""
    about = db.session.get_one(CourtOrder, order).account
    lines = (Line(what.id, quantity),)
    said = {"order": order} | more.pop("proposal", {})
    made = entered("court_sale", about, by, proposal=said, lines=lines, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def end_sale(sale: int, by: Member, quantity: int, *, confirms: bool = True, **more: object) -> int:
    """Enter and confirm that what a sale has left is frozen again."""
    found = db.session.get_one(CourtSale, sale)
    about = db.session.get_one(Account, found.account_id)
    said = {"sale": sale, "order": found.order_id}
    lines = (Line(found.instrument_id, quantity),)
    made = entered("court_sale_end", about, by, proposal=said, lines=lines, **more)
    if confirms:
        confirmed(made, colleague(by))
    return made


def stands(order: int) -> tuple[int, int]:
    """Return what of an order is effective and what is queued."""
    db.session.expire_all()
    row = db.session.get_one(CourtOrder, order)
    return row.effective, row.queued


def midnight(day: date, second: int = 1) -> datetime:
    """Return a moment just after a day has begun."""
    return datetime(day.year, day.month, day.day, 0, 0, second, tzinfo=BEIJING)
