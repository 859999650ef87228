"""The line to a settlement bank, protocol version 1: signed JSON over HTTP (docs/interfaces/bank.md).

Every request is a POST of one object; every answer names the request and is signed as it is.

    POST <address>/v1          Content-Type: application/json; charset=utf-8
    X-Registry-Time: 1763600000
    X-Registry-Signature: hex of HMAC-SHA256(key, time + "." + body)
    {"version": 1, "message": "<uuid>", "type": "transfer", ...}

    200                        X-Bank-Signature: hex of HMAC-SHA256(key, body)
    {"version": 1, "in_reply_to": "<uuid>", "outcome": "done", ...}
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import urllib3

from app.operations.money.exchange import (
    LINE_CODES,
    DayFile,
    FileRow,
    Incoming,
    OrderState,
    Reply,
    Said,
    Sending,
    ToBind,
)

VERSION = 1
TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
Read = TypeVar("Read")
LARGEST_ANSWER = 64 * 1024 * 1024  # bytes: a file of a day


class LineError(Exception):
    """The bank gave no answer that can be relied upon; whether it acted is not known."""


class BankLine(Protocol):
    """What the registry asks of a bank; another protocol is another class.

    Each raises LineError where there is no valid answer.
    """

    code: str

    def sign_in(self, day: date) -> None: ...
    def sign_out(self, day: date) -> None: ...
    def bind(self, binding: ToBind) -> Said: ...
    def transfer(self, order: Sending, day: date) -> Said: ...
    def query(self, serial: str) -> Said: ...
    def incoming(self) -> list[Incoming]: ...
    def acknowledge(self, item: Incoming, reply: Reply) -> None: ...
    def day_file(self, day: date) -> DayFile | None: ...
    def balance(self) -> int: ...


class HttpBankLine:
    """Protocol version 1 at one address."""

    def __init__(
        self, code: str, address: str, key: str, timeout: urllib3.Timeout = TIMEOUT
    ) -> None:
        self.code, self._address, self._key = code, address.rstrip("/"), key.encode()
        self._timeout = timeout
        self._pool = urllib3.PoolManager(retries=False)

    def sign_in(self, day: date) -> None:
        self._ask("sign_in", day=day.isoformat())

    def sign_out(self, day: date) -> None:
        self._ask("sign_out", day=day.isoformat())

    def bind(self, binding: ToBind) -> Said:
        """Ask the bank to confirm a binding; asking again changes nothing."""
        return self._said(
            "bind",
            binding=str(binding.binding_id),
            member_no=binding.member_no,
            holder_name=binding.holder_name,
            bank_account=binding.bank_account,
        )

    def transfer(self, order: Sending, day: date) -> Said:
        """Send a transfer: once in its life."""
        return self._said(
            "transfer",
            day=day.isoformat(),
            code=LINE_CODES["registry", order.direction],
            serial=order.serial,
            direction=order.direction,
            member_no=order.member_no,
            holder_name=order.holder_name,
            bank_account=order.bank_account,
            currency="CNY",
            amount=_yuan(order.amount),
        )

    def query(self, serial: str) -> Said:
        return self._said("query", serial=serial)

    def incoming(self) -> list[Incoming]:
        """Return what the bank started and we have not answered."""
        answer, _body = self._ask("incoming")
        return [_read(lambda each=each: _incoming(each)) for each in _list(answer, "items")]

    def acknowledge(self, item: Incoming, reply: Reply) -> None:
        self._ask(
            "acknowledge",
            bank_serial=item.bank_serial,
            outcome="done" if reply.is_done else "refused",
            serial=reply.serial,
            reason=reply.reason,
        )

    def day_file(self, day: date) -> DayFile | None:
        """Return the file of a day, None where it is not ready."""
        answer, body = self._ask("day_file", day=day.isoformat())
        if not answer.get("is_ready"):
            return None
        if answer.get("day") != day.isoformat():
            raise LineError("another day's file")
        rows = _list(answer, "transfers")
        return DayFile(day, body, tuple(_read(lambda row=row: _file_row(row)) for row in rows))

    def balance(self) -> int:
        """Return the fen that the bank holds for all participants."""
        answer, _body = self._ask("balance")
        return _read(lambda: _fen(answer["amount"], may_be_negative=True))

    def _said(self, what: str, **content: Any) -> Said:
        answer, body = self._ask(what, **content)
        outcome = str(answer.get("outcome", ""))
        if outcome not in ("done", "refused", "unknown", "reversed"):
            raise LineError(f"outcome {outcome[:20]}")
        serial = content.get("serial")
        if serial is not None and answer.get("serial") != serial:
            raise LineError("an answer about another transfer")
        if "amount" in content and outcome == "done" and answer.get("amount") != content["amount"]:
            raise LineError("an answer with another amount")
        is_carried_out = what in ("transfer", "query") and outcome in ("done", "reversed")
        return Said(
            OrderState(outcome),
            body,
            _text(answer, "bank_serial", 60),
            _text(answer, "platform_serial", 60),
            _text(answer, "reason", 200),
            _read(lambda: _fen(answer["amount"])) if is_carried_out else None,
        )

    def _ask(self, what: str, **content: Any) -> tuple[Mapping[str, Any], str]:
        """Send one message and return the answer, read and as it came."""
        message = str(uuid4())
        asked = {"version": VERSION, "message": message, "type": what, **content}
        body = json.dumps(asked, ensure_ascii=False, sort_keys=True).encode()
        try:
            answer = self._pool.request(
                "POST", f"{self._address}/v1", body=body, headers=self._headers(body),
                timeout=self._timeout, redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                found = answer.read(LARGEST_ANSWER)
                status, signature = answer.status, answer.headers.get("X-Bank-Signature", "")
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise LineError(type(error).__name__) from error
        if status != 200:
            raise LineError(f"HTTP {status}")
        if not hmac.compare_digest(signed(self._key, found), signature):
            raise LineError("signature")
        return self._verified(found, message)

    def _verified(self, found: bytes, message: str) -> tuple[Mapping[str, Any], str]:
        try:
            text = found.decode()
            answer = json.loads(text)
        except ValueError as error:
            raise LineError("no JSON") from error
        is_ours = isinstance(answer, dict) and answer.get("version") == VERSION
        if not is_ours or answer.get("in_reply_to") != message:
            raise LineError("an answer to something else")
        return answer, text

    def _headers(self, body: bytes) -> dict[str, str]:
        moment = str(int(time.time()))
        return {
            "Content-Type": "application/json; charset=utf-8",
            "X-Registry-Time": moment,
            "X-Registry-Signature": signed(self._key, moment.encode() + b"." + body),
        }


def signed(key: bytes, content: bytes) -> str:
    """Return the HMAC-SHA256 of a content, in hex."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _yuan(fen: int) -> str:
    return f"{Decimal(fen) / 100:.2f}"


def _fen(text: Any, *, may_be_negative: bool = False) -> int:
    """Read an amount in yuan with two decimals.  Raises ValueError."""
    try:
        fen = Decimal(str(text)) * 100
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not fen.is_finite() or fen != int(fen) or (fen <= 0 and not may_be_negative):
        raise ValueError(text)
    return int(fen)


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise LineError(f"no {name}")
    return found


def _read(read: Callable[[], Read]) -> Read:
    """Read a part of an answer; LineError where it is malformed."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LineError(f"malformed: {error}"[:200]) from error


def _text(answer: Mapping[str, Any], name: str, most: int, *, is_needed: bool = False) -> str:
    """Return a text of an answer, "" for null.  Raises LineError for what cannot be kept."""
    found = answer.get(name)
    if found is None and not is_needed:
        return ""
    is_fit = isinstance(found, str) and len(found) <= most and found.isprintable()
    if not is_fit or (is_needed and not found):
        raise LineError(f"{name} is no text of at most {most} characters")
    return str(found)


def _incoming(item: Mapping[str, Any]) -> Incoming:
    return Incoming(
        bank_serial=_text(item, "bank_serial", 60, is_needed=True),
        platform_serial=_text(item, "platform_serial", 60),
        member_no=_text(item, "member_no", 20),
        holder_name=_text(item, "holder_name", 200),
        bank_account=_text(item, "bank_account", 60),
        amount=_fen(item["amount"]),
        message=json.dumps(item, ensure_ascii=False, sort_keys=True),
        reverses=_text(item, "reverses", 60),
    )


def _file_row(row: Mapping[str, Any]) -> FileRow:
    outcome = OrderState(row["outcome"])
    if outcome not in (OrderState.DONE, OrderState.REVERSED) or row["direction"] not in (
        "in",
        "out",
    ):
        raise ValueError(row["outcome"])
    return FileRow(
        serial=_text(row, "serial", 60),
        outcome=outcome,
        direction=row["direction"],
        bank_serial=_text(row, "bank_serial", 60, is_needed=True),
        platform_serial=_text(row, "platform_serial", 60),
        member_no=_text(row, "member_no", 20),
        holder_name=_text(row, "holder_name", 200),
        bank_account=_text(row, "bank_account", 60),
        amount=_fen(row["amount"]),
    )


__all__ = ["BankLine", "HttpBankLine", "LineError", "signed"]
