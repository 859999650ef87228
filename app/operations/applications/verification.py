"""Verification that each act has its valid signature, and each signature its act.

What the database could not know when it was written: whether a signature is genuine.  From the
records alone, and the authority's own certificate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import String, select, text

from app.domain.workflow import Action
from app.extensions import db
from app.models import OperatingMode, RevocationList, Signature
from app.operations.applications import evidence
from app.operations.people import certificates, signatures
from app.operations.records.columns import typed
from app.operations.records.log import Report
from app.pki.canonical import canonical, parse
from app.pki.errors import PkiError
from app.pki.revocation import require_list

BATCH = 1000
KEPT = 50  # signatures whose manifests are kept: those of a batch follow one another


@dataclass(slots=True)
class Checked:
    """How much was verified."""

    events: int = 0
    signatures: int = 0


@dataclass(slots=True)
class _Signed:
    """Signatures that were verified: what each says, or why it does not count."""

    lists: signatures.Lists = field(default_factory=dict)
    known: dict[int, tuple[dict[str, Any], dict[str, str], int] | str] = field(default_factory=dict)
    count: int = 0

    def of(self, signature_id: int) -> tuple[dict[str, Any], dict[str, str], int] | str:
        """Return what was signed, its digests by application number, and the signer; or the fault."""
        if signature_id not in self.known:
            if len(self.known) >= KEPT:
                self.known.pop(next(iter(self.known)))
            self.count += 1
            self.known[signature_id] = self._verified(db.session.get_one(Signature, signature_id))
        return self.known[signature_id]

    def _verified(self, row: Signature) -> tuple[dict[str, Any], dict[str, str], int] | str:
        member_id = row.certificate.member_id
        try:
            signed = signatures.require_valid(row, self.lists)
            items = {each["number"]: each["sha256"] for each in signed["payload"].get("items", ())}
        except PkiError as error:
            return error.code
        except (AttributeError, KeyError, TypeError):
            return "malformed"
        finally:
            db.session.expunge(row)  # Manifests are large.
        return signed, items, member_id


def verify_signatures(report: Report) -> Checked:
    """Verify the signatures of all acts since signing is on; add the faults to ``report``.

    Names events without a signature, signatures that do not hold or were made for something else,
    contents that differ from what was signed, and revocation lists that the authority did not make.
    """
    checked = Checked()
    if not signatures.is_required() and db.session.scalar(select(OperatingMode.id)) is None:
        return checked
    mode = select(OperatingMode.signs).order_by(OperatingMode.id.desc()).limit(1)
    if bool(db.session.scalar(mode)) != signatures.is_required():
        report.add("operating_mode", "differs from the configuration: run flask init")
    signed = _Signed()
    for row in db.session.execute(_UNSIGNED, {"machine": evidence.MACHINE_ACTS}):
        report.add("unsigned", f"{row.number}: {row.action}, event {row.id}")
    for row in chain.from_iterable(_batches(_COVERED)):
        checked.events += 1
        wrong = _fault(row, signed)
        if wrong:
            report.add("signature", f"{row.number}: {row.action}, event {row.id}: {wrong}")
    for row in chain.from_iterable(_batches(_ALONE)):
        found = signed.of(row.id)
        if isinstance(found, str):
            report.add("signature", f"signature {row.id}: {found}")
        elif row.purpose != "act":
            report.add("signature_alone", f"signature {row.id}: {row.purpose}, no event")
    _verify_contents(report)
    _verify_lists(report)
    checked.signatures = signed.count
    return checked


def _batches(statement: Any) -> Iterator[Sequence[Any]]:
    """Yield the rows of a statement in batches by their ids."""
    last = 0
    while rows := db.session.execute(statement, {"last": last, "most": BATCH}).all():
        yield rows
        last = rows[-1].id


def _fault(row: Any, signed: _Signed) -> str:
    """Return why a signature does not fit its event, or nothing."""
    found = signed.of(row.signature_id)
    if isinstance(found, str):
        return found
    content, items, member_id = found
    payload, kind = content["payload"], (content["type"], content["payload"].get("schema"))
    if member_id != row.member_id:
        return "other_member"
    if kind == ("submit", evidence.SUBMISSION):
        own = payload["application"]
        fits = own.get("number") == row.number and canonical(own) == row.content.encode()
        return "" if fits and row.action == Action.SUBMIT else "other_content"
    meant = {
        ("submit", evidence.SUBMISSIONS): Action.SUBMIT,
        ("withdraw", evidence.WITHDRAWAL): Action.WITHDRAW,
        ("review", evidence.REVIEW): payload.get("decision"),
    }.get(kind)
    digest = hashlib.sha256(row.content.encode()).hexdigest()
    said = (parse(row.content.encode())["number"], items.get(row.number))
    return "" if meant == row.action and said == (row.number, digest) else "other_content"


def _verify_contents(report: Report) -> None:
    """Compare applications that cannot be edited with what was signed for them, but for names."""
    for rows in _batches(_SUBMITTED):
        present = evidence.contents(sorted({row.application_id for row in rows}))
        for row in rows:
            if not evidence.alike(present[row.application_id].text.decode(), row.content):
                report.add("content", f"{row.number}: differs from what event {row.id} has signed")


def _verify_lists(report: Report) -> None:
    """Name the revocation lists that the authority has not made."""
    lists = select(RevocationList.number, RevocationList.der).order_by(RevocationList.number)
    for number, der in db.session.execute(lists):
        try:
            require_list(certificates.the_authority(), der, number)
        except PkiError as error:
            report.add("crl", f"{number}: {error.code}")


_UNSIGNED = typed(
    """
    SELECT e.id, e.number, e.action FROM event_under_signing e
     WHERE CASE WHEN e.member_id IS NULL
                THEN e.kind || ':' || e.action <> ALL(:machine)
                ELSE e.action NOT IN ('save', 'discard')
                     AND NOT EXISTS (SELECT FROM signature_event x
                                      WHERE x.application_event_id = e.id) END
     ORDER BY e.id
    """,
    machine=String,
)

_COVERED = text(
    """
    SELECT e.id, e.number, e.action, e.member_id, x.signature_id, x.content
      FROM event_under_signing e JOIN signature_event x ON x.application_event_id = e.id
     WHERE e.id > :last ORDER BY e.id LIMIT :most
    """
)

# Nobody submits or withdraws nothing; of a review all may have been refused.
_ALONE = text(
    """
    SELECT s.id, s.purpose FROM signature s
     WHERE s.id > :last AND s.recorded_at > (SELECT min(set_at) FROM operating_mode WHERE signs)
       AND (s.purpose = 'act'
            OR (s.purpose IN ('submit', 'withdraw')
                AND NOT EXISTS (SELECT FROM signature_event x WHERE x.signature_id = s.id)))
     ORDER BY s.id LIMIT :most
    """
)

_SUBMITTED = text(
    """
    SELECT e.id, e.application_id, e.number, x.content
      FROM event_under_signing e JOIN signature_event x ON x.application_event_id = e.id
     WHERE e.id > :last AND e.status IN ('in_review', 'pending_settlement', 'approved', 'withdrawn')
       AND e.id >= coalesce((SELECT max(s.id) FROM application_event s
                              WHERE s.application_id = e.application_id AND s.action = 'submit'), 0)
     ORDER BY e.id LIMIT :most
    """
)
