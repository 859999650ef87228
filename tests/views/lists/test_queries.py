"""The number of statements per page: small, and independent of the number of rows."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, inspect, select, text

from app.extensions import db
from app.models import (
    Application,
    BankLineEvent,
    CourtOrder,
    CourtSale,
    DayPackage,
    OffsetMessage,
    SettlementDifference,
    TradeDefault,
)
from app.operations.compliance import carry_over, plans
from app.security.roles import ROLES
from app.views.reference.base import ReferenceView
from tests import factories
from tests.views.toys import counting
from tests.views.walk import EVERY_ROLE, Seen, look, walk
from tests.views.world import World, fill, list_pages

MOST = 8
# A page about one application reads its lines, files and events, what its form offers, and of a notice
# what it says.
MOST_OF_ONE = 10
# That of a court's order tells what it holds, what came and went, and what followed; a commission's
# form what is due, what waits and what the plan's order takes of it.
MOST_OF_ORDER = 12
# What a head reads of its group is put on record.
MOST_ON_RECORD = 11
OF_OFFICERS = {
    "AccountOpeningView": "account_opening",
    "CertificateReplacementView": "certificate_replacement",
    "MachineKeyView": "machine_key",
    "MachineKeyRevocationView": "machine_key_revocation",
    "IssuanceView": "issuance",
    "ProvinceIssueView": "province_issue",
    "IssuanceReversalView": "issuance_reversal",
    "DifferentiationView": "differentiation",
    "DifferentiationRemovalView": "differentiation_removal",
    "CommissionView": "commission",
    "NoticeDecisionView": "notice",
    "CustodyLinkView": "custody_link",
    "CompanyGroupView": "company_group",
    "AccountClosureView": "account_closure",
    "ClosureByOfficeView": "closure_by_office",
    "AccountRetirementView": "account_retirement",
    "InstrumentRetirementView": "instrument_retirement",
    "SuccessionView": "account_succession",
    "BankruptcyView": "bankruptcy",
    "ClassRuleChangeView": "class_rule",
    "CourtFreezeView": "court_freeze",
    "CourtRenewalView": "court_renewal",
    "CourtReleaseView": "court_release",
    "CourtAssignmentView": "court_assignment",
    "CourtSaleView": "court_sale",
    "CourtSaleEndView": "court_sale_end",
    "CourtSurrenderView": "court_surrender",
    "PledgeView": "pledge",
    "PledgeNoteView": "pledge_note",
    "PledgeJointReleaseView": "pledge_joint_release",
    "PledgeReleaseView": "pledge_release",
    "PledgeNoteReleaseView": "pledge_note_release",
    "PledgeSurrenderView": "pledge_surrender",
    "PlanDecisionView": "plan",
    "DeductionView": "deduction",
    "PenaltyView": "penalty",
    "RevocationView": "revocation",
    "CommissionRefundView": "refund_of_commission",
    "HelperRefundView": "refund_to_helper",
    "PledgeRefundView": "refund_to_pledge",
    "OffsetBindingEndView": "offset_binding_end",
    "OffsetBindingEndByRegistryView": "offset_binding_end_by_registry",
    "ClaimView": "allowance_claim",
    "CarryOverRoundDecisionView": "carry_over_round",
    "CarryOverNoticesView": "carry_over_notices",
    "CarryOverBatchView": "carry_over_batch",
    "FreezeView": "freeze",
    "UnfreezeView": "unfreeze",
    "ConfiscationView": "confiscation",
    "ConfiscationRefundView": "confiscation_refund",
    "RestrictionView": "restriction",
    "RestrictionLiftingView": "restriction_lifting",
}


def pages_of(app, role: str, world: World) -> list[str]:
    """Return the addresses that a role may open without anything in the path, and one of each detail."""
    granted = ROLES[role].permissions()
    adapter = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        blueprint, _, name = rule.endpoint.partition(".")
        view = next((view for view in app.appbuilder.baseviews if view.endpoint == blueprint), None)
        method = getattr(view, name, None)
        if view is None or "GET" not in rule.methods or not hasattr(method, "_permission_name"):
            continue
        permission = f"can_{view.get_method_permission(name)}"
        if (permission, view.class_permission_name) not in granted or name.startswith("export"):
            continue
        if rule.endpoint == "CertificateView.renewed":
            continue  # It says one word and leads back to the list.
        if rule.endpoint in ("TradeSettlementView.new", "TradeSettlementView.edit"):
            continue  # They lead to the list; the day of this world is settled.
        if not rule.arguments:
            found.append(adapter.build(rule.endpoint, _asked(rule.endpoint)))
        elif rule.arguments == {"id"}:
            ids = {
                "RegistryToTradingView": world.a.draft if name == "edit" else world.a.submitted,
                "TradingToRegistryView": world.a.to_registry[0],
                "ExchangeRegistryToTradingView": world.a.from_exchange[0],
                "VoluntaryCancellationView": world.a.cancelling
                if name == "edit"
                else world.a.in_review,
                "AccountChangeView": world.a.changes[name != "edit"],
                "CustodyDepositView": world.a.custody["custody_deposit"][name != "edit"],
                "CustodyReturnView": world.a.custody["custody_return"][name != "edit"],
                "ComplianceView": world.a.notices[1],
                "TrueUpView": world.a.true_ups[0],
                "AllowanceReturnView": world.a.custody["allowance_return"][name != "edit"],
                "NoticeView": world.a.notices[1],
                "SurrenderView": world.a.surrenders["draft" if name == "edit" else "in_review"],
                "AssistedSurrenderView": world.a.assisted[name != "edit"],
                "SurrenderRefundView": world.a.surrenders[
                    "refund draft" if name == "edit" else "refund in_review"
                ],
                "AttachmentView": world.a.attachments[0],
                "AttestationView": world.a.attestations[0],
                "StatementView": world.a.statements[0],
                **{
                    f"{view}View": world.a.money[kind][name != "edit"]
                    for view, kind in (
                        ("Deposit", "deposit"),
                        ("Withdrawal", "withdrawal"),
                        ("BankBinding", "bank_binding"),
                    )
                },
                "BankOrderView": world.a.orders[0],
                "OffsetView": world.a.offsets[name != "edit"],
                "OffsetBindingView": world.a.offset_bindings[name != "edit"],
                "OffsetUnitView": world.a.offset_units[0],
                "OffsetMessageView": db.session.scalar(select(func.max(OffsetMessage.id))),
                "SettlementObjectionView": world.a.objections[name != "edit"],
                "DayPackageView": db.session.scalar(select(func.min(DayPackage.id))),
                "TradeSettlementView": _first("trade_settlement"),
                "FigureTableView": _first("figure_table"),
                "DifferenceResolutionView": _first("difference_resolution"),
                "BankDifferenceResolutionView": _first("bank_difference"),
                "DefaultCoverView": _first("default_cover"),
                "ReserveProvisionView": _first("reserve_provision"),
                "ReviewView": world.a.asked
                if role.startswith("enterprise")
                else world.a.surrenders["in_review"]
                if role == "province"
                else world.a.in_review,
                "ReviewedView": world.a.approved,
                "AnnouncementView": world.announced,
                "PlanView": plans.latest(2025, "power").id,
                "CarryOverView": world.a.carry_overs[name != "edit"],
                "CarryOverNoticeView": world.a.carry_over_notice,
                "CarryOverRoundView": carry_over.latest(2025).id,
                "AnnouncementDeskView": world.to_announce,
            }
            ids |= {
                page: world.a.by_officers[kind][0 if name == "edit" else 1]
                for page, kind in OF_OFFICERS.items()
            }
            if isinstance(view, ReferenceView):
                ids[blueprint] = db.session.scalar(select(func.min(view.datamodel.obj.id)))
            if blueprint == "ReviewedView" and role != "registry_maker":
                continue  # Somebody else's decisions.
            found.append(adapter.build(rule.endpoint, {"id": ids[blueprint]}))
    return sorted(found)


def _asked(endpoint: str) -> dict[str, int | None]:
    """Return what a form must be told that belongs to a settled day."""
    named = {
        "SettlementObjectionView.new": ("package", DayPackage),
        "DifferenceResolutionView.new": ("difference", SettlementDifference),
        "BankDifferenceResolutionView.new": ("difference", BankLineEvent),
        "DefaultCoverView.new": ("default", TradeDefault),
        "CourtRenewalView.new": ("order", CourtOrder),
        "CourtReleaseView.new": ("order", CourtOrder),
        "CourtAssignmentView.new": ("order", CourtOrder),
        "CourtSaleView.new": ("order", CourtOrder),
        "CourtSaleEndView.new": ("sale", CourtSale),
    }
    if endpoint not in named:
        return {}
    name, model = named[endpoint]
    key = inspect(model).primary_key[0]
    return {name: db.session.scalar(select(func.min(key)))}


def _most(address: str) -> int:
    if re.fullmatch(
        r"/court-(freezes|sales)/\d+|/(commissions|court-surrenders)/\d+/edit", address
    ):
        return MOST_OF_ORDER
    if address in ("/group-holdings/", "/group-notices/"):
        return MOST_ON_RECORD
    return (
        MOST_OF_ONE if re.search(r"/\d", address) or re.search("(order|sale)=", address) else MOST
    )


def _first(kind: str) -> int | None:
    """Return the first application of a kind that the world has."""
    return db.session.scalar(select(func.min(Application.id)).where(Application.kind == kind))


def costs(app, browser: FlaskClient, addresses: list[str]) -> dict[str, int]:
    """Return the number of statements of each address, with warm caches."""
    for address in addresses:
        look(app, browser, address)
    return _statements({address: look(app, browser, address) for address in addresses})


def _statements(pages: dict[str, Seen]) -> dict[str, int]:
    assert {address: page.status for address, page in pages.items() if page.status != 200} == {}
    return {address: page.statements for address, page in pages.items()}


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_every_page_takes_few_statements(app, world, sign_in, role):
    browser = sign_in(world.member_of(role))
    found = _statements(walk(app, browser, role, pages_of(app, role, world)))
    assert found
    costly = [address for address, cost in found.items() if cost > _most(address)]
    again = costs(app, browser, costly)  # with warm caches
    assert {address: cost for address, cost in again.items() if cost > _most(address)} == {}


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_no_page_leaves_what_it_wrote_to_the_end_of_the_request(app, world, sign_in, role):
    browser = sign_in(world.member_of(role))
    pages = walk(app, browser, role, pages_of(app, role, world))
    assert [address for address, page in pages.items() if page.wrote] == []


def test_a_page_keeps_what_its_connection_has_prepared(app, world, sign_in):
    browser = sign_in(world.a.member)
    db.session.remove()
    for _time in range(8):  # psycopg prepares what it is given for the sixth time.
        browser.get("/holdings/")
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%holding%'"
    assert db.session.scalar(text(prepared)) >= 1


@pytest.mark.parametrize("role", ["enterprise", "registry_maker"])
def test_ten_times_the_rows_take_no_more_statements(app, world, sign_in, role):
    browser = sign_in(world.member_of(role))
    addresses = [
        address
        for page in list_pages(app)
        if ("can_list", page.class_permission_name) in ROLES[role].permissions()
        for address in (f"{page.route_base}/?size=100",)
    ]
    assert len(addresses) >= 7
    before = costs(app, browser, addresses)
    for number in range(9):
        fill(world.a, f"MORE{number}")
        factories.give(world.a.account, factories.instrument(), 5)
    assert costs(app, browser, addresses) == before


def test_a_form_costs_the_same_for_many_instruments(app, world, sign_in):
    browser = sign_in(world.a.member)
    address = ["/transfers/registry-to-trading/new"]
    before = costs(app, browser, address)
    for _ in range(20):
        factories.give(world.a.account, factories.instrument(), 5)
    assert costs(app, browser, address) == before


def test_a_submission_of_many_lines_costs_as_much_as_of_one(app, world, sign_in):
    browser = sign_in(world.a.member)
    held = [factories.instrument() for _ in range(20)]
    for each in held:
        factories.give(world.a.account, each, 5)

    def submit(instruments: list) -> int:
        form = {"submit": "1", "reason": "交易需要"}
        for index, each in enumerate(instruments):
            form[f"lines-{index}-choice"] = str(each.id)
            form[f"lines-{index}-quantity"] = "1"
            form[f"lines-{index}-venue"] = str(factories.venue().id)
        with counting(app) as statements:
            response = browser.post("/transfers/registry-to-trading/new", data=form)
        assert response.status_code == 302
        return len(statements)

    submit(held[:1])  # Everything warm.
    assert submit(held) <= submit(held[:1])
