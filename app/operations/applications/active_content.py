"""Active content of uploaded files: actions of PDFs; macros, links and embedded objects of Office files."""

from __future__ import annotations

import io
import logging
import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote

from flask_babel import lazy_gettext as _
from openpyxl.xml.functions import fromstring, localname
from pypdf import PdfReader, apply_configuration
from pypdf.errors import LimitReachedError, PyPdfError
from pypdf.generic import StreamObject, read_object

from app.domain.errors import RuleError
from app.operations.applications.archives import BROKEN_PARTS, MOST_BYTES

# What it finds odd about a stranger's file is not for our logs.
logging.getLogger("pypdf").setLevel(logging.ERROR)

# Actions that run, fetch or send something, and forms with scripts of their own.
_ACTIONS = (
    "JavaScript",
    "Launch",
    "GoToE",
    "ImportData",
    "SubmitForm",
    "Rendition",
    "RichMedia",
)
MOST_OBJECT_STREAMS = 5_000  # Writers put about 100 objects into each; each has two marks.
LARGEST_RELATIONSHIPS = 5 * 1024 * 1024  # bytes of one part, unpacked
LONGEST_TOLD = 100  # characters of a name or target in a message

_MACRO_PARTS = re.compile(
    r"vbaproject|/activex/|/macrosheets/|\.(exe|dll|bat|cmd|js|vbs|ps1|hta)$", re.I
)
_EMBEDDED_PARTS = re.compile(r"/(embeddings|externalLinks)/|\.piece$", re.I)
# The last part of a relationship's type is the same in ECMA-376 and in ISO 29500's strict form.
_MACRO_TYPES = {"vbaProject", "wordVbaData", "xlMacrosheet", "xlIntlMacrosheet", "control",
                "activeXControlBinary", "keyMapCustomizations", "attachedToolbars"}  # fmt: skip
_EMBEDDED_TYPES = {"oleObject", "package", "aFChunk", "subDocument", "externalLink"}
_PDF_FAULTS = (PyPdfError, NotImplementedError, ValueError, TypeError, KeyError, IndexError,
               AttributeError, AssertionError, RecursionError, OSError)  # fmt: skip


def check_pdf(content: bytes) -> None:
    """Refuse a PDF with actions, also where their names are escaped or their objects compressed.

    Raises RuleError: actions, a password, a damaged file, or one that unpacks to far more.
    """
    if b"%%EOF" not in content[-2048:]:
        raise _broken()
    if _ACTION.search(content):
        raise _has_macros()
    try:
        # Without pypdf's recovery of damaged streams, which goes byte by byte.
        with apply_configuration(zlib_maximum_recovery_input_length=0):
            for unpacked in _object_streams(content):
                if _ACTION.search(unpacked):
                    raise _has_macros()
    except LimitReachedError as error:
        is_damaged = isinstance(error.__cause__, zlib.error)
        raise (_broken() if is_damaged else _is_bomb()) from error
    except _PDF_FAULTS as error:
        raise _broken() from error


def check_office(archive: zipfile.ZipFile) -> None:
    """Refuse an Office file with macros, embedded objects, or parts that lie elsewhere.

    Links to click are accepted.  Raises RuleError, naming the part or its address.
    """
    names = {unquote(name).replace("\\", "/"): name for name in archive.namelist()}
    if any(_MACRO_PARTS.search(f"/{name}") for name in names):
        raise _has_macros()
    embedded = next((name for name in names if _EMBEDDED_PARTS.search(f"/{name}")), None)
    if embedded:
        raise _has_embedded(embedded)
    for name, stored in names.items():
        if name.lower().endswith(".rels"):
            for each in _relationships(archive, stored):
                _check_relationship(each)


# PDF ----------------------------------------------------------------------------------------


def _spelled(*names: str) -> str:
    """Return an expression for PDF names, each character written plainly or as # and its code."""
    spelled = [
        "".join(f"(?:{each}|#{ord(each):02x}|#{ord(each):02X})" for each in name) for name in names
    ]
    return f"/(?:{'|'.join(spelled)})"


_SPACE = r"[\x00\t\n\f\r ]"
_END = rf"(?={_SPACE}|[/<>\[\](){{}}%]|$)"
_ACTION = re.compile(
    # The name alone is too short: random bytes of a picture spell it, too.
    rf"{_spelled(*_ACTIONS)}{_END}|{_spelled('XFA')}{_SPACE}*(?:\[|\d+ \d+ R)".encode("latin-1")
)
# What marks an object stream: its type, or an offset in /First, which is a reference elsewhere.
_OBJECT_STREAM = re.compile(
    rf"(?P<type>{_spelled('ObjStm')}{_END})"
    rf"|{_spelled('First')}{_SPACE}+\d+(?!\d|{_SPACE}+\d+{_SPACE}+R)".encode("latin-1")
)
_OBJECT = re.compile(
    rf"obj(?<={_SPACE}obj)\b(?:{_SPACE}|%[^\r\n]*)*".encode(
        "latin-1"
    )  # literally first: it is faster
)
_IDENTITY = re.compile(rf"(\d{{1,10}}){_SPACE}+(\d{{1,5}}){_SPACE}+$".encode("latin-1"))
_ENCRYPTION = re.compile(f"{_spelled('Encrypt')}{_END}".encode("latin-1"))


def _object_streams(content: bytes) -> Iterator[bytes]:
    """Yield the unpacked object streams.

    They are looked for in the bytes, since a damaged file's table may leave out what readers find.
    Encrypted files are read if they open without a password.
    """
    places = _object_stream_places(content)
    if not places and not _ENCRYPTION.search(content):
        return
    stream = io.BytesIO(content)
    reader = PdfReader(stream)
    if reader.is_encrypted and not reader.decrypt(""):
        message = _("The file is protected by a password; please save it without one")
        raise RuleError(message, code="file_encrypted")
    unpacked = 0
    for place, is_typed in places.items():
        stream.seek(place.end())
        found: Any = read_object(stream, reader)
        if not isinstance(found, StreamObject):
            if is_typed:
                raise _broken()
            continue
        unpacked += len(found._data)  # Streams may overlap.
        if reader._encryption is not None:
            found = reader._encryption.decrypt_object(found, *_identity(content, place))
        data = found.get_data()
        unpacked += len(data)
        if unpacked > MOST_BYTES:
            raise _is_bomb()
        yield data


def _object_stream_places(content: bytes) -> dict[re.Match[bytes], bool]:
    """Return where objects begin that may be object streams, and whether they have the type."""
    found: dict[re.Match[bytes], bool] = {}
    marks = list(islice(_OBJECT_STREAM.finditer(content), 2 * MOST_OBJECT_STREAMS + 1))
    if len(marks) > 2 * MOST_OBJECT_STREAMS:
        raise _is_bomb()
    begins = _OBJECT.finditer(content) if marks else iter(())
    begin, following = None, next(begins, None)
    for mark in marks:
        while following is not None and following.start() < mark.start():
            begin, following = following, next(begins, None)
        if begin is None:
            raise _broken()
        found[begin] = found.get(begin, False) or bool(mark["type"])
    return found


def _identity(content: bytes, place: re.Match[bytes]) -> tuple[int, int]:
    """Return an object's number and generation."""
    found = _IDENTITY.search(content[max(place.start() - 40, 0) : place.start()])
    if not found:
        raise _broken()
    return int(found[1]), int(found[2])


# Office -------------------------------------------------------------------------------------


def _relationships(archive: zipfile.ZipFile, name: str) -> list[Any]:
    """Return the attributes of the relationships in a part."""
    if archive.getinfo(name).file_size > LARGEST_RELATIONSHIPS:
        raise _is_bomb()
    try:
        tree = fromstring(archive.read(name))
    except (SyntaxError, *BROKEN_PARTS) as error:
        raise _broken() from error
    return [each.attrib for each in tree.iter() if localname(each) == "Relationship"]


def _check_relationship(attributes: Any) -> None:
    kind = attributes.get("Type", "").rpartition("/")[2]
    target = attributes.get("Target", "")
    if kind in _MACRO_TYPES:
        raise _has_macros()
    is_external = attributes.get("TargetMode", "Internal") != "Internal"
    if kind == "attachedTemplate" or (is_external and kind != "hyperlink"):
        message = _(
            "it loads a template or content from %(target)s; please remove the link and save it anew",
            target=target[:LONGEST_TOLD],
        )
        raise RuleError(message, code="file_external")
    if kind in _EMBEDDED_TYPES:
        raise _has_embedded(target)


# Refusals -----------------------------------------------------------------------------------


def _has_macros() -> RuleError:
    return RuleError(_("files with macros or programs are not accepted"), code="file_macros")


def _has_embedded(name: str) -> RuleError:
    message = _(
        "it contains an embedded object or a link to another file (%(name)s); please convert it to"
        " a picture or to PDF",
        name=name[:LONGEST_TOLD],
    )
    return RuleError(message, code="file_embedded")


def _broken() -> RuleError:
    return RuleError(_("the file is damaged and cannot be opened"), code="file_broken")


def _is_bomb() -> RuleError:
    message = _("the file unpacks to far more than its size; it is not accepted")
    return RuleError(message, code="file_bomb")
