"""The door's commands against a real service, with a reader of libosdp's on the line."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import osdp_sys
import pytest
from click.testing import Result

from service.operators import releases, staff
from service.operators.people import Role
from terminal_client.drivers.osdp_keys import new_key
from terminal_client.drivers.osdp_panel import ON_FOR
from tests.ceremony.test_terminal import astronaut, engine, publish, real, stranger
from tests.ceremony.test_terminal_commands import PIN, Site, listen, site
from tests.drivers.line import TappedLine
from tests.drivers.peers import ReaderPeer, running

DURESS = "1357"
__all__ = ["astronaut", "engine", "listen", "real", "site", "stranger"]


@pytest.fixture
def line() -> Iterator[TappedLine]:
    joined = TappedLine()
    yield joined
    joined.close()


def wire(site: Site, line: TappedLine) -> None:
    """The registered door gets an OSDP reader."""
    settings = site.homes / "door" / "terminal.toml"
    settings.write_text(
        settings.read_text() + '[door]\ndriver = "osdp"\nlock = "fail-secure"\nopen_ms = 2000\n'
        f'[door.osdp]\nport = "{line.panel_port}"\ncontact = 0\nexit = 1\n'
    )


def typed_key(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, key.hex().encode() + b"\n")
    os.close(writing)
    monkeypatch.setenv("COUNTENANCE_KEY_FD", str(reading))


class OpenedByHand(ReaderPeer):
    """Somebody pulls the door as soon as the relay lets it go."""

    def _commanded(self, command: dict[str, object]) -> tuple[int, None]:
        answer = super()._commanded(dict(command))  # type: ignore[arg-type]
        kinds = command["command"], command.get("control_code")
        if kinds == (osdp_sys.CMD_OUTPUT, ON_FOR) and not self.refuses:
            self._later += [
                lambda: self.side.submit_event(_inputs(1)),
                lambda: self.side.submit_event(_inputs(0)),
            ]
        return answer


def _inputs(contact: int) -> dict[str, object]:
    kind = osdp_sys.STATUS_REPORT_INPUT
    return {"event": osdp_sys.EVENT_STATUS, "type": kind, "report": bytes([contact, 0])}


def lines(output: str) -> list[dict[str, Any]]:
    found = []
    for each in output.splitlines():
        with suppress(ValueError):
            found.append(json.loads(each))
    return found


def test_a_door_on_an_osdp_line(
    site: Site, line: TappedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, status, rotation, and a door that lets somebody in and is kept until SIGTERM."""
    publish(site.house, level="none")
    account = site.enrol()
    site.house.grant(account)
    site.register("door")
    wire(site, line)
    failed = site.run("door", "door", "status")
    assert failed.exit_code == 7
    assert "key install" in failed.stderr
    key = new_key()
    typed_key(monkeypatch, key)
    done = site.run("door", "door", "key", "set")
    assert done.exit_code == 0, done.output
    assert key.hex() not in done.output
    peer = OpenedByHand(line.reader_port, key)
    with running(peer):
        peer.senses(0, 0)
        known = site.run("door", "door", "status", "--json")
        assert known.exit_code == 0, known.output
        assert lines(known.stdout)[-1]["inputs"] == {"contact": False}
        rotated = site.run("door", "door", "key", "rotate")
        assert rotated.exit_code == 0, rotated.output
        kept(site, peer)
    with site.house.database.transaction() as conn:
        states = conn.execute("SELECT state FROM entries").fetchall()
    assert states == [("confirmed",)]
    assert [each for each in peer.outputs if each[0] == ON_FOR] == [(ON_FOR, 20)]


@pytest.mark.parametrize(("pin", "alarms"), [(PIN, []), (DURESS, ["duress"])])
def test_a_pin_is_typed_at_the_reader(
    site: Site, line: TappedLine, monkeypatch: pytest.MonkeyPatch, pin: str, alarms: list[str]
) -> None:
    """The duress PIN opens as the other does, and calls for help silently."""
    account = site.enrol()
    site.house.grant(account)
    assert site.house.operations.set_duress_pin(account, DURESS) is None
    publish(site.house, level="none", pin_at_doors=True)
    site.register("door")
    wire(site, line)
    key = new_key()
    typed_key(monkeypatch, key)
    assert site.run("door", "door", "key", "set").exit_code == 0
    peer = OpenedByHand(line.reader_port, key)
    with running(peer):
        peer.senses(0, 0)
        kept(site, peer, pin)
    with site.house.database.transaction() as conn:
        states = conn.execute("SELECT state FROM entries").fetchall()
        raised = conn.execute("SELECT kind FROM alarms").fetchall()
    assert states == [("confirmed",)]
    assert [kind for (kind,) in raised] == alarms
    assert pin.encode() not in bytes(line.to_panel) + bytes(line.to_reader)


def test_an_operator_opens_a_kept_door_by_hand(site: Site) -> None:
    publish(site.house, level="none")
    site.register("door")
    operator, _ = staff.of(site.house.operations).add_operator("Ada", {Role.GUARD})
    guard = staff.of(replace(site.house.operations, actor=operator))
    over, states = threading.Event(), list[releases.State]()

    def ask() -> None:
        ends, asked = time.monotonic() + 60, False
        while time.monotonic() < ends and (not states or states[-1] is not releases.State.OPENED):
            time.sleep(0.1)
            with site.house.database.transaction() as conn:
                beats = conn.execute("SELECT 1 FROM door_beats").fetchone()
                found = releases.list_newest(conn, site.house.door, limit=1)
            if beats and not asked:
                asked = guard.release_door(site.house.door, "A delivery") is not None
            states.extend(each.state_at(site.house.clock()) for each in found)
        stop_by(signal.SIGTERM, over)

    told = lines(run_until(site, ask, over).stdout)
    assert states[-1] is releases.State.OPENED
    own = [each["door"] for each in told if each.get("attempt")]
    assert own == ["commanded", "accepted", "confirmed"]


def stop_by(number: int, over: threading.Event) -> None:
    while not over.is_set():
        os.kill(os.getpid(), number)
        over.wait(0.5)


def run_until(site: Site, visit: Callable[[], None], over: threading.Event) -> Result:
    """`door run`, while somebody comes; what it said."""
    # Until `door run` has its own handler, a signal that comes early must not end the tests.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        result = site.run("door", "door", "run", "--json")
    finally:
        over.set()
        visitor.join()
        signal.signal(signal.SIGTERM, previous)
    assert result.exit_code == 0, result.output
    assert "card:1" not in result.output
    return result


def kept(site: Site, peer: ReaderPeer, pin: str | None = None) -> None:
    """`door run`: somebody types a number at the reader, is let in, and the terminal is stopped.

    The person's number is the claim that was enrolled, so the keypad makes cards of it.
    """
    settings = site.homes / "door" / "terminal.toml"
    settings.write_text(settings.read_text() + 'keypad = "card"\n')
    before, over = len(peer.outputs), threading.Event()

    def visit() -> None:
        ends = time.monotonic() + 60
        while len(peer.outputs) == before and time.monotonic() < ends:
            time.sleep(0.05)
        time.sleep(0.3)
        peer.types(b"1#")
        while not any(each[0] == ON_FOR for each in peer.outputs[before:]):
            if time.monotonic() > ends:
                break
            time.sleep(0.5)
            if pin is not None:
                # Before it is asked for it is somebody's claim, who is not there.
                peer.types(f"{pin}#".encode())
        while time.monotonic() < ends and not came_in(site):
            time.sleep(0.1)
        time.sleep(0.5)
        stop_by(signal.SIGTERM, over)

    result = run_until(site, visit, over)
    told = lines(result.stdout)
    own = [each["door"] for each in told if each.get("attempt") and "door" in each]
    assert own == ["commanded", "accepted", "confirmed"]
    assert {"outcome": "approved", "reason": None, "completed": True}.items() <= next(
        each for each in told if "outcome" in each
    ).items()
    assert pin is None or pin not in result.output


def came_in(site: Site) -> bool:
    with site.house.database.transaction() as conn:
        row = conn.execute("SELECT 1 FROM entries WHERE state = 'confirmed'").fetchone()
    return row is not None


def test_a_driver_names_the_extra_that_it_lacks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.register("door")
    settings = site.homes / "door" / "terminal.toml"
    pins = '[door]\ndriver = "gpio"\nlock = "fail-safe"\n[door.gpio]\nrelay = 4\n'
    settings.write_text(settings.read_text() + pins)
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    monkeypatch.delitem(sys.modules, "terminal_client.drivers.gpio", raising=False)
    result = site.run("door", "door", "status")
    assert result.exit_code == 3
    assert "pip install 'countenance[gpio]'" in result.stderr
