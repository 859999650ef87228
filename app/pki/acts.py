"""What the signing process does when it is asked: a few acts, each of a type, judged and recorded.

It believes nobody: what it signs it has put together itself, by its own clock and from its own
journal.  Whoever asks may be a web server that is not ours any more.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from app.pki import authority, cms
from app.pki.authority import Authority, Request, Revocation, Usage, require_usable
from app.pki.canonical import parse
from app.pki.errors import PkiError
from app.pki.journal import Journal

ENROLMENT = "certificate-enrolment/1"
RENEWAL = "certificate-renewal/1"
HOLD = "certificateHold"
REASONS = {flag.value for flag in x509.ReasonFlags} - {"removeFromCRL"}
MOST_SEALS = 10_000  # in one question
LONGEST_NAME = 200

_TEXTS = {
    "reference": re.compile(r"[0-9]{10}"),
    "member_no": re.compile(r"\S(.{0,62}\S)?"),
    "name": re.compile(rf"\S.{{0,{LONGEST_NAME - 1}}}"),
    "assurance": re.compile(r"hard|soft"),
    "opened_by": re.compile(r".{0,64}"),
    "confirmed_by": re.compile(r".{0,64}"),
}
# What each schema that is sealed consists of: nothing else, and nothing less.
_HEX = re.compile(r"[0-9a-f]{64}|")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORD = re.compile(r"\S.{0,99}")
SEALED: dict[str, dict[str, Any]] = {
    "log-head/1": {
        "kind": re.compile("registry-log-head"), "version": int, "day": _DAY, "block": int,
        "rows": int, "root": _HEX, "sealed_at": _WORD, "ledger_root": _HEX,
    },
    "attestation/1": {
        "number": _WORD, "code": _WORD, "kind": re.compile("cancellation|compliance"),
        "member_no": _WORD, "total": int, "issued_at": _WORD, "content_sha256": _HEX,
    },
}  # fmt: skip


class Refused(PkiError):
    """The signing process does not do what was asked; `code` says why."""

    code = "refused"

    def __init__(self, code: str) -> None:
        super().__init__(code, code=code)


@dataclass(slots=True)
class _Issued:
    """What the journal tells of a certificate that it issued."""

    serial: str
    member_no: str
    fingerprint: str
    ends: str
    is_revoked: bool = False


@dataclass
class _Known:
    """What the journal tells, by what is asked."""

    issued: dict[str, _Issued] = field(default_factory=dict)  # by serial
    of_member: dict[str, list[_Issued]] = field(default_factory=lambda: defaultdict(list))
    keys: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)

    def take(self, entry: dict[str, Any]) -> None:
        """Learn what an entry tells."""
        if entry["act"] in ("issue", "renew"):
            made = _Issued(entry["serial"], entry["member_no"], entry["fingerprint"], entry["ends"])
            self.issued[made.serial] = made
            self.of_member[made.member_no].append(made)
            self.keys.add(entry["key"])
            self.references.add(entry.get("reference", ""))
        for serial in entry.get("revoked", ()):
            self.issued[serial].is_revoked = True

    def living(self, member_no: str, now: datetime) -> list[str]:
        """Return the certificates of a person that could be used, or could be again."""
        held = self.of_member.get(member_no, [])
        return [each.serial for each in held if not each.is_revoked and each.ends > _written(now)]


class Acts:
    """The acts, with the keys that they are done with."""

    def __init__(
        self,
        ours: Authority,
        seal: Callable[[bytes], bytes],
        journal: Journal,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ours, self._seal, self._journal, self._clock = ours, seal, journal, clock
        self._one_at_a_time = threading.Lock()
        self._known = _Known()
        for entry in journal.read():
            self._known.take(entry)

    def begin(self) -> None:
        """Note that the process begins."""
        self._note("start", self._clock())

    def issue(self, enrolment: Any, csr: bytes) -> bytes:
        """Return the certificate (DER) that an enrolment leads to, once.

        A person has one: where there is another, the enrolment is a replacement, which two opened,
        and ends it.  Raises Refused; RequestRefused for the request.
        """
        _require_form(enrolment, ENROLMENT, _TEXTS)
        request = self._acceptable(csr)
        by = enrolment["opened_by"], enrolment["confirmed_by"]
        with self._one_at_a_time:
            now = self._clock()
            if enrolment["reference"] in self._known.references:
                raise Refused("reference_used")
            earlier = self._known.living(enrolment["member_no"], now)
            if earlier and (not all(by) or by[0] == by[1]):
                raise Refused("second_certificate")
            return self._certify(
                "issue", request, enrolment["member_no"], enrolment["name"], now, earlier,
                reference=enrolment["reference"], assurance=enrolment["assurance"],
                opened_by=by[0], confirmed_by=by[1],
            )  # fmt: skip

    def renew(self, certificate: bytes, csr: bytes, content: bytes, signature: bytes) -> bytes:
        """Return the successor (DER) of a certificate, which has signed for the request.

        An earlier successor that the person never came to use ends.  Raises PkiError.
        """
        request = self._acceptable(csr)
        told = parse(content)
        with self._one_at_a_time:
            now = self._clock()
            member_no = require_usable(self._ours, certificate, usage=Usage.SIGN, at=now)
            old = x509.load_der_x509_certificate(certificate)
            known = self._known.issued.get(f"{old.serial_number:x}")
            if known is None or known.fingerprint != _digest(certificate):
                raise Refused("unknown_certificate")
            if known.is_revoked:
                raise Refused("revoked")
            cms.verify(content, signature, lambda _issuer, serial: _own(certificate, old, serial))
            asked = {
                "schema": RENEWAL,
                "member_no": member_no,
                "serial": known.serial,
                "request_sha256": _digest(csr),
            }
            if (told["type"], told["payload"]) != ("renew", asked):
                raise Refused("other_content")
            earlier = [s for s in self._known.living(member_no, now) if s != known.serial]
            return self._certify(
                "renew", request, member_no, authority.common_name(old), now, earlier,
                renews=known.serial,
            )  # fmt: skip

    def list_revoked(self, number: int, lines: list[Any]) -> bytes:
        """Return the list of revoked and suspended certificates, by our own clock."""
        if type(number) is not int or number < 1:
            raise Refused("question")
        revoked = [_line(each) for each in lines]
        now = self._clock()
        der = authority.make_crl(self._ours, number, revoked, now=now.replace(microsecond=0))
        with self._one_at_a_time:
            news = self._news(revoked)
            self._note("crl", now, crl=number, lines=len(revoked), sha256=_digest(der), **news)
        return der

    def answer_ocsp(self, question: bytes, found: Any) -> bytes:
        """Answer an OCSP request; `found` is what the table has: yes, no, or when and why revoked.

        Nothing is good that was not issued here, or that is known to be revoked.
        """

        def status(serial: int) -> Revocation | bool:
            known = self._known.issued.get(f"{serial:x}")
            if isinstance(found, list):
                return _line([f"{serial:x}", *found])
            if known is None or found is not True:
                return False
            if known.is_revoked:
                raise Refused("revoked")
            return True

        now = self._clock().replace(microsecond=0)
        return authority.answer_ocsp(self._ours, question, status, now=now)

    def seal(self, contents: list[Any]) -> list[bytes]:
        """Return the seal's signatures over canonical contents of the schemas that are sealed."""
        if not 0 < len(contents) <= MOST_SEALS:
            raise Refused("question")
        for content in contents:
            told = parse(content)
            schema = told.get("schema") if isinstance(told, dict) else None
            if schema not in SEALED:
                raise Refused("schema")
            _require_form(told, schema, SEALED[schema])
        with self._one_at_a_time:
            signatures = [self._seal(content) for content in contents]
            self._note("seal", self._clock(), sha256=[_digest(each) for each in contents])
        return signatures

    def head(self) -> dict[str, Any]:
        """Return how far the journal has come."""
        return {"entries": self._journal.entries, "root": self._journal.root}

    def _acceptable(self, csr: bytes) -> Request:
        """Read a certificate request with a key that was never certified, ours included."""
        request = authority.read_request(csr, self._ours.suite)
        own = {authority.spki_in(each) for each in (self._ours.root, self._ours.certificate)}
        if request.spki in own or _digest(request.spki) in self._known.keys:
            raise Refused("key_used")
        return request

    def _certify(
        self, act: str, request: Request, member_no: str, name: str, now: datetime,
        earlier: list[str], **origin: str,
    ) -> bytes:  # fmt: skip
        if _digest(request.spki) in self._known.keys:  # Of two at once, one was quicker.
            raise Refused("key_used")
        now = now.replace(microsecond=0)
        made = authority.issue(self._ours, request, member_no=member_no, name=name, now=now)
        der = made.public_bytes(Encoding.DER)
        more: dict[str, Any] = {"revoked": earlier} if earlier else {}
        self._note(
            act, now, serial=f"{made.serial_number:x}", member_no=member_no,
            fingerprint=_digest(der), key=_digest(request.spki),
            ends=_written(made.not_valid_after_utc), **origin, **more,
        )  # fmt: skip
        return der

    def _news(self, revoked: list[Revocation]) -> dict[str, list[str]]:
        """Return which of our certificates are revoked for good, and were not when last heard of."""
        final = (f"{line.serial:x}" for line in revoked if line.reason != HOLD)
        issued = self._known.issued
        news = [serial for serial in final if serial in issued and not issued[serial].is_revoked]
        return {"revoked": news} if news else {}

    def _note(self, act: str, now: datetime, **what: Any) -> None:
        self._journal.add(act, _written(now), **what)
        self._known.take({"act": act, **what})


@dataclass(frozen=True, slots=True)
class _Own:
    der: bytes


def _own(der: bytes, certificate: x509.Certificate, serial: int) -> _Own | None:
    return _Own(der) if certificate.serial_number == serial else None


def _require_form(content: Any, schema: str, parts: dict[str, Any]) -> None:
    """Raise Refused unless content has the parts of its schema, each in its form, and no others."""
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise Refused("schema")
    if set(content) != {"schema", *parts}:
        raise Refused("parts")
    for name, form in parts.items():
        value = content[name]
        if form is int:
            fits = type(value) is int and value >= 0
        else:
            fits = isinstance(value, str) and form.fullmatch(value) is not None
        if not fits:
            raise Refused(f"part_{name}")


def _line(told: Any) -> Revocation:
    """Read a line of a list: serial in hex, when in seconds, and why."""
    serial, at, reason = told
    number = int(serial, 16)
    if not 0 < number < 2**160 or type(at) is not int or reason not in REASONS:
        raise Refused("question")
    return Revocation(number, datetime.fromtimestamp(at, UTC), reason)


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
