"""Every page declares address, title, menu entry and grants."""

from __future__ import annotations

from collections import Counter

from app.domain.kinds import KINDS
from app.security.gate import PUBLIC
from app.security.roles import ROLES
from app.views import pages
from app.views.applications.desk import ApplicationDesk
from app.views.chapters import CHAPTERS
from app.views.page import Page
from app.views.reference.base import ReferenceView


def families(page: type[Page]) -> set[type[Page]]:
    return {page, *(each for child in page.__subclasses__() for each in families(child))}


def test_whatever_is_called_a_view_is_a_page_with_an_address(app):
    """A class without its own `route_base` is a base class and would never be served."""
    views = {
        each
        for each in families(Page)
        if each.__module__.startswith("app.views.")
        and each.__name__.endswith("View")
        and not each.__name__.startswith("_")
    }
    assert views - {ReferenceView} == set(pages())


def test_every_page_has_a_title(app):
    assert [page.endpoint for page in app.appbuilder.baseviews if not page.title] == []


def test_every_page_grants_something_to_somebody_or_is_public(app):
    public = {endpoint.partition(".")[0] for endpoint in PUBLIC}
    silent = {page.endpoint for page in app.appbuilder.baseviews if not page.grants}
    assert silent - public == set()


def test_grants_name_roles_that_exist(app):
    named = {code for page in pages() for codes in page.grants for code in codes.split()}
    assert named == ROLES.keys()


def test_every_entry_has_a_place_of_its_own_in_its_chapter(app):
    """Counted from 1 without gaps, which makes the order of the menu explicit."""
    entries = [page.menu for page in pages() if page.menu]
    for chapter in CHAPTERS:
        places = Counter(entry.place for entry in entries if entry.chapter is chapter)
        assert places == Counter(range(1, len(places) + 1)), chapter.title
    assert all(entry.chapter in CHAPTERS for entry in entries)
    # What stands by itself shows an icon of its own; a chapter has one for all of its entries.
    assert all(bool(entry.icon) is not bool(entry.chapter.title) for entry in entries)


def test_no_entry_is_inherited(app):
    """Two pages would have the same place."""
    assert [page for page in pages() if page.menu and "menu" not in vars(page)] == []


def test_what_lies_beneath_a_page_is_a_page(app):
    known = {page.endpoint for page in app.appbuilder.baseviews}
    for page in app.appbuilder.baseviews:
        assert set(getattr(page, "beneath", ())) <= known


def test_a_form_has_lines_where_its_kind_has(app):
    desks = [page for page in pages() if issubclass(page, ApplicationDesk)]
    assert len(desks) > 10
    wrong = {
        page.__name__: page.kind
        for page in desks
        # Of money, of courts' measures and of a commission, the lines are typed as an amount or follow from
        # what the form is about.
        if not (
            KINDS[page.kind].in_money
            or hasattr(page.form, "receiver")
            or page.kind in ("commission", "court_sale", "court_sale_end")
        )
        and KINDS[page.kind].has_lines != bool(page.form_columns)
    }
    assert wrong == {}
