"""What a lock says of itself by Home Assistant's MQTT discovery: its topics and payloads.

Guarantees: :meth:`LockTopics.parse` takes any bytes, and gives topics without wildcards or None.
Short names of keys (``cmd_t``, ``~``) are read as their long ones. A lock without a state topic
is refused: what it does could not be confirmed. Templates are not run.

Source: home-assistant.io, "MQTT Lock" and "MQTT discovery".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

CONFIG_BYTES_MAX = 16 * 1024
TEXT_CHARS_MAX = 250
SHORT = {
    "cmd_t": "command_topic",
    "stat_t": "state_topic",
    "avty_t": "availability_topic",
    "avty": "availability",
    "pl_lock": "payload_lock",
    "pl_unlk": "payload_unlock",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "stat_locked": "state_locked",
    "stat_unlocked": "state_unlocked",
    "stat_jam": "state_jammed",
    "t": "topic",
}
TEMPLATES = frozenset(
    {"value_template", "val_tpl", "command_template", "cmd_tpl", "code_format", "cod_form"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTopics:
    command: str
    state: str
    availability: str | None
    lock: str
    unlock: str
    locked: str
    unlocked: str
    jammed: str
    available: str
    not_available: str

    @classmethod
    def parse(cls, raw: bytes) -> LockTopics | None:
        """None for what is no lock that can be used."""
        try:
            if len(raw) > CONFIG_BYTES_MAX:
                return None
            read = json.loads(raw)
            if not isinstance(read, dict) or TEMPLATES & read.keys():
                return None
            fields = _long(read)
            base = _text(fields.get("~", ""), empty=True)
            availability, available, not_available = _availability(fields)
            return cls(
                command=_topic(fields["command_topic"], base),
                state=_topic(fields["state_topic"], base),
                availability=_topic(availability, base) if availability else None,
                lock=_text(fields.get("payload_lock", "LOCK")),
                unlock=_text(fields.get("payload_unlock", "UNLOCK")),
                locked=_text(fields.get("state_locked", "LOCKED")),
                unlocked=_text(fields.get("state_unlocked", "UNLOCKED")),
                jammed=_text(fields.get("state_jammed", "JAMMED")),
                available=_text(available),
                not_available=_text(not_available),
            )
        except (KeyError, TypeError, ValueError, RecursionError):
            return None


def _availability(fields: dict[str, Any]) -> tuple[str | None, str, str]:
    """Topic and payloads; of several topics none is taken, so such a lock is refused."""
    topic, payloads = fields.get("availability_topic"), fields
    listed = fields.get("availability")
    if listed is not None:
        (one,) = listed if isinstance(listed, list) else [listed]
        payloads = _long(one)
        topic = payloads["topic"]
    return (
        topic,
        payloads.get("payload_available", "online"),
        payloads.get("payload_not_available", "offline"),
    )


def _long(fields: dict[str, Any]) -> dict[str, Any]:
    return {SHORT.get(key, key): value for key, value in fields.items()}


def _topic(value: object, base: str) -> str:
    topic = _text(value)
    if topic.startswith("~"):
        topic = base + topic[1:]
    elif topic.endswith("~"):
        topic = topic[:-1] + base
    if any(each in topic for each in "+#") or topic.startswith("$"):
        raise ValueError("no topic of its own")
    return _text(topic)


def _text(value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > TEXT_CHARS_MAX:
        raise ValueError("no text")
    if not value and not empty:
        raise ValueError("empty")
    return value
