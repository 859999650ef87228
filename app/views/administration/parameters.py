"""系统参数: current and future values, and setting one from a day on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from flask import abort, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import SelectField

from app.domain.errors import RuleError
from app.domain.parameters import NUMBER, PARAMETERS, SWITCH, ParameterSpec
from app.extensions import db
from app.models import Member, Parameter
from app.models.parameter import settings
from app.operations.records import clock, parameters
from app.operations.records.actor import Actor
from app.security.manager import permissions
from app.security.roles import ADMINISTRATORS, SYSTEM_ADMIN
from app.views.applications import signing
from app.views.applications.form import DATE_INPUT, MaxLength, Required
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.lists.listing import Column, Filter, ListPage, RowAction, back_url
from app.views.page import Page, PageForm, SignedAct


class ParameterForm(PageForm):
    """A new value, its first day, and the reason."""

    value = StringField(_("New value"), render_kw={"maxlength": 20, "autocomplete": "off"})
    effective_from = StringField(_("In force from"), render_kw=DATE_INPUT)
    reason = TextAreaField(_("Reason"), [Required(), MaxLength(300)])


class SwitchForm(ParameterForm):
    """The same for an on/off parameter."""

    value = SelectField(_("New value"), choices=[("on", _("On")), ("off", _("Off"))])


def _set(values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
    """Set a parameter.  Raises RuleError."""
    name = values["parameter"]
    parameters.set_value(
        name,
        values["value"],
        effective_from=_day(values["effective_from"]),
        reason=values["reason"],
        actor=actor,
        now=clock.now(),
    )
    return gettext("%(title)s was set.", title=PARAMETERS[name].title)


def _shown(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    return [
        (_("Parameter"), str(PARAMETERS[values["parameter"]].title)),
        (_("New value"), values["value"]),
        (_("In force from"), values["effective_from"]),
        (_("Reason"), values["reason"]),
    ]


class ParameterView(Page):
    route_base = "/parameters"
    default_view = "list"
    title = _("System parameters")
    menu = MenuEntry(ADMINISTRATION, 7)
    guide = {"administration": "系统参数与参数变更记录"}
    grants = {ADMINISTRATORS: "list", SYSTEM_ADMIN: "edit"}
    signed_acts = {"parameter.set": SignedAct(_("Set a system parameter"), "edit", _set, _shown)}

    @expose("/", methods=["GET"])
    @has_access
    @permission_name("list")
    def list(self) -> Any:
        """Show today's values and the future ones."""
        later = _later()
        values = settings(db.session)
        may_edit = ("can_edit", self.class_permission_name) in permissions()
        rows = [
            [
                str(spec.title),
                spec.shown(values[name]),
                later.get(name, ""),
                spec.shown(spec.default),
                _limits(spec),
                str(spec.source),
                {"label": gettext("Edit"), "url": url_for("ParameterView.edit", name=name)}
                if may_edit
                else {
                    "label": gettext("History"),
                    "url": url_for("ParameterHistoryView.list", name=name),
                },
            ]
            for name, spec in PARAMETERS.items()
        ]
        return self.render_template(
            "administration/sheet.html",
            title=gettext("System parameters"),
            tables=[{"title": "", "columns": _columns(), "rows": rows}],
            links=[(gettext("History of all parameters"), url_for("ParameterHistoryView.list"))],
            help=[
                gettext(
                    "A value holds from the chosen day on; nothing that was set is overwritten."
                ),
                gettext("To take a planned change back, set the former value for the same day."),
                gettext("Every change is kept in the operation log with its reason."),
            ],
        )

    @expose("/<name>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def edit(self, name: str) -> Any:
        spec = PARAMETERS.get(name) or abort(404)
        today = clock.now().date()
        present = settings(db.session)[name]
        kind = SwitchForm if spec.kind == SWITCH else ParameterForm
        form = kind(value=spec.written(present), effective_from=today.isoformat())
        back = back_url(url_for("ParameterView.list"))
        if form.validate_on_submit():
            values = {
                "parameter": name,
                "title": str(spec.title),
                "value": _normal(spec, form.value.data or ""),
                "effective_from": _normal_day(form.effective_from.data),
                "reason": (form.reason.data or "").strip(),
            }
            done = signing.carry_out(self, "parameter.set", values, form, "value", back)
            if done is not None:
                return done
        return self._form(spec, form, back, present)

    def _form(self, spec: ParameterSpec, form: ParameterForm, back: str, present: Any) -> Any:
        facts = [
            (gettext("Parameter"), str(spec.title)),
            (gettext("Today"), spec.shown(present)),
            (gettext("Unless set"), spec.shown(spec.default)),
            (gettext("Limits"), _limits(spec)),
            (gettext("Source"), str(spec.source)),
        ]
        return self.form_page(
            gettext("System parameters"),
            form,
            crumb=gettext("Edit"),
            facts=facts,
            confirm=gettext("Set %(title)s?", title=spec.title),
            cancel_url=back,
            help=[gettext("Another day's value is not changed; the history shows all of them.")],
            refused=422,
        )


class ParameterHistoryView(ListPage):
    """参数变更记录: every setting, by whom, why and from when."""

    route_base = "/parameter-history"
    title = _("Parameter history")
    menu = MenuEntry(ADMINISTRATION, 8)
    guide = {"administration": "系统参数与参数变更记录"}
    grants = {ADMINISTRATORS: "list export"}
    account_column = None  # Parameters belong to no account.
    columns = (
        Column("set_at", _("Set at"), "datetime"),
        Column("name", _("Parameter"), choices={n: (s.title) for n, s in PARAMETERS.items()}),
        Column("value", _("Value"), "code"),
        Column("effective_from", _("In force from"), "date"),
        Column("member_no", _("Member number"), "code"),
        Column("member_name", _("Name")),
        Column("reason", _("Reason")),
    )
    filters = (
        Filter(
            "name", _("Parameter"), "choice", choices={n: s.title for n, s in PARAMETERS.items()}
        ),
        Filter("effective_from", _("In force from"), "date_range"),
    )
    help = (_("Nobody can change or delete these records."),)

    def rows(self, conditions: Any) -> Select[Any]:
        return select(
            Parameter.id,
            Parameter.set_at,
            Parameter.name,
            Parameter.value,
            Parameter.effective_from,
            Member.username.label("member_no"),
            Member.first_name.label("member_name"),
            Parameter.reason,
        ).outerjoin(Member, Member.id == Parameter.set_by)

    def tools(self) -> Iterable[RowAction]:
        yield RowAction(_("System parameters"), url_for("ParameterView.list"))


def _columns() -> list[dict[str, Any]]:
    titles = (
        gettext("Parameter"),
        gettext("Today"),
        gettext("From a later day"),
        gettext("Unless set"),
        gettext("Limits"),
        gettext("Source"),
    )
    columns: list[dict[str, Any]] = [{"label": title, "kind": "text"} for title in titles]
    return [*columns, {"label": gettext("Operation"), "kind": "link"}]


def _later() -> dict[str, str]:
    """Return future values by parameter."""
    rows = db.session.execute(
        select(Parameter.name, Parameter.value, Parameter.effective_from)
        .where(Parameter.effective_from > clock.now().date())
        .order_by(Parameter.effective_from, Parameter.id)
    )
    found: dict[str, dict[date, str]] = {}
    for name, value, day in rows:
        if name in PARAMETERS:
            spec = PARAMETERS[name]
            found.setdefault(name, {})[day] = spec.shown(spec.read(value))
    return {
        name: "；".join(f"{day.isoformat()}: {value}" for day, value in days.items())
        for name, days in found.items()
    }


def _limits(spec: ParameterSpec) -> str:
    if spec.kind == SWITCH:
        return ""
    between = f"{spec.written(spec.least)}–{spec.written(spec.most)}"
    return f"{between} {spec.unit}" if spec.kind == NUMBER else between


def _normal(spec: ParameterSpec, typed: str) -> str:
    """Return a value as it is stored and signed; what cannot be read stays for the refusal."""
    try:
        return spec.written(spec.read(typed))
    except RuleError:
        return typed


def _normal_day(typed: str | None) -> str:
    """Return a day as it is stored and signed; what cannot be read stays for the refusal."""
    try:
        return _day(typed).isoformat()
    except RuleError:
        return (typed or "").strip()


def _day(text: str | None) -> date:
    """Parse a day.  Raises RuleError."""
    try:
        return date.fromisoformat((text or "").strip())
    except ValueError:
        raise RuleError(_("Please enter a date like 2026-11-20"), field="effective_from") from None
