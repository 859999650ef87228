"""The token endpoint: client credentials with a signed assertion (RFC 6749 4.4, RFC 7523), by Authlib."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask, Response, current_app, jsonify, request
from flask_babel import force_locale
from flask_babel import gettext as _
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from app.domain.machines import ALGORITHMS, ALL_SCOPES, CLIENT_CODE, KEY_ID
from app.extensions import transaction
from app.operations.people import machine_sign_in
from app.operations.people.machine_sign_in import Client
from app.operations.records import clock
from app.security.problems import MACHINES, Fault
from app.views.interfaces.bearer import certificate_shown, require_within
from app.views.interfaces.bodies import read_body

LONGEST_LIFE = 300  # seconds from now to an assertion's exp
LEEWAY = 30  # seconds by which clocks may differ
LONGEST_JTI = 200
MOST_TOKENS = 20  # of a client a minute; one serves for ten
_METHOD = "private_key_jwt"
_COMPACT = re.compile(r"[\w-]{1,2000}\.[\w-]{1,4000}\.[\w-]{1,2000}", re.ASCII)


class _Client(ClientMixin):
    """A client of ours in Authlib's words."""

    def __init__(self, known: Client) -> None:
        self.known = known
        self.key_id = 0  # of the key that signed

    def get_client_id(self) -> str:
        return self.known.code

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return what is asked for, or all of the client's; never less than what is asked for."""
        wanted = (scope or "").split() or list(self.known.scopes)
        if not set(wanted) <= set(self.known.scopes):
            raise InvalidScopeError()
        return " ".join(each for each in ALL_SCOPES if each in wanted)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == _METHOD and endpoint == "token"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class _Assertion(JWTBearerClientAssertion):
    """An assertion by one of the client's registered keys, which its ``kid`` names."""

    CLIENT_AUTH_METHOD = _METHOD

    def __call__(self, query_client: Any, request: Any) -> Any:
        """Return the client of a valid assertion.  Raises InvalidClientError, whatever is in it."""
        if not _COMPACT.fullmatch(request.form.get("client_assertion", "")):
            raise InvalidClientError(description="client_assertion is missing or no JWT")
        try:
            return super().__call__(query_client, request)
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise InvalidClientError(description="Invalid JWT assertion.") from error

    def get_audiences(self) -> list[str]:
        return [f"{current_app.config['SITE_URL']}{MACHINES}{request.blueprint}/v1/token"]

    def resolve_client_public_key(self, client: _Client) -> Any:
        """Return the key that the assertion names, where it counts today."""
        headers, _claims = self.extract_assertion(request.form["client_assertion"])
        kid = headers.get("kid")
        if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
            raise InvalidClientError(description="The header needs the kid of a registered key")
        key = machine_sign_in.find_key(client.known.id, kid, clock.now().date())
        if key is None:
            raise InvalidClientError(description="The key is not registered, over, or revoked")
        client.key_id = key.id
        return jwk.import_key(key.jwk)

    def process_assertion_claims(self, assertion: str, resolve_key: Any) -> Any:
        """Verify the signature, by an algorithm of the key's type, then the claims."""
        try:
            token = jwt.decode(
                assertion, resolve_key, algorithms=list(ALGORITHMS[resolve_key.key_type])
            )
        except JoseError as error:
            raise InvalidClientError(description="The signature does not hold") from error
        self.verify_claims(token.claims)
        return token.claims

    def validate_jti(self, claims: Any, jti: Any) -> bool:
        """Check that an assertion is young and used for the first time; its client is known by now."""
        expires = claims["exp"]
        if not isinstance(jti, str) or not 1 <= len(jti) <= LONGEST_JTI:
            raise InvalidClientError(description="jti is a text of 1 to 200 characters")
        if not isinstance(expires, int) or not expires - time.time() <= LONGEST_LIFE + LEEWAY:
            raise InvalidClientError(description="exp lies more than 5 minutes ahead")
        over = datetime.fromtimestamp(expires + LEEWAY, UTC)
        client = _query(claims["sub"])
        assert client is not None
        headers, _claims = self.extract_assertion(request.form["client_assertion"])
        key = machine_sign_in.find_key(client.known.id, headers["kid"], clock.now().date())
        return key is not None and machine_sign_in.use_assertion(key.id, jti, over)


class _Grant(ClientCredentialsGrant):
    """Client credentials, by private_key_jwt alone."""

    TOKEN_ENDPOINT_AUTH_METHODS = [_METHOD]

    def validate_token_request(self) -> None:
        """Check client, scope and, where the client is bound to one, its certificate."""
        super().validate_token_request()
        client: _Client = self.request.client
        wanted = client.known.certificate
        if wanted and wanted != certificate_shown():
            raise InvalidClientError(description="The client certificate is another one")
        client.get_allowed_scope(self.request.payload.scope)


def _query(code: str) -> _Client | None:
    known = (
        machine_sign_in.find_client(code, clock.now().date())
        if CLIENT_CODE.fullmatch(code)
        else None
    )
    if known and known.interface != request.blueprint:
        raise InvalidClientError(description="This client signs in at another interface")
    return _Client(known) if known else None


def _save(token: dict[str, Any], oauth: Any) -> None:
    client: _Client = oauth.client
    counter = f"sign-in:{client.known.id}"
    require_within(machine_sign_in.count_request(counter, datetime.now(UTC)), MOST_TOKENS)
    machine_sign_in.save_token(
        token["access_token"],
        client.key_id,
        token["scope"].split(),
        certificate=client.known.certificate,
        ip=request.remote_addr or "",
    )


def _generate(client: _Client, scope: str | None = None, **_more: Any) -> dict[str, Any]:
    """Make a token, which Authlib calls with much that is of no use here."""
    return {
        "token_type": "Bearer",
        "access_token": machine_sign_in.new_token(),
        "expires_in": int(machine_sign_in.TOKEN_LIVES.total_seconds()),
        "scope": client.get_allowed_scope(scope),
    }


class _Server(AuthorizationServer):
    """Authlib's server, which reads forms alone."""

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Response:
        """Answer as RFC 6749 5.2 says, with our code and Chinese text beside it."""
        with force_locale("zh"):
            return _refusal(error)


def _refusal(error: OAuth2Error) -> Response:
    details = {
        "invalid_client": _(
            "The client cannot be recognised by its assertion; see error_description"
        ),
        "invalid_scope": _("The client has not all of the scopes that it asks for"),
        "unsupported_grant_type": _("grant_type is client_credentials"),
    }
    code = error.error or "invalid_request"
    detail = details.get(code, _("The request of a token cannot be read"))
    fields = {"invalid_scope": "scope", "unsupported_grant_type": "grant_type"}
    fault = Fault(code, detail, fields.get(code, "client_assertion"))
    body = {
        "error": code,
        "error_description": error.description or code,
        "errors": [{"code": fault.code, "field": fault.field, "detail": fault.detail}],
    }
    status = 401 if code == "invalid_client" else 400
    answer: Response = jsonify(body)
    answer.status_code = status
    if status == 401:
        answer.headers["WWW-Authenticate"] = f'Bearer realm="{request.blueprint}"'
    return answer


def init_app(app: Flask) -> None:
    """Make the server of this application."""
    server = _Server(app, _query, _save)
    server.register_grant(_Grant)
    server.register_client_auth_method(_METHOD, _Assertion())
    server.register_token_generator("client_credentials", _generate)
    app.extensions["machine_sign_in"] = server


def issue() -> Response:
    """Answer a request of a token; addresses are limited, since who asks is not known yet."""
    read_body(request)
    with transaction():
        counter = f"address:{request.remote_addr}"
        taken = machine_sign_in.count_request(counter, datetime.now(UTC))
    require_within(taken, current_app.config["MACHINE_SIGN_INS_PER_MINUTE"])
    with transaction():
        if request.mimetype != "application/x-www-form-urlencoded" or request.args:
            return _refusal(InvalidRequestError("The parameters are a form in the body"))
        answer: Response = current_app.extensions["machine_sign_in"].create_token_response()
    with transaction():
        machine_sign_in.clear_leftovers()
    return answer
