"""Reading of requests: JSON as RFC 8259 has it, addresses and headers, with every fault at once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request, current_app
from flask_babel import gettext as _
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge

from app.security.problems import Fault, Problem, clean
from app.views.interfaces.schemas import faults_of

DEEPEST = 20  # levels of arrays and objects


class Parser(FlaskParser):
    """webargs, with our way of reading JSON and of saying what is wrong."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "query": ma.RAISE, "headers": ma.EXCLUDE}

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the body's JSON, within the schema's own limit where it has one."""
        return read_json(req, most=getattr(schema, "largest", 0))

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Return the query as it is; a parameter twice is a fault."""
        names = Counter(name for name, _value in req.args.items(multi=True))
        twice = [clean(name) for name, count in names.items() if count > 1]
        if twice:
            faults = [
                Fault("parameter_twice", _("%(field)s is there more than once", field=name), name)
                for name in twice
            ]
            raise Problem(422, faults)
        return dict(req.args)

    def load_headers(self, req: Request, schema: ma.Schema) -> Any:
        """Return the headers that the schema names."""
        names = [field.data_key or name for name, field in schema.fields.items()]
        return {name: req.headers[name] for name in names if name in req.headers}

    def handle_error(
        self,
        error: ma.ValidationError,
        req: Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Any,
    ) -> NoReturn:
        """Raise all faults of a part of the request."""
        messages = error.messages
        if isinstance(messages, dict):
            messages = {
                key: value
                for part, inner in messages.items()
                for key, value in (inner if isinstance(inner, dict) else {part: inner}).items()
            }
        status = 400 if any(location in error.messages for location in ("headers",)) else 422
        raise Problem(status, list(faults_of(messages)))


def read_json(req: Request, most: int = 0) -> Any:
    """Return the JSON of a request's body within ``most`` bytes.  Raises Problem 400, 413 or 415."""
    if req.mimetype != "application/json":
        detail = _(
            "Content-Type is application/json; %(typed)s was read", typed=clean(req.mimetype)
        )
        raise Problem(415, [Fault("wrong_type", detail, "Content-Type")])
    body = read_body(req, most)
    try:
        text = body.decode("utf-8")
        found = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
        _require_shallow(found)
    except (ValueError, RecursionError) as error:
        detail = _(
            "The body is not JSON in UTF-8 that can be read here: %(why)s", why=clean(str(error))
        )
        raise Problem(400, [Fault("malformed_json", detail)]) from error
    return found


def read_body(req: Request, most: int = 0) -> bytes:
    """Return the body within ``most`` bytes, by default the limit of machines.  Raises Problem 413."""
    most = most or current_app.config["MACHINE_BODY_BYTES"]
    req.max_content_length = most
    try:
        return req.get_data(cache=True)
    except RequestEntityTooLarge as error:
        detail = _("A body has at most %(most)s bytes", most=f"{most:,}")
        raise Problem(413, [Fault("too_large", detail)]) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _require_shallow(value: Any, level: int = 1) -> None:
    if level > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels")
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for child in children:
            _require_shallow(child, level + 1)
