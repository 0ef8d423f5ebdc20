"""A door's way to the service, which can be cut: a network namespace's, or a proxy's.

With the rights for it a door runs in a network namespace of its own, and its packets go over a
pair of virtual interfaces into another one: cutting takes the interface down, so packets are lost
and connections hang. Without, a proxy on the loopback is killed, and connections are refused. All
addresses are of the loopback or of namespaces that are made here and removed again.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

FORWARD = Path(__file__).with_name("forward.py")
PORT = 8000
IP = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Cable(Protocol):
    @property
    def url(self) -> str:
        """Where the door finds the service."""

    @property
    def prefix(self) -> Sequence[str]:
        """What the door's command begins with."""

    def cut(self) -> None: ...

    def mend(self) -> None: ...


@dataclass
class Straight:
    """A door whose network is never cut."""

    url: str
    prefix: Sequence[str] = ()

    def cut(self) -> None:
        raise RuntimeError("this door's network stays")

    def mend(self) -> None:
        raise RuntimeError("this door's network stays")


@dataclass
class Proxied:
    target: str
    prefix: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = None
    _port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def cut(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None

    def mend(self) -> None:
        self._process = forward((), f"tcp:127.0.0.1:{self._port}", self.target)


@dataclass
class Separate:
    """``name``: of the door's namespace, whose interface is the cable's end."""

    name: str
    url: str = f"http://127.0.0.1:{PORT}"

    @property
    def prefix(self) -> Sequence[str]:
        return (str(IP), "netns", "exec", self.name)

    def cut(self) -> None:
        ip("-n", self.name, "link", "set", "cable", "down")

    def mend(self) -> None:
        ip("-n", self.name, "link", "set", "cable", "up")


@contextmanager
def lay(names: Sequence[str], service: str, folder: Path) -> Iterator[dict[str, Cable]]:
    """A cable to the service, ``tcp:127.0.0.1:…``, for each name; whole when it is given."""
    with ExitStack() as stack:
        if not may_separate():
            cables: dict[str, Cable] = {}
            for name in names:
                proxied = Proxied(service)
                stack.callback(proxied.cut)
                proxied.mend()
                cables[name] = proxied
            yield cables
            return
        run = os.urandom(3).hex()
        hub = stack.enter_context(namespace(f"ctn-{run}-hub"))
        socket_path = f"unix:{folder / 'service'}"
        stack.callback(stop, forward((), socket_path, service))
        found: dict[str, Cable] = {}
        for number, name in enumerate(names):
            found[name] = join(stack, hub, f"ctn-{run}-{number}", number, socket_path)
        yield found


def join(stack: ExitStack, hub: str, own: str, number: int, target: str) -> Separate:
    stack.enter_context(namespace(own))
    near, far = f"10.213.{number}.2", f"10.213.{number}.1"
    pair = ("type", "veth", "peer", "name", "cable", "netns", own)
    ip("link", "add", f"hub{number}", "netns", hub, *pair)
    for where, interface, address in ((hub, f"hub{number}", far), (own, "cable", near)):
        ip("-n", where, "addr", "add", f"{address}/30", "dev", interface)
        ip("-n", where, "link", "set", interface, "up")
    for where, listen, next_one in (
        (hub, f"tcp:{far}:{PORT}", target),
        (own, f"tcp:127.0.0.1:{PORT}", f"tcp:{far}:{PORT}"),
    ):
        inside = (str(IP), "netns", "exec", where)
        stack.callback(stop, forward(inside, listen, next_one))
    return Separate(own)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


def may_separate() -> bool:
    if IP is None or os.geteuid() != 0:
        return False
    name = f"ctn-{os.urandom(3).hex()}"
    with suppress(subprocess.CalledProcessError), namespace(name):
        return True
    return False


def ip(*arguments: str) -> None:
    subprocess.run([str(IP), *arguments], check=True, capture_output=True)


def forward(prefix: Sequence[str], listen: str, target: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-S", str(FORWARD), listen, target], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        stop(process)
        raise RuntimeError(f"nothing listens on {listen}")
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
