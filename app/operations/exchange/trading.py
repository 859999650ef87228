"""Transfers that the exchange's system starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, String, select

from app.domain.errors import NotFound, RuleError
from app.domain.moves import LARGEST_REQUEST, whole_tonnes
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, Instrument, MachineRequest, Venue
from app.operations.applications import engine
from app.operations.records.actor import EXCHANGE, Actor
from app.operations.records.columns import among, typed

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
    """The response to one request; ``code`` and ``field`` are those of the rule that refused it now."""

    request_no: str
    number: str  # of our application; "" where none could be created
    status: str
    refusal: str = ""
    code: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a machine client, whose request numbers are its own, or the command (no client)."""

    actor: Actor = EXCHANGE
    client_id: int | None = None
    client_code: str = ""

    def key(self, request_no: str) -> str:
        """Return the request key of an application; clients' codes hold no colon."""
        if self.client_id is None:
            return f"exchange:{request_no}"
        return f"client:{self.client_code}:{request_no}"


COMMAND = Asker()


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
    known = _known_content([each.request_no for each in requests], COMMAND)
    for number, request in enumerate(requests, start=1):
        if number in faulty:
            continue
        draft = _draft(request, names, COMMAND)
        if known.setdefault(request.request_no, draft) != draft:
            wrong.append((number, str(_used_before())))
    return requests, sorted(wrong, key=lambda fault: fault[0])


_FIELDS = ("request_no", "direction", "member_no", "instrument_code", "venue_code")


def _text(value: Any) -> str:
    """Return a field as text that PostgreSQL can store: no NUL, no lone surrogates."""
    text = "" if value is None else str(value).replace("\x00", "\ufffd")
    return text.encode("utf-8", "replace").decode()


def _used_before() -> RuleError:
    return RuleError(
        _("The request number was used before with other content"),
        field="request_no",
        code="request_no_reused",
    )


def receive_transfers(
    requests: Sequence[TransferRequest], *, now: datetime, asker: Asker = COMMAND
) -> list[Answer]:
    """Carry out the exchange's transfers independently; refused ones are stored as applications.

    A repeated request number returns its first result, or a refusal where the content differs.
    A request that names an unknown member, instrument or venue is refused without an application.
    """
    drafts: dict[str, engine.Draft] = {}
    names = _names(requests)
    known = _known_content([each.request_no for each in requests], asker)
    answers: list[Answer | None] = []
    for request in requests:
        try:
            draft = _draft(request, names, asker)
            if known.setdefault(request.request_no, draft) != draft:
                raise _used_before()
            drafts[request.request_no] = draft
            answers.append(None)
        except RuleError as error:
            answers.append(_refused(request.request_no, error))
    kept = _carry_out(drafts, now, asker)
    return [
        answer or kept[request.request_no]
        for request, answer in zip(requests, answers, strict=True)
    ]


def _known_content(request_nos: Iterable[str], asker: Asker) -> dict[str, engine.Draft]:
    """Read the content of earlier requests with these numbers."""
    keys = [asker.key(request_no) for request_no in request_nos]
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
        .where(among(Application.request_key, keys))
    )
    return {
        key.removeprefix(asker.key("")): engine.Draft(
            kind, account, (Line(instrument, quantity, venue_id=venue),), key
        )
        for key, kind, account, instrument, quantity, venue in rows
    }


def _carry_out(drafts: dict[str, engine.Draft], now: datetime, asker: Asker) -> dict[str, Answer]:
    if not drafts:
        return {}
    ids = engine.start(list(drafts.values()), asker.actor, now=now)
    # Another transaction may have used a number since it was looked for.
    stored = _known_content(drafts, asker)
    numbers = dict(zip(ids, drafts, strict=True))
    fresh = db.session.scalars(
        select(Application.id).where(among(Application.id, ids), Application.status == Status.DRAFT)
    ).all()
    errors: dict[int, RuleError] = {}
    if fresh:
        outcome = engine.submit(fresh, asker.actor, now=now)
        engine.refuse(outcome.refused, asker.actor, now=now)
        errors = {case.id: error for case, error in outcome.refused}
        if asker.client_id is not None:
            _note_requests(asker.client_id, {id_: numbers[id_] for id_ in fresh}, errors)
    late = {no: _refused(no, _used_before()) for no, draft in drafts.items() if stored[no] != draft}
    return _answers(numbers) | late


def _refused(request_no: str, error: RuleError) -> Answer:
    """Return the answer to a request of which no application is made."""
    return Answer(request_no, "", str(Status.REFUSED), str(error), error.code, error.field)


def _note_requests(
    client_id: int, numbers: Mapping[int, str], errors: Mapping[int, RuleError]
) -> None:
    """Note which client asked for an application by which number, and what refused it."""
    refused = [errors.get(id_) for id_ in numbers]
    db.session.execute(
        _NOTE,
        {
            "client": client_id,
            "request_nos": list(numbers.values()),
            "applications": list(numbers),
            "codes": [error.code[:40] if error else "" for error in refused],
            "fields": [_field_of(error) for error in refused],
        },
    )


_NOTE = typed(
    """
    INSERT INTO machine_request (client_id, request_no, application_id, refusal_code, refusal_field)
    SELECT :client, * FROM unnest(:request_nos, :applications, :codes, :fields)
    """,
    request_nos=String,
    applications=BigInteger,
    codes=String,
    fields=String,
)


def _field_of(error: RuleError | None) -> str:
    """Return the field of a request that a rule of its application names: it has one line."""
    field = error.field if error else ""
    return {"quantity": "quantity", "venue": "venue_code"}.get(field.rpartition(".")[2], "")


def _answers(numbers: Mapping[int, str]) -> dict[str, Answer]:
    """Return what became of applications, by request number."""
    rows = db.session.execute(
        select(
            Application.id,
            Application.number,
            Application.status,
            Application.refusal,
            MachineRequest.refusal_code,
            MachineRequest.refusal_field,
        )
        .join(MachineRequest, MachineRequest.application_id == Application.id, isouter=True)
        .where(among(Application.id, list(numbers)))
    )
    return {
        numbers[row.id]: Answer(
            numbers[row.id],
            row.number,
            row.status,
            row.refusal,
            row.refusal_code or "",
            row.refusal_field or "",
        )
        for row in rows
    }


def _names(requests: Sequence[TransferRequest]) -> dict[tuple[str, str], int]:
    """Read the ids of the codes of a batch, in three queries."""
    found: dict[tuple[str, str], int] = {}
    for what, column, key, codes in (
        ("member", Account.member_no, Account.id, {request.member_no for request in requests}),
        ("instrument", Instrument.code, Instrument.id, {r.instrument_code for r in requests}),
        ("venue", Venue.code, Venue.id, {request.venue_code for request in requests}),
    ):
        rows = db.session.execute(select(column, key).where(among(column, sorted(codes))))
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
    if ("member", request.member_no) not in names:
        message = _("There is no account %(code)s", code=request.member_no)
        yield NotFound(message, field="member_no", code="member_unknown")
    if ("instrument", request.instrument_code) not in names:
        message = _("There is no instrument %(code)s", code=request.instrument_code)
        yield NotFound(message, field="instrument_code", code="instrument_unknown")
    if ("venue", request.venue_code) not in names:
        message = _("There is no venue %(code)s", code=request.venue_code)
        yield NotFound(message, field="venue_code", code="venue_unknown")


def _draft(
    request: TransferRequest, names: dict[tuple[str, str], int], asker: Asker
) -> engine.Draft:
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
        request_key=asker.key(request.request_no),
    )
