"""Steps (7) to (9) of an enrolment by face, and what a later verification adds to it.

Guarantees: a claim is one account's; the embeddings of one enrolment agree with each other, and
are stored only as :mod:`service.verification.protection` keeps them.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.enrolment import accounts
from service.faces import agree, protect_face
from service.keys import KeyRing
from service.ledger import store as ledger
from service.stages import Denied, Live, Permitted, Verified
from service.verification.pin import PinHasher, is_pin
from service.verification.protection import new_data_key
from wire.denial import Denial
from wire.messages import EnrolmentContext


def enrol_face(
    conn: Connection[Row], keys: KeyRing, pins: PinHasher, live: Live, now_ms: int
) -> Permitted | Denied:
    """A new claim, references of one person, a wallet."""
    opened, challenged = live.opened, live.opened.challenged
    context, probe, policy = challenged.evidence.context, opened.probe, challenged.policy
    if not isinstance(context, EnrolmentContext):
        raise RuntimeError("not an enrolment")
    account, claim_hash = context.account, keys.claim_hash(probe.claim)
    if not policy.accepts_consent(context.consent_version):
        return Denied(Denial.CONSENT_MISSING)
    if probe.pin is not None and not is_pin(probe.pin):
        return Denied(Denial.PIN_MISSING)
    if accounts.claim_taken(conn, claim_hash, account):
        return Denied(Denial.CLAIM_TAKEN)
    if not all(agree(face, opened.tier) for face in opened.faces):
        return Denied(Denial.REFERENCES_DISAGREE)
    data_key = new_data_key()
    accounts.create(
        conn,
        account,
        claim_hash=claim_hash,
        blinded=keys.blind(probe.claim),
        consent_version=context.consent_version,
        wrapped_key=keys.wrap(data_key, account),
        holder_mode=probe.holder_share is not None,
        pin_hash=pins.hash(probe.pin, account) if probe.pin else None,
        references=[
            reference
            for face in opened.faces
            for reference in protect_face(account, face, probe, data_key, keys)
        ],
        now_ms=now_ms,
    )
    ledger.open_wallet(conn, account, policy.currency)
    return Permitted(account, account.raw, policy.challenge_ttl_ms)


def bring_up_to_date(
    conn: Connection[Row], keys: KeyRing, verified: Verified, now_ms: int
) -> bytes | None:
    """Keeps what an earlier enrolment lacks: the digest of the claim that doors are told, and a
    better model's view of the face that was just verified by a lesser one.

    Returns the new reference's model.
    """
    opened, account = verified.claimed.live.opened, verified.claimed.account
    if not account.blinded:
        claim = opened.probe.claim
        accounts.keep_blinded(conn, keys.claim_hash(claim), keys.blind(claim))
    best = opened.faces[0]
    if best is verified.claimed.face or account.wrapped_key is None:
        return None
    data_key = keys.unwrap(account.wrapped_key, account.account)
    if data_key is None:
        return None
    references = protect_face(account.account, best, opened.probe, data_key, keys)
    accounts.add_references(conn, references, now_ms=now_ms)
    return best.model_id
