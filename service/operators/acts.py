"""The operators' acts, each in one transaction with its audit leaf.

The commands and the JSON API both call these. The caller must say who may call: the commands
run on the service's own machine, and the API gives ``actor``, the token that it checked.
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum

from psycopg import Connection

from service.customers import sign_in
from service.db import Row
from service.enrolment import accounts
from service.events import announce_transfer
from service.funding.processor import Processors, Source, SourceRefused
from service.funding.sources import processor_of, seal_source
from service.ledger import rules, sources
from service.ledger import store as ledger
from service.ledger.rules import AccountKind, Transfer
from service.ledger.sources import StoredSource
from service.operators import records, tokens
from service.operators.access_acts import AccessActs
from service.operators.tokens import ApiToken, Scope, TokenId
from service.terminals import registration
from service.terminals import store as terminals
from service.terminals.store import Terminal
from service.verification.pin import PinHasher, is_pin
from service.webhooks.outbox import EventKind
from wire.denial import Denial
from wire.ids import AccountId, DoorId, MerchantId, TerminalId, TransferId
from wire.messages import TerminalKind
from wire.money import Money


class Refusal(StrEnum):
    """Why an act was not carried out, where the ledger did not say it."""

    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_ERASED = "account_erased"
    TRANSFER_ID_REUSED = "transfer_id_reused"
    PIN_NOT_SET = "pin_not_set"
    PIN_NOT_ACCEPTED = "pin_not_accepted"
    PROCESSOR_MISSING = "processor_missing"
    SOURCE_NOT_ACCEPTED = "source_not_accepted"


_OF_LEDGER = {rules.Refusal.TRANSFER_ID_REUSED: Refusal.TRANSFER_ID_REUSED}


class Operations(AccessActs):
    __slots__ = ()

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

    def renew_code(self, terminal: TerminalId) -> str | None:
        """A new registration code, shown only now; None for one that waits for none."""
        code = registration.new_code(self.keys.signing.public)
        with self.database.transaction() as conn:
            done = terminals.renew_code(
                conn,
                terminal,
                code_hash=registration.code_hash(code, self.keys.claims),
                code_expires_at_ms=self.clock() + registration.CODE_TTL_MS,
            )
            if done:
                self._record(conn, "terminal.renew-code", terminal)
        return code if done else None

    def revoke_terminal(self, terminal: TerminalId) -> bool:
        with self.database.transaction() as conn:
            done = terminals.revoke(conn, terminal, now_ms=self.clock())
            if done:
                self._record(conn, "terminal.revoke", terminal)
        return done

    def accept_camera(self, terminal: TerminalId) -> bool:
        """Pins the terminal to the camera of its next live attempt; False where none is pinned."""
        with self.database.transaction() as conn:
            done = terminals.unpin_camera(conn, terminal)
            if done:
                self._record(conn, "terminal.accept-camera", terminal)
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
            refusal = self._move(conn, "transfer.refund", of, wanted)
            if refusal is None:
                announce_transfer(conn, of, EventKind.REFUNDED, now_ms=self.clock())
            return refusal

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

    def set_account(self, account: AccountId, *, active: bool) -> bool:
        with self.database.transaction() as conn:
            done = accounts.set_state(conn, account, active=active)
            if done:
                self._record(conn, "account.resume" if active else "account.suspend", account)
        return done

    def unlock_pin(self, account: AccountId) -> bool:
        with self.database.transaction() as conn:
            done = accounts.unlock_pin(conn, account)
            if done:
                self._record(conn, "account.unlock-pin", account)
        return done

    def erase_account(self, account: AccountId) -> bytes | None:
        """Returns the leaf hash of the erasure; None for unknown or erased accounts."""
        with self.database.transaction() as conn:
            if not accounts.erase(conn, account):
                return None
            sources.detach(conn, account)
            sign_in.forget(conn, account)
            leaf_hash = self._record(conn, "account.erase", account)
            accounts.keep_erasure(conn, account, leaf_hash)
        return leaf_hash

    def attach_source(
        self, account: AccountId, source: Source, processors: Processors
    ) -> Refusal | None:
        """Has an account's outside money pay from now on, in the wallet's currency.

        Raises :class:`Unavailable` where its processor does not answer.
        """
        processor = processors.get(processor_of(source))
        if processor is None:
            return Refusal.PROCESSOR_MISSING
        with self.database.transaction() as conn:
            state = records.account_state(conn, account)
        if state in (None, "erased"):
            return Refusal.ACCOUNT_ERASED if state else Refusal.ACCOUNT_UNKNOWN
        try:
            kept = processor.attach(account, source)
        except SourceRefused:
            return Refusal.SOURCE_NOT_ACCEPTED
        with self.database.transaction() as conn:
            wrapped, wallet = accounts.lock_key(conn, account), ledger.wallet_of(conn, account)
            data_key = self.keys.unwrap(wrapped, account) if wrapped else None
            if data_key is None or wallet is None:
                return Refusal.ACCOUNT_ERASED
            stored = StoredSource(
                processor=processor_of(kept), sealed=seal_source(kept, account, data_key)
            )
            sources.attach(conn, account, stored, wallet.currency, now_ms=self.clock())
            self._record(conn, "account.attach-source", account)
        return None

    def detach_source(self, account: AccountId) -> bool:
        """Has the account's own wallet pay again; what was begun is brought to its end."""
        with self.database.transaction() as conn:
            done = sources.detach(conn, account)
            if done:
                self._record(conn, "account.detach-source", account)
        return done

    def set_duress_pin(self, account: AccountId, pin: str | None) -> Refusal | None:
        """A second PIN that does what the first does, and calls for help; None takes it away."""
        pins = PinHasher(self.keys.pins)
        with self.database.transaction() as conn:
            own = accounts.pin_hash_of(conn, account)
            if pin is not None and own is None:
                return Refusal.PIN_NOT_SET
            if pin is not None and (not is_pin(pin) or pins.verify(own, pin, account)):
                return Refusal.PIN_NOT_ACCEPTED
            hashed = None if pin is None else pins.hash(pin, account)
            if not accounts.set_duress_hash(conn, account, hashed):
                return Refusal.PIN_NOT_SET
            self._record(conn, "account.duress-pin", account)
        return None

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
