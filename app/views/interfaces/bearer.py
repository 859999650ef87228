"""The door of the machines' routes: a bearer token of the interface, its scope, the limit of requests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from authlib.oauth2 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenValidator, InvalidTokenError
from flask import current_app, g, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_smorest import Blueprint

from app.domain.machines import ALL_SCOPES, EXCHANGE, MEMBER, PLATFORM
from app.extensions import transaction
from app.operations.exchange.trading import Asker
from app.operations.people import machine_sign_in
from app.operations.people.machine_sign_in import Client
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.certificates import tls_certificate
from app.security.problems import Fault, Problem

MOST_TOKEN = 200  # characters
TITLES = {
    EXCHANGE: _l("the exchange interface"),
    MEMBER: _l("the member interface"),
    PLATFORM: _l("the platform interface"),
}


class _Tokens(BearerTokenValidator):
    """Tokens of our table (RFC 6750), bound to a client certificate where the client is (RFC 8705)."""

    def authenticate_token(self, token_string: str) -> Client | None:
        """Return the client of a token that counts."""
        if len(token_string) > MOST_TOKEN or not token_string.isascii():
            return None
        return machine_sign_in.find_token(token_string, clock.now().date())

    def validate_token(self, token: Client | None, scopes: Any, request: Any) -> None:
        """Raise OAuth2Error for an unknown token, or one whose client certificate is not shown."""
        if token is None or (token.certificate and token.certificate != certificate_shown()):
            raise InvalidTokenError(realm=self.realm)


_protector = ResourceProtector()
_protector.register_token_validator(_Tokens(realm="machines"))


def certificate_shown() -> str:
    """Return the SHA-256 of the request's client certificate in base64url, "" without one."""
    der = tls_certificate()
    if der is None:
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def client() -> Client:
    """Return the client of this request."""
    return g.machine


def asker() -> Asker:
    """Return who asks, as operations record it."""
    who = client()
    actor = Actor(None, who.code, who.name, ip=request.remote_addr or "")
    return Asker(actor, who.id, who.code)


def needs(
    scope: str = "", *, limit: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Open a route to its interface's tokens of a scope, of any without one; it is described as that, too.

    ``limit`` names the setting of a client's calls of this route a minute, besides the one of all.
    """
    assert not scope or scope in ALL_SCOPES

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def guarded(*arguments: Any, **more: Any) -> Any:
            with transaction():
                g.machine, token = _authenticated()
                taken = machine_sign_in.count_call(
                    g.machine.id, token, datetime.now(UTC), ip=request.remote_addr or ""
                )
            require_within(taken, current_app.config["MACHINE_REQUESTS_PER_MINUTE"])
            _require_open(g.machine, scope)
            if limit:
                with transaction():
                    counter = f"{request.endpoint}:{g.machine.id}"
                    taken = machine_sign_in.count_request(counter, datetime.now(UTC))
                require_within(taken, current_app.config[limit])
            return function(*arguments, **more)

        opened_to = [{"oauth2": [scope] if scope else []}]
        described: Callable[..., Any] = Blueprint.doc(security=opened_to)(guarded)
        return described

    return decorator


def _authenticated() -> tuple[Client, str]:
    """Return the client of the request and its token.  Raises Problem 401."""
    try:
        found: Client = _protector.validate_request([], request)
    except OAuth2Error as error:
        is_missing = "Authorization" not in request.headers
        code = "token_missing" if is_missing else "token_invalid"
        detail = _("A token is needed: Authorization: Bearer …")
        if not is_missing:
            detail = _("The token is unknown or over, or its key was revoked; ask for another one")
        header = f'Bearer realm="{request.blueprint}"' + (
            "" if is_missing else ', error="invalid_token"'
        )
        raise Problem(401, [Fault(code, detail)], {"WWW-Authenticate": header}) from error
    return found, request.headers["Authorization"].split()[-1]


def _require_open(found: Client, scope: str) -> None:
    """Raise Problem 403 where a token is of another interface or lacks the scope."""
    header = f'Bearer realm="{request.blueprint}", error="insufficient_scope"'
    if found.interface != request.blueprint:
        detail = _(
            "This token is for %(own)s; it opens nothing at %(other)s",
            own=TITLES[found.interface],
            other=TITLES[str(request.blueprint)],
        )
        raise Problem(403, [Fault("wrong_interface", detail)], {"WWW-Authenticate": header})
    if scope and scope not in found.scopes:
        detail = _("The token lacks the scope %(scope)s", scope=scope)
        header = f'{header}, scope="{scope}"'
        raise Problem(403, [Fault("insufficient_scope", detail)], {"WWW-Authenticate": header})


def require_within(taken: int, most: int) -> None:
    """Raise Problem 429 where a counter is above its limit of a minute."""
    if taken > most:
        wait = str(60 - datetime.now(UTC).second)
        detail = _(
            "At most %(most)s requests a minute; try again in %(wait)s seconds",
            most=most,
            wait=wait,
        )
        raise Problem(429, [Fault("too_many_requests", detail)], {"Retry-After": wait})
