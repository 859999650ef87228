"""自愿注销: an enterprise permanently cancels allowances (manual 六-二, 管理办法 19)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import HAS_REASON
from app.domain.moves import Bucket
from app.domain.workflow import Party


class VoluntaryCancellation(Kind):
    """Reserved while the registry reviews it; final on approval."""

    code = "voluntary_cancellation"
    title = _("Voluntary cancellation")
    prefix = "ZX"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.CANCELLED)
    rules = (HAS_REASON,)
