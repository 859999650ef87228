"""What the signing process does when it is asked: a few acts, each of a type, judged and recorded.

It believes nobody: what it signs it has put together itself, by its own clock and from its own
journal.  Whoever asks may be a web server that is not ours any more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from app.pki import authority, cms, enrolments, revocation
from app.pki.authority import Authority, Request, Usage, require_usable
from app.pki.canonical import parse
from app.pki.enrolments import ENROLMENT, FORM, FOUNDERS, Judge, written
from app.pki.errors import Refused
from app.pki.journal import Journal, Known
from app.pki.revocation import Revocation

RENEWAL = "certificate-renewal/1"
HOLD = "certificateHold"
REASONS = {flag.value for flag in x509.ReasonFlags} - {"removeFromCRL"}
MOST_SEALS = 10_000  # in one question
MOST_SKIPPED = 1_000_000  # numbers of lists
LIFETIME = timedelta(days=14)  # of the two codes
TRIES = 5
_CODE = re.compile(r"[0-9A-Z]{10,64}")
# What each schema that is sealed consists of: nothing else, and nothing less.
_HEX = re.compile(r"[0-9a-f]{64}|")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORD = re.compile(r"\S.{0,99}")
SEALED: dict[str, dict[str, Any]] = {
    "log-head/2": {
        "kind": re.compile("registry-log-head"), "version": int, "day": _DAY, "block": int,
        "rows": int, "root": _HEX, "sealed_at": _WORD, "ledger_root": _HEX,
        "journal_entries": int, "journal_root": _HEX,
    },
    "attestation/1": {
        "number": _WORD, "code": _WORD, "kind": re.compile("cancellation|compliance"),
        "member_no": _WORD, "total": int, "issued_at": _WORD, "content_sha256": _HEX,
    },
}  # fmt: skip


class Acts:
    """The acts, with the keys that they are done with."""

    def __init__(
        self,
        ours: Authority,
        seal: Callable[[bytes], bytes],
        journal: Journal,
        *,
        secret: bytes,
        bootstrap: Callable[[], str] = lambda: "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ours, self._seal, self._journal, self._clock = ours, seal, journal, clock
        self._secret, self._bootstrap = secret, bootstrap
        self._one_at_a_time = threading.Lock()
        self._wrong: Counter[str] = Counter()  # codes, by reference
        self._known = Known()
        for entry in journal.read():
            self._known.take(entry)

    def begin(self) -> None:
        """Note that the process begins."""
        self._note("start", self._clock())

    def open(self, enrolment: Any, code: str, evidence: Any) -> dict[str, Any]:
        """Let two codes lead to a certificate of a person, where others have signed for it.

        What was opened for the person before leads nowhere any more.  Raises PkiError.
        """
        _require_form(enrolment, ENROLMENT, FORM)
        if not _CODE.fullmatch(code):
            raise Refused("part_code")
        with self._one_at_a_time:
            now = self._clock()
            if enrolment["reference"] in self._known.references:
                raise Refused("reference_used")
            judge = Judge(self._ours, self._known, now, self._bootstrap())
            grounds = judge.judge(enrolment, evidence)
            person = {name: enrolment[name] for name in FORM}
            self._note(
                "open", now, **person, verifier=self._verifier(enrolment["reference"], code),
                by=list(grounds.by), evidence=list(grounds.evidence),
                application=grounds.application, may_replace=grounds.may_replace,
                is_first=grounds.is_first,
            )  # fmt: skip
        return {"opened": enrolment["reference"]}

    def issue(self, reference: str, code: str, csr: bytes) -> bytes:
        """Return the certificate (DER) that two codes lead to, once, for as long as they are good.

        A person has one: where there is another, two have opened a replacement, which ends it.
        Raises Refused; RequestRefused for the request.
        """
        request = self._acceptable(csr)
        with self._one_at_a_time:
            now = self._clock()
            opened = self._opened(reference, code, now)
            member_no = opened["member_no"]
            earlier = self._known.living(member_no, written(now))
            if self._known.of_member.get(member_no) and not opened["may_replace"]:
                raise Refused("second_certificate")
            if opened["is_first"] and opened["kind"] in self._known.founded:
                raise Refused("bootstrap_closed")
            # An opening holds, whatever becomes of the officers: nobody is replaced by it.
            by = [] if opened["application"] else opened["by"]
            if not all(self._known.living(each, written(now)) for each in by):
                raise Refused("signer_gone")
            der = self._certify(
                "issue", request, member_no, opened["name"], now, earlier, reference=reference,
                kind=opened["kind"], account=opened["account"], assurance=opened["assurance"],
                is_first=opened["is_first"],
            )  # fmt: skip
            if opened["is_first"] and self._known.founded >= FOUNDERS:
                self._note("bootstrap_closed", now)
        return der

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
            if known.revoked_at or known.serial in self._known.suspended:
                raise Refused("revoked")
            cms.verify(
                content, signature, lambda _issuer, serial: enrolments.own(certificate, old, serial)
            )
            asked = {
                "schema": RENEWAL,
                "member_no": member_no,
                "serial": known.serial,
                "request_sha256": _digest(csr),
            }
            if (told["type"], told["payload"]) != ("renew", asked):
                raise Refused("other_content")
            living = self._known.living(member_no, written(now))
            earlier = [serial for serial in living if serial != known.serial]
            return self._certify(
                "renew", request, member_no, authority.common_name(old), now, earlier,
                renews=known.serial,
            )  # fmt: skip

    def list_revoked(self, number: int, lines: list[Any]) -> bytes:
        """Return the list of revoked and suspended certificates, by our own clock.

        It holds whatever the journal knows as revoked, and its number is above that of any before, but
        not so far that nobody could go on from there.
        """
        if type(number) is not int or number < 1:
            raise Refused("question")
        revoked = [_line(each) for each in lines]
        now = self._clock()
        der = revocation.make_crl(self._ours, number, revoked, now=now.replace(microsecond=0))
        with self._one_at_a_time:
            if not self._known.last_list < number <= self._known.last_list + MOST_SKIPPED:
                raise Refused("number")
            final = {f"{line.serial:x}" for line in revoked if line.reason != HOLD}
            if not self._known.revoked().keys() <= final:
                raise Refused("incomplete")
            news = self._news(revoked, final)
            self._note("crl", now, crl=number, lines=len(revoked), sha256=_digest(der), **news)
        return der

    def revoked(self) -> dict[str, str]:
        """Return the serials of what is revoked for good, each with the time."""
        with self._one_at_a_time:
            return self._known.revoked()

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
            if known.revoked_at:
                raise Refused("revoked")
            return True

        now = self._clock().replace(microsecond=0)
        return revocation.answer_ocsp(self._ours, question, status, now=now)

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
            if "journal_root" in told and not self._journal.was_at(
                told["journal_entries"], told["journal_root"]
            ):
                raise Refused("journal_root")
        with self._one_at_a_time:
            signatures = [self._seal(content) for content in contents]
            self._note("seal", self._clock(), sha256=[_digest(each) for each in contents])
        return signatures

    def head(self) -> dict[str, Any]:
        """Return how far the journal has come."""
        return {
            "entries": self._journal.entries,
            "root": self._journal.root,
            "crl": self._known.last_list,
        }

    def _opened(self, reference: str, code: str, now: datetime) -> dict[str, Any]:
        """Return the enrolment that two codes open; five wrong ones end it."""
        opened = self._known.opened.get(reference)
        if opened is None:
            raise Refused("unknown_enrolment")
        if self._wrong[reference] >= TRIES:
            raise Refused("locked")
        if not hmac.compare_digest(opened["verifier"], self._verifier(reference, code)):
            self._wrong[reference] += 1
            raise Refused("code")
        if opened["at"] < written(now - LIFETIME):
            raise Refused("lapsed")
        return opened

    def _verifier(self, reference: str, code: str) -> str:
        """Return what is kept of a code: without our secret it confirms nothing."""
        return hmac.digest(self._secret, f"{reference} {code}".encode(), "sha256").hex()

    def _acceptable(self, csr: bytes) -> Request:
        """Read a certificate request with a key that was never certified, ours included."""
        request = authority.read_request(csr, self._ours.suite)
        own = {authority.spki_in(each) for each in (self._ours.root, self._ours.certificate)}
        if request.spki in own or _digest(request.spki) in self._known.keys:
            raise Refused("key_used")
        return request

    def _certify(
        self, act: str, request: Request, member_no: str, name: str, now: datetime,
        earlier: list[str], **origin: Any,
    ) -> bytes:  # fmt: skip
        if _digest(request.spki) in self._known.keys:  # Of two at once, one was quicker.
            raise Refused("key_used")
        now = now.replace(microsecond=0)
        made = authority.issue(self._ours, request, member_no=member_no, name=name, now=now)
        der = made.public_bytes(Encoding.DER)
        more: dict[str, Any] = {"revoked": earlier} if earlier else {}
        self._note(
            act, now, serial=f"{made.serial_number:x}", member_no=member_no, name=name,
            fingerprint=_digest(der), key=_digest(request.spki),
            ends=written(made.not_valid_after_utc), **origin, **more,
        )  # fmt: skip
        return der

    def _news(self, revoked: list[Revocation], final: set[str]) -> dict[str, list[str]]:
        """Return which of our certificates stand otherwise than when last heard of."""
        issued, before = self._known.issued, self._known.suspended
        held = {f"{line.serial:x}" for line in revoked if line.reason == HOLD} & issued.keys()
        ended = [each for each in final if each in issued and not issued[each].revoked_at]
        news = {"revoked": ended, "suspended": held - before, "resumed": before - held}
        return {name: sorted(serials) for name, serials in news.items() if serials}

    def _note(self, act: str, now: datetime, **what: Any) -> None:
        self._journal.add(act, written(now), **what)
        self._known.take({"act": act, "at": written(now), **what})


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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
