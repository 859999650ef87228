"""Answers to machines where something is wrong: application/problem+json (RFC 9457), in Chinese."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Response, request
from flask_babel import force_locale
from flask_babel import lazy_gettext as _
from werkzeug.exceptions import HTTPException

from app.domain.errors import NotFound, RuleError
from app.domain.machines import EXCHANGE, INTERFACES

MACHINES = "/api/"  # Beneath it programs call; no cookie counts there.
MEDIA_TYPE = "application/problem+json"
LONGEST_SHOWN = 80

TITLES: dict[int, Any] = {
    400: _("The request cannot be read"),
    401: _("Sign in first"),
    403: _("Not permitted"),
    404: _("There is no such record"),
    405: _("This address has no such method"),
    406: _("The answer is JSON alone"),
    409: _("A rule of the registry stands against it"),
    413: _("The request is too large"),
    415: _("The request is not of the type that is read here"),
    422: _("The request has faults"),
    429: _("Too many requests"),
    500: _("System error; nothing was changed"),
    503: _("Not available now"),
}
CODES = {400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "not_found",
         405: "method_not_allowed", 413: "too_large", 415: "wrong_type", 429: "too_many_requests",
         500: "internal_error", 503: "unavailable"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request; ``field`` is its place, as in ``transfers[0].quantity``, or ""."""

    code: str
    detail: str
    field: str = ""


class Problem(HTTPException):
    """All faults of a request, with the status that answers them."""

    def __init__(
        self, status: int, faults: Sequence[Fault], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.code, self.faults, self.sent = status, list(faults), dict(headers or {})


def is_asked_by_machine() -> bool:
    """Tell whether the request is for an address of the machines."""
    return request.path.startswith(MACHINES)


def clean(value: Any) -> str:
    """Return what was read, short enough to be shown and free of what cannot be sent."""
    text = value if isinstance(value, str) else repr(value)
    text = text[: LONGEST_SHOWN + 1].encode("utf-8", "replace").decode()
    text = "".join(each if each.isprintable() else "\ufffd" for each in text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def of_error(error: Exception) -> Response:
    """Return the answer to an error of a request."""
    with force_locale("zh"):
        if isinstance(error, Problem):
            return answer(error.code or 500, error.faults, error.sent)
        if isinstance(error, RuleError):
            status = 404 if isinstance(error, NotFound) else 409
            return answer(status, [Fault(error.code, str(error), error.field)])
        status = error.code if isinstance(error, HTTPException) and error.code else 500
        status = status if status in TITLES else (500 if status >= 500 else 400)
        headers = {}
        if isinstance(error, HTTPException):
            wanted = ("Allow", "Retry-After")
            headers = {name: value for name, value in error.get_headers() if name in wanted}
        return answer(status, [Fault(CODES.get(status, "malformed"), str(TITLES[status]))], headers)


def answer(
    status: int, faults: Sequence[Fault], headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer with these faults."""
    code = faults[0].code if faults else CODES.get(status, "malformed")
    body = {
        "type": f"{_page()}#{code}",
        "title": str(TITLES[status]),
        "status": status,
        "detail": "；".join(fault.detail for fault in faults[:3]),
        "errors": [asdict(fault) for fault in faults],
    }
    text = json.dumps(body, ensure_ascii=False)
    return Response(f"{text}\n", status, dict(headers or {}), mimetype=MEDIA_TYPE)


def _page() -> str:
    """Return the page of the interface that was asked, where its codes are described."""
    asked = (f"{MACHINES}{name}/v1/" for name in INTERFACES)
    return next(
        (page for page in asked if request.path.startswith(page)), f"{MACHINES}{EXCHANGE}/v1/"
    )
