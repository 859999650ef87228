"""数据字典: the pages of reference data, and their overview."""

from __future__ import annotations

from typing import Any

from flask import current_app, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, literal, select, union_all
from wtforms.validators import NumberRange, Regexp

from app.domain.kinds import KINDS
from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import (
    Category,
    City,
    HoldingLimit,
    Instrument,
    MinistryDate,
    Sector,
    Venue,
    VenueInstrument,
)
from app.operations.compliance import calendar
from app.operations.records import clock
from app.operations.records.catalogue import sectors_after
from app.security.roles import ADMINISTRATORS
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.page import Page
from app.views.reference.base import ReferenceView, SQLAInterface

CODE = Regexp(
    "^[a-z][a-z0-9_]+$", message=_("A code begins with a letter: a to z, digits and _ alone")
)
STAYS = _("A code stays as it is; what is in use is disabled, and keeps its name in history")


class SectorView(ReferenceView):
    """行业."""

    route_base = "/sectors"
    title = _("Sectors")
    about = _("What enterprises are counted under: accounts, compliance, statistics")
    datamodel = SQLAInterface(Sector)
    account_column = None  # Sectors belong to no account.
    list_columns = ["code", "name", "name_en", "valid_from", "disabled_from"]
    search_columns = ["code", "name"]
    order_columns = ["code", "name", "valid_from"]
    add_columns = ["code", "name", "name_en", "valid_from"]
    edit_columns = ["name", "name_en", "disabled_from"]
    validators_columns = {"code": [CODE]}
    help = (STAYS,)


class CategoryView(ReferenceView):
    """原因与文书类别."""

    route_base = "/categories"
    title = _("Reasons and types of documents")
    about = _("What issuances, custody deposits, freezes and confiscations are entered under")
    datamodel = SQLAInterface(Category)
    account_column = None  # Categories belong to no account.
    list_columns = ["kind", "code", "name", "name_en", "valid_from", "disabled_from"]
    label_columns = {"kind": _("Kind of application")}
    choices_columns = {
        "kind": {code: kind.title for code, kind in KINDS.items() if kind.has_category}
    }
    search_columns = ["kind", "code", "name"]
    order_columns = ["kind", "name", "valid_from"]
    add_columns = ["kind", "code", "name", "name_en", "valid_from"]
    edit_columns = ["name", "name_en", "disabled_from"]
    validators_columns = {"code": [CODE]}
    help = (STAYS, _("What was submitted before a value was disabled is still reviewed"))


class VenueView(ReferenceView):
    """交易端."""

    route_base = "/venues"
    title = _("Trading venues")
    about = _("Where allowances are moved to and from")
    datamodel = SQLAInterface(Venue)
    account_column = None  # Venues belong to no account.
    list_columns = ["code", "name", "valid_from", "disabled_from"]
    search_columns = ["code", "name"]
    order_columns = ["code", "name", "valid_from"]
    add_columns = ["code", "name", "valid_from"]
    edit_columns = ["name", "disabled_from"]
    validators_columns = {
        "code": [Regexp("^[A-Z][A-Z0-9]+$", message=_("Capital letters and digits, such as ZGW"))]
    }
    help = (STAYS, _("From the day on which a venue is disabled no transfer to it is accepted"))


class TradeCodeView(ReferenceView):
    """交易代码."""

    route_base = "/trade-codes"
    title = _("Trade codes")
    about = _("Which instruments a venue trades, and what it calls them")
    datamodel = SQLAInterface(VenueInstrument)
    account_column = None  # Trade codes belong to no account.
    list_columns = [
        "venue.name", "instrument.code", "instrument.name", "trade_code", "valid_from",
        "disabled_from",
    ]  # fmt: skip
    label_columns = {
        "venue": _("Trading venue"),
        "venue.name": _("Trading venue"),
        "instrument": _("Instrument"),
        "instrument.code": _("Instrument code"),
        "instrument.name": _("Instrument name"),
        "trade_code": _("Trade code"),
    }
    search_columns = ["venue.name", "instrument.code", "trade_code"]
    order_columns = ["instrument.code", "trade_code", "valid_from"]
    add_columns = ["venue", "instrument", "trade_code", "valid_from"]
    edit_columns = ["trade_code", "disabled_from"]
    offered_columns = {"instrument": Instrument.is_of_tonnes()}  # Money has no trade code.
    validators_columns = {
        "trade_code": [
            Regexp(
                "^[A-Z][A-Z0-9-]+$",
                message=_(
                    "A trade code has 2 to 20 capital letters, digits and hyphens, such as CEA25"
                ),
            )
        ]
    }
    help = (_("Without a trade code an instrument cannot be transferred to a venue"),)


class HoldingLimitView(ReferenceView):
    """持仓限额."""

    route_base = "/holding-limits"
    title = _("Holding limits")
    about = _("Above what a member, with its linked companies, reports its holding")
    datamodel = SQLAInterface(HoldingLimit)
    account_column = None  # Limits are of classes, not of accounts.
    list_columns = ["sector", "vintage", "quantity", "basis", "valid_from", "disabled_from"]
    label_columns = {
        "sector": _("Class of accounts"),
        "vintage": _("Vintage"),
        "quantity": _("Limit (tonnes)"),
        "basis": _("Basis"),
    }
    choices_columns = {"sector": sectors_after(_("All classes without their own"))}
    search_columns = ["sector", "basis"]
    order_columns = ["valid_from"]
    add_columns = ["sector", "vintage", "quantity", "basis", "valid_from"]
    edit_columns = ["disabled_from"]
    validators_columns = {
        "vintage": [NumberRange(2000, 2999, message=_("A vintage is a year, such as 2024"))],
        "quantity": [NumberRange(1, message=_("A limit is at least one tonne"))],
    }
    description_columns = {"basis": _("Title or number of the document that sets it")}
    help = (
        _("The later of two limits in force applies, that of the class before that of all"),
        _("A holding above its limit is reported on the next trading day; no deal is refused"),
    )


class MinistryDateView(ReferenceView):
    """主管部门日程."""

    route_base = "/ministry-dates"
    title = _("Dates of the ministry")
    about = _(
        "What the yearly notices of the ministry ask for besides the plans, by when and of whom"
    )
    datamodel = SQLAInterface(MinistryDate)
    account_column = None  # They are of sectors.
    list_columns = [
        "year", "sector", "title", "due_on", "party", "source", "valid_from", "disabled_from",
    ]  # fmt: skip
    label_columns = {
        "year": _("Compliance year"),
        "sector": _("Sector"),
        "title": _("What is due"),
        "due_on": _("Due on"),
        "party": _("Who acts"),
        "source": _("Sources"),
    }
    choices_columns = {
        "sector": sectors_after(_("All sectors")),
        "party": calendar.PARTIES,
    }
    search_columns = ["year", "sector", "party"]
    order_columns = ["due_on", "year"]
    add_columns = ["year", "sector", "title", "due_on", "party", "source", "valid_from"]
    edit_columns = ["due_on", "source", "disabled_from"]
    validators_columns = {
        "year": [NumberRange(2000, 2999, message=_("Enter the year in four digits"))],
    }
    help = (
        _("They stand in the compliance calendar, and who must act is reminded of them"),
        _("A date that is moved is reminded of anew"),
    )


class CityView(ReferenceView):
    """地市."""

    route_base = "/cities"
    title = _("Cities")
    about = _("The prefectures of the provinces (GB/T 2260)")
    datamodel = SQLAInterface(City)
    account_column = None  # Cities belong to no account.
    list_columns = ["province", "code", "name", "valid_from", "disabled_from"]
    label_columns = {"province": _("Province")}
    choices_columns = {"province": PROVINCES}
    search_columns = ["province", "code", "name"]
    order_columns = ["code", "name"]
    base_order = ("code", "asc")
    add_columns = ["province", "code", "name", "valid_from"]
    edit_columns = ["name", "disabled_from"]
    validators_columns = {
        "code": [Regexp("^[0-9]{6}$", message=_("Six digits, the province's two first"))]
    }
    description_columns = {"code": _("Six digits, the province's two first")}
    help = (STAYS,)


class DictionaryView(Page):
    """数据字典: the pages of reference data with the number of values."""

    route_base = "/dictionary"
    default_view = "list"
    title = _("Data dictionary")
    menu = MenuEntry(ADMINISTRATION, 9)
    guide = ReferenceView.guide
    grants = {ADMINISTRATORS: "list"}

    @property
    def beneath(self) -> tuple[str, ...]:
        """Name the pages of reference data."""
        return tuple(page.endpoint for page in reference_pages())

    @expose("/")
    @has_access
    @permission_name("list")
    def list(self) -> Any:
        pages = reference_pages()
        counts = _counts(pages)
        rows = [
            [
                str(page.title),
                str(page.about),
                *counts[page.endpoint],
                {"label": gettext("Open"), "url": url_for(f"{page.endpoint}.list")},
            ]
            for page in pages
        ]
        columns = [
            {"label": _("Data")},
            {"label": _("What they are for")},
            {"label": _("In force"), "kind": "number"},
            {"label": _("All"), "kind": "number"},
            {"label": _("Operation"), "kind": "link"},
        ]
        return self.render_template(
            "administration/sheet.html",
            title=self.title,
            tables=[{"title": "", "columns": columns, "rows": rows}],
            links=[],
            help=[
                gettext("Values are added and disabled from a day on, never deleted."),
                gettext("Every change is kept in the operation log, as it was and as it is."),
            ],
        )


def reference_pages() -> list[ReferenceView]:
    """Return every page of reference data, in whichever room."""
    pages = current_app.extensions.get(
        "pages", {}
    ).values()  # Not set while pages are being registered.
    return [page for page in pages if isinstance(page, ReferenceView)]


def _counts(pages: Any) -> dict[str, tuple[int, int]]:
    """Return (in force, all) by page, in one statement."""
    today = clock.now().date()
    each = [
        select(
            literal(page.endpoint),
            func.count().filter(page.datamodel.obj.in_force(today)),
            func.count(),
        ).select_from(page.datamodel.obj)
        for page in pages
    ]
    return {name: (in_force, all_) for name, in_force, all_ in db.session.execute(union_all(*each))}
