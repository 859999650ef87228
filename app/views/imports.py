"""What pages that import tables share: the template to download, and the file that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, abort, request

from app.operations import tables
from app.operations.tables import FORMS, ImportColumn, Table
from app.views.workbook import MEDIA_TYPE

_MEDIA_TYPES = {"csv": "text/csv", "xlsx": MEDIA_TYPE}


def chosen_table(columns: Sequence[ImportColumn], field: str = "file") -> Table:
    """Read the file that came with the form; without one the table says that it is missing."""
    file = request.files.get(field)
    if file is None or not file.filename:
        table = Table("-", "", columns)
        table.refuse(0, "", tables.CHOOSE)
        return table
    return tables.read(file.stream, file.filename, columns)


def template_file(title: Any, columns: Sequence[ImportColumn], form: str) -> Response:
    """Answer with the template as a file, or 404 for a form that there is none of."""
    if form not in FORMS:
        abort(404)
    name = quote(f"{title}.{form}")
    return Response(
        tables.template(columns, form),
        mimetype=_MEDIA_TYPES[form],
        headers={
            "Content-Disposition": f"attachment; filename=\"template.{form}\"; filename*=UTF-8''{name}"
        },
    )
