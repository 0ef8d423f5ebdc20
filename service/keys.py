"""The service's keys, behind one small object.

Guarantees: every key has one use; the file is made atomically with mode 0600 in a
folder of mode 0700, and a file that others may read is refused. Keys never appear in
``repr``.

The caller must keep the file out of database backups: with the database alone, no
reference, claim or PIN can be read or tested.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from service.errors import Misconfigured
from wire import blind
from wire.envelope import SEED_BYTES, OpeningKey, SigningKey
from wire.ids import AccountId, TerminalId
from wire.messages import SealSuite

_SIZES = {
    "signing": 32,
    "log": 32,
    "seal": SEED_BYTES,
    "wrapping": 32,
    "claims": 32,
    "pins": 32,
    "transforms": 32,
}
_NONCE_BYTES = 12
# No claim begins with a zero byte, so these are never a claim's hash.
_ANSWERS = b"\x00countenance/answers"
_WEBHOOKS = b"\x00countenance/webhooks"
_BLINDING = b"\x00countenance/blinding"
_DOOR_CLAIMS = b"\x00countenance/door-claims"
_DOOR_NAMES = b"\x00countenance/door-names"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LogSigner:
    """Signs checkpoints of the audit log; ``name`` is the log's origin line."""

    name: str
    private: Ed25519PrivateKey

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KeyRing:
    """All the secrets of one service; see the module for what must be kept where."""

    signing: SigningKey
    log: LogSigner
    opening: OpeningKey
    wrapping: AESGCM
    claims: bytes
    pins: bytes
    transforms: bytes

    @classmethod
    def open(cls, folder: Path, *, log_name: str) -> KeyRing:
        """Reads ``folder/service.json``, making it at the first start.

        Raises :class:`Misconfigured` for a file that is damaged or too widely readable.
        """
        path = folder / "service.json"
        if not path.exists():
            _create(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Misconfigured(f"{path} may be read by others: chmod 600 it")
        try:
            stored = json.loads(path.read_text())
            raw = {name: b64decode(stored[name], validate=True) for name in _SIZES}
        except (OSError, ValueError, KeyError, TypeError):
            # The error may quote the file.
            raise Misconfigured(f"{path} is not a key file") from None
        if any(len(raw[name]) != size for name, size in _SIZES.items()):
            raise Misconfigured(f"{path} holds a key of the wrong length")
        return cls.from_raw(raw, log_name=log_name)

    @classmethod
    def from_raw(cls, raw: dict[str, bytes], *, log_name: str) -> KeyRing:
        signing = Ed25519PrivateKey.from_private_bytes(raw["signing"])
        kid = sha256(signing.public_key().public_bytes_raw()).digest()[:16]
        return cls(
            signing=SigningKey(signing, kid),
            log=LogSigner(name=log_name, private=Ed25519PrivateKey.from_private_bytes(raw["log"])),
            opening=OpeningKey.from_seed(SealSuite.MLKEM768_X25519, raw["seal"]),
            wrapping=AESGCM(raw["wrapping"]),
            claims=raw["claims"],
            pins=raw["pins"],
            transforms=raw["transforms"],
        )

    @classmethod
    def ephemeral(cls, *, log_name: str = "countenance.test/log") -> KeyRing:
        """A ring that is never stored, for tests."""
        return cls.from_raw(_generate(), log_name=log_name)

    def claim_hash(self, claim: str) -> bytes:
        """The keyed hash under which a claim is stored, 32 bytes."""
        return hmac.digest(self.claims, claim.encode(), "sha256")

    def blind(self, claim: str) -> bytes:
        """The digest of a claim that those of doors are made of, 32 bytes."""
        return blind.digest(claim, blind.number(self.claims, _BLINDING))

    def door_claim(self, blinded: bytes, terminal: TerminalId) -> bytes:
        """The claim's digest at one door, 32 bytes."""
        return blind.turn(blinded, self._door_number(terminal))

    def door_claim_key(self, terminal: TerminalId) -> bytes:
        """What that door makes such digests with, 32 bytes."""
        return blind.product(blind.number(self.claims, _BLINDING), self._door_number(terminal))

    def _door_number(self, terminal: TerminalId) -> int:
        return blind.number(self.claims, _DOOR_CLAIMS + terminal.raw)

    def door_name(self, account: AccountId, terminal: TerminalId) -> bytes:
        """What an account goes by at one door, 16 bytes; two doors' names cannot be linked."""
        return self._names(terminal).encryptor().update(account.raw)

    def account_named(self, name: bytes, terminal: TerminalId) -> AccountId:
        """Whose name it is; an account that does not exist, where it is nobody's."""
        return AccountId(self._names(terminal).decryptor().update(name))

    def _names(self, terminal: TerminalId) -> Cipher[ECB]:
        key = hmac.digest(self.claims, _DOOR_NAMES + terminal.raw, "sha256")
        # One block, so a permutation of all ids: there is nothing that a mode could chain.
        return Cipher(AES256(key), ECB())  # noqa: S305

    def seal_answer(self, answer: bytes, slot: bytes) -> bytes:
        """Encrypts an answer that is kept under an idempotency key's slot, 32 bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._answers.encrypt(nonce, answer, slot)

    def open_answer(self, sealed: bytes, slot: bytes) -> bytes | None:
        """None for an answer of another slot or ring."""
        try:
            return self._answers.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], slot)
        except (InvalidTag, ValueError):
            return None

    @property
    def _answers(self) -> AESGCM:
        return AESGCM(hmac.digest(self.claims, _ANSWERS, "sha256"))

    def webhook_secret(self, webhook: bytes, version: int) -> bytes:
        """The secret that a webhook's events are signed with, 32 bytes; it is stored nowhere."""
        return hmac.digest(self.claims, _WEBHOOKS + webhook + version.to_bytes(4, "big"), "sha256")

    def wrap(self, data_key: bytes, account: AccountId) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.wrapping.encrypt(nonce, data_key, b"data-key" + account.raw)

    def unwrap(self, wrapped: bytes, account: AccountId) -> bytes | None:
        """The account's data key; None for one wrapped for another account or ring."""
        nonce, box = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return self.wrapping.decrypt(nonce, box, b"data-key" + account.raw)
        except (InvalidTag, ValueError):
            return None

    def __repr__(self) -> str:
        return f"KeyRing(kid={self.signing.kid.hex()})"


def check_row(key: SigningKey, signature: bytes, content: bytes, what: str) -> None:
    """Raises :class:`Misconfigured` for a row of the database that this service did not sign."""
    try:
        key.private.public_key().verify(signature, content)
    except InvalidSignature as error:
        raise Misconfigured(f"{what} was not signed by this service") from error


def _generate() -> dict[str, bytes]:
    return {name: secrets.token_bytes(size) for name, size in _SIZES.items()}


def _create(path: Path) -> None:
    """Writes a new ring; where several processes start at once, one of them wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    document = {name: b64encode(key).decode() for name, key in _generate().items()}
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
