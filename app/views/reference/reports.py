"""年度报告版式 and 收费标准: what the yearly report shows, and what the registry charges."""

from __future__ import annotations

from flask_babel import lazy_gettext as _
from wtforms.validators import NumberRange

from app.models import FeeRate, ReportColumn, ReportSheet
from app.operations.publicity.figures import FIGURES
from app.operations.publicity.report import ROWS_BY, UNITS
from app.views.reference.base import ReferenceView, SQLAInterface
from app.views.reference.pages import CODE, STAYS

_PLACE = NumberRange(1, 999, message=_("Enter a place from 1 to 999"))


class ReportSheetView(ReferenceView):
    """年度报告表页."""

    route_base = "/report-sheets"
    title = _("Sheets of the yearly report")
    about = _("Which sheets the yearly report has, and what their rows are")
    datamodel = SQLAInterface(ReportSheet)
    account_column = None  # The layout belongs to no account.
    list_columns = ["place", "code", "name", "rows_by", "valid_from", "disabled_from"]
    label_columns = {"place": _("Place"), "rows_by": _("A row for each")}
    choices_columns = {"rows_by": ROWS_BY}
    search_columns = ["code", "name"]
    order_columns = ["place"]
    base_order = ("place", "asc")
    add_columns = ["code", "name", "rows_by", "place", "valid_from"]
    edit_columns = ["name", "place", "disabled_from"]
    validators_columns = {"code": [CODE], "place": [_PLACE]}
    help = (STAYS, _("Sheets stand in the order of their places"))


class ReportColumnView(ReferenceView):
    """年度报告栏目."""

    route_base = "/report-columns"
    title = _("Columns of the yearly report")
    about = _(
        "Which figures each sheet shows, in which order, under which titles and in which units"
    )
    datamodel = SQLAInterface(ReportColumn)
    account_column = None  # The layout belongs to no account.
    list_columns = [
        "sheet.name", "place", "name", "figure", "unit", "valid_from", "disabled_from",
    ]  # fmt: skip
    label_columns = {
        "sheet": _("Sheet"),
        "sheet.name": _("Sheet"),
        "place": _("Place"),
        "name": _("Title"),
        "figure": _("Figure"),
        "unit": _("Unit"),
    }
    choices_columns = {
        "figure": {code: each.title for code, each in FIGURES.items()},
        "unit": UNITS,
    }
    search_columns = ["sheet.name", "name", "figure"]
    order_columns = ["place"]
    base_order = ("place", "asc")
    add_columns = ["sheet", "place", "name", "figure", "unit", "valid_from"]
    edit_columns = ["place", "name", "figure", "unit", "disabled_from"]
    validators_columns = {"place": [_PLACE]}
    help = (
        _("Columns stand in the order of their places; each change is in the operation log"),
        _("A column that is disabled, or not in force yet, is not in the report"),
    )


class FeeRateView(ReferenceView):
    """收费标准."""

    route_base = "/fee-rates"
    title = _("Charges and rates")
    about = _("What is charged, from whom and by which document; it is published")
    datamodel = SQLAInterface(FeeRate)
    account_column = None  # Fees belong to no account.
    list_columns = ["code", "name", "payer", "rate", "basis", "valid_from", "disabled_from"]
    label_columns = {
        "name": _("Charge"),
        "payer": _("Payer"),
        "rate": _("Rate"),
        "basis": _("Basis"),
    }
    search_columns = ["code", "name"]
    order_columns = ["code"]
    base_order = ("code", "asc")
    add_columns = ["code", "name", "payer", "rate", "basis", "valid_from"]
    edit_columns = ["name", "payer", "rate", "basis", "disabled_from"]
    validators_columns = {"code": [CODE]}
    help = (STAYS, _("Fees in force are published on the next business day"))
