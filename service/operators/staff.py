"""Acts on the console's operators, and those that ask who of them it is; each with its leaf."""

from __future__ import annotations

from collections.abc import Set

from psycopg import Connection

from service import codes, passkeys, policies
from service.db import Row
from service.operators import people, proposals, records, releases
from service.operators.people import OperatorId, Role
from service.operators.proposals import ProposalId
from service.operators.recorder import Recorder
from service.verification.policy import Policy
from wire.ids import DoorId, MerchantId, ReleaseId


class Staff(Recorder):
    __slots__ = ()

    def add_operator(
        self, name: str, roles: Set[Role], *, merchant: MerchantId | None = None
    ) -> tuple[OperatorId, str]:
        """Returns the operator and the code of a one-time invitation, which is shown only now.

        Raises ValueError for roles that do not go together, and for an unknown merchant.
        """
        people.check_roles(roles, merchant)
        operator = people.Operator(
            operator=OperatorId.new(),
            name=name,
            roles=frozenset(roles),
            merchant=merchant,
            created_at_ms=self.clock(),
        )
        with self.database.transaction() as conn:
            if merchant is not None and records.find_merchant(conn, merchant) is None:
                raise ValueError("there is no such merchant")
            people.add(conn, operator)
            self._record(conn, "operator.add", operator.operator)
            return operator.operator, self._invite(conn, operator.operator)

    def invite_operator(self, operator: OperatorId) -> str | None:
        """A new invitation, in place of the passkeys that were lost; None for whom there is not."""
        with self.database.transaction() as conn:
            found = people.find(conn, operator)
            if found is None or found.disabled:
                return None
            passkeys.remove_all(conn, people.PASSKEYS, operator)
            people.end_sessions(conn, operator)
            self._record(conn, "operator.invite", operator)
            return self._invite(conn, operator)

    def _invite(self, conn: Connection[Row], operator: OperatorId) -> str:
        code = codes.new_code()
        digest = codes.secret_hash("console-code", code, self.keys.claims)
        people.invite(conn, operator, digest, now_ms=self.clock())
        return code

    def disable_operator(self, operator: OperatorId) -> bool:
        """False for unknown and disabled ones, and for the last admin."""
        with self.database.transaction() as conn:
            done = people.disable(conn, operator, now_ms=self.clock())
            if done:
                self._record(conn, "operator.disable", operator)
        return done

    def propose_policy(self, policy: Policy, base_version: int, reason: str) -> ProposalId:
        """Waits for another operator."""
        proposal = ProposalId.new()
        with self.database.transaction() as conn:
            proposals.add(
                conn,
                proposals.Proposal(
                    proposal=proposal,
                    policy=policy,
                    base_version=base_version,
                    reason=reason,
                    proposed_by=self._operator(),
                    proposed_at_ms=self.clock(),
                ),
            )
            self._record(conn, "policy.propose", proposal)
        return proposal

    def decide_policy(
        self, proposal: ProposalId, *, approve: bool
    ) -> proposals.Refusal | int | None:
        """Publishes what another operator proposed, and returns its version; None for a
        proposal that is turned down."""
        with self.database.transaction() as conn:
            found = proposals.lock(conn, proposal)
            by = self._operator()
            refusal = proposals.refuse(conn, found, by=by, approve=approve)
            if refusal is not None or found is None:
                return refusal
            version = None
            if approve:
                version = policies.publish(
                    conn, found.policy, self.keys.signing, now_ms=self.clock()
                )
            proposals.close(conn, proposal, by=by, version=version, now_ms=self.clock())
            self._record(conn, "policy.approve" if approve else "policy.reject", proposal)
        return version

    def release_door(self, door: DoorId, reason: str) -> ReleaseId | None:
        """Opens a door by hand, when it asks next; None for an unknown door, and for one that is
        to be opened already."""
        release, now_ms = ReleaseId.new(), self.clock()
        with self.database.transaction() as conn:
            asked = releases.ask(
                conn,
                release,
                door,
                operator=self._operator(),
                reason=reason,
                key=self.keys.signing,
                now_ms=now_ms,
            )
            if asked:
                self._record(conn, "door.release", door, release)
        return release if asked else None

    def _operator(self) -> OperatorId:
        if not isinstance(self.actor, OperatorId):
            raise RuntimeError("only an operator of the console does this")
        return self.actor


def of(acts: Recorder) -> Staff:
    """The same actor, database and keys, for operators."""
    return Staff(acts.database, acts.keys, acts.clock, acts.actor)
