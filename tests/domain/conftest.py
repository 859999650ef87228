"""The rules speak English here, whether or not another test has opened the application."""

from __future__ import annotations

import pytest
from flask_babel import force_locale


@pytest.fixture(autouse=True)
def _in_english():
    """Messages are matched as the code writes them; the catalogue has a test of its own."""
    with force_locale("en"):
        yield
