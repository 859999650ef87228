"""司法冻结 and what follows it: officers' forms and lists, the holder's enquiry, the public notice."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, datetime, timedelta

import pytest

from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, CourtLapse, CourtOrder
from app.operations.publicity import publishing
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.operations.sanctions import lapses
from tests.factories import account, confirmed, entered, give, issued_to, member, quantity
from tests.files import pdf
from tests.operations.courts import assign, freeze, midnight, release, stands
from tests.views.toys import table

NEW = "/court-freezes/new?account={}"


@pytest.fixture
def cea(plant):
    return issued_to(plant, 1000)


@pytest.fixture
def enterprise(sign_in, plant):
    return sign_in(member(of=plant))


def paper(**more):
    return {
        "submit": "1",
        "document_no": "（2026）鄂01执保118号",
        "authority": "武汉市中级人民法院",
        "contact": "王法官 027-65600000",
        "request_no": "QQ2026000118",
        "case_no": "（2026）鄂01执118号",
        "served_at": "2026-11-20 09:10:11",
        "category": "01",
        "attachments": (io.BytesIO(pdf()), "裁定书.pdf"),
    } | more


def asked(cea, tonnes="600", **more):
    said = {"starts_on": "2026-11-20", "ends_on": "2027-11-19", "instrument": str(cea.id)}
    return paper(**said | {"quantity": tonnes} | more)


def send(browser, address, form):
    return browser.post(address, data=form, content_type="multipart/form-data")


def held(plant, cea):
    return quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN)


def plain(text):
    return re.sub(r"<[^>]+>", "", text)


def test_an_order_is_entered_with_its_paper_listed_and_confirmed(
    plant, cea, desk, checker, sign_in
):
    page = desk.get(NEW.format(plant.id)).text
    for label in ("裁定书文号", "法院", "请求单号", "案号", "送达时间", "03 轮候冻结", "整户"):
        assert label in page

    answer = send(desk, NEW.format(plant.id), asked(cea))

    assert answer.status_code == 302
    made = db.session.query(Application).one()
    assert (stands(made.id), held(plant, cea)) == ((600, 0), (400, 600))
    second = sign_in(checker)
    shown = second.get(f"/reviews/{made.id}").text
    for text in ("QQ2026000118", "（2026）鄂01执118号", "2026-11-20 09:10:11", "600"):
        assert text in shown
    decided = second.post(f"/reviews/{made.id}/decide", data={"decision": "approve"})
    assert decided.status_code == 302
    (row,) = table(desk.get("/court-freezes/").text)
    text = " ".join(row)
    for part in (cea.code, "600", "2027-11-19", "续行", "解除", "扣划"):
        assert part in text, part
    order = db.session.query(CourtOrder).one()
    assert order.served_at == datetime(2026, 11, 20, 9, 10, 11, tzinfo=BEIJING)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"quantity": "1.5"}, "整数"),
        ({"quantity": ""}, "不小于1的数量"),
        ({"instrument": ""}, "不小于1的数量"),
        ({"instrument": "999999"}, "请在所列标的中选择"),
        ({"served_at": ""}, "请填写送达时间"),
        ({"served_at": "2026-11-20"}, "请按 2026-11-20 10:15:00 的格式填写时间：2026-11-20"),
        ({"served_at": "2026-11-20 23:00:00"}, "送达时间晚于当前时间"),
        ({"case_no": ""}, "请填写案号"),
        ({"case_no": "案" * 101}, "超过"),
        ({"contact": " "}, "请填写法院联系人"),
        ({"request_no": ""}, "请填写请求单号"),
        ({"document_no": ""}, "请填写文号"),
        ({"ends_on": "2029-11-21"}, "司法冻结期限不超过3年"),
        ({"category": "04"}, "请选择类型"),
        ({"attachments": ""}, "请上传法院文书"),
    ],
)
def test_bad_input_is_answered_and_nothing_moves(plant, cea, desk, typed, message):
    form = asked(cea) | typed
    form = {name: value for name, value in form.items() if value != "" or name != "attachments"}

    answer = send(desk, NEW.format(plant.id), form)

    assert answer.status_code == 400
    assert message in plain(answer.text)
    for kept in ("served_at", "case_no", "quantity"):
        assert form[kept] == "" or form[kept] in answer.text
    assert held(plant, cea) == (1000, 0)
    assert db.session.query(CourtOrder).count() == 0


def test_a_whole_account_order_is_said_as_one(plant, cea, desk):
    send(desk, NEW.format(plant.id), asked(cea, "1300", instrument="all"))
    (made,) = db.session.query(Application).all()
    assert stands(made.id) == (1000, 300)
    assert "整户" in " ".join(table(desk.get("/court-freezes/").text)[0])
    assert "整户：现有及将来取得的全部配额" in desk.get(f"/court-freezes/{made.id}").text


def test_money_is_ordered_in_yuan(plant, desk):
    bank = issued_to(plant, 500_000)
    with transaction():
        bank.kind = "money"
    send(desk, NEW.format(plant.id), asked(bank, "1234.56"))
    made = db.session.query(Application).one()
    assert stands(made.id) == (123_456, 0)
    assert "1,234.56" in desk.get(f"/court-freezes/{made.id}").text


def test_a_draft_keeps_what_was_typed(plant, cea, desk):
    form = asked(cea, served_at="2026-11-20 08:00:00")
    form["save"] = form.pop("submit")
    assert send(desk, NEW.format(plant.id), form).status_code == 302
    made = db.session.query(Application).one()
    page = desk.get(f"/court-freezes/{made.id}/edit").text
    for text in ("2026-11-20 08:00:00", 'value="600"', "QQ2026000118", "裁定书.pdf"):
        assert text in page
    assert f'selected value="{cea.id}"' in page


def test_the_detail_tells_place_effect_and_queue(plant, cea, desk, maker):
    a = freeze(plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 700, cea)
    release(a, maker, 250)
    page = plain(desk.get(f"/court-freezes/{b}").text)
    for text in ("顺位", "轮候生效", "650", "50"):
        assert text in page
    assert sorted(row[4] for row in table(desk.get("/court-freezes/").text)) == ["1", "2"]


def test_a_release_names_the_original_and_its_bounds(plant, cea, desk, maker, checker):
    a = freeze(plant, maker, 600, cea)
    address = f"/court-releases/new?account={plant.id}&order={a}"
    page = desk.get(address).text
    original = db.session.get_one(Application, a)
    assert original.number in page
    assert original.proposal["case_no"] in page
    refused = send(desk, address, paper(category="04", quantity="601"))
    assert refused.status_code == 400
    assert "可解除的只有600" in plain(refused.text)

    assert send(desk, address, paper(category="04", quantity="250")).status_code == 302

    made = db.session.query(Application).filter_by(kind="court_release").one()
    assert made.proposal["original_case_no"] == original.proposal["case_no"]
    assert made.proposal["original_request_no"] == original.proposal["request_no"]
    confirmed(made.id, checker)
    assert (stands(a), held(plant, cea)) == ((350, 0), (650, 350))
    assert desk.get("/court-releases/new").status_code == 302
    assert desk.get("/court-releases/new?order=999999").status_code == 404
    assert desk.get("/court-releases/new?order=x").status_code == 404
    assert original.number in desk.get("/court-releases/").text


def test_a_renewal_is_entered(plant, cea, desk, maker, checker):
    a = freeze(plant, maker, 600, cea)
    address = f"/court-renewals/new?account={plant.id}&order={a}"
    form = paper(category="02", starts_on="2027-11-20", ends_on="2028-11-19")
    assert send(desk, address, form).status_code == 302
    confirmed(db.session.query(Application.id).filter_by(kind="court_renewal").scalar(), checker)
    db.session.expire_all()
    assert db.session.get_one(CourtOrder, a).ends_on == date(2028, 11, 19)


def test_a_deduction_is_entered_and_published_without_the_case(
    plant, cea, desk, maker, checker, client
):
    receiver = account("申请执行人有限公司")
    a = freeze(plant, maker, 600, cea)
    address = f"/court-assignments/new?account={plant.id}&order={a}"
    form = paper(category="06", instrument=str(cea.id), quantity="450", receiver=receiver.member_no)
    for changed, message in (
        ({"quantity": "601"}, "实际冻结的只有600"),
        ({"receiver": "99999999999"}, "须变卖"),
        ({"receiver": plant.member_no}, "须变卖"),
        ({"instrument": ""}, "请选择该冻结项下的标的"),
    ):
        form["attachments"] = (io.BytesIO(pdf()), "裁定书.pdf")
        refused = send(desk, address, form | changed)
        assert (refused.status_code, message in plain(refused.text)) == (400, True), changed
    form["attachments"] = (io.BytesIO(pdf()), "裁定书.pdf")

    assert send(desk, address, form).status_code == 302

    made = db.session.query(Application).filter_by(kind="court_assignment").one()
    assert "450" in desk.get(f"/court-assignments/{made.id}").text
    confirmed(made.id, checker)
    assert (stands(a), quantity(receiver, cea)) == ((150, 0), 450)
    with transaction():
        publishing.publish_if_due(SYSTEM, now=clock.now())
    page = client.get("/disclosures/deductions").text
    for text in (plant.name, cea.code, "450", "（2026）鄂01执保118号", "2026-11-20"):
        assert text in page
    file = client.get("/disclosures/deductions.csv")
    rows = list(csv.reader(io.StringIO(file.get_data().decode("utf-8-sig"))))
    assert [plant.name, "450"] == [rows[3][1], rows[3][4]]
    for text in (page, file.text):
        assert "（2026）鄂01执118号" not in text
        assert "王法官" not in text
        assert receiver.name not in text
    assert 'href="/disclosures/"' in client.get("/login/").text


def test_the_holder_sees_its_own_orders_alone(plant, cea, enterprise, maker):
    other = account()
    give(other, cea, 10)
    freeze(other, maker, 10, cea)
    freeze(plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00", ends_on=date(2026, 12, 1))
    freeze(plant, maker, 700, cea, category="03")

    rows = table(enterprise.get("/enquiries/court-freezes/").text)

    assert sorted(row[7] for row in rows) == ["400", "600"]
    assert sorted(row[8] for row in rows) == ["0", "300"]
    assert sorted(row[5] for row in rows) == ["1", "2"]
    assert "即将到期" in enterprise.get("/enquiries/court-freezes/").text
    with enterprise.get("/enquiries/court-freezes/export.csv") as file:
        assert file.get_data().decode("utf-8-sig").count("武汉市中级人民法院") == 2
    for path in ("/court-freezes/", "/court-releases/", "/court-assignments/"):
        assert enterprise.get(path).status_code in (302, 403, 404)


def test_holdings_tell_what_courts_froze_apart(plant, cea, enterprise, maker, checker):
    freeze(plant, maker, 600, cea)
    confirmed(entered("freeze", plant, maker, lines={cea: 100}), checker)
    enterprise.post("/holdings/columns", data={"column": ["code", "frozen", "judicial"]})
    (row,) = table(enterprise.get("/holdings/").text)
    assert {"700", "600"} <= set(row)
    parts = table(enterprise.get(f"/holdings/frozen/?account={plant.id}&instrument={cea.id}").text)
    told = sorted(" ".join(row) for row in parts)
    assert len(told) == 2
    assert any("司法冻结" in each and "600" in each for each in told)
    assert any("100" in each and "司法冻结" not in each for each in told)


def test_what_ended_by_itself_shows_its_entry(plant, cea, desk, maker):
    a = freeze(plant, maker, 600, cea, ends_on=date(2026, 12, 1))
    with transaction():
        lapses.lapse_next(SYSTEM, now=midnight(date(2026, 12, 1) + timedelta(days=1)))
    entry = db.session.get_one(CourtLapse, a)
    assert entry.number in desk.get(f"/court-freezes/{a}").text
    page = desk.get("/court-freezes/?expiry=ended").text
    assert "已失效" in page
    assert "续行" not in " ".join(table(page)[0])


def test_the_receiver_s_entries_name_the_deduction(plant, cea, maker, sign_in):
    receiver = account("申请执行人有限公司")
    a = freeze(plant, maker, 600, cea)
    made = assign(a, maker, 450, cea, receiver)
    browser = sign_in(member(of=receiver))
    page = browser.get(f"/holdings/registry-entries/?account={receiver.id}&instrument={cea.id}")
    assert db.session.get_one(Application, made).number in page.text
