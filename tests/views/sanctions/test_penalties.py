"""行政处罚 as officers enter it (rules-2026 N160)."""

from __future__ import annotations

import pytest
from flask_babel import force_locale

from app.domain.errors import NotAllowed, RuleError
from app.extensions import db
from app.models import Application
from tests import factories
from tests.factories import nothing_moves

FORM = {
    "category": "shortfall",
    "year": "2024",
    "amount": "3271500.00",
    "authority": "湖北省生态环境厅",
    "document_no": "鄂环罚〔2026〕5号",
    "starts_on": "2026-11-18",
    "reason": "未足额清缴",
    "action": "submit",
}


@pytest.fixture
def desk(hubei, sign_in):
    return sign_in(hubei)


def entered(desk, account, **changed):
    return desk.post(f"/penalties/new?account={account.id}", data=FORM | changed)


def test_a_province_enters_one_of_its_own_and_a_colleague_approves(desk, hubei, plant):
    assert entered(desk, plant).status_code == 302
    made = db.session.query(Application).filter_by(kind="penalty").one()
    assert (made.status, made.proposal) == ("in_review", {"year": "2024", "fen": 327_150_000})
    page = desk.get(f"/penalties/{made.id}").text
    for text in ("3,271,500.00", "鄂环罚〔2026〕5号", "湖北省生态环境厅", "未按规定清缴配额"):
        assert text in page
    with pytest.raises(NotAllowed):
        factories.confirmed(made.id, hubei)
    factories.confirmed(made.id, factories.colleague(hubei))
    assert "3,271,500.00" in desk.get("/penalties/").text


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"amount": "1,000"}, "1,000"),
        ({"amount": "-5"}, "-5"),
        ({"year": "24"}, "请填写四位年度，您填写的是24"),
        ({"starts_on": "2026-11-21"}, "不晚于2026-11-20"),
        ({"document_no": ""}, "文号"),
        ({"authority": ""}, "机关"),
        ({"category": ""}, "请选择"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(desk, plant, changed, message):
    with nothing_moves():
        answer = entered(desk, plant, **changed)
    assert answer.status_code == 400
    assert message in answer.text


def test_another_province_s_enterprise_is_not_found(desk):
    other = factories.account("沪电厂", province="31")
    assert entered(desk, other).status_code == 404


def test_a_document_is_entered_once_an_enterprise(plant, hubei):
    said = {"document_no": "鄂环罚〔2026〕5号", "category": "report"}
    proposal = {"year": "2025", "fen": 0}
    factories.entered("penalty", plant, hubei, proposal=proposal, **said)
    with force_locale("zh"), pytest.raises(RuleError, match="已有依据此文书录入"):
        factories.entered("penalty", plant, hubei, proposal=proposal, **said)
