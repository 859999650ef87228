"""docs/interfaces/member.md: its code runs as it stands, against a server."""

from __future__ import annotations

import json
import re

from app.extensions import transaction
from app.operations.people import credentials
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.operations.machines import ENDS_ON
from tests.views.interfaces.test_first_calls import PAGE as EXCHANGE_PAGE

PAGE = EXCHANGE_PAGE.with_name("member.md")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_leads_to_the_first_answer(app, site, operator, plant, cea, capsys):
    make_key, read = BLOCKS
    page: dict[str, object] = {}
    exec(make_key.replace("https://registry.example.cn", site), page)  # noqa: S102 - our own page
    typed = capsys.readouterr().out
    actor = Actor.of(operator)
    values = credentials.content("碳管理系统", typed, ["holdings:read"], ENDS_ON)
    with transaction():
        code = credentials.issue(values, actor, None, now=clock.now())

    exec(read.replace("M00000001", code), page)  # noqa: S102 - our own page

    assert [each["available"] for each in page["holdings"]] == [700]
    printed = capsys.readouterr().out
    assert plant.member_no in printed
    assert f"{cea.code} 700 700 2026-11-20T10:" in printed
    assert json.loads(typed)["kid"] == "carbon-2026"


def test_every_address_of_the_page_is_served(app):
    text = PAGE.read_text(encoding="utf-8")
    served = {rule.rule for rule in app.url_map.iter_rules()}
    named = re.findall(r"`(?:GET )?(/(?:me|holdings|statements|notices|applications)[^`?]*)", text)
    assert len(named) >= 10
    for each in named:
        address = each.replace("{", "<").replace("}", ">")
        assert f"/api/member/v1{address}" in served, each
