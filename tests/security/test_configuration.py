"""Deployment: gunicorn, nginx, the units, and what other users of the machine see."""

from __future__ import annotations

import http.client
import http.server
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import config
from app.embedded import free_port

DEPLOY = config.ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MOST_EXPOSED = 20  # tenths of what systemd-analyze says
# Unpacked by the set-up where it is not installed.
NGINX = shutil.which(
    "nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:{config.ROOT}/var/nginx/usr/sbin"
)


@pytest.fixture
def runner():
    """app.py, whose name the package has taken."""
    spec = importlib.util.spec_from_file_location("runner", config.ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_server_has_no_control_socket_and_trusts_no_forwarder(app, settings, runner):
    server = runner.Server(app, settings)
    assert server.cfg.settings["control_socket_disable"].get() is True
    assert server.cfg.forwarded_allow_ips == []
    assert server.cfg.address == [(settings.host, settings.port)]
    assert server.cfg.reload is False


def test_the_application_is_reached_through_its_proxy_alone():
    sample = (DEPLOY / "registry.env.sample").read_text()
    assert re.search(r"^HOST=127\.0\.0\.1$", sample, re.M)
    assert re.search(r"^TRUSTED_PROXIES=1$", sample, re.M)
    assert re.search(r"^TRUSTED_HOSTS=\S+$", sample, re.M)


def test_nginx_overwrites_what_the_application_believes():
    sample = (DEPLOY / "nginx.conf.sample").read_text()
    for header, value in {
        "Host": "$host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": "$host",
        "X-SSL-Client-Verify": "$ssl_client_verify",
        "X-SSL-Client-Cert": "$ssl_client_escaped_cert",
    }.items():
        assert re.search(rf"proxy_set_header {header} +{re.escape(value)};", sample), header
    assert "proxy_add_x_forwarded_for" not in sample  # It would keep what the visitor invented.


# Units


def of_service(unit: Path) -> list[str]:
    """Return the lines of a unit's section [Service]."""
    (section,) = re.findall(r"^\[Service\]\n(.*?)(?=^\[|\Z)", unit.read_text(), re.S | re.M)
    return section.splitlines()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_unit_is_hardened_alike_and_has_a_user(unit):
    lines = of_service(unit)
    start = next(n for n, line in enumerate(lines) if line.startswith("# 加固"))
    assert "\n".join(lines[start:]).strip() == hardening()
    before = [line.partition("=")[0] for line in lines[:start]]
    assert Counter(before)["User"] == Counter(before)["RestrictAddressFamilies"] == 1
    assert "User=root" not in lines
    loosened = {line.partition("=")[0] for line in lines[start:] if "=" in line} & set(before)
    assert loosened == set()


def hardening() -> str:
    """Return the block of the first unit, from its heading on."""
    text = "\n".join(of_service(UNITS[0]))
    block = text[text.index("# 加固") :].strip()
    assert {
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
    } <= set(block.splitlines())
    return block


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_no_unit_is_exposed():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", *UNITS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, re.findall("^→.*", done.stdout, re.M)
    assert done.stderr == ""


# The day's question


@pytest.fixture(scope="module")
def calendar(cluster) -> str:
    """The address of a database that has the calendar alone, as the application reaches it."""
    cluster.create_database("calendar")
    with cluster.connect("calendar") as connection:
        connection.execute("CREATE TABLE trading_day (day date PRIMARY KEY, is_trading boolean)")
        connection.execute("GRANT SELECT ON trading_day TO registry_app")
    return cluster.urls("calendar").app


def asked(address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEPLOY / "is-trading-day"], env={**os.environ, "DATABASE_URL": address},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(("is_trading", "code"), [(True, 0), (False, 1), (None, 255)])
def test_a_holiday_is_skipped_and_an_unknown_day_fails(cluster, calendar, is_trading, code):
    with cluster.connect("calendar") as connection:
        connection.execute("TRUNCATE trading_day")
        if is_trading is not None:
            connection.execute(
                "INSERT INTO trading_day VALUES ((now() AT TIME ZONE 'Asia/Shanghai')::date, %s)",
                [is_trading],
            )
    assert asked(calendar.replace("+psycopg", "")).returncode == code
    assert asked(calendar).returncode == code


def test_an_unreachable_calendar_is_no_holiday():
    password = secrets.token_hex(16)
    for address in (
        f"postgresql://registry_app:{password}@127.0.0.1:{free_port()}/registry",
        f"postgresql:registry_app:{password}",
        f"postgresql://registry_app:{password}@127.0.0.1:port/registry",
    ):
        done = asked(address)
        assert (done.returncode, done.stdout) == (255, "")
        assert password not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_no_process_shows_the_database_s_password():
    """The server takes the connection and says nothing, so that everything started is still there."""
    password = secrets.token_hex(16)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        address = f"127.0.0.1:{server.getsockname()[1]}/registry?sslmode=disable"
        script = subprocess.Popen(
            [DEPLOY / "is-trading-day"], stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "DATABASE_URL": f"postgresql://registry_app:{password}@{address}"},
        )  # fmt: skip
        try:
            connection, _ = server.accept()
            shown = {
                path.parent.name: path.read_bytes()
                for path in Path("/proc").glob("[0-9]*/cmdline")
                if path.exists()
            }
            connection.close()
        finally:
            os.killpg(script.pid, signal.SIGTERM)
            script.communicate(timeout=30)
    assert b"is-trading-day" in shown[str(script.pid)]
    assert [line for line in shown.values() if password.encode() in line] == []


# nginx


class Upstream(http.server.BaseHTTPRequestHandler):
    """The application's place: it answers with the headers it was sent, and exports slowly."""

    protocol_version = "HTTP/1.1"
    begun, may_end = threading.Semaphore(0), threading.Event()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/export.csv"):
            self.begun.release()
            self.may_end.wait(10)
        body = self.headers.get("X-Forwarded-For", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxied(tmp_path) -> Iterator[int]:
    """nginx with the sample, without TLS, before a server in the application's place; its port."""
    Upstream.may_end.clear()
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    with serving(tmp_path, port, upstream.server_port):
        yield port
    Upstream.may_end.set()
    upstream.shutdown()
    upstream.server_close()


def temporary(folder: Path) -> str:
    """Return the lines by which nginx keeps its temporary files in a folder."""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)


@contextmanager
def serving(folder: Path, port: int, upstream: int) -> Iterator[None]:
    sample = (DEPLOY / "nginx.conf.sample").read_text()
    limits, ours = sample[: sample.index("# 其他域名")], sample[sample.rindex("\nserver {") :]
    sample = limits.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}") + re.sub(
        r"^ *(ssl_|listen \[).*\n", "", ours, flags=re.M
    ).replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    (folder / "registry.conf").write_text(sample)
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; {temporary(folder)} include {folder}/registry.conf; }}\n"
    )
    nginx = subprocess.Popen([NGINX or "nginx", "-p", folder, "-c", folder / "nginx.conf"])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if nginx.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            threading.Event().wait(0.02)
        assert nginx.poll() is None, (folder / "error.log").read_text()
        yield
    finally:
        nginx.terminate()
        nginx.wait(20)


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Host": "registry.example.cn", "X-Forwarded-For": "203.0.113.1"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_nginx_limits_guesses_and_lets_reading_go_on(proxied):
    assert ask(proxied, "/login/") == (200, "127.0.0.1")
    for path in ("/login/", "/certificate/begin"):  # One count for both.
        answers = [ask(proxied, path, "POST", b"x") for _ in range(12)]
    assert [status for status, _ in answers] == [429] * 12
    assert "请求过多" in answers[-1][1]
    assert [ask(proxied, "/login/")[0] for _ in range(30)] == [200] * 30
    assert [ask(proxied, "/transfers/", "POST", b"x")[0] for _ in range(12)] == [200] * 12


@pytest.mark.parametrize("path", ["/verify/ABC", "/ca/issuing.crl", "/login/captcha.wav"])
def test_nginx_limits_what_is_asked_without_signing_in(proxied, path):
    assert {ask(proxied, path)[0] for _ in range(60)} == {200, 429}


def test_nginx_limits_what_is_sent(proxied):
    large = b"x" * (70 * 1024)
    for path in (
        "/login/certificate",
        "/certificate/issue",
        "/first-sign-in/",
        "/verify/",
        "/ca/ocsp",
    ):
        status, text = ask(proxied, path, "POST", large)
        assert (status, "64 KB" in text) == (413, True), path
    assert ask(proxied, "/transfers/import", "POST", large)[0] == 200


def test_nginx_refuses_machines_in_json(proxied):
    """Within a machine's burst everything is let through; above it the problem is a problem's (RFC 9457)."""
    with ThreadPoolExecutor(8) as many:
        answers = [*many.map(lambda _: ask(proxied, "/api/exchange/v1/calendar"), range(400))]
    assert [status for status, _ in answers].count(200) >= 120
    refused = next(text for status, text in answers if status == 429)
    assert json.loads(refused)["errors"][0]["code"] == "too_many_requests"
    status, text = ask(proxied, "/api/exchange/v1/packages", "POST", b"x" * (21 * 1024 * 1024))
    assert (status, json.loads(text)["status"]) in ((413, 413), (429, 429))


def test_nginx_runs_two_exports_of_an_address(proxied):
    started = [
        threading.Thread(target=ask, args=(proxied, "/holdings/export.csv")) for _ in range(2)
    ]
    for each in started:
        each.start()
    assert all(Upstream.begun.acquire(timeout=10) for _ in started)
    status, _ = ask(proxied, "/holdings/export.csv")
    Upstream.may_end.set()
    for each in started:
        each.join(20)
    assert status == 429


def test_nginx_reads_the_sample_as_it_is(tmp_path):
    certificate, key = tmp_path / "registry.example.cn.pem", tmp_path / "registry.example.cn.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=registry.example.cn", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    sample = (DEPLOY / "nginx.conf.sample").read_text().replace("/etc/nginx/tls", str(tmp_path))
    (tmp_path / "registry.conf").write_text(sample)
    http = f"access_log off; {temporary(tmp_path)} include {tmp_path}/registry.conf;"
    main = f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ {http} }}\n"
    (tmp_path / "nginx.conf").write_text(main)
    done = subprocess.run(
        [NGINX or "nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
