"""Pages of closures, successions, classes, administrators, and of the group's view."""

from __future__ import annotations

import io
from datetime import date

import pytest

from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, OperationLog
from app.operations.accounts import details
from tests.factories import (
    account,
    confirmed,
    entered,
    give,
    instrument,
    issued_to,
    member,
    quantity,
)
from tests.files import pdf
from tests.openings import enterprise as to_open
from tests.views.toys import table


@pytest.fixture
def representative(sign_in, plant):
    return sign_in(member(of=plant))


def last(kind):
    db.session.expire_all()
    found = db.select(Application).where(Application.kind == kind).order_by(Application.id.desc())
    return db.session.scalars(found).first()


def test_a_holder_reads_what_is_left_before_it_closes(plant, representative):
    cea = issued_to(plant, 1000)
    address = "/account-closures/new"
    assert f"{cea.code} 1,000吨" in representative.get(address).text

    answer = representative.post(address, data={"submit": "1", "reason": "停产"})
    assert answer.status_code == 400
    assert f"账户尚有以下事项，不能销户：{cea.code} 1,000吨" in answer.text


def test_an_empty_account_is_closed_and_listed(plant, representative, sign_in, checker):
    answer = representative.post("/account-closures/new", data={"submit": "1", "reason": "停产"})
    assert answer.status_code == 302
    made = last("account_closure")
    for officer in (checker, member("registry_checker")):
        confirmed(made.id, officer)
    assert representative.get("/holdings/").status_code == 302  # To the sign-in page.
    assert plant.member_no in sign_in(checker).get("/closed-accounts/").text
    maker = sign_in(member("registry_maker"))
    assert (
        plant.member_no
        not in maker.get(f"/freezes/new?q={plant.member_no}").text.split("<table")[-1]
    )
    assert maker.get(f"/freezes/new?account={plant.id}").status_code == 404


def test_an_officer_splits_by_a_table(plant, desk, sign_in, checker):
    cea = issued_to(plant, 1001)
    one, two = account("甲一公司"), account("甲二公司")
    address = f"/successions/new?account={plant.id}"
    form = {
        "submit": "1", "document_no": "鄂国资〔2026〕3号", "authority": "湖北省国资委",
        "starts_on": "2026-11-20", "category": "division", "reason": "分立",
        "shares": f"{one.member_no} 60\n{two.member_no}，39",
    }  # fmt: skip
    refused = desk.post(address, data=form)
    assert refused.status_code == 400
    assert "各比例之和为99%，应为100%" in refused.text
    for typed, message in (
        ("21042399999 100", "第1行：没有会员编号为21042399999的有效账户"),
        (f"{one.member_no} 六成\n{two.member_no} 40", "填写的是六成"),
    ):
        assert message in desk.post(address, data={**form, "shares": typed}).text
    assert quantity(plant, cea) == 1001

    form["shares"] = f"{one.member_no} 60\n{two.member_no}，40"
    assert desk.post(address, data=form).status_code == 302
    made = last("account_succession")
    shown = sign_in(checker).get(f"/reviews/{made.id}").text
    for text in ("甲一公司", "60 %", "601", "400"):
        assert text in shown
    confirmed(made.id, checker)
    assert (quantity(one, cea), quantity(two, cea)) == (601, 400)
    assert "甲一公司 60%、甲二公司 40%" in desk.get("/successions/").text


def test_without_successor_the_registry_takes_care(plant, desk):
    issued_to(plant, 5)
    form = {
        "submit": "1", "document_no": "号", "authority": "法院", "starts_on": "2026-11-20",
        "category": "dissolution", "reason": "解散", "shares": "",
    }  # fmt: skip
    assert desk.post(f"/successions/new?account={plant.id}", data=form).status_code == 302
    line = db.session.scalars(db.select(ApplicationLine)).one()
    assert (line.account_id, line.quantity) == (9, 5)


def test_an_institution_is_opened_by_its_class_and_declaration(desk, checker):
    cells = to_open(1, holder_class="institution", sector="")
    refused = desk.post("/account-openings/new", data=cells | {"submit": "1"})
    assert refused.status_code == 400
    assert "须声明持有人不是主管部门" in refused.text
    answer = desk.post("/account-openings/new", data=cells | {"submit": "1", "declared": "y"})
    assert answer.status_code == 302
    confirmed(last("account_opening").id, checker)
    opened = db.session.scalars(db.select(Account).order_by(Account.id.desc())).first()
    assert opened.holder_class == "institution"


def test_persons_are_not_opened(desk):
    cells = to_open(1, holder_class="person", sector="", uscc="", legal_representative="")
    refused = desk.post("/account-openings/new", data=cells | {"submit": "1", "declared": "y"})
    assert refused.status_code == 400
    assert "暂不开立“自然人”类账户" in refused.text


def test_rights_of_a_class_are_changed_by_two(desk, checker, representative):
    assert "金融机构" in representative.get("/account-classes/").text
    form = {
        "submit": "1", "holder_class": "other", "rights": ["hold", "cancel"],
        "document_no": "环规〔2026〕1号",
        "starts_on": "2026-11-20", "reason": "规则调整",
    }  # fmt: skip
    assert desk.post("/account-class-changes/new", data=form).status_code == 302
    confirmed(last("class_rule").id, checker)
    rows = table(representative.get("/account-classes/").text)
    assert any("环规〔2026〕1号" in str(row) for row in rows)


def test_an_administrator_is_entered_with_the_court_s_paper(plant, desk, sign_in, checker):
    member(of=plant)
    form = {
        "submit": "1", "document_no": "（2026）鄂01破1号", "authority": "武汉市中级人民法院",
        "starts_on": "2026-11-20", "reason": "破产受理", "representative": "赵管理人",
        "representative_phone": "13800138009", "representative_email": "glr@example.com",
        "representative_identity_no": "11010519491231002X",
    }  # fmt: skip
    address = f"/bankruptcies/new?account={plant.id}"
    assert "请上传法院文书" in desk.post(address, data=form).text
    paper = {"attachments": (io.BytesIO(pdf()), "决定书.pdf")}
    answer = desk.post(address, data=form | paper, content_type="multipart/form-data")
    assert answer.status_code == 302
    made = last("bankruptcy")
    assert made.status == Status.IN_REVIEW
    shown = sign_in(checker).get(f"/reviews/{made.id}").text
    assert "赵管理人" in shown
    assert "13800138009" not in shown
    confirmed(made.id, checker)
    assert details.current(plant.id)["representative"] == "赵管理人"


def test_a_company_lets_its_head_read_it_and_takes_that_back(plant, maker, checker, sign_in):
    company = account("子公司")
    what = instrument()
    give(company, what, 77)
    made = entered("company_group", plant, maker, receivers=(company.id,), authority="",
                   starts_on=date(2026, 11, 1))  # fmt: skip
    confirmed(made, checker)
    head, own = sign_in(member(of=plant)), sign_in(member(of=company))

    assert "子公司" not in head.get("/group-holdings/").text
    assert own.post("/group-consents/switch/on").status_code == 302
    shown = head.get("/group-holdings/").text
    assert "子公司" in shown
    assert what.code in shown
    assert "子公司" not in sign_in(member(of=account("别家"))).get("/group-holdings/").text
    read = db.select(OperationLog).where(OperationLog.action == "group_view.read")
    assert {row.account_id for row in db.session.scalars(read)} >= {plant.id}

    assert own.post("/group-consents/switch/off").status_code == 302
    assert "子公司" not in head.get("/group-holdings/").text
    assert head.get("/group-notices/").status_code == 200
