"""The one list page: conditions, table, paging, column choice, export and bulk operations.

Pages are declarations; request state is never kept on the view, which all threads share.
docs/adr/0005-one-list-page.md says why it is not Flask-AppBuilder's ModelView.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isfunction
from typing import Any
from urllib.parse import urlencode

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.actions import action
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from markupsafe import Markup
from sqlalchemy import Select, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.errors import RuleError
from app.domain.texts import require_showable
from app.extensions import db, transaction
from app.models import Preference
from app.operations.applications import jobs
from app.operations.records import clock
from app.security.gate import safe_next
from app.security.scope import scope_of, scoped
from app.views.lists import export
from app.views.lists.columns import Column
from app.views.lists.conditions import Columns, Conditions, Filter
from app.views.lists.export import Export
from app.views.lists.paging import COUNTED, SIZES, USUAL_SIZE, BadCursor, Order, Place
from app.views.page import Page, current_actor

BULK_LIMIT = 10_000  # Rows that one bulk operation takes.
JOB_FROM = 1_000  # More rows than this run as a job, where the operation can.
_OWN_PARAMETERS = ("sort", "size", "page", "after", "before", "last")

__all__ = [
    "BulkAction",
    "BulkResult",
    "Column",
    "Conditions",
    "Filter",
    "ListPage",
    "RowAction",
    "action",
    "back_url",
    "in_bulk",
]


@dataclass(frozen=True, slots=True)
class RowAction:
    """A link or button: in a row's 操作 column, in the tool bar, or on a detail page.

    ``method`` "post" renders a form with its CSRF token.  ``confirm`` is the question asked first and
    should name the object.  A link carries the list's address along as ``back``.
    """

    label: Any
    url: str
    method: str = "get"
    confirm: str = ""
    icon: str = ""
    is_dangerous: bool = False
    keeps_place: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)  # that the form sends

    def href(self, back: str) -> str:
        """Return the address, with ``back`` for `back_url` unless the link does not keep its place."""
        if not self.keeps_place or self.method != "get":
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}{urlencode({'back': back})}"


@dataclass(frozen=True, slots=True)
class BulkAction:
    """An operation on many ticked rows; ``question`` holds %(count)s.

    Declared as in Flask-AppBuilder, by ``@action(name, text, confirmation, icon, multiple, single)`` on
    a method that takes ids in scope; `in_bulk` adds the rest.  ``job`` names the kind of job
    (app/operations/applications/jobs.py) that processes many rows; its arguments are action, ids and
    comment.
    """

    name: str
    title: Any
    question: Any
    icon: str = ""
    is_multiple: bool = True  # for ticked rows, in the tool bar
    is_single: bool = False  # for one row, in the 操作 column
    is_dangerous: bool = False
    comment: Any = ""  # Label of the text to enter with the confirmation.
    needs_comment: bool = False
    job: str = ""
    method: str = ""  # Defaults to the name of the action.


def in_bulk(**options: Any) -> Callable[[Any], Any]:
    """Add to a page's ``@action`` what Flask-AppBuilder has no argument for; see `BulkAction`."""

    def mark(method: Any) -> Any:
        method._in_bulk = options
        return method

    return mark


def _declared(page: type) -> tuple[BulkAction, ...]:
    """Return a page's actions in the order of the code, inherited ones first."""
    names = dict.fromkeys(name for each in reversed(page.__mro__) for name in vars(each))
    declared = {
        name: getattr(page, name)
        for name in names
        # Evaluating a lazy text would need a catalogue.
        if isfunction(getattr(page, name)) and hasattr(getattr(page, name), "_action")
    }
    for name in declared:
        assert not hasattr(ListPage, name), (
            f"{page.__name__}.{name}: the list page has a method of this name"
        )
    return tuple(
        BulkAction(*each._action, **{"method": name, **getattr(each, "_in_bulk", {})})
        for name, each in declared.items()
    )


@dataclass(slots=True)
class BulkResult:
    done: list[int] = field(default_factory=list)
    refused: dict[int, Any] = field(default_factory=dict)  # id: why


@dataclass(slots=True)
class ListQuery:
    """A request to a list page, parsed."""

    conditions: Conditions
    order: Order
    sort: str
    place: Place
    errors: list[Any]

    @property
    def is_clear(self) -> bool:
        """Whether all of it is valid."""
        return not (self.errors or self.conditions.errors)

    @property
    def messages(self) -> Sequence[str]:
        """Return all errors, each with its field: a hidden condition has no other place."""
        titles = {name: each.title for each in self.conditions.filters for name in each.parameters}
        named = [
            gettext("%(field)s: %(message)s", field=str(titles[name]), message=str(message))
            for name, message in self.conditions.errors.items()
        ]
        return [*map(str, self.errors), *named]


@dataclass(slots=True)
class ResultPage:
    rows: Sequence[Any] = ()
    total: int = 0
    page: int | None = 1
    has_previous: bool = False
    has_next: bool = False

    @property
    def is_capped(self) -> bool:
        """Whether there are more rows than are counted (`COUNTED`)."""
        return self.total > COUNTED


class ListPage(Page):
    """A declarative list page.

    ``rows`` returns a SELECT whose labels are the keys of columns and filters.  ``key`` names the
    labels that make the order total, as an index has them.  ``account_column`` names the label to
    which row scope applies; None, for rows that belong to no account, must be written down.
    """

    default_view = "list"
    title: Any = ""
    help: tuple[Any, ...] = ()  # 说明, a line each
    columns: tuple[Column, ...] = ()
    filters: tuple[Filter, ...] = ()
    key: tuple[str, ...] = ("id",)
    account_column: str | None
    usual_sort = ""  # A column's key, "-" before it for descending; "" sorts by the key.
    shown_filters = 3  # Filters shown before 展开.
    stacks_actions = False  # One below the other: for long labels and many columns.
    bulk: tuple[BulkAction, ...] = ()  # Declared by methods with @action.
    bulk_name = "id"  # The label that identifies a row in the question and in the result,
    bulk_object = ""  # and the one with its owner or subject.
    empty_hint: Any = ""
    beneath: tuple[str, ...] = ()  # Pages without a menu entry, reached from this one.

    def __init_subclass__(cls, **options: Any) -> None:
        """Expose the address of bulk operations only where there are some."""
        super().__init_subclass__(**options)
        cls.bulk = _declared(cls)
        hidden = set() if cls.bulk else {"bulk_ask"}
        cls.exclude_route_methods = (set(cls.exclude_route_methods) - {"bulk_ask"}) | hidden

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return all rows before conditions and row scope, labelled."""
        raise NotImplementedError

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Return a row's actions, only those that the member may perform."""
        return ()

    def tools(self) -> Iterable[RowAction]:
        """Return the left of the tool bar, 新增 first."""
        return ()

    def is_usual(self, column: Column) -> bool:
        """Tell whether a column is shown to who has chosen none."""
        return column.is_shown

    def state(self) -> tuple[Any, str] | None:
        """Return label and tone of a switch's state, where the page has one."""
        return None

    def check(self, conditions: Conditions) -> None:
        """Refuse inconsistent conditions with ``conditions.refuse``."""

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return facts about the rows for the question: (label, value, kind[, unit])."""
        return ()

    def bulk_state(self, ids: Sequence[int]) -> str:
        """Return a value that changes whenever one of the rows does, beyond what the question shows."""
        return ""

    def before_bulk(self, name: str, ids: Sequence[int]) -> Any:
        """Return an intermediate page for a confirmed bulk operation, or None."""
        return None

    def may_act(self, action: BulkAction, row: Any) -> bool:
        """Tell whether an action is offered in a row's 操作 column."""
        return action.is_single

    @expose("/")
    @has_access
    @permission_name("list")
    def list(self) -> Any:
        if any(not value for name, value in request.args.items() if name in self._parameters()):
            # Not as arguments of `url_for`, which reserves names.
            given = {name: value for name, value in request.args.items() if value}
            return redirect(f"{self.url('list')}?{urlencode(given)}" if given else self.url("list"))
        query = self._read_query()
        result = ResultPage()
        if query.is_clear:
            result = self._fetch(query)
        return self._page(query, result)

    @expose("/export.csv")
    @has_access
    @permission_name("export")
    def export(self) -> Any:
        return self._export(export.stream, has_types=False)

    @expose("/export.xlsx")
    @has_access
    @permission_name("export")
    def export_xlsx(self) -> Any:
        return self._export(export.write, has_types=True)

    @expose("/columns", methods=["POST"])
    @has_access
    @permission_name("list")
    def choose_columns(self) -> Any:
        """Store the member's choice of columns."""
        wanted = set(request.form.getlist("column"))
        shown = {column.key: column.key in wanted for column in self.columns}
        if "usual" in request.form:
            shown = {}
        elif not any(shown.values()):
            flash(gettext("Please keep at least one column"), "warning")
            return redirect(self._back())
        row = {"member_id": g.user.id, "name": self._preference_name, "value": shown}
        statement = insert(Preference).values(row)
        with transaction():
            db.session.execute(
                statement.on_conflict_do_update(
                    index_elements=["member_id", "name"], set_={"value": statement.excluded.value}
                )
            )
        return redirect(self._back())

    @expose("/bulk", methods=["POST"])
    @has_access
    @permission_name("bulk")
    def bulk_ask(self) -> Any:
        """Ask for confirmation with the exact count; once confirmed, run it and report on each row."""
        action = next((each for each in self.bulk if each.name == request.form.get("action")), None)
        query = self._read_query()
        if action is None or not query.is_clear:
            abort(400)
        takes_all = "all" in request.form
        names, missing = self._ticked(query, takes_all)
        if not names or len(names) > BULK_LIMIT:
            flash(self._count_message(len(names)), "warning")
            return redirect(self._back())
        facts = self.bulk_facts([*names])
        state = _state(names, facts, self.bulk_state([*names]))
        problem = _wrong_comment(action)
        is_same = request.form.get("count") == str(len(names))
        is_same = is_same and request.form.get("state", state) == state
        if not is_same or problem:
            if missing or (not is_same and "count" in request.form):
                flash(self._change_message(len(names), len(missing)), "warning")
            if problem and "count" in request.form:
                flash(problem, "warning")
            return self.render_template(
                "lists/bulk_question.html",
                page=self,
                action=action,
                names=names,
                facts=facts,
                state=state,
                comment=request.form.get("comment", ""),
                takes_all=takes_all,
                bulk_url=self.url("bulk_ask", **self._arguments(query)),
                back=self._back(),
            )
        asks_first = self.before_bulk(action.name, [*names])
        if asks_first is not None:
            return asks_first
        if action.job and len(names) > JOB_FROM:
            return self._start_job(action, [*names, *missing])
        return self._bulk_result(action, names, missing)

    def _bulk_result(
        self, action: BulkAction, names: Mapping[int, tuple[str, str]], missing: Sequence[int]
    ) -> Any:
        """Run the operation and report on each row."""
        comment = (request.form.get("comment", ""),) if action.comment else ()
        with transaction():
            result = getattr(self, action.method or action.name)([*names], *comment)
        result.refused |= dict.fromkeys(missing, gettext("There is no such record"))
        unknown = ("", "")
        failures = [
            {
                "number": names.get(id_, unknown)[0] or id_,
                "label": names.get(id_, unknown)[1],
                "reason": reason,
            }
            for id_, reason in result.refused.items()
        ]
        bulk = {"done": len(result.done), "failed": len(failures), "failures": failures}
        return self.render_template(
            "parts/result.html", result={"bulk": bulk, "back_url": self._back()}
        )

    def _start_job(self, action: BulkAction, ids: Sequence[int]) -> Any:
        """Queue a job and show its progress."""
        comment = request.form.get("comment", "")
        arguments = {"action": action.name, "ids": ids, "comment": comment}
        actor = current_actor()
        title = gettext("%(page)s: %(action)s", page=str(self.title), action=str(action.title))
        with transaction():
            job_id = jobs.start(
                action.job, arguments, actor, total=len(ids), now=clock.now(), title=title
            )
        return redirect(url_for("JobView.show", job_id=job_id, back=self._back()))

    def _export(self, write: Callable[[Export], Any], *, has_types: bool) -> Any:
        query = self._read_query()
        if not query.is_clear:
            return self._page(query, ResultPage())
        shown = self._choice()
        columns = [column for column in self.columns if shown[column.key]]
        source, statement = self._statement(query)
        cells = [each.in_file(source[each.key], has_types=has_types) for each in columns]
        return write(
            Export(
                query.order.apply(statement.with_only_columns(*cells), source),
                columns,
                title=str(self.title),
                subject=type(self).__name__,
                conditions=self._arguments(query),
                back=self.url("list", **self._arguments(query)),
            )
        )

    # The request ------------------------------------------------------------------------------

    def _read_query(self) -> ListQuery:
        conditions = Conditions.read(self.filters, request.args)
        self.check(conditions)
        place = Place.read(request.args)
        errors = list_of(place.errors)
        sort = request.args.get("sort", "") or self.usual_sort
        order = self._order(sort)
        if order is None:
            errors.append(_("The rows cannot be sorted by that; please choose a column"))
            sort, order = self.usual_sort, self._order(self.usual_sort)
        assert order is not None
        return ListQuery(conditions, order, sort, place, errors)

    def _order(self, sort: str) -> Order | None:
        """Return the order of a ``sort`` parameter, or None where it is not allowed."""
        if not sort:
            return Order(self.key, is_descending=True)
        name = sort.removeprefix("-")
        column = next(
            (each for each in self.columns if each.key == name and each.is_sortable), None
        )
        if column is None:
            return None
        fields = (name, *(label for label in self.key if label != name))
        return Order(fields, sort.startswith("-"), column.is_nullable)

    def _parameters(self) -> set[str]:
        return {name for each in self.filters for name in each.parameters} | set(_OWN_PARAMETERS)

    def _arguments(self, query: ListQuery, **changes: str) -> dict[str, str]:
        """Return the query string of this request, with changes; "" removes one."""
        arguments = dict(query.conditions.texts)
        if query.sort != self.usual_sort:
            arguments["sort"] = query.sort
        if query.place.size != USUAL_SIZE:
            arguments["size"] = str(query.place.size)
        return {name: value for name, value in (arguments | changes).items() if value}

    def _hidden_arguments(self, query: ListQuery) -> dict[str, str]:
        """Return what 重置 keeps: the conditions without a field in the form."""
        kept = [name for each in self.filters if each.is_hidden for name in each.parameters]
        return {name: text for name, text in query.conditions.texts.items() if name in kept}

    def _back(self) -> str:
        """Return this list with the conditions it was shown with."""
        target = safe_next(request.form.get("back"))
        home = self.url("list")
        return target if target.partition("?")[0] == home else home

    # Rows ---------------------------------------------------------------------------------------

    def _statement(self, query: ListQuery) -> tuple[Columns, Select[Any]]:
        """Return the labels and the SELECT of every row in scope that meets the conditions.

        The page's SELECT is a subquery: PostgreSQL flattens it and drops unneeded joins, so that a count
        does not pay for the names.
        """
        source = self.rows(query.conditions).subquery("found")
        statement = select(source).where(*query.conditions.clauses(source.c))
        return source.c, self.in_scope(statement, source.c)

    def in_scope(self, statement: Select[Any], columns: Columns) -> Select[Any]:
        """Restrict a statement to the member's row scope."""
        if self.account_column is None:
            return statement
        return scoped(statement, columns[self.account_column], g.user)

    def _fetch(self, query: ListQuery) -> ResultPage:
        columns, statement = self._statement(query)
        capped = statement.with_only_columns(literal(1), maintain_column_froms=True)
        counted = select(func.count()).select_from(capped.limit(COUNTED + 1).subquery())
        total = db.session.scalar(counted) or 0
        place, order = query.place, query.order
        if place.is_last and total > COUNTED:
            return _last_page(statement, columns, query, total)
        if place.is_last or place.is_numbered:
            last = _pages(total, place.size)
            page = last if place.is_last else min(place.page or 1, last)
            return _by_number(statement, columns, query, total, page)
        try:
            values = order.place(place.after or place.before, columns)
        except BadCursor:
            query.errors.append(
                _("That place in the list is not known; please begin at the first page")
            )
            return ResultPage()
        return _adjacent(statement, columns, query, total, values)

    def _ticked(
        self, query: ListQuery, takes_all: bool
    ) -> tuple[dict[int, tuple[str, str]], Sequence[int]]:
        """Return the ticked rows in scope as id: (name, object), and the ids not found."""
        columns, statement = self._statement(query)
        (key,) = self.key
        ids: set[int] = set()
        if not takes_all:
            texts = request.form.getlist("id")[: BULK_LIMIT + 1]
            ids = {
                int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19
            }
            statement = statement.where(columns[key].in_(ids))
        words = [columns[label] for label in (self.bulk_name, self.bulk_object) if label]
        statement = statement.with_only_columns(columns[key], *words)
        rows = db.session.execute(statement.order_by(columns[key]).limit(BULK_LIMIT + 1))
        names = {id_: (str(name), "".join(map(str, object_))) for id_, name, *object_ in rows}
        return names, sorted(ids - names.keys())

    def _change_message(self, count: int, missing: int) -> str:
        if "count" not in request.form:
            return gettext(
                "%(missing)s of the rows ticked are not in this list any more: they were dealt with"
                " meanwhile",
                missing=missing,
            )
        return gettext(
            "The rows have changed since you were asked: %(before)s then, %(count)s now. Please look"
            " at them again",
            before=request.form["count"],
            count=count,
        )

    def _count_message(self, count: int) -> str:
        if not count:
            return gettext("Please tick at least one row")
        return gettext(
            "At most %(limit)d rows at a time; please narrow the conditions", limit=BULK_LIMIT
        )

    # Context -----------------------------------------------------------------------------------

    @property
    def _preference_name(self) -> str:
        return f"columns:{type(self).__name__}"[:80]

    def _choice(self) -> dict[str, bool]:
        """Return the columns that the member sees; a column added since the choice has its default."""
        is_alone = scope_of(g.user) == "account"
        usual = {
            each.key: self.is_usual(each) and not (each.is_of_others and is_alone)
            for each in self.columns
        }
        kept = g.preferences.get(self._preference_name)
        chosen = kept if isinstance(kept, dict) else {}
        shown = {key: bool(chosen.get(key, is_usual)) for key, is_usual in usual.items()}
        return shown if any(shown.values()) else usual

    def _page(self, query: ListQuery, result: ResultPage) -> Any:
        shown = self._choice()
        columns = [column for column in self.columns if shown[column.key]]
        arguments = self._arguments(query)
        here = self.url("list", **(arguments | self._place_arguments(query, result)))
        context = {
            "page": self,
            "crumb": "" if self.menu else self.title,
            "filters": [
                each
                for each in self.filters
                if not each.is_hidden and not (each.is_of_others and scope_of(g.user) == "account")
            ],
            "query": query,
            "result": result,
            "columns": columns,
            "shown": shown,
            "lines": [self._table_row(row, columns) for row in result.rows],
            "first_number": ((result.page or 1) - 1) * query.place.size + 1,
            "pages": _pages(result.total, query.place.size),
            "counted": COUNTED,
            "sizes": SIZES,
            "tools": list_of(self.tools()),
            "here": here,
            "urls": self._links(query, result),
            "arguments": arguments,
            "may_export": self.may("export"),
            "may_bulk": self._may_bulk(),
        }
        return self.render_template("lists/list.html", **context), 200 if query.is_clear else 400

    def _table_row(self, row: Any, columns: Sequence[Column]) -> TableRow:
        id_ = row._mapping[self.key[0]] if self.bulk else None
        actions = [*self.actions(row), *self._single_actions(row, id_)]
        cells = "".join([column.cell(row).html for column in columns])
        return TableRow(id_, Markup(cells), actions)  # noqa: S704 - each cell escapes its text

    def _single_actions(self, row: Any, id_: int | None) -> Iterable[RowAction]:
        """Return the actions for a single row; the confirmation is that of the bulk operation."""
        offered = [each for each in self.bulk if self.may_act(each, row)]
        if offered and self._may_bulk():
            url = self.url("bulk_ask")
            for each in offered:
                fields = {"action": each.name, "id": id_}
                yield RowAction(
                    each.title, url, "post", is_dangerous=each.is_dangerous, fields=fields
                )

    def _may_bulk(self) -> bool:
        return bool(self.bulk) and self.may("bulk")

    def _place_arguments(self, query: ListQuery, result: ResultPage) -> dict[str, str]:
        place = query.place
        given = {"after": place.after, "before": place.before, "last": "1" if place.is_last else ""}
        if result.page is not None and result.page > 1:
            given["page"] = str(result.page)
        return {name: value for name, value in given.items() if value}

    def _links(self, query: ListQuery, result: ResultPage) -> dict[str, str]:
        """Return the addresses of the page's links; those without a target are left out."""

        def to(**changes: str) -> str:
            return self.url("list", **self._arguments(query, **changes))

        urls = {
            "list": self.url("list"),
            "reset": self.url("list", **self._hidden_arguments(query)),
            "columns": self.url("choose_columns"),
            "export": self.url("export", **self._arguments(query, size="")),
            "export_xlsx": self.url("export_xlsx", **self._arguments(query, size="")),
            "first": to(),
        }
        if self.bulk:
            urls["bulk"] = self.url("bulk_ask", **self._arguments(query))
        for column in self.columns:
            if column.is_sortable:
                urls[f"sort_{column.key}"] = to(sort=_next_sort(query.sort, column))
        if not result.rows:
            return urls
        if result.has_previous:
            page = result.page - 1 if result.page else 0
            before = query.order.cursor(result.rows[0])
            urls["previous"] = to() if page == 1 else to(before=before, page=str(page or ""))
        if result.has_next:
            page = result.page + 1 if result.page else 0
            urls["next"] = to(after=query.order.cursor(result.rows[-1]), page=str(page or ""))
            urls["last"] = to(last="1")
        return urls


@dataclass(frozen=True, slots=True)
class TableRow:
    id: int | None
    cells: Markup
    actions: Sequence[RowAction]


list_of = list  # `list` is a method within the class.


def back_url(usual: str) -> str:
    """Return the list, with its conditions, from which a detail page or form was opened."""
    return safe_next(request.values.get("back")) or usual


def _state(names: Mapping[int, Any], facts: Sequence[Any], state: str) -> str:
    """Return a digest by which a change of the rows since the question is noticed."""
    whole = json.dumps([sorted(names.items()), facts, state], default=str)
    return hashlib.sha256(whole.encode()).hexdigest()


def _next_sort(sort: str, column: Column) -> str:
    """Return the order for a click on the heading: the default of the column first, then the other."""
    ascending, descending = column.key, f"-{column.key}"
    if sort in (ascending, descending):
        return ascending if sort == descending else descending
    return descending if column.starts_descending else ascending


def _pages(total: int, size: int) -> int:
    return max(1, -(-min(total, COUNTED) // size))


def _by_number(
    statement: Select[Any], columns: Columns, query: ListQuery, total: int, page: int
) -> ResultPage:
    size = query.place.size
    ordered = query.order.apply(statement, columns).offset((page - 1) * size).limit(size + 1)
    rows = db.session.execute(ordered).all()
    return ResultPage(rows[:size], total, page, has_previous=page > 1, has_next=len(rows) > size)


def _last_page(
    statement: Select[Any], columns: Columns, query: ListQuery, total: int
) -> ResultPage:
    """Return the last rows where there are more than are counted, read from the end."""
    ordered = query.order.apply(statement, columns, backwards=True).limit(query.place.size)
    rows = db.session.execute(ordered).all()[::-1]
    return ResultPage(rows, total, None, has_previous=True, has_next=False)


def _adjacent(
    statement: Select[Any], columns: Columns, query: ListQuery, total: int, values: Sequence[Any]
) -> ResultPage:
    """Return the page after or before a cursor."""
    place, order = query.place, query.order
    backwards = not place.after
    beyond = statement.where(order.beyond(columns, values, backwards=backwards))
    ordered = order.apply(beyond, columns, backwards=backwards).limit(place.size + 1)
    rows = db.session.execute(ordered).all()
    has_more = len(rows) > place.size
    rows = rows[: place.size]
    if backwards:
        return ResultPage(rows[::-1], total, place.page, has_previous=has_more, has_next=True)
    return ResultPage(rows, total, place.page, has_previous=True, has_next=has_more)


def _wrong_comment(action: BulkAction) -> str:
    """Return what is wrong with the comment, or ""."""
    typed = request.form.get("comment", "").strip()
    if action.needs_comment and not typed:
        return gettext("%(field)s: please fill it in", field=str(action.comment))
    try:
        require_showable(typed, action.comment)
    except RuleError as error:
        return str(error)
    return ""
