"""Small files of every kind that people upload, valid and malicious."""

from __future__ import annotations

import io
import zipfile

import openpyxl
from PIL import Image


def pdf(text: str = "x") -> bytes:
    """Return a minimal PDF."""
    return f"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n% {text}\n%%EOF\n".encode()


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


def ofd() -> bytes:
    """Return the parts that identify an OFD."""
    return archive(OFD__xml="<ofd:OFD/>")


def _with_types(main_type: str, **parts: bytes | str) -> bytes:
    buffer = io.BytesIO(archive(**parts))
    with zipfile.ZipFile(buffer, "a") as made:
        made.writestr("[Content_Types].xml", f"<Types>{main_type}</Types>")
    return buffer.getvalue()
