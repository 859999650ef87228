"""People who sign for others' certificates, at a signing process of the tests."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.extensions import db
from app.models import CertificateEnrolment, Member
from app.operations.people import certificates
from app.pki.canonical import canonical
from app.pki.ceremony import make_bootstrap
from app.pki.enrolments import ASK, CONFIRM, DEED, ENROLMENT
from app.pki.requests import request_for
from app.pki.signer import Signer
from app.pki.tokens import GeneratedKey, new_key, sign_with, spki_of
from tests.security.certified import Holder

KINDS = {"T-SYS": "system_admin", "T-SEC": "security_admin", "T-R1": "staff", "T-R2": "staff"}
CODE = "ABCDEFGH23"


def person(member_no: str, kind: str, name: str = "某人", account: str = "") -> dict[str, str]:
    return {"member_no": member_no, "name": name, "kind": kind, "account": account}


@dataclass
class _Key:
    """A key in memory, as a token that holds it alone."""

    key: Any

    def sign(self, _key_id: bytes, data: bytes) -> bytes:
        return sign_with(self.key, data)


class Vouchers:
    """Two administrators and two officers with keys of their own, who sign deeds."""

    def __init__(self, folder: Path, signer: Signer | None = None, kind: str = "p256") -> None:
        self.folder, self.signer, self._kind = folder, signer or Signer(folder), kind
        self.holders: dict[str, Holder] = {}
        self._numbers = itertools.count(9_000_000_000)
        word = make_bootstrap(folder)
        for number, kind in KINDS.items():
            about = person(number, kind)
            first = kind in ("system_admin", "security_admin")
            evidence = {"bootstrap": word} if first else self.evidence(about)
            self.holders[number] = self.certify(about, evidence)

    def reference(self) -> str:
        return str(next(self._numbers))

    def told(self, about: Mapping[str, str], **changed: str) -> dict[str, str]:
        usual = {"schema": ENROLMENT, "reference": self.reference(), "assurance": "hard", **about}
        return usual | changed

    def certify(
        self, about: Mapping[str, str], evidence: Mapping[str, Any] | None = None
    ) -> Holder:
        """Open an enrolment and fetch the certificate."""
        told = self.told(about)
        self.signer.open(told, CODE, evidence if evidence is not None else self.evidence(about))
        key = new_key(self._kind)
        request = request_for(_Key(key), GeneratedKey(b"", spki_of(key)), about["member_no"])
        return Holder(key, self.signer.issue(told["reference"], CODE, request))

    def deed(
        self,
        by: str,
        act: str,
        about: Mapping[str, str],
        holder: Holder | None = None,
        at: datetime | None = None,
        **more: str,
    ) -> dict[str, bytes]:
        """Return a signed deed."""
        values = {"person": dict(about), **more}
        payload = {"schema": DEED, "member_no": by, "act": act, "values": values}
        return self.signed("act", payload, holder or self.holders[by], at)

    def signed(
        self, purpose: str, payload: Mapping[str, Any], holder: Holder, at: datetime | None = None
    ) -> dict[str, bytes]:
        """Return signed content with its signature and certificate."""
        moment = (at or datetime.now(UTC)).isoformat(timespec="seconds")
        challenge = secrets.token_urlsafe(32)
        content = canonical(
            {
                "v": 1,
                "type": purpose,
                "challenge": challenge,
                "payload": dict(payload),
                "at": moment,
            }
        )
        return {
            "content": content, "cms": holder.signature(content), "certificate": holder.der,
        }  # fmt: skip

    def evidence(
        self, about: Mapping[str, str], by: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the two deeds that a person's certificate takes."""
        is_of_enterprise = about["kind"] in ("representative", "operator")
        first, second = by or (("T-R1", "T-R2") if is_of_enterprise else ("T-SEC", "T-SYS"))
        asked = self.deed(first, ASK, about)
        digest = hashlib.sha256(asked["content"]).hexdigest()
        return {"deeds": [asked, self.deed(second, CONFIRM, about, asked_sha256=digest)]}

    def vouch(self, reference: str, code: str) -> None:
        """Sign for an open enrolment of the database, which came about where signing is off."""
        row = db.session.query(CertificateEnrolment).filter_by(reference=reference).one()
        told = certificates.told_of(row, db.session.get_one(Member, row.member_id))
        about = {name: told[name] for name in ("member_no", "name", "kind", "account")}
        self.signer.open(told, code, self.evidence(about))
        db.session.rollback()
