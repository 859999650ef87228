"""Reading pages: rows by their headings, messages, files."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pypdf
from playwright.sync_api import Locator, Page

BOM = b"\xef\xbb\xbf"


def rows(page: Page, table: str = "#list-table") -> list[dict[str, str]]:
    """Return the table's rows as {heading: text}."""
    page.wait_for_load_state()  # Before its styles are there, a heading shows what only readers hear.
    found = page.locator(table)
    headings = [_bare(text) for text in found.locator("thead th").all_inner_texts()]
    return [
        dict(
            zip(
                headings,
                [text.strip() for text in row.locator("td").all_inner_texts()],
                strict=True,
            )
        )
        for row in found.locator("tbody tr").all()
    ]


def row_with(page: Page, text: str, table: str = "#list-table") -> dict[str, str]:
    """Return the only row that contains a text, once it is there."""
    line_of(page, text, table).first.wait_for()
    (row,) = [row for row in rows(page, table) if text in row.values()]
    return row


def line_of(page: Page, text: str, table: str = "#list-table") -> Locator:
    """Return the locator of the only row that contains a text."""
    return page.locator(f"{table} tbody tr").filter(has_text=text)


def message(page: Page) -> str:
    """Wait for the messages above the content, and return them."""
    shown = page.locator("main .message-body, .sign-box .message-body")
    shown.first.wait_for()
    return "\n".join(shown.all_inner_texts())


def menu(page: Page) -> list[str]:
    """Return the entries of the menu, groups first."""
    texts = page.locator("#menu summary, #menu .menu-link").all_inner_texts()
    return [text.strip() for text in texts]


def open_from_menu(page: Page, entry: str) -> None:
    """Click an entry of the left menu."""
    page.locator("#menu").get_by_role("link", name=entry, exact=True).click()
    page.get_by_role("heading", level=1, name=entry).wait_for()
    page.wait_for_load_state()  # Before its scripts have run, a choice in a list changes nothing.


def download(page: Page, folder: Path) -> list[dict[str, str]]:
    """Press 导出 CSV and return the file's rows by its header."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name="导出 CSV").click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert re.fullmatch(r"[\u4e00-\u9fff]+_\d{8}_\d{6}\.csv", file.name)
    content = file.read_bytes()
    assert content.startswith(BOM)
    return list(csv.DictReader(io.StringIO(content[len(BOM) :].decode())))


def certificate_code(page: Page, number: str) -> str:
    """Download a notice's 履约证明, and read from it the code by which anybody checks it."""
    with page.expect_download() as waiting:
        line_of(page, number).locator("a, button").filter(has_text="履约证明").click()
    assert waiting.value.suggested_filename.endswith(".pdf")
    (sheet,) = pypdf.PdfReader(waiting.value.path()).pages
    (code,) = re.findall(r"\b[2-9A-Z]{4}(?:-[2-9A-Z]{4}){3}\b", sheet.extract_text())
    return code


def _bare(heading: str) -> str:
    """Return a heading without its unit, which stands beneath it or in brackets."""
    return re.split(r"[\n（]", heading.strip())[0].strip()
