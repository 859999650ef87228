"""发放管理: 标的管理, 配额发放, 导入配额分配表, and 配额发放查询."""

from __future__ import annotations

import csv
import io

import openpyxl
import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application, Instrument
from app.views.issuance.issuances import WAITING, WHEREABOUTS
from tests.factories import confirmed, entered, give, instrument, member, quantity, venue
from tests.views.toys import table

HEADINGS = "会员编号,统一社会信用代码,企业名称,标的编码,发放类型,发放量"


@pytest.fixture
def cea(app):
    return instrument()


# 标的管理 --------------------------------------------------------------------------------------


def test_an_instrument_is_created_and_logged(desk):
    where = venue().id
    db.session.commit()
    typed = {
        "name": "2026年度配额",
        "vintage": "2026",
        "venue": where,
        "trade_code": "cea26",
    }

    answer = desk.post("/instruments/new", data=typed)

    assert answer.status_code == 302
    page = desk.get("/instruments/").text
    assert "已新增标的PE2026000001" in page
    (row,) = table(page)
    assert {"PE2026000001", "2026年度配额", "2026", "CEA26"} <= set(row)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"name": ""}, "请填写名称"),
        ({"vintage": "二〇二六"}, "年度应为"),
        ({"vintage": "1999"}, "年度应为"),
        ({"trade_code": "CEA26"}, "应同时填写"),
        ({"venue": "77", "trade_code": "CEA26"}, "交易端"),
    ],
)
def test_a_bad_instrument_is_refused(desk, typed, message):
    given = {"name": "2026年度配额", "vintage": "2026", "venue": ""} | typed
    answer = desk.post("/instruments/new", data=given)
    assert (answer.status_code, db.session.query(Instrument).count()) == (400, 0)
    assert message in answer.text


def test_issued_is_the_sum_of_where_it_went(plant, cea, desk, maker, checker):
    give(plant, cea, 1000)
    for kind, tonnes, category in (("freeze", 100, "other"), ("confiscation", 30, "penalty")):
        confirmed(entered(kind, plant, maker, lines={cea: tonnes}, category=category), checker)

    (row,) = table(desk.get("/instruments/").text)

    assert row[-6:] == ["1,000", "970", "0", "0", "0", "30"] or "1,000" in row
    assert {"1,000", "970", "30"} <= set(row)


def test_every_bucket_is_one_of_the_places_where_issued_tonnes_are():
    """Issued is the sum of the places shown only if no bucket is left out, or counted twice."""
    places = {key: buckets for key, (_title, buckets) in WHEREABOUTS.items() if key != WAITING}
    counted = [bucket for buckets in places.values() for bucket in buckets]
    assert set(WHEREABOUTS[WAITING][1]) <= set(places["held"])  # of provinces, not of others
    of_tonnes = set(Bucket) - {Bucket.ISSUED, Bucket.PROCEEDS}
    assert sorted(counted) == sorted(of_tonnes)


# 配额发放 --------------------------------------------------------------------------------------


def test_issued_by_two_officers_and_seen_by_the_enterprise(plant, cea, desk, checker, sign_in):
    address = f"/issuances/new?account={plant.id}"
    assert "当前总持有量" in desk.get(address).text
    typed = {
        "submit": "1",
        "category": "approved",
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "700",
    }
    lacking = desk.post(address, data=typed)  # N05: number and date are mandatory.
    assert lacking.status_code == 400
    assert "文号和日期" in lacking.text
    typed |= {"document_no": "鄂环函〔2026〕7号", "starts_on": "2026-11-18"}
    assert desk.post(address, data=typed).status_code == 302
    enterprise = sign_in(member(of=plant))
    assert table(enterprise.get("/enquiries/issuances/").text) == []
    assert quantity(plant, cea) == 0

    confirmed(db.session.query(Application.id).scalar(), checker)

    (row,) = table(enterprise.get("/enquiries/issuances/").text)
    assert {cea.code, cea.name, "2020", "核定", "700", "已发放"} <= set(row)
    with enterprise.get("/enquiries/issuances/export.csv") as answer:
        text = answer.get_data(as_text=True).lstrip("\ufeff")
    ((_heading), values) = list(csv.reader(io.StringIO(text)))
    assert "700" in values


def test_an_issue_needs_type_and_quantity(plant, cea, desk):
    address = f"/issuances/new?account={plant.id}"
    line = {"submit": "1", "lines-0-choice": str(cea.id), "lines-0-quantity": "700"}
    for typed in (
        line,
        line | {"category": "gift"},
        line | {"category": "approved", "lines-0-quantity": "x"},
    ):
        assert desk.post(address, data=typed).status_code == 400
    assert db.session.query(Application).count() == 0


# 导入配额分配表 --------------------------------------------------------------------------------


def upload(desk, text, name="分配表.csv", **more):
    file = (io.BytesIO(text.encode() if isinstance(text, str) else text), name)
    return desk.post(
        "/issuances/import", data={"file": file, **more}, content_type="multipart/form-data"
    )


def test_a_table_is_imported_and_found_by_its_batch(plant, cea, desk, checker, sign_in):
    line = f"{plant.member_no},,{plant.name},{cea.code},预分配,700"

    batch = upload(desk, f"{HEADINGS}\r\n{line}\r\n", declared="700").location
    page = desk.get(batch).text
    assert "700" in page
    assert "待文件" in page  # N05: a push without paper stays there.
    assert f"{batch}/submit" not in page
    assert "待文件" in desk.get("/issuances/?status=awaiting_document").text
    refused = desk.post(f"{batch}/submit", follow_redirects=True)
    assert "文号和日期" in refused.text
    entry = f"{batch}/document"
    assert "请填写" in desk.post(entry, data={"document_no": "鄂环函7号"}).text
    paper = {"document_no": "鄂环函〔2026〕7号", "starts_on": "2026-11-18"}
    assert "文件已补录" in desk.post(entry, data=paper, follow_redirects=True).text
    assert "待文件" not in desk.get(batch).text
    answer = desk.post(f"{batch}/submit", follow_redirects=True)

    assert "已提交1条申请" in answer.text
    made = db.session.query(Application).one()
    assert f">{made.import_id}<" in answer.text
    second = sign_in(checker)
    assert made.number in second.get(f"/reviews/?import={made.import_id}").text
    assert made.number not in second.get(f"/reviews/?import={made.import_id + 1}").text
    asked = second.post(
        f"/reviews/bulk?import={made.import_id}", data={"action": "approve", "all": "1"}
    )
    assert "1 条" in asked.text
    done = second.post(
        f"/reviews/bulk?import={made.import_id}",
        data={"action": "approve", "all": "1", "count": "1"},
    )
    assert "成功 1 条" in done.text
    assert quantity(plant, cea) == 700
    (row,) = table(desk.get(f"/issuances/?import={made.import_id}").text)
    assert "已通过" in row


def test_bad_rows_are_reported_by_row_and_column(plant, cea, desk):
    good = f"{plant.member_no},,{plant.name},{cea.code},预分配,700"
    bad = f"{plant.member_no},,别的名称,{cea.code},赠送,-1"

    answer = upload(desk, f"{HEADINGS}\r\n{good}\r\n{bad}\r\n")

    assert answer.status_code == 400
    assert db.session.query(Application).count() == 0
    for text in ("第3行", "企业名称", "发放类型", "发放量", "未导入任何数据"):
        assert text in answer.text.replace(" ", ""), text


@pytest.mark.parametrize(
    ("text", "name", "more", "message"),
    [
        ("", "分配表.csv", {}, "空"),
        ("x", "分配表.pdf", {}, "CSV"),
        (HEADINGS, "分配表.csv", {}, "没有"),
        ("会员编号\r\n1", "分配表.csv", {}, "缺少"),
        (HEADINGS + "\r\n1,,a,b,c,d", "分配表.csv", {"declared": "1.5"}, "发放量合计"),
    ],
)
def test_a_file_that_is_no_table_is_refused(desk, text, name, more, message):
    answer = upload(desk, text, name, **more)
    assert answer.status_code == 400
    assert message in answer.text


def test_nothing_chosen_is_said(desk):
    answer = desk.post("/issuances/import", data={}, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "请选择" in answer.text


def test_the_same_file_again_is_refused(plant, cea, desk):
    text = f"{HEADINGS}\r\n{plant.member_no},,{plant.name},{cea.code},补发,700\r\n"
    assert upload(desk, text).status_code == 302
    again = upload(desk, text, "另存.csv")
    assert again.status_code == 400
    assert "导入过" in again.text
    assert db.session.query(Application).count() == 1


def test_the_template_is_offered_in_both_forms(desk):
    with desk.get("/issuances/import/template.csv") as answer:
        (headings, _example) = list(
            csv.reader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff")))
        )
    assert [each.lstrip("*") for each in headings][:6] == HEADINGS.split(",")
    with desk.get("/issuances/import/template.xlsx") as answer:
        book = openpyxl.load_workbook(io.BytesIO(answer.get_data()))
    assert [cell.value.lstrip("*") for cell in book.worksheets[0][1]][:6] == HEADINGS.split(",")
    assert desk.get("/issuances/import/template.exe").status_code == 404
