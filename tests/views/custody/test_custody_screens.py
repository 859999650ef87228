"""存管返还管理 on screen: forms, and what each party sees."""

from __future__ import annotations

import re

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application
from tests.custody import (
    DEPOSIT,
    LINK,
    RETURN,
    agreed,
    approve,
    deposited,
    distribution,
    drafted,
    edited,
    link,
    parties,
    returning,
    send_back,
    standing,
    submit,
)
from tests.factories import account, nothing_moves, quantity, submitted
from tests.invariants import assert_sound
from tests.views.lists.test_queries import MOST, costs


@pytest.fixture
def party(app):
    """A, linked with B and C, 300 t of its 1,000 t in custody; D, a stranger; the officers."""
    found = parties(1000)
    found.deposit = deposited(found.of_a, {found.cea: 300}, found.checker)
    link(found.a, [found.b, found.c], found.maker, found.checker)
    (found.line,) = {line.source_line_id for line in distribution(found.deposit, {found.b: 1})}
    return found


def latest(kind: str) -> Application:
    db.session.expire_all()
    return db.session.scalars(
        db.select(Application).where(Application.kind == kind).order_by(Application.id.desc())
    ).first()


def number(id_: int) -> str:
    return db.session.get_one(Application, id_).number


def text(answer) -> str:
    """Return the text of a page without markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True)))


def key(party, to) -> str:
    return f"s{party.line}-{to.id}"


def shares(party, **tonnes: str) -> dict[str, str]:
    """Return the form with what each receiver gets."""
    form = {"reason": "企业分立", "submit": "1"}
    for n, (name, quantity_) in enumerate(tonnes.items()):
        form[f"lines-{n}-choice"] = key(party, getattr(party, name))
        form[f"lines-{n}-quantity"] = quantity_
    return form


# 存管申请 ----------------------------------------------------------------------------------


def test_a_deposit_is_filled_in_submitted_and_waits(party, sign_in):
    browser = sign_in(party.of_a)
    picked = browser.post(
        "/custody-deposits/new",
        data={"pick": "1", "picked": str(party.cea.id)},
        follow_redirects=True,
    )
    assert f'value="{party.cea.id}"' in picked.text
    for word in ("合并", "分立", "重组", "其他"):
        assert word in picked.text
    form = {
        "lines-0-choice": str(party.cea.id),
        "lines-0-quantity": "700",
        "category": "merger",
        "reason": "企业合并",
        "submit": "1",
    }

    assert browser.post("/custody-deposits/new", data=form).status_code == 302

    row = latest(DEPOSIT)
    assert (row.status, row.category) == ("in_review", "merger")
    assert quantity(party.a, party.cea) == 0
    assert_sound()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lines-0-quantity": "701"}, "701"),
        ({"lines-0-quantity": "0"}, "大于 0"),
        ({"category": ""}, "请选择"),
        ({"reason": ""}, "申请原因"),
        ({"category": "sale"}, "请选择"),
    ],
)
def test_a_deposit_that_cannot_be_shows_why_and_keeps_what_was_typed(party, sign_in, change, said):
    form = {
        "lines-0-choice": str(party.cea.id),
        "lines-0-quantity": "7",
        "category": "merger",
        "reason": "企业合并",
        "submit": "1",
    }
    with nothing_moves():
        answer = sign_in(party.of_a).post("/custody-deposits/new", data=form | change)

    assert answer.status_code == 400
    assert said in answer.text


def test_a_draft_may_lack_type_and_reason(party, sign_in):
    form = {"lines-0-choice": str(party.cea.id), "lines-0-quantity": "7", "save": "1"}
    assert sign_in(party.of_a).post("/custody-deposits/new", data=form).status_code == 302
    assert latest(DEPOSIT).status == "draft"


def test_list_and_detail_tell_what_was_returned_and_what_is_left(party, sign_in):
    done = returning(party.of_a, party.deposit, {party.b: 100})
    approve(done, party.of_b)
    approve(done, party.checker)
    returning(party.of_a, party.deposit, {party.c: 50})
    browser = sign_in(party.of_a)

    listed = text(browser.get("/custody-deposits/"))
    for word in ("存管类型", "存管量", "已返还量", "返还中量", "剩余存管量"):
        assert word in listed
    assert re.search(r"300 100 50 150 ", listed)
    shown = text(browser.get(f"/custody-deposits/{party.deposit}"))
    assert re.search(r"300 (中股网 )?100 50 150 ", shown)
    assert number(done) in shown
    assert "乙发电有限公司" in shown

    export = browser.get("/custody-deposits/export.csv").get_data(as_text=True)
    assert "300,100,50,150" in export


# 关联 --------------------------------------------------------------------------------------


def test_an_officer_finds_ticks_and_links_another_confirms(party, sign_in):
    address = f"/custody-links/new?account={party.d.id}"
    browser = sign_in(party.maker)
    asked = {"pick": "1", "receivers_asked": "发电有限公司"}
    found = browser.post(address, data=asked, follow_redirects=True).text
    for each in (party.a, party.b, party.c):
        assert each.member_no in found
    # A search keeps the ticks, and a whole number is ticked at once.
    again = {
        "pick": "1",
        "receivers": str(party.b.id),
        "receivers_asked": f"{party.c.member_no}，99999999999",
    }
    ticked = browser.post(address, data=again, follow_redirects=True).text
    assert re.findall(r'name="receivers" value="(\d+)"[^>]*checked', ticked) == [
        str(party.b.id),
        str(party.c.id),
    ]

    form = {"receivers": [party.b.id, party.c.id], "reason": "企业分立", "submit": "1"}
    assert browser.post(address, data=form).status_code == 302

    row = latest(LINK)
    assert (row.status, {each.account_id for each in row.parties}) == (
        "in_review",
        {party.b.id, party.c.id},
    )
    assert row.number not in browser.get("/reviews/").text
    checker = sign_in(party.checker)
    assert "乙发电有限公司" in checker.get(f"/reviews/{row.id}").text
    checker.post(f"/reviews/{row.id}/decide", data={"decision": "approve"})
    assert standing(row.id) == ("approved", 1)
    listed = text(checker.get("/custody-links/"))
    assert f"乙发电有限公司（{party.b.member_no}）" in listed


@pytest.mark.parametrize(
    ("receivers", "said"),
    [
        ([], "至少选择一家"),
        (["a"], "不能关联本单位"),
        (["b", "c"], "已关联"),
        (["x"], "至少选择一家"),
    ],
)
def test_a_link_that_cannot_be_says_why_at_the_field(party, sign_in, receivers, said):
    ids = [getattr(party, each).id if each != "x" else "999999" for each in receivers]
    form = {"receivers": ids, "reason": "企业分立", "submit": "1"}
    answer = sign_in(party.maker).post(f"/custody-links/new?account={party.a.id}", data=form)
    assert answer.status_code == 400
    assert re.search(f'id="receivers-error">[^<]*{said}', answer.text)


def test_who_has_no_account_is_not_found(party, sign_in):
    form = {"pick": "1", "receivers_asked": "21049999999"}
    address = f"/custody-links/new?account={party.a.id}"
    answer = sign_in(party.maker).post(address, data=form, follow_redirects=True)
    assert "先办理开户" in answer.text


def test_a_draft_of_a_link_keeps_its_ticks(party, sign_in):
    browser = sign_in(party.maker)
    form = {"receivers": [party.d.id], "reason": "", "save": "1"}
    assert browser.post(f"/custody-links/new?account={party.a.id}", data=form).status_code == 302
    page = browser.get(f"/custody-links/{latest(LINK).id}/edit").text
    assert re.findall(r'name="receivers" value="(\d+)"[^>]*checked', page) == [str(party.d.id)]


def test_an_enterprise_sees_whom_it_is_linked_with(party, sign_in):
    listed = text(sign_in(party.of_a).get("/linked-enterprises/"))
    assert "乙发电有限公司" in listed
    assert "丙发电有限公司" in listed
    assert "丁发电有限公司" not in listed
    other = sign_in(party.of_d)
    assert "乙发电有限公司" not in text(other.get("/linked-enterprises/"))
    assert other.get("/custody-links/").status_code == 403
    assert "乙发电有限公司" in text(sign_in(party.of_a).get("/custody-returns/new"))


# 存管返还申请 ------------------------------------------------------------------------------


def test_a_deposit_is_picked_and_has_a_row_for_each_linked_enterprise(party, sign_in):
    browser = sign_in(party.of_a)
    picker = browser.get("/custody-returns/new").text
    assert "选择存管" in picker
    assert picker.count('name="picked"') == 1  # One deposit, though two may receive it.

    ticked = {"pick": "1", "picked": f"s{party.line}"}
    picked = browser.post("/custody-returns/new", data=ticked, follow_redirects=True)

    assert re.findall(r'name="lines-\d+-choice" value="([^"]+)"', picked.text) == [
        key(party, party.b),
        key(party, party.c),
    ]
    assert number(party.deposit) in picked.text


def test_rows_without_a_quantity_are_left_out(party, sign_in):
    answer = sign_in(party.of_a).post("/custody-returns/new", data=shares(party, b="300", c=""))
    assert answer.status_code == 302
    row = latest(RETURN)
    assert [(line.account_id, line.quantity) for line in row.lines] == [(party.b.id, 300)]
    assert [each.account_id for each in row.parties] == [party.b.id]
    done = text(sign_in(party.of_a).get(answer.location))
    assert "先由乙发电有限公司审核" in done


@pytest.mark.parametrize(
    "tonnes", [("200", "101"), ("301", ""), ("", ""), ("1.5", "1"), ("-1", "")]
)
def test_shares_that_cannot_be_are_refused(party, sign_in, tonnes):
    form = shares(party, b=tonnes[0], c=tonnes[1])
    with nothing_moves():
        answer = sign_in(party.of_a).post("/custody-returns/new", data=form)
    assert answer.status_code == 400


def test_of_two_shares_the_second_is_told_what_is_left(party, sign_in):
    form = shares(party, b="200", c="101")
    answer = sign_in(party.of_a).post("/custody-returns/new", data=form)
    (said,) = re.findall(r'id="lines-1-quantity-error">([^<]*)', answer.text)
    assert "100" in said
    assert 'value="200"' in answer.text


def test_a_forged_receiver_or_deposit_cannot_be_chosen(party, sign_in):
    mine = sign_in(party.of_a)
    for choice in (key(party, party.d), key(party, party.a), "s999999-2", str(party.cea.id)):
        form = {"lines-0-choice": choice, "lines-0-quantity": "1", "reason": "x", "submit": "1"}
        with nothing_moves():
            assert mine.post("/custody-returns/new", data=form).status_code == 400
    link(party.d, [party.b], party.maker, party.checker)
    form = shares(party, b="1")
    with nothing_moves():
        assert sign_in(party.of_d).post("/custody-returns/new", data=form).status_code == 400


def test_who_is_linked_with_nobody_is_told_what_to_do(party, sign_in):
    page = text(sign_in(party.of_d).get("/custody-returns/new"))
    assert "尚未关联对方重点排放单位" in page
    link(party.d, [party.b], party.maker, party.checker)
    page = text(sign_in(party.of_d).get("/custody-returns/new"))
    assert "没有可返还的存管" in page


def test_editing_shows_every_linked_enterprise_again(party, sign_in):
    made = drafted(party.of_a, distribution(party.deposit, {party.c: 7}))
    page = sign_in(party.of_a).get(f"/custody-returns/{made}/edit").text
    assert re.findall(r'name="lines-\d+-choice" value="([^"]+)"', page) == [
        key(party, party.b),
        key(party, party.c),
    ]
    assert 'value="7"' in page


# What each party sees ----------------------------------------------------------------------


@pytest.fixture
def made(party):
    """A's return of 123 t to B and 77 t to C."""
    return returning(party.of_a, party.deposit, {party.b: 123, party.c: 77})


def test_a_receiver_sees_its_own_share_alone_and_nothing_of_as_holdings(party, made, sign_in):
    browser = sign_in(party.of_b)
    assert re.search(r"存管返还[^<]*</span>\s*<span[^>]*>\s*1|存管返还", browser.get("/").text)
    listed = text(browser.get("/reviews/"))
    assert number(made) in listed
    assert " 123 " in listed
    assert " 200 " not in listed
    assert f" {party.cea.code} " in listed
    shown = text(browser.get(f"/reviews/{made}"))
    for word in ("甲发电有限公司", "乙发电有限公司", "丙发电有限公司", " 123 ", "待审核"):
        assert word in shown
    for word in (" 77 ", " 200 ", "1,000", " 700 "):
        assert word not in shown
    export = browser.get("/reviews/export.csv").get_data(as_text=True)
    assert "123" in export
    assert ",200," not in export
    for address in (f"/custody-returns/{made}", f"/custody-deposits/{party.deposit}"):
        assert browser.get(address).status_code == 404
    assert number(made) not in browser.get("/custody-returns/").text
    assert "甲发电有限公司" not in browser.get("/holdings/").text


def test_a_receiver_does_not_read_what_others_wrote(party, made, sign_in):
    """It may mention their shares; the applicant reads everything."""
    approve(made, party.of_b, comment="乙的意见")
    approve(made, party.of_c, comment="丙要 77 吨")
    shown = text(sign_in(party.of_b).get(f"/reviewed/{made}"))
    assert "乙的意见" in shown
    assert "丙要" not in shown
    shown = text(sign_in(party.of_a).get(f"/custody-returns/{made}"))
    assert "丙要 77 吨" in shown


def test_an_instrument_that_goes_to_two_is_named_once(party, made, sign_in):
    listed = text(sign_in(party.of_a).get("/custody-returns/"))
    assert f" {party.cea.code} {party.cea.name} " in listed
    assert " 200 " in listed


def test_a_sees_who_has_agreed_and_who_is_waited_for(party, made, sign_in):
    approve(made, party.of_b)
    shown = text(sign_in(party.of_a).get(f"/custody-returns/{made}"))
    assert re.search(r"乙发电有限公司 123 已同意", shown)
    assert re.search(r"丙发电有限公司 77 待审核", shown)
    send_back(made, party.of_c)
    shown = text(sign_in(party.of_a).get(f"/custody-returns/{made}"))
    assert "重新提交后须再次审核" in shown


def test_a_receivers_yes_in_its_own_todo(party, made, sign_in):
    browser = sign_in(party.of_b)
    form = {"decision": "approve", "comment": "同意接收"}
    assert browser.post(f"/reviews/{made}/decide", data=form).status_code == 302
    assert agreed(made) == [party.b.id]
    browser.get("/reviews/")
    assert number(made) not in browser.get("/reviews/").text
    assert "同意接收" in browser.get(f"/reviewed/{made}").text
    with nothing_moves():
        assert browser.post(f"/reviews/{made}/decide", data=form).status_code == 404


def test_receivers_decide_in_bulk(party, made, sign_in):
    other = returning(party.of_a, party.deposit, {party.b: 5})
    browser = sign_in(party.of_b)
    form = {"action": "approve", "id": [str(made), str(other)], "count": "2"}
    assert "成功 2 条" in browser.post("/reviews/bulk", data=form).text
    assert (agreed(made), standing(other)) == ([party.b.id], ("in_review", 1))


def test_a_draft_is_its_writers_alone(party, sign_in):
    made = drafted(party.of_a, distribution(party.deposit, {party.b: 5}))
    browser = sign_in(party.of_b)
    assert number(made) not in browser.get("/reviews/").text
    assert browser.get(f"/reviews/{made}").status_code == 404
    assert browser.get(f"/custody-returns/{made}").status_code == 404


def test_b_does_not_read_what_a_is_changing(party, made, sign_in):
    send_back(made, party.of_b)
    browser = sign_in(party.of_b)
    assert browser.get(f"/reviewed/{made}").status_code == 200
    edited(made, party.of_a, distribution(party.deposit, {party.b: 299}))
    assert browser.get(f"/reviewed/{made}").status_code == 404
    submit(made, party.of_a)
    assert " 299 " in text(browser.get(f"/reviews/{made}"))


def test_an_uninvolved_enterprise_finds_nothing(party, made, sign_in):
    """Everything is 404, and nothing changes."""
    waits = submitted(DEPOSIT, party.of_a, {party.cea: 1}, category="merger", reason="合并").id
    browser = sign_in(party.of_d)
    before = [standing(id_) for id_ in (made, waits, party.deposit)]
    with nothing_moves():
        for id_ in (made, waits, party.deposit):
            for address in (
                f"/reviews/{id_}",
                f"/reviewed/{id_}",
                f"/custody-returns/{id_}",
                f"/custody-deposits/{id_}",
                f"/custody-returns/{id_}/edit",
                f"/custody-deposits/{id_}/done",
            ):
                assert browser.get(address).status_code == 404, address
            for address, form in (
                (f"/reviews/{id_}/decide", {"decision": "approve"}),
                (f"/reviews/{id_}/decide", {"decision": "send_back", "comment": "不"}),
                (f"/custody-returns/{id_}/withdraw", {}),
                (f"/custody-deposits/{id_}/withdraw", {}),
                (f"/custody-returns/{id_}/edit", {"submit": "1"}),
            ):
                assert browser.post(address, data=form).status_code == 404, address
        bulk = {"action": "approve", "id": [str(made), str(waits)], "count": "2"}
        assert "成功" not in browser.post("/reviews/bulk", data=bulk).text
        for page in ("/reviews/", "/reviewed/", "/custody-returns/", "/custody-deposits/"):
            for address in (page, f"{page}export.csv"):
                found = browser.get(address).get_data(as_text=True)
                for id_ in (made, waits, party.deposit):
                    assert number(id_) not in found
    assert [standing(id_) for id_ in (made, waits, party.deposit)] == before
    assert agreed(made) == []


def test_what_was_submitted_again_is_read_again(party, made, sign_in):
    """B has the page open while C refuses, A changes and submits again: B's old agreement is refused."""
    browser = sign_in(party.of_b)
    page = browser.get(f"/reviews/{made}").text
    (read,) = re.findall(r'name="submission" value="([^"]+)"', page)
    send_back(made, party.of_c)
    edited(made, party.of_a, distribution(party.deposit, {party.b: 1, party.c: 299}))
    submit(made, party.of_a)

    form = {"decision": "approve", "submission": read.replace("&#43;", "+")}
    browser.post(f"/reviews/{made}/decide", data=form)

    assert agreed(made) == []
    assert "重新提交" in browser.get("/reviews/").text
    page = browser.get(f"/reviews/{made}").text
    (read,) = re.findall(r'name="submission" value="([^"]+)"', page)
    form = {"decision": "approve", "submission": read.replace("&#43;", "+")}
    browser.post(f"/reviews/{made}/decide", data=form)
    assert agreed(made) == [party.b.id]


@pytest.mark.parametrize("who", ["of_a", "of_b", "maker", "checker"])
def test_every_page_takes_few_statements(app, party, made, sign_in, who):
    """However many deposits and receivers there are."""
    addresses = {
        "of_a": [
            "/custody-deposits/",
            "/custody-deposits/new",
            f"/custody-deposits/{party.deposit}",
            "/custody-returns/",
            "/custody-returns/new",
            f"/custody-returns/{made}",
            "/linked-enterprises/",
        ],
        "of_b": ["/reviews/", f"/reviews/{made}"],
        "maker": ["/custody-links/", f"/custody-links/new?account={party.a.id}"],
        "checker": ["/custody-links/", "/custody-returns/", "/linked-enterprises/", "/reviewed/"],
    }[who]
    browser = sign_in(getattr(party, who))
    before = costs(app, browser, addresses)
    assert {address: cost for address, cost in before.items() if cost > MOST + 4} == {}
    for n in range(4):
        other = account(f"新单位{n}")
        link(party.a, [other], party.maker, party.checker)
        deposited(party.of_a, {party.cea: 10}, party.checker)
        returning(party.of_a, party.deposit, {party.b: 1})
    assert costs(app, browser, addresses) == before
    assert quantity(party.a, party.cea, Bucket.IN_RETURN) == 204
