"""The rules are tested in English, even after another test has opened the application."""

from __future__ import annotations

import pytest
from flask_babel import force_locale


@pytest.fixture(autouse=True)
def _in_english():
    """Messages are matched by msgid; the catalogue has its own test."""
    with force_locale("en"):
        yield
