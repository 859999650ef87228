"""接入密钥: two officers register the key of a machine client, or revoke it (docs/adr/0075)."""

from __future__ import annotations

from datetime import date

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Facts, Rule, Violation
from app.domain.machines import (
    LONGEST_KEY_YEARS,
    PLATFORM,
    PLATFORM_TITLE,
    owner_of,
    scopes_of,
)
from app.domain.workflow import Case, Party


def _key_missing(case: Case, facts: Facts) -> Violation | None:
    return None if case.proposal.get("thumbprint") else Violation("jwk")


def _key_known(case: Case, facts: Facts) -> Violation | None:
    client = facts.machine_keys.get(case.proposal.get("thumbprint", ""))
    return Violation("jwk", {"client": client}) if client else None


def _kid_known(case: Case, facts: Facts) -> Violation | None:
    named = (case.proposal.get("client", ""), case.proposal.get("kid", ""))
    if named not in facts.machine_key_ids:
        return None
    return Violation("jwk", {"client": named[0], "kid": named[1]})


def _other_owner(case: Case, facts: Facts) -> Violation | None:
    client, owner = case.proposal.get("client", ""), owner_of(case.proposal)
    known = facts.machine_owners.get(client, owner)
    if known == owner:
        return None
    return Violation("venue", {"client": client, "known": _named(known), "typed": _named(owner)})


def _named(owner: str) -> str:
    return str(PLATFORM_TITLE) if owner == PLATFORM else owner


def _foreign_scope(case: Case, facts: Facts) -> Violation | None:
    offered = scopes_of(owner_of(case.proposal))
    foreign = [each for each in case.proposal.get("scopes", ()) if each not in offered]
    return Violation("scopes", {"scopes": "、".join(foreign)}) if foreign else None


def _term_wrong(case: Case, facts: Facts) -> Violation | None:
    start, end = case.starts_on, case.ends_on
    if start is not None and end is not None and facts.moment.day <= end:
        latest = date(start.year + LONGEST_KEY_YEARS, start.month, min(start.day, 28))
        if start <= end <= latest:
            return None
    values = {"years": LONGEST_KEY_YEARS, "first": start or "—", "last": end or "—"}
    return Violation("ends_on", values)


def _not_standing(case: Case, facts: Facts) -> Violation | None:
    proposal = case.proposal
    named = (proposal.get("client", ""), proposal.get("kid", ""))
    if facts.machine_key_ids.get(named):
        return None
    return Violation("", {"client": named[0], "kid": named[1]})


HAS_KEY = Rule("key_missing", _("Enter the client's public key"), _key_missing, at=BOTH)
# The index machine_key_thumbprint: one key belongs to one client, and does not come back.
KEY_IS_NEW = Rule(
    "key_known", _("This key was registered before, for client %(client)s"), _key_known, at=BOTH
)
KID_IS_NEW = Rule(
    "kid_known",
    _("Client %(client)s has a key named %(kid)s already; name the new one differently"),
    _kid_known,
    at=BOTH,
)
KEEPS_OWNER = Rule(
    "venue_differs",
    _("Client %(client)s belongs to %(known)s and cannot move to %(typed)s"),
    _other_owner,
    at=BOTH,
)
OF_ITS_INTERFACE = Rule(
    "scope_of_another_interface",
    _("%(scopes)s are no scopes of the interface that such a client calls"),
    _foreign_scope,
    at=BOTH,
)
TERM_IS_BOUNDED = Rule(
    "key_term",
    _(
        "A key ends today or later and is valid for at most %(years)s years; this is from %(first)s to"
        " %(last)s"
    ),
    _term_wrong,
)
IS_STANDING = Rule(
    "key_not_standing",
    _("Key %(kid)s of client %(client)s is not registered, or was revoked before"),
    _not_standing,
    at=BOTH,
    error=NotAllowed,
)


class MachineKey(Kind):
    """Registers a key, with all that its client is and may; by `carry_out_machine_keys`."""

    code = "machine_key"
    title = _("Machine key registration")
    prefix = "MY"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules = (
        HAS_KEY, TERM_IS_BOUNDED, KEEPS_OWNER, OF_ITS_INTERFACE, KEY_IS_NEW, KID_IS_NEW, HAS_REASON,
    )  # fmt: skip


class MachineKeyRevocation(Kind):
    """Ends a key and its tokens at once; the client's other keys go on."""

    code = "machine_key_revocation"
    title = _("Machine key revocation")
    prefix = "MX"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules = (IS_STANDING, HAS_REASON)
