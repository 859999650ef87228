"""docs/permissions.md says what the pages say."""

from __future__ import annotations

from app.models import encrypted
from tools.permissions import TARGET, written


def test_the_written_sheet_is_the_pages_own(app):
    keys = encrypted.keys()
    try:
        text = written()
    finally:
        encrypted.set_keys(lambda: keys)  # The tool's own application has others.
    assert TARGET.exists(), "run tools/permissions.py"
    assert TARGET.read_text(encoding="utf-8") == text, "run tools/permissions.py"
