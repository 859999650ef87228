"""Row scope on every address: what is out of scope is answered as if it did not exist.

The addresses come from the URL map.  One with a parameter in its path fails here until OBJECTS says
whose rows it shows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.domain.machines import INTERFACES
from app.extensions import db
from app.models import Application, Member
from app.security.roles import ROLES
from tests.factories import nothing_moves
from tests.views.toys import table
from tests.views.world import Enterprise, list_pages

# (view, argument of its path): what of an enterprise can be asked for there.
OBJECTS: dict[tuple[str, str], Callable[[Enterprise], Sequence[int | str]]] = {
    ("RegistryToTradingView", "id"): lambda of: [of.draft, of.submitted, of.withdrawn],
    ("TradingToRegistryView", "id"): lambda of: of.to_registry,
    ("ExchangeRegistryToTradingView", "id"): lambda of: of.from_exchange,
    ("VoluntaryCancellationView", "id"): lambda of: [of.cancelling, of.in_review, of.approved],
    ("AccountChangeView", "id"): lambda of: of.changes,
    ("CustodyDepositView", "id"): lambda of: of.custody["custody_deposit"],
    ("CustodyReturnView", "id"): lambda of: of.custody["custody_return"],
    ("ComplianceView", "id"): lambda of: of.notices,
    ("DeductionView", "id"): lambda of: [of.by_officers["deduction"][0]],
    ("PenaltyView", "id"): lambda of: [of.by_officers["penalty"][0]],
    ("RevocationView", "id"): lambda of: [of.by_officers["revocation"][0]],
    ("OffsetBindingEndView", "id"): lambda of: of.by_officers["offset_binding_end"],
    ("TrailView", "number"): lambda of: [f"{of.account.member_no}-{of.instrument.code}"],
    ("YearlyStatementView", "number"): lambda of: [f"2026-{of.account.member_no}"],
    ("TrueUpView", "id"): lambda of: of.true_ups,
    ("AllowanceReturnView", "id"): lambda of: of.custody["allowance_return"],
    ("NoticeView", "id"): lambda of: of.notices,
    ("NoticeDecisionView", "id"): lambda of: [of.by_officers["notice"][0]],
    ("NoticeDecisionView", "import_id"): lambda of: [of.batch],
    ("WaitingView", "id"): lambda of: of.waiting,
    ("ProvinceIssueView", "id"): lambda of: [of.by_officers["province_issue"][0]],
    ("ProvinceIssueView", "import_id"): lambda of: [of.province_batch],
    ("DifferentiationView", "id"): lambda of: [of.by_officers["differentiation"][0]],
    ("DifferentiationRemovalView", "id"): lambda of: [of.by_officers["differentiation_removal"][0]],
    ("CommissionView", "id"): lambda of: [of.by_officers["commission"][0]],
    ("SurrenderView", "id"): lambda of: [
        of.surrenders[s] for s in ("draft", "in_review", "approved")
    ],
    ("AssistedSurrenderView", "id"): lambda of: of.assisted,
    ("SurrenderRefundView", "id"): lambda of: [
        of.surrenders[s] for s in ("refund draft", "refund in_review")
    ],
    ("CarryOverView", "id"): lambda of: of.carry_overs,
    ("CarryOverNoticeView", "id"): lambda of: [of.carry_over_notice],
    ("DepositView", "id"): lambda of: of.money["deposit"],
    ("WithdrawalView", "id"): lambda of: of.money["withdrawal"],
    ("BankBindingView", "id"): lambda of: of.money["bank_binding"],
    ("BankOrderView", "id"): lambda of: of.orders,
    ("AttestationView", "id"): lambda of: of.attestations,
    ("AttachmentView", "id"): lambda of: of.attachments,
    ("StatementView", "id"): lambda of: of.statements,
    ("SettlementObjectionView", "id"): lambda of: of.objections,
    ("OffsetView", "id"): lambda of: of.offsets,
    ("OffsetBindingView", "id"): lambda of: of.offset_bindings,
    ("OffsetUnitView", "id"): lambda of: of.offset_units,
    ("AccountClosureView", "id"): lambda of: of.by_officers["account_closure"],
    ("ClosureByOfficeView", "id"): lambda of: [of.by_officers["closure_by_office"][0]],
    ("CredentialView", "credential"): lambda of: [of.credential],
    ("PledgeView", "id"): lambda of: of.by_officers["pledge"],
    ("PledgeNoteView", "id"): lambda of: of.by_officers["pledge_note"],
    ("PledgeJointReleaseView", "id"): lambda of: of.by_officers["pledge_joint_release"],
    ("PledgeSurrenderView", "id"): lambda of: of.by_officers["pledge_surrender"],
    ("CourtSurrenderView", "id"): lambda of: of.by_officers["court_surrender"],
}
# What a reviewer is asked to decide on, or has decided: test_review.py asks for others' there.
OF_REVIEWERS = {("ReviewView", "id"), ("ReviewedView", "id")}
# The registry's own desks: an enterprise or a province has no permission there at all.
OF_OFFICERS = {
    ("IssuanceView", "id"),
    ("IssuanceView", "form"),
    ("IssuanceView", "import_id"),
    ("IssuanceReversalView", "id"),
    ("CustodyLinkView", "id"),
    ("AccountOpeningView", "id"),
    ("AccountOpeningView", "form"),
    ("AccountOpeningView", "import_id"),
    ("CertificateReplacementView", "id"),
    ("MachineKeyView", "id"),
    ("FigureTableView", "id"),
    ("MachineKeyRevocationView", "id"),
    ("DayPackageView", "id"),
    ("OffsetMessageView", "id"),
    ("TradeSettlementView", "id"),
    ("DifferenceResolutionView", "id"),
    ("BankDifferenceResolutionView", "id"),
    ("DefaultCoverView", "id"),
    ("ReserveProvisionView", "id"),
    ("CompanyGroupView", "id"),
    ("AccountRetirementView", "id"),
    ("InstrumentRetirementView", "id"),
    ("SuccessionView", "id"),
    ("BankruptcyView", "id"),
    ("ClassRuleChangeView", "id"),
    ("PledgeReleaseView", "id"),
    ("PledgeNoteReleaseView", "id"),
    ("CourtFreezeView", "id"),
    ("CourtRenewalView", "id"),
    ("CourtReleaseView", "id"),
    ("CourtAssignmentView", "id"),
    ("CourtSaleView", "id"),
    ("CourtSaleEndView", "id"),
    ("PlanDecisionView", "id"),
    ("ClaimView", "id"),
    ("CommissionRefundView", "id"),
    ("HelperRefundView", "id"),
    ("PledgeRefundView", "id"),
    ("OffsetBindingEndByRegistryView", "id"),
    ("AllocationFigureView", "form"),
    ("CarryOverRoundDecisionView", "id"),
    ("CarryOverNoticesView", "id"),
    ("CarryOverBatchView", "id"),
    ("CarryOverTotalsView", "year"),
    ("FreezeView", "id"),
    ("UnfreezeView", "id"),
    ("ConfiscationView", "id"),
    ("ConfiscationRefundView", "id"),
    ("RestrictionView", "id"),
    ("RestrictionLiftingView", "id"),
    ("AnnouncementDeskView", "id"),
}
# Announcements have an audience instead of an account: tests/views/administration/test_announcement_pages.py.
# Plans are of sectors: tests/views/compliance/test_plans.py.  Rounds of carry-overs are of all.
OF_AUDIENCES = {("AnnouncementView", "id"), ("PlanView", "id"), ("CarryOverRoundView", "id")}
# What belongs to no account: an enterprise or a province has no permission there at all.
OF_ADMINISTRATORS = {
    ("OnlineView", "session_id"),
    ("DeviceView", "device_id"),
    ("LockView", "member_no"),
    ("MemberView", "member_id"),
    ("OperationLogView", "log_id"),
    ("ParameterView", "name"),
    ("TradingCalendarView", "day"),
    *(
        (view, "id")
        for view in (
            "SectorView",
            "CityView",
            "CategoryView",
            "VenueView",
            "TradeCodeView",
            "HoldingLimitView",
            "MinistryDateView",
            "ReportSheetView",
            "ReportColumnView",
            "FeeRateView",
        )
    ),
}
# The account representative's own people: tests/views/accounts/test_operators.py asks for others' there.
OF_REPRESENTATIVES = {("OperatorView", "member_id")}
# A member's own, whatever the scope: tests/views/administration/test_job_pages.py.  And what the
# demonstration shows to all.
OF_MEMBERS = {
    ("JobView", "job_id"),
    ("MailboxView", "message_id"),
    (
        "CertificateView",
        "certificate_id",
    ),  # tests/views/people/test_renewal.py, test_certificate_pages.py
}
# A data set, for everybody: tests/views/publicity/test_disclosures.py.
OF_EVERYBODY = {("DisclosureView", "code")}
# Random codes, which are known to whom they were given: test_signed_acts.py, test_attestation_pages.py.
OF_HOLDERS = {("SigningView", "challenge"), ("VerifyView", "code")}
# Renewing one's own certificate, on a page whose other addresses are the officers'.
OF_ONESELF = {"CertificateView.renew", "CertificateView.begin_renewal"}
OF_ONESELF |= {"CertificateView.issue_renewal"}
# A word in the path, no object: it acts on the member's own account.
WORDS = {
    ("TransferPermissionView", "to"),
    ("ColleagueReviewView", "to"),
    ("GroupConsentView", "to"),
    ("NoticeDecisionView", "form"),
    ("ProvinceIssueView", "form"),
    ("HelpView", "page"),  # The guides, which everybody may read.
    ("HelpView", "name"),
}

Browse = Callable[[Member], FlaskClient]


def with_parameters(app: Flask) -> list[tuple[Rule, str, str]]:
    """Return every address with something in its path: the rule, its view, the argument."""
    found = []
    for rule in app.url_map.iter_rules():
        view = rule.endpoint.partition(".")[0]
        # Machines have no row scope: tests/views/interfaces.
        is_a_page = view not in ("static", *INTERFACES)
        found += [(rule, view, argument) for argument in rule.arguments if is_a_page]
    return found


def requests_for(app: Flask, of: Enterprise) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and endpoint of everything that can be asked about an enterprise."""
    adapter = app.url_map.bind("localhost")
    for rule, view, argument in with_parameters(app):
        for value in OBJECTS[view, argument](of) if (view, argument) in OBJECTS else ():
            path = adapter.build(rule.endpoint, {argument: value})
            for method in sorted(rule.methods & {"GET", "POST"}):
                yield method, path, rule.endpoint


def holds(role: str, app: Flask, endpoint: str) -> bool:
    """Tell whether a role may use an endpoint."""
    blueprint, _, name = endpoint.partition(".")
    view = next(view for view in app.appbuilder.baseviews if view.endpoint == blueprint)
    permission = f"can_{view.get_method_permission(name)}"
    return (permission, view.class_permission_name) in ROLES[role].permissions()


def test_every_address_with_a_parameter_is_known_here(app):
    known = OBJECTS.keys() | OF_REVIEWERS | OF_OFFICERS | OF_ADMINISTRATORS | OF_MEMBERS | WORDS
    known |= OF_REPRESENTATIVES | OF_HOLDERS | OF_AUDIENCES | OF_EVERYBODY
    assert {(view, argument) for _rule, view, argument in with_parameters(app)} - known == set()


def test_another_enterprise_s_records_do_not_exist(app, world, sign_in):
    browser = sign_in(world.b.member)
    before = statuses()
    asked = list(requests_for(app, world.a))
    assert {method for method, _path, _endpoint in asked} == {"GET", "POST"}
    with nothing_moves():
        for method, path, endpoint in asked:
            expected = 404 if holds("enterprise", app, endpoint) else 403
            response = browser.open(path, method=method, data={"submit": "1"})
            assert response.status_code == expected, (method, path)
            assert not [mark for mark in world.a.marks if mark in response.text], path
    assert statuses() == before


def test_own_records_are_found(app, world, sign_in):
    """Otherwise wrong addresses would pass the test above."""
    browser = sign_in(world.a.member)
    for method, path, _endpoint in requests_for(app, world.a):
        if method == "GET" and holds("enterprise", app, _endpoint):
            assert browser.get(path).status_code in (200, 302), path


@pytest.mark.parametrize(("role", "foreign"), [("province", "b"), ("province:31", "a")])
def test_another_province_s_records_do_not_exist(app, world, sign_in, role, foreign):
    browser = sign_in(world.officers[role])
    other, own = getattr(world, foreign), world.a if foreign == "b" else world.b
    before = statuses()
    with nothing_moves():
        for method, path, endpoint in requests_for(app, other):
            expected = 404 if holds("province", app, endpoint) else 403
            assert browser.open(path, method=method).status_code == expected, (method, path)
    assert statuses() == before
    seen = 0
    for method, path, endpoint in requests_for(app, own):
        if method == "GET" and holds("province", app, endpoint):
            assert browser.get(path).status_code == 200, path
            seen += 1
    assert seen


def test_the_registry_sees_both(app, world, sign_in):
    browser = sign_in(world.officers["registry_maker"])
    for of in (world.a, world.b):
        for method, path, endpoint in requests_for(app, of):
            if method == "GET" and holds("registry_maker", app, endpoint):
                assert browser.get(path).status_code in (200, 302), path


def statuses() -> list[tuple[int, str, int]]:
    db.session.rollback()
    found = db.session.execute(
        db.select(Application.id, Application.status, Application.version).order_by(Application.id)
    ).all()
    db.session.rollback()
    return [tuple(row) for row in found]


# Lists, exports, conditions --------------------------------------------------------------------


def business_lists(app: Flask, role: str) -> list[tuple[str, str]]:
    """Return (address of the list, address of its export) of each list that a role may open."""
    return [
        (f"{page.route_base}/", f"{page.route_base}/export.csv")
        for page in list_pages(app)
        if holds(role, app, f"{page.endpoint}.list")
    ]


@pytest.mark.parametrize("role", ["enterprise", "province"])
@pytest.mark.parametrize("query", ["", "?page=1&size=100", "?member=乙"])
def test_lists_and_exports_hold_rows_in_scope_alone(app, world, sign_in, monkeypatch, role, query):
    monkeypatch.setitem(app.config, "EXPORTS_PER_MEMBER", 1_000)
    browser = sign_in(world.member_of(role))
    foreign = [*world.b.marks, world.b.instrument.code]
    pages = business_lists(app, role)
    assert len(pages) >= 7
    for address in itertools.chain.from_iterable(pages):
        with browser.get(address + query) as response:
            assert response.status_code == 200, address
            text = response.get_data(as_text=True)
        assert not [mark for mark in foreign if mark in text], address
        shown = len(text.splitlines()) - 1 if address.endswith("csv") else len(table(text))
        assert "member" in query or shown, f"{address} shows nothing at all"


@pytest.mark.parametrize("side", ["registry", "trading"])
@pytest.mark.parametrize("page", ["", "export.csv"])
def test_another_account_s_entries_cannot_be_asked_for(world, sign_in, side, page):
    path = f"/holdings/{side}-entries/{page}"
    a, b = world.a, world.b
    for member, wanted, code in (
        (b.member, a.account.id, 404),
        (a.member, a.account.id, 200),
        (world.officers["province:31"], a.account.id, 404),
        (world.officers["province:31"], b.account.id, 200),
        (world.officers["registry_maker"], a.account.id, 200),
        (a.member, 999_999_999, 404),
    ):
        with sign_in(member).get(f"{path}?account={wanted}") as response:
            assert response.status_code == code, (member.username, wanted)
    with sign_in(b.member).get(f"{path}?instrument={a.instrument.id}") as response:
        text = response.get_data(as_text=True)
        assert a.instrument.code not in re.sub(r"<input[^>]*>", "", text)


@pytest.mark.parametrize("asked", ["account=x", "account=9999999999999999999999", "account=-1"])
def test_an_account_that_is_no_number_is_refused(world, sign_in, asked):
    response = sign_in(world.b.member).get(f"/holdings/registry-entries/?{asked}")
    assert response.status_code in (400, 404)
    assert world.a.account.member_no not in response.text


def test_bulk_operations_reach_rows_in_scope_alone(app, world, sign_in):
    """Ids outside the scope are refused as unknown."""
    for page in list_pages(app):
        for role in ("enterprise", "province"):
            if not page.bulk or not holds(role, app, f"{page.endpoint}.bulk_ask"):
                continue
            if (page.endpoint, "id") in OF_REVIEWERS:
                continue
            ids = OBJECTS[page.endpoint, "id"](world.b)
            browser = sign_in(world.member_of(role))
            for action in page.bulk:
                form = {"action": action.name, "id": ids, "count": str(len(ids))}
                before = statuses()
                browser.post(f"{page.route_base}/bulk", data=form)
                assert statuses() == before, page.endpoint


@pytest.mark.parametrize("role", ["enterprise", "province"])
def test_administrators_addresses_are_closed_to_business(app, sign_in, world, role):
    browser = sign_in(world.member_of(role))
    samples = {"member_no": "x", "day": "2026-11-20"}
    adapter = app.url_map.bind("localhost")
    for rule, view, argument in with_parameters(app):
        if (view, argument) not in OF_ADMINISTRATORS | OF_OFFICERS:
            continue
        path = adapter.build(rule.endpoint, {argument: samples.get(argument, 1)})
        for method in sorted(rule.methods & {"GET", "POST"}):
            expected = 404 if rule.endpoint in OF_ONESELF else 403
            assert browser.open(path, method=method).status_code == expected, (method, path)
