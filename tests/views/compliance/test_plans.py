"""年度方案 on screen; a year that nobody has heard of, by data alone (rules-2026 N02); 履约日历 (N06)."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, datetime

import pytest
from sqlalchemy import select

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, Instrument, Notice, Plan
from app.operations.accounts import sectors
from app.operations.compliance import attestations, plans
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from tests import factories
from tests.factories import colleague, confirmed, member, quantity
from tests.views.toys import table

NEW = "/plan-decisions/new"
PAPER = {"document_no": "环办气候函〔2028〕1号", "documented_on": "2026-11-18",
         "starts_on": "2026-11-20", "reason": "国家规定", "submit": "1"}  # fmt: skip
GLASS = {
    "year": "2028",
    "sector": "glass",
    "method": "强度系数法",
    "pre_allocation_share": "40",
    "rounding": "entity",
    "issue_by": "2029-09-30",
    "surrender_by": "2029-12-31",
    "vintages": "2027、2028",
    "source": "虚构",
    "confidence": "unsure",
    "is_draft": "draft",
}


def bare(page) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def latest(kind: str) -> Application:
    db.session.rollback()
    found = select(Application).where(Application.kind == kind).order_by(Application.id.desc())
    return db.session.scalars(found).first()


def upload(browser, page, heading, *lines, **more):
    file = (io.BytesIO("\n".join([heading, *lines]).encode()), f"{len(lines)}.csv")
    return browser.post(f"{page}/import", data={"file": file} | more)


def set_clock(moment):
    with transaction():
        clock.set_to(moment, SYSTEM)


def test_n02_a_year_and_sector_that_nobody_has_heard_of_work_by_data_alone(
    sign_in, maker, checker, hubei
):
    """N02: 2028, glass (玻璃), 40 %, vintages {2027, 2028}, entered as officers enter them."""
    system, desk, second = (sign_in(each) for each in (member("system_admin"), maker, checker))
    glass = {"code": "glass", "name": "玻璃", "name_en": "Glass", "valid_from": "2026-11-20"}
    assert system.post("/sectors/new", data=glass).status_code == 302
    plant = factories.account("江城玻璃有限公司", "42", None)
    with transaction():
        sectors.change(plant.id, ["glass"], date(2026, 11, 20))
    operator = member(of=plant)

    # The plan, by two officers.
    assert desk.post(NEW, data=GLASS | PAPER).status_code == 302
    application = latest("plan")
    shown = bare(second.get(f"/reviews/{application.id}"))
    for said in ("2028年度玻璃方案", "40", "2027、2028", "2029-12-31 23:59:59", "征求意见稿"):
        assert said in shown, said
    decided = second.post(f"/reviews/{application.id}/decide", data={"decision": "approve"})
    assert decided.status_code == 302
    assert plans.latest(2028, "glass").pre_allocation_share == 40

    # The instruments of both vintages, and an older one.
    set_clock(datetime(2029, 1, 15, 10, tzinfo=BEIJING))
    for vintage in ("2026", "2027", "2028"):
        new = {"name": f"{vintage}年度配额", "vintage": vintage, "kind": "allowance", "venue": "",
               "trade_code": ""}  # fmt: skip
        assert desk.post("/instruments/new", data=new).status_code == 302
    db.session.rollback()
    codes = dict(db.session.execute(select(Instrument.vintage, Instrument.code)).all())

    # The allocation table.
    heading = "会员编号,统一社会信用代码,企业名称,标的编码,发放类型,发放量"
    lines = [f"{plant.member_no},,{plant.name},{codes[vintage]},预分配,100" for vintage in codes]
    paper = {"document_no": "鄂环函〔2029〕1号", "starts_on": "2029-01-10"}
    batch = upload(desk, "/issuances", heading, *lines, **paper).location
    assert "已提交1条申请" in desk.post(f"{batch}/submit", follow_redirects=True).text
    confirmed(latest("issuance").id, checker)

    # The notice, by a table of the province.
    province = sign_in(hubei)
    heading, reason = "会员编号,履约年度,行业,应履约量（吨）", {"reason": "核查结果"}
    batch = upload(
        province, "/notice-decisions", heading, f"{plant.member_no},2028,玻璃,150", **reason
    ).location
    province.post(f"{batch}/submit")
    confirmed(latest("notice").id, colleague(hubei))
    notice = db.session.scalars(select(Notice)).one()
    assert (notice.year, notice.sector, notice.obligation) == (2028, "glass", 150)

    # The surrender.
    browser = sign_in(operator)
    page = bare(browser.get(f"/compliance/{notice.id}"))
    for said in ("玻璃", "2029-12-31 23:59:59", codes[2027], codes[2028]):
        assert said in page, said
    assert codes[2026] not in page
    ids = dict(db.session.execute(select(Instrument.vintage, Instrument.id)).all())

    def surrenders(**quantities):
        form = {"submit": "1", "reason": "履约"}
        for place, (vintage, tonnes) in enumerate(quantities.items()):
            form |= {f"lines-{place}-choice": str(ids[int(vintage[1:])]),
                     f"lines-{place}-quantity": tonnes}  # fmt: skip
        return browser.post(f"/surrenders/new?notice={notice.id}", data=form)

    refused = surrenders(v2026="1")
    assert refused.status_code == 400
    assert "不在该年度方案规定的履约范围内" in refused.text
    assert surrenders(v2027="50", v2028="100").status_code == 302
    confirmed(latest("surrender").id, hubei)
    assert attestations.of_notice(notice.id).content["total"] == 150
    for vintage, left in ((2026, 100), (2027, 50), (2028, 0)):
        assert quantity(plant, db.session.get_one(Instrument, ids[vintage])) == left


def test_a_deadline_is_prolonged_with_old_and_new_shown(sign_in, maker, checker, plant):
    notice = factories.notice(plant, 10, by=maker)
    desk, plan = sign_in(maker), plans.latest(2025, "power")
    address = f"{NEW}?plan={plan.id}"
    page = desk.get(address).text
    assert 'value="2026-12-31 23:59:59"' in page
    form = plan.values() | PAPER
    earlier = desk.post(address, data=form | {"surrender_by": "2026-12-01"})
    assert earlier.status_code == 400
    assert "已有1份通知书以2026-12-31 23:59:59为准" in earlier.text
    assert 'value="2026-12-01"' in earlier.text  # What was typed is kept.

    assert desk.post(address, data=form | {"surrender_by": "2027-01-31"}).status_code == 302

    shown = bare(sign_in(checker).get(f"/reviews/{latest('plan').id}"))
    assert "清缴截止 ● 2026-12-31 23:59:59 2027-01-31 23:59:59" in shown
    confirmed(latest("plan").id, checker)
    assert "2027-01-31 23:59:59" in bare(desk.get(f"/compliance-notices/{notice}"))
    newest = plans.latest(2025, "power")
    detail = bare(desk.get(f"/plans/{newest.id}"))
    for said in ("环办气候函〔2028〕1号", "2026-11-18", "征求意见稿（2026-07-27）", "系统预置"):
        assert said in detail, said
    late = desk.post(address, data=form | {"note": "x"})
    assert late.status_code == 400
    assert "方案与录入时不同" in late.text


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("year", "20x8", "四位年度"),
        ("sector", "", "行业"),
        ("pre_allocation_share", "x", "百分数"),
        ("vintages", "28", "四位年份"),
        ("surrender_by", "soon", "soon"),
        ("issue_by", "2029-13-01", "不是日期"),
        ("carry_over_base", "1.5", "整数吨"),
        ("carry_over_factor", "x", "倍数"),
        ("method", "", "请填写"),
        ("documented_on", "", "文件日期"),
        ("documented_on", "x", "日期"),
        ("starts_on", "", "日期"),
    ],
)
def test_what_cannot_be_read_is_shown_again(sign_in, maker, field, typed, said):
    form = GLASS | PAPER | {"sector": "steel"} | {field: typed}
    page = sign_in(maker).post(NEW, data=form)
    assert page.status_code == 400
    told = "".join(re.findall(r'<div class="field-error"[^>]*>.*?</div>', page.text, re.S))
    assert said in told
    assert typed in page.text
    assert latest("plan") is None


def test_a_draft_is_opened_again_as_it_was(sign_in, maker):
    browser, form = sign_in(maker), GLASS | PAPER | {"sector": "steel", "save": "1"}
    del form["submit"]
    assert browser.post(NEW, data=form).status_code == 302
    page = browser.get(f"/plan-decisions/{latest('plan').id}/edit").text
    for said in ("2027、2028", "2029-12-31 23:59:59", 'selected value="steel"', "国家规定"):
        assert said in page, said
    assert browser.get(f"{NEW}?plan=999999").status_code == 404
    assert browser.get(f"{NEW}?plan=x").status_code == 404


def test_everybody_reads_the_plans_of_their_sectors(sign_in, maker, plant, operator, hubei):
    power, steel = (plans.latest(2025, sector).id for sector in ("power", "steel"))
    registry, own, province = (sign_in(each) for each in (maker, operator, hubei))
    assert len(table(registry.get("/plans/").text)) == 13
    assert len(table(registry.get("/plans/?sector=power").text)) == 4
    for browser in (own, province):
        assert {row[2] for row in table(browser.get("/plans/").text)} == {"发电"}
        assert browser.get(f"/plans/{power}").status_code == 200
        assert browser.get(f"/plans/{steel}").status_code == 404
        assert browser.get(f"/plans/{10**6}").status_code == 404
        assert browser.get(NEW).status_code == 403
        assert f"{NEW}" not in browser.get("/plans/").text
    factories.account("乙钢铁", "42", "steel")
    assert province.get(f"/plans/{steel}").status_code == 200
    assert own.get(f"/plans/{steel}").status_code == 404
    with registry.get("/plans/export.csv?year=2025&sector=power") as answer:
        heading, row = csv.reader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff")))
    found = {name: value.strip() for name, value in zip(heading, row, strict=True)}
    assert (found["清缴截止"][:10], found["可用配额年度"]) == ("2026-12-31", "2025、2026")


def test_c10_one_page_shows_the_notices_of_a_company_s_year(sign_in, operator, plant, maker, hubei):
    with transaction():
        sectors.change(plant.id, ["power", "steel"], date(2024, 1, 1))
    power = factories.notice(plant, 100, by=maker)
    steel = factories.notice(plant, 300, by=maker, sector="steel")
    factories.notice(plant, 7, by=maker, year=2024)
    for browser, page in (
        (sign_in(operator), "/compliance"),
        (sign_in(hubei), "/compliance-notices"),
    ):
        for notice in (power, steel):
            words = bare(browser.get(f"{page}/{notice}"))
            assert "2025年度全部履约通知书" in words
            for said in ("发电", "钢铁", "合计", "400"):
                assert said in words, said
        rows = table(browser.get(f"{page}/?year=2025&sector=steel").text)
        assert len(rows) == 1
    choice = bare(sign_in(operator).get("/surrenders/new"))
    assert "发电" in choice
    assert "钢铁" in choice


# 履约日历 ---------------------------------------------------------------------------------------


def test_n06_the_calendar_shows_the_dates_of_the_sectors_in_scope(sign_in, maker, operator, plant):
    registry, own = sign_in(maker), sign_in(operator)
    every = table(registry.get("/compliance-calendar/?size=100").text)
    assert {row[5] for row in every} >= {"发电", "钢铁", "全部行业"}
    mine = table(own.get("/compliance-calendar/?size=100").text)
    assert {row[5] for row in mine} == {"发电", "全部行业"}
    first = mine[0]
    assert first[1:7] == ["2026-12-31", "41", "清缴履约", "2025", "发电", "重点排放单位"]
    assert "未到期" in first
    notice = factories.notice(plant, 0, by=maker)  # Asks for nothing: done.
    assert "已完成" in table(own.get("/compliance-calendar/").text)[0]
    assert db.session.get_one(Notice, notice).obligation == 0
    assert len(table(own.get("/compliance-calendar/?party=registry&state=past").text)) >= 1


def test_dates_of_the_ministry_are_reference_data(sign_in, operator):
    system = sign_in(member("system_admin"))
    form = {"year": "2025", "sector": "power", "title": "提交履约情况报告", "due_on": "2026-12-10",
            "party": "province", "source": "环办气候函〔2026〕32号", "valid_from": "2026-11-20"}  # fmt: skip
    assert system.post("/ministry-dates/new", data=form).status_code == 302
    page = bare(sign_in(operator).get("/compliance-calendar/"))
    assert "提交履约情况报告" in page
    assert system.post("/ministry-dates/new", data=form).status_code == 422
    db.session.rollback()
    assert db.session.query(Plan).count() == 18
