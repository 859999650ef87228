"""结转 where an enterprise and the registry look for it: 配额发放查询, 结转单, 结转报表."""

from __future__ import annotations

import io
from datetime import date

import pypdf
import pytest

from app.extensions import db
from app.models import Application, OperationLog
from tests import factories
from tests.factories import member
from tests.operations import carrying
from tests.views.toys import table

TODAY, TOMORROW = date(2026, 11, 20), date(2026, 11, 21)


@pytest.fixture
def carried(app, plant, operator, maker, checker):
    """The number of an application that recalled 100 and 200 tonnes, and granted 300 of CEA25."""
    given = {2021: 100, 2023: 200}
    held = {factories.instrument(f"{year}年度配额", vintage=year): n for year, n in given.items()}
    for what, tonnes in held.items():
        factories.give(plant, what, tonnes, at=carrying.BEFORE)
    carrying.target()
    carrying.decided_round(maker, checker)
    carrying.fulfilled(plant, operator, maker)
    carrying.noticed(maker, checker)
    asked = carrying.applied(operator, held)
    carrying.on(TOMORROW)
    carrying.batch(maker, checker, TODAY)
    assert carrying.carried_out() == 1
    return db.session.get_one(Application, asked).number


def text_of(answer) -> str:
    assert answer.mimetype == "application/pdf"
    sheets = pypdf.PdfReader(io.BytesIO(answer.get_data())).pages
    return "".join(sheet.extract_text() for sheet in sheets).replace("\n", "")


def test_n69_the_home_page_says_what_may_still_be_carried_over(
    app, plant, operator, maker, checker, sign_in
):
    what = factories.instrument("2023年度配额", vintage=2023)
    factories.give(plant, what, 700, at=carrying.BEFORE)
    carrying.decided_round(maker, checker)
    carrying.fulfilled(plant, operator, maker)
    carrying.noticed(maker, checker)
    carrying.applied(operator, {what: 200})
    home = sign_in(operator).get("/").text
    assert "还可结转500吨至2025年度配额" in home
    assert "2026-11-20" in home
    assert "/carry-overs/new?year=2025" in home
    carrying.on(TOMORROW)
    assert "还可结转" not in sign_in(operator).get("/").text


def test_n71_what_was_granted_is_among_what_was_issued(carried, sign_in, operator, maker):
    for browser in (sign_in(operator), sign_in(maker)):
        (row,) = table(browser.get("/enquiries/issuances/?type=carry_over").text)
        assert {"2025年度配额", "2025", "结转", "300", "已发放"} <= set(row)
        with browser.get("/enquiries/issuances/export.csv?type=carry_over") as answer:
            assert "结转,300," in answer.get_data(as_text=True)
    assert len(table(sign_in(operator).get("/enquiries/issuances/?code=PE").text)) >= 1
    stranger = sign_in(member(of=factories.account("乙发电有限公司")))
    assert table(stranger.get("/enquiries/issuances/").text) == []


def test_n74_an_enterprise_has_its_statement_and_the_registry_that_of_the_year(
    carried, sign_in, operator, plant, maker
):
    notice = carrying.notice_of(plant)
    own = sign_in(operator)
    page = own.get(f"/carry-over-notices/{notice.id}").text
    assert f"/carry-over-notices/{notice.id}/statement.pdf" in page
    said = text_of(own.get(f"/carry-over-notices/{notice.id}/statement.pdf"))
    for each in ("结转单", notice.number, carried, plant.name, "2021", "2023", "300吨", "200"):
        assert each.replace(" ", "") in said.replace(" ", ""), each
    stranger = sign_in(member(of=factories.account("乙发电有限公司")))
    assert stranger.get(f"/carry-over-notices/{notice.id}/statement.pdf").status_code == 404
    desk = sign_in(maker)
    said = text_of(desk.get("/carry-over-totals/2025/statement.pdf")).replace(" ", "")
    for each in ("结转报表", "100", "200", "300吨", plant.name, "一致"):
        assert each in said, each
    assert desk.get("/carry-over-totals/2024/statement.pdf").status_code == 404
    acts = db.session.query(OperationLog).filter_by(action="carry_over.download").count()
    assert acts == 2
