"""The terminal's key and what it remembers: who it is, whom it trusts, how far it counted.

Guarantees: the Ed25519 key is made here and never leaves; files have mode 0600 in a folder of
mode 0700, and looser ones are refused. A counter is on disk before it is used, so it never goes
back.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal_client.errors import StorageError, UsageError
from wire.envelope import PUBLIC_KEY_BYTES, SigningKey
from wire.errors import WireError
from wire.ids import DoorId, MerchantId, TerminalId
from wire.messages import TerminalKind

FILE_BYTES_MAX = 4096
_UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError, WireError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A registered terminal. ``service_key`` is the pinned Ed25519 key of the service."""

    terminal: TerminalId
    kind: TerminalKind
    service_key: bytes
    merchant: MerchantId | None
    door: DoorId | None

    def require(self, kind: TerminalKind) -> None:
        """Raises :class:`UsageError` on a terminal of another kind."""
        if self.kind is not kind:
            raise UsageError(
                f"this is a terminal of the kind {self.kind.name.lower()}, not {kind.name.lower()}"
            )


class Keystore:
    def __init__(self, folder: Path) -> None:
        """Opens or makes the folder; raises :class:`StorageError`."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                raise StorageError(f"{folder} is open to others: chmod 700 it")
            raw = self._read("key", 32) or self._write("key", os.urandom(32))
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror}") from error
        self._private = Ed25519PrivateKey.from_private_bytes(raw)

    @property
    def public_key(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def registration_key(self) -> SigningKey:
        """Signs the registration, before the terminal has an id."""
        return SigningKey(self._private, sha256(self.public_key).digest()[:16])

    def signing_key(self, identity: Identity) -> SigningKey:
        return SigningKey(self._private, identity.terminal.raw)

    @property
    def identity(self) -> Identity | None:
        """None before the registration; raises :class:`StorageError` for a damaged file."""
        raw = self._read("identity", None)
        if raw is None:
            return None
        try:
            fields = json.loads(raw)
            identity = Identity(
                terminal=TerminalId.parse(fields["terminal"]),
                kind=TerminalKind(fields["kind"]),
                service_key=bytes.fromhex(fields["service_key"]),
                merchant=MerchantId.parse(fields["merchant"]) if fields["merchant"] else None,
                door=DoorId.parse(fields["door"]) if fields["door"] else None,
            )
        except _UNREADABLE as error:
            raise StorageError(f"{self._folder / 'identity'} is damaged") from error
        if _written(identity) != raw or len(identity.service_key) != PUBLIC_KEY_BYTES:
            raise StorageError(f"{self._folder / 'identity'} is damaged")
        return identity

    def remember(self, identity: Identity) -> None:
        self._write("identity", _written(identity))

    def till_token(self, *, renew: bool = False) -> str:
        """What the till shows to this terminal; made at the first call, or anew."""
        raw = None if renew else self._read("till-token", None)
        return (raw or self._write("till-token", secrets.token_urlsafe(32).encode())).decode()

    def next_counter(self) -> int:
        """Counts on, durably; raises :class:`StorageError` rather than using a number twice."""
        raw = self._read("counter", 8)
        counter = int.from_bytes(raw, "big") + 1 if raw else 1
        self._write("counter", counter.to_bytes(8, "big"))
        return counter

    def secret(self, name: str) -> bytes | None:
        """A secret that :meth:`keep` kept; raises :class:`StorageError`."""
        return self._read(f"{name}.secret", None)

    def keep(self, name: str, secret: bytes) -> None:
        """Keeps a door's key or password; raises :class:`StorageError`."""
        self._write(f"{name}.secret", secret)

    def forget(self, name: str) -> None:
        """Raises :class:`StorageError`."""
        path = self._folder / f"{name}.secret"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def _read(self, name: str, size: int | None) -> bytes | None:
        path = self._folder / name
        try:
            mode = path.stat().st_mode
            with path.open("rb") as file:
                raw = file.read(FILE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise StorageError(f"{path} may be read by others: chmod 600 it")
        if size is not None and len(raw) != size:
            raise StorageError(f"{path} is damaged")
        return raw

    def _write(self, name: str, content: bytes) -> bytes:
        write_whole(self._folder / name, content)
        return content


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all, and on disk when it returns; raises :class:`StorageError`."""
    draft = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _written(identity: Identity) -> bytes:
    fields = {
        "terminal": str(identity.terminal),
        "kind": int(identity.kind),
        "service_key": identity.service_key.hex(),
        "merchant": str(identity.merchant) if identity.merchant else None,
        "door": str(identity.door) if identity.door else None,
    }
    return json.dumps(fields).encode()
