"""The operators' acts, each in one transaction with its audit leaf.

The commands and the JSON API both call these. The caller must say who may call: the commands
run on the service's own machine, and the API gives ``actor``, the token that it checked.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.access import store as access
from service.access.rules import Grant
from service.audit import log
from service.audit.leaf import ActLeaf
from service.audit.merkle import leaf_hash
from service.clock import Clock, unix_ms
from service.db import Database, Row
from service.enrolment import accounts
from service.keys import KeyRing
from service.ledger import rules
from service.ledger import store as ledger
from service.ledger.rules import AccountKind, Transfer
from service.ledger.transfers import create_transfer
from service.operators import records, tokens
from service.operators.tokens import ApiToken, Scope, TokenId
from service.terminals import registration
from service.terminals import store as terminals
from service.terminals.store import Terminal
from wire.denial import Denial
from wire.ids import AccountId, DoorId, Id, MerchantId, TerminalId, TransferId
from wire.messages import TerminalKind
from wire.money import Money


class Refusal(StrEnum):
    """Why an act was not carried out, where the ledger did not say it."""

    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_ERASED = "account_erased"
    TRANSFER_ID_REUSED = "transfer_id_reused"


_OF_LEDGER = {rules.Refusal.TRANSFER_ID_REUSED: Refusal.TRANSFER_ID_REUSED}


@dataclass(frozen=True, slots=True)
class Operations:
    database: Database
    keys: KeyRing
    clock: Clock = unix_ms
    actor: TokenId | None = None

    def add_merchant(self, name: str, currency: str) -> MerchantId:
        merchant = MerchantId.new()
        with self.database.transaction() as conn:
            conn.execute(
                "INSERT INTO merchants (merchant_id, name, currency, created_at_ms)"
                " VALUES (%s, %s, %s, %s)",
                (merchant.raw, name, currency, self.clock()),
            )
            ledger.open_merchant(conn, merchant, currency)
            self._record(conn, "merchant.add", merchant)
        return merchant

    def add_door(self, name: str) -> DoorId:
        door = DoorId.new()
        with self.database.transaction() as conn:
            access.add_door(conn, access.Door(door=door, name=name), now_ms=self.clock())
            self._record(conn, "door.add", door)
        return door

    def add_terminal(
        self,
        kind: TerminalKind,
        name: str,
        *,
        merchant: MerchantId | None = None,
        door: DoorId | None = None,
        site: str = "",
        currency: str = "EUR",
    ) -> tuple[TerminalId, str]:
        """Returns the terminal and its one-time registration code, which is shown only now."""
        code = registration.new_code(self.keys.signing.public)
        terminal = Terminal(
            terminal=TerminalId.new(),
            kind=kind,
            name=name,
            merchant=merchant,
            door=door,
            public_key=None,
            revoked=False,
            site=site,
        )
        now_ms = self.clock()
        with self.database.transaction() as conn:
            terminals.add_terminal(
                conn,
                terminal,
                code_hash=registration.code_hash(code, self.keys.claims),
                code_expires_at_ms=now_ms + registration.CODE_TTL_MS,
                now_ms=now_ms,
            )
            if kind is TerminalKind.ATM:
                ledger.open_cassette(conn, terminal.terminal, currency)
            self._record(conn, "terminal.add", terminal.terminal)
        return terminal.terminal, code

    def revoke_terminal(self, terminal: TerminalId) -> bool:
        with self.database.transaction() as conn:
            done = terminals.revoke(conn, terminal, now_ms=self.clock())
            if done:
                self._record(conn, "terminal.revoke", terminal)
        return done

    def top_up(
        self, account: AccountId, money: Money, *, transfer: TransferId | None = None
    ) -> Denial | Refusal | None:
        """None where the money is in the wallet: asked again with the same id, it is no error."""
        wanted = transfer or TransferId.new()
        return self.database.run(lambda conn: self._top_up(conn, account, money, wanted))

    def _top_up(
        self, conn: Connection[Row], account: AccountId, money: Money, transfer: TransferId
    ) -> Denial | Refusal | None:
        earlier = records.find_transfer(conn, transfer)
        if earlier is not None:
            same = earlier == records.TopUp(transfer=transfer, account=account, money=money)
            return None if same else Refusal.TRANSFER_ID_REUSED
        state = records.account_state(conn, account)
        if state is None:
            return Refusal.ACCOUNT_UNKNOWN
        if state == "erased":
            return Refusal.ACCOUNT_ERASED
        ledger.open_house(conn, AccountKind.FUNDING, money.currency)
        refusal = self._move(
            conn, "account.top-up", account, Transfer.top_up(transfer, account, money)
        )
        return (_OF_LEDGER.get(refusal) or refusal.denial) if refusal else None

    def refund(
        self, of: TransferId, money: Money, *, transfer: TransferId | None = None
    ) -> rules.Refusal | None:
        """Gives a payment or withdrawal back, or a part; asked again with the same id, once."""
        wanted_id = transfer or TransferId.new()

        def work(conn: Connection[Row]) -> rules.Refusal | None:
            wanted = ledger.refund_of(conn, of, wanted_id, money)
            if wanted is None:
                return rules.Refusal.REFERENCE_UNKNOWN
            return self._move(conn, "transfer.refund", of, wanted)

        return self.database.run(work)

    def book_late_cash(
        self, of: TransferId, *, transfer: TransferId | None = None
    ) -> rules.Refusal | None:
        """Books cash that an ATM handed out after its hold had ended, from suspense."""
        wanted_id = transfer or TransferId.new()

        def work(conn: Connection[Row]) -> rules.Refusal | None:
            wanted = ledger.late_cash_of(conn, of, wanted_id)
            if wanted is None:
                return rules.Refusal.REFERENCE_UNKNOWN
            return self._move(conn, "transfer.late-cash", of, wanted)

        return self.database.run(work)

    def _move(
        self, conn: Connection[Row], act: str, subject: Id, wanted: Transfer
    ) -> rules.Refusal | None:
        """The transfer with its leaf; a transfer that was made before keeps the leaf it has."""
        leaf = self._leaf(act, subject, wanted)
        refusal = create_transfer(conn, wanted, now_ms=self.clock(), act=leaf_hash(leaf))
        if ledger.act_of(conn, wanted.transfer) == leaf_hash(leaf):
            log.append(conn, leaf)
        return refusal

    def set_account(self, account: AccountId, *, active: bool) -> bool:
        with self.database.transaction() as conn:
            done = accounts.set_state(conn, account, active=active)
            if done:
                self._record(conn, "account.resume" if active else "account.suspend", account)
        return done

    def erase_account(self, account: AccountId) -> bytes | None:
        """Returns the leaf hash of the erasure; None for unknown or erased accounts."""
        with self.database.transaction() as conn:
            if not accounts.erase(conn, account):
                return None
            return self._record(conn, "account.erase", account)

    def grant(self, account: AccountId, door: DoorId, grant: Grant) -> None:
        with self.database.transaction() as conn:
            access.set_grant(conn, account, door, grant)
            self._record(conn, "door.grant", account)

    def revoke_grant(self, account: AccountId, door: DoorId) -> bool:
        with self.database.transaction() as conn:
            done = access.revoke_grant(conn, account, door)
            if done:
                self._record(conn, "door.revoke", account)
        return done

    def add_token(
        self, name: str, scopes: Set[Scope], *, merchant: MerchantId | None, days: int
    ) -> tuple[TokenId, str]:
        """Returns the token's id and the token, which is shown only now.

        Raises ValueError for no scopes, for a merchant's token with scopes that are an
        operator's, and for more than ``TTL_DAYS_MAX`` days.
        """
        if not scopes or (merchant and not scopes <= tokens.MERCHANT_SCOPES):
            raise ValueError("a token has scopes, and a merchant's only those of merchants")
        if not 1 <= days <= tokens.TTL_DAYS_MAX:
            raise ValueError(f"a token lives 1 to {tokens.TTL_DAYS_MAX} days")
        secret, now_ms = tokens.new_token(), self.clock()
        token = ApiToken(
            token=TokenId.new(),
            name=name,
            scopes=frozenset(scopes),
            merchant=merchant,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + days * tokens.DAY_MS,
        )
        with self.database.transaction() as conn:
            tokens.add(conn, token, digest=tokens.token_hash(secret, self.keys.claims))
            self._record(conn, "token.add", token.token)
        return token.token, secret

    def revoke_token(self, token: TokenId) -> bool:
        with self.database.transaction() as conn:
            done = tokens.revoke(conn, token, now_ms=self.clock())
            if done:
                self._record(conn, "token.revoke", token)
        return done

    def _record(self, conn: Connection[Row], act: str, subject: Id) -> bytes:
        return log.append(conn, self._leaf(act, subject))

    def _leaf(self, act: str, subject: Id, moved: Transfer | None = None) -> bytes:
        return ActLeaf(
            at_ms=self.clock(),
            act=act,
            subject=str(subject),
            nonce=os.urandom(16),
            actor=str(self.actor) if self.actor else None,
            transfer=moved.transfer if moved else None,
            content=moved.content if moved else None,
        ).encode()
