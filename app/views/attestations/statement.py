"""Statements (结算单, 结转单) as PDF: facts and tables on A4 across, in the look of the registry's papers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from app.views.attestations.paper import (
    BOLD,
    GREEN,
    ISSUER,
    PALE,
    REGULAR,
    SOFT,
    SYSTEM,
    prepare,
    style,
    with_rare_font,
)

WIDTH, HEIGHT = landscape(A4)
MARGIN, FOOT, HEAD = 40, 44, 78  # points
_NUMBERS = ("number", "money")
_WEIGHTS = {"code": 1.5, "text": 1.1, "datetime": 1.6, "number": 1.0, "money": 1.25, "status": 0.9}
_LINE = HexColor("#bcd3cc")
_Facts = Sequence[tuple[Any, ...]]
_Tables = Sequence[Mapping[str, Any]]


def draw(title: str, number: str, facts: _Facts, tables: _Tables, notes: Sequence[str]) -> bytes:
    """Return the PDF; facts are (label, text, kind, unit), tables as parts/cells.html has them."""
    names = [str(fact[1]) for fact in facts]
    cells = [str(cell) for table in tables for row in table["rows"] for cell in row]
    prepare([*names, *cells], title)
    pages = _build(title, number, facts, tables, notes, pages=0)[1]
    return _build(title, number, facts, tables, notes, pages=pages)[0]


def _build(
    title: str, number: str, facts: _Facts, tables: _Tables, notes: Sequence[str], *, pages: int
) -> tuple[bytes, int]:
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=(WIDTH, HEIGHT),
        invariant=1,
        title=f"{title} {number}",
        author=ISSUER,
        subject=SYSTEM,
        creator=SYSTEM,
    )
    frame = Frame(MARGIN, FOOT, WIDTH - 2 * MARGIN, HEIGHT - FOOT - HEAD, 0, 0, 0, 0)
    paint = partial(_paint, title=title, number=number, pages=pages)
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=paint))
    document.build(_story(facts, tables, notes))
    return buffer.getvalue(), document.page


def _paint(canvas: Any, document: Any, *, title: str, number: str, pages: int) -> None:
    canvas.saveState()
    canvas.setFillColor(GREEN)
    canvas.setFont(REGULAR, 10)
    canvas.drawString(MARGIN, HEIGHT - 40, SYSTEM)
    canvas.setFont(BOLD, 20)
    canvas.drawCentredString(WIDTH / 2, HEIGHT - 46, title, charSpace=8)
    canvas.setFillColor(SOFT)
    canvas.setFont(REGULAR, 10)
    canvas.drawRightString(WIDTH - MARGIN, HEIGHT - 40, f"编号：{number}")
    canvas.setStrokeColor(GREEN)
    canvas.setLineWidth(1.2)
    canvas.line(MARGIN, HEIGHT - 60, WIDTH - MARGIN, HEIGHT - 60)
    canvas.setFont(REGULAR, 8.5)
    canvas.drawString(MARGIN, 26, ISSUER)
    page = f"第 {document.page} 页，共 {pages} 页"
    canvas.drawRightString(WIDTH - MARGIN, 26, page)
    canvas.restoreState()


def _story(facts: _Facts, tables: _Tables, notes: Sequence[str]) -> list[Flowable]:
    story: list[Flowable] = [_fact_table(facts)]
    for table in tables:
        heading = Paragraph(with_rare_font(table["title"]), style(11, 16, fontName=BOLD))
        story += [Spacer(1, 10), heading, Spacer(1, 3), _table(table)]
    story.append(Spacer(1, 10))
    story += [Paragraph(with_rare_font(note), style(8.5, 13, textColor=SOFT)) for note in notes]
    return story


def _fact_table(facts: _Facts) -> Table:
    label, text = style(8.5, 12, textColor=SOFT), style(9.5, 12)
    cells = []
    for fact in facts:
        unit = f" {fact[3]}" if fact[3] else ""
        cells += [Paragraph(fact[0], label), Paragraph(with_rare_font(f"{fact[1]}{unit}"), text)]
    cells += [""] * (-len(cells) % 6)
    rows = [cells[place : place + 6] for place in range(0, len(cells), 6)]
    wide = WIDTH - 2 * MARGIN
    table = Table(rows, colWidths=[wide * share for share in (0.1, 0.235, 0.1, 0.235, 0.1, 0.23)])
    table.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return table


def _table(table: Mapping[str, Any]) -> Table:
    columns = table["columns"]
    kinds = [column["kind"] for column in columns]
    rows: list[list[Any]] = [
        [
            Paragraph(
                _heading(column),
                style(8, 11, fontName=BOLD, textColor=white, **_aligned(column["kind"])),
            )
            for column in columns
        ]
    ]
    rows += [
        [
            Paragraph(with_rare_font(_text(cell, kind)), style(8, 11, **_aligned(kind)))
            for cell, kind in zip(row, kinds, strict=True)
        ]
        for row in table["rows"]
    ]
    weights = [_WEIGHTS[kind] for kind in kinds]
    wide = WIDTH - 2 * MARGIN
    drawn = Table(
        rows, colWidths=[wide * weight / sum(weights) for weight in weights], repeatRows=1
    )
    drawn.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, 0), GREEN),
            ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, PALE]),
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, _LINE),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ]
    )
    return drawn


def _heading(column: Mapping[str, Any]) -> str:
    return f"{column['label']}（{column['unit']}）" if column["unit"] else str(column["label"])


def _aligned(kind: str) -> dict[str, Any]:
    return {"alignment": TA_RIGHT} if kind in _NUMBERS else {}


def _text(cell: Any, kind: str) -> str:
    if kind == "status":
        return str(cell["label"])
    return f"{cell:,}" if kind == "number" else str(cell)
