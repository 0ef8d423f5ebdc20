"""Operators: who may use the console, in which roles, and how they first get in.

Guarantees: codes and sessions stand only as keyed hashes; a code works once. Whoever is
disabled has no session any more. A merchant's operator has that role alone, and sees only what
is that merchant's.

The caller must still compare roles with what is asked (:mod:`service.console.frame`).
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.passkeys import Holders
from wire.ids import Id, MerchantId

INVITATION_TTL_MS = 24 * 3600 * 1000
FOREVER_MS = 2**53 - 1
RECOVERY_CODES = 8
IDLE_MS = 30 * 60 * 1000
LIFE_MS = 12 * 3600 * 1000
ENROLLING_MS = 15 * 60 * 1000


class Role(StrEnum):
    ADMIN = "admin"
    ENROLLER = "enroller"
    MERCHANT = "merchant"
    GUARD = "guard"
    AUDITOR = "auditor"
    SUPPORT = "support"


class OperatorId(Id):
    PREFIX = "opr"
    __slots__ = ()


PASSKEYS = Holders(
    id=OperatorId,
    table="passkeys",
    owner="operator_id",
    people="operators",
    admitted="disabled_at_ms IS NULL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    operator: OperatorId
    name: str
    roles: frozenset[Role]
    merchant: MerchantId | None
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """``enrolling``: made by a code, and good for adding a passkey only."""

    operator: Operator
    enrolling: bool


_OPERATOR = "o.operator_id, name, roles, merchant_id, o.created_at_ms, disabled_at_ms"


def _operator(row: Row) -> Operator:
    raw, name, roles, merchant, created_at_ms, disabled_at_ms = row
    return Operator(
        operator=OperatorId(raw),
        name=name,
        roles=frozenset(Role(role) for role in roles),
        merchant=MerchantId(merchant) if merchant else None,
        created_at_ms=created_at_ms,
        disabled=disabled_at_ms is not None,
    )


def check_roles(roles: Set[Role], merchant: MerchantId | None) -> None:
    """Raises ValueError for no roles, and for the role merchant without one or beside others."""
    if not roles:
        raise ValueError("an operator has at least one role")
    if (Role.MERCHANT in roles) != (merchant is not None):
        raise ValueError("the role merchant names a merchant, and no other role does")
    if merchant is not None and len(roles) > 1:
        raise ValueError("a merchant's operator has no other role")


def add(conn: Connection[Row], operator: Operator) -> None:
    conn.execute(
        "INSERT INTO operators (operator_id, name, roles, merchant_id, created_at_ms)"
        " VALUES (%s, %s, %s, %s, %s)",
        (
            operator.operator.raw,
            operator.name,
            sorted(operator.roles),
            operator.merchant.raw if operator.merchant else None,
            operator.created_at_ms,
        ),
    )


def find(conn: Connection[Row], operator: OperatorId) -> Operator | None:
    row = conn.execute(
        f"SELECT {_OPERATOR} FROM operators o WHERE operator_id = %s",  # noqa: S608
        (operator.raw,),
    ).fetchone()
    return _operator(row) if row else None


def list_operators(conn: Connection[Row], *, limit: int = 500) -> list[Operator]:
    rows = conn.execute(
        f"SELECT {_OPERATOR} FROM operators o ORDER BY name, operator_id LIMIT %s",  # noqa: S608
        (limit,),
    ).fetchall()
    return [_operator(row) for row in rows]


def disable(conn: Connection[Row], operator: OperatorId, *, now_ms: int) -> bool:
    """Ends all sessions too; False for unknown or disabled ones, and for the last admin."""
    conn.execute("LOCK TABLE operators IN SHARE ROW EXCLUSIVE MODE")
    done = conn.execute(
        """UPDATE operators SET disabled_at_ms = %(now)s
        WHERE operator_id = %(operator)s AND disabled_at_ms IS NULL
        AND EXISTS (SELECT FROM operators WHERE operator_id <> %(operator)s
            AND disabled_at_ms IS NULL AND 'admin' = ANY (roles))""",
        {"now": now_ms, "operator": operator.raw},
    )
    if done.rowcount:
        end_sessions(conn, operator)
        conn.execute("DELETE FROM sign_in_codes WHERE operator_id = %s", (operator.raw,))
    return done.rowcount == 1


def invite(conn: Connection[Row], operator: OperatorId, digest: bytes, *, now_ms: int) -> None:
    """The newest invitation alone is good."""
    conn.execute(
        "DELETE FROM sign_in_codes WHERE operator_id = %s AND kind = 'invitation'",
        (operator.raw,),
    )
    _keep_code(conn, operator, digest, "invitation", now_ms + INVITATION_TTL_MS)


def replace_recovery_codes(
    conn: Connection[Row], operator: OperatorId, digests: Iterable[bytes]
) -> None:
    conn.execute(
        "DELETE FROM sign_in_codes WHERE operator_id = %s AND kind = 'recovery'", (operator.raw,)
    )
    for digest in digests:
        _keep_code(conn, operator, digest, "recovery", FOREVER_MS)


def _keep_code(
    conn: Connection[Row], operator: OperatorId, digest: bytes, kind: str, expires_at_ms: int
) -> None:
    conn.execute(
        "INSERT INTO sign_in_codes (code_hash, operator_id, kind, expires_at_ms)"
        " VALUES (%s, %s, %s, %s)",
        (digest, operator.raw, kind, expires_at_ms),
    )


def take_code(conn: Connection[Row], digest: bytes, *, now_ms: int) -> OperatorId | None:
    """Whom the code lets in; it is used up."""
    row = conn.execute(
        """DELETE FROM sign_in_codes USING operators o WHERE code_hash = %s
        AND o.operator_id = sign_in_codes.operator_id AND disabled_at_ms IS NULL
        AND expires_at_ms > %s RETURNING o.operator_id""",
        (digest, now_ms),
    ).fetchone()
    return OperatorId(row[0]) if row else None


def begin_session(
    conn: Connection[Row],
    operator: OperatorId,
    digest: bytes,
    *,
    enrolling: bool,
    now_ms: int,
) -> None:
    conn.execute(
        """DELETE FROM console_sessions WHERE created_at_ms <= %s OR seen_at_ms <= %s""",
        (now_ms - LIFE_MS, now_ms - IDLE_MS),
    )
    conn.execute(
        """INSERT INTO console_sessions (session_hash, operator_id, enrolling, created_at_ms,
        seen_at_ms) VALUES (%s, %s, %s, %s, %s)""",
        (digest, operator.raw, enrolling, now_ms, now_ms),
    )


def resume_session(
    conn: Connection[Row], digest: bytes, *, quiet: bool, now_ms: int
) -> Session | None:
    """The session, if it is neither too old nor idle for too long; ``quiet`` leaves it as idle."""
    row = conn.execute(
        f"""UPDATE console_sessions s
        SET seen_at_ms = CASE WHEN %(quiet)s THEN seen_at_ms ELSE %(now)s END FROM operators o
        WHERE session_hash = %(session)s AND o.operator_id = s.operator_id
        AND disabled_at_ms IS NULL AND seen_at_ms > %(now)s - %(idle)s
        AND s.created_at_ms > %(now)s
            - CASE WHEN enrolling THEN %(enrolling)s ELSE %(life)s END
        RETURNING enrolling, {_OPERATOR}""",  # noqa: S608
        {
            "now": now_ms,
            "quiet": quiet,
            "session": digest,
            "idle": IDLE_MS,
            "life": LIFE_MS,
            "enrolling": ENROLLING_MS,
        },
    ).fetchone()
    return Session(operator=_operator(row[1:]), enrolling=row[0]) if row else None


def end_session(conn: Connection[Row], digest: bytes) -> None:
    conn.execute("DELETE FROM console_sessions WHERE session_hash = %s", (digest,))


def end_sessions(conn: Connection[Row], operator: OperatorId) -> None:
    conn.execute("DELETE FROM console_sessions WHERE operator_id = %s", (operator.raw,))
