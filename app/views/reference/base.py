"""ReferenceView: a Flask-AppBuilder ModelView with our list page and our write operation.

docs/adr/0050-reference-data-by-modelview.md says which parts of ModelView apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from flask import abort, flash, redirect, url_for
from flask_appbuilder import ModelView, expose
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, select
from sqlalchemy.orm import aliased
from wtforms import HiddenField

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models.reference.dated import Dated
from app.operations.records import clock, reference
from app.security.roles import ADMINISTRATORS, SYSTEM_ADMIN
from app.views.lists.columns import Column
from app.views.lists.listing import (
    BulkAction,
    BulkResult,
    Conditions,
    Filter,
    ListPage,
    RowAction,
    action,
    back_url,
    in_bulk,
)
from app.views.page import PageForm, current_actor
from app.views.reference.fields import column_of, field_of

__all__ = ["ReferenceView", "SQLAInterface"]

STATES = {
    "in_force": (_("In force"), "green"),
    "planned": (_("Not yet in force"), "blue"),
    "disabled": (_("Disabled"), "grey"),
}
LABELS = {
    "code": _("Code"),
    "name": _("Name"),
    "name_en": _("Name in English"),
    "valid_from": _("In force from"),
    "disabled_from": _("Disabled from"),
}
_LISTED = {"list", "export", "export_xlsx", "choose_columns"}
# Declarations of ModelView without effect here; refused at startup.
_WITHOUT_EFFECT = (
    "base_filters", "related_views", "search_form", "add_form", "edit_form", "add_fieldsets",
    "edit_fieldsets", "formatters_columns", "add_form_query_rel_fields",
    "edit_form_query_rel_fields", "search_form_query_rel_fields", "pre_add", "post_add",
    "pre_update", "post_update", "pre_delete", "post_delete", "process_form", "prefill_form",
)  # fmt: skip


class ReferenceView(ListPage, ModelView):
    """A page of reference data, declared as a Flask-AppBuilder ModelView.

    ``datamodel``, ``list_columns`` (a related one as "venue.name"), ``label_columns``,
    ``search_columns``, ``order_columns``, ``base_order``, ``add_columns``, ``edit_columns``,
    ``description_columns`` and ``validators_columns`` have their usual meaning; ``choices_columns``
    maps stored values to titles, and ``offered_columns`` a related one to the condition of the rows that
    its field offers.  ``account_column`` sets the row scope, as on every list.  With
    "disabled_from" among its ``edit_columns``, values can be disabled.
    """

    datamodel: Any = None
    search_columns: Any = None
    base_permissions: Any = None
    choices_columns: ClassVar[Mapping[str, Mapping[Any, Any]]] = {}
    offered_columns: ClassVar[Mapping[str, Any]] = {}
    guide = {"administration": "数据字典"}
    grants = {
        ADMINISTRATORS: "list export",
        SYSTEM_ADMIN: "edit bulk",
    }
    about: Any = ""  # Purpose, shown on 数据字典.

    def __init_subclass__(cls, **options: Any) -> None:
        """Build the list, and expose only the addresses that the page needs."""
        super().__init_subclass__(**options)
        assert issubclass(cls.datamodel.obj, Dated), f"{cls.__name__}: its model is not Dated"
        declared = [
            name for name in _WITHOUT_EFFECT if getattr(cls, name) is not getattr(ModelView, name)
        ]
        assert not declared, f"{cls.__name__} declares what has no effect here: {declared}"
        cls.label_columns = LABELS | (cls.label_columns or {})
        state = Column("state", _("State"), "status", choices=STATES)
        cls.columns = (*map(cls._column, cls.list_columns), state)
        cls.filters = (
            *map(cls._filter, cls.search_columns or ()),
            Filter("state", _("State"), "choice", choices=STATES),
        )
        if cls.base_order:
            name, direction = cls.base_order
            cls.usual_sort = ("-" if direction == "desc" else "") + _label(name)
        cls.include_route_methods = _LISTED | {
            method
            for method, columns in (("new", cls.add_columns), ("edit", cls.edit_columns))
            if columns
        }
        if "disabled_from" in (cls.edit_columns or ()):
            cls.include_route_methods |= {"bulk_ask"}

    def __init__(self, **options: Any) -> None:
        """Undo ModelView's own dispatching of actions."""
        super().__init__(**options)
        del self.actions  # A dictionary that hides our method.
        self.base_permissions = [name for name in self.base_permissions if name.startswith("can_")]

    def _init_properties(self) -> None:
        """Without ModelView's filters, which are shared among requests."""
        searched, self.search_columns = self.search_columns, ["id"]
        super()._init_properties()
        self.search_columns = searched
        self._filters = self._base_filters = None

    def _init_titles(self) -> None:
        """Keep our title: ModelView would set "List Sector"."""

    def _init_forms(self) -> None:
        """Build the two forms; searching is done by the list page."""
        self.search_form = PageForm
        self.add_form = self._form(self.add_columns or (), self.add_form_extra_fields)
        version = {"version": HiddenField()}
        more = version | (self.edit_form_extra_fields or {})
        self.edit_form = self._form(self.edit_columns or (), more)

    def _form(self, names: Iterable[str], more: Mapping[str, Any] | None) -> type[PageForm]:
        fields = {name: field_of(self, name) for name in names}
        return type(f"{type(self).__name__}Form", (PageForm,), fields | dict(more or {}))

    # The list ---------------------------------------------------------------------------------

    @classmethod
    def _column(cls, name: str) -> Column:
        data, label = cls.datamodel, _label(name)
        is_code = name.rpartition(".")[2].endswith(("code", "vintage"))
        kind = "code" if is_code else "text"
        if "." not in name:
            if data.is_date(name):
                kind = "date"
            elif data.is_boolean(name):
                kind = "boolean"
            elif data.is_integer(name) and not is_code:
                kind = "number"
        return Column(
            label,
            cls.label_columns[name],
            kind,
            is_sortable=name in (cls.order_columns or ()),
            is_nullable="." in name or data.is_nullable(name),
            choices=cls.choices_columns.get(name, {}),
        )

    @classmethod
    def _filter(cls, name: str) -> Filter:
        label, title = _label(name), cls.label_columns[name]
        if name in cls.choices_columns:
            return Filter(label, title, "choice", choices=cls.choices_columns[name])
        if "." not in name and cls.datamodel.is_date(name):
            return Filter(label, title, "date_range")
        return Filter(label, title, "prefix" if name.endswith("code") else "text")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the listed, searched and scoping columns, and the state of each row."""
        model = self.datamodel.obj
        names = [*self.list_columns, *(self.search_columns or ()), self.account_column or "id"]
        statement = select(model.id, _state(model).label("state"))
        joined: dict[str, Any] = {}
        for name in dict.fromkeys(names):
            source, _dot, column = name.rpartition(".")
            if source and source not in joined:
                relation = getattr(model, source)
                joined[source] = aliased(relation.property.mapper.class_)
                statement = statement.outerjoin(relation.of_type(joined[source]))
            if name != "id":
                holder = joined[source] if source else model
                statement = statement.add_columns(getattr(holder, column).label(_label(name)))
        return statement

    def tools(self) -> Iterable[RowAction]:
        if "new" in self.include_route_methods and self.may("edit"):
            yield RowAction(_("New"), self.url("new"), icon="plus")
        yield RowAction(_("Data dictionary"), url_for("DictionaryView.list"), keeps_place=False)

    def actions(self, row: Any) -> Iterable[RowAction]:
        if "edit" in self.include_route_methods and self.may("edit"):
            yield RowAction(_("Edit"), self.url("edit", id=row.id))

    def may_act(self, action: BulkAction, row: Any) -> bool:
        """停用 applies to values in force."""
        return action.is_single and (action.name != "disable" or row.state == "in_force")

    @action(
        "disable",
        _("Disable"),
        _("Disable the %(count)s values chosen from today on? They keep their names in history."),
        "ban",
    )
    @in_bulk(is_dangerous=True)
    def disable(self, ids: Sequence[int]) -> BulkResult:
        model, today = self.datamodel.obj, clock.now().date()
        return BulkResult(*reference.disable(model, ids, current_actor(), today=today))

    # The forms --------------------------------------------------------------------------------

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def new(self) -> Any:
        form = self.add_form(data={"valid_from": clock.now().date()})
        if form.validate_on_submit() and self._write(form, self.add_columns):
            flash(gettext("Added"), "success")
            return redirect(back_url(self.url("list")))
        return self._form_page(form, gettext("New"), ())

    @expose("/<int:id>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def edit(self, id: int) -> Any:
        """Change a value; of two concurrent changes the later one is shown the other."""
        shown = self._shown(id)
        form = self.edit_form(obj=db.session.get_one(self.datamodel.obj, id))
        if form.validate_on_submit() and self._write(form, self.edit_columns, id):
            flash(gettext("Saved"), "success")
            return redirect(back_url(self.url("list")))
        hidden = set(self.edit_columns) if not form.form_errors else set()
        facts = [
            (column.title, column.cell(shown).text, "text")
            for column in self.columns
            if column.key not in hidden
        ]
        return self._form_page(form, gettext("Edit"), facts)

    def _write(self, form: Any, names: Sequence[str], id_: int | None = None) -> bool:
        """Save; return whether it was done, with the errors in the form."""
        values = {column_of(self.datamodel, name): form[name].data for name in names}
        values = {name: None if value == "" and self._is_null(name) else value
                  for name, value in values.items()}  # fmt: skip
        model, actor, today = self.datamodel.obj, current_actor(), clock.now().date()
        try:
            with transaction():
                if id_ is None:
                    reference.add(model, values, actor, today=today)
                else:
                    version = form.version.data or ""
                    read = int(version) if version.isdecimal() and version.isascii() else -1
                    reference.change(model, id_, values, actor, version=read, today=today)
        except RuleError as error:
            if error.code == "changed_meanwhile" and id_ is not None:
                form.form_errors.append(str(error))
                form.version.data = str(db.session.get_one(model, id_).version)
            else:
                field = next(each for each in (error.field, error.field.removesuffix("_id"))
                             if each in form)  # fmt: skip
                form[field].errors = [str(error)]
            return False
        return True

    def _is_null(self, name: str) -> bool:
        return bool(self.datamodel.obj.__table__.c[name].nullable)

    def _shown(self, id_: int) -> Any:
        """Return a row of the list, or abort with 404 outside the scope."""
        source = self.rows(Conditions()).subquery("found")
        found = self.in_scope(select(source).where(source.c.id == id_), source.c)
        return db.session.execute(found).first() or abort(404)

    def _form_page(self, form: Any, crumb: str, facts: Sequence[Any]) -> Any:
        return self.form_page(
            self.title,
            form,
            crumb=crumb,
            facts=facts,
            cancel_url=back_url(self.url("list")),
            help=self.help,
            refused=422,
        )


def _label(name: str) -> str:
    return name.replace(".", "_")


def _state(model: Any) -> ColumnElement[str]:
    today = clock.now().date()
    return case(
        (model.disabled_from <= today, "disabled"),
        (model.valid_from > today, "planned"),
        else_="in_force",
    )
