"""docs/interfaces/platform.md: its code runs as it stands, against a server."""

from __future__ import annotations

import re

from app.extensions import transaction
from tests import factories
from tests.operations.machines import OF_PLATFORM, asked, officers, proposed
from tests.views.interfaces.test_first_calls import PAGE as EXCHANGE_PAGE

PAGE = EXCHANGE_PAGE.with_name("platform.md")
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_page_leads_to_the_first_table(app, site, plant, capsys):
    with transaction():
        factories.venue()
    make_key, send = BLOCKS
    page: dict[str, object] = {}
    exec(make_key.replace("https://registry.example.cn", site), page)  # noqa: S102 - our own page
    maker, checker = officers()
    factories.confirmed(asked(proposed(page["key"], "MEE01", **OF_PLATFORM), maker), checker)
    known = send.replace("21042300007", plant.member_no).replace("市场通测试030207", plant.name)

    exec(known, page)  # noqa: S102 - our own page

    printed = capsys.readouterr().out
    assert f"{page['pushed']['number']} in_review 1" in printed
    assert f"{plant.name} 2号机组 1790 1789" in printed
    assert page["key"].thumbprint() in printed


def test_every_address_of_the_page_is_served(app):
    served = {rule.rule for rule in app.url_map.iter_rules()}
    named = re.findall(r"`(?:GET|POST) (/tables[^`?]*)", TEXT)
    assert len(named) >= 4
    for each in named:
        address = each.replace("{", "<").replace("}", ">")
        assert f"/api/platform/v1{address}" in served, each
