"""Applications that propose personal data: who may read them in clear does so on record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _

from app.extensions import transaction
from app.models import Application
from app.operations.accounts.details import BY_NAME
from app.operations.records import personal_data
from app.views.applications.desk import ApplicationDesk
from app.views.lists.listing import RowAction
from app.views.page import current_actor


class RevealingDesk(ApplicationDesk):
    """A desk whose proposals are shown masked until somebody asks for them in clear."""

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """Personal data can be read in clear by those who may; it is logged."""
        yield from super().detail_actions(application, status)
        if self.may("reveal") and application.proposal:
            yield RowAction(
                _("Show in clear"), self.url("reveal", id=application.id), method="post"
            )

    @expose("/<int:id>/reveal", methods=["POST"])
    @has_access
    @permission_name("reveal")
    def reveal(self, id: int) -> Any:
        """Show the proposal with its personal data in clear; who read it is on record."""
        application = self.load(id)
        with transaction():
            personal_data.record_reading(
                current_actor(),
                [name for name in application.proposal if name in BY_NAME],
                subject=application.number,
                account_id=application.account_id,
            )
        detail = self.detail(*self.found(id), is_clear=True)
        return self.render_template("parts/detail.html", detail=detail)
