"""Pictures of the guides that no journey passes by: pages of the demonstration, as each role finds them.

Taken with PICTURE_FOLDER or WRITE_PICTURES alone; a page that says nothing is no picture.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.support.officers import begin

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

ENTERPRISE, PROVINCE, OFFICER = "21042300028", "P42", "R0001"
PAGES = (
    (ENTERPRISE, "/plans/", "plans-own"),
    (ENTERPRISE, "/compliance-calendar/", "compliance-calendar-own"),
    (ENTERPRISE, "/true-ups/", "true-ups-own"),
    (ENTERPRISE, "/account-closures/new", "closure-form"),
    (ENTERPRISE, "/account-classes/", "account-classes"),
    (PROVINCE, "/offset-units/", "ccer-units-province"),
    (PROVINCE, "/waiting-allowances/", "waiting-province"),
    (PROVINCE, "/differentiations/", "differentiations"),
    (PROVINCE, "/plans/", "plans-province"),
    (PROVINCE, "/compliance-calendar/", "compliance-calendar"),
    (PROVINCE, "/allocation-figures/", "allocation-figures"),
    (PROVINCE, "/allowance-deductions/", "deductions"),
    (PROVINCE, "/carry-over-statement/", "carry-over-statement"),
    (OFFICER, "/plans/", "plans"),
    (OFFICER, "/waiting-allowances/", "waiting-registry"),
    (OFFICER, "/true-ups/", "true-ups"),
    (OFFICER, "/carry-over-rounds/", "carry-over-rounds"),
    (OFFICER, "/carry-over-totals/", "carry-over-totals"),
    (OFFICER, "/court-freezes/", "court-freezes"),
)
FORMS = (
    (PROVINCE, "主管部门申请销户", "21042300028", "closure-by-authority"),
    (OFFICER, "破产管理人", "21042300024", "bankruptcy-form"),
)


def test_pages_of_the_demonstration(site, member, album):
    if not album.takes:
        pytest.skip("pictures are not taken")
    known: dict = {}
    for login, address, name in PAGES:
        page = known.setdefault(login, None) or member(login)
        known[login] = page
        page.goto(address)
        page.wait_for_load_state("networkidle")
        expect(page.locator(".empty-state")).to_have_count(0)
        album.take(page, name, keep=True)
    for login, entry, enterprise, name in FORMS:
        page = known[login]
        begin(page, entry, enterprise)
        album.take(page, name, keep=True)
