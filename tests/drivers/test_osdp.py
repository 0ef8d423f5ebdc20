"""Our two sides of an OSDP line against libosdp's own peers, over a line that is listened to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import osdp_sys
import pytest

from terminal_client.drivers import osdp_panel, osdp_random
from terminal_client.drivers.channel import (
    Answered,
    Claimed,
    Fault,
    Input,
    Link,
    Release,
    Sensed,
    Signal,
)
from terminal_client.drivers.osdp_install import install_as_panel, install_as_reader
from terminal_client.drivers.osdp_keys import DEFAULT_KEY, LineKeys, new_key
from terminal_client.drivers.osdp_panel import OFF, OFF_FOR, ON, ON_FOR, OsdpPanel
from terminal_client.drivers.osdp_reader import OsdpReader
from terminal_client.drivers.osdp_side import RESTART_MAX_MS, OsdpSide, monotonic_ms
from terminal_client.drivers.settings import Lock, OsdpConfig
from terminal_client.errors import DriverError, UsageError
from terminal_client.keystore import Keystore
from tests.drivers.line import TappedLine
from tests.drivers.peers import PanelPeer, ReaderPeer, running, until

BITS, RAW = 26, bytes.fromhex("c0ffee40")
CLAIM = "badge:26-c0ffee40"


@dataclass
class Driven:
    """Our side, and every signal that it brought."""

    side: OsdpSide
    got: list[Signal] = field(default_factory=list)

    def turn(self) -> None:
        self.got += self.side.signals(20)

    def until(self, *signals: Signal, within_s: float = 10.0) -> None:
        until(lambda: all(each in self.got for each in signals), self.turn, within_s=within_s)

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.turn()


@contextmanager
def driving(side: OsdpSide) -> Iterator[Driven]:
    try:
        yield Driven(side)
    finally:
        side.close()


def panel(line: TappedLine, keys: LineKeys, lock: Lock = Lock.FAIL_SECURE) -> OsdpPanel:
    return OsdpPanel(OsdpConfig(port=line.panel_port, contact=0, exit=1), lock, keys)


def claims(driven: Driven) -> list[str]:
    return [each.claim for each in driven.got if isinstance(each, Claimed)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost lines are sought again at once, and an unanswered order is soon given up."""
    monkeypatch.setattr("terminal_client.drivers.osdp_side.RESTART_MS", 300)
    monkeypatch.setattr("terminal_client.drivers.osdp_side.RESTART_MAX_MS", 300)


def test_a_reader_with_relay_and_inputs_is_ours(line: TappedLine, keys: LineKeys) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        peer.senses(0, 0)
        ours.until(Sensed(Input.CONTACT, False))
        peer.shows(BITS, RAW)
        peer.types(b"12")
        peer.types(b"*4711#")
        ours.until(Claimed(CLAIM), Claimed("badge:4711"))
        ours.side.release(Release(open_ms=3_000))
        ours.until(Answered())
        peer.senses(1, 1)
        peer.is_opened(True)
        ours.until(
            Sensed(Input.CONTACT, True), Sensed(Input.EXIT, True), Sensed(Input.TAMPER, True)
        )
        ours.side.lock()
        until(lambda: len(peer.outputs) == 3, ours.turn)
    assert peer.outputs == [(OFF, 0), (ON_FOR, 30), (OFF, 0), (OFF, 0)]
    assert "badge" not in repr(ours.got)


def test_a_fail_safe_lock_is_shut_by_power(line: TappedLine, keys: LineKeys) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys, Lock.FAIL_SAFE)) as ours:
        ours.until(Link(True))
        ours.side.release(Release(open_ms=500))
        ours.until(Answered())
    assert peer.outputs == [(ON, 0), (OFF_FOR, 5), (ON, 0)]


def test_an_observer_learns_no_badge_and_cannot_replay_an_unlock(
    line: TappedLine, keys: LineKeys
) -> None:
    key = keys.candidates[0]
    peer = ReaderPeer(line.reader_port, key)
    with running(peer):
        with driving(panel(line, keys)) as ours:
            ours.until(Link(True))
            peer.shows(BITS, RAW)
            ours.until(Claimed(CLAIM))
            before = len(line.to_reader)
            ours.side.release(Release(open_ms=3_000))
            ours.until(Answered())
            unlocked = bytes(line.to_reader[before:])
            recorded = bytes(line.to_reader)
        heard = bytes(line.to_panel) + recorded
        for secret in (RAW, RAW[:3], CLAIM.encode(), key):
            assert secret not in heard
        known = len([each for each in peer.outputs if each[0] == ON_FOR])
        assert known == 1
        for replayed in (unlocked, recorded):
            line.inject(replayed)
            line.drain()
        with driving(panel(line, keys)) as ours:
            ours.until(Link(True))
            line.inject(unlocked)
            ours.turns(10)
            ours.got.clear()
    assert [each for each in peer.outputs if each[0] == ON_FOR] == [(ON_FOR, 30)]


def test_nor_what_is_typed_nor_a_badge_that_we_send_on(line: TappedLine, keys: LineKeys) -> None:
    """Of the other role, too: what our reader said to a panel is nothing to its next session."""
    key = keys.candidates[0]
    peer = ReaderPeer(line.reader_port, key)
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        peer.types(b"24681357#")
        ours.until(Claimed("badge:24681357"))
    heard = bytes(line.to_panel) + bytes(line.to_reader)
    assert not any(part in heard for part in (b"2468", b"1357"))
    before = len(line.to_panel)
    with driving(OsdpReader(OsdpConfig(port=line.reader_port), keys)) as ours:
        with running(PanelPeer(line.panel_port, key)) as theirs:
            ours.until(Link(True))
            ours.side.release(Release(open_ms=500, claim=CLAIM))
            ours.until(Answered())
            until(lambda: theirs.badges, ours.turn)
        said = bytes(line.to_panel[before:])
        assert RAW not in said
        assert RAW[:3] not in said
    reader = OsdpReader(OsdpConfig(port=line.reader_port), keys)
    with driving(reader) as ours, running(PanelPeer(line.panel_port, key)) as theirs:
        ours.until(Link(True))
        line.inject_to_panel(said)
        ours.turns(30)
        assert theirs.badges == []


def test_the_session_of_another_process_is_another(line: TappedLine, keys: LineKeys) -> None:
    """RND.A of the panel, from fresh processes: libosdp's own are all alike."""
    script = """
import osdp_sys, sys
from terminal_client.drivers import osdp_random
if sys.argv[1] == "ours":
    osdp_random.prepare(osdp_sys.__file__)
osdp_sys.set_loglevel(0)
import ctypes
drawn = ctypes.create_string_buffer(8)
ctypes.CDLL(osdp_sys.__file__).osdp_fill_random(drawn, 8)
print(drawn.raw.hex())
"""

    def drawn(how: str) -> str:
        command = [sys.executable, "-c", script, how]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert drawn("theirs") == drawn("theirs"), "libosdp seeds now: see docs/decisions/0015"
    assert len({drawn("ours") for _ in range(3)}) == 3


def challenges(line: TappedLine) -> set[bytes]:
    """RND.A of every CHLNG (0x76) that went over the line."""
    sent = bytes(line.to_reader)
    found, at = set(), sent.find(b"\x03\x11")
    while at >= 0:
        if sent[at + 3 : at + 4] == b"\x76":
            found.add(sent[at + 4 : at + 12])
        at = sent.find(b"\x03\x11", at + 1)
    return found


def test_each_session_has_its_own_challenge(
    line: TappedLine, keys: LineKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer):
        for _ in range(3):
            with driving(panel(line, keys)) as ours:
                ours.until(Link(True))
    assert len(challenges(line)) == 3


def test_a_library_that_draws_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osdp_random, "_scaled", lambda value: 7)
    with pytest.raises(DriverError, match="does not draw"):
        osdp_random.prepare.__wrapped__(osdp_sys.__file__)
    with pytest.raises(DriverError, match="cannot be replaced"):
        osdp_random.prepare.__wrapped__("/lib/x86_64-linux-gnu/libc.so.6")


@pytest.mark.parametrize("key", [None, DEFAULT_KEY])
def test_a_reader_with_the_default_key_gets_nothing(
    line: TappedLine, keys: LineKeys, key: bytes | None, quick: None
) -> None:
    peer = ReaderPeer(line.reader_port, key, flags=osdp_sys.FLAG_INSTALL_MODE if key is None else 0)
    with running(peer), driving(panel(line, keys)) as ours:
        ours.side.release(Release(open_ms=500))
        until(lambda: len(line.to_reader) > 100, ours.turn)
        ours.turns(20)
        peer.shows(BITS, RAW)
        ours.turns(20)
        assert set(ours.got) == {Answered(Fault.NOT_CONNECTED)}
    assert peer.outputs == []


@pytest.mark.parametrize("key", [DEFAULT_KEY, bytes(16), b"x" * 16, b"short"])
def test_a_key_that_is_none_is_refused(keystore: Keystore, key: bytes) -> None:
    keys = LineKeys(keystore)
    with pytest.raises(DriverError, match="has no key"):
        _ = keys.candidates
    with pytest.raises(UsageError, match="refused"):
        keys.propose(key)
    keystore.keep("osdp-key", key)
    with pytest.raises(DriverError, match="default one, or damaged"):
        _ = keys.candidates


def test_the_panel_rotates_the_key(line: TappedLine, keys: LineKeys) -> None:
    old = keys.candidates[0]
    peer = ReaderPeer(line.reader_port, old)
    with running(peer), driving(panel(line, keys)) as ours:
        assert ours.side.rotate(8_000)
        (new,) = keys.candidates
        assert new != old
        assert new not in bytes(line.to_reader) + bytes(line.to_panel)
        peer.shows(BITS, RAW)
        ours.until(Claimed(CLAIM))


@pytest.mark.parametrize("reader_has_it", [True, False])
def test_a_rotation_that_was_cut_off_heals(
    line: TappedLine, keys: LineKeys, quick: None, reader_has_it: bool
) -> None:
    old = keys.candidates[0]
    new = keys.propose()
    peer = ReaderPeer(line.reader_port, new if reader_has_it else old)
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
    assert keys.candidates == ((new,) if reader_has_it else (old,))


def test_the_panel_installs_a_first_key(line: TappedLine, keystore: Keystore) -> None:
    keys = LineKeys(keystore)
    peer = ReaderPeer(line.reader_port, None, flags=osdp_sys.FLAG_INSTALL_MODE)
    config = OsdpConfig(port=line.panel_port)
    with running(peer):
        assert install_as_panel(config, Lock.FAIL_SECURE, keys, 8_000)
        with driving(panel(line, keys)) as ours:
            ours.until(Link(True))


def test_a_panel_sees_an_ordinary_badge(line: TappedLine, keys: LineKeys) -> None:
    peer = PanelPeer(line.panel_port, keys.candidates[0])
    reader = OsdpReader(OsdpConfig(port=line.reader_port), keys)
    with running(peer), driving(reader) as ours:
        ours.side.release(Release(open_ms=500, claim=CLAIM))
        ours.until(Answered(Fault.NOT_CONNECTED), Link(True))
        ours.side.release(Release(open_ms=500, claim="card:1"))
        ours.until(Answered(Fault.NO_BADGE))
        ours.side.release(Release(open_ms=500, claim=CLAIM))
        ours.side.release(Release(open_ms=500, claim=CLAIM))
        ours.until(Answered(Fault.BUSY), Answered())
        until(lambda: peer.badges, ours.turn)
    assert peer.badges == [(BITS, RAW)]
    assert RAW not in bytes(line.to_panel)


def test_the_panel_of_others_rotates_our_key(line: TappedLine, keys: LineKeys) -> None:
    peer, new = PanelPeer(line.panel_port, keys.candidates[0]), new_key()
    with running(peer), driving(OsdpReader(OsdpConfig(port=line.reader_port), keys)) as ours:
        ours.until(Link(True))
        peer.rotates_to(new)
        until(lambda: keys.candidates == (new,), ours.turn)
        ours.side.release(Release(open_ms=500, claim=CLAIM))
        ours.until(Answered())


@pytest.mark.parametrize("panel_has_it", [True, False])
def test_a_rotation_of_others_that_was_cut_off_heals(
    line: TappedLine, keys: LineKeys, panel_has_it: bool
) -> None:
    """A panel tries once and then waits for minutes, during which the next key stays in place."""
    old, later_ms = keys.candidates[0], 0
    new = keys.propose()
    key = new if panel_has_it else old
    reader = OsdpReader(OsdpConfig(port=line.reader_port), keys, lambda: monotonic_ms() + later_ms)
    with driving(reader) as ours:
        if not panel_has_it:
            with running(PanelPeer(line.panel_port, key)):
                until(lambda: challenges(line), ours.turn)
                ours.turns(20)
            assert ours.got == []
        for _ in range(3):
            later_ms += RESTART_MAX_MS
            ours.turns(1)
        with running(PanelPeer(line.panel_port, key)):
            ours.until(Link(True))
    assert keys.candidates == (key,)


def test_a_panel_may_not_set_the_default_key(line: TappedLine, keys: LineKeys, quick: None) -> None:
    before = keys.candidates
    peer = PanelPeer(line.panel_port, before[0])
    with running(peer), driving(OsdpReader(OsdpConfig(port=line.reader_port), keys)) as ours:
        ours.until(Link(True))
        peer.rotates_to(DEFAULT_KEY)
        until(lambda: peer.answers, ours.turn)
    assert 0 not in peer.answers
    assert keys.candidates == before


def test_a_panel_gives_us_our_first_key(line: TappedLine, keystore: Keystore) -> None:
    keys, given = LineKeys(keystore), new_key()
    with running(PanelPeer(line.panel_port, given, flags=0)):
        assert install_as_reader(OsdpConfig(port=line.reader_port), keys, 8_000)
    assert keys.candidates == (given,)


def test_a_panel_with_the_default_key_only_hears_nothing_outside_an_installation(
    line: TappedLine, keys: LineKeys
) -> None:
    peer = PanelPeer(line.panel_port, new_key(), flags=0)
    with running(peer), driving(OsdpReader(OsdpConfig(port=line.reader_port), keys)) as ours:
        until(lambda: len(line.to_reader) > 30, ours.turn)
        ours.side.release(Release(open_ms=500, claim=CLAIM))
        ours.turns(30)
        assert set(ours.got) == {Answered(Fault.NOT_CONNECTED)}
    assert peer.badges == []


def test_a_line_cut_in_the_middle_of_a_frame(
    line: TappedLine, keys: LineKeys, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osdp_panel, "ANSWER_MS", 600)
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        until(lambda: (OFF, 0) in peer.outputs, ours.turn)
        ours.turns(5)
        line.cut_after = 7
        ours.side.release(Release(open_ms=3_000))
        until(lambda: any(isinstance(each, Answered) for each in ours.got), ours.turn)
        assert Answered() not in ours.got
        until(lambda: Link(False, Fault.NOT_CONNECTED) in ours.got, ours.turn)
        ours.got.clear()
        line.cut_after = None
        ours.until(Link(True), within_s=30.0)
        ours.turns(20)
    assert [each for each in peer.outputs if each[0] == ON_FOR] == []


def test_a_wrong_baud_rate_is_no_link(line: TappedLine, keys: LineKeys, quick: None) -> None:
    """At another speed the bits arrive as other bytes; a pseudo-terminal has no speed."""
    line.garbles = True
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.side.release(Release(open_ms=500))
        ours.turns(60)
        assert ours.got == [Answered(Fault.NOT_CONNECTED)]
        line.garbles = False
        ours.until(Link(True), within_s=30.0)
    assert all(each[0] == OFF for each in peer.outputs)


def test_a_reader_that_floods_is_cut_off(
    line: TappedLine, keys: LineKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osdp_panel, "DROPPED_MAX", 3)
    monkeypatch.setattr(osdp_panel, "TOKEN_MS", 60_000)
    monkeypatch.setattr(osdp_panel, "CUT_OFF_MS", 400)
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))

        def flood() -> None:
            peer.shows(BITS, RAW)
            ours.turn()

        until(lambda: Link(False, Fault.FLOODED) in ours.got, flood, within_s=30.0)
        assert len(claims(ours)) == osdp_panel.BURST_MAX
        ours.got.clear()
        ours.until(Link(True))


def test_noise_on_the_line_is_survived(line: TappedLine, keys: LineKeys, quick: None) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        line.inject_to_panel(bytes(range(256)) * 8)
        line.inject(b"\x53\x00\xff\xff" + bytes(range(200)))
        ours.got.clear()
        peer.shows(BITS, RAW)
        until(lambda: claims(ours), ours.turn, within_s=30.0)
        assert claims(ours) == [CLAIM]


def test_two_orders_at_once(line: TappedLine, keys: LineKeys) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        ours.side.release(Release(open_ms=1_000))
        ours.side.release(Release(open_ms=2_000))
        ours.until(Answered(Fault.BUSY), Answered())
    assert [each for each in peer.outputs if each[0] == ON_FOR] == [(ON_FOR, 10)]


def test_a_reader_that_refuses_its_relay(line: TappedLine, keys: LineKeys, quick: None) -> None:
    peer = ReaderPeer(line.reader_port, keys.candidates[0])
    with running(peer), driving(panel(line, keys)) as ours:
        ours.until(Link(True))
        until(lambda: peer.outputs, ours.turn)
        peer.refuses = True
        ours.side.release(Release(open_ms=1_000))
        until(lambda: any(isinstance(each, Answered) for each in ours.got), ours.turn)
        assert Answered() not in ours.got


def test_a_port_has_one_process(line: TappedLine, keys: LineKeys) -> None:
    with driving(panel(line, keys)), pytest.raises(DriverError, match="used by another"):
        panel(line, keys)
    with pytest.raises(DriverError, match="No such file"):
        OsdpPanel(OsdpConfig(port="/dev/none"), Lock.FAIL_SECURE, keys)
    with pytest.raises(DriverError, match="no serial port"):
        OsdpPanel(OsdpConfig(port="/dev/null"), Lock.FAIL_SECURE, keys)
