"""The pages of CCER抵销: what is offered, what is refused, and what officers see."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Application, OffsetComparison, OffsetMessage
from app.operations.applications import engine
from app.operations.offsets import messages
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.views.toys import table


def bare(page) -> str:
    """Return a page's words."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.text).split())


@pytest.fixture
def notice(plant, maker):
    return factories.notice(plant, 600, by=maker, percent=Decimal(5))


def test_units_are_ticked_for_a_notice_and_apart_from_holdings(sign_in, operator, notice):
    fits, above, inside = (
        factories.mirrored(operator, tonnes, in_ets=tonnes == 7) for tonnes in (30, 31, 7)
    )
    browser = sign_in(operator)
    assert len(table(browser.get("/offset-units/").text)) == 3
    assert fits.serial not in browser.get("/holdings/").text
    page = browser.get(f"/offsets/new?notice={notice}").text
    assert "减排项目在碳市场边界内" in page
    form = {"request_key": "offset-form-1", "reason": "", "submit": "1"}

    refused = browser.post(f"/offsets/new?notice={notice}", data={**form, "units": [str(above.id)]})
    assert refused.status_code == 400
    assert "最多可使用30吨" in bare(refused)
    nothing = browser.post(f"/offsets/new?notice={notice}", data=form)
    assert "请至少选择一个待抵销的抵销单元" in bare(nothing)
    odd = {**form, "units": ["x", "99999999999", str(fits.id)]}
    done = browser.post(f"/offsets/new?notice={notice}", data=odd)
    assert done.status_code == 302
    proposal = db.session.scalars(
        select(Application.proposal).where(Application.kind == "offset")
    ).one()
    assert [each["serial"] for each in proposal["units"]] == [fits.serial]
    shown = bare(browser.get(f"/offset-units/{fits.id}"))
    assert "抵销申请中" in shown
    assert inside.serial not in shown


def test_officers_query_what_is_open_and_compare(sign_in, operator, notice, maker, hubei):
    made = factories.offsetting(operator, notice, factories.mirrored(operator, 30))
    with transaction():
        engine.submit([made], Actor.of(operator), now=clock.now()).one()
    factories.confirmed(made, hubei)
    with transaction():
        while messages.next_to_send(now=clock.now()):
            pass
    sent = db.session.scalars(select(OffsetMessage).where(OffsetMessage.kind == "cancel")).one()
    officer = sign_in(maker)
    assert "已发送" in bare(officer.get("/offset-messages/"))
    answer = officer.post(f"/offset-messages/{sent.id}/query", follow_redirects=True)
    assert f"正在查询报文 {sent.number}" in bare(answer)
    assert (
        officer.post(f"/offset-messages/{sent.id}/again", follow_redirects=True).status_code == 200
    )
    officer.post("/offset-comparisons/compare")
    assert db.session.scalars(select(OffsetComparison.asked_by)).all() == [maker.id]
    assert sign_in(operator).get("/offset-messages/").status_code in (302, 403, 404)
