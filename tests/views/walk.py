"""One walk over the pages of a role, for every test that looks at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app.extensions import db
from app.security.roles import ROLES
from tests.views.toys import counting

# The tests of a role run in one process, so that its pages are drawn once.
EVERY_ROLE = [pytest.param(role, marks=pytest.mark.xdist_group(f"walk-{role}")) for role in ROLES]


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as it was answered."""

    status: int
    headers: Mapping[str, str]
    mimetype: str
    text: str
    statements: int
    wrote: bool  # something that no transaction() of the page committed


ASKING = "SELECT pg_current_xact_id_if_assigned()"
_walks: dict[str, dict[str, Seen]] = {}


def walk(app: Flask, browser: FlaskClient, role: str, addresses: Iterable[str]) -> dict[str, Seen]:
    """Return the pages at the addresses, as a member with the role sees them in a fresh world."""
    if role not in _walks:
        _walks[role] = {address: look(app, browser, address) for address in addresses}
    return _walks[role]


def look(app: Flask, browser: FlaskClient, address: str) -> Seen:
    """Open a page, counting its statements: a first one may read what is kept from then on."""
    with unfinished(app) as wrote, counting(app) as statements, browser.get(address) as page:
        body = page.text if page.mimetype == "text/html" else ""
        headers = dict(page.headers)
    number = len([each for each in statements if not each.startswith(("SAVEPOINT", ASKING))])
    return Seen(page.status_code, headers, page.mimetype, body, number, any(wrote))


@contextmanager
def unfinished(app: Flask) -> Iterator[list[bool]]:
    """Collect, at the end of each request, whether its transaction has written something."""
    found: list[bool] = []

    def ask(_error: BaseException | None) -> None:
        found.append(db.session.scalar(text(ASKING)) is not None)

    ends = app.teardown_request_funcs.setdefault(None, [])
    ends.append(ask)  # The last one runs first.
    try:
        yield found
    finally:
        ends.remove(ask)
