"""Passkeys (WebAuthn level 3): how operators and customers sign in, with the library ``webauthn``.

Guarantees: a challenge is good once, for two minutes and for its own kind of holder; user
verification is required, so a passkey is two factors; a signature counter that does not rise is
refused (a cloned key); the answer must be of these pages' origin.

The caller must still bind the result to a new session.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, LiteralString, TypeVar
from urllib.parse import urlsplit

import webauthn
from psycopg import Connection
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from service.db import Row
from wire.ids import Id

CHALLENGE_TTL_MS = 120_000
PER_HOLDER_MAX = 10
T = TypeVar("T", bound=Id)


class PasskeyError(Exception):
    """The answer of the browser is not accepted; says no more."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The pages as browsers know them: ``origin`` is scheme, host and port."""

    origin: str

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders(Generic[T]):
    """One kind of people with passkeys: ``table`` has the passkeys, whose column ``owner`` is the
    id of a row of ``people``; who is not ``admitted`` any more does not sign in."""

    id: type[T]
    table: LiteralString
    owner: LiteralString
    people: LiteralString
    admitted: LiteralString

    def digest(self, challenge: bytes) -> bytes:
        return sha256(self.table.encode() + challenge).digest()


def _draw(conn: Connection[Row], holders: Holders[T], now_ms: int) -> bytes:
    challenge = secrets.token_bytes(32)
    conn.execute("DELETE FROM passkey_ceremonies WHERE expires_at_ms <= %s", (now_ms,))
    conn.execute(
        "INSERT INTO passkey_ceremonies (challenge_hash, expires_at_ms) VALUES (%s, %s)",
        (holders.digest(challenge), now_ms + CHALLENGE_TTL_MS),
    )
    return challenge


def _take(conn: Connection[Row], holders: Holders[T], client_data: bytes, now_ms: int) -> bytes:
    """The challenge that the answer names, if it is one of ours; it is used up."""
    challenge = bytes(parse_client_data_json(client_data).challenge)
    done = conn.execute(
        "DELETE FROM passkey_ceremonies WHERE challenge_hash = %s AND expires_at_ms > %s",
        (holders.digest(challenge), now_ms),
    )
    if done.rowcount != 1:
        raise PasskeyError("the challenge is unknown, used or expired")
    return challenge


def offer_registration(
    conn: Connection[Row],
    holders: Holders[T],
    party: RelyingParty,
    holder: T,
    name: str,
    *,
    now_ms: int,
) -> str:
    """The JSON for ``navigator.credentials.create``; ``name`` is what the browser calls it."""
    known = conn.execute(
        f"SELECT credential_id FROM {holders.table} WHERE {holders.owner} = %s", (holder.raw,)
    ).fetchall()
    options = webauthn.generate_registration_options(
        rp_id=party.host,
        rp_name="Countenance",
        user_id=holder.raw,
        user_name=name,
        challenge=_draw(conn, holders, now_ms),
        timeout=CHALLENGE_TTL_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=bytes(raw)) for (raw,) in known],
    )
    return webauthn.options_to_json(options)


def register(
    conn: Connection[Row],
    holders: Holders[T],
    party: RelyingParty,
    holder: T,
    answer: str,
    *,
    now_ms: int,
) -> None:
    """Keeps a new passkey. Raises :class:`PasskeyError`."""
    try:
        credential = parse_registration_credential_json(answer)
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=_take(conn, holders, credential.response.client_data_json, now_ms),
            expected_rp_id=party.host,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyError(type(error).__name__) from None
    done = conn.execute(
        f"""INSERT INTO {holders.table} (credential_id, {holders.owner}, public_key, sign_count,
        created_at_ms) SELECT %(id)s, %(holder)s, %(key)s, %(count)s, %(now)s
        WHERE (SELECT count(*) FROM {holders.table} WHERE {holders.owner} = %(holder)s) < %(most)s
        ON CONFLICT DO NOTHING""",
        {
            "id": verified.credential_id,
            "holder": holder.raw,
            "key": verified.credential_public_key,
            "count": verified.sign_count,
            "now": now_ms,
            "most": PER_HOLDER_MAX,
        },
    )
    if done.rowcount != 1:
        raise PasskeyError("too many passkeys, or one that is known")


def offer_sign_in(
    conn: Connection[Row], holders: Holders[T], party: RelyingParty, *, now_ms: int
) -> str:
    """The JSON for ``navigator.credentials.get``: any passkey of these pages."""
    options = webauthn.generate_authentication_options(
        rp_id=party.host,
        challenge=_draw(conn, holders, now_ms),
        timeout=CHALLENGE_TTL_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def sign_in(
    conn: Connection[Row], holders: Holders[T], party: RelyingParty, answer: str, *, now_ms: int
) -> T:
    """Whose passkey it is. Raises :class:`PasskeyError`."""
    try:
        credential = parse_authentication_credential_json(answer)
        challenge = _take(conn, holders, credential.response.client_data_json, now_ms)
        row = conn.execute(
            f"""SELECT {holders.owner}, public_key, sign_count FROM {holders.table} k
            JOIN {holders.people} USING ({holders.owner})
            WHERE credential_id = %s AND {holders.admitted} FOR UPDATE OF k""",
            (base64url_to_bytes(credential.id),),
        ).fetchone()
        if row is None:
            raise PasskeyError("an unknown passkey")
        holder, public_key, count = row
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            credential_public_key=bytes(public_key),
            credential_current_sign_count=count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyError(type(error).__name__) from None
    conn.execute(
        f"UPDATE {holders.table} SET sign_count = %s, used_at_ms = %s WHERE credential_id = %s",
        (verified.new_sign_count, now_ms, verified.credential_id),
    )
    return holders.id(holder)


def remove_all(conn: Connection[Row], holders: Holders[T], holder: T) -> None:
    conn.execute(f"DELETE FROM {holders.table} WHERE {holders.owner} = %s", (holder.raw,))


def list_passkeys(
    conn: Connection[Row], holders: Holders[T], holder: T
) -> list[tuple[bytes, int, int | None]]:
    """(credential, made, last used), the oldest first."""
    rows = conn.execute(
        f"""SELECT credential_id, created_at_ms, used_at_ms FROM {holders.table}
        WHERE {holders.owner} = %s ORDER BY created_at_ms, credential_id""",
        (holder.raw,),
    ).fetchall()
    return [(bytes(raw), made, used) for raw, made, used in rows]


def name_of(credential: bytes) -> str:
    """The credential as browsers and addresses write it."""
    return bytes_to_base64url(credential)


def named(name: str) -> bytes | None:
    """What :func:`name_of` wrote; None for no such name."""
    try:
        return base64url_to_bytes(name)
    except ValueError:
        return None


def remove(conn: Connection[Row], holders: Holders[T], holder: T, credential: bytes) -> bool:
    done = conn.execute(
        f"DELETE FROM {holders.table} WHERE {holders.owner} = %s AND credential_id = %s",
        (holder.raw, credential),
    )
    return done.rowcount == 1
