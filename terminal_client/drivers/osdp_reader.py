"""OSDP v2.2 as a reader of somebody's panel: after a face match the panel sees the badge.

The panel decides and opens; it also has the contact, so here a release is *accepted* when the
panel took the badge, and never confirmed.

Guarantees: a badge goes out in a secure channel of the line's own key only, for an approved
entry only, and is dropped where the panel does not take it at once. The panel may rotate the
key, but not to the default one; it may not change the line's speed or address.

The caller must have installed a key (:mod:`osdp_install`).
"""

from __future__ import annotations

from typing import Any

import osdp_sys

from terminal_client.badge import Badge
from terminal_client.drivers.channel import ANSWER_MS, Answered, Fault, Release
from terminal_client.drivers.osdp_side import OK, OsdpSide
from terminal_client.errors import StorageError, UsageError

REFUSED = -1
TAKEN = frozenset({osdp_sys.CMD_LED, osdp_sys.CMD_BUZZER, osdp_sys.CMD_STATUS})
CAPABILITIES = [
    {"function_code": code, "compliance_level": level, "num_items": number}
    for code, level, number in (
        (osdp_sys.CAP_CARD_DATA_FORMAT, 1, 1),
        (osdp_sys.CAP_READER_LED_CONTROL, 1, 1),
        (osdp_sys.CAP_READER_AUDIBLE_OUTPUT, 1, 1),
        (osdp_sys.CAP_CHECK_CHARACTER_SUPPORT, 1, 1),
        (osdp_sys.CAP_COMMUNICATION_SECURITY, 1, 1),
        (osdp_sys.CAP_READERS, 0, 1),
    )
]


class OsdpReader(OsdpSide):
    has_contact, open_ms_max = False, 60_000
    _addressed = False

    def release(self, order: Release) -> None:
        if not self._up:
            self._signals.append(Answered(Fault.NOT_CONNECTED))
            return
        if self._answer_by_ms is not None:
            self._signals.append(Answered(Fault.BUSY))
            return
        try:
            badge = Badge.of_claim(order.claim or "")
        except UsageError:
            self._signals.append(Answered(Fault.NO_BADGE))
            return
        self._answer_by_ms = self._now_ms() + ANSWER_MS
        event = {
            "event": osdp_sys.EVENT_CARDREAD,
            "reader_no": 0,
            "format": osdp_sys.CARD_FMT_RAW_WIEGAND,
            "direction": 0,
            "length": badge.bits,
            "data": badge.raw,
        }
        if not self._side.submit_event(event):
            self._answer(Fault.REFUSED)

    def lock(self) -> None:
        """The panel locks its own door."""

    def close(self) -> None:
        self._side.flush_events()
        self._line.close()

    def _make(self, flags: int) -> Any:
        self._addressed = False
        side = osdp_sys.PeripheralDevice(
            {
                "name": "terminal",
                "address": self._config.address,
                "flags": flags,
                "scbk": self._key,
                "channel": self._line,
                "version": 1,
                "model": 1,
                "vendor_code": 0,
                "serial_number": 0,
                "firmware_version": 1,
            },
            capabilities=CAPABILITIES,
        )
        side.set_command_callback(self._commanded)
        side.set_event_completion_callback(self._completed)
        return side

    def _is_up(self) -> bool:
        online = self._side.is_online()
        if online and not self._addressed:
            # The key has its time from here on, however long the line was silent before.
            self._addressed, self._begun_ms = True, self._now_ms()
        return bool(online and self._side.is_sc_active())

    def _in_order(self, keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """A panel that gave out a key has it, but for an answer of ours that was lost."""
        return keys[::-1]

    def _was_tried(self) -> bool:
        """A panel whose try failed waits for minutes: by then its next key must be here, and
        stay."""
        return self._addressed

    def _changed(self) -> None:
        if not self._up:
            self._side.flush_events()

    def _serve(self, now_ms: int) -> None:
        if self._answer_by_ms is not None and now_ms >= self._answer_by_ms:
            self._side.flush_events()
            self._answer(Fault.NO_ANSWER)

    def _completed(self, event: dict[str, Any], status: int) -> None:
        event.clear()
        self._answer(None if status == OK else Fault.NO_ANSWER)

    def _commanded(self, command: dict[str, Any]) -> tuple[int, None]:
        # The binding drops what is raised here.
        kind = command["command"]
        if kind == osdp_sys.CMD_KEYSET:
            return (self._take_key(command.pop("data")), None)
        return (OK if kind in TAKEN else REFUSED, None)

    def _take_key(self, raw: bytes) -> int:
        """On disk before the panel hears that it was taken."""
        try:
            self._key = self._keys.propose(raw)
        except (StorageError, UsageError):
            return REFUSED
        return OK
