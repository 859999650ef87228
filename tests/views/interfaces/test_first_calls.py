"""docs/interfaces/exchange.md: its code runs as it stands, against a server."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.domain.moves import Bucket
from app.extensions import transaction
from tests import factories
from tests.operations.machines import asked, officers, proposed

PAGE = Path(__file__).resolve().parents[3] / "docs" / "interfaces" / "exchange.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def site(app, monkeypatch):
    """The address of a server of this application."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(app.config, "SITE_URL", address)
    yield address
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


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
