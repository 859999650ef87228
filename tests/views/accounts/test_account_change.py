"""账户信息修改 on its pages: the form, the reviewer's comparison, reading in clear."""

from __future__ import annotations

import io
import re

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Application, OperationLog
from app.operations.accounts import details
from app.operations.records import clock
from tests.factories import account, member
from tests.files import pdf

DETAILS = {
    "name": "甲发电集团有限公司",
    "uscc": "91420100MA4K2X7R0B",
    "sector": "power",
    "registered_address": "湖北省武汉市武昌区中北路1号",
    "legal_representative": "张三",
    "representative": "李四",
    "representative_phone": "13800138000",
    "representative_email": "lisi@plant.example.cn",
    "representative_identity_no": "420106198001011237",
    "bank_name": "中国银行武汉分行",
    "bank_account": "6217001234567890123",
}
MASKED = {
    "representative_phone": "138****8000",
    "representative_email": "li***@plant.example.cn",
    "representative_identity_no": "420***********1237",
    "bank_account": "6217***********0123",
}
SECRETS = [DETAILS[name] for name in MASKED]
SUBMIT = {"submit": "1"}
PAGE = "/account-changes"


@pytest.fixture
def known(plant):
    """The current details of the plant."""
    with transaction():
        details.set_details(plant.id, DETAILS, clock.now().date())
    return DETAILS


def typed(**values: str) -> dict[str, str]:
    """Return the form data as rendered: personal fields are blank."""
    shown = {name: "" if name in MASKED else value for name, value in DETAILS.items()}
    return shown | values


def the_only() -> Application:
    db.session.expire_all()
    return db.session.scalars(select(Application)).one()


def test_every_required_field_is_marked_and_asked_for(operator, sign_in):
    browser = sign_in(operator)
    page = browser.get(f"{PAGE}/new").text
    marked = set(re.findall(r'form-label required" for="(\w+)"', page))
    marked |= set(
        re.findall(r'<fieldset[^>]* id="(\w+)">\s*<legend class="form-label required"', page)
    )
    assert marked == {field.name for field in details.FIELDS if field.is_required}

    answer = browser.post(f"{PAGE}/new", data=dict.fromkeys(DETAILS, "") | SUBMIT)

    assert answer.status_code == 400
    assert answer.text.count('class="field-error"') == len(marked)
    assert "请填写" in answer.text
    assert db.session.scalar(select(Application.id)) is None


def test_a_complete_form_is_submitted_and_shown_to_the_registry(operator, officer, sign_in):
    answer = sign_in(operator).post(f"{PAGE}/new", data=DETAILS | SUBMIT)

    assert answer.status_code == 302
    assert the_only().status == "in_review"
    assert the_only().number in sign_in(officer).get("/reviews/").text


def test_a_wrong_field_says_what_it_takes_and_keeps_what_was_typed(operator, sign_in):
    form = DETAILS | {"uscc": "91420100MA4K2X7R0A", "representative_phone": "12345"}

    answer = sign_in(operator).post(f"{PAGE}/new", data=form | SUBMIT)

    assert answer.status_code == 400
    assert "统一社会信用代码" in answer.text
    assert 'value="91420100MA4K2X7R0A"' in answer.text
    assert 'id="uscc-error"' in answer.text
    assert 'id="representative_phone-error"' in answer.text
    assert db.session.scalar(select(Application.id)) is None


def test_personal_data_are_masked_and_kept_where_left_empty(operator, plant, known, sign_in):
    browser = sign_in(operator)
    page = browser.get(f"{PAGE}/new").text
    for masked, secret in zip(MASKED.values(), SECRETS, strict=True):
        assert masked in page
        assert secret not in page

    answer = browser.post(f"{PAGE}/new", data=typed(bank_name="中国工商银行") | SUBMIT)

    assert answer.status_code == 302
    assert list(the_only().proposal) == ["bank_name"]


def test_a_change_of_nothing_is_refused(operator, known, sign_in):
    answer = sign_in(operator).post(f"{PAGE}/new", data=typed() | SUBMIT)
    assert answer.status_code == 400
    assert "没有修改任何内容" in answer.text
    assert db.session.scalar(select(Application.id)) is None


def test_two_open_changes_are_refused(operator, known, sign_in):
    browser = sign_in(operator)
    browser.post(f"{PAGE}/new", data=typed(name="甲一") | SUBMIT)

    answer = browser.post(f"{PAGE}/new", data=typed(name="甲二") | SUBMIT)

    assert answer.status_code == 400
    assert "已有一笔账户信息修改正在审核" in answer.text
    assert the_only().proposal["name"][1] == "甲一"


def test_an_account_opened_in_a_batch_uploads_its_documents_first(officer, sign_in):
    plant = account("批量开户单位", lacks_documents=True)
    browser = sign_in(member(of=plant))
    refused = browser.post(f"{PAGE}/new", data=DETAILS | SUBMIT)
    assert refused.status_code == 400
    assert "批量开户用户须先上传" in refused.text

    form = DETAILS | SUBMIT | {"attachments": (io.BytesIO(pdf()), "营业执照.pdf")}
    assert browser.post(f"{PAGE}/new", data=form).status_code == 302
    case = the_only()
    assert "营业执照.pdf" in sign_in(officer).get(f"/reviews/{case.id}").text

    sign_in(officer).post(f"/reviews/{case.id}/decide", data={"decision": "approve"})
    db.session.expire_all()
    assert plant.lacks_documents is False
    again = browser.post(f"{PAGE}/new", data=typed(name="批量开户单位") | SUBMIT)
    assert again.status_code == 302


def test_the_reviewer_sees_old_and_new_side_by_side_and_masked(operator, known, officer, sign_in):
    form = typed(name="甲新能源有限公司", representative_phone="13900139000")
    sign_in(operator).post(f"{PAGE}/new", data=form | SUBMIT)

    page = sign_in(officer).get(f"/reviews/{the_only().id}").text

    table = page[page.index("修改前后对照") :]
    assert table.index("甲发电集团有限公司") < table.index("甲新能源有限公司")
    assert table.index("138****8000") < table.index("139****9000")
    for secret in ("13800138000", "13900139000"):
        assert secret not in page


def test_reading_in_clear_is_a_post_that_is_on_record(operator, known, officer, sign_in):
    sign_in(operator).post(f"{PAGE}/new", data=typed(representative_phone="13900139000") | SUBMIT)
    case, browser = the_only(), sign_in(officer)
    assert "13900139000" not in browser.get(f"{PAGE}/{case.id}").text
    assert f"{PAGE}/{case.id}/reveal" in browser.get(f"/reviews/{case.id}").text
    assert browser.get(f"{PAGE}/{case.id}/reveal").status_code == 405

    assert "13900139000" in browser.post(f"{PAGE}/{case.id}/reveal").text

    row = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "personal_data.read")
    ).one()
    assert (row.member_no, row.subject, row.account_id) == (
        officer.username,
        case.number,
        operator.account_id,
    )
    assert row.detail == {"fields": ["representative_phone"]}


def test_a_province_may_not_read_in_clear(operator, known, sign_in):
    sign_in(operator).post(f"{PAGE}/new", data=typed(name="甲一") | SUBMIT)
    browser = sign_in(member("province", province="42"))
    assert browser.get(f"{PAGE}/{the_only().id}").status_code == 200
    assert browser.post(f"{PAGE}/{the_only().id}/reveal").status_code in (302, 403)


def test_old_values_hold_until_approval(operator, plant, known, officer, sign_in):
    sign_in(operator).post(f"{PAGE}/new", data=typed(name="甲新能源有限公司") | SUBMIT)
    assert details.current(plant.id)["name"] == DETAILS["name"]

    sign_in(officer).post(f"/reviews/{the_only().id}/decide", data={"decision": "approve"})

    assert details.current(plant.id)["name"] == "甲新能源有限公司"


def test_what_is_sent_back_keeps_what_was_typed_personal_data_included(
    operator, plant, known, officer, sign_in
):
    browser = sign_in(operator)
    form = typed(name="甲新能源有限公司", representative_phone="13900139000", reason="更名")
    browser.post(f"{PAGE}/new", data=form | SUBMIT)
    case = the_only()
    decision = {"decision": "send_back", "comment": "请核对开户行"}
    sign_in(officer).post(f"/reviews/{case.id}/decide", data=decision)

    page = browser.get(f"{PAGE}/{case.id}/edit").text
    assert 'value="甲新能源有限公司"' in page
    assert "更名" in page
    assert "139****9000" in page
    assert "13900139000" not in page
    again = typed(name="甲新能源有限公司", bank_name="中国工商银行")
    assert browser.post(f"{PAGE}/{case.id}/edit", data=again | SUBMIT).status_code == 302

    sign_in(officer).post(f"/reviews/{case.id}/decide", data={"decision": "approve"})
    found = details.current(plant.id)
    assert found == DETAILS | {
        "name": "甲新能源有限公司",
        "representative_phone": "13900139000",
        "bank_name": "中国工商银行",
    }


def test_a_draft_may_lack_what_a_submission_needs(operator, plant, sign_in):
    browser = sign_in(operator)
    answer = browser.post(f"{PAGE}/new", data={"name": "甲一", "save": "1"})
    assert (answer.status_code, the_only().status) == (302, "draft")
    assert 'value="甲一"' in browser.get(f"{PAGE}/{the_only().id}/edit").text


def test_another_accounts_code_is_refused_with_the_reason_twice(operator, known, officer, sign_in):
    code = "914201001775718436"
    other = account("乙水泥有限公司")
    browser = sign_in(operator)
    browser.post(f"{PAGE}/new", data=typed(uscc=code) | SUBMIT)
    with transaction():
        details.set_details(other.id, {"uscc": code}, clock.now().date())
    case, reviewer = the_only(), sign_in(officer)

    reviewer.post(f"/reviews/{case.id}/decide", data={"decision": "approve"})

    assert "该统一社会信用代码已开立账户" in reviewer.get("/reviews/").text
    assert the_only().status == "in_review"
    browser.post(f"{PAGE}/{case.id}/withdraw")
    again = browser.post(f"{PAGE}/new", data=typed(uscc=code) | SUBMIT)
    assert again.status_code == 400
    assert 'id="uscc-error"' in again.text


def test_another_enterprise_finds_nothing(operator, known, sign_in):
    sign_in(operator).post(f"{PAGE}/new", data=typed(name="甲一") | SUBMIT)
    case = the_only()
    stranger = sign_in(member(of=account("乙水泥有限公司")))

    assert case.number not in stranger.get(f"{PAGE}/").text
    for path in ("", "/edit", "/done"):
        assert stranger.get(f"{PAGE}/{case.id}{path}").status_code == 404
    for path in ("/reveal", "/withdraw", "/edit"):
        assert stranger.post(f"{PAGE}/{case.id}{path}").status_code == 404
