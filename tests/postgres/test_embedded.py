"""The launcher under the faults that a machine gives it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from service.embedded import open_embedded
from service.errors import Misconfigured

NOBODY = 65534
HOLDER = """
import sys
from pathlib import Path
from service.embedded import open_embedded
with open_embedded(Path(sys.argv[1]), durable=False) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that an unprivileged user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def hold(home: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=60)


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_the_server_runs_while_it_is_open_and_keeps_what_was_written(home: Path) -> None:
    with open_embedded(home) as url, psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE kept (number int)")
    assert not answers(url)
    with open_embedded(home) as url, psycopg.connect(url) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_nothing_is_open_to_others(home: Path) -> None:
    with open_embedded(home, durable=False) as url, psycopg.connect(url) as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("",)
        assert conn.execute("SHOW fsync").fetchone() == ("off",)
        (folder,) = conn.execute("SHOW unix_socket_directories").fetchone() or ("",)
        wrong = url.replace(":", ":x", 2).replace(":x//", "://")
        assert not answers(wrong)
        for path in (home / "postgres", Path(folder)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in home.iterdir():
            assert not path.is_file() or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not Path(folder).exists()


def test_two_processes_share_one_server_and_the_last_stops_it(home: Path) -> None:
    first, url = hold(home)
    second, same = hold(home)
    assert url == same
    leave(first)
    assert answers(url)
    leave(second)
    assert not answers(url)


def test_a_killed_process_counts_as_having_left(home: Path) -> None:
    process, url = hold(home)
    process.kill()
    process.communicate(timeout=60)
    assert answers(url)
    with open_embedded(home, durable=False) as same:
        assert same == url
    assert not answers(url)


def test_a_killed_server_is_started_again(home: Path) -> None:
    with open_embedded(home) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 7 AS number")
        os.kill(postmaster(home), signal.SIGKILL)
        with open_embedded(home) as again, psycopg.connect(again) as anew:
            assert anew.execute("SELECT number FROM kept").fetchone() == (7,)
            assert again == url
    assert not answers(again)


def test_a_killed_server_comes_back_while_it_is_used(home: Path) -> None:
    with open_embedded(home) as url:
        os.kill(postmaster(home), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert not answers(url)


def test_a_pid_file_that_names_a_foreign_folder_removes_nothing(home: Path) -> None:
    foreign = home / "foreign"
    foreign.mkdir(mode=0o700)
    with open_embedded(home, durable=False):
        pid_file = home / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        own, lines[4] = lines[4], str(foreign)
        pid_file.write_text("\n".join(lines) + "\n")
    assert foreign.exists()
    shutil.rmtree(own)


def test_an_interrupted_first_start_is_made_good(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "half").touch()
    with open_embedded(home, durable=False) as url:
        assert answers(url)


def test_a_home_with_a_long_path_works(home: Path) -> None:
    with open_embedded(home / ("long" * 40), durable=False) as url:
        assert answers(url)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused a closed folder")
def test_root_is_told_of_a_home_that_the_server_may_not_enter(home: Path) -> None:
    home.chmod(0o700)
    with pytest.raises(Misconfigured, match="may not enter"), open_embedded(home):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_runs_it_too(home: Path) -> None:
    shutil.chown(home, "nobody")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        with open_embedded(home, durable=False) as url:
            os._exit(0 if answers(url) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (home / "postgres").stat().st_uid == NOBODY
    with open_embedded(home, durable=False) as url:
        assert answers(url)
