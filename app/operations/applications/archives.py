"""Checks of uploaded files: safe names, and sane zip archives (XLSX, DOCX, OFD)."""

from __future__ import annotations

import io
import unicodedata
import zipfile
import zlib

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError
from app.domain.texts import is_hidden

LONGEST_NAME = 200
MOST_PARTS = 2_000
MOST_BYTES = 100 * 1024 * 1024  # unpacked, all parts together
BOMB_RATIO = 200  # above the compression of real documents
BOMB_SIZE = 5 * 1024 * 1024
# zipfile's exceptions for a damaged archive or part.
BROKEN_PARTS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError)


def clean_name(name: str) -> str:
    """Return a file's name without path and hidden characters, shortened, with its extension."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    # A right-to-left mark would let exe.pdf read as fdp.exe.
    name = "".join(each for each in name if not is_hidden(each))
    name = name.strip(" .")
    if len(name) > LONGEST_NAME:
        ending = ending_of(name)[-20:]
        name = name[: LONGEST_NAME - len(ending)] + ending
    return name


def ending_of(name: str) -> str:
    """Return a name's extension in lower case, ".pdf", or ""."""
    _stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot else ""


def open_archive(content: bytes) -> zipfile.ZipFile:
    """Open a zip with sane declared sizes, which zipfile enforces on reading.

    Raises RuleError for a zip bomb, an encrypted or a damaged archive.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        parts = archive.infolist()
    except BROKEN_PARTS as error:
        raise _broken() from error
    # Of two parts of one name, programs read different ones.
    if len({part.filename.lower() for part in parts}) < len(parts):
        raise _broken()
    if any(part.flag_bits & 1 for part in parts):
        message = _("The file is protected by a password; please save it without one")
        raise RuleError(message, code="file_encrypted")
    whole = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or whole > MOST_BYTES or any(map(_is_bomb, parts)):
        message = _("The file unpacks to far more than its size; it is not accepted")
        raise RuleError(message, code="file_bomb")
    return archive


def _broken() -> RuleError:
    return RuleError(_("The file is damaged and cannot be opened"), code="file_broken")


def _is_bomb(part: zipfile.ZipInfo) -> bool:
    packed = max(part.compress_size, 1)
    return part.file_size > BOMB_SIZE and part.file_size / packed > BOMB_RATIO
