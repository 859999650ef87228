"""暂时无法服务: a page for when the database does not answer, which reads nothing from it."""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import suppress
from typing import Any

from flask import Flask, current_app, g, render_template, request
from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, TimeoutError
from werkzeug.wrappers import Response

from app.extensions import db
from app.security import problems

SECONDS = 5  # after which to ask again
# Never sent back to the browser; a form with one of them is filled in anew.
_SECRET = re.compile(r"password|captcha|(?:^|[-_])(?:pin|code)$", re.IGNORECASE)
logger = logging.getLogger(__name__)


class _Incident:
    """Writes one line for a database that is gone, and one for each minute that it stays away."""

    EVERY = 60.0  # seconds

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = -self.EVERY
        self._failed = 0

    def note(self, error: SQLAlchemyError) -> None:
        """Count a request that failed, and tell it where nothing was told within a minute."""
        with self._lock:
            self._failed += 1
            if time.monotonic() - self._told < self.EVERY:
                return
            self._told, failed, self._failed = time.monotonic(), self._failed, 0
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        logger.error("the database does not answer (%s failed requests): %s", failed, reason)


def init_app(app: Flask) -> None:
    """Answer 503 where a statement finds no database, no free connection, or no room to write."""
    app.extensions["incident"] = _Incident()
    for kind in (OperationalError, InterfaceError, TimeoutError):
        app.register_error_handler(kind, _unavailable)


def be_independent() -> None:
    """Let the rest of the request read neither the member nor the frame from the database."""
    g.is_broken = True
    g.pop("frame", None)
    g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined]
    with suppress(SQLAlchemyError):
        db.session.rollback()


def _unavailable(error: SQLAlchemyError) -> Any:
    current_app.extensions["incident"].note(error)
    be_independent()
    headers = {"Retry-After": str(SECONDS)}
    if problems.is_asked_by_machine():
        with force_locale("zh"):
            detail = _("The database does not answer; send the same request again")
            return problems.answer(503, [problems.Fault("unavailable", detail)], headers)
    page = render_template(
        "frame/unavailable.html",
        address=request.full_path.removesuffix("?"),
        is_form=request.method == "POST",
        fields=_fields(),
        files=[file.filename for file in request.files.values() if file.filename],
    )
    return Response(page, 503, headers, mimetype="text/html")


def _fields() -> list[tuple[str, str]] | None:
    """Return what a form sent, to be sent again as it was; None where it holds a secret."""
    sent = [(name, text) for name, text in request.form.items(multi=True) if name != "csrf_token"]
    return None if any(_SECRET.search(name) for name, _text in sent) else sent
