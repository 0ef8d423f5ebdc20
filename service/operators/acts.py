"""The operators' acts, each in one transaction with its audit leaf.

The caller must say who may call: the commands run on the service's own machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from psycopg import Connection

from service.access import store as access
from service.access.rules import Grant
from service.audit import log
from service.audit.leaf import ActLeaf
from service.clock import Clock, unix_ms
from service.db import Database, Row
from service.enrolment import accounts
from service.keys import KeyRing
from service.ledger import store as ledger
from service.terminals import registration
from service.terminals import store as terminals
from service.terminals.store import Terminal
from wire.denial import Denial
from wire.ids import AccountId, DoorId, Id, MerchantId, TerminalId, TransferId
from wire.messages import TerminalKind
from wire.money import Money


@dataclass(frozen=True, slots=True)
class Operations:
    database: Database
    keys: KeyRing
    clock: Clock = unix_ms

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

    def top_up(self, account: AccountId, money: Money) -> Denial | None:
        with self.database.transaction() as conn:
            denial = ledger.top_up(
                conn,
                transfer=TransferId.new(),
                account=account,
                money=money,
                now_ms=self.clock(),
            )
            if denial is None:
                self._record(conn, "account.top-up", account)
        return denial

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

    def _record(self, conn: Connection[Row], act: str, subject: Id) -> bytes:
        leaf = ActLeaf(at_ms=self.clock(), act=act, subject=str(subject), nonce=os.urandom(16))
        return log.append(conn, leaf.encode())
