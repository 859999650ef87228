"""The one form of applications: lines from a picker, checks of shape, and what was typed is kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import request
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import FieldList, Form, FormField, HiddenField, SelectField, StringField, TextAreaField

from app.domain.errors import RuleError
from app.domain.moves import whole_tonnes
from app.domain.workflow import Line
from app.operations.applications import LONGEST_REASON, MOST_LINES

_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")
_ID = re.compile(r"[0-9]{1,18}")  # Within PostgreSQL's bigint.


@dataclass(frozen=True, slots=True)
class Choosable:
    """An instrument that the picker offers, with the tonnes that can be asked for."""

    instrument_id: int
    code: str
    name: str
    available: int
    venues: tuple[tuple[int, str], ...] = ()
    refusal: Any = ""  # why it cannot be chosen


class LineForm(Form):
    """One line: an instrument and its quantity."""

    instrument_id = HiddenField()
    quantity = StringField(_("Transfer quantity"), render_kw={"maxlength": 20})


class VenueLineForm(LineForm):
    """A line that also says where it goes."""

    venue = SelectField(_("Trading venue"), coerce=str, validate_choice=False)


class ApplicationForm(FlaskForm):
    """The fields around the lines; ``lines`` are declared by the subclass."""

    reason = TextAreaField(
        _("Reason for the application"), render_kw={"rows": 3, "maxlength": LONGEST_REASON}
    )


class TransferForm(ApplicationForm):
    """登记划转申请."""

    lines = FieldList(FormField(VenueLineForm), max_entries=MOST_LINES)


class CancellationLineForm(LineForm):
    """A line of 自愿注销."""

    quantity = StringField(_("Cancellation quantity"), render_kw={"maxlength": 20})


class CancellationForm(ApplicationForm):
    """自愿注销申请."""

    lines = FieldList(FormField(CancellationLineForm), max_entries=MOST_LINES)


@dataclass(slots=True)
class Filled:
    """What somebody filled in: the form, the lines that can be read, and everything against it."""

    form: Any
    offered: Mapping[int, Choosable]
    lines: list[Line] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    line_errors: dict[int, list[Any]] = field(default_factory=dict)

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
                if line.form.instrument_id.data == key and part in line.form:
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
    filled = Filled(form, {each.instrument_id: each for each in offered})
    if is_picking():
        _take_picked(filled)
        _name_venues(filled)
        return filled
    form.validate_on_submit()
    _name_venues(filled)
    _read_reason(filled)
    for index, line in enumerate(form.lines):
        _read_line(filled, index, line.form)
    return filled


def _read_reason(filled: Filled) -> None:
    text = filled.form.reason.data or ""
    if len(text) > LONGEST_REASON:
        message = _("The reason is longer than %(most)d characters", most=LONGEST_REASON)
        filled.refuse(RuleError(message, field="reason"))
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\t\r\n" for each in text):
        message = _("This holds characters that cannot be typed; please write it anew")
        filled.refuse(RuleError(message, field="reason"))


def _read_line(filled: Filled, index: int, line: Any) -> None:
    choosable = _chosen(filled, line)
    if choosable is None:
        filled.line_errors[index] = [_("This instrument cannot be chosen; please remove the line")]
        return
    key = f"lines.{choosable.instrument_id}"
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
        Line(choosable.instrument_id, quantity, venue_id=int(venue) if venue else None)
    )


def _chosen(filled: Filled, line: Any) -> Choosable | None:
    typed = line.instrument_id.data or ""
    return filled.offered.get(int(typed)) if _ID.fullmatch(typed) else None


def is_picking() -> bool:
    """Tell whether 确定 of the picker sent the form; the ticks travel with every other button, too."""
    return "pick" in request.form


def _take_picked(filled: Filled) -> None:
    """Add a line for every instrument ticked in the picker that has none yet."""
    present = {line.form.instrument_id.data for line in filled.form.lines}
    for id_ in dict.fromkeys(request.form.getlist("picked")):
        if id_ in present or not _ID.fullmatch(id_):
            continue
        choosable = filled.offered.get(int(id_))
        if choosable and not choosable.refusal and len(filled.form.lines) < MOST_LINES:
            filled.form.lines.append_entry({"instrument_id": id_})


def _name_venues(filled: Filled) -> None:
    for line in filled.form.lines:
        choosable = _chosen(filled, line.form)
        if "venue" in line.form and choosable:
            line.form.venue.choices = [(str(id_), name) for id_, name in choosable.venues]


def request_key() -> str:
    """Return the key that makes sending a form twice harmless: the form's own, or a new one."""
    sent = request.form.get("request_key", "")
    return sent if _KEY.fullmatch(sent) else str(uuid4())


def page(
    filled: Filled,
    *,
    title: Any,
    cancel_url: str,
    line_columns: Sequence[Mapping[str, Any]],
    help_lines: Sequence[Any],
    can_save_draft: bool = False,
    confirm: Any = "",
) -> dict[str, Any]:
    """Return what form.html shows."""
    form = filled.form
    return {
        "title": title,
        "cancel_url": cancel_url,
        "can_save_draft": can_save_draft,
        "request_key": request_key(),
        "lines_title": _("Instruments"),
        "line_columns": line_columns,
        "lines": [_line(filled, index, line.form) for index, line in enumerate(form.lines)],
        "picker": {
            "title": _("Choose instruments"),
            "columns": [
                {"label": _("Instrument code"), "kind": "code"},
                {"label": _("Instrument name"), "kind": "text"},
                {"label": _("Available"), "kind": "number", "unit": _("tonnes")},
            ],
            "rows": [
                {
                    "value": each.instrument_id,
                    "cells": [each.code, each.name, each.available],
                    "disabled_reason": each.refusal,
                }
                for each in filled.offered.values()
            ],
            "selected": [line.form.instrument_id.data for line in form.lines],
        },
        "footer_fields": [form.reason],
        "errors": filled.errors,
        "help": help_lines,
        "confirm": confirm,
    }


def _line(filled: Filled, index: int, line: Any) -> dict[str, Any]:
    choosable = _chosen(filled, line)
    return {
        "index": index,
        "instrument_id": line.instrument_id.data,
        "code": choosable.code if choosable else "",
        "name": choosable.name if choosable else "",
        "available": choosable.available if choosable else None,
        "fields": [each for each in line if each.short_name != "instrument_id"],
        "errors": filled.line_errors.get(index, []),
    }


def _fields(form: Any) -> list[Any]:
    found = [each for each in form if each.type not in ("FieldList", "FormField")]
    for line in form.lines:
        found.extend(line.form)
    return found
