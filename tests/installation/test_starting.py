"""`make run`: ports, two starts in one folder, and a signing process that does not come."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

import config
from app.embedded import free_port
from app.pki.signer import Signer
from config import ConfigurationError


@pytest.fixture(scope="module")
def runner():
    """app.py, whose name the package has taken."""
    spec = importlib.util.spec_from_file_location("runner", config.ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def settings(tmp_path):
    """What a demonstration's start needs, without an assistant."""
    return SimpleNamespace(
        is_production=False,
        profile="test",
        cert_login="mtls",
        crypto_suite="intl",
        host="127.0.0.1",
        port=free_port(),
        folder=tmp_path / "data",
        ca_folder=tmp_path / "data" / "authority",
        ca_url="",
    )


# Ports


def test_a_taken_port_is_refused(runner):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"端口 {port} 已被占用"):
            runner.refuse_taken_port("127.0.0.1", str(port))


def test_a_port_without_the_privilege_is_refused_before_anything_is_made(runner, monkeypatch):
    def bind(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(runner.socket.socket, "bind", bind)
    with pytest.raises(ConfigurationError, match="没有权限监听端口 81") as refused:
        runner.refuse_taken_port("127.0.0.1", "81")
    assert "PORT=8080 make run" in str(refused.value)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_port_81_of_a_user_ends_in_a_sentence(tmp_path):
    least = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if int(least.read_text()) <= 81:
        pytest.skip("this machine asks for no privilege")
    command = ["setpriv", "--bounding-set=-net_bind_service", sys.executable, "app.py"]
    done = subprocess.run(
        command, cwd=config.ROOT, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "APP_PROFILE": "demo", "PORT": "81", "DATA_FOLDER": str(tmp_path / "d")},
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("✗ 没有权限监听端口 81")
    assert not (tmp_path / "d").exists()


# Two starts in one folder


def test_a_second_start_waits_until_the_first_one_listens(runner, settings, capsys):
    started, waited = threading.Event(), threading.Event()

    def second() -> None:
        started.set()
        with runner.starting(settings):
            waited.set()

    with ThreadPoolExecutor() as other, runner.starting(settings) as lock:
        future = other.submit(second)
        assert started.wait(10)
        assert not waited.wait(0.5)
        fcntl.flock(lock, fcntl.LOCK_UN)  # as the server does once it listens
        future.result(10)
    assert capsys.readouterr().out.count("正在等候") == 1


def test_a_second_start_finds_the_port_that_the_first_one_took_meanwhile(runner, settings):
    with (
        closing(socket.create_server(("127.0.0.1", settings.port))),
        pytest.raises(ConfigurationError, match="已被占用"),
        runner.starting(settings),
    ):
        pass


HOLDING = """
import fcntl, sys, time
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print(flush=True)
    time.sleep(60)
"""


def test_a_killed_start_keeps_no_other_waiting(runner, settings):
    settings.folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(settings.folder / "start.lock")],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.kill()
    process.communicate()
    with runner.starting(settings) as lock:
        assert lock is not None


# The signing process beside the server


def test_a_pin_that_was_changed_is_said_at_the_start_and_tried_once(runner, settings):
    settings.folder.mkdir()
    runner.establish(settings)
    right = (settings.ca_folder / "pin").read_text()
    (settings.ca_folder / "pin").write_text("246800")
    for _ in range(2):
        with (
            runner.certified(settings) as signer,
            pytest.raises(ConfigurationError, match="设备拒绝了这个 PIN"),
        ):
            runner.await_signer(settings, signer)
        counted = json.loads((settings.ca_folder / "tries").read_text())
        assert [wrong for wrong, _ in counted.values()] == [1]
    (settings.ca_folder / "pin").write_text(right)
    with runner.certified(settings) as signer:
        runner.await_signer(settings, signer)
        assert Signer(settings.ca_folder).assurance() == "hard"


def test_an_authority_that_cannot_be_set_up_is_said_in_a_sentence(runner, settings):
    settings.folder.mkdir()
    settings.ca_folder.write_text("no folder")
    with pytest.raises(ConfigurationError, match="未能建立演示的签发机构") as refused:
        runner.establish(settings)
    assert "\n" not in str(refused.value)
