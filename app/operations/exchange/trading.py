"""Transfers that the exchange's system starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.errors import NotFound, RuleError
from app.domain.moves import LARGEST_REQUEST, whole_tonnes
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, Instrument, Venue
from app.operations.applications import engine
from app.operations.records.actor import EXCHANGE

LONGEST_REQUEST_NO = 60
KIND_OF_DIRECTION = {
    "in": "exchange_registry_to_trading",  # 交易发起登记转交易
    "out": "trading_to_registry",  # 交易发起交易转登记
}


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """One transfer requested by the exchange, in whole tonnes.

    ``request_no`` is the exchange's number; each is carried out once.
    """

    request_no: str
    direction: str  # "in" (registry to trading) or "out" (trading to registry)
    member_no: str
    instrument_code: str
    quantity: int
    venue_code: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to one request."""

    request_no: str
    number: str  # of our application; "" where none could be created
    status: str
    refusal: str = ""


def read_requests(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[TransferRequest], list[tuple[int, str]]]:
    """Read requests from JSON objects; return them, and every fault as (row from 1, message).

    A fault is what could not become an application: a malformed quantity, an unknown code, a request
    number used before with other content.
    """
    requests, wrong = [], []
    for number, row in enumerate(rows, start=1):
        try:
            quantity = whole_tonnes(_text(row.get("quantity")))
        except RuleError as error:
            wrong.append((number, str(error)))
            quantity = 1  # The other fields are checked, too.
        fields = {name: _text(row.get(name)) for name in _FIELDS}
        requests.append(TransferRequest(**fields, quantity=quantity))
    names = _names(requests)
    for number, request in enumerate(requests, start=1):
        wrong += [(number, str(error)) for error in _problems(request, names)]
    faulty = {number for number, _message in wrong}
    known = _known_content(requests)
    for number, request in enumerate(requests, start=1):
        if number in faulty:
            continue
        draft = _draft(request, names)
        if known.setdefault(request.request_no, draft) != draft:
            wrong.append((number, str(_used_before())))
    return requests, sorted(wrong, key=lambda fault: fault[0])


_FIELDS = ("request_no", "direction", "member_no", "instrument_code", "venue_code")


def _text(value: Any) -> str:
    """Return a field as text that PostgreSQL can store: no NUL, no lone surrogates."""
    text = "" if value is None else str(value).replace("\x00", "\ufffd")
    return text.encode("utf-8", "replace").decode()


def _used_before() -> RuleError:
    return RuleError(_("The request number was used before with other content"), field="request_no")


def receive_transfers(requests: Sequence[TransferRequest], *, now: datetime) -> list[Answer]:
    """Carry out the exchange's transfers independently; refused ones are stored as applications.

    A repeated request number returns its first result, or a refusal where the content differs.
    A request that names an unknown member, instrument or venue is refused without an application.
    """
    drafts: dict[str, engine.Draft] = {}
    names = _names(requests)
    known = _known_content(requests)
    answers: list[Answer | None] = []
    for request in requests:
        try:
            draft = _draft(request, names)
            if known.setdefault(request.request_no, draft) != draft:
                raise _used_before()
            drafts[request.request_no] = draft
            answers.append(None)
        except RuleError as error:
            answers.append(Answer(request.request_no, "", str(Status.REFUSED), str(error)))
    kept = _carry_out(drafts, now)
    return [
        answer or kept[request.request_no]
        for request, answer in zip(requests, answers, strict=True)
    ]


def _known_content(requests: Sequence[TransferRequest]) -> dict[str, engine.Draft]:
    """Read the content of earlier requests with these numbers."""
    keys = [_key(request.request_no) for request in requests]
    rows = db.session.execute(
        select(
            Application.request_key,
            Application.kind,
            Application.account_id,
            ApplicationLine.instrument_id,
            ApplicationLine.quantity,
            ApplicationLine.venue_id,
        )
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .where(Application.request_key.in_(keys))
    )
    return {
        key.removeprefix(_key("")): engine.Draft(
            kind, account, (Line(instrument, quantity, venue_id=venue),), key
        )
        for key, kind, account, instrument, quantity, venue in rows
    }


def _key(request_no: str) -> str:
    return f"exchange:{request_no}"


def _carry_out(drafts: dict[str, engine.Draft], now: datetime) -> dict[str, Answer]:
    if not drafts:
        return {}
    ids = engine.start(list(drafts.values()), EXCHANGE, now=now)
    fresh = db.session.scalars(
        select(Application.id).where(Application.id.in_(ids), Application.status == Status.DRAFT)
    ).all()
    if fresh:
        outcome = engine.submit(fresh, EXCHANGE, now=now)
        engine.refuse(outcome.refused, EXCHANGE, now=now)
    rows = {
        row.id: row
        for row in db.session.execute(
            select(
                Application.id, Application.number, Application.status, Application.refusal
            ).where(Application.id.in_(ids))
        )
    }
    return {
        request_no: Answer(request_no, rows[id_].number, rows[id_].status, rows[id_].refusal)
        for request_no, id_ in zip(drafts, ids, strict=True)
    }


def _names(requests: Sequence[TransferRequest]) -> dict[tuple[str, str], int]:
    """Read the ids of the codes of a batch, in three queries."""
    found: dict[tuple[str, str], int] = {}
    for what, column, key, codes in (
        ("member", Account.member_no, Account.id, {request.member_no for request in requests}),
        ("instrument", Instrument.code, Instrument.id, {r.instrument_code for r in requests}),
        ("venue", Venue.code, Venue.id, {request.venue_code for request in requests}),
    ):
        rows = db.session.execute(select(column, key).where(column.in_(codes)))
        found |= {(what, code): id_ for code, id_ in rows}
    return found


def _problems(request: TransferRequest, names: dict[tuple[str, str], int]) -> Iterator[RuleError]:
    """Yield everything that is wrong with a request's fields."""
    if not 1 <= len(request.request_no) <= LONGEST_REQUEST_NO:
        message = _("The request number needs 1 to %(most)d characters", most=LONGEST_REQUEST_NO)
        yield RuleError(message, field="request_no")
    if request.quantity > LARGEST_REQUEST:
        limit = f"{LARGEST_REQUEST:,}"
        yield RuleError(
            _("Quantity is above the limit of %(limit)s tonnes", limit=limit), field="quantity"
        )
    if request.quantity < 1:
        yield RuleError(_("Quantity must be at least 1 tonne"), field="quantity")
    if request.direction not in KIND_OF_DIRECTION:
        yield RuleError(_("Direction must be in or out"), field="direction")
    for what, code, message in (
        ("member", request.member_no, _("There is no account %(code)s", code=request.member_no)),
        (
            "instrument",
            request.instrument_code,
            _("There is no instrument %(code)s", code=request.instrument_code),
        ),
        ("venue", request.venue_code, _("There is no venue %(code)s", code=request.venue_code)),
    ):
        if (what, code) not in names:
            yield NotFound(message, field=what)


def _draft(request: TransferRequest, names: dict[tuple[str, str], int]) -> engine.Draft:
    """Return the draft of a request.  Raises RuleError with its first problem."""
    for error in _problems(request, names):
        raise error
    line = Line(
        names["instrument", request.instrument_code],
        request.quantity,
        venue_id=names["venue", request.venue_code],
    )
    return engine.Draft(
        kind=KIND_OF_DIRECTION[request.direction],
        account_id=names["member", request.member_no],
        lines=(line,),
        request_key=_key(request.request_no),
    )
