"""Fields of text: what the page, the signed content and the PDF do not show alike is refused in each."""

from __future__ import annotations

from typing import Any

import wtforms
from wtforms.validators import StopValidation

from app.domain import texts


class _Showable(wtforms.StringField):
    has_lines = False

    def pre_validate(self, form: Any) -> None:
        """Name the first character that a text may not hold (app/domain/texts.py)."""
        found = texts.unshowable((self.data or "").strip(), has_lines=self.has_lines)
        if found is not None:
            raise StopValidation(str(found.message))


class StringField(_Showable):
    """A text in one line."""


class TextAreaField(_Showable, wtforms.TextAreaField):
    """A text that may have several lines."""

    has_lines = True
