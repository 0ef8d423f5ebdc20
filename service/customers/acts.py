"""What a customer does on the page of their own; each act with its audit leaf.

Guarantees: a customer resumes only what a customer paused, never what an operator suspended, and
lifts no lockout. Who withdraws the consent has no reference left, from that moment.
"""

from __future__ import annotations

from service import codes, passkeys
from service.customers import sign_in
from service.enrolment import accounts
from service.operators.recorder import Recorder
from service.passkeys import PasskeyError, RelyingParty
from wire.ids import AccountId


class Customers(Recorder):
    __slots__ = ()

    def make_link(self, account: AccountId) -> str | None:
        """The code of a one-time link, shown only now; None for unknown and erased accounts."""
        code = codes.new_code()
        digest = codes.secret_hash(sign_in.CODE, code, self.keys.claims)
        with self.database.transaction() as conn:
            if not sign_in.keep_link(conn, account, digest, now_ms=self.clock()):
                return None
            self._record(conn, "account.link", account)
        return code

    def pause(self, account: AccountId) -> bool:
        with self.database.transaction() as conn:
            done = accounts.pause(conn, account)
            if done:
                self._record(conn, "account.pause", account)
        return done

    def resume(self, account: AccountId) -> bool:
        """False for what the customer did not pause."""
        with self.database.transaction() as conn:
            done = accounts.end_pause(conn, account)
            if done:
                self._record(conn, "account.resume", account)
        return done

    def withdraw_consent(self, account: AccountId) -> bool:
        """False where there is no consent to withdraw."""
        with self.database.transaction() as conn:
            done = accounts.withdraw_consent(conn, account)
            if done:
                self._record(conn, "account.withdraw-consent", account)
        return done

    def add_passkey(self, account: AccountId, party: RelyingParty, answer: str) -> bool:
        """False where the browser's answer is not accepted."""
        try:
            with self.database.transaction() as conn:
                passkeys.register(
                    conn, sign_in.PASSKEYS, party, account, answer, now_ms=self.clock()
                )
                self._record(conn, "account.add-passkey", account)
        except PasskeyError:
            return False
        return True

    def remove_passkey(self, account: AccountId, credential: bytes, session: bytes) -> bool:
        """Ends the other sessions too: who lost a device wants its owner out."""
        with self.database.transaction() as conn:
            done = passkeys.remove(conn, sign_in.PASSKEYS, account, credential)
            if done:
                sign_in.end_other_sessions(conn, account, session)
                self._record(conn, "account.remove-passkey", account)
        return done


def of(acts: Recorder) -> Customers:
    """The same actor, database and keys, for customers."""
    return Customers(acts.database, acts.keys, acts.clock, acts.actor)
