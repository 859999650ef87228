"""Text fields, which refuse what page, signed content and PDF would show differently."""

from __future__ import annotations

from typing import Any

import wtforms
from wtforms.validators import StopValidation

from app.domain import texts


class _Showable(wtforms.StringField):
    has_lines = False

    def pre_validate(self, form: Any) -> None:
        """Refuse the first character that app/domain/texts.py does not allow."""
        found = texts.unshowable((self.data or "").strip(), has_lines=self.has_lines)
        if found is not None:
            raise StopValidation(str(found.message))


class StringField(_Showable):
    """A text in one line."""


class TextAreaField(_Showable, wtforms.TextAreaField):
    """A text that may have several lines."""

    has_lines = True
