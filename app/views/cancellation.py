"""自愿注销管理 (manual 六-二): allowances that their holder gives up for good."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.kinds.voluntary_cancellation import VoluntaryCancellation
from app.models import Application
from app.views.application_desk import ApplicationDesk
from app.views.application_form import LinesForm
from app.views.application_list import usual_filters


class VoluntaryCancellationView(ApplicationDesk):
    """自愿注销: the list, 自愿注销新增 and what became of it."""

    route_base = "/voluntary-cancellations"
    kind = VoluntaryCancellation.code
    title = _("Voluntary cancellations")
    form_title = _("Voluntary cancellation application")
    form = LinesForm
    new_label = _("New voluntary cancellation")
    quantity_title = _("Cancellation quantity")
    filters = usual_filters("draft", "in_review", "approved", "returned", "withdrawn")
    form_columns = (
        {"label": _("Instrument code"), "kind": "code"},
        {"label": _("Instrument name"), "kind": "text"},
        {"label": _("Available quantity"), "kind": "number", "unit": _("tonnes")},
        {
            "label": _("Cancellation quantity"),
            "kind": "quantity",
            "unit": _("tonnes"),
            "is_required": True,
        },
    )
    confirm = _("A cancellation cannot be taken back once it is approved. Submit it for review?")
    help = (
        _("For carbon neutrality and the like: what is cancelled is never issued or traded again"),
        _("The quantity must not be above what is available in the registry"),
        _("While it is under review the quantity is held; if it is sent back the quantity returns"),
        _("Save keeps a draft that can be changed, saved again and submitted"),
    )

    def next_step(self, application: Application) -> Any:
        """Say who reviews it."""
        return gettext("The registry reviews it; the quantity is held until then")
