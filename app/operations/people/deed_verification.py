"""Verification of signed deeds: every enrolment and every change of a certificate has its signatures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.models import CertificateEnrolment, OperationLog, Signature
from app.operations.people import signatures
from app.pki.errors import PkiError

AT_ONCE = 1000
_CHANGES = ("suspend", "resume", "revoke")


def faults() -> Iterator[str]:
    """Name each enrolment and each change of a certificate without the signatures that it takes.

    Where signing is off there are none.  Of an application's signatures, holder and form are verified
    here; that they are of the application is the evidence's to verify.
    """
    if not signatures.is_required():
        return
    enrolments = select(CertificateEnrolment).order_by(CertificateEnrolment.id)
    for row in db.session.scalars(enrolments.execution_options(yield_per=AT_ONCE)):
        if row.opened_by is not None and not _is_signed(row):
            yield f"enrolment {row.reference}: not signed as it says"
    for entry in db.session.scalars(
        select(OperationLog)
        .where(OperationLog.action.in_([f"certificate.{act}" for act in _CHANGES]))
        .where(OperationLog.detail.has_key("remark"))  # What follows from another act has none.
        .order_by(OperationLog.id)
        .execution_options(yield_per=AT_ONCE)
    ):
        if not _is_signed_change(entry):
            yield f"operation_log {entry.id}: the change of {entry.subject} is not signed"


def _is_signed(row: CertificateEnrolment) -> bool:
    """Tell whether those who opened an enrolment have signed for its person."""
    by = [(row.signature_id, row.opened_by)]
    if row.confirmed_by is not None:
        by.append((row.confirming_signature_id, row.confirmed_by))
    for signature_id, member_id in by:
        told = _content(signature_id, member_id)
        if told is None:
            return False
        if told["type"] == "act" and _person(told) != row.member.username:
            return False
    return True


def _is_signed_change(entry: OperationLog) -> bool:
    told = _content(entry.detail.get("signature"), entry.member_id)
    if told is None or told["type"] != "act":
        return False
    payload = told["payload"]
    return bool(payload["act"] == entry.action and payload["values"].get("serial") == entry.subject)


def _person(told: dict[str, Any]) -> str:
    return str(told["payload"]["values"]["person"]["member_no"])


def _content(signature_id: int | None, member_id: int | None) -> dict[str, Any] | None:
    """Return what a member has signed; None where the signature does not hold."""
    row = db.session.get(Signature, signature_id) if signature_id else None
    if row is None or row.certificate.member_id != member_id:
        return None
    try:
        return signatures.require_valid(row)
    except PkiError:
        return None
