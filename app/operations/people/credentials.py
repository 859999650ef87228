"""系统接入凭证: keys that a member issues to its own systems under its certificate (docs/adr/0081).

What is issued or revoked is signed; the database compares it with the signature (sql/0019/credentials.sql).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from app.domain.errors import NotFound, RuleError
from app.domain.machines import LONGEST_CLIENT_NAME, MEMBER_SCOPES
from app.domain.texts import require_showable
from app.domain.trading_day import BEIJING
from app.extensions import db, violated
from app.models import MachineClient, MachineKey
from app.models.parameter import settings
from app.operations.people import machine_keys
from app.operations.records import log
from app.operations.records.actor import Actor


def content(
    typed_name: str, typed_key: str, scopes: Sequence[str], ends_on: date | None
) -> dict[str, Any]:
    """Return what is signed about a new credential.  Raises RuleError naming the wrong field."""
    name = " ".join(typed_name.split())
    if not name or len(name) > LONGEST_CLIENT_NAME:
        message = _("Enter a name of at most %(most)d characters", most=LONGEST_CLIENT_NAME)
        raise RuleError(message, field="name", code="credential_name")
    require_showable(name, _("Name of the system"), field="name")
    if not scopes or not set(scopes) <= MEMBER_SCOPES.keys():
        message = _("Choose at least one of the scopes offered")
        raise RuleError(message, field="scopes", code="credential_scopes")
    if ends_on is None:
        message = _("Please enter a date like 2026-11-20")
        raise RuleError(message, field="ends_on", code="credential_term")
    return {
        "name": name,
        "scopes": [each for each in MEMBER_SCOPES if each in scopes],
        "ends_on": ends_on.isoformat(),
        **machine_keys.read_key(typed_key),
    }


def issue(values: Mapping[str, Any], actor: Actor, signature: int | None, *, now: datetime) -> str:
    """Issue a credential with the `content` that was signed; return its code.

    Raises RuleError for a term or number of credentials above the parameters, and for a known key.
    """
    assert actor.account_id is not None or actor.province is not None
    db.session.execute(_ONE_AFTER_ANOTHER)
    today, ends_on = now.astimezone(BEIJING).date(), date.fromisoformat(values["ends_on"])
    limits = settings(db.session)
    _require_term(today, ends_on, limits["credential_days"])
    _require_room(actor, today, limits["credentials_a_member"])
    province = actor.province if actor.account_id is None else None
    client = db.session.execute(
        insert(MachineClient)
        .values(
            name=values["name"],
            scopes=values["scopes"],
            account_id=actor.account_id,
            province=province,
        )
        .returning(MachineClient.id, MachineClient.code)
    ).one()
    try:
        db.session.execute(
            insert(MachineKey).values(
                client_id=client.id, kid=values["kid"], thumbprint=values["thumbprint"],
                jwk=values["jwk"], starts_on=today, ends_on=ends_on, registered_at=now,
                issued_by=actor.member_id, signature_id=signature,
            )
        )  # fmt: skip
    except IntegrityError as error:
        if violated(error) != "machine_key_thumbprint_key":
            raise
        message = _("This key was registered before; make another one for each system")
        raise RuleError(message, field="jwk", code="key_known") from error
    log.record(
        actor, "credential.issue", subject=client.code, account_id=actor.account_id,
        name=values["name"], scopes=values["scopes"], kid=values["kid"],
        thumbprint=values["thumbprint"], ends_on=values["ends_on"],
    )  # fmt: skip
    return str(client.code)


def _require_term(today: date, ends_on: date, most: int) -> None:
    latest = today + timedelta(days=most)
    if not today <= ends_on <= latest:
        message = _(
            "A credential ends from today to %(latest)s, %(most)s days at most; %(typed)s was read",
            latest=latest,
            most=most,
            typed=ends_on,
        )
        raise RuleError(message, field="ends_on", code="credential_term")


def _require_room(actor: Actor, today: date, most: int) -> None:
    owner = MachineClient.account_id == actor.account_id
    if actor.account_id is None:
        owner = MachineClient.province == actor.province
    standing = db.session.scalar(
        select(func.count())
        .select_from(MachineKey)
        .join(MachineClient, MachineClient.id == MachineKey.client_id)
        .where(owner, MachineKey.revoked_at.is_(None), MachineKey.ends_on >= today)
    )
    if (standing or 0) >= most:
        message = _(
            "A member has at most %(most)s credentials that are neither over nor revoked: revoke one first",
            most=most,
        )
        raise RuleError(message, field="name", code="credentials_full")


def revocation(credential: str) -> dict[str, Any]:
    """Return what is signed about revoking a credential.  Raises NotFound."""
    row = db.session.execute(
        select(MachineClient.name, MachineKey.kid)
        .join(MachineKey, MachineKey.client_id == MachineClient.id)
        .where(MachineClient.code == credential, MachineKey.issued_by.is_not(None))
    ).one_or_none()
    if row is None:
        raise NotFound(_("There is no such record"))
    return {"credential": credential, "name": row.name, "kid": row.kid}


def revoke(values: Mapping[str, Any], actor: Actor, signature: int | None, *, now: datetime) -> str:
    """Revoke a credential: its tokens end at once, for ever.  Raises RuleError where it was before."""
    client = db.session.scalars(
        select(MachineClient).where(MachineClient.code == values["credential"])
    ).one()
    done = db.session.execute(
        update(MachineKey)
        .where(MachineKey.client_id == client.id, MachineKey.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=actor.member_id, revoking_signature_id=signature)
        .returning(MachineKey.id)
    ).one_or_none()
    if done is None:
        message = _("Credential %(code)s was revoked before", code=client.code)
        raise RuleError(message, code="credential_revoked")
    log.record(
        actor, "credential.revoke", subject=client.code, account_id=client.account_id,
        name=client.name, kid=values["kid"],
    )  # fmt: skip
    return str(client.code)


# Issuing is rare: counted one after another, whoever's the credentials are.
_ONE_AFTER_ANOTHER = text("SELECT pg_advisory_xact_lock(7260081)")
