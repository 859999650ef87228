"""Small files of every kind that people upload, valid and malicious."""

from __future__ import annotations

import io
import zipfile

import openpyxl
from PIL import Image


def pdf(text: str = "x") -> bytes:
    """Return a minimal PDF."""
    return f"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n% {text}\n%%EOF\n".encode()


def pdf_with(
    objects: bytes = b"",
    *,
    marks: bytes = b"/Type /ObjStm",
    filters: bytes = b"",
    packed: bytes | None = None,
    before: bytes = b"",
) -> bytes:
    """Return a PDF with a stream of objects, which ``packed`` is instead where it is filtered."""
    data = objects if packed is None else packed
    body = b"".join(
        [
            b"%PDF-1.5\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n",
            b"2 0 obj << /Type /Pages /Kids [] /Count 0 >> endobj\n",
            before,
            b"5 0 obj << %s /N 1 /First 4 %s /Length %d >>\n" % (marks, filters, len(data)),
            b"stream\n" + data + b"\nendstream endobj\n",
        ]
    )
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer << /Root 1 0 R /Size 6 >>\n"
    return body + table + b"startxref\n%d\n%%%%EOF\n" % len(body)


def image(form: str = "PNG") -> bytes:
    """Return a monochrome picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "#1560c2").save(buffer, form)
    return buffer.getvalue()


def archive(**parts: bytes | str) -> bytes:
    """Return a zip; a part's name is written with _ for / and __ for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", ".").replace("_", "/"), content)
    return buffer.getvalue()


def xlsx() -> bytes:
    """Return an empty workbook."""
    buffer = io.BytesIO()
    openpyxl.Workbook().save(buffer)
    return buffer.getvalue()


def docx(**more: bytes | str) -> bytes:
    """Return the parts that identify a DOCX."""
    return _with_types("wordprocessingml.document.main+xml", word_document__xml="x", **more)


def linked(
    kind: str, target: str = "x.bin", mode: str = "", *, encoding: str = "utf-8", whole: bytes = b""
) -> bytes:
    """Return an Office file (a DOCX unless given) whose main part has one relationship."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = (
        f'<?xml version="1.0" encoding="{encoding}"?>'
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{office}/{kind}" Target="{target}"'
        + (f' TargetMode="{mode}"' if mode else "")
        + "/></Relationships>"
    )
    buffer = io.BytesIO(whole or docx())
    with zipfile.ZipFile(buffer, "a") as made:
        made.writestr("word/_rels/document.xml.rels", links.encode(encoding))
    return buffer.getvalue()


def ofd() -> bytes:
    """Return the parts that identify an OFD."""
    return archive(OFD__xml="<ofd:OFD/>")


def _with_types(main_type: str, **parts: bytes | str) -> bytes:
    buffer = io.BytesIO(archive(**parts))
    with zipfile.ZipFile(buffer, "a") as made:
        made.writestr("[Content_Types].xml", f"<Types>{main_type}</Types>")
    return buffer.getvalue()
