"""履约管理 on screen: the enterprise's notices and form, officers' notices, statistics, gaps."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Application, Instrument, Notice, OutboxMessage
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.views.compliance.statistics import percent, shares
from tests import factories
from tests.operations.compliance.test_compliance import adjust, figures, issue, surrender
from tests.views.frame.test_language import english
from tests.views.toys import counting, table

PLANT, HUBEI = "甲发电有限公司", "42"


@pytest.fixture
def plant(app):
    return factories.account(PLANT, HUBEI, sector="power")


@pytest.fixture
def cea25(plant):
    row = factories.instrument("2025年度配额", vintage=2025)
    factories.give(plant, row, 1000)
    return row


@pytest.fixture
def cea24(plant):
    row = factories.instrument("2024年度配额", vintage=2024)
    factories.give(plant, row, 1000)
    return row


@pytest.fixture
def notice(plant, cea25, maker):
    return issue(plant, [cea25], 600, by=maker)


def approve(*ids, by):
    with transaction():
        return engine.approve(ids, Actor.of(by), now=clock.now())


def bare(page) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


# The enterprise -------------------------------------------------------------------------------


def test_the_list_shows_what_is_due(sign_in, operator, hubei, cea25, notice):
    first = surrender(operator, {cea25: 200}, notice)
    approve(first.id, by=hubei).one()
    surrender(operator, {cea25: 150}, notice)

    page = sign_in(operator).get("/compliance/")

    (row,) = table(page.text)
    for figure in ("2025", "600", "150", "200", "250", "2026-12-31 23:59:59", "部分履约"):
        assert figure in " ".join(row), figure
    assert f"/surrenders/new?notice={notice}" in page.text
    assert english(page.text) == []


@pytest.mark.parametrize(
    ("surrendered", "day", "state"),
    [
        (0, 20, "未到期"),
        (1, 20, "未到期（部分履约）"),
        (600, 20, "已足额"),
        (599, 21, "逾期未足额"),
        (600, 21, "已足额"),
    ],
)
def test_the_state_of_a_notice(
    sign_in, plant, operator, hubei, maker, cea25, surrendered, day, state
):
    """R81: after the deadline a notice with a gap is overdue."""
    deadline = factories.at("23:59:59", day=20)
    notice = issue(plant, [cea25], 600, by=maker, deadline=deadline)
    if surrendered:
        approve(surrender(operator, {cea25: surrendered}, notice).id, by=hubei).one()
    with transaction():
        clock.set_to(factories.at("00:00:00", day=day), Actor.of(maker))
        clock.set_to(factories.at("12:00" if day == 20 else "00:00:01", day=day), Actor.of(maker))
    (row,) = table(sign_in(operator).get("/compliance/").text)
    assert state in row
    (row,) = table(sign_in(operator).get("/compliance/").text)
    chosen = {
        "未到期": "due",
        "未到期（部分履约）": "partial",
        "已足额": "fulfilled",
        "逾期未足额": "overdue",
    }[state]
    assert len(table(sign_in(operator).get(f"/compliance/?state={chosen}").text)) == 1


def test_the_scope_says_what_counts_and_what_of_ccer_is_used(
    sign_in, plant, operator, maker, cea25
):
    notice = issue(plant, [cea25], 1000, by=maker, percent=Decimal(5))
    made = factories.offsetting(operator, notice, factories.mirrored(operator, 30))
    with transaction():
        engine.submit([made], Actor.of(operator), now=clock.now()).one()
    page = sign_in(operator).get(f"/compliance/{notice}")
    words = bare(page)
    for text_ in (
        "履约范围",
        cea25.code,
        "5%",
        "CCER抵销上限 50",
        "30",
        "可用CCER余量 20",
    ):
        assert text_ in words, text_
    assert [each for each in english(page.text) if "registry_" not in each] == []


def test_the_form_stands_under_its_notice_and_offers_what_counts(
    sign_in, operator, notice, cea25, cea24
):
    page = sign_in(operator).get(f"/surrenders/new?notice={notice}")
    assert page.status_code == 200
    words = bare(page)
    assert "剩余应履约量 600" in words
    assert "添加履约标的" in words
    for code, why in ((cea24.code, "不在本通知书的履约范围内"),):
        row = re.search(rf"<tr class=\"is-off\">(?:(?!</tr>).)*{code}.*?</tr>", page.text, re.S)
        assert row, code
        assert why in row[0]
    assert not re.search(rf"<tr class=\"is-off\">(?:(?!</tr>).)*{cea25.code}", page.text, re.S)
    # What is confirmed repeats instrument and quantity (data-confirm-lines).
    assert "清缴经审核通过后不可撤销" in page.text
    assert "data-confirm-lines" in page.text


def send(browser, notice, what, typed, **more):
    form = {"lines-0-choice": str(what.id), "lines-0-quantity": typed, "submit": "1", **more}
    return browser.post(f"/surrenders/new?notice={notice}", data=form)


def test_a_surrender_is_submitted(sign_in, operator, notice, cea25, plant):
    answer = send(sign_in(operator), notice, cea25, "600")
    assert answer.status_code == 302
    assert answer.location.endswith("/done")
    assert figures(notice) == (0, 600)
    assert factories.quantity(plant, cea25) == 400
    (row,) = table(sign_in(operator).get("/surrenders/").text)
    assert "待审核" in " ".join(row)


def test_a_deadline_that_passed_while_the_form_was_open_is_said(
    sign_in, plant, operator, maker, cea25
):
    deadline = factories.at("11:00", day=20)
    notice = issue(plant, [cea25], 600, by=maker, deadline=deadline)
    number = db.session.get_one(Notice, notice).number
    browser, place = sign_in(operator), f"/surrenders/new?notice={notice}"
    assert "已过" not in browser.get(place).text
    with transaction():
        clock.set_to(factories.at("11:02", day=20), Actor.of(maker))

    with factories.nothing_moves():
        page = send(browser, notice, cea25, "600")
    assert page.status_code == 400
    words = bare(page)
    assert (
        f"履约通知书 {number} 的履约截止时间 2026-11-20 11:00:00 已过（现在 2026-11-20 11:02"
        in words
    )
    assert "请核对内容后再次提交" in words
    assert 'value="600"' in page.text
    known = re.search(r'name="overdue"[^>]*value="([^"]*)"', page.text)[1]
    assert known == "1"

    done = send(browser, notice, cea25, "600", overdue=known)
    assert done.status_code == 302
    assert figures(notice) == (0, 600)
    assert "本次提交晚于履约截止时间 2026-11-20 11:00:00" in bare(browser.get(done.location))


def test_a_form_opened_after_the_deadline_says_so_at_once(sign_in, plant, operator, maker, cea25):
    notice = issue(plant, [cea25], 600, by=maker, deadline=factories.at("09:00", day=20))
    browser = sign_in(operator)
    page = browser.get(f"/surrenders/new?notice={notice}")
    assert "2026-11-20 09:00:00 已过" in bare(page)
    known = re.search(r'name="overdue"[^>]*value="([^"]*)"', page.text)[1]
    assert send(browser, notice, cea25, "600", overdue=known).location.endswith("/done")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("601", "600"),
        ("", "请输入数量"),
        ("0", ""),
        ("-5", ""),
        ("1.5", ""),
        ("1e3", ""),
        ("１００", ""),
        (str(2**63), ""),
    ],
)
def test_what_does_not_fit_is_refused_and_kept(sign_in, operator, notice, cea25, typed, said):
    with factories.nothing_moves():
        page = send(sign_in(operator), notice, cea25, typed)
    assert page.status_code == 400
    assert f'value="{typed}"' in page.text
    assert said.replace("请输入数量", "") in page.text
    assert figures(notice) == (0, 0)


def test_what_is_not_in_the_scope_is_refused_whatever_is_sent(sign_in, operator, notice, cea24):
    with factories.nothing_moves():
        page = send(sign_in(operator), notice, cea24, "1")
    assert page.status_code == 400
    assert "履约范围" in page.text or "不在" in page.text


@pytest.mark.parametrize("asked", ["x", "999999", "0", "-1", "９", "99999999999999"])
def test_a_notice_that_is_not_one_s_own_does_not_exist(sign_in, operator, cea25, maker, asked):
    other = issue(factories.account("乙", "31"), [cea25], 5, by=maker)
    browser = sign_in(operator)
    assert browser.get(f"/surrenders/new?notice={asked}").status_code == 404
    assert browser.get(f"/surrenders/new?notice={other}").status_code == 404
    assert browser.get(f"/compliance/{other}").status_code == 404


def test_without_a_notice_one_is_chosen(sign_in, operator, notice):
    page = sign_in(operator).get("/surrenders/new")
    assert page.status_code == 200
    assert f"/surrenders/new?notice={notice}" in page.text


def test_a_draft_is_saved_changed_and_submitted(sign_in, operator, notice, cea25):
    browser = sign_in(operator)
    send(browser, notice, cea25, "10", save="1", submit="")
    form = {"lines-0-choice": str(cea25.id), "lines-0-quantity": "10", "save": "1"}
    browser.post(f"/surrenders/new?notice={notice}", data=form)
    draft = db.session.scalars(select(Application).where(Application.status == "draft")).first()
    assert draft is not None
    assert draft.notice_id == notice
    form = {"lines-0-choice": str(cea25.id), "lines-0-quantity": "20", "submit": "1"}
    assert browser.post(f"/surrenders/{draft.id}/edit", data=form).status_code == 302
    db.session.expire_all()
    assert db.session.get_one(Application, draft.id).status == "in_review"


def test_the_certificate_stands_on_the_row_once_all_is_surrendered(
    sign_in, operator, hubei, maker, notice, cea25
):
    """R84, for the enterprise, its province and the registry."""
    pages = (
        (operator, "/compliance/"),
        (hubei, "/compliance-notices/"),
        (maker, "/compliance-notices/"),
    )
    for person, address in pages:
        assert "履约证明</a>" not in sign_in(person).get(address).text
    browser = sign_in(operator)
    refused = browser.post(f"/compliance/{notice}/certificate", follow_redirects=True)
    assert "PDF" not in refused.headers["Content-Type"].upper()

    approve(surrender(operator, {cea25: 600}, notice).id, by=hubei).one()

    for person, address in pages:
        page = sign_in(person).get(address)
        (url,) = re.findall(r'href="(/attestations/\d+\.pdf)">\s*履约证明', page.text)
        with sign_in(person).get(url) as answer:
            assert answer.data.startswith(b"%PDF")


def test_lowered_to_what_is_surrendered_the_certificate_is_asked_for(
    sign_in, operator, hubei, maker, notice, cea25
):
    approve(surrender(operator, {cea25: 500}, notice).id, by=hubei).one()
    adjust(notice, 500, by=maker)
    browser = sign_in(operator)
    assert f"/compliance/{notice}/certificate" in browser.get("/compliance/").text
    with browser.post(f"/compliance/{notice}/certificate", follow_redirects=True) as answer:
        assert answer.data.startswith(b"%PDF")


def test_an_obligation_of_nothing_has_no_certificate(sign_in, operator, plant, maker, cea25):
    nothing = issue(plant, [cea25], 0, by=maker)
    browser = sign_in(operator)
    for address in ("/compliance/", f"/compliance/{nothing}"):
        page = browser.get(address).text
        assert "已足额" in page
        assert f"/compliance/{nothing}/certificate" not in page


def test_an_approved_cancellation_has_its_certificate(sign_in, operator, maker, cea25):
    case = factories.submitted("voluntary_cancellation", operator, {cea25: 5}, reason="碳中和")
    browser = sign_in(operator)
    assert "注销证明" not in browser.get("/voluntary-cancellations/").text.split("<main")[1]
    approve(case.id, by=maker).one()
    for address in ("/voluntary-cancellations/", f"/voluntary-cancellations/{case.id}"):
        (url,) = re.findall(r'href="(/attestations/\d+\.pdf)', browser.get(address).text)
        with browser.get(url) as answer:
            assert answer.data.startswith(b"%PDF")


# The province's review ------------------------------------------------------------------------


def test_the_province_reviews_one_and_many(sign_in, operator, hubei, notice, cea25):
    ids = [surrender(operator, {cea25: 100}, notice).id for _ in range(3)]
    browser = sign_in(hubei)
    assert len(table(browser.get("/reviews/").text)) == 3
    one = browser.post(f"/reviews/{ids[0]}/decide", data={"decision": "approve", "comment": "同意"})
    assert one.status_code == 302
    form = {"action": "approve", "id": [str(id_) for id_ in ids[1:]], "count": "2"}
    page = browser.post("/reviews/bulk", data=form)
    assert "成功 2 条" in bare(page)
    assert figures(notice) == (300, 0)
    assert table(browser.get("/reviews/").text) == []
    other = sign_in(factories.member("province", province="43"))
    assert table(other.get("/reviews/").text) == []


# Officers -------------------------------------------------------------------------------------


def test_reminders_are_sent_in_bulk(sign_in, hubei, operator, notice):
    browser = sign_in(hubei)
    form = {"action": "remind", "id": [str(notice)]}
    asked = browser.post("/compliance-notices/bulk", data=form)
    assert "确定就所选 1 份履约通知书发送邮件和短信提醒" in asked.text
    page = browser.post("/compliance-notices/bulk", data={**form, "count": "1"})
    assert "成功 1 条" in bare(page)
    (message,) = db.session.scalars(select(OutboxMessage)).all()
    assert "尚缺600吨" in message.body
    again = browser.post("/compliance-notices/bulk", data={**form, "count": "1"})
    assert "今日已提醒过" in again.text


# 清缴退还 -------------------------------------------------------------------------------------


def test_a_refund_is_entered_and_confirmed(sign_in, maker, hubei, operator, plant, notice, cea25):
    case = surrender(operator, {cea25: 600}, notice)
    approve(case.id, by=hubei).one()
    line = db.session.get_one(Application, case.id).lines[0].id
    browser = sign_in(maker)
    page = browser.get(f"/surrender-refunds/new?account={plant.id}")
    number = db.session.get_one(Notice, notice).number
    assert number in page.text
    form = {
        "lines-0-choice": re.search(r'name="picked" value="([^"]+)"', page.text)[1],
        "lines-0-quantity": "100",
        "document_no": "环函2号",
        "authority": "湖北省生态环境厅",
        "starts_on": "2026-11-20",
        "reason": "核减",
        "submit": "1",
    }
    answer = browser.post(f"/surrender-refunds/new?account={plant.id}", data=form)
    assert answer.status_code == 302
    refund = db.session.scalars(
        select(Application).where(Application.kind == "surrender_refund")
    ).one()
    assert (refund.notice_id, refund.lines[0].source_line_id) == (notice, line)
    approve(refund.id, by=factories.member("registry_checker")).one()
    assert figures(notice) == (500, 0)


def test_one_refund_is_about_one_notice(sign_in, maker, hubei, operator, plant, cea25):
    found = [issue(plant, [cea25], 10, by=maker, year=year) for year in (2024, 2025)]
    said = ({"also_for": "2025、2026"}, {})  # the older one is an arrear (N51)
    cases = [
        factories.submitted("surrender", operator, {cea25: 10}, notice_id=each, proposal=about)
        for each, about in zip(found, said, strict=True)
    ]
    approve(*(case.id for case in cases), by=hubei)
    browser = sign_in(maker)
    page = browser.get(f"/surrender-refunds/new?account={plant.id}")
    values = re.findall(r'name="picked" value="([^"]+)"', page.text)
    assert len(values) == 2
    form = {"document_no": "1号", "authority": "厅", "starts_on": "2026-11-20", "reason": "核减"}
    for index, value in enumerate(values):
        form |= {f"lines-{index}-choice": value, f"lines-{index}-quantity": "1"}
    with factories.nothing_moves():
        page = browser.post(
            f"/surrender-refunds/new?account={plant.id}", data={**form, "submit": "1"}
        )
    assert page.status_code == 400
    assert "请分别办理" in page.text


# 履约统计 -------------------------------------------------------------------------------------


def test_completion_is_rounded_down():
    """R80: 3,377 of 3,378 are 99.97 %; 100 % means all."""
    assert percent(3377, 3378) == "99.97%"
    assert percent(99_999_999, 100_000_000) == "99.99%"
    assert percent(7, 7) == "100.00%"
    assert percent(0, 7) == "0.00%"
    assert percent(0, 0) == ""


def test_statistics_count_enterprises_and_tonnes(sign_in, maker, hubei, operator, plant, cea25):
    shanghai = factories.account("乙水泥", "31", sector="cement")
    notice = issue(plant, [cea25], 600, by=maker)
    issue(shanghai, [cea25], 400, by=maker)
    issue(shanghai, [cea25], 50, by=maker, year=2024)
    approve(surrender(operator, {cea25: 600}, notice).id, by=hubei).one()

    found = {(each.year, each.province, each.sector): each for each in shares(maker)}

    total = found[2025, None, None]
    assert (total.enterprises, total.fulfilled, total.by_count) == (2, 1, "50.00%")
    assert (total.obligation, total.surrendered, total.gap) == (1000, 600, 400)
    assert total.by_tonnes == "60.00%"
    assert found[2025, "31", None].gap == 400
    assert found[2025, None, "power"].by_count == "100.00%"
    assert found[2024, None, None].gap == 50
    page = sign_in(maker).get("/compliance-statistics/?year=2025")
    words = bare(page)
    for text_ in ("按省份", "按行业", "按年度", "60.00%", "湖北", "上海", "水泥"):
        assert text_ in words, text_
    assert page.text.count("data-chart=") == 3


def test_a_province_s_statistics_are_its_own(sign_in, maker, hubei, plant, cea25):
    issue(plant, [cea25], 600, by=maker)
    issue(factories.account("乙水泥", "31", sector="cement"), [cea25], 400, by=maker)
    (total,) = [each for each in shares(hubei) if each.province is None and each.sector is None]
    assert (total.enterprises, total.obligation) == (1, 600)
    page = sign_in(hubei).get("/compliance-statistics/")
    assert "上海" not in page.text
    assert "按省份" not in page.text


@pytest.mark.parametrize("asked", ["x", "1999", "20255", "-1", "２０２５"])
def test_a_year_without_notices_shows_the_last_one(sign_in, maker, notice, asked):
    page = sign_in(maker).get(f"/compliance-statistics/?year={asked}")
    assert page.status_code == 200
    assert '<option value="2025" selected>' in page.text


def test_without_notices_there_are_no_statistics(sign_in, maker):
    page = sign_in(maker).get("/compliance-statistics/")
    assert page.status_code == 200
    assert "暂无数据" in page.text


def test_the_gap_list_names_who_is_behind(sign_in, maker, hubei, operator, plant, cea25):
    notice = issue(plant, [cea25], 600, by=maker)
    shanghai = factories.account("乙水泥", "31", sector="cement")
    issue(shanghai, [cea25], 400, by=maker)
    approve(surrender(operator, {cea25: 200}, notice).id, by=hubei).one()
    browser = sign_in(maker)
    assert len(table(browser.get("/compliance-gaps/").text)) == 2
    (row,) = table(browser.get("/compliance-gaps/?year=2025&province=42&sector=power").text)
    assert "400" in row
    assert PLANT in row
    with browser.get("/compliance-gaps/export.csv?year=2025&province=31") as answer:
        lines = answer.get_data(as_text=True).splitlines()
    assert len(lines) == 2
    assert "乙水泥" in lines[1]
    assert len(table(sign_in(hubei).get("/compliance-gaps/").text)) == 1
    approve(surrender(operator, {cea25: 400}, notice).id, by=hubei).one()
    assert table(sign_in(hubei).get("/compliance-gaps/").text) == []


# Costs and scope --------------------------------------------------------------------------------

ADDRESSES = {
    "enterprise": ("/compliance/", "/surrenders/", "/surrenders/new"),
    "province": (
        "/surrenders/",
        "/compliance-notices/",
        "/compliance-statistics/",
        "/compliance-gaps/",
    ),
    "registry_maker": (
        "/surrenders/",
        "/surrender-refunds/",
        "/compliance-notices/",
        "/compliance-statistics/",
        "/compliance-gaps/",
    ),
}


@pytest.mark.parametrize("role", ADDRESSES)
def test_pages_cost_few_statements_and_no_more_with_more_rows(app, world, sign_in, role):
    browser = sign_in(world.member_of(role))
    due = world.a.notices[1]
    addresses = [*ADDRESSES[role]]
    if role == "enterprise":
        addresses += [f"/surrenders/new?notice={due}", f"/compliance/{due}"]
    else:
        addresses += [
            f"/compliance-notices/{due}",
            "/notice-decisions/",
            f"/notice-decisions/{world.a.by_officers['notice'][1]}",
            f"/notice-decisions/new?account={world.a.account.id}&notice={due}",
        ]

    def costs():
        found = {}
        for address in addresses:
            browser.get(address)
            with counting(app) as statements:
                assert browser.get(address).status_code == 200, address
            found[address] = len([s for s in statements if not s.startswith("SAVEPOINT")])
        return found

    before = costs()
    # Of a decision the form reads the enterprise, what the notice says, its figures and what may count.
    of_one = {"/notice-decisions/new?": 11, "/notice-decisions/": 9, "/surrenders/new?": 9}
    most = {
        each: next((of_one[start] for start in of_one if each.startswith(start)), 8)
        for each in before
    }
    assert {address: cost for address, cost in before.items() if cost > most[address]} == {}
    for year in (2021, 2022):
        by = world.officers["registry_maker"]
        factories.notice(world.a.account, 9, [world.a.instrument], by=by, year=year)
    assert costs() == before


def test_only_who_may_finds_the_buttons(sign_in, world):
    checker = sign_in(world.officers["registry_checker"])
    assert "/notice-decisions/new" not in checker.get("/compliance-notices/").text
    for path in ("new", "import", f"{world.a.by_officers['notice'][0]}/edit"):
        assert checker.get(f"/notice-decisions/{path}").status_code == 403
    enterprise = sign_in(world.a.member)
    for path in (
        "/compliance-notices/",
        "/notice-decisions/",
        "/compliance-statistics/",
        "/surrender-refunds/",
    ):
        assert enterprise.get(path).status_code == 403
    assert db.session.query(Instrument).count() >= 2
