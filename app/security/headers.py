"""Security headers of every response: CSP, no framing, no caching but of what is made public."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, g, request
from werkzeug.wrappers import Response

logger = logging.getLogger(__name__)

POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    # The USBKey assistant is a popup that posts to its opener (ADR 15).
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
SECURE = {"Strict-Transport-Security": "max-age=31536000"}

# What is answered where even the error page failed: it needs no template, no session and no database.
LAST_PAGE = """<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><title>系统错误</title>
<h1>系统错误</h1>
<p>系统出现问题，本次操作没有办理。请稍后重试；如仍有问题，请拨打服务电话 400-991-1188 转 1。</p>
<p><a href="/">返回首页</a></p>
</html>
"""


def init_app(app: Flask) -> None:
    """Set the headers of every response, and add `csp_nonce()` to templates."""
    app.after_request(_set)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    app.wsgi_app = outermost(app)  # type: ignore[method-assign]


def outermost(app: Flask) -> Callable[..., Iterable[bytes]]:
    """Answer, in Chinese and with the headers, what the application itself could not answer."""
    inner = app.wsgi_app

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            return inner(environ, start_response)
        except Exception:
            if not app.testing:
                logger.exception("no answer to %s", environ.get("PATH_INFO"))
                headers = {**ALWAYS, "Content-Security-Policy": "default-src 'none'",
                           "Cache-Control": "no-store"}  # fmt: skip
                if environ["wsgi.url_scheme"] == "https":
                    headers |= SECURE
                page = Response(LAST_PAGE, 500, headers, mimetype="text/html")
                return page(environ, start_response)
            raise

    return answer


def csp_nonce() -> str:
    """Return the CSP nonce of this response, for its inline script."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return g.csp_nonce


def _set(response: Response) -> Response:
    for name, value in ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", POLICY.format(nonce=csp_nonce()))
    if request.endpoint != "static" and not response.cache_control.public:
        response.headers["Cache-Control"] = "no-store"
    if request.is_secure:
        response.headers.update(SECURE)
    return response
