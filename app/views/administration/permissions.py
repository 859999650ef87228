"""权限表: the permissions of each role, generated from the pages; read-only."""

from __future__ import annotations

import csv
import io
from itertools import groupby
from typing import Any

from flask import Response, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.extensions import transaction
from app.operations.records import log
from app.security.manager import permissions
from app.security.permission_sheet import PermissionLine, sheet
from app.security.roles import ADMINISTRATORS, ROLES
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.page import Page, current_actor


class PermissionSheetView(Page):
    """权限表: rows are permissions by menu, columns are roles."""

    route_base = "/permissions"
    default_view = "list"
    title = _("Permission sheet")
    menu = MenuEntry(ADMINISTRATION, 6)
    guide = {"administration": "权限表"}
    grants = {ADMINISTRATORS: "list export"}

    @expose("/", methods=["GET"])
    @has_access
    @permission_name("list")
    def list(self) -> Any:
        lines = sheet()
        columns = [
            {"label": title, "kind": "text" if at < 2 else "tick"}
            for at, title in enumerate(header())
        ]
        tables = [
            {
                "title": menu or gettext("Without a menu"),
                "columns": columns,
                "rows": [cells(line) for line in group],
            }
            for menu, group in groupby(lines, key=lambda line: line.menu)
        ]
        downloads = []
        if ("can_export", self.class_permission_name) in permissions():
            downloads = [(gettext("Export to CSV"), url_for("PermissionSheetView.export"))]
        return self.render_template(
            "administration/sheet.html",
            title=gettext("Permission sheet"),
            tables=tables,
            downloads=downloads,
            help=[
                gettext("Generated from the pages themselves: what is not listed does not exist."),
                gettext(
                    "Roles see the rows of their own enterprise, province or the whole country."
                ),
                gettext(
                    "What a role may do is part of the program and changes with a release alone."
                ),
            ],
        )

    @expose("/export", methods=["GET"])
    @has_access
    @permission_name("export")
    def export(self) -> Response:
        lines = sheet()
        with transaction():
            actor = current_actor()
            log.record(actor, "list.export", subject=type(self).__name__, rows=len(lines))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([gettext("Menu"), *header()])
        writer.writerows([line.menu, *cells(line)] for line in lines)
        return Response(
            "\ufeff" + text.getvalue(),
            mimetype="text/csv",
            headers={"Content-Disposition": "attachment; filename=permissions.csv"},
        )


def header() -> list[str]:
    roles = [str(role.title) for role in ROLES.values()]
    return [gettext("Page of the system"), gettext("Permission"), *roles]


def cells(line: PermissionLine) -> list[str]:
    """Return a line's cells: a tick where the role may."""
    return [line.page, line.words, *("✓" if line.allows(code) else "" for code in ROLES)]
