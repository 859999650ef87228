"""自愿注销管理 (manual 六-二): the holder cancels allowances for good."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select

from app.domain.kinds.compliance.surrender import VoluntaryCancellation
from app.domain.workflow import Status
from app.models import Application, Attestation
from app.operations.compliance import attestations
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import LinesForm
from app.views.applications.list import usual_filters
from app.views.chapters import CANCELLATIONS, MenuEntry
from app.views.lists.listing import Conditions, RowAction


class VoluntaryCancellationView(ApplicationDesk):
    """自愿注销: the list, and 自愿注销新增."""

    route_base = "/voluntary-cancellations"
    kind = VoluntaryCancellation.code
    title = _("Voluntary cancellations")
    menu = MenuEntry(CANCELLATIONS, 1)
    guide = {"enterprise": "二自愿注销", "province": "查询", "registry": "自愿注销管理"}
    form_title = _("Voluntary cancellation application")
    form = LinesForm
    new_label = _("New voluntary cancellation")
    quantity_title = _("Cancellation quantity")
    filters = usual_filters()
    form_columns = form_columns(_("Cancellation quantity"))
    confirm = _("A cancellation cannot be taken back once it is approved. Submit it for review?")
    help = (
        _("For carbon neutrality and the like: what is cancelled is never issued or traded again"),
        _("A quantity is at most what is available in the registry"),
        _("While it is under review the quantity is held; if it is sent back the quantity returns"),
        _("Save keeps a draft that can be changed, saved again and submitted"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the certificates."""
        statement = super().rows(conditions)
        return statement.outerjoin(
            Attestation, Attestation.application_id == Application.id
        ).add_columns(Attestation.id.label("attestation_id"))

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        yield from self._proof(row.attestation_id)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        yield from super().detail_actions(application, status)
        if application.status == Status.APPROVED:
            found = attestations.of_application(application.id)
            yield from self._proof(found.id if found else None)

    def _proof(self, attestation_id: int | None) -> Iterable[RowAction]:
        if attestation_id and self.may("download", "AttestationView"):
            url = url_for("AttestationView.pdf", id=attestation_id)
            yield RowAction(_("Certificate of cancellation"), url, keeps_place=False)

    def next_step(self, application: Application) -> Any:
        return gettext("The registry reviews it; the quantity is held until then")
