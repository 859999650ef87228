"""The words of 操作日志: of acts, of what they are about, of details and of their values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _

from app.domain.kinds import KINDS
from app.domain.machines import MEMBER_SCOPES
from app.domain.parameters import PARAMETERS
from app.domain.regions import PROVINCES
from app.domain.workflow import ACTION_TITLES, STATUS_TITLES
from app.security.roles import ROLES

ACTIONS = {
    "password.change": _("Changed the password"),
    "password.reset": _("Reset a password"),
    "member.disable": _("Disabled a member"),
    "member.add": _("Registered a member"),
    "member.invite": _("Had a first-sign-in link sent"),
    "member.contact": _("Changed a member's contact details"),
    "member.enable": _("Enabled a member"),
    "member.role": _("Changed a member's role"),
    "member.unlock": _("Unlocked a member"),
    "session.end": _("Ended a session"),
    "device.end": _("Ended a known device"),
    "calendar.change": _("Changed the trading calendar"),
    "parameter.set": _("Set a parameter"),
    "reference.add": _("Added reference data"),
    "reference.change": _("Changed reference data"),
    "reference.disable": _("Disabled reference data"),
    "personal_data.read": _("Read personal data in clear"),
    "access.refused": _("Was refused a page or an act"),
    "clock.set": _("Set the clock"),
    "settlement.run": _("Ran the day-end settlement"),
    "instrument.create": _("Created an instrument"),
    "transfer_permission.change": _("Changed the transfer permission"),
    "operator.add": _("Added an operator"),
    "operator.role": _("Changed an operator's duties"),
    "operator.enable": _("Enabled an operator"),
    "operator.disable": _("Disabled an operator"),
    "operator.reset": _("Reset an operator"),
    "colleague_review.change": _("Switched the colleague's review"),
    "list.export": _("Exported a list"),
    "attachment.add": _("Added an attachment"),
    "attachment.remove": _("Removed an attachment"),
    "attachment.sweep": _("Swept the files of forms that nobody saved"),
    "attachment.download": _("Downloaded an attachment"),
    "attestation.download": _("Downloaded a certificate"),
    "offset.binding": _("Received the binding of a CCER account"),
    "offset.freeze": _("Received a notice of frozen CCER"),
    "offset.report": _("Received a notice of old CCER stock"),
    "offset.unfreeze": _("Received a request to release CCER"),
    "offset.refuse": _("Refused a message of the CCER registry"),
    "offset.contradiction": _("The CCER registry contradicted itself"),
    "offset.answer": _("Told the CCER registry of a binding"),
    "offset.cancel": _("Ordered the cancellation of CCER"),
    "offset.release": _("Ordered the release of CCER"),
    "offset.query": _("Queried a message to the CCER registry"),
    "offset.compare": _("Asked for a comparison with the CCER registry"),
    "offset.compared": _("Compared with the CCER registry"),
    "carry_over.notices": _("Made carry-over notices"),
    "carry_over.batch": _("Carried out a batch of carry-overs"),
    "package.receive": _("Received a day package"),
    "package.refuse": _("Refused a day package"),
    "settlement.confirm": _("Confirmed the result of a day's trades"),
    "settlement.deliver": _("Delivered a day's trades"),
    "proceeds.release": _("Released the proceeds of sales"),
    "settlement.rerun": _("Asked for a delivery once more"),
    "settlement.reconcile": _("Found differences with the exchange"),
    "difference.resolve": _("Resolved a difference"),
    "default.cover": _("Covered a default out of the reserve"),
    "bank_difference.resolve": _("Resolved a difference with a bank"),
    "court_order.lapse": _("Ended a judicial freeze"),
    "pledge.tell": _("Told holder and pledgee of a pledge"),
    "court_order.remind": _("Reminded of the end of a judicial freeze"),
    "large_holding.find": _("Looked for holdings above their limits"),
    "trail.download": _("Downloaded the trail of a holding"),
    "yearly_statement.download": _("Downloaded a yearly statement"),
    "publication.publish": _("Published the public information"),
    "linked_companies.change": _("Changed a group of linked companies"),
    "carry_out.account_closure": _("Closed an account"),
    "carry_out.closure_by_office": _("Closed an account at the authority's request"),
    "carry_out.account_retirement": _("Retired an account"),
    "carry_out.instrument_retirement": _("Retired an instrument"),
    "carry_out.account_succession": _("Carried out a succession"),
    "carry_out.bankruptcy": _("Let a bankruptcy administrator act"),
    "carry_out.revocation": _("Revoked a decision"),
    "carry_out.offset_binding_end": _("Ended a binding of CCER accounts"),
    "account_class.change": _("Changed the rights of a class of accounts"),
    "group_view.consent": _("Changed the consent to the group's view"),
    "group_view.read": _("Read companies of its group"),
    "bank.open": _("Opened a settlement bank"),
    "bank.bind": _("Bound a bank account"),
    "bank.binding": _("The bank answered about a bound account"),
    "bank.file": _("Took the day-end file of a bank"),
    "bank.query": _("Queried the outcome of a bank order"),
    "bank.unmatched": _("A row of a bank's file fits nothing"),
    "bank.incoming": _("Refused a transfer that a bank started"),
    "bank.correct": _("Corrected money after the bank's word"),
    "receivable.pay": _("Paid a receivable out of what came in"),
    "bank.contradiction": _("A bank contradicted itself"),
    "statement.download": _("Downloaded a settlement statement"),
    "carry_over.download": _("Downloaded a carry-over statement"),
    "attestation.lapse": _("A certificate of compliance lapsed"),
    "notice.issued": _("Issued a compliance notice"),
    "notice.changed": _("Changed a compliance notice"),
    "notice.withdrawn": _("Revoked a compliance notice"),
    "notice.remind": _("Sent a reminder about compliance"),
    "calendar.remind": _("Reminded of dates of the calendar"),
    "import.document": _("Entered the document of an import"),
    "figures.import": _("Imported approved figures"),
    "announcement.write": _("Wrote an announcement"),
    "announcement.edit": _("Changed an announcement"),
    "announcement.publish": _("Published an announcement"),
    "announcement.withdraw": _("Withdrew an announcement"),
    "announcement.pin": _("Pinned or unpinned an announcement"),
    "account_opening.invite": _("Had the first letters sent again"),
    "member.first_sign_in": _("Chose the first password"),
    "certificate.open_enrolment": _("Gave the codes for a certificate"),
    "certificate.ask": _("Asked for a certificate"),
    "certificate.ask_replacement": _("Asked for a replacement certificate"),
    "certificate.enrol": _("Applied for a certificate"),
    "certificate.issue": _("Was issued a certificate"),
    "certificate.suspend": _("Suspended a certificate"),
    "certificate.resume": _("Resumed a certificate"),
    "certificate.revoke": _("Revoked a certificate"),
    "certificate.publish_crl": _("Published the revocation list"),
    "credential.issue": _("Issued a system credential"),
    "credential.revoke": _("Revoked a system credential"),
    "job.start": _("Started a job"),
    "job.abort": _("Stopped a job"),
    **{
        f"{kind.code}.{action}": _("%(kind)s: %(action)s", kind=kind.title, action=title)
        for kind in KINDS.values()
        for action, title in ACTION_TITLES.items()
    },
}
# Titles of details, in the order in which they are shown.
DETAILS = {
    "what": _("Told of"),
    "about": _("Of what it was told"),
    "done": _("Carried out"),
    "refused": _("Refused ones"),
    "shares": _("Shares of the successors"),
    "revoked": _("Decision that was revoked"),
    "ccer_account": _("CCER account"),
    "administrator": _("Bankruptcy administrator"),
    "account_ending": _("Last digits of the account"),
    "bank": _("Settlement bank"),
    "differences": _("Differences"),
    "enterprises": _("Enterprises"),
    "serial": _("Serial block"),
    "quantity": _("Quantity"),
    "found": _("Members above their limits"),
    "companies": _("Linked companies"),
    "receivable": _("Receivable (fen)"),
    "restricted": _("Restricted"),
    "court": _("Court"),
    "contact": _("Contact of the court"),
    "order": _("Order concerned"),
    "effective": _("Effective"),
    "queued": _("Queued"),
    "before": _("Before the change"),
    "after": _("After the change"),
    "status": _("Status"),
    "state": _("State"),
    "comment": _("Comment"),
    "reason": _("Reason"),
    "remark": _("Remark"),
    "document_no": _("Number of the authority document"),
    "application": _("Application number"),
    "signature": _("Signature"),
    "fields": _("Fields"),
    "path": _("Address"),
    "rule": _("Rule"),
    "conditions": _("Conditions"),
    "format": _("File format"),
    "rows": _("Rows"),
    "bytes": _("Size in bytes"),
    "audience": _("Audience"),
    "province": _("Province"),
    "is_allowed": _("Allowed"),
    "is_on": _("Switched on"),
    "is_trading": _("Trading day"),
    "note": _("Note"),
    "value": _("Value"),
    "effective_from": _("In force from"),
    "title": _("Title"),
    "role": _("Role"),
    "roles": _("Roles"),
    "kind": _("Kind"),
    "code": _("Code"),
    "name": _("Name"),
    "scopes": _("Scopes"),
    "kid": _("Key id"),
    "thumbprint": _("Key thumbprint"),
    "ends_on": _("Valid until"),
    "name_en": _("English name"),
    "valid_from": _("Valid from"),
    "disabled_from": _("Disabled from"),
    "vintage": _("Vintage"),
    "changed": _("Versions written"),
    "steps": _("Steps"),
    "trade_code": _("Trade code"),
    "venue_id": _("Trading venue"),
    "instrument_id": _("Instrument"),
    "year": _("Compliance year"),
    "obligation": _("Obligation (tonnes)"),
    "documented_on": _("Date of the document"),
    "count": _("Applications"),
    "differing": _("Rows that differ"),
    "messages": _("Messages"),
    "instruments": _("Instruments"),
    "percent": _("CCER offset percentage"),
    "holder": _("Holder"),
    "reference": _("Reference number"),
    "confirmed_by": _("Confirmed by"),
    "assurance": _("Kind of key"),
    "certificates": _("Certificates"),
    "sha256": _("SHA-256 of the file"),
    "number": _("Number"),
    "digest": _("Digest"),
    "faults": _("Faults"),
    "trades": _("Number of trades"),
    "delivered": _("Trades delivered"),
    "short": _("Trades in default"),
    "holdings": _("Money accounts"),
    "fen": _("Amount in fen"),
    "to_trading": _("Settled to trading, tonnes"),
    "to_registry": _("Settled to registry, tonnes"),
}
_STATES = {
    "active": _("Valid"),
    "suspended": _("Suspended"),
    "revoked": _("Revoked"),
    "ended": _("Ended"),
}
_ROLES = {code: role.title for code, role in ROLES.items()}
# Titles of the codes that are the values of a detail; "" is every other detail.
VALUES: dict[str, Mapping[Any, Any]] = {
    "status": STATUS_TITLES,
    "state": _STATES,
    "role": _ROLES,
    "roles": _ROLES,
    "province": PROVINCES,
    "audience": {
        "everybody": _("Everybody"),
        "enterprises": _("Enterprises"),
        "authorities": _("Authorities"),
    },
    "scopes": MEMBER_SCOPES,
    "what": {"deadline": _("Deadline of surrender"), "use": _("Lost use")},
    "assurance": {"hard": _("USBKey"), "soft": _("Soft certificate")},
    "kind": {
        "allowance": _("Allowance"),
        "review": _("Review of applications"),
        **{kind.code: kind.title for kind in KINDS.values()},
    },
    "reason": {
        "unspecified": _("Without a reason given"),
        "keyCompromise": _("USBKey lost or its key known to others"),
        "affiliationChanged": _("The person has left or changed post"),
        "superseded": _("Replaced by another certificate"),
        "cessationOfOperation": _("The account is closed"),
        "privilegeWithdrawn": _("The right to it was withdrawn"),
        "certificateHold": _("Suspended"),
    },
    "": _ROLES | _STATES,
}


class Subjects(Mapping[str, Any]):
    """Titles of what acts are about where that is a code: a page by its name, a parameter."""

    def __getitem__(self, code: str) -> Any:
        return self._titles()[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._titles())

    def __len__(self) -> int:
        return len(self._titles())

    def _titles(self) -> dict[str, Any]:
        pages = current_app.extensions["pages"]
        titles = {endpoint: page.title for endpoint, page in pages.items()}
        return titles | {name: spec.title for name, spec in PARAMETERS.items()}


def described(name: str, value: Any, subject: str) -> str:
    """Return a detail's value in words; ``subject`` is the page whose conditions it may be."""
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        between = " → " if name == "status" else "、"
        return between.join(described(name, each, subject) for each in value)
    if isinstance(value, dict) and not any(isinstance(each, dict) for each in value.values()):
        titles: Mapping[str, Any] = _condition_titles(subject) if name == "conditions" else DETAILS
        return "；".join(
            f"{titles.get(key, key)}：{described(key, each, subject)}"
            for key, each in sorted(value.items())
        )
    if isinstance(value, str):
        words = VALUES.get(name, VALUES[""] if name in ("before", "after") else {})
        return str(words.get(value, value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _condition_titles(subject: str) -> dict[str, Any]:
    page = current_app.extensions["pages"].get(subject)
    return {
        parameter: each.title
        for each in getattr(page, "filters", ())
        for parameter in each.parameters
    }
