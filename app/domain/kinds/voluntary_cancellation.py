"""自愿注销: an enterprise cancels allowances for good (manual 六-二, 管理办法 19)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError
from app.domain.kinds.base import Facts, Kind
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


class VoluntaryCancellation(Kind):
    """Held while the registry reviews it; approved, it leaves the national total and never returns."""

    code = "voluntary_cancellation"
    title = _("Voluntary cancellation")
    prefix = "ZX"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.CANCELLED)

    def check(self, case: Case, facts: Facts) -> None:
        if not case.reason.strip():
            raise RuleError(
                _("Enter the reason for the cancellation"), field="reason", code="reason_missing"
            )
