"""The bundled PostgreSQL: folders, several users of one server, kills, taken ports, passwords."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from app import embedded

ROOT = Path(__file__).resolve().parents[2]

USER = """
import sys
from pathlib import Path
from app import embedded
embedded.ensure_running(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with an awkward name."""
    awkward = tmp_path / "碳 市场's data"
    awkward.mkdir()
    yield awkward
    embedded.Cluster(awkward).stop(immediately=True)


class User:
    """A process that uses the server until told to leave."""

    def __init__(self, folder):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        assert self.process.stdout.readline() == b"ready\n"

    def leave(self):
        self.process.communicate(b"\n", timeout=120)
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.communicate()


def server(folder):
    return embedded.Cluster(folder)._process()


def plain(url):
    return url.replace("+psycopg", "")


def ask(url, query):
    with psycopg.connect(plain(url)) as connection:
        return connection.execute(query).fetchone()[0]


def test_the_first_user_creates_and_the_last_one_stops(folder):
    first = User(folder)
    second = User(folder)
    main_process = server(folder)
    assert main_process is not None

    first.leave()
    assert server(folder) == main_process  # The second one still works with it.

    second.leave()
    assert server(folder) is None


def test_what_was_written_is_there_after_everything_was_killed(folder):
    user = User(folder)
    urls = embedded.Cluster(folder).urls()
    with psycopg.connect(plain(urls.owner)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS quantity")
    os.kill(server(folder), signal.SIGKILL)
    user.kill()

    user = User(folder)
    assert ask(embedded.Cluster(folder).url("registry_owner"), "SELECT quantity FROM kept") == 7
    user.leave()


def test_a_killed_user_does_not_keep_the_server_alive(folder):
    User(folder).kill()
    assert server(folder) is not None

    User(folder).leave()
    assert server(folder) is None


def test_two_first_starts_at_once_share_one_server(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", USER, str(folder)]
    both = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd="/"
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in both] == [b"ready\n"] * 2
    assert server(folder) is not None
    for process in both:
        process.communicate(b"\n", timeout=120)
    assert [process.returncode for process in both] == [0, 0]
    assert server(folder) is None


def test_a_first_start_that_was_killed_while_preparing_is_gone_through_again(folder):
    User(folder).leave()
    file = folder / "postgres.json"
    known = json.loads(file.read_text())
    # The roles and the database are there, perhaps with other passwords; that they are is not noted.
    known["passwords"]["registry_app"] = "0" * 48
    file.write_text(json.dumps(known | {"prepared": False}))
    user = User(folder)
    assert ask(embedded.Cluster(folder).url(), "SELECT 1") == 1
    user.leave()


def test_another_port_is_chosen_when_the_remembered_one_is_taken(folder):
    User(folder).leave()
    known = json.loads((folder / "postgres.json").read_text())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Its last calls linger.
        other.bind(("127.0.0.1", known["port"]))
        other.listen()
        user = User(folder)
        assert embedded.Cluster(folder)._known()["port"] != known["port"]
        assert ask(embedded.Cluster(folder).url(), "SELECT 1") == 1
        user.leave()


def test_a_stale_number_of_another_program_does_not_hinder_the_start(folder):
    User(folder).leave()
    # As after a restart of a container: the number in the file belongs to somebody else by now.
    pid_file = folder / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{folder / 'postgres'}\n0\n1\n\n127.0.0.1\n 0 0\nready\n")
    user = User(folder)
    assert server(folder) not in (None, os.getpid())
    user.leave()


@pytest.fixture(scope="module")
def cluster():
    with embedded.throwaway() as cluster:
        yield cluster


def test_nobody_gets_in_without_the_password(cluster):
    port = json.loads(cluster.secrets.read_text())["port"]
    for role in ("registry_app", "registry_owner", "postgres"):
        with pytest.raises(psycopg.OperationalError, match=r"password|no password"):
            psycopg.connect(f"postgresql://{role}:wrong@127.0.0.1:{port}/registry")


def test_only_we_can_read_the_passwords(cluster):
    assert stat.S_IMODE(cluster.secrets.stat().st_mode) == 0o600
    assert not (cluster.folder / "postgres.password").exists()


def test_the_server_listens_on_this_machine_alone(cluster):
    assert ask(cluster.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"
    assert ask(cluster.url("postgres"), "SHOW unix_socket_directories") == ""


def test_the_application_may_create_nothing(cluster):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(cluster.url(), "CREATE TABLE mine AS SELECT 1")
    assert ask(cluster.url("registry_owner"), "SELECT current_user") == "registry_owner"


def test_only_a_throwaway_server_runs_without_fsync(cluster):
    assert ask(cluster.url("postgres"), "SHOW fsync") == "off"
    with embedded.throwaway(safe=True) as safe:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(safe.url("postgres"), f"SHOW {setting}") == "on"


def test_texts_are_unicode_and_ordered_by_code_point(cluster):
    url = cluster.url("postgres")
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT array_agg(t ORDER BY t)::text FROM unnest('{b,碳,B}'::text[]) t") == (
        "{B,b,碳}"
    )
    assert ask(url, "SELECT upper('é')") == "É"


def test_a_database_is_copied_from_a_template(cluster):
    cluster.create_database("original")
    with psycopg.connect(plain(cluster.url("registry_owner", "original"))) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS quantity")
    urls = cluster.create_database("copy", "original")
    assert ask(urls.owner, "SELECT quantity FROM kept") == 7
    cluster.drop_database("copy")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(plain(urls.owner))


def has_ended(process):
    """The pid file is removed shortly before the process ends."""
    for _ in range(50):
        if not embedded._command(process):
            return True
        time.sleep(0.1)
    return False


def test_a_throwaway_cluster_leaves_nothing_behind():
    with embedded.throwaway() as cluster:
        process = cluster._process()
        folder = cluster.folder
    assert not folder.exists()
    assert has_ended(process)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it under another account")
def test_root_runs_it_in_a_folder_that_nobody_else_may_enter(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with embedded.throwaway(closed) as cluster:
        assert Path(f"/proc/{cluster._process()}").stat().st_uid != 0
        assert ask(cluster.url(), "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_what_a_killed_test_left_behind_is_swept_away(tmp_path):
    abandoned = tmp_path / f"{embedded.THROWAWAY}1"
    abandoned.mkdir()
    User(abandoned).kill()
    process = server(abandoned)
    assert process is not None
    os.utime(abandoned, (0, 0))

    with embedded.throwaway(tmp_path):
        assert not abandoned.exists()
        assert has_ended(process)
