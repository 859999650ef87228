"""Virus scan of uploads by clamd (CLAMD_ADDRESS), over its INSTREAM command."""

from __future__ import annotations

import re
import socket
import struct

from flask import current_app
from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

WAITS = 30  # seconds, for the connection and for each answer
PIECE = 256 * 1024  # bytes
LONGEST_ANSWER = 4096


def scan(content: bytes) -> None:
    """Have clamd scan a file, if one is configured.

    Raises RuleError where it finds something, and where it cannot be reached or gives no verdict.
    """
    address = current_app.config["CLAMD_ADDRESS"]
    if not address:
        return
    try:
        answer = _ask(address, content)
    except OSError as error:
        raise _no_verdict() from error
    if answer == "stream: OK":
        return
    found = re.fullmatch(r"stream: (.+) FOUND", answer)
    if not found:
        current_app.logger.warning("clamd: %.200s", answer)
        raise _no_verdict()
    message = _("the virus scan found %(name)s; the file is not accepted", name=found[1][:100])
    raise RuleError(message, code="file_virus")


def _ask(address: str, content: bytes) -> str:
    """Send a file in pieces, each with its length, and return clamd's answer."""
    with _connect(address) as line:
        line.settimeout(WAITS)
        line.sendall(b"zINSTREAM\0")
        try:
            for at in range(0, len(content), PIECE):
                piece = content[at : at + PIECE]
                line.sendall(struct.pack("!L", len(piece)) + piece)
            line.sendall(struct.pack("!L", 0))
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has answered before the end: larger than its StreamMaxLength.
        answer = b""
        while not answer.endswith(b"\0") and len(answer) < LONGEST_ANSWER:
            piece = line.recv(LONGEST_ANSWER)
            if not piece:
                break
            answer += piece
    return answer.rstrip(b"\0").decode("utf-8", "replace")


def _connect(address: str) -> socket.socket:
    if address.startswith("/"):
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.settimeout(WAITS)
            line.connect(address)
        except OSError:
            line.close()
            raise
        return line
    host, _colon, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=WAITS)


def _no_verdict() -> RuleError:
    message = _(
        "the virus scan is not available at the moment, and no file is taken without it; please try"
        " again later"
    )
    return RuleError(message, code="scan_unavailable")
