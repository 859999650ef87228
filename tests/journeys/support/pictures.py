"""Screenshots of journeys, in PICTURE_FOLDER; chosen ones in docs/pictures."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

import config

BOOK = config.ROOT / "docs" / "pictures"
IN_EVERY_WAY = (
    "home",
    "transfer-form",
    "transfer-list",
)  # The guide shows these dark and on a phone, too.
LARGEST = 120_000  # Bytes of one picture in the guide.
WIDE, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


class Album:
    """Takes screenshots where somebody wants to see them; every page is tried on a phone anyway.

    With PICTURE_FOLDER they lie there; with WRITE_PICTURES=1 those named for the guide are kept, too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keeps = os.environ.get("WRITE_PICTURES") == "1"
        self.takes = self.keeps or "PICTURE_FOLDER" in os.environ

    def take(
        self,
        page: Page,
        name: str,
        *,
        keep: bool = False,
        whole: bool = False,
        everyway: bool = False,
    ) -> None:
        """Take a screenshot; ``everyway`` adds a dark one and one on a phone."""
        self._save(page, name, keep=keep, whole=whole)
        if not everyway:
            return
        keep = keep and name in IN_EVERY_WAY
        if self.takes:
            page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
            self._save(page, f"{name}-dark", keep=keep, whole=whole)
            page.evaluate("document.documentElement.dataset.bsTheme = 'light'")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        _require_no_sideways_scroll(page, name)
        self._save(page, f"{name}-phone", keep=keep, whole=True)
        page.set_viewport_size(WIDE)  # type: ignore[arg-type]

    def _save(self, page: Page, name: str, *, keep: bool, whole: bool) -> None:
        if not self.takes:
            return
        content = page.screenshot(full_page=whole, animations="disabled", caret="hide")
        (self.folder / f"{name}.png").write_bytes(content)
        if keep and self.keeps:
            BOOK.mkdir(parents=True, exist_ok=True)
            (BOOK / f"{name}.png").write_bytes(smaller(content))


def smaller(content: bytes) -> bytes:
    """Return the picture with a palette, small enough for the guide."""
    with Image.open(BytesIO(content)) as image:
        picture = image.convert("RGB")
    for colours in (128, 64, 32, 16):
        file = BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            break
    assert file.tell() <= LARGEST, f"{file.tell()} bytes"
    return file.getvalue()


def _require_no_sideways_scroll(page: Page, name: str) -> None:
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wider <= 0, f"{name} is {wider} pixels wider than a phone"
