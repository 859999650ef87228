"""Interfaces beneath /api/: each is a blueprint with a token, an OpenAPI document and the page of it.

A route of another subject is declared in a file of its own, on the interface's ``blueprint``, and its
file is named in ``routes``; `bearer.needs` opens it to a scope, and `answers` describes what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from importlib import import_module
from typing import Any

from flask import Flask, Response, current_app, jsonify, render_template
from flask_babel import force_locale
from flask_smorest import Api, Blueprint

from app.domain.machines import INTERFACES
from app.domain.trading_day import BEIJING
from app.security.problems import MACHINES, MEDIA_TYPE, TITLES
from app.views.interfaces import token
from app.views.interfaces.bodies import Parser
from app.views.interfaces.schemas import ProblemSchema


class _Blueprint(Blueprint):
    ARGUMENTS_PARSER = Parser()


class _Api(Api):
    """flask-smorest without error handlers and pages of its own, which would count everywhere."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # Each answer is described.

    def _register_error_handlers(self) -> None:
        """Register none: app/views/frame/errors.py asks whether a machine is to be answered."""

    def _register_doc_blueprint(self) -> None:
        """Register none: the description is a route of ours."""


# Of any blueprint: it only notes what a function answers.
_DESCRIBING = _Blueprint("described", __name__)


class Interface:
    """An interface, by its name: that of its scopes, blueprint, tokens' realm and in its addresses."""

    def __init__(
        self,
        name: str,
        title: str,
        description: str,
        *,
        routes: Sequence[str],
    ) -> None:
        self.name, self.title, self.routes = name, title, routes
        self.scopes = INTERFACES[name]
        self.prefix = f"{MACHINES}{name}/v1"
        self.blueprint = _Blueprint(name, __name__, url_prefix=self.prefix, description=description)
        self.blueprint.route("/token", methods=["POST"])(ask_token)

    def described(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        found: dict[str, Any] = current_app.extensions[f"{self.name}_api"].spec.to_dict()
        return found

    def openapi(self) -> Response:
        """Return the description of the interface in OpenAPI 3.1."""
        return jsonify(self.described())

    def reference(self) -> str:
        """Show the same as a page."""
        with force_locale("zh"):
            return render_template(
                "interfaces/reference.html", spec=self.described(), prefix=self.prefix
            )

    def add_to(self, app: Flask) -> None:
        """Add the routes to the application."""
        named = self.name.upper()
        app.config[f"{named}_API_TITLE"] = self.title
        app.config[f"{named}_API_VERSION"] = "1.0.0"
        app.config[f"{named}_OPENAPI_VERSION"] = "3.1.0"
        api = _Api(app, config_prefix=named, spec_kwargs={"servers": [{"url": "/"}]})
        app.cli.commands.pop("openapi", None)  # It writes files of what is served here.
        api.spec.components.security_scheme("oauth2", self._scheme())
        for name in self.routes:
            import_module(name)
        with force_locale("zh"):
            api.register_blueprint(self.blueprint)
        # What describes the routes is not described itself.
        app.add_url_rule(f"{self.prefix}/openapi.json", f"{self.name}.openapi", self.openapi)
        app.add_url_rule(f"{self.prefix}/", f"{self.name}.reference", self.reference)
        app.extensions[f"{self.name}_api"] = api

    def _scheme(self) -> dict[str, Any]:
        with force_locale("zh"):
            scopes = {name: str(title) for name, title in self.scopes.items()}
        flow = {"tokenUrl": f"{self.prefix}/token", "scopes": scopes}
        return {
            "type": "oauth2",
            "description": "客户端凭证（RFC 6749），以 private_key_jwt（RFC 7523）签名登录",
            "flows": {"clientCredentials": flow},
        }


def init_app(app: Flask, interfaces: Iterable[Interface]) -> None:
    """Add the interfaces and their one sign-in to the application."""
    token.init_app(app)
    for each in interfaces:
        each.add_to(app)


def answers(*statuses: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Describe the problems that a route answers with, besides those of every route."""

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        for status in sorted({401, 403, 405, 429, *statuses}):
            function = _DESCRIBING.alt_response(
                status,
                schema=ProblemSchema,
                content_type=MEDIA_TYPE,
                description=str(TITLES[status]),
            )(function)
        return function

    return decorator


def instant(at: datetime) -> str:
    """Return an instant as the interfaces write it: Beijing time, to the millisecond."""
    return at.astimezone(BEIJING).isoformat(timespec="milliseconds")


def in_chinese(function: Callable[..., Any]) -> Callable[..., Any]:
    """Answer in Chinese, whatever a cookie says."""

    @wraps(function)
    def answered(*arguments: Any, **more: Any) -> Any:
        with force_locale("zh"):
            return function(*arguments, **more)

    return answered


@Blueprint.doc(
    summary="取得令牌",
    description="以 application/x-www-form-urlencoded 发送；断言每个只用一次，exp 不超过 5 分钟。"
    "令牌 10 分钟有效。",
    requestBody={
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_assertion_type", "client_assertion"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_assertion_type": {
                            "type": "string",
                            "enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
                        },
                        "client_assertion": {"type": "string"},
                        "scope": {"type": "string", "description": "以空格分隔，默认全部"},
                    },
                }
            }
        },
    },
    responses={
        "200": {
            "description": "令牌",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["access_token", "token_type", "expires_in", "scope"],
                        "properties": {
                            "access_token": {"type": "string"},
                            "token_type": {"type": "string", "enum": ["Bearer"]},
                            "expires_in": {"type": "integer"},
                            "scope": {"type": "string"},
                        },
                    }
                }
            },
        },
        **{
            status: {
                "description": description,
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["error", "error_description", "errors"],
                            "properties": {
                                "error": {"type": "string"},
                                "error_description": {"type": "string"},
                                "errors": {"type": "array", "items": {"type": "object"}},
                            },
                        }
                    }
                },
            }
            for status, description in (("400", "请求有误"), ("401", "断言不被接受"))
        },
    },
)
@_DESCRIBING.alt_response(
    413, schema=ProblemSchema, content_type=MEDIA_TYPE, description="请求过大"
)
@_DESCRIBING.alt_response(
    429, schema=ProblemSchema, content_type=MEDIA_TYPE, description="请求过多"
)
@_DESCRIBING.alt_response(
    405, schema=ProblemSchema, content_type=MEDIA_TYPE, description="方法不符"
)
@in_chinese
def ask_token() -> Response:
    return token.issue()
