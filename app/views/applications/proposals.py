"""What an application proposes besides its lines, by its kind: as a table, a machine's key as facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.accounts import CLASSES, RIGHTS, shares_of
from app.domain.banks import DIRECTIONS
from app.domain.compliance.carry_over import FIELDS as ROUND_FIELDS
from app.domain.compliance.carry_over import RoundDecision
from app.domain.compliance.deductions import Deduction
from app.domain.compliance.figures import STAGES
from app.domain.compliance.notices import Decision, Terms
from app.domain.compliance.offsets import ANSWERS
from app.domain.compliance.penalties import Penalty
from app.domain.compliance.plans import FIELDS as PLAN_FIELDS
from app.domain.compliance.plans import PlanDecision, PlanField
from app.domain.kinds.accounts.class_rule import ClassRuleChange
from app.domain.kinds.accounts.closure import InstrumentRetirement
from app.domain.kinds.accounts.succession import AccountSuccession
from app.domain.kinds.compliance.assistance import AssistedSurrender
from app.domain.kinds.compliance.carry_over import (
    CarryOver,
    CarryOverBatch,
    CarryOverNotices,
    CarryOverRound,
)
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.kinds.compliance.differentiation import Differentiation, DifferentiationRemoval
from app.domain.kinds.compliance.figure_table import FigureTable
from app.domain.kinds.compliance.notice import NoticeDecision
from app.domain.kinds.compliance.offset import (
    BINDING_ENDS,
    OffsetApplication,
    OffsetBindingAnswer,
)
from app.domain.kinds.compliance.plan import PlanApplication
from app.domain.kinds.compliance.surrender import Surrender
from app.domain.kinds.money.reserve import DefaultCover, ReserveProvision
from app.domain.kinds.pledge import PLEDGES, PledgeSurrender
from app.domain.kinds.pledge import TEXTS as PLEDGE_TEXTS
from app.domain.kinds.revocation import REVOCABLE, Revocation
from app.domain.kinds.sanctions.court_disposal import MEASURES, CourtSurrender
from app.domain.kinds.sanctions.penalty import AdministrativePenalty
from app.domain.kinds.settlement import (
    BankDifference,
    DifferenceResolution,
    SettlementObjection,
    TradeSettlement,
)
from app.domain.machines import ALL_SCOPES, PLATFORM_TITLE
from app.domain.money import yuan
from app.operations.records.catalogue import SECTORS
from app.views.applications.money import KINDS_OF_MONEY, bank_table

ACTS = {
    "issue": (_("Issue"), "blue"),
    "change": (_("Adjust"), "amber"),
    "withdraw": (_("Take back"), "red"),
}


def terms_table(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return old and new terms side by side; of a new notice there are no old ones."""
    decision = Decision.read(proposal)
    before, after = _values(decision.before), _values(decision.after)
    columns = [{"label": _("Field")}]
    if before:
        columns.append({"label": _("Before the change")})
    if after:
        columns.append({"label": _("After the change") if before else _("Value")})
    rows = [
        [title, *(side[title] for side in (before, after) if side)] for title in before or after
    ]
    act, _tone = ACTS[decision.act]
    sector = SECTORS.get(decision.sector, decision.sector)
    title = gettext(
        "%(year)s %(sector)s notice: %(act)s", year=decision.year, sector=sector, act=act
    )
    return {"title": title, "columns": columns, "rows": rows}


def _values(terms: Terms | None) -> dict[str, str]:
    if terms is None:
        return {}
    return {gettext("Obligation (tonnes)"): f"{terms.obligation:,}"}


def plan_table(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan says before and after; of a new one there is nothing before."""
    decision = PlanDecision.read(proposal)
    sector = SECTORS.get(decision.sector, decision.sector)
    title = gettext("Plan of %(year)s, %(sector)s", year=decision.year, sector=sector)
    return _versions(title, PLAN_FIELDS, decision)


def _versions(
    title: str, fields: Sequence[PlanField], decision: PlanDecision | RoundDecision
) -> dict[str, Any]:
    """Return what something dated says, field by field, before and after."""
    before = decision.before
    columns = [{"label": _("Field")}]
    if before is not None:
        columns += [{"label": _("Before the change")}, {"label": _("After the change")}]
    else:
        columns.append({"label": _("Value")})
    rows = [[_("Date of the document"), *([""] if before is not None else []),
             f"{decision.documented_on or ''}"]]  # fmt: skip
    for field in fields:
        new = field.shown(decision.after.get(field.name, ""))
        if before is None:
            rows.append([field.title, new])
        else:
            old = field.shown(before.get(field.name, ""))
            mark = f"{field.title} ●" if new != old else field.title
            rows.append([mark, old, new])
    return {"title": title, "columns": columns, "rows": rows}


_COLUMNS = [{"label": _("Field")}, {"label": _("Value")}]


def proposal_table(kind: str, proposal: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of a kind's proposal: title, columns, rows; None for kinds without one."""
    table = _TABLES.get(kind)
    return table(proposal) if table and proposal else None


def key_facts(proposal: Mapping[str, Any]) -> list[tuple[Any, Any, str]]:
    """Return client and key of a proposal as facts."""
    key = proposal.get("jwk", {})
    scopes = "、".join(str(ALL_SCOPES.get(each, each)) for each in proposal.get("scopes", ()))
    owner = PLATFORM_TITLE if proposal.get("is_platform") else ""
    shown = (
        (_("Client code"), proposal.get("client"), "code"),
        (_("Client name"), proposal.get("name"), "text"),
        (_("Trading venue"), proposal.get("venue"), "code"),
        (_("Belongs to"), owner, "text"),
        (_("Scopes"), scopes, "text"),
        (_("Key id"), proposal.get("kid"), "code"),
        (_("Key type"), " ".join(key[name] for name in ("kty", "crv") if name in key), "text"),
        (_("Key thumbprint"), proposal.get("thumbprint"), "code"),
        (_("Client certificate (SHA-256, base64url)"), proposal.get("certificate"), "code"),
    )
    return [fact for fact in shown if fact[1]]


def _figures(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a table of verified data comes to, and the first rows that we compute otherwise."""
    sector = SECTORS.get(proposal["sector"], proposal["sector"])
    rows = [
        [_("Client code"), proposal["client"]],
        [_("Compliance year"), str(proposal["year"])],
        [_("Sector"), sector],
        [_("Stage"), STAGES[proposal["stage"]]],
        [_("Rows"), f"{proposal['rows']:,}"],
        [_("Number of enterprises"), f"{proposal['enterprises']:,}"],
        [_("Allocated to enterprises (tonnes)"), f"{proposal['tonnes']:,}"],
        [_("Rows that differ"), f"{proposal['differing']:,}"],
        [_("Enterprises with a row that differs"), f"{proposal['differing_enterprises']:,}"],
        *([_pushed_row(each), _otherwise(each)] for each in proposal.get("differences", ())),
        [_("Digest of the table"), proposal["table"]],
    ]
    return {"title": gettext("Table of verified data"), "columns": _COLUMNS, "rows": rows}


def _pushed_row(each: Mapping[str, Any]) -> str:
    unit = each.get("unit_code") or gettext("Enterprise as a whole")
    return f"{each['name']}（{each['member_no']}），{unit}"


def _otherwise(each: Mapping[str, Any]) -> str:
    return gettext(
        "%(quantity)s pushed, %(expected)s computed here",
        quantity=f"{each['quantity']:,}",
        expected=f"{each['expected']:,}",
    )


def _settlement(proposal: Mapping[str, Any]) -> dict[str, Any]:
    short = proposal["shortfalls"]
    rows = [
        [_("Trading day"), proposal["day"]],
        [_("Trading venue"), proposal["venue"]],
        [_("Number of trades"), f"{proposal['trades']:,}"],
        [_("Quantity (tonnes)"), f"{proposal['quantity']:,}"],
        [_("Amount (yuan)"), yuan(proposal["amount"])],
        [_("Trades covered in full"), f"{proposal['covered']:,}"],
        [_("Trades not covered"), f"{proposal['short']:,}"],
        *([_lacking(each), _lack(each)] for each in short),
        [_("Digest of the package"), proposal["digest"]],
        [_("Digest of this result"), proposal["result"]],
    ]
    title = gettext("Settlement of the trades of %(day)s", day=proposal["day"])
    return {"title": title, "columns": _COLUMNS, "rows": rows}


def _lacking(each: Mapping[str, Any]) -> str:
    return gettext(
        "Deal %(deal)s, member %(member)s", deal=each["deal_no"], member=each["member_no"]
    )


def _lack(each: Mapping[str, Any]) -> str:
    if each["tonnes"]:
        return gettext("lacks %(tonnes)s tonnes", tonnes=f"{each['tonnes']:,}")
    return gettext("lacks %(yuan)s yuan", yuan=yuan(each["fen"]))


def _difference(proposal: Mapping[str, Any]) -> dict[str, Any]:
    is_money = proposal["instrument"] == "CNY"
    show: Callable[[int], str] = yuan if is_money else "{:,}".format
    unit = _("yuan") if is_money else _("tonnes")
    rows = [
        [_("Trading day"), proposal["day"]],
        [_("Instrument"), _("Money") if is_money else proposal["instrument"]],
        [_("Registry"), f"{show(proposal['ours'])} {unit}"],
        [_("Exchange"), f"{show(proposal['theirs'])} {unit}"],
        [_("Difference"), f"{show(proposal['ours'] - proposal['theirs'])} {unit}"],
    ]
    return {"title": _("Difference"), "columns": _COLUMNS, "rows": rows}


def _bank_difference_rows(proposal: Mapping[str, Any]) -> list[list[Any]]:
    """Return what a difference with a bank says, as (title, value)."""
    rows = [
        [_("Settlement bank"), proposal["bank"]],
        [_("Date"), proposal["day"]],
    ]
    if proposal["what"] == "balance":
        ours, theirs = proposal["ours"], proposal["theirs"]
        return [
            *rows,
            [_("By our books (yuan)"), yuan(ours)],
            [_("The bank's balance (yuan)"), yuan(theirs)],
            [_("Difference (yuan)"), yuan(ours - theirs)],
        ]
    return [
        *rows,
        [_("Serial of the bank"), proposal["bank_serial"]],
        [_("Our serial"), proposal["serial"] or "-"],
        [_("Direction"), DIRECTIONS[proposal["direction"]]],
        [_("Amount (yuan)"), yuan(proposal["amount"])],
        [_("Why it fits nothing"), proposal["reason"]],
    ]


def _bank_difference(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = _bank_difference_rows(proposal)
    return {"title": _("Difference with a bank"), "columns": _COLUMNS, "rows": rows}


def _objection(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [[_("Trading day"), proposal.get("day", "")]]
    return {"title": _("Statement objected to"), "columns": _COLUMNS, "rows": rows}


def _cover(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [_("Trading day"), proposal["day"]],
        [_("Deal number"), proposal["deal_no"]],
        [_("Buyer in default"), f"{proposal['buyer']}（{proposal['buyer_no']}）"],
        [_("Settlement bank"), proposal["bank_name"]],
    ]
    return {"title": _("Default that is covered"), "columns": _COLUMNS, "rows": rows}


def _provision(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [[_("Settlement bank"), proposal["bank_name"]]]
    return {"title": _("Provision for the settlement reserve"), "columns": _COLUMNS, "rows": rows}


def _later_use(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was confirmed about newer allowances for an older notice (N51)."""
    rows = [[_("These allowances could also be surrendered for"), proposal.get("also_for", "")]]
    return {"title": _("Confirmed by the applicant"), "columns": _COLUMNS, "rows": rows}


def _court(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a court's paper says besides its ruling."""
    quantity = proposal.get("quantity")
    amount = f"{proposal['amount']} {_('yuan')}" if "amount" in proposal else None
    target = " ".join(
        filter(None, (proposal.get("instrument_code"), proposal.get("instrument_name")))
    )
    if "instrument" in proposal and not target:
        target = gettext("Whole account: all allowances held and to come")
    served = proposal.get("served_at") or ""
    rows = [
        [_("Order concerned"), proposal.get("order_number")],
        [_("Sale concerned"), proposal.get("sale_number")],
        [_("Case number of the order"), proposal.get("original_case_no")],
        [_("Request number of the order"), proposal.get("original_request_no")],
        [_("Number of the request"), proposal.get("request_no")],
        [_("Case number"), proposal.get("case_no")],
        [_("Contact of the court"), proposal.get("contact")],
        [_("Time of service"), served.replace("T", " ").removesuffix("+08:00")],
        [_("Instrument"), target],
        [_("Quantity (tonnes)"), f"{quantity:,}" if quantity and not amount else None],
        [_("Amount"), amount],
        [_("Receiver"), proposal.get("receiver_name")],
    ]
    rows = [row for row in rows if row[1]]
    return {"title": _("The court's paper"), "columns": _COLUMNS, "rows": rows}


def _court_surrender(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the freeze that it draws on, and what was confirmed about newer allowances."""
    rows = [
        [_("Order concerned"), proposal.get("order_number", "")],
        [_("Case number of the order"), proposal.get("original_case_no", "")],
        *_later_use(proposal)["rows"],
    ]
    return {"title": _("The court's freeze"), "columns": _COLUMNS, "rows": rows}


def _pledge(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a pledge says besides its lines."""
    rows = [[title, proposal[name]] for name, (title, _longest) in PLEDGE_TEXTS.items()]
    return {"title": _("The pledge"), "columns": _COLUMNS, "rows": rows}


def _listing(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [[_("Compliance year"), proposal["year"]]]
    return {"title": _("List of the differentiated"), "columns": _COLUMNS, "rows": rows}


def _deduction(proposal: Mapping[str, Any]) -> dict[str, Any]:
    said = Deduction.read(proposal)
    rows = [
        [_("Compliance year"), str(said.year)],
        [_("Sector"), SECTORS.get(said.sector, said.sector)],
        [_("Deduction (tonnes)"), f"{said.tonnes:,}"],
    ]
    if said.allowance is not None:
        rows.append([_("Allowance of the next year (tonnes)"), f"{said.allowance:,}"])
    return {"title": _("Deduction"), "columns": _COLUMNS, "rows": rows}


def _revocation(proposal: Mapping[str, Any]) -> dict[str, Any]:
    kind = next((each.title for each in REVOCABLE if each.code == proposal["kind"]), "")
    rows = [[_("Number of what is revoked"), proposal["number"]], [_("What is revoked"), kind]]
    return {"title": _("Revocation of a decision"), "columns": _COLUMNS, "rows": rows}


def _penalty(proposal: Mapping[str, Any]) -> dict[str, Any]:
    said = Penalty.read(proposal)
    rows = [[_("Compliance year"), str(said.year)], [_("Fine (yuan)"), yuan(said.fen)]]
    return {"title": _("Administrative penalty"), "columns": _COLUMNS, "rows": rows}


def _round(proposal: Mapping[str, Any]) -> dict[str, Any]:
    decision = RoundDecision.read(proposal)
    title = gettext("Carry-over into %(year)s", year=decision.year)
    return _versions(title, ROUND_FIELDS, decision)


def _carry_over_rows(proposal: Mapping[str, Any]) -> list[list[Any]]:
    """Return what notices, a batch or an application of a carry-over say."""
    tonnes = proposal.get("tonnes")
    rows = [
        [_("Carried over into"), proposal.get("year")],
        [_("Notice number"), proposal.get("notice_number")],
        [_("Number of the release"), proposal.get("release")],
        [_("By the plans in force on"), proposal.get("day")],
        [_("Submitted until"), proposal.get("until")],
        [_("Number"), proposal.get("count")],
        [_("Quantity (tonnes)"), f"{int(tonnes):,}" if tonnes else None],
        *(
            [f"{each['code']} {each['name']}", f"{int(each['tonnes']):,}"]
            for each in proposal.get("vintages", ())
        ),
        [_("Digest"), proposal.get("digest")],
    ]
    return [row for row in rows if row[1]]


def _carry_over(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = _carry_over_rows(proposal)
    return {"title": _("Carry-over"), "columns": _COLUMNS, "rows": rows}


def _offset(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the units of CCER that are to be offset, with their sum."""
    columns = [
        {"label": _("Serial block"), "kind": "code"},
        {"label": _("Project number"), "kind": "code"},
        {"label": _("Project"), "kind": "text"},
        {"label": _("Registered on"), "kind": "text"},
        {"label": _("Quantity"), "kind": "number", "unit": _("tonnes")},
    ]
    rows = [
        [each["serial"], each["project_no"], each["project_name"], each["registered_on"],
         each["quantity"]]
        for each in proposal["units"]
    ]  # fmt: skip
    rows.append([_("In total"), "", "", "", proposal["total"]])
    return {"title": _("Units of CCER"), "columns": columns, "rows": rows}


def _offset_binding(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [_("CCER account"), proposal["ccer_account"]],
        [_("Account holder there"), proposal["holder"]],
        [_("Unified social credit code"), proposal["uscc"]],
    ]
    if "answer" in proposal:
        rows.append([_("Answer"), ANSWERS.get(proposal["answer"], "-")])
    return {"title": _("Binding of a CCER account"), "columns": _COLUMNS, "rows": rows}


def _succession(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [f"{each.name}（{each.member_no}）", f"{each.percent} %"] for each in shares_of(proposal)
    ]
    columns = [{"label": _("Successor")}, {"label": _("Share")}]
    return {"title": _("Successors and shares"), "columns": columns, "rows": rows}


def _class_rule(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [title, gettext("Yes") if name in proposal["rights"] else gettext("No")]
        for name, title in RIGHTS.items()
    ]
    named = CLASSES.get(proposal["class"], proposal["class"])
    return {"title": gettext("Rights of %(class)s", **{"class": named}), "columns": _COLUMNS,
            "rows": rows}  # fmt: skip


def _instrument(proposal: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [_("Instrument code"), proposal["code"]],
        [_("Instrument name"), proposal.get("instrument_name", "")],
    ]
    return {"title": _("Instrument"), "columns": _COLUMNS, "rows": rows}


_TABLES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    **dict.fromkeys(KINDS_OF_MONEY, bank_table),
    AccountSuccession.code: _succession,
    ClassRuleChange.code: _class_rule,
    InstrumentRetirement.code: _instrument,
    NoticeDecision.code: terms_table,
    PlanApplication.code: plan_table,
    FigureTable.code: _figures,
    AllowanceDeduction.code: _deduction,
    AdministrativePenalty.code: _penalty,
    Revocation.code: _revocation,
    CarryOverRound.code: _round,
    **dict.fromkeys(
        (each.code for each in (CarryOverNotices, CarryOver, CarryOverBatch)), _carry_over
    ),
    TradeSettlement.code: _settlement,
    DifferenceResolution.code: _difference,
    BankDifference.code: _bank_difference,
    SettlementObjection.code: _objection,
    DefaultCover.code: _cover,
    Differentiation.code: _listing,
    DifferentiationRemoval.code: _listing,
    OffsetApplication.code: _offset,
    OffsetBindingAnswer.code: _offset_binding,
    **dict.fromkeys((each.code for each in BINDING_ENDS), _offset_binding),
    ReserveProvision.code: _provision,
    **dict.fromkeys((each.code for each in MEASURES), _court),
    CourtSurrender.code: _court_surrender,
    **dict.fromkeys((each.code for each in PLEDGES), _pledge),
    **dict.fromkeys((Surrender.code, AssistedSurrender.code, PledgeSurrender.code), _later_use),
}
