"""Signatures that were kept: whether one still proves what its member did.

What is accepted from a browser is checked by app/security/certificates.py; this is the same check of
what the database holds, where nobody but the signer can have written it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from flask import current_app
from flask_babel import gettext as _

from app.domain.errors import NotAllowed
from app.extensions import db
from app.models import Certificate, Member, RevocationList, Signature
from app.operations.people import certificates
from app.pki import cms
from app.pki.authority import Usage, require_usable
from app.pki.canonical import parse
from app.pki.errors import CertificateRefused, ContentInvalid, PkiError, SignatureRefused
from app.pki.revocation import require_list

CHALLENGE_LIFE = timedelta(minutes=15)
CLOCKS = timedelta(minutes=5)  # by which a member's clock may differ from ours

Lists = MutableMapping[int, x509.CertificateRevocationList]


def is_required() -> bool:
    """Tell whether acts are signed: wherever signing in asks for a certificate."""
    return bool(current_app.config["CERT_LOGIN"] != "off")


def require_timely(at: datetime, recorded_at: datetime, life: timedelta = CHALLENGE_LIFE) -> None:
    """Raise SignatureRefused, code ``time``, for a signature made outside its challenge's life."""
    if not recorded_at - life - CLOCKS <= at <= recorded_at + CLOCKS:
        raise SignatureRefused("time")


def require_valid(row: Signature, lists: Lists | None = None) -> dict[str, Any]:
    """Verify a kept signature as of when it was recorded; return what was signed.

    ``lists`` keeps the revocation lists that were verified already, for many signatures.
    Raises PkiError, whose code names the failed check: malformed, time, type, the codes of
    `cms.verify` and `require_usable`, other_member, crl, revoked.
    """
    try:
        signed = parse(row.content)
        at, payload = datetime.fromisoformat(signed["at"]), signed["payload"]
        kind, member_no = signed["type"], payload["member_no"]
    except (ContentInvalid, KeyError, TypeError, ValueError):
        raise SignatureRefused("malformed") from None
    if at.tzinfo is None or kind != row.purpose:
        raise SignatureRefused("type")
    require_timely(at, row.recorded_at)
    held = row.certificate
    cms.verify(row.content, row.cms, lambda _issuer, serial: held if _is(held, serial) else None)
    authority = certificates.the_authority()
    owner = require_usable(authority, held.der, usage=Usage.SIGN, at=row.recorded_at)
    if not owner == member_no == db.session.get_one(Member, held.member_id).username:
        raise CertificateRefused(
            _("The certificate belongs to another member"), code="other_member"
        )
    _require_unrevoked(row, held, {} if lists is None else lists)
    return dict(signed)


def require_deciding(
    signature_id: int | None, decision: str, comment: str, member_id: int | None
) -> None:
    """Verify the signature that a job carries, and hold its certificate until the transaction ends.

    Raises NotAllowed where there is none of this member over this decision, or it does not count
    any more.
    """
    _require_saying(("review/1", decision, comment), signature_id, member_id)


def require_submitting(signature_id: int, member_id: int | None) -> None:
    """Verify the signature under a manifest of submissions, like `require_deciding`."""
    _require_saying(("submissions/1", None, None), signature_id, member_id)


def _require_saying(
    wanted: tuple[str, str | None, str | None], signature_id: int | None, member_id: int | None
) -> None:
    row = db.session.get(Signature, signature_id) if signature_id else None
    if row is None:
        raise NotAllowed(_("Nobody has signed for what this job was to do"), code="unsigned")
    try:
        payload = require_valid(row)["payload"]
        said = (payload["schema"], payload.get("decision"), payload.get("comment"))
        if said != wanted or row.certificate.member_id != member_id:
            raise SignatureRefused("other_content")
        db.session.refresh(row.certificate, ["state"], with_for_update={"read": True})
        if row.certificate.state != "active":
            raise CertificateRefused(_("The certificate has been revoked"), code="revoked")
    except PkiError as error:
        raise NotAllowed(
            _(
                "The signature for what this job was to do does not count: %(code)s",
                code=error.code,
            ),
            code="signature_invalid",
        ) from error


def _is(certificate: Certificate, serial: int) -> bool:
    return certificate.serial == f"{serial:x}"


def _require_unrevoked(row: Signature, held: Certificate, lists: Lists) -> None:
    """Refuse a certificate that was revoked by then, by our table or by the list of that time."""
    ended = held.revoked_at if held.state == "revoked" else None
    if row.crl_number not in lists:
        der = db.session.get_one(RevocationList, row.crl_number).der
        lists[row.crl_number] = require_list(certificates.the_authority(), der, row.crl_number)
    line = lists[row.crl_number].get_revoked_certificate_by_serial_number(held.serial_number)
    is_listed = line is not None and not _is_on_hold(line)
    if is_listed or (ended is not None and ended <= row.recorded_at.astimezone(UTC)):
        raise CertificateRefused(_("The certificate has been revoked"), code="revoked")


def _is_on_hold(line: x509.RevokedCertificate) -> bool:
    """A certificate that was just resumed may still be on the last list."""
    try:
        found = line.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return found is x509.ReasonFlags.certificate_hold
