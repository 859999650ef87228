"""证书补办: two officers replace the certificate of a lost or broken USBKey (security.md 4)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Rule, Violation
from app.domain.workflow import Party

HAS_HOLDER = Rule(
    "holder_missing",
    _("Choose the certificate that is to be replaced"),
    lambda case, facts: None if case.proposal.get("member_no") else Violation(),
    at=BOTH,
)


class CertificateReplacement(Kind):
    """The old certificate is valid until the new one is issued, unless it is revoked before."""

    code = "certificate_replacement"
    title = _("Certificate replacement")
    prefix = "BZ"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    certifies = True
    debits = False
    rules = (HAS_HOLDER, HAS_REASON)
