"""质押登记 on screen: not offered by default, the form, the register, and the columns of the holdings."""

from __future__ import annotations

import io

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application
from tests import factories
from tests.files import pdf
from tests.operations import courts
from tests.operations.pledging import (
    BANK,
    approved,
    known_here,
    pledged,
    pledging,
    switched,
)
from tests.views.compliance.test_compliance import bare
from tests.views.frame.test_language import english


@pytest.fixture
def cea(plant):
    row = factories.instrument("2025年度配额", vintage=2025)
    factories.give(plant, row, 1000)
    return row


def form(what, tonnes="300", **more):
    return {
        "pledgee": "湖北银行武汉分行", "uscc": BANK.lower(), "email": "pledge@bank.example",
        "contract_no": "质押合同2026-01号", "filing_no": "0123", "ends_on": "2030-12-31",
        "lines-0-choice": str(what.id), "lines-0-quantity": tonnes, "submit": "1",
        "attachments": (io.BytesIO(pdf()), "质押合同.pdf"),
    } | more  # fmt: skip


def latest():
    return db.session.scalars(db.select(Application).order_by(Application.id.desc()).limit(1)).one()


@pytest.mark.parametrize("page", ["/pledges", "/pledge-notes"])
def test_n110_off_by_default_it_is_not_offered(sign_in, operator, cea, page):
    browser = sign_in(operator)
    assert f"{page}/new" not in browser.get(f"{page}/").text
    assert "目前不办理该方式的质押登记" in bare(browser.get(f"{page}/new"))
    with factories.nothing_moves():
        refused = browser.post(f"{page}/new", data=form(cea))
    assert refused.status_code == 400
    assert "目前不办理该方式的质押登记" in bare(refused)
    assert (
        "质押"
        not in bare(browser.get("/holdings/")).partition("说明")[0].rpartition("登记冻结量")[2]
    )


def test_n111_applied_for_on_the_form_and_shown_in_the_register(
    sign_in, operator, hubei, plant, cea, maker, checker
):
    switched(2)
    browser = sign_in(operator)
    assert "/pledges/new" in browser.get("/pledges/").text
    with factories.nothing_moves():
        wrong = browser.post(
            "/pledges/new", data=form(cea, uscc="123", email="x", ends_on="2020-01-01")
        )
    assert wrong.status_code == 400
    assert "18 位" in bare(wrong)
    done = browser.post("/pledges/new", data=form(cea))
    assert done.status_code == 302, bare(done)
    made = latest()
    assert (made.kind, made.proposal["uscc"], made.ends_on.year) == ("pledge", BANK, 2030)
    assert factories.quantity(plant, cea, Bucket.RESERVED) == 300
    approved(made.id, maker, checker)
    order = courts.freeze(plant, maker, 1000, cea)
    assert courts.stands(order) == (700, 300)

    page = browser.get("/pledge-register/")
    for text in ("湖北银行武汉分行", "2030-12-31", "质押中"):
        assert text in bare(page), text
    assert english(page.text) == []
    detail = browser.get(f"/pledges/{made.id}")
    for text in ("质押现状", "解除、清缴与轮候冻结", "质押合同2026-01号", BANK, "轮候"):
        assert text in bare(detail), text
    frozen = browser.get(f"/holdings/frozen/?account={plant.id}&instrument={cea.id}")
    assert "质押" in bare(frozen)
    assert f"/pledges/{made.id}" in sign_in(hubei).get("/pledge-register/").text
    officer = sign_in(maker).get("/pledge-register/").text
    assert f"/pledge-releases/new?account={plant.id}" in officer


def test_n110_a_note_is_shown_beside_the_holding(sign_in, operator, cea, maker, checker):
    switched(1)
    pledged(operator, {cea: 300}, maker, checker, kind="pledge_note")
    words = bare(sign_in(operator).get("/holdings/"))
    assert "已备注质押" in words
    assert "1,000 0 300 0" in words or "300" in words


def test_n111_the_pledgee_sees_and_confirms_it(sign_in, operator, cea, maker, checker):
    switched(2)
    bank = factories.member(of=factories.account("湖北碳金融有限公司", sector=None))
    stranger = factories.member(of=factories.account("路人有限公司"))
    code = known_here(bank.account)
    done = sign_in(operator).post("/pledges/new", data=form(cea, uscc=code))
    assert done.status_code == 302, bare(done)
    made = latest().id
    browser = sign_in(bank)
    review = browser.get(f"/reviews/{made}")
    for text in ("质押合同2026-01号", "300", "湖北碳金融有限公司"):
        assert text in bare(review), text
    approved(made, bank, maker, checker)
    assert f"/pledges/{made}" in browser.get("/pledge-register/").text
    assert f"/pledges/{made}" not in sign_in(stranger).get("/pledge-register/").text
    assert sign_in(stranger).get(f"/pledges/{made}").status_code == 404


def test_n111_released_by_an_officer_on_the_form(sign_in, operator, plant, cea, maker, checker):
    switched(2)
    made = pledged(operator, {cea: 300}, maker, checker)
    browser = sign_in(maker)
    address = f"/pledge-releases/new?account={plant.id}&source={made}"
    page = browser.get(address)
    assert "湖北银行武汉分行" in bare(page)
    line = db.session.get_one(Application, made).lines[0]
    sent = {
        "document_no": "鄂银函〔2026〕7号", "reason": "贷款已还清", "lines-0-choice": f"s{line.id}",
        "lines-0-quantity": "100", "submit": "1",
    }  # fmt: skip
    with factories.nothing_moves():
        assert "请附质权人" in bare(browser.post(address, data=sent))
    paper = {"attachments": (io.BytesIO(pdf()), "解除质押通知.pdf")}
    done = browser.post(address, data=sent | paper)
    assert done.status_code == 302, bare(done)
    approved(latest().id, checker)
    assert factories.quantity(plant, cea, Bucket.FROZEN) == 200


def test_n113_surrendered_on_the_form(sign_in, operator, plant, cea, maker, checker, hubei):
    switched(2)
    made = pledged(operator, {cea: 800}, maker, checker)
    notice = factories.notice(plant, 500, by=maker)
    browser = sign_in(operator)
    address = f"/pledge-surrenders/new?notice={notice}"
    page = browser.get(address)
    assert "湖北银行武汉分行" in bare(page)
    line = db.session.get_one(Application, made).lines[0]
    sent = {
        "lines-0-choice": f"s{line.id}", "lines-0-quantity": "300", "submit": "1",
        "attachments": (io.BytesIO(pdf()), "质权人同意书.pdf"),
    }  # fmt: skip
    done = browser.post(address, data=sent)
    assert done.status_code == 302, bare(done)
    approved(latest().id, maker, checker, hubei)
    assert factories.quantity(plant, cea, Bucket.SURRENDERED) == 300
    detail = bare(browser.get(f"/pledges/{made}"))
    assert "质押配额清缴" in detail


def test_n111_the_holder_s_joint_release_without_the_pledgee_is_refused(
    sign_in, operator, cea, maker, checker
):
    switched(2)
    made = pledged(operator, {cea: 300}, maker, checker)
    line = db.session.get_one(Application, made).lines[0]
    sent = {"lines-0-choice": f"s{line.id}", "lines-0-quantity": "300", "submit": "1"}
    with factories.nothing_moves():
        refused = sign_in(operator).post(f"/pledge-joint-releases/new?source={made}", data=sent)
    assert refused.status_code == 400
    assert "出质人不能单方解除质押" in bare(refused)


def test_a_draft_is_edited_with_what_it_says(sign_in, operator, cea):
    switched(2)
    made = pledging(operator, {cea: 300}, submits=False)
    page = sign_in(operator).get(f"/pledges/{made}/edit")
    for text in ("湖北银行武汉分行", "质押合同2026-01号", BANK, "2028-12-31"):
        assert text in page.text, text
