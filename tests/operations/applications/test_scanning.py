"""The virus scan, against a small server that speaks clamd's protocol."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator

import pytest

from app.domain.errors import RuleError
from app.operations.applications import attachments, scanning
from tests import files

VIRUS = b"EICAR"
STREAM_MAX = 1_000_000  # bytes, as clamd's StreamMaxLength


class _Clamd(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.server.is_silent:
            self.rfile.read()
            return
        assert self.rfile.read(10) == b"zINSTREAM\0"
        content = b""
        while size := struct.unpack("!L", self.rfile.read(4))[0]:
            content += self.rfile.read(size)
            if len(content) > STREAM_MAX:
                self.wfile.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.server.seen.append(content)
        is_ill = VIRUS in content
        self.wfile.write(b"stream: Win.Test.EICAR_HDB-1 FOUND\0" if is_ill else b"stream: OK\0")


@pytest.fixture(params=["unix", "tcp"])
def clamd(request, app, monkeypatch, tmp_path_factory) -> Iterator[socketserver.BaseServer]:
    """A server; its address is in the configuration."""
    if request.param == "unix":
        address = str(tmp_path_factory.mktemp("c") / "clamd.ctl")
        server: socketserver.BaseServer = socketserver.ThreadingUnixStreamServer(address, _Clamd)
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Clamd)
        address = f"127.0.0.1:{server.server_address[1]}"
    server.seen, server.is_silent = [], False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    monkeypatch.setitem(app.config, "CLAMD_ADDRESS", address)
    yield server
    server.shutdown()
    server.server_close()


def refused(content: bytes) -> str:
    with pytest.raises(RuleError) as refusal:
        attachments.look_at("说明.pdf", content)
    assert refusal.value.field == "attachments"
    assert str(refusal.value).startswith("说明.pdf: ")
    return refusal.value.code


def test_a_clean_file_is_scanned_whole_and_accepted(clamd):
    content = files.pdf("x" * 600_000)  # more than one piece
    assert attachments.look_at("说明.pdf", content).content == content
    assert clamd.seen == [content]


def test_a_virus_is_refused_by_its_name(clamd):
    assert refused(files.pdf(VIRUS.decode())) == "file_virus"
    with pytest.raises(RuleError, match="EICAR_HDB-1"):
        scanning.scan(VIRUS)


def test_a_file_beyond_clamd_s_own_limit_has_no_verdict(clamd):
    assert refused(files.pdf("x" * 5_000_000)) == "scan_unavailable"


def test_a_clamd_that_does_not_answer_is_a_refusal(clamd, monkeypatch):
    monkeypatch.setattr(scanning, "WAITS", 0.2)
    clamd.is_silent = True
    assert refused(files.pdf()) == "scan_unavailable"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_an_unreachable_clamd_is_a_refusal(app, monkeypatch, tmp_path, kind):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = str(tmp_path / "none") if kind == "unix" else f"127.0.0.1:{port}"
    monkeypatch.setitem(app.config, "CLAMD_ADDRESS", address)
    assert refused(files.pdf()) == "scan_unavailable"
    with pytest.raises(RuleError, match="not available at the moment"):
        scanning.scan(b"x")


def test_without_an_address_nothing_is_scanned(app):
    assert app.config["CLAMD_ADDRESS"] == ""
    assert attachments.look_at("说明.pdf", files.pdf(VIRUS.decode()))
