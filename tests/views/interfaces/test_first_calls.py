"""docs/interfaces/exchange.md: its code runs as it stands, against a server."""

from __future__ import annotations

import re
from pathlib import Path

from app.domain.moves import Bucket
from app.extensions import transaction
from tests import factories
from tests.operations.machines import asked, officers, proposed

PAGE = Path(__file__).resolve().parents[3] / "docs" / "interfaces" / "exchange.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_leads_to_the_first_transfers(app, site, permitted, cea, capsys):
    with transaction():
        factories.venue()
    make_key, get_token, transfer = BLOCKS
    page: dict[str, object] = {}
    exec(make_key.replace("https://registry.example.cn", site), page)  # noqa: S102 - our own page
    maker, checker = officers()
    factories.confirmed(asked(proposed(page["key"]), maker), checker)

    exec(get_token, page)  # noqa: S102 - our own page
    known = transfer.replace("21042301000", permitted.member_no)
    exec(known.replace("PE2021000025", cea.code), page)  # noqa: S102 - our own page

    first, second = page["results"]["transfers"]
    assert (first["state"], first["balances"]["available"]) == ("pending_settlement", 600)
    assert second["refusal"]["code"] == "member_unknown"
    assert factories.quantity(permitted, cea, Bucket.PENDING_TO_TRADING) == 100
    printed = capsys.readouterr().out
    assert "20261120-0001 pending_settlement None" in printed
    assert page["key"].thumbprint() in printed
