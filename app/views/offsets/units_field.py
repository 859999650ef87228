"""A field for mirrored units of CCER, ticked; it works without script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template
from markupsafe import Markup
from wtforms import Field

from app.models import OffsetUnit


@dataclass(frozen=True, slots=True)
class Offered:
    """A unit that waits for offset, and why it cannot be chosen."""

    unit: OffsetUnit
    refusal: Any = ""


class UnitsWidget:
    def __call__(self, field: UnitsField, **_attributes: Any) -> Markup:
        return Markup(  # noqa: S704 - a template of ours, which escapes
            render_template("offsets/units_field.html", field=field)
        )


class UnitsField(Field):
    """Its data are the ids of the ticked units; the page sets what is ``offered``."""

    widget = UnitsWidget()
    data: list[int]
    offered: Sequence[Offered] = ()

    def process_data(self, value: Any) -> None:
        self.data = list(value or [])

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        self.data = [int(text) for text in valuelist if re.fullmatch(r"[0-9]{1,15}", text)]
