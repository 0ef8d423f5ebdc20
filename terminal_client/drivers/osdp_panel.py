"""OSDP v2.2 (IEC 60839-11-5) as the control panel: a reader with its relay and inputs is ours.

Guarantees: nothing is said or believed outside a secure channel of the line's own key. A release
that was not taken within ``ANSWER_MS`` is taken back, and one that the line was lost under is
forgotten. The reader times a release itself, so a terminal that dies leaves the door as it is at
rest. A reader that floods is cut off for a while.

The caller must have installed a key (:mod:`osdp_install`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import osdp_sys

from terminal_client.badge import Badge
from terminal_client.drivers.channel import (
    ANSWER_MS,
    Answered,
    Claimed,
    Fault,
    Input,
    LastSensed,
    Release,
)
from terminal_client.drivers.osdp_keys import LineKeys
from terminal_client.drivers.osdp_side import OK, REFRESH_MS, OsdpSide, monotonic_ms
from terminal_client.drivers.settings import Lock, OsdpConfig
from terminal_client.errors import UsageError

TICK_MS, TICKS_MAX = 100, 255
ASK_AFTER_MS, CLOSE_MS, SILENT_MS = 1_000, 500, 1_500
DIGITS_MAX, DIGITS_WAIT_MS = 16, 10_000
BURST_MAX, TOKEN_MS, DROPPED_MAX, CUT_OFF_MS = 10, 500, 30, 10_000
OFF, ON, ON_FOR, OFF_FOR = 1, 2, 5, 6
ENTER, CLEAR = b"\r#", b"\x7f*"
WAITING_MAX = 4

log = logging.getLogger(__name__)


class OsdpPanel(OsdpSide):
    open_ms_max = TICKS_MAX * TICK_MS

    def __init__(
        self,
        config: OsdpConfig,
        lock: Lock,
        keys: LineKeys,
        monotonic_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """Raises :class:`DriverError`."""
        # A fail-safe lock is shut while its relay is on, a fail-secure one while it is off.
        self._shut, self._for = (ON, OFF_FOR) if lock is Lock.FAIL_SAFE else (OFF, ON_FOR)
        self._sensed = LastSensed()
        self._waiting: deque[dict[str, int]] = deque(maxlen=WAITING_MAX)
        self._under_way: dict[str, int] | None = None
        self._ask_inputs_ms: int | None = None
        self._tells_inputs = True
        self._digits, self._digits_at_ms = bytearray(), 0
        self._tokens, self._tokens_at_ms, self._dropped = BURST_MAX, monotonic_ms(), 0
        self._cut_off_until_ms = 0
        self._next_key: bytes | None = None
        super().__init__(config, keys, monotonic_ms)

    @property
    def has_contact(self) -> bool:
        return self._config.contact is not None

    def release(self, order: Release) -> None:
        if not self._up:
            self._signals.append(Answered(Fault.NOT_CONNECTED))
        elif self._answer_by_ms is not None:
            self._signals.append(Answered(Fault.BUSY))
        else:
            self._answer_by_ms = self._now_ms() + ANSWER_MS
            self._waiting.append(self._output(self._for, -(-order.open_ms // TICK_MS)))

    def lock(self) -> None:
        if self._up:
            self._waiting.append(self._output(self._shut, 0))

    def rotate(self, wait_ms: int) -> bool:
        """Gives the reader a new key; false where it did not come up with it in that time.

        Whichever key the reader has then, the line comes up again.
        """
        ends_ms = self._now_ms() + wait_ms
        proposed: bytes | None = None
        while self._now_ms() < ends_ms:
            self.signals(REFRESH_MS)
            if self._up and proposed is None:
                proposed = self._next_key = self._keys.propose()
                command = {"command": osdp_sys.CMD_KEYSET, "type": 1, "data": proposed}
                self._side.submit_command(0, command)
            if self._up and proposed is not None and self._key == proposed:
                return True
        return False

    def close(self) -> None:
        self._waiting.clear()
        self.lock()
        ends_ms = self._now_ms() + CLOSE_MS
        while self._up and (self._waiting or self._under_way) and self._now_ms() < ends_ms:
            self.signals(REFRESH_MS)
        self._line.close()

    def _make(self, flags: int) -> Any:
        side = osdp_sys.ControlPanel(
            [
                {
                    "name": "reader",
                    "address": self._config.address,
                    "flags": flags,
                    "scbk": self._key,
                    "channel": self._line,
                }
            ]
        )
        side.set_event_callback(self._event)
        side.set_command_completion_callback(self._completed)
        return side

    def _is_up(self) -> bool:
        if self._now_ms() < self._cut_off_until_ms or self._line.is_silent(SILENT_MS):
            return False
        return bool(self._side.status() & 1 and self._side.sc_status() & 1)

    def _in_order(self, keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return keys

    def _was_tried(self) -> bool:
        return True

    def _changed(self) -> None:
        self._sensed.forget()
        self._waiting.clear()
        self._under_way = self._ask_inputs_ms = None
        if not self._up:
            self._side.flush_commands(0)
            return
        if self._tells_inputs and self._has_inputs():
            self._ask_inputs_ms = self._now_ms() + ASK_AFTER_MS
        self._waiting.append(self._output(self._shut, 0))
        self._waiting.append(_status(osdp_sys.STATUS_REPORT_LOCAL))

    def _has_inputs(self) -> bool:
        wanted = [each for each in (self._config.contact, self._config.exit) if each is not None]
        with suppress(ValueError):
            monitoring = osdp_sys.CAP_CONTACT_STATUS_MONITORING
            _, number = self._side.check_capability(0, monitoring)
            return bool(wanted) and max(wanted) < number
        return False

    def _serve(self, now_ms: int) -> None:
        if self._answer_by_ms is not None and now_ms >= self._answer_by_ms:
            self._side.flush_commands(0)
            self._waiting.clear()
            self._under_way = None
            self._answer(Fault.NO_ANSWER)
            self.lock()
        if self._ask_inputs_ms is not None and now_ms >= self._ask_inputs_ms:
            self._ask_inputs_ms = None
            self._waiting.append(_status(osdp_sys.STATUS_REPORT_INPUT))
        if self._dropped > DROPPED_MAX:
            self._dropped, self._cut_off_until_ms = 0, now_ms + CUT_OFF_MS
            self._change(False, now_ms, Fault.FLOODED)
            self._restart_ms = CUT_OFF_MS
            self._side.disable_pd(0)
        elif self._under_way is None and self._waiting:
            self._under_way = self._waiting.popleft()
            if not self._side.submit_command(0, self._under_way):
                self._completed(0, self._under_way, ~OK)

    def _completed(self, _reader: int, command: dict[str, Any], status: int) -> None:
        if command["command"] == osdp_sys.CMD_KEYSET:
            if status == OK and self._next_key is not None:
                self._key = self._next_key
            self._next_key = None
            return
        done, self._under_way = self._under_way, None
        if done is None:
            return
        if done["command"] == osdp_sys.CMD_OUTPUT and done["control_code"] == self._for:
            self._answer(None if status == OK else Fault.REFUSED)
        elif done.get("type") == osdp_sys.STATUS_REPORT_INPUT and status != OK:
            self._tells_inputs = False

    def _event(self, _reader: int, event: dict[str, Any]) -> int:
        # The binding drops what is raised here, and never frees the dict: no badge may stay in it.
        try:
            if self._up:
                self._take(event)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("an event of the reader was not understood: %s", type(error).__name__)
        event.clear()
        return 0

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case osdp_sys.EVENT_STATUS:
                self._take_status(event["type"], event["report"])
            case osdp_sys.EVENT_CARDREAD if event["format"] != osdp_sys.CARD_FMT_ASCII:
                with suppress(UsageError):
                    self._claim(Badge.read(event["length"], event["data"]).claim)
            case osdp_sys.EVENT_KEYPRESS:
                self._type(event["data"])

    def _take_status(self, kind: int, report: bytes) -> None:
        if kind == osdp_sys.STATUS_REPORT_LOCAL:
            self._signals += self._sensed.change(Input.TAMPER, bool(report[0]))
        elif kind == osdp_sys.STATUS_REPORT_INPUT:
            self._ask_inputs_ms = None
            inputs = (Input.CONTACT, self._config.contact), (Input.EXIT, self._config.exit)
            for what, place in inputs:
                if place is not None and place < len(report):
                    self._signals += self._sensed.change(what, bool(report[place]))

    def _type(self, pressed: bytes) -> None:
        now_ms = self._now_ms()
        if now_ms - self._digits_at_ms > DIGITS_WAIT_MS:
            self._digits.clear()
        self._digits_at_ms = now_ms
        for key in pressed:
            if key in ENTER and self._digits:
                digits = self._digits.decode("ascii")
                self._claim(f"{self._config.keypad}:{digits}", digits)
            if key in ENTER + CLEAR:
                self._digits.clear()
            elif key in b"0123456789" and len(self._digits) < DIGITS_MAX:
                self._digits.append(key)

    def _claim(self, claim: str, digits: str | None = None) -> None:
        """A bucket: ``BURST_MAX`` claims at once, then one every ``TOKEN_MS``."""
        more = (self._now_ms() - self._tokens_at_ms) // TOKEN_MS
        self._tokens_at_ms += more * TOKEN_MS
        self._tokens = min(self._tokens + more, BURST_MAX)
        if self._tokens:
            self._tokens -= 1
            self._signals.append(Claimed(claim, digits))
        else:
            self._dropped += 1

    def _output(self, control: int, ticks: int) -> dict[str, int]:
        return {
            "command": osdp_sys.CMD_OUTPUT,
            "output_no": self._config.output,
            "control_code": control,
            "timer_count": ticks,
        }


def _status(kind: int) -> dict[str, int]:
    return {"command": osdp_sys.CMD_STATUS, "type": kind}
