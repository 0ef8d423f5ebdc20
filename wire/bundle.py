"""What a door needs to decide while the service cannot be asked, and how it is kept current.

A bundle is numbered, expires, and is signed by the service; its roster is sealed to one door
terminal's key. Between bundles the door asks in short intervals how its bundle stands.

Guarantees: those of :mod:`wire.messages`. A roster holds no claim, name, account id or PIN: people
go by a name that only this door and the service use, claims by digests (:mod:`wire.blind`).

The caller must still check terminal, door, number and time of a bundle, and that an answer has the
nonce of its request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from wire import codec
from wire.blind import DIGEST_BYTES, NUMBER_BYTES
from wire.codec import Message, on_wire
from wire.ids import DoorId, ReleaseId, TerminalId
from wire.messages import (
    MODEL_ID_BYTES,
    NONCE_BYTES,
    PERSON_BYTES,
    REFERENCES_MAX,
    Factor,
    Level,
    SealSuite,
)

BUNDLE_LABEL = b"countenance/v1/bundle"
BUNDLE_BYTES_MAX = 4_000_000
ENVELOPE_BYTES_MAX = 1_024
PEOPLE_MAX = 5_000
GRANTS_MAX = 5_000
GRANTS_OF_ONE_MAX = 64
HOLIDAYS_MAX = 32
REVOKED_MAX = 4_096
DIMENSIONS_MAX = 1_024
SCHEDULE_CHARS_MAX = 1_000
CLAIM_BYTES = DIGEST_BYTES // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterGrant(Message):
    """A right to pass, as :class:`access.rules.Grant` has it."""

    schedule: str = field(metadata=on_wire(1, codec.text(SCHEDULE_CHARS_MAX)))
    time_zone: str = field(metadata=on_wire(2, codec.text(80)))
    valid_from_ms: int = field(metadata=on_wire(3, codec.uint()))
    valid_until_ms: int = field(metadata=on_wire(4, codec.uint()))
    through_lockdown: bool = field(metadata=on_wire(5, codec.flag()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterPerson(Message):
    """Somebody who is granted at the door.

    ``claim`` is the digest's first half under the roster's ``claim_key``; ``grants`` counts in
    the roster's list; ``references`` are the face's embeddings one after the other, a signed byte
    for each number, of any length as vectors. ``inside`` and ``since_ms`` are where the person
    was last seen; ``failures`` and ``locked_until_ms`` the face's consecutive failures.
    """

    person: bytes = field(metadata=on_wire(1, codec.octets(PERSON_BYTES)))
    claim: bytes = field(repr=False, metadata=on_wire(2, codec.octets(CLAIM_BYTES)))
    grants: tuple[int, ...] = field(
        metadata=on_wire(3, codec.many(codec.uint(GRANTS_MAX - 1), GRANTS_OF_ONE_MAX, minimum=1))
    )
    references: bytes = field(
        repr=False, metadata=on_wire(4, codec.octets(64, DIMENSIONS_MAX * REFERENCES_MAX))
    )
    visit_until_ms: int | None = field(
        default=None, metadata=on_wire(5, codec.uint(), optional=True)
    )
    inside: bool | None = field(default=None, metadata=on_wire(6, codec.flag(), optional=True))
    since_ms: int | None = field(default=None, metadata=on_wire(7, codec.uint(), optional=True))
    failures: int | None = field(default=None, metadata=on_wire(8, codec.uint(), optional=True))
    locked_until_ms: int | None = field(
        default=None, metadata=on_wire(9, codec.uint(), optional=True)
    )

    def __post_init__(self) -> None:
        if (self.inside is None) != (self.since_ms is None):
            raise ValueError("who is somewhere is there since some time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster(Message):
    """What a bundle has sealed.

    ``threshold_micro`` is the cosine from which on a face matches, in millionths, as the service
    takes it from calibration and policy. ``mode``, ``passback`` and the four that follow are the
    zone's rules (:class:`access.rules.ZoneRules`), ``holidays`` days counted from 0001-01-01, the
    lockout's four numbers those of :class:`access.lockout.Lockout`. ``others_inside`` are in the
    zone and not in the list; of people who only wait for a second one nothing is known.
    """

    BYTES_MAX = BUNDLE_BYTES_MAX
    model_id: bytes = field(metadata=on_wire(1, codec.octets(MODEL_ID_BYTES)))
    dimensions: int = field(metadata=on_wire(2, codec.uint(DIMENSIONS_MAX)))
    threshold_micro: int = field(metadata=on_wire(3, codec.uint(1_000_000)))
    factor: Factor = field(metadata=on_wire(4, codec.code(Factor)))
    level: Level = field(metadata=on_wire(5, codec.code(Level)))
    claim_key: bytes = field(repr=False, metadata=on_wire(6, codec.octets(NUMBER_BYTES)))
    mode: str = field(metadata=on_wire(7, codec.text(20)))
    passback: str = field(metadata=on_wire(8, codec.text(20)))
    passback_timeout_ms: int | None = field(metadata=on_wire(9, codec.uint(), optional=True))
    occupancy_max: int | None = field(metadata=on_wire(10, codec.uint(), optional=True))
    two_person_ms: int | None = field(metadata=on_wire(11, codec.uint(), optional=True))
    others_inside: int = field(metadata=on_wire(12, codec.uint()))
    holidays: tuple[int, ...] = field(
        metadata=on_wire(13, codec.many(codec.uint(3_652_059), HOLIDAYS_MAX))
    )
    lockout: tuple[int, ...] = field(metadata=on_wire(14, codec.many(codec.uint(), 4, minimum=4)))
    grants: tuple[RosterGrant, ...] = field(
        metadata=on_wire(15, codec.many(codec.nested(RosterGrant), GRANTS_MAX))
    )
    people: tuple[RosterPerson, ...] = field(
        repr=False, metadata=on_wire(16, codec.many(codec.nested(RosterPerson), PEOPLE_MAX))
    )

    def __post_init__(self) -> None:
        if not all(
            max(each.grants) < len(self.grants)
            and self.dimensions
            and len(each.references) % self.dimensions == 0
            for each in self.people
        ):
            raise ValueError("people have grants of the list, and whole embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest(Message):
    """Asks for a new bundle, of faces by this model, sealed to this key of the door's terminal."""

    LABEL = "countenance/v1/bundle-request"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    model_id: bytes = field(metadata=on_wire(3, codec.octets(MODEL_ID_BYTES)))
    seal_suite: SealSuite = field(metadata=on_wire(4, codec.code(SealSuite)))
    seal_key: bytes = field(metadata=on_wire(5, codec.octets(32, 2048)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Message):
    """A door may decide by it from ``issued_at_ms`` up to, not including, ``expires_at_ms``.

    ``number`` counts a terminal's bundles from 1; ``sequence`` is the last of the door's records
    that is already in it.
    """

    LABEL = "countenance/v1/bundle"
    BYTES_MAX = BUNDLE_BYTES_MAX + ENVELOPE_BYTES_MAX
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    door: DoorId = field(metadata=on_wire(2, codec.ident(DoorId)))
    nonce: bytes = field(metadata=on_wire(3, codec.octets(NONCE_BYTES)))
    number: int = field(metadata=on_wire(4, codec.uint()))
    issued_at_ms: int = field(metadata=on_wire(5, codec.uint()))
    expires_at_ms: int = field(metadata=on_wire(6, codec.uint()))
    sequence: int = field(metadata=on_wire(7, codec.uint()))
    sealed: bytes = field(repr=False, metadata=on_wire(8, codec.octets(1, BUNDLE_BYTES_MAX)))

    @property
    def binding(self) -> bytes:
        """The HPKE ``info``: it ties the roster to this bundle's clear part."""
        clear = self.to_map()
        del clear[8]
        return BUNDLE_LABEL + sha256(codec.encode(clear)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorBeat(Message):
    """How a door is, every few seconds; asks how its bundle stands.

    ``at_ms`` is by the door's own clock; ``bundle`` the number of the bundle that it has, 0 without
    one; ``sequence`` and ``head`` the end of its records, of which ``waiting`` were not
    acknowledged; ``camera`` and ``lock`` whether each of them answers; ``fail_safe`` whether the
    lock lets people through without power, as the terminal was told when it was wired, or None
    where it was not.
    """

    LABEL = "countenance/v1/door-beat"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    at_ms: int = field(metadata=on_wire(3, codec.uint()))
    bundle: int = field(metadata=on_wire(4, codec.uint()))
    sequence: int = field(metadata=on_wire(5, codec.uint()))
    head: bytes = field(metadata=on_wire(6, codec.octets(32)))
    waiting: int = field(metadata=on_wire(7, codec.uint()))
    camera: bool = field(metadata=on_wire(8, codec.flag()))
    lock: bool = field(metadata=on_wire(9, codec.flag()))
    fail_safe: bool | None = field(default=None, metadata=on_wire(10, codec.flag(), optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorStanding(Message):
    """How a door's bundle stands; ``nonce`` is the beat's, ``now_ms`` the service's Unix time.

    ``renew``: another one is to be fetched. ``revoked`` counts those in the roster whose rights
    changed since: nobody is to be let in by them. ``void``: the bundle is not to be used at all.
    ``fail_safe``: what the service has written down of the lock; a terminal that was wired for the
    other kind says so to whoever stands there, and changes nothing by itself. ``release``: an
    operator opens the door by hand, once; its records come under this id as an attempt's.
    """

    LABEL = "countenance/v1/door-standing"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    now_ms: int = field(metadata=on_wire(3, codec.uint()))
    bundle: int = field(metadata=on_wire(4, codec.uint()))
    renew: bool = field(metadata=on_wire(5, codec.flag()))
    void: bool = field(metadata=on_wire(6, codec.flag()))
    revoked: tuple[int, ...] = field(
        metadata=on_wire(7, codec.many(codec.uint(PEOPLE_MAX - 1), REVOKED_MAX))
    )
    fail_safe: bool = field(metadata=on_wire(8, codec.flag()))
    release: ReleaseId | None = field(
        default=None, metadata=on_wire(9, codec.ident(ReleaseId), optional=True)
    )
