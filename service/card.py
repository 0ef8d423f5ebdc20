"""Steps (5) to (8) of an attempt without a face: card, code or badge, and PIN.

Guarantees: those of :mod:`service.authorize`. There is no liveness and no comparison to skip: each
step takes and makes a stage of its own. The PIN has its own lockout, and is mandatory. An unknown
claim goes through the same steps as a known one, against a decoy.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.enrolment import accounts
from service.enrolment.accounts import Account
from service.keys import KeyRing
from service.ledger import store as ledger
from service.stages import (
    CardClaimed,
    CardOpened,
    CardVerified,
    Challenged,
    Denied,
    Permitted,
)
from service.verification.pin import PinHasher, is_pin
from service.verification.protection import new_data_key
from wire.denial import Denial
from wire.errors import SealError, WireError
from wire.ids import AccountId
from wire.messages import NO_BIOMETRICS, CardEvidence, CardProbe, EnrolmentContext, Factor, Level


class CardJudge:
    def __init__(self, keys: KeyRing, pins: PinHasher, decoy: Account) -> None:
        self._keys = keys
        self._pins = pins
        self._decoy = decoy

    def open(self, challenged: Challenged[CardEvidence]) -> CardOpened | Denied:
        """(5)"""
        evidence = challenged.evidence
        denial = challenged.policy.refuse_card(evidence.context)
        if denial is not None:
            return Denied(denial)
        try:
            opened = self._keys.opening.unseal(evidence.sealed, evidence.binding)
            return CardOpened(challenged, CardProbe.decode(opened))
        except (SealError, WireError, ValueError):
            return Denied(Denial.PROBE_UNREADABLE)

    def claim(self, conn: Connection[Row], opened: CardOpened) -> CardClaimed:
        """(7)"""
        account = accounts.lock_by_claim(conn, self._keys.claim_hash(opened.probe.claim))
        if account is None:
            return CardClaimed(opened, self._decoy, Denial.ACCOUNT_UNKNOWN)
        standing = Denial.ACCOUNT_SUSPENDED if account.state != "active" else None
        return CardClaimed(opened, account, standing)

    def verify(
        self, conn: Connection[Row], claimed: CardClaimed, now_ms: int
    ) -> CardVerified | Denied:
        """(8) Hashes the PIN in every case, so that the time does not tell why it was denied."""
        account, challenged = claimed.account, claimed.opened.challenged
        pin, duress = self._pins.judge(
            account.pin_hash, account.duress_hash, claimed.opened.probe.pin, account.account
        )
        locked = Denial.PIN_LOCKED if account.tallies.pin.is_locked(now_ms) else None
        denial = claimed.standing or locked or pin
        tallies = account.tallies.after(
            denial,
            factor=Factor.CARD_PIN,
            lockout=challenged.policy.lockout,
            pin_lockout=challenged.policy.pin_lockout,
            level=Level.NONE,
            now_ms=now_ms,
        )
        accounts.set_tallies(conn, account.account, tallies)
        if denial is None:
            return CardVerified(claimed, duress)
        return Denied(denial, None if denial is Denial.ACCOUNT_UNKNOWN else account.account)

    def enrol(self, conn: Connection[Row], opened: CardOpened, now_ms: int) -> Permitted | Denied:
        """(7) to (9) for an enrolment: a new claim, a PIN, a wallet; no consent to biometrics."""
        context, policy = opened.challenged.evidence.context, opened.challenged.policy
        if not isinstance(context, EnrolmentContext):
            raise RuntimeError("not an enrolment")
        account, pin = context.account, opened.probe.pin
        claim_hash = self._keys.claim_hash(opened.probe.claim)
        if context.consent_version != NO_BIOMETRICS:
            return Denied(Denial.CONSENT_MISSING)
        if not is_pin(pin):
            return Denied(Denial.PIN_MISSING)
        if accounts.claim_taken(conn, claim_hash, account):
            return Denied(Denial.CLAIM_TAKEN)
        self._create(conn, account, opened.probe.claim, pin, now_ms)
        ledger.open_wallet(conn, account, policy.currency)
        return Permitted(account, account.raw, policy.challenge_ttl_ms)

    def _create(
        self, conn: Connection[Row], account: AccountId, claim: str, pin: str, now_ms: int
    ) -> None:
        accounts.create(
            conn,
            account,
            claim_hash=self._keys.claim_hash(claim),
            blinded=self._keys.blind(claim),
            consent_version=None,
            wrapped_key=self._keys.wrap(new_data_key(), account),
            holder_mode=False,
            pin_hash=self._pins.hash(pin, account),
            references=(),
            now_ms=now_ms,
        )
