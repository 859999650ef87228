"""The exchange interface (交易接口), /api/exchange/v1: its blueprint, its description and their routes.

A route of another subject is declared in a file of its own, on this ``blueprint``, and its file is named in
``_ROUTES``; `bearer.needs` opens it to a scope, and `answers` describes what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from importlib import import_module
from typing import Any

from flask import Flask, Response, current_app, jsonify, render_template
from flask_babel import force_locale, gettext
from flask_smorest import Api, Blueprint

from app.domain.machines import SCOPES
from app.domain.trading_day import BEIJING
from app.security.problems import MEDIA_TYPE, TITLES
from app.views.interfaces import token
from app.views.interfaces.bodies import Parser
from app.views.interfaces.schemas import ProblemSchema

PREFIX = "/api/exchange/v1"
NAME = "exchange"
TITLE = "全国碳排放权注册登记系统 交易接口"
_ROUTES = ("transfers", "reading", "days")


class _Blueprint(Blueprint):
    ARGUMENTS_PARSER = Parser()


blueprint = _Blueprint(NAME, __name__, url_prefix=PREFIX, description="交易端与登记系统之间的接口")


class _Api(Api):
    """flask-smorest without error handlers and pages of its own, which would count everywhere."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # Each answer is described.

    def _register_error_handlers(self) -> None:
        """Register none: app/views/frame/errors.py asks whether a machine is to be answered."""

    def _register_doc_blueprint(self) -> None:
        """Register none: the description is a route of ours."""


def answers(*statuses: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Describe the problems that a route answers with, besides those of every route."""

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        for status in sorted({401, 403, 405, 429, *statuses}):
            function = blueprint.alt_response(
                status,
                schema=ProblemSchema,
                content_type=MEDIA_TYPE,
                description=str(TITLES[status]),
            )(function)
        return function

    return decorator


def init_app(app: Flask) -> Blueprint:
    """Add the interface to the application; return its blueprint, which takes no cookies."""
    app.config["EXCHANGE_API_TITLE"] = TITLE
    app.config["EXCHANGE_API_VERSION"] = "1.0.0"
    app.config["EXCHANGE_OPENAPI_VERSION"] = "3.1.0"
    api = _Api(app, config_prefix="EXCHANGE", spec_kwargs={"servers": [{"url": "/"}]})
    app.cli.commands.pop("openapi", None)  # It writes files of what is served here.
    api.spec.components.security_scheme("oauth2", _scheme())
    token.init_app(app)
    for name in _ROUTES:
        import_module(f"{__package__}.{name}")
    with force_locale("zh"):
        api.register_blueprint(blueprint)
    # What describes the routes is not described itself.
    app.add_url_rule(f"{PREFIX}/openapi.json", f"{NAME}.openapi", openapi)
    app.add_url_rule(f"{PREFIX}/", f"{NAME}.reference", reference)
    app.extensions["exchange_api"] = api
    return blueprint


def _scheme() -> dict[str, Any]:
    with force_locale("zh"):
        scopes = {name: str(title) for name, title in SCOPES.items()}
    flow = {"tokenUrl": token.PATH, "scopes": scopes}
    return {
        "type": "oauth2",
        "description": "客户端凭证（RFC 6749），以 private_key_jwt（RFC 7523）签名登录",
        "flows": {"clientCredentials": flow},
    }


def instant(at: datetime) -> str:
    """Return an instant as the interface writes it: Beijing time, to the millisecond."""
    return at.astimezone(BEIJING).isoformat(timespec="milliseconds")


def in_chinese(function: Callable[..., Any]) -> Callable[..., Any]:
    """Answer in Chinese, whatever a cookie says."""

    @wraps(function)
    def answered(*arguments: Any, **more: Any) -> Any:
        with force_locale("zh"):
            return function(*arguments, **more)

    return answered


def described() -> dict[str, Any]:
    """Return the OpenAPI document."""
    found: dict[str, Any] = current_app.extensions["exchange_api"].spec.to_dict()
    return found


@blueprint.route("/token", methods=["POST"])
@blueprint.doc(
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
@blueprint.alt_response(413, schema=ProblemSchema, content_type=MEDIA_TYPE, description="请求过大")
@blueprint.alt_response(429, schema=ProblemSchema, content_type=MEDIA_TYPE, description="请求过多")
@blueprint.alt_response(405, schema=ProblemSchema, content_type=MEDIA_TYPE, description="方法不符")
@in_chinese
def ask_token() -> Response:
    return token.issue()


def openapi() -> Response:
    """Return the description of the interface in OpenAPI 3.1."""
    return jsonify(described())


def reference() -> str:
    """Show the same as a page."""
    with force_locale("zh"):
        return render_template(
            "interfaces/reference.html", spec=described(), title=gettext("Exchange interface")
        )
