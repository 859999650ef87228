"""Answers kept by Idempotency-Key: the same request is carried out once and answered alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.domain.errors import RuleError
from app.extensions import db
from app.models import MachineAnswer


class Answered(NamedTuple):
    """A status with its JSON text; ``is_again`` where it was given before."""

    status: int
    text: str
    is_again: bool = False


class KeyReused(RuleError):
    """The key was used before for another request."""

    code = "idempotency_key_reused"


def once(client_id: int, key: str, said: bytes, act: Callable[[], tuple[int, str]]) -> Answered:
    """Carry out ``act`` for a new key and keep its answer for 30 days; else return the kept one.

    ``said`` is the request in full.  A second caller waits until the first has committed, by the table's
    primary key.  Raises KeyReused; what ``act`` raises leaves the key free, once the caller rolls back.
    """
    digest = hashlib.sha256(said).digest()
    claimed = db.session.scalar(
        insert(MachineAnswer)
        .values(client_id=client_id, key=key, digest=digest)
        .on_conflict_do_nothing()
        .returning(MachineAnswer.key)
    )
    ours = (MachineAnswer.client_id == client_id) & (MachineAnswer.key == key)
    if claimed is None:
        row = db.session.execute(
            select(MachineAnswer.digest, MachineAnswer.status, MachineAnswer.answer).where(ours)
        ).one()
        if bytes(row.digest) != digest:
            message = _("Idempotency-Key %(key)s was used before with other content", key=key)
            raise KeyReused(message, field="Idempotency-Key")
        return Answered(row.status, row.answer, is_again=True)
    status, text = act()
    db.session.execute(update(MachineAnswer).where(ours).values(status=status, answer=text))
    return Answered(status, text)
