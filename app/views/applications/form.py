"""The one form of applications: lines from a picker, checks of shape, and what was typed is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import g, request
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import DateField, FieldList, Form, FormField, HiddenField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import StopValidation

from app.domain.errors import RuleError
from app.domain.moves import whole_tonnes
from app.domain.workflow import Line, line_key
from app.operations.applications import desk
from app.operations.applications.engine import LONGEST_REASON, MOST_LINES
from app.operations.records.catalogue import Titles
from app.views.applications.texts import StringField, TextAreaField

_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")
CONTENT = ("reason", "category", "document_no", "authority", "starts_on", "ends_on")
DATE_INPUT = {"data-date": "", "placeholder": "YYYY-MM-DD", "autocomplete": "off", "maxlength": 10}


@dataclass(frozen=True, slots=True)
class Choosable:
    """A line that can be chosen, with the tonnes that can be asked for.

    It is an instrument, or an earlier document's line (``source_line_id``), for the applicant or for
    another enterprise (``account_id``).  Several may stand behind one row of the picker: those of
    one ``group``.  ``cells`` are shown instead of code, name and available: (value, kind).
    """

    instrument_id: int
    code: str
    name: str
    available: int | None  # None: whatever is asked for
    venues: tuple[tuple[int, str], ...] = ()
    refusal: Any = ""  # why it cannot be chosen
    source_line_id: int | None = None
    account_id: int | None = None
    group: str = ""
    cells: tuple[tuple[Any, str], ...] = ()  # of its line
    picked_cells: tuple[Any, ...] = ()  # of its row in the picker

    @property
    def key(self) -> str:
        """What names it in the form."""
        return line_key(self.instrument_id, self.source_line_id, self.account_id)


def choices_of(titles: Mapping[str, Any], nothing: Any = "") -> list[SelectChoice]:
    """Return what a SelectField offers, the empty choice first."""
    return [SelectChoice("", nothing), *(SelectChoice(*each) for each in titles.items())]


PLEASE_CHOOSE = _("Please choose")


class OfferedField(SelectField):
    """A choice of reference data: what is offered today, and what the row says already."""

    def __init__(self, label: Any, titles: Titles, nothing: Any = "", **more: Any) -> None:
        more.setdefault("validators", [Required()])
        super().__init__(label, validate_choice=False, **more)
        self.titles, self.nothing = titles, nothing

    def process(self, *arguments: Any, **more: Any) -> None:
        """Read the value, then offer it too where it is one that was disabled since."""
        super().process(*arguments, **more)
        offered: dict[str, Any] = dict(self.titles.offered())
        if self.data in self.titles:
            offered.setdefault(self.data, self.titles[self.data])
        self.choices = choices_of(offered, self.nothing)


class Required:
    """Marks a field with *: the kind's rules ask for it on submission, a draft may lack it."""

    field_flags = {"required": True}

    def __call__(self, form: Any, field: Any) -> None:
        """Let everything pass; what is blank is no ill-formed date, say."""
        if not any(str(text).strip() for text in field.raw_data or ()):
            field.errors[:] = []


class Typed:
    """Refuses what is longer than ``most``."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.field_flags = {"maxlength": most}

    def __call__(self, form: Any, field: Any) -> None:
        """Say what stands against the text."""
        faults = list(faults_of(field.data or "", self.most))
        if faults:
            raise StopValidation(str(faults[0]))


def faults_of(text: str, most: int) -> Iterator[Any]:
    """Yield what stands against a text that may have ``most`` characters."""
    if len(text) > most:
        yield _("This is longer than %(most)d characters", most=most)


class DayField(DateField):
    """A day as everybody here writes it."""

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Read the day.  Raises ValueError that says how it is written."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(_("Please enter a date like 2026-11-20")) from None


class LineForm(Form):
    """One line: what was chosen and its quantity."""

    choice = HiddenField()
    quantity = StringField(_("Quantity"), render_kw={"maxlength": 20})


class VenueLineForm(Form):
    """A line that also says where it goes."""

    choice = HiddenField()
    quantity = StringField(_("Transfer quantity"), render_kw={"maxlength": 20})
    venue = SelectField(_("Trading venue"), coerce=str, validate_choice=False)


class ApplicationForm(FlaskForm):
    """The fields of an application; a subclass declares ``lines`` and what its kind needs besides.

    A field named as one of a draft's (category, document_no, authority, starts_on, ends_on) goes
    into it.  ``may_leave_blank`` is for forms that offer more lines than are usually filled in.
    """

    class Meta(FlaskForm.Meta):
        """Reads what was sent before a picking, too."""

        def wrap_formdata(self, form: Any, formdata: Any) -> Any:
            """Return what the fields are filled with."""
            found = super().wrap_formdata(form, formdata)
            return sent() or None if found is None else found

    may_leave_blank = False
    reason = TextAreaField(
        _("Reason for the application"), render_kw={"rows": 3, "maxlength": LONGEST_REASON}
    )

    def content(self) -> dict[str, Any]:
        """Return what goes into the draft besides the lines."""
        found = {name: self[name].data for name in CONTENT if name in self}
        return {
            name: value.strip() if isinstance(value, str) else value
            for name, value in found.items()
            if value is not None
        }


class LinesForm(ApplicationForm):
    """An application with lines that hold a quantity each."""

    lines = FieldList(FormField(LineForm), max_entries=MOST_LINES)


class TransferForm(ApplicationForm):
    """登记划转申请."""

    lines = FieldList(FormField(VenueLineForm), max_entries=MOST_LINES)


class DocumentForm(ApplicationForm):
    """What two officers do upon an authority's document."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    authority = StringField(_("Deciding authority"), [Required()], render_kw={"maxlength": 200})
    starts_on = DayField(_("In force from"), [Required()], render_kw=DATE_INPUT)


class DocumentLinesForm(DocumentForm):
    """An authority's document about quantities."""

    lines = FieldList(FormField(LineForm), max_entries=MOST_LINES)


@dataclass(slots=True)
class Filled:
    """What somebody filled in: the form, the lines that can be read, and everything against it."""

    form: Any
    offered: Mapping[str, Choosable]
    lines: list[Line] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    line_errors: dict[int, list[Any]] = field(default_factory=dict)
    account_id: int = 0  # whose application it is
    conflict: dict[str, Any] | None = None  # with what the application says by now

    @property
    def is_clear(self) -> bool:
        """Whether it can be submitted."""
        return not (self.errors or self.line_errors or any(e.errors for e in _fields(self.form)))

    def refuse(self, error: RuleError) -> None:
        """Put a RuleError where it belongs: at the line's field, at the form's field, or on top."""
        name, _dot, rest = error.field.partition(".")
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
    """Read what was sent: every line's shape is judged, and nothing typed is lost.

    Who has just picked instruments is still filling in: what is missing is not held against them.
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
    """Return the entries of a form's lines; some forms have none."""
    return form.lines if "lines" in form else ()


def _read_texts(filled: Filled) -> None:
    """Refuse what is too long or cannot be shown, in whichever field it stands."""
    for each in filled.form:
        text = each.data
        if not isinstance(text, str) or each.type in ("HiddenField", "CSRFTokenField"):
            continue
        most = (each.render_kw or {}).get("maxlength", LONGEST_REASON)
        for message in faults_of(text, most):
            filled.refuse(RuleError(message, field=each.name))


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


def sent() -> MultiDict[str, str]:
    """Return what the form has sent, now or when something was picked last.

    A picking is answered with another address (``form``), where the page is read again: Back has
    nothing to send once more.
    """
    if request.method == "POST":
        return request.form
    key = request.args.get("form", "")
    return MultiDict(desk.typed(key, g.user.id) if _KEY.fullmatch(key) else ())


def is_picking() -> bool:
    """Tell whether 确定 of the picker sent the form; the ticks travel with every other button, too."""
    return "pick" in sent()


def version_read() -> int | None:
    """Return the version of the application that the form was read with, None where it knew none."""
    text = sent().get("version", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _take_picked(filled: Filled) -> None:
    """Add the lines of every row ticked in the picker that has none yet."""
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
    """Return the key that makes sending a form twice harmless: the form's own, or a new one."""
    key = sent().get("request_key", "")
    return key if _KEY.fullmatch(key) else str(uuid4())


def version_shown(filled: Filled, application: Any) -> int | None:
    """Return the version that the form carries: the one it was read with, while it is refused, too."""
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
    """Return what form.html shows; ``more`` is passed on as it is."""
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
