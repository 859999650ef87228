"""资金差异: what banks' files and balances show and the books do not."""

from __future__ import annotations

import re

from sqlalchemy import select

from app.extensions import db
from app.models import Application
from tests.views.toys import table


def test_the_registry_sees_them_and_resolves_one(world, sign_in):
    browser = sign_in(world.officers["registry_maker"])
    page = browser.get("/money/differences/").text
    rows = table(page)
    assert [row[4] for row in rows] == ["9900002", "9900001"]
    assert {row[6] for row in rows} == {"123.45"}
    assert {row[9] for row in rows} == {"没有该流水"}
    address = re.search(r"/money/difference-resolutions/new\?difference=\d+", page)
    assert address is not None
    form = browser.get(address[0]).text
    assert "2026-11-18" in form
    answer = browser.post(address[0], data={"reason": "银行已更正", "submit": "1"})
    assert answer.status_code in (200, 302)
    newest = select(Application).where(Application.kind == "bank_difference")
    made = db.session.scalars(newest.order_by(Application.id.desc())).first()
    assert made is not None
    assert made.proposal["bank_serial"] == "9900002"
    shown = browser.get(f"/money/difference-resolutions/{made.id}").text
    assert "9900002" in shown
    assert "123.45" in shown


def test_others_see_none(world, sign_in):
    for role in ("enterprise", "province", "system_admin"):
        assert sign_in(world.member_of(role)).get("/money/differences/").status_code == 403, role
    assert (
        sign_in(world.officers["auditor"]).get("/money/differences/export.csv").status_code == 200
    )
