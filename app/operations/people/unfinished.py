"""Input that a member has sent and that is not saved: a picking, or a form whose session had ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from app.extensions import db
from app.models import UnfinishedForm
from app.models.encrypted import PersonalDataUnreadable

LONGEST = 100_000  # characters of a form
MOST = 50  # forms of a member; the oldest go first
KEPT_FOR = timedelta(days=1)


class Unfinished(NamedTuple):
    """Stored input: the form's pairs of name and value, and the address of its page, or ""."""

    content: list[tuple[str, str]]
    address: str


def keep(
    member_id: int, key: str, content: Sequence[tuple[str, str]], *, address: str = ""
) -> bool:
    """Store a form's input for a day, replacing what has the same key; tell whether it was possible.

    It may contain personal data and is stored encrypted.
    """
    if sum(len(name) + len(value) for name, value in content) > LONGEST or not _is_text(content):
        return False
    delete_expired()
    _make_room(member_id, key)
    statement = insert(UnfinishedForm).values(
        member_id=member_id,
        request_key=key,
        content=json.dumps([[name, value] for name, value in content], ensure_ascii=False),
        address=address,
        kept_at=func.now(),
    )
    new = {name: statement.excluded[name] for name in ("content", "address", "kept_at")}
    db.session.execute(
        statement.on_conflict_do_update(index_elements=["member_id", "request_key"], set_=new)
    )
    return True


def find(member_id: int, key: str) -> Unfinished | None:
    """Return a member's stored input, or None; that of a key since removed counts as none."""
    statement = select(UnfinishedForm.content, UnfinishedForm.address).where(
        UnfinishedForm.member_id == member_id,
        UnfinishedForm.request_key == key,
        UnfinishedForm.kept_at > func.now() - KEPT_FOR,
    )
    try:
        row = db.session.execute(statement).first()
    except PersonalDataUnreadable:
        return None
    if row is None:
        return None
    return Unfinished([(name, value) for name, value in json.loads(row.content)], row.address)


def delete_expired() -> None:
    """Delete what was stored for long enough, whoever's it is."""
    _delete(UnfinishedForm.kept_at < func.now() - KEPT_FOR)


def _make_room(member_id: int, key: str) -> None:
    """Delete the member's oldest forms, so that there is room for one more."""
    mine = (UnfinishedForm.member_id == member_id) & (UnfinishedForm.request_key != key)
    newest = (
        select(UnfinishedForm.request_key)
        .where(mine)
        .order_by(UnfinishedForm.kept_at.desc())
        .limit(MOST - 1)
    )
    _delete(mine & UnfinishedForm.request_key.not_in(newest))


def _delete(condition: ColumnElement[bool]) -> None:
    """Delete rows, except those that another transaction is deleting or writing."""
    primary_key = (UnfinishedForm.member_id, UnfinishedForm.request_key)
    gone = select(*primary_key).where(condition).with_for_update(skip_locked=True)
    statement = delete(UnfinishedForm).where(tuple_(*primary_key).in_(gone))
    db.session.execute(statement.execution_options(synchronize_session=False))


def _is_text(content: Sequence[tuple[str, str]]) -> bool:
    """Tell whether PostgreSQL can store it: no NUL, no lone surrogates."""
    whole = "".join(name + value for name, value in content)
    return "\x00" not in whole and not any("\ud800" <= letter <= "\udfff" for letter in whole)
