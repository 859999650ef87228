"""A field for several enterprises, searched by number or name and ticked; works without script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flask import render_template
from markupsafe import Markup
from sqlalchemy import or_, select
from wtforms import Field

from app.domain.texts import folded
from app.extensions import db
from app.models import Account
from app.models.account import has_part
from app.views.applications.form import is_picking, sent

MOST_FOUND = 20
MOST_WORDS = 20
_BETWEEN = re.compile(r"[\s,，、;；]+")


class EnterprisesWidget:
    def __call__(self, field: EnterprisesField, **attributes: Any) -> Markup:
        return Markup(  # noqa: S704 - a template of ours, which escapes
            render_template(
                "applications/enterprises_field.html", field=field, attributes=attributes
            )
        )


class EnterprisesField(Field):
    """Its data are the ids of the ticked accounts.

    A search keeps the ticks; an enterprise searched by its complete number is ticked at once.
    """

    widget = EnterprisesWidget()
    data: list[int]
    asked = ""

    def process_data(self, value: Any) -> None:
        self.data = list(value or [])

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Read the ticks of accounts that exist."""
        asked = sent().get(f"{self.name}_asked") or ""
        self.asked = asked.replace("\x00", "").strip()[:500]
        ids = {int(text) for text in valuelist if re.fullmatch(r"[0-9]{1,9}", text)}
        named = map(folded, self.words) if is_picking() else ()
        self.data = list(
            db.session.scalars(
                select(Account.id)
                .where(
                    Account.is_open(),
                    or_(Account.id.in_(ids), Account.member_no.in_(named)),
                )
                .order_by(Account.member_no)
            )
        )

    @property
    def words(self) -> list[str]:
        """Search words: several numbers may be pasted."""
        return [word for word in _BETWEEN.split(self.asked) if word][:MOST_WORDS]

    def accounts(self) -> list[Account]:
        """Return the ticked accounts, then those found."""
        chosen = select(Account).where(Account.id.in_(self.data)).order_by(Account.member_no)
        found = list(db.session.scalars(chosen))
        if self.words:
            fits = [
                Account.member_no.startswith(folded(word), autoescape=True)
                | has_part(Account.name, word)
                for word in self.words
            ]
            others = (
                select(Account)
                .where(Account.is_open(), Account.id.not_in(self.data), or_(*fits))
                .order_by(Account.member_no)
                .limit(MOST_FOUND)
            )
            found += db.session.scalars(others)
        return found

    @staticmethod
    def most() -> int:
        return MOST_FOUND
