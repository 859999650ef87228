"""Files for everybody: kept by caches for some minutes, and not sent again where they are the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from flask import Response, request

CACHED = 300  # seconds
_BOM = b"\xef\xbb\xbf"  # Makes Excel read UTF-8.


def csv_content(rows: Iterable[Sequence[str]]) -> bytes:
    """Return lines as a CSV file, as Excel reads it; the cells are guarded already."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return _BOM + file.getvalue().encode()


def public_file(content: bytes, name: str, media_type: str, *, etag: str = "") -> Response:
    """Return a file that anybody may keep and any page may read; 304 where they have it."""
    response = Response(content, mimetype=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return kept(response, etag)


def kept(response: Response, etag: str = "") -> Response:
    """Let caches keep a response, which is the same where its ``etag`` (or else its content) is."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.cache_control.public = True
    response.cache_control.max_age = CACHED
    if etag:
        response.set_etag(etag)
    else:
        response.add_etag()
    response.make_conditional(request)
    return response


def is_known(etag: str) -> bool:
    """Tell whether the reader has this version already, before it is put together."""
    return bool(request.if_none_match) and request.if_none_match.contains_weak(etag)
