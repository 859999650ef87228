"""开户 on screen: import, report, form, second officer, first letters."""

from __future__ import annotations

import io

import openpyxl
import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import Account, Application, Invitation, OperationLog
from tests.factories import account, member
from tests.openings import (
    KEYS,
    as_csv,
    confirm,
    enterprise,
    imported,
    letters_of,
    write_letters,
)

IMPORT, NEW = "/account-openings/import", "/account-openings/new"


@pytest.fixture
def browser(sign_in, maker):
    return sign_in(maker)


def send(browser, content: bytes, name: str = "开户.csv"):
    return browser.post(
        IMPORT, data={"file": (io.BytesIO(content), name)}, content_type="multipart/form-data"
    )


def count(table) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


def chinese(number: int = 1, **changed: str) -> dict[str, str]:
    """Return the cells as people write them: names, not codes."""
    return enterprise(number, **({"sector": "发电", "province": "湖北省"} | changed))


def form(number: int = 1, **changed: str) -> dict[str, str]:
    return enterprise(number) | {"reason": "", "submit": "1"} | changed


def test_the_template_has_the_manual_s_columns(browser):
    answer = browser.get("/account-openings/import/template.csv")
    heads = answer.get_data().decode("utf-8-sig").splitlines()[0].replace("*", "").split(",")
    assert heads == [
        "企业名称", "统一社会信用代码", "所属行业", "省份", "注册地址", "法定代表人", "账户代表姓名",
        "手机号", "邮箱", "身份证号", "开户银行", "银行账号",
    ]  # fmt: skip
    book = browser.get("/account-openings/import/template.xlsx")
    assert openpyxl.load_workbook(io.BytesIO(book.get_data())).worksheets[0]["A1"].value
    assert browser.get("/account-openings/import/template.exe").status_code == 404


def test_a_table_goes_to_the_second_officer_and_both_see_whom_it_is_about(
    browser, sign_in, checker
):
    before = count(Account)
    batch = send(browser, as_csv([chinese(1), chinese(2)])).location
    assert "湖北" in browser.get(batch).text
    answer = browser.post(f"{batch}/submit", follow_redirects=True)
    assert "已提交2条申请" in answer.text
    assert "江城第1发电有限公司" in browser.get("/account-openings/").text
    other = sign_in(checker)
    assert "江城第2发电有限公司" in other.get("/reviews/").text
    ids = list(db.session.scalars(select(Application.id).order_by(Application.id)))
    page = other.get(f"/reviews/{ids[0]}").text
    assert "138****0001" in page
    assert "13800000001" not in page
    assert "湖北" in page
    data = {"action": "approve", "id": ids, "count": "2"}
    assert "成功" in other.post("/reviews/bulk", data=data).text
    assert count(Account) == before + 2
    assert "26112000001" in browser.get("/account-openings/").text


def test_an_xlsx_does_as_well(browser):
    book = openpyxl.Workbook()
    heads = browser.get("/account-openings/import/template.csv").get_data().decode("utf-8-sig")
    book.active.append(heads.splitlines()[0].split(","))
    book.active.append([chinese(1)[key] for key in KEYS])
    buffer = io.BytesIO()
    book.save(buffer)
    assert send(browser, buffer.getvalue(), "开户.xlsx").status_code == 302
    assert count(Application) == 1


def test_the_report_names_row_and_column_and_nothing_is_imported(browser):
    answer = send(browser, as_csv([chinese(1), chinese(2, representative_phone="12")]))
    assert answer.status_code == 400
    assert "第3行" in answer.text or "第 3 行" in answer.text
    assert "手机号" in answer.text
    assert count(Application) == 0


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.csv"),
        (b"\xff\xfe\x00", "a.csv"),
        (b"PK\x03\x04" + b"x" * 50, "a.xlsx"),
        (b"%PDF-1.4", "a.pdf"),
        ("企业名称\n甲\n".encode(), "a.csv"),
        (b'"', "a.csv"),
    ],
)
def test_whatever_is_no_table_is_refused_in_words(browser, content, name):
    assert send(browser, content, name).status_code == 400
    assert count(Application) == 0


def test_no_file_at_all(browser):
    assert browser.post(IMPORT, data={}).status_code == 400


def test_one_by_one_by_the_form(browser, sign_in, checker):
    answer = browser.post(NEW, data=form())
    assert answer.status_code == 302, answer.text
    assert browser.get(answer.location).status_code == 200
    made = db.session.scalars(select(Application.id)).one()
    assert confirm([made], checker).done
    assert count(Invitation) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"uscc": "1"},
        {"name": ""},
        {"name": "a\x00b"},
        {"province": "99"},
        {"sector": "x"},
        {"representative_email": "x"},
        {"representative_phone": "１２"},
        {"name": "长" * 201},
    ],
)
def test_a_wrong_field_shows_the_form_again_with_what_was_typed(browser, changed):
    answer = browser.post(NEW, data=form(**changed))
    assert answer.status_code == 400
    assert "湖北省武汉市江岸区一元路1号" in answer.text
    assert count(Application) == 0


def test_a_second_account_for_one_code_is_refused_at_the_field(browser, checker, maker):
    imported([enterprise(1)], maker)
    answer = browser.post(NEW, data=form(1, name="另名有限公司"))
    assert answer.status_code == 400
    assert "统一社会信用代码" in answer.text


def test_a_draft_keeps_its_personal_data_out_of_the_page(browser):
    browser.post(NEW, data={**form(), "save": "1"} | {"submit": ""})
    made = db.session.scalars(select(Application.id)).one()
    page = browser.get(f"/account-openings/{made}/edit").text
    assert "13800000001" not in page
    assert "138****0001" in page
    changed = form(representative_phone="", name="江城新名发电有限公司")
    assert browser.post(f"/account-openings/{made}/edit", data=changed).status_code == 302
    page = browser.post(f"/account-openings/{made}/reveal").text
    assert "13800000001" in page
    assert "江城新名发电有限公司" in page
    assert "personal_data.read" in {row.action for row in db.session.query(OperationLog)}


def test_the_checker_can_only_read(sign_in, checker, maker):
    (made,) = imported([enterprise(1)], maker)
    browser = sign_in(checker)
    assert browser.get(f"/account-openings/{made}").status_code == 200
    for address in (NEW, IMPORT):
        assert browser.get(address).status_code == 403
    assert browser.post(f"/account-openings/{made}/invite").status_code == 403


def test_nobody_else_sees_openings(sign_in, maker):
    (made,) = imported([enterprise(1)], maker)
    for someone in (member(of=account()), member("province", province="42")):
        browser = sign_in(someone)
        for address in ("/account-openings/", f"/account-openings/{made}"):
            assert browser.get(address).status_code == 403
        assert browser.get(f"/reviews/{made}").status_code == 404


def test_letters_are_sent_again_until_the_first_sign_in(browser, checker, maker):
    (made,) = imported([enterprise(1)], maker)
    assert browser.post(f"/account-openings/{made}/invite").status_code == 404
    confirm([made], checker)
    assert "待发送" in browser.get("/account-openings/").text
    write_letters()
    old = letters_of("26112000001")
    assert "已发送" in browser.get("/account-openings/?letters=sent").text
    page = browser.post(f"/account-openings/{made}/invite", follow_redirects=True)
    assert "江城第1发电有限公司" in page.text
    write_letters()
    assert letters_of("26112000001").token != old.token


def test_lists_are_exported_with_the_enterprises_names(browser, sign_in, maker, checker):
    imported([enterprise(1)], maker)
    for page, reader in (("account-openings", browser), ("reviews", sign_in(checker))):
        with reader.get(f"/{page}/export.csv") as answer:
            assert "江城第1发电有限公司" in answer.get_data(as_text=True)
