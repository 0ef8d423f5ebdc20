"""Whoever acts: in one transaction with the audit leaf that names the act and who did it.

The caller must say who may call: the commands run on the service's own machine, and the API
and the console give ``actor``: the token, or the operator, that they checked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from psycopg import Connection

from service.audit import log
from service.audit.leaf import ActLeaf
from service.audit.merkle import leaf_hash
from service.clock import Clock, unix_ms
from service.db import Database, Row
from service.keys import KeyRing
from service.ledger import rules
from service.ledger import store as ledger
from service.ledger.rules import Transfer
from service.ledger.transfers import create_transfer
from wire.ids import Id


@dataclass(frozen=True, slots=True)
class Recorder:
    database: Database
    keys: KeyRing
    clock: Clock = unix_ms
    actor: Id | None = None

    def _move(
        self, conn: Connection[Row], act: str, subject: Id, wanted: Transfer
    ) -> rules.Refusal | None:
        """The transfer with its leaf; a transfer that was made before keeps the leaf it has."""
        leaf = self._leaf(act, subject, moved=wanted)
        refusal = create_transfer(conn, wanted, now_ms=self.clock(), act=leaf_hash(leaf))
        if ledger.act_of(conn, wanted.transfer) == leaf_hash(leaf):
            log.append(conn, leaf)
        return refusal

    def _record(
        self, conn: Connection[Row], act: str, *subjects: Id, amount_minor: int | None = None
    ) -> bytes:
        return log.append(conn, self._leaf(act, *subjects, amount_minor=amount_minor))

    def _leaf(
        self,
        act: str,
        *subjects: Id,
        moved: Transfer | None = None,
        amount_minor: int | None = None,
    ) -> bytes:
        return ActLeaf(
            at_ms=self.clock(),
            act=act,
            subject=" ".join(map(str, subjects)),
            nonce=os.urandom(16),
            actor=str(self.actor) if self.actor else None,
            transfer=moved.transfer if moved else None,
            content=moved.content if moved else None,
            amount_minor=amount_minor,
        ).encode()
