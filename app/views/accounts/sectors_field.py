"""The sectors of an enterprise in a form: those in force are ticked, and those it is in stay offered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wtforms import SelectMultipleField
from wtforms.fields.choices import Choice
from wtforms.widgets import CheckboxInput, ListWidget

from app.operations.accounts import sectors
from app.operations.records.catalogue import SECTORS


class SectorsField(SelectMultipleField):
    """Its data are the codes as one text, as account details have them."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()

    def __init__(self, label: Any, validators: Sequence[Any] = (), **more: Any) -> None:
        more |= {"validators": [*validators], "validate_choice": False, "choices": []}
        super().__init__(label, **more)
        self.type = "SelectMultipleField"  # which the templates draw as ticks

    def process_data(self, value: Any) -> None:
        """Take the codes of a record."""
        self.data = value or ""

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Take the codes that are ticked."""
        self.data = sectors.BETWEEN.join(valuelist)

    def iter_choices(self) -> Iterator[Choice]:
        """Yield what is offered today, and what is ticked."""
        ticked = sectors.split(self.data or "")
        offered = SECTORS.offered()
        for code, title in SECTORS.items():
            if code in offered or code in ticked:
                yield Choice(code, str(title), code in ticked, {})
