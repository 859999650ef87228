"""Fields of a reference form, derived from Flask-AppBuilder's datamodel."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import select
from wtforms import BooleanField, Field, IntegerField, SelectField
from wtforms.validators import DataRequired, InputRequired, NumberRange, Optional

from app.extensions import db
from app.models.reference.dated import Dated
from app.operations.records import clock
from app.views.applications.form import DATE_INPUT, PLEASE_CHOOSE, DayField, MaxLength, choices_of
from app.views.applications.texts import StringField

_NEEDED = InputRequired(_("Please fill this in"))
_NOT_BLANK = DataRequired(_("Please fill this in"))
_SMALLEST, _LARGEST = -(2**31), 2**31 - 1


class NumberField(IntegerField):
    """A whole number, with our error message."""

    def process_formdata(self, valuelist: Any) -> None:
        """Parse the number.  Raises ValueError."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(_("Please enter a whole number")) from None


class RelatedField(SelectField):
    """A row of another table: those in force, and the current one, within what the page offers."""

    def __init__(
        self, label: Any, validators: Any, model: Any, offered: Any = None, **more: Any
    ) -> None:
        super().__init__(label, validators, coerce=lambda text: int(text) if text else None, **more)
        self.model, self.offered = model, offered

    def process(self, *arguments: Any, **more: Any) -> None:
        super().process(*arguments, **more)
        rows = select(self.model).order_by(self.model.id)
        if issubclass(self.model, Dated):
            today, id_ = clock.now().date(), self.model.id
            rows = rows.where(self.model.in_force(today) | (id_ == self.data))
        if self.offered is not None:
            rows = rows.where(self.offered)
        titles = {row.id: str(row) for row in db.session.scalars(rows)}
        self.choices = choices_of(titles, PLEASE_CHOOSE)

    def process_data(self, value: Any) -> None:
        """Accept a row for its key."""
        self.data = getattr(value, "id", value)


def field_of(view: Any, name: str) -> Field:
    """Return the form field of a column or relation.  Raises TypeError for an unknown type.

    Optional where the column is nullable or its default is "".
    """
    data = view.datamodel
    own = list((view.validators_columns or {}).get(name, ()))
    more = {"description": (view.description_columns or {}).get(name, "")}
    title = view.label_columns[name]
    if data.is_relation_many_to_one(name):
        offered = view.offered_columns.get(name)
        return RelatedField(title, [_NEEDED, *own], data.get_related_model(name), offered, **more)
    is_blank = data.is_nullable(name) or _default_of(data, name) == ""
    marks: list[Any] = [Optional() if is_blank else _NEEDED]
    if name in view.choices_columns:
        titles: Mapping[Any, Any] = view.choices_columns[name]
        return SelectField(title, marks, choices=lambda: choices_of(titles, PLEASE_CHOOSE), **more)
    typed = {"maxlength": data.get_max_length(name), "autocomplete": "off"}
    makers: tuple[tuple[Callable[[str], bool], Callable[[], Field]], ...] = (
        (data.is_boolean, lambda: BooleanField(title, own, **more)),
        (data.is_date, lambda: DayField(title, marks + own, render_kw=DATE_INPUT, **more)),
        (
            data.is_integer,
            lambda: NumberField(title, [*marks, NumberRange(_SMALLEST, _LARGEST), *own], **more),
        ),
        (
            data.is_string,
            lambda: StringField(
                title,
                [MaxLength(typed["maxlength"]), Optional() if is_blank else _NOT_BLANK, *own],
                filters=[_plain],
                render_kw=typed,
                **more,
            ),
        ),
    )
    for is_such, make in makers:
        if is_such(name):
            return make()
    raise TypeError(f"{type(view).__name__}: a form has no field for the column {name}")


def column_of(datamodel: Any, name: str) -> str:
    """Return the column that a field writes: for a relation, its foreign key."""
    if datamodel.is_relation_many_to_one(name):
        return str(datamodel.get_relation_fk(name).name)
    return name


def _default_of(datamodel: Any, name: str) -> str | None:
    default = datamodel.obj.__table__.c[name].server_default
    return None if default is None else str(default.arg)


def _plain(text: str | None) -> str:
    return unicodedata.normalize("NFC", text or "").strip()
