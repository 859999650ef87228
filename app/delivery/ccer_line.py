"""The line to the CCER registry, protocol version 1: signed messages over HTTP (docs/interfaces/ccer.md).

Both sides sign each message with their own key, so that either can show later what the other said.

    POST <address>/v1          Content-Type: application/jose
    JWS (ES256) of {"version": 1, "message": "<uuid>", "at": 1763600000, "type": "cancel", ...}

    200                        JWS (ES256) of {"version": 1, "in_reply_to": "<uuid>", ...}
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import urllib3
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.operations.offsets.exchange import (
    BINDING,
    FREEZE,
    REPORT,
    UNFREEZE,
    Frozen,
    Incoming,
    MessageState,
    Outgoing,
    Reply,
    Said,
    UnitFacts,
)

VERSION, ALGORITHM = 1, "ES256"
TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes: the statement of a night
LARGEST_QUANTITY = 10**12
Read = TypeVar("Read")


class LineError(Exception):
    """The CCER registry gave no answer that can be relied upon; whether it acted is not known."""


class CcerLine(Protocol):
    """What this registry asks of the CCER registry; another protocol is another class.

    Each raises LineError where there is no valid answer.
    """

    def incoming(self) -> list[Incoming]: ...
    def acknowledge(self, item: Incoming, reply: Reply) -> None: ...
    def send(self, message: Outgoing) -> Said: ...
    def query(self, message: Outgoing) -> Said: ...
    def statement(self, day: date) -> list[Frozen]: ...


class HttpCcerLine:
    """Protocol version 1 at one address; ``own`` is our private key, ``theirs`` their public one."""

    def __init__(
        self, address: str, own: str, theirs: str, timeout: urllib3.Timeout = TIMEOUT
    ) -> None:
        self._address, self._timeout = address.rstrip("/"), timeout
        self._own = ECKey.import_key(json.loads(own))
        self._theirs = ECKey.import_key(json.loads(theirs))
        self._pool = urllib3.PoolManager(retries=False)

    def incoming(self) -> list[Incoming]:
        """Return what we have not acknowledged, each signed by itself."""
        answer, _signed = self._ask("incoming")
        items = answer.get("items")
        if not isinstance(items, list):
            raise LineError("no items")
        return [self._incoming(each) for each in items]

    def acknowledge(self, item: Incoming, reply: Reply) -> None:
        self._ask(
            "acknowledge",
            number=item.number,
            outcome="done" if reply.is_done else "refused",
            reason=reply.reason,
        )

    def send(self, message: Outgoing) -> Said:
        """Send a message; the CCER registry carries out each number once."""
        more = {} if message.quantity is None else {"quantity": message.quantity}
        return self._said(message.kind, number=message.number, **more, **message.says)

    def query(self, message: Outgoing) -> Said:
        return self._said("query", number=message.number)

    def statement(self, day: date) -> list[Frozen]:
        """Return what is frozen for offset now, by enterprise."""
        answer, _signed = self._ask("statement", day=day.isoformat())
        rows = answer.get("frozen")
        if not isinstance(rows, list) or answer.get("day") != day.isoformat():
            raise LineError("no statement of the day")
        return [
            _read(lambda row=row: Frozen(_text(row, "uscc", 18), _whole(row["quantity"], least=0)))
            for row in rows
        ]

    def _said(self, what: str, **content: Any) -> Said:
        answer, signed = self._ask(what, **content)
        outcome = str(answer.get("outcome", ""))
        if outcome not in ("done", "refused", "unknown"):
            raise LineError(f"outcome {outcome[:20]}")
        if answer.get("number") != content["number"]:
            raise LineError("an answer about another message")
        quantity = answer.get("quantity")
        return Said(
            MessageState(outcome),
            signed,
            None if quantity is None else _read(lambda: _whole(quantity)),
            _read(lambda: _text(answer, "reason", 200, may_lack=True)),
            answer.get("is_missing") is True,
        )

    def _ask(self, what: str, **content: Any) -> tuple[Mapping[str, Any], str]:
        """Send one message and return the answer, read and as it was signed."""
        message = str(uuid4())
        asked = {"version": VERSION, "message": message, "at": int(time.time()), "type": what}
        body = signed(asked | content, self._own).encode()
        try:
            answer = self._pool.request(
                "POST", f"{self._address}/v1", body=body,
                headers={"Content-Type": "application/jose"},
                timeout=self._timeout, redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                found, status = answer.read(LARGEST_ANSWER), answer.status
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise LineError(type(error).__name__) from error
        if status != 200:
            raise LineError(f"HTTP {status}")
        text = found.decode("ascii", "replace")
        said = self._verified(text)
        if said.get("in_reply_to") != message:
            raise LineError("an answer to something else")
        return said, text

    def _verified(self, text: str) -> dict[str, Any]:
        """Return what a JWS of theirs says.  Raises LineError for a wrong signature or version."""
        try:
            found = json.loads(verified(text, self._theirs))
        except (JoseError, ValueError) as error:
            raise LineError("signature or JSON") from error
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise LineError("another version")
        return found

    def _incoming(self, text: Any) -> Incoming:
        if not isinstance(text, str):
            raise LineError("an item that is not signed")
        return _read(lambda: _item(self._verified(text), text))


def signed(content: Mapping[str, Any], key: ECKey) -> str:
    """Return a content as a compact JWS."""
    body = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return jws.serialize_compact({"alg": ALGORITHM}, body, key)


def verified(text: str, key: ECKey) -> bytes:
    """Return the content of a compact JWS.  Raises JoseError or ValueError."""
    return jws.deserialize_compact(text, key, algorithms=[ALGORITHM]).payload


def _item(said: Mapping[str, Any], content: str) -> Incoming:
    kind = _text(said, "kind", 10)
    if kind not in (BINDING, FREEZE, REPORT, UNFREEZE):
        raise ValueError(kind)
    return Incoming(
        number=_text(said, "number", 40),
        kind=kind,
        ccer_account=_text(said, "ccer_account", 40),
        uscc=_text(said, "uscc", 18),
        name=_text(said, "name", 200),
        content=content,
        unit=_unit(said) if kind in (FREEZE, REPORT) else None,
        serial=_text(said, "serial", 90) if kind == UNFREEZE else "",
    )


def _unit(said: Mapping[str, Any]) -> UnitFacts:
    return UnitFacts(
        project_no=_text(said, "project_no", 40),
        project_name=_text(said, "project_name", 200),
        project_type=_text(said, "project_type", 100),
        period_from=date.fromisoformat(said["period_from"]),
        period_to=date.fromisoformat(said["period_to"]),
        registered_on=date.fromisoformat(said["registered_on"]),
        first_serial=_whole(said["first_serial"]),
        last_serial=_whole(said["last_serial"]),
        quantity=_whole(said["quantity"]),
        in_ets=_flag(said["in_ets"]),
    )


def _read(read: Callable[[], Read]) -> Read:
    """Read a part of an answer; LineError where it is malformed."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LineError(f"malformed: {error}"[:200]) from error


def _text(said: Mapping[str, Any], name: str, most: int, *, may_lack: bool = False) -> str:
    """Return a text.  Raises ValueError for what cannot be kept."""
    found = said.get(name)
    if found in (None, "") and may_lack:
        return ""
    if not (isinstance(found, str) and found and len(found) <= most and found.isprintable()):
        raise ValueError(f"{name} is no text of at most {most} characters")
    return found


def _whole(found: Any, least: int = 1) -> int:
    if type(found) is not int or not least <= found <= LARGEST_QUANTITY:
        raise ValueError(f"{found!r} is no whole number")
    return found


def _flag(found: Any) -> bool:
    if type(found) is not bool:
        raise ValueError(f"{found!r} is neither true nor false")
    return found


__all__ = ["CcerLine", "HttpCcerLine", "LineError", "signed", "verified"]
