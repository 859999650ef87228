"""The one form of applications: lines from a picker, validation, and keeping what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask_babel import lazy_gettext as _
from wtforms import DateField, FieldList, Form, FormField, HiddenField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import StopValidation

from app.domain.errors import RuleError
from app.domain.moves import whole_tonnes
from app.domain.workflow import Line, line_key
from app.operations.applications.engine import LONGEST_REASON, MOST_LINES
from app.operations.records.catalogue import Titles
from app.views.applications.texts import StringField, TextAreaField
from app.views.page import FORM_KEY, PageForm, sent

CONTENT = ("reason", "category", "document_no", "authority", "starts_on", "ends_on")
DATE_INPUT = {"data-date": "", "placeholder": "YYYY-MM-DD", "autocomplete": "off", "maxlength": 10}


@dataclass(frozen=True, slots=True)
class Choosable:
    """A line that the picker offers, with the tonnes available for it.

    It is an instrument, or an earlier document's line (``source_line_id``), for the applicant or for
    another enterprise (``account_id``).  Lines of one ``group`` share a row of the picker.  ``cells``
    replace code, name and available: (value, kind).
    """

    instrument_id: int
    code: str
    name: str
    available: int | None  # None: unlimited
    venues: tuple[tuple[int, str], ...] = ()
    refusal: Any = ""  # why it cannot be chosen
    source_line_id: int | None = None
    account_id: int | None = None
    group: str = ""
    cells: tuple[tuple[Any, str], ...] = ()  # of its line in the form
    picked_cells: tuple[Any, ...] = ()  # of its row in the picker

    @property
    def key(self) -> str:
        """Its value in the form."""
        return line_key(self.instrument_id, self.source_line_id, self.account_id)


def choices_of(titles: Mapping[str, Any], nothing: Any = "") -> list[SelectChoice]:
    """Return the choices of a SelectField, the empty one first."""
    return [SelectChoice("", nothing), *(SelectChoice(*each) for each in titles.items())]


PLEASE_CHOOSE = _("Please choose")


class OfferedField(SelectField):
    """A choice of reference data: the values in force, and the record's own."""

    def __init__(self, label: Any, titles: Titles, nothing: Any = "", **more: Any) -> None:
        more.setdefault("validators", [Required()])
        super().__init__(label, validate_choice=False, **more)
        self.titles, self.nothing = titles, nothing

    def process(self, *arguments: Any, **more: Any) -> None:
        """Add the record's own value where it has been disabled since."""
        super().process(*arguments, **more)
        offered: dict[str, Any] = dict(self.titles.offered())
        if self.data in self.titles:
            offered.setdefault(self.data, self.titles[self.data])
        self.choices = choices_of(offered, self.nothing)


class Required:
    """Marks a field with *: the kind's rules require it on submission, a draft may lack it."""

    field_flags = {"required": True}

    def __call__(self, form: Any, field: Any) -> None:
        """Clear the errors of a blank field, which is no malformed date."""
        if not any(str(text).strip() for text in field.raw_data or ()):
            field.errors[:] = []


class MaxLength:
    def __init__(self, most: int) -> None:
        self.most = most
        self.field_flags = {"maxlength": most}

    def __call__(self, form: Any, field: Any) -> None:
        if len(field.data or "") > self.most:
            raise StopValidation(str(_too_long(self.most)))


def _too_long(most: int) -> Any:
    return _("This is longer than %(most)d characters", most=most)


class DayField(DateField):
    """A date in the format YYYY-MM-DD."""

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Parse the date.  Raises ValueError with the format."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(_("Please enter a date like 2026-11-20")) from None


class LineForm(Form):
    choice = HiddenField()
    quantity = StringField(_("Quantity"), render_kw={"maxlength": 20})


class VenueLineForm(Form):
    choice = HiddenField()
    quantity = StringField(_("Transfer quantity"), render_kw={"maxlength": 20})
    venue = SelectField(_("Trading venue"), coerce=str, validate_choice=False)


class ApplicationForm(PageForm):
    """The fields of an application; a subclass declares ``lines`` and the fields of its kind.

    A field named as one of a draft's (category, document_no, authority, starts_on, ends_on) goes into
    it.  ``may_leave_blank`` is for forms that offer more lines than are usually filled in.
    """

    may_leave_blank = False
    reason = TextAreaField(
        _("Reason for the application"), render_kw={"rows": 3, "maxlength": LONGEST_REASON}
    )

    def content(self) -> dict[str, Any]:
        """Return the content of the draft besides the lines."""
        found = {name: self[name].data for name in CONTENT if name in self}
        return {
            name: value.strip() if isinstance(value, str) else value
            for name, value in found.items()
            if value is not None
        }


def typed_year(typed: str | None, *, field: str = "year") -> int:
    """Read a year of four plain digits.  Raises RuleError for anything else."""
    text = (typed or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) == 4):
        message = _("Enter the year in four digits, not %(typed)s", typed=text[:30] or "–")
        raise RuleError(message, field=field)
    return int(text)


class ProposalForm(ApplicationForm):
    """An application about something that its page names: ``proposal`` says what, and nobody types it."""

    proposal: Mapping[str, Any]

    def content(self) -> dict[str, Any]:
        return {**super().content(), "proposal": self.proposal}


class LinesForm(ApplicationForm):
    lines = FieldList(FormField(LineForm), max_entries=MOST_LINES)


class TransferForm(ApplicationForm):
    lines = FieldList(FormField(VenueLineForm), max_entries=MOST_LINES)


class DocumentForm(ApplicationForm):
    """An application by two officers, based on an authority's document."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    authority = StringField(_("Deciding authority"), [Required()], render_kw={"maxlength": 200})
    starts_on = DayField(_("In force from"), [Required()], render_kw=DATE_INPUT)


class DocumentLinesForm(DocumentForm):
    lines = FieldList(FormField(LineForm), max_entries=MOST_LINES)


@dataclass(slots=True)
class Filled:
    """A submitted form with its valid lines and all errors."""

    form: Any
    offered: Mapping[str, Choosable]
    lines: list[Line] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    line_errors: dict[int, list[Any]] = field(default_factory=dict)
    account_id: int = 0  # whose application it is
    conflict: dict[str, Any] | None = None  # with the stored application

    @property
    def is_clear(self) -> bool:
        """Whether it has no errors."""
        return not (self.errors or self.line_errors or any(e.errors for e in _fields(self.form)))

    def refuse(self, error: RuleError) -> None:
        """Add a RuleError to the line's field, to the form's field, or to the form as a whole."""
        name, _dot, rest = error.field.partition(".")
        if name == "lines" and "lines" not in self.form:
            name = "amount"  # The only line is typed as an amount.
        if name == "lines" and rest:
            key, _dot, part = rest.partition(".")
            for line in self.form.lines:
                if line.form.choice.data == key and part in line.form:
                    line.form[part].errors = [*line.form[part].errors, error.message]
                    return
        elif name in self.form and name != "lines":
            self.form[name].errors = [*self.form[name].errors, error.message]
            return
        self.errors.append(error.message)


def fill(form: Any, offered: Iterable[Choosable]) -> Filled:
    """Validate what was sent, line by line, keeping everything as typed.

    Skip validation after picking instruments.
    """
    filled = Filled(form, {each.key: each for each in offered})
    if is_picking():
        _take_picked(filled)
        _name_venues(filled)
        return filled
    if form.is_submitted():
        form.validate()
    _name_venues(filled)
    _read_texts(filled)
    for index, line in enumerate(_lines(form)):
        _read_line(filled, index, line.form)
    return filled


def _lines(form: Any) -> Iterable[Any]:
    """Return the entries of lines; some forms have none."""
    return form.lines if "lines" in form else ()


def _read_texts(filled: Filled) -> None:
    """Refuse texts that are too long."""
    for each in filled.form:
        text = each.data
        if not isinstance(text, str) or each.type in ("HiddenField", "CSRFTokenField"):
            continue
        most = (each.render_kw or {}).get("maxlength", LONGEST_REASON)
        if len(text) > most:
            filled.refuse(RuleError(_too_long(most), field=each.name))


def _read_line(filled: Filled, index: int, line: Any) -> None:
    choosable = _chosen(filled, line)
    if choosable is None:
        filled.line_errors[index] = [_("This instrument cannot be chosen; please remove the line")]
        return
    if filled.form.may_leave_blank and not (line.quantity.data or "").strip():
        return
    key = f"lines.{choosable.key}"
    try:
        quantity = whole_tonnes(line.quantity.data, field=f"{key}.quantity")
    except RuleError as error:
        filled.refuse(error)
        return
    venue = line.venue.data if "venue" in line else None
    if venue and venue not in {str(id_) for id_, _name in choosable.venues}:
        filled.refuse(RuleError(_("This is not one of the venues"), field=f"{key}.venue"))
        return
    filled.lines.append(
        Line(
            choosable.instrument_id,
            quantity,
            venue_id=int(venue) if venue else None,
            account_id=choosable.account_id,
            source_line_id=choosable.source_line_id,
        )
    )


def _chosen(filled: Filled, line: Any) -> Choosable | None:
    return filled.offered.get(line.choice.data or "")


def is_picking() -> bool:
    """Tell whether the picker's 确定 sent the form; its ticks are sent with every button.

    A picking is answered by a redirect (parameter ``form``), so that Back re-sends nothing.
    """
    return "pick" in sent()


def version_read() -> int | None:
    """Return the version of the application that the form was loaded with, or None."""
    text = sent().get("version", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _take_picked(filled: Filled) -> None:
    """Add a line for every row ticked in the picker that has none."""
    present = {line.form.choice.data for line in _lines(filled.form)}
    ticked = set(sent().getlist("picked"))
    for key, choosable in filled.offered.items():
        if key in present or choosable.refusal or (choosable.group or key) not in ticked:
            continue
        if len(filled.form.lines) < MOST_LINES:
            filled.form.lines.append_entry({"choice": key})


def _name_venues(filled: Filled) -> None:
    for line in _lines(filled.form):
        choosable = _chosen(filled, line.form)
        if "venue" in line.form and choosable:
            line.form.venue.choices = [
                SelectChoice(str(id_), name) for id_, name in choosable.venues
            ]


def request_key() -> str:
    """Return the idempotency key of the form, or a new one."""
    key = sent().get("request_key", "")
    return key if FORM_KEY.fullmatch(key) else str(uuid4())


def version_shown(filled: Filled, application: Any) -> int | None:
    """Return the version for the hidden field: a refused form keeps the one it was loaded with."""
    if filled.conflict:
        version: int | None = filled.conflict["version"]
        return version
    return application.version if application and not sent() else version_read()


INSTRUMENT_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Available"), "kind": "number", "unit": _("tonnes")},
)


def page(
    filled: Filled,
    *,
    line_columns: Sequence[Mapping[str, Any]] = (),
    picker_title: Any = "",
    picker_columns: Sequence[Mapping[str, Any]] = INSTRUMENT_COLUMNS,
    **more: Any,
) -> dict[str, Any]:
    """Return the context of form.html; ``more`` is added unchanged."""
    form = filled.form
    shown = {
        "request_key": request_key(),
        "header_fields": [
            each
            for each in form
            if each.type not in ("FieldList", "CSRFTokenField") and each.name != "reason"
        ],
        "footer_fields": [form.reason],
        "errors": filled.errors,
        "lines": None,
        "conflict": filled.conflict,
        **more,
    }
    if "lines" in form:
        shown |= {
            "lines_title": _("Instruments"),
            "line_columns": line_columns,
            "lines": [_line(filled, index, line.form) for index, line in enumerate(form.lines)],
            "picker": _picker(filled, picker_title or _("Choose instruments"), picker_columns),
        }
    return shown


def _picker(filled: Filled, title: Any, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    offered = {each.group or each.key: each for each in reversed([*filled.offered.values()])}
    chosen = [filled.offered.get(line.form.choice.data or "") for line in filled.form.lines]
    return {
        "title": title,
        "columns": columns,
        "rows": [
            {
                "value": value,
                "cells": each.picked_cells or (each.code, each.name, each.available),
                "disabled_reason": each.refusal,
            }
            for value, each in reversed(offered.items())
        ],
        "selected": [each.group or each.key for each in chosen if each],
    }


def _line(filled: Filled, index: int, line: Any) -> dict[str, Any]:
    choosable = _chosen(filled, line)
    return {
        "index": index,
        "choice": line.choice.data,
        "picked": (choosable.group or choosable.key) if choosable else "",
        "code": choosable.code if choosable else "",
        "name": choosable.name if choosable else "",
        "available": choosable.available if choosable else None,
        "cells": choosable.cells if choosable else (),
        "fields": [each for each in line if each.short_name != "choice"],
        "errors": filled.line_errors.get(index, []),
    }


def _fields(form: Any) -> list[Any]:
    found = [each for each in form if each.type not in ("FieldList", "FormField")]
    for line in _lines(form):
        found.extend(line.form)
    return found
