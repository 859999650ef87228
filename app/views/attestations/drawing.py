"""证明 as PDF: an A4 page with frame, facts, table, seal and QR code; the same bytes for the same facts."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics import renderPDF
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Spacer, Table

from app.domain.trading_day import BEIJING
from app.models.attestation import Attestation
from app.operations.compliance.attestations import CANCELLATION, shown_code
from app.views.attestations.paper import (
    BOLD,
    GOLD,
    GREEN,
    INK,
    ISSUER,
    PALE,
    RED,
    REGULAR,
    SOFT,
    SYSTEM,
    prepare,
    style,
    with_rare_font,
)

TITLES = {CANCELLATION: "自愿注销证明", "compliance": "履约证明"}
WIDTH, HEIGHT = A4
MARGIN, FOOT = 74, 208  # points: side margins, and the bottom margin


def draw(attestation: Attestation, check_url: str) -> bytes:
    """Return the PDF; ``check_url`` is encoded in the QR code."""
    prepare(_texts(attestation.content), TITLES[attestation.kind])
    pages = _build(attestation, check_url, pages=0)[1]
    return _build(attestation, check_url, pages=pages)[0]


def _texts(content: dict[str, Any]) -> list[str]:
    """Return the free texts of a certificate."""
    lines = [line["name"] for line in content["lines"]]
    documents = [each["document_no"] for each in content.get("commissions", ())]
    return [content["name"], content.get("reason") or "", *lines, *documents]


def _build(attestation: Attestation, check_url: str, pages: int) -> tuple[bytes, int]:
    buffer = io.BytesIO()
    title = TITLES[attestation.kind]
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        invariant=1,
        title=f"{title} {attestation.number}",
        author=ISSUER,
        subject=SYSTEM,
        creator=SYSTEM,
    )
    frame = Frame(MARGIN, FOOT, WIDTH - 2 * MARGIN, HEIGHT - FOOT - 206, 0, 0, 0, 0)
    paint = partial(_paint, attestation=attestation, check_url=check_url, pages=pages)
    stamp = partial(_paint_lapsed, attestation=attestation)
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=paint, onPageEnd=stamp))
    document.build(_story(attestation))
    return buffer.getvalue(), document.page


# Content ----------------------------------------------------------------------------------------


def _story(attestation: Attestation) -> list[Any]:
    facts = attestation.content
    body = style(12, 23, firstLineIndent=24)
    words = _cancelled if attestation.kind == CANCELLATION else _complied
    story = [Paragraph(words(facts), body), Spacer(1, 12), _lines(facts)]
    if facts.get("reason"):
        reason = f"注销原因：{with_rare_font(facts['reason'])}".replace("\n", "<br/>")
        story += [Spacer(1, 12), Paragraph(reason, style(11, 19))]
    return story


def _holder(facts: dict[str, Any]) -> str:
    uscc = f"统一社会信用代码 {escape(facts['uscc'])}，" if facts.get("uscc") else ""
    name = f'<font name="{BOLD}">{with_rare_font(facts["name"])}</font>'
    return f"{name}（{uscc}会员编号 {escape(facts['member_no'])}）"


def _tonnes(quantity: int) -> str:
    return f'<font name="{BOLD}">{quantity:,}</font> 吨二氧化碳当量'


def _cancelled(facts: dict[str, Any]) -> str:
    return (
        f"兹证明：{_holder(facts)}于{_day(facts['effective_at'])}在{SYSTEM}自愿注销下列标的，"
        f"共计 {_tonnes(facts['total'])}。所注销的标的已永久退出流通，不再用于交易、清缴或其他用途。"
    )


def _complied(facts: dict[str, Any]) -> str:
    return (
        f"兹证明：{_holder(facts)}{facts['year']}年度应履约量 {_tonnes(facts['obligation'])}，"
        f"截至{_day(facts['effective_at'])}已在{SYSTEM}清缴下列标的，共计 {_tonnes(facts['total'])}，"
        f"{_commissioned(facts)}该年度碳排放配额清缴义务已履行完毕。"
    )


def _commissioned(facts: dict[str, Any]) -> str:
    """Say what was surrendered by commission of the authority, as its year calls it (N44)."""
    parts = [
        f"{each['quantity']:,} 吨由注册登记机构受省级主管部门委托清缴"
        f"（{with_rare_font('，'.join(filter(None, (each.get('title'), each['document_no']))))}）"
        for each in facts.get("commissions", ())
    ]
    return f"其中{'、'.join(parts)}，" if parts else ""


def _day(moment: str | datetime) -> str:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    at = at.astimezone(BEIJING)
    return f"{at.year}年{at.month}月{at.day}日"


def _lines(facts: dict[str, Any]) -> Table:
    head = style(10.5, 15, fontName=BOLD, textColor=white)
    cell, number = style(10.5, 15), style(10.5, 15, alignment=TA_RIGHT)
    total = style(10.5, 15, fontName=BOLD, alignment=TA_RIGHT)
    rows = [
        [Paragraph(each, head) for each in ("序号", "标的编码", "标的名称", "年度")]
        + [
            Paragraph(
                "数量（吨）", style(10.5, 15, fontName=BOLD, textColor=white, alignment=TA_RIGHT)
            )
        ]
    ]
    for place, line in enumerate(facts["lines"], start=1):
        texts = (str(place), line["code"], line["name"], str(line["vintage"]))
        rows.append(
            [Paragraph(with_rare_font(each), cell) for each in texts]
            + [Paragraph(f"{line['quantity']:,}", number)]
        )
    rows.append(
        [
            Paragraph("合计", style(10.5, 15, fontName=BOLD)),
            "",
            "",
            "",
            Paragraph(f"{facts['total']:,}", total),
        ]
    )
    table = Table(rows, colWidths=[34, 98, 175, 40, 100], repeatRows=1)
    table.setStyle(_table_look(len(rows)))
    return table


def _table_look(count: int) -> Sequence[tuple[Any, ...]]:
    return [
        ("BACKGROUND", (0, 0), (-1, 0), GREEN),
        ("BACKGROUND", (0, count - 1), (-1, count - 1), PALE),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, HexColor("#bcd3cc")),
        ("LINEBELOW", (0, count - 1), (-1, count - 1), 1, GREEN),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("SPAN", (0, count - 1), (3, count - 1)),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
        ("LEFTPADDING", (0, 0), (-1, -1), 6),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ]


# Every page -----------------------------------------------------------------------------------


def _paint(
    canvas: Any, document: Any, *, attestation: Attestation, check_url: str, pages: int
) -> None:
    canvas.saveState()
    _paint_ground(canvas)
    _paint_head(canvas, attestation)
    _paint_check(canvas, attestation, check_url)
    _paint_issuer(canvas, attestation)
    if pages > 1:
        canvas.setFont(REGULAR, 8.5)
        canvas.setFillColor(SOFT)
        canvas.drawCentredString(WIDTH / 2, 50, f"第 {document.page} 页，共 {pages} 页")
    canvas.restoreState()


def _paint_lapsed(canvas: Any, _document: Any, *, attestation: Attestation) -> None:
    """Print 已失效 and the day across a page where the certificate has lapsed."""
    if attestation.lapsed_at is None:
        return
    canvas.saveState()
    canvas.translate(WIDTH / 2, HEIGHT / 2 + 20)
    canvas.rotate(24)
    canvas.setFillColor(RED)
    canvas.setStrokeColor(RED)
    canvas.setFillAlpha(0.55)
    canvas.setStrokeAlpha(0.55)
    canvas.setLineWidth(3)
    canvas.roundRect(-150, -42, 300, 118, 10)
    canvas.setFont(BOLD, 64)
    canvas.drawCentredString(0, 8, "已失效", charSpace=10)
    canvas.setFont(BOLD, 15)
    canvas.drawCentredString(0, -26, f"自{_day(attestation.lapsed_at)}起不再有效")
    canvas.restoreState()


def _paint_ground(canvas: Any) -> None:
    """Draw a guilloche and the double frame with its corners."""
    canvas.setLineWidth(0.35)
    canvas.setStrokeColor(HexColor("#e3eeea"))
    for row in range(34):
        path = canvas.beginPath()
        path.moveTo(40, 60 + row * 22)
        for step in range(1, 104):
            x = 40 + step * 5
            path.lineTo(x, 60 + row * 22 + 7 * math.sin(x / 38 + row * 0.55))
        canvas.drawPath(path)
    canvas.setStrokeColor(GREEN)
    canvas.setLineWidth(2.4)
    canvas.rect(30, 30, WIDTH - 60, HEIGHT - 60)
    canvas.setLineWidth(0.7)
    canvas.setStrokeColor(GOLD)
    canvas.rect(37, 37, WIDTH - 74, HEIGHT - 74)
    for x, y, across, up in (
        (37, 37, 1, 1), (WIDTH - 37, 37, -1, 1),
        (37, HEIGHT - 37, 1, -1), (WIDTH - 37, HEIGHT - 37, -1, -1),
    ):  # fmt: skip
        for size in (10, 18, 26):
            path = canvas.beginPath()
            path.moveTo(x, y + up * size)
            path.lineTo(x + across * size, y + up * size)
            path.lineTo(x + across * size, y)
            canvas.drawPath(path)


def _paint_head(canvas: Any, attestation: Attestation) -> None:
    middle = WIDTH / 2
    canvas.setFillColor(GREEN)
    canvas.setFont(REGULAR, 13)
    canvas.drawCentredString(middle, HEIGHT - 92, SYSTEM, charSpace=2)
    canvas.setFont(BOLD, 34)
    canvas.drawCentredString(middle, HEIGHT - 143, TITLES[attestation.kind], charSpace=8)
    canvas.setStrokeColor(GOLD)
    canvas.setLineWidth(1)
    for side in (-1, 1):
        canvas.line(middle + side * 12, HEIGHT - 160, middle + side * 120, HEIGHT - 160)
    canvas.saveState()
    canvas.translate(middle, HEIGHT - 160)
    canvas.rotate(45)
    canvas.setFillColor(GOLD)
    canvas.rect(-3, -3, 6, 6, stroke=0, fill=1)
    canvas.restoreState()
    canvas.setFillColor(SOFT)
    canvas.setFont(REGULAR, 10.5)
    facts = attestation.content
    label = "申请编号" if attestation.kind == CANCELLATION else "履约通知书编号"
    source = facts.get("application") or facts.get("notice")
    numbers = f"证明编号：{attestation.number}　　{label}：{source}"
    canvas.drawCentredString(middle, HEIGHT - 184, numbers)


def _paint_check(canvas: Any, attestation: Attestation, check_url: str) -> None:
    """Draw the QR code of the check page, and the code in text."""
    side = 84
    widget = QrCodeWidget(check_url, barLevel="M", barBorder=2)
    x0, y0, x1, y1 = widget.getBounds()
    drawing = Drawing(side, side, transform=[side / (x1 - x0), 0, 0, side / (y1 - y0), 0, 0])
    drawing.add(widget)
    canvas.setFillColor(white)
    canvas.rect(MARGIN, 92, side, side, stroke=0, fill=1)
    renderPDF.draw(drawing, canvas, MARGIN, 92)
    canvas.setFillColor(SOFT)
    canvas.setFont(REGULAR, 9)
    canvas.drawString(MARGIN + side + 12, 160, "校验码")
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 11)
    canvas.drawString(MARGIN + side + 12, 142, shown_code(attestation.code))
    canvas.setFillColor(SOFT)
    canvas.setFont(REGULAR, 8.5)
    canvas.drawString(MARGIN + side + 12, 122, "扫描二维码，或在查验页面输入校验码，")
    canvas.drawString(MARGIN + side + 12, 109, "核对本证明所载内容。")
    page = check_url.rpartition("/")[0]
    canvas.drawString(MARGIN, 76, page if len(page) < 70 else page[:68] + "…")


def _paint_issuer(canvas: Any, attestation: Attestation) -> None:
    right = WIDTH - MARGIN
    _paint_seal(canvas, right - 66, 148, 48)
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 12)
    canvas.drawRightString(right, 134, ISSUER)
    canvas.setFont(REGULAR, 11)
    canvas.drawRightString(right, 112, _day(attestation.issued_at))


def _paint_seal(canvas: Any, x: float, y: float, radius: float) -> None:
    """Draw a round frame that says it is an electronic attestation: no seal of an authority."""
    words = "电子证明·凭校验码核验"
    canvas.saveState()
    canvas.setStrokeColor(RED)
    canvas.setFillColor(RED)
    canvas.setStrokeAlpha(0.5)
    canvas.setFillAlpha(0.5)
    canvas.setLineWidth(2)
    canvas.circle(x, y, radius)
    canvas.setLineWidth(0.6)
    canvas.circle(x, y, radius - 4)
    canvas.setFont(BOLD, 9)
    for place, character in enumerate(words):
        angle = math.radians(188 - place * 196 / (len(words) - 1))
        canvas.saveState()
        canvas.translate(x + (radius - 14) * math.cos(angle), y + (radius - 14) * math.sin(angle))
        canvas.rotate(math.degrees(angle) - 90)
        canvas.drawCentredString(0, 0, character)
        canvas.restoreState()
    canvas.restoreState()
