"""Claims of successors, refunds, revocations and ends of bindings on screen (ADR 0100)."""

from __future__ import annotations

import pytest

from app.extensions import db
from app.models import Application
from tests.factories import account, confirmed, entered, give, instrument, member, notice
from tests.operations.claims import claimed, deducted, issued, open_of
from tests.operations.compliance.test_assistance import supply
from tests.operations.pledging import approved
from tests.operations.successions import succeeding
from tests.views.compliance.test_claims import bare
from tests.views.toys import table


@pytest.fixture
def cea():
    return instrument("2025年度碳排放配额", vintage=2025)


def test_n116_a_successor_sees_what_it_took_over_and_returns_it(
    plant, operator, maker, checker, sign_in, cea
):
    issued(plant, cea, 100_000, by=maker)
    claim = claimed(plant, cea, 30_000, by=maker)
    number = db.session.get_one(Application, claim).number
    heir = account("乙发电有限公司")
    confirmed(succeeding(plant, maker, [(heir, "100")], {cea: 100_000}), checker)

    own = sign_in(member(of=heir))
    assert "待缴回2025年度碳排放配额 30,000吨" in bare(own.get("/"))
    (row,) = table(own.get("/adjustment-notices/?columns=number,left,first_owed_by").text)
    assert any(number in cell for cell in row)
    exported = own.get("/adjustment-notices/").text
    assert "30,000" in exported
    assert number in own.get(f"/allowance-returns/new?source={claim}").text
    left = sign_in(operator)
    assert "待缴回2025" not in bare(left.get("/"))
    states = sign_in(maker).get("/adjustment-notices/").text
    assert len(table(states)) == 2  # a row for each that owes or has owed a part


def test_a_deduction_is_revoked_from_its_list(plant, hubei, sign_in):
    made = deducted(plant, 30_000, by=hubei)
    number = db.session.get_one(Application, made).number
    browser = sign_in(hubei)
    assert f"/revocations/new?of={number}" in browser.get("/allowance-deductions/").text
    address = f"/revocations/new?of={number}"
    assert f'value="{number}"' in browser.get(address).text
    sent = {"number": number, "document_no": "鄂环函〔2026〕40号", "starts_on": "2026-11-20",
            "reason": "核减有误", "submit": "1"}  # fmt: skip
    refused = browser.post(address, data=sent | {"number": "HJ1"})
    assert (refused.status_code, "本机关" in bare(refused)) == (400, True)
    done = browser.post(address, data=sent)
    assert "另一名" in bare(browser.get(done.location))
    waits = db.session.query(Application).filter_by(kind="revocation").one()
    other = sign_in(member("province", province="42"))
    assert number in bare(other.get(f"/reviews/{waits.id}"))
    other.post(f"/reviews/{waits.id}/decide", data={"decision": "approve"})
    (row,) = table(browser.get("/allowance-deductions/").text)
    assert any("已撤销" in cell for cell in row)
    assert "/revocations/new?of=" not in browser.get("/allowance-deductions/").text


def test_a_claim_that_was_revoked_is_shown_so(plant, desk, maker, checker, operator, sign_in, cea):
    issued(plant, cea, 500, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    said = db.session.get_one(Application, claim)
    asked = {"number": said.number, "kind": said.kind}
    confirmed(entered("revocation", plant, maker, proposal=asked), checker)
    assert open_of(claim) == 0
    for page in ("/adjustment-notices/", "/adjustment-notice-decisions/"):
        (row,) = table(desk.get(page).text)
        assert any("已撤销" in cell for cell in row), page
    assert "待缴回2025" not in bare(sign_in(operator).get("/"))


def test_n54_the_helper_is_chosen_for_its_refund(plant, desk, maker, checker, hubei, cea):
    helper = account("乙发电有限公司", province="41")
    give(helper, cea, 500)
    due = notice(plant, 500, by=maker)
    made = supply(member(of=helper), plant, cea, 500, due)
    approved(made, member(of=plant), hubei)
    number = db.session.get_one(Application, made).number
    assert number in desk.get(f"/helper-refunds/new?account={helper.id}").text
    for page in ("surrender", "commission", "pledge"):
        assert number not in desk.get(f"/{page}-refunds/new?account={helper.id}").text
