"""附件: files of an application, for those who may see the application."""

from __future__ import annotations

from urllib.parse import quote

from flask import Response, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _

from app.domain.errors import NotFound
from app.extensions import db, transaction
from app.models.files import Attachment
from app.operations.applications import attachments
from app.operations.records.log import record
from app.security.roles import READERS
from app.security.scope import require_application, require_scope
from app.views.page import Page, current_actor


class AttachmentView(Page):
    """Downloads; uploading and removing belong to the form of the application."""

    route_base = "/attachments"
    default_view = "fetch"
    title = _("Attachments")
    grants = {READERS: "download"}

    @expose("/<int:id>")
    @has_access
    @permission_name("download")
    def fetch(self, id: int) -> Response:
        """Send a file as a download, never inline: its content is untrusted."""
        self._require_sight(id)
        found = attachments.read(id)
        # Read before the commit, which expires what was loaded.
        content, name, media_type = found.content, quote(found.name), found.media_type
        actor = current_actor()
        with transaction():
            record(
                actor,
                "attachment.download",
                subject=f"{found.id} {found.name}",
                account_id=found.account_id,
                sha256=found.sha256,
            )
        return Response(
            content,
            mimetype=media_type,
            headers={
                "Content-Disposition": f"attachment; filename=\"attachment\"; filename*=UTF-8''{name}",
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            },
        )

    def _require_sight(self, id_: int) -> None:
        """Raise NotFound unless the member may see the application, or chose the file in a form."""
        found = db.session.get(Attachment, id_)
        if found is None:
            raise NotFound(_("There is no such record"))
        if found.application_id is not None:
            require_application(found.application_id, g.user)
            return
        require_scope(found.account_id, g.user)
        if found.uploaded_by != g.user.id:
            raise NotFound(_("There is no such record"))
