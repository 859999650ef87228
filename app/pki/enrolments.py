"""Who may be certified: whose signatures an enrolment needs, and what they have to say.

The signing process judges here, by its own journal: whoever signs does so with a certificate that it
issued and that stands, and is what the journal knows from that person's own enrolment
(docs/adr/0071).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from app.domain.roles import KINDS, OF_ENTERPRISES, OPERATOR, REPRESENTATIVE, STAFF
from app.pki import cms
from app.pki.authority import Authority, Usage, require_usable
from app.pki.canonical import one_line, parse
from app.pki.errors import Refused
from app.pki.journal import Known

ENROLMENT = "certificate-enrolment/2"
DEED = "act/1"
ASK, CONFIRM, APPOINT = "certificate.ask", "certificate.confirm", "operator.appoint"
LONGEST_NAME = 200
LONGEST_MEMBER_NAME = 64  # an opening cuts what is longer
AHEAD = timedelta(minutes=10)  # a signer's clock may be ahead
FOUNDERS = frozenset({"system_admin", "security_admin"})
PERSON = ("member_no", "name", "kind", "account")
FORM = {
    "reference": re.compile(r"[0-9]{10}"),
    "member_no": re.compile(r"\S(.{0,62}\S)?"),
    "name": re.compile(rf"\S.{{0,{LONGEST_NAME - 1}}}"),
    "kind": re.compile("|".join(sorted(set(KINDS.values())))),
    "account": re.compile(r".{0,64}"),
    "assurance": re.compile(r"hard|soft"),
}
_OPENED = re.compile(r"[0-9]{11}")  # the number that an opening gives


@dataclass(frozen=True, slots=True)
class Grounds:
    """Who vouches for an enrolment, and by what.  Two may replace a certificate, one may not."""

    by: Sequence[str] = ()
    evidence: Sequence[str] = ()  # digests of what was signed
    application: str = ""  # the opening
    may_replace: bool = True
    is_first: bool = False  # by the bootstrap


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signature that holds: whose, over what."""

    member_no: str
    kind: str
    type: str
    payload: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges enrolments by what the journal tells, at one moment."""

    ours: Authority
    known: Known
    now: datetime
    bootstrap: str = field(default="", repr=False)  # "" where it is closed, or was never made

    def judge(self, person: Mapping[str, str], evidence: Mapping[str, Any]) -> Grounds:
        """Return the grounds on which a person is certified.  Raises PkiError."""
        ways = {
            frozenset({"bootstrap"}): self._by_bootstrap,
            frozenset({"deeds"}): self._by_deeds,
            frozenset({"application", "proposal", "submitted", "approved"}): self._by_application,
        }
        way = ways.get(frozenset(evidence))
        if way is None:
            raise Refused("unsigned")
        grounds = way(person, evidence)
        if self.known.spent & set(grounds.evidence):
            raise Refused("evidence_used")
        if self.known.of_member.get(person["member_no"]) and not grounds.may_replace:
            raise Refused("second_certificate")
        return grounds

    def _by_bootstrap(self, person: Mapping[str, str], evidence: Mapping[str, Any]) -> Grounds:
        """The first administrator of either kind has nobody yet who could sign."""
        given = str(evidence["bootstrap"]).encode()
        if not self.bootstrap or not hmac.compare_digest(given, self.bootstrap.encode()):
            raise Refused("bootstrap")
        if person["kind"] not in FOUNDERS or person["kind"] in self.known.founded:
            raise Refused("bootstrap_closed")
        return Grounds(may_replace=False, is_first=True)

    def _by_deeds(self, person: Mapping[str, str], evidence: Mapping[str, Any]) -> Grounds:
        """Two officers, of whom the one asks and the other confirms; or an operator's representative."""
        deeds = [self._signed(told, person["member_no"]) for told in evidence["deeds"]]
        about = {name: person[name] for name in PERSON}
        acts = [deed.payload.get("act") for deed in deeds]
        for deed in deeds:
            told = deed.payload["values"]
            if (deed.type, deed.payload["schema"], told["person"]) != ("act", DEED, about):
                raise Refused("other_content")
        by = [deed.member_no for deed in deeds]
        if acts == [APPOINT]:
            _require(_appoints(deeds[0], person), "not_entitled")
        elif acts == [ASK, CONFIRM]:
            asked, confirmed = deeds
            _require(confirmed.payload["values"]["asked_sha256"] == asked.digest, "other_content")
            _require(len({*by, person["member_no"]}) == 3, "same_person")
            _require(_confirm([deed.kind for deed in deeds], person["kind"]), "not_entitled")
        else:
            raise Refused("unsigned")
        return Grounds(by, [deed.digest for deed in deeds], may_replace=len(deeds) == 2)

    def _by_application(self, person: Mapping[str, str], evidence: Mapping[str, Any]) -> Grounds:
        """开户 and 证书补办: one officer has submitted it, another approved it."""
        content = base64.b64decode(evidence["application"], validate=True)
        proposed = base64.b64decode(evidence["proposal"], validate=True)
        application, proposal = parse(content), json.loads(proposed)
        item = {"number": application["number"], "sha256": _digest(content)}
        submitted, approved = (
            self._signed(evidence[name], person["member_no"], f" {item['number']}")
            for name in ("submitted", "approved")
        )
        _require(_says(submitted, "submit", application, item), "other_content")
        _require(_says(approved, "review", application, item), "other_content")
        _require(application["proposal_sha256"] == _digest(proposed), "other_content")
        by = [submitted.member_no, approved.member_no]
        digests = [submitted.digest, approved.digest]
        _require(len({*by, person["member_no"]}) == 3, "same_person")
        _require({submitted.kind, approved.kind} == {STAFF}, "not_entitled")
        if application["kind"] == "account_opening":
            self._require_opened(person, application["number"], proposal)
            return Grounds(by, digests, item["number"], may_replace=False)
        _require(application["kind"] == "certificate_replacement", "other_content")
        self._require_replaced(person, application, proposal)
        return Grounds(by, digests)

    def _require_opened(
        self, person: Mapping[str, str], number: str, proposal: Mapping[str, Any]
    ) -> None:
        """The representative of the enterprise that was opened, and of no other."""
        _require(person["kind"] == REPRESENTATIVE, "not_entitled")
        _require(person["account"] == person["member_no"], "not_entitled")
        _require(_OPENED.fullmatch(person["member_no"]) is not None, "not_entitled")
        name = one_line(proposal["name"][1][:LONGEST_MEMBER_NAME])
        _require(name == person["name"], "other_content")
        opened = self.known.openings.get(number, person["member_no"])
        _require(opened == person["member_no"], "evidence_used")
        others = {who for which, who in self.known.openings.items() if which != number}
        _require(person["member_no"] not in others, "second_certificate")

    def _require_replaced(
        self,
        person: Mapping[str, str],
        application: Mapping[str, Any],
        proposal: Mapping[str, Any],
    ) -> None:
        """Somebody of the enterprise that the application names, who stays what they are certified as."""
        number, account = person["member_no"], application["account"]["member_no"]
        _require(application["holder"] == proposal["member_no"] == number, "other_content")
        _require(person["account"] == account, "other_content")
        own = re.fullmatch(rf"{re.escape(account)}(-[0-9]{{2}})?", number)
        _require(own is not None, "not_entitled")
        _require(person["kind"] in OF_ENTERPRISES, "not_entitled")
        _require(self.known.kind_of(person["member_no"]) in ("", person["kind"]), "not_entitled")

    def _signed(self, told: Mapping[str, str], about: str, item: str = "") -> _Signed:
        """Verify a signature by a certificate of ours that stands; it is younger than what it replaces.

        What was verified before for the same person, whose codes are sent again, holds whatever has
        become of the signer's certificate since.  Of a manifest an item is meant.
        """
        content, signature, der = (
            base64.b64decode(told[part], validate=True)
            for part in ("content", "cms", "certificate")
        )
        certificate = x509.load_der_x509_certificate(der)
        issued = self.known.issued.get(f"{certificate.serial_number:x}")
        if issued is None or issued.fingerprint != _digest(der):
            raise Refused("unknown_certificate")
        cms.verify(content, signature, lambda _issuer, serial: own(der, certificate, serial))
        body, digest = parse(content), _digest(content) + item
        _require(body["payload"]["member_no"] == issued.member_no, "other_content")
        if self.known.accepted.get(digest) != about:
            require_usable(self.ours, der, usage=Usage.SIGN, at=self.now)
            if issued.revoked_at or issued.serial in self.known.suspended:
                raise Refused("revoked")
        at = datetime.fromisoformat(body["at"])
        if at > self.now + AHEAD or written(at) < self.known.last_issued(about):
            raise Refused("signed_at")
        return _Signed(issued.member_no, issued.kind, body["type"], body["payload"], digest)


def _appoints(deed: _Signed, person: Mapping[str, str]) -> bool:
    """Tell whether a representative appoints an operator of the own enterprise."""
    is_own = re.fullmatch(rf"{re.escape(deed.member_no)}-[0-9]{{2}}", person["member_no"])
    return (
        deed.kind == REPRESENTATIVE
        and person["kind"] == OPERATOR
        and person["account"] == deed.member_no
        and is_own is not None
    )


def _confirm(by: Sequence[str], kind: str) -> bool:
    """Tell whether two officers of these kinds certify such a person: their own side's, by two."""
    if kind in OF_ENTERPRISES:
        return set(by) == {STAFF}
    return set(by) == FOUNDERS


def _says(
    signed: _Signed, type_: str, application: Mapping[str, Any], item: Mapping[str, str]
) -> bool:
    """Tell whether a submission or a review is of this application, alone or in a manifest."""
    payload = signed.payload
    if signed.type != type_:
        return False
    if payload["schema"] == "submission/1":
        return bool(payload["application"] == application)
    decided = payload.get("decision", "") == ("approve" if type_ == "review" else "")
    return (
        payload["schema"] in ("submissions/1", "review/1") and decided and item in payload["items"]
    )


@dataclass(frozen=True, slots=True)
class _Own:
    der: bytes


def own(der: bytes, certificate: x509.Certificate, serial: int) -> _Own | None:
    """Find a signer's certificate where there is one to choose from."""
    return _Own(der) if certificate.serial_number == serial else None


def written(moment: datetime) -> str:
    """Write a moment as the journal does."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise Refused(code)
