"""The public addresses of the authority, asked by openssl over HTTP."""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from werkzeug.serving import WSGIRequestHandler, make_server

from app.extensions import transaction
from app.operations.people import certificates
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import account, member
from tests.signing import authority_folder, certified, signing

__all__ = ["authority_folder", "signing"]

VISITOR = Actor(member_id=None, member_no="", name="")


@pytest.fixture
def certificate(app, signing):
    """A certificate of an enterprise's operator."""
    return certified(member(of=account()))


@pytest.fixture
def address(app):
    """The address on which the application listens."""

    class Quiet(WSGIRequestHandler):
        def log(self, *_):
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_openssl_verifies_with_what_anybody_can_fetch(
    app, client, certificate, address, tmp_path, signing
):
    officer = Actor.of(member("registry_maker"))

    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout + done.stderr

    def asked():
        with transaction():
            certificates.publish_crl(SYSTEM, now=datetime.now(UTC))
        (tmp_path / "crl.der").write_bytes(client.get("/ca/issuing.crl").data)
        openssl("crl", "-inform", "DER", "-in", "crl.der", "-out", "crl.pem")
        by_list = openssl("verify", "-crl_check", "-CAfile", "root.pem", "-untrusted",
                          "chain.pem", "-CRLfile", "crl.pem", "leaf.pem")  # fmt: skip
        by_ocsp = openssl("ocsp", "-issuer", "chain.pem", "-cert", "leaf.pem", "-url",
                          f"{address}/ca/ocsp", "-CAfile", "chain.pem")  # fmt: skip
        assert "Response verify OK" in by_ocsp
        assert "WARNING" not in by_ocsp
        return by_list, by_ocsp

    (tmp_path / "chain.pem").write_bytes(client.get("/ca/issuing.pem").data)
    (tmp_path / "root.pem").write_bytes((signing / "root.pem").read_bytes())
    leaf = x509.load_der_x509_certificate(certificate.der)
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))

    by_list, by_ocsp = asked()
    assert "leaf.pem: OK" in by_list
    assert "leaf.pem: good" in by_ocsp
    with transaction():
        certificates.suspend(certificate.id, officer, now=datetime.now(UTC))
    by_list, by_ocsp = asked()
    assert "certificate revoked" in by_list
    assert "certificateHold" in by_ocsp
    with transaction():
        certificates.resume(certificate.id, officer, now=datetime.now(UTC))
    by_list, by_ocsp = asked()
    assert "leaf.pem: OK" in by_list
    assert "leaf.pem: good" in by_ocsp
    with transaction():
        certificates.revoke(certificate.id, "keyCompromise", officer, now=datetime.now(UTC))
    by_list, by_ocsp = asked()
    assert "certificate revoked" in by_list
    assert "keyCompromise" in by_ocsp


def test_a_certificate_names_the_addresses(certificate):
    found = x509.load_der_x509_certificate(certificate.der).extensions
    (point,) = found.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name[0].value == "http://127.0.0.1/ca/issuing.crl"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage", ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
        (b"", ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
    ],
)
def test_nonsense_gets_an_answer_of_the_protocol(client, signing, data, status):
    response = client.post("/ca/ocsp", data=data, content_type="application/ocsp-request")
    assert response.status_code == 200
    assert ocsp.load_der_ocsp_response(response.data).response_status is status


def test_other_content_and_other_sizes_are_refused(client, signing):
    assert client.post("/ca/ocsp", data=b"x", content_type="text/plain").status_code == 415
    too_much = client.post("/ca/ocsp", data=b"x" * 9000, content_type="application/ocsp-request")
    assert too_much.status_code == 413
    assert client.get("/ca/ocsp").status_code == 405


def test_without_the_signing_process_ocsp_says_later(app, client, tmp_path, monkeypatch):
    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path))
    response = client.post("/ca/ocsp", data=b"x", content_type="application/ocsp-request")
    found = ocsp.load_der_ocsp_response(response.data).response_status
    assert found is ocsp.OCSPResponseStatus.TRY_LATER
    assert client.get("/ca/issuing.pem").status_code == 404
    assert client.get("/ca/issuing.crl").status_code == 404


def with_certificates(app):
    """Return the settings of a registry whose members have certificates."""
    return replace(app.config["SETTINGS"], cert_login="agent")


def test_the_list_is_published_by_command_and_by_the_worker(app, signing):
    from app.worker import publish_crl

    runner = app.test_cli_runner()
    (first,) = map(int, re.findall(r"[0-9]+", runner.invoke(args=["publish-crl"]).output))
    publish_crl(with_certificates(app))  # Not due yet.
    assert f"第 {first + 1} 号" in runner.invoke(args=["publish-crl"]).output


def test_without_the_signing_process_the_worker_goes_on(app, tmp_path, monkeypatch, caplog):
    from app.worker import publish_crl

    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path))
    publish_crl(app.config["SETTINGS"])  # Nobody has a certificate.
    assert caplog.text == ""
    publish_crl(with_certificates(app))
    assert "signer_absent" in caplog.text
    done = app.test_cli_runner().invoke(args=["publish-crl"])
    assert done.exit_code == 1
