"""The pages, one file a chapter of the manual; this is their catalogue and the order of the menus."""

from __future__ import annotations

from typing import Any


def register(builder: Any) -> None:
    """Add every page, with the manual's menus in the manual's order."""
