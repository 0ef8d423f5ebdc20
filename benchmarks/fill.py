"""Accounts and transfers by the million, made in the database itself.

Guarantees: what :func:`fill` makes is what the service would have written: wallets that were topped
up by acts of the log and paid merchants by decided attempts, with all postings. ``countenance
ledger check`` finds nothing in it, and every constraint and index of the schema holds again when it
returns. What it leaves out: decisions and references are of the right length and say the right
thing, but no key signed or sealed them; the log has the leaves, but no tree.

The caller must bring an empty, migrated database that nobody else uses, and its owner's URL.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection

from face_engine.catalogue import load_pack
from service.audit.leaf import ActLeaf, DecisionLeaf
from service.ledger import store
from service.ledger.limits import DAY_MS
from service.ledger.rules import AccountKind, Party, Transfer, TransferKind
from wire import envelope
from wire.envelope import SigningKey
from wire.ids import AccountId, AttemptId, MerchantId, TerminalId, TransferId
from wire.messages import Decision, Factor, Outcome, PaymentContext
from wire.money import Money

MERCHANTS = 1000
DAYS = 90
TOP_UP_MINOR, PAID_MINOR = 1_000_000, 100
CURRENCY = "EUR"
REFERENCE_HEX_REPEATS = 34  # of 16 bytes: about what an embedding of 128 numbers takes
TABLES = (
    "accounts", "claims", "face_references", "ledger_accounts", "transfers", "postings", "attempts",
    "audit_entries", "terminal_days",
)  # fmt: skip
# What stands in the templates for a row's own values.
ACCOUNT, MERCHANT, TERMINAL = AccountId(b"A" * 16), MerchantId(b"M" * 16), TerminalId(b"T" * 16)
TRANSFER, DIGEST, LEAF_HASH, NONCE = b"I" * 16, b"D" * 32, b"L" * 32, b"N" * 16
AT_MS = 0x0102030405060708 % 2**53


def fill(
    url: str,
    *,
    accounts: int,
    transfers: int,
    merchants: int = MERCHANTS,
    now_ms: int,
    checked: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """A top-up for each account; the other transfers are payments, evenly over ``DAYS``.

    ``checked`` leaves triggers and indexes in force, as tests want it; without, indexes and
    foreign keys are taken away first and made again, and checked by that, in a third of the time.
    """
    payments = transfers - accounts
    with psycopg.connect(url) as conn:
        funding = store.open_house(conn, AccountKind.FUNDING, CURRENCY)
        found = conn.execute(
            "SELECT ledger_account_id FROM ledger_accounts WHERE owner = %s", (funding.owner,)
        ).fetchone()
        assert found is not None
        sizes = {
            "accounts": accounts,
            "payments": payments,
            "merchants": merchants,
            "funding": found[0],
            "start": now_ms - DAYS * DAY_MS,
            "span": DAYS * DAY_MS,
        }
        conn.commit()
        conn.execute("SET maintenance_work_mem = '1GB'")
        if not checked:
            conn.execute("SET session_replication_role = replica")
        with _without_indexes(conn, tell) if not checked else _as_it_is():
            for name, query in _statements().items():
                began = time.monotonic()
                conn.execute(_numbered(query, sizes))
                conn.commit()
                tell(f"{name}: {time.monotonic() - began:.0f} s")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")


def _numbered(query: str, sizes: Mapping[str, int]) -> str:
    for name, number in sizes.items():
        query = query.replace(f"${name}", str(number))
    return query


def _statements() -> dict[str, str]:
    """By what they fill; a row's number is ``n``, and ``$accounts`` and the like are numbers."""
    account, merchant, terminal = (_id(kind, "n") for kind in ("account", "merchant", "terminal"))
    # OFFSET 0 has each expression worked out once a row, and not wherever it is named.
    top_up = f"""SELECT n, {account} AS account, {_id("top-up", "n")} AS transfer,
        $funding + n AS wallet, $start AS at_ms FROM generate_series(1, $accounts) AS n OFFSET 0"""
    payment = f"""SELECT n, {_id("account", "payer")} AS account,
        {_id("merchant", "payee")} AS merchant, {_id("terminal", "payee")} AS terminal,
        {_id("payment", "n")} AS transfer, $funding + payer AS wallet,
        $funding + $accounts + payee AS sales, at_ms
        FROM (SELECT n, (n - 1) % $accounts + 1 AS payer, n * 7919 % $merchants + 1 AS payee,
            $start + n * $span / $payments AS at_ms
            FROM generate_series(1::bigint, $payments) AS n OFFSET 0) numbers OFFSET 0"""
    acted = f"""SELECT *, {_LEAF_OF_ACT} AS leaf FROM (
        SELECT *, {_CONTENT_OF_TOP_UP} AS content FROM ({top_up}) t OFFSET 0) t OFFSET 0"""
    decided = f"""SELECT *, {_DECISION} AS decision FROM (
        SELECT *, sha256('\\x00'::bytea || leaf) AS leaf_hash FROM (
            SELECT *, {_LEAF_OF_DECISION} AS leaf FROM (
                SELECT *, sha256(transfer) AS digest FROM ({payment}) p OFFSET 0
            ) p OFFSET 0) p OFFSET 0) p OFFSET 0"""
    model = load_pack("pip").model_id.hex()
    return {
        "merchants and their terminals": f"""
            WITH made AS (INSERT INTO merchants (merchant_id, name, currency, created_at_ms)
                SELECT {merchant}, 'Shop ' || n, '{CURRENCY}', $start
                FROM generate_series(1, $merchants) AS n)
            INSERT INTO terminals (terminal_id, kind, name, merchant_id, created_at_ms)
            SELECT {terminal}, 1, 'Till ' || n, {merchant}, $start
            FROM generate_series(1, $merchants) AS n""",
        "accounts": f"""
            INSERT INTO accounts (account_id, state, consent_version, consented_at_ms, wrapped_key,
                created_at_ms)
            SELECT {account}, 'active', '2026-11', $start,
                sha256(int8send(n)) || sha256(int4send(n)), $start
            FROM generate_series(1, $accounts) AS n""",
        "claims": f"""
            INSERT INTO claims (claim_hash, account_id, blinded)
            SELECT sha256(int8send(n)), {account}, sha256(int4send(n))
            FROM generate_series(1, $accounts) AS n""",
        "references": f"""
            INSERT INTO face_references (account_id, version, model_id, ciphertext, created_at_ms)
            SELECT {account}, 1, '\\x{model}',
                decode(repeat(md5(n::text), {REFERENCE_HEX_REPEATS}), 'hex'), $start
            FROM generate_series(1, $accounts) AS n""",
        "wallets": f"""
            INSERT INTO ledger_accounts (ledger_account_id, kind, owner, currency, balance_minor,
                held_minor) OVERRIDING SYSTEM VALUE
            SELECT $funding + n, 'wallet', {account}, '{CURRENCY}', {TOP_UP_MINOR} - {PAID_MINOR}
                * ($payments / $accounts + (n <= $payments % $accounts)::int), 0
            FROM generate_series(1, $accounts) AS n""",
        "merchants' accounts": f"""
            INSERT INTO ledger_accounts (ledger_account_id, kind, owner, currency)
                OVERRIDING SYSTEM VALUE
            SELECT $funding + $accounts + n, 'merchant', {merchant}, '{CURRENCY}'
            FROM generate_series(1, $merchants) AS n""",
        "numbers of accounts": """
            SELECT setval(pg_get_serial_sequence('ledger_accounts', 'ledger_account_id'),
                $funding + $accounts + $merchants)""",
        "leaves of top-ups": f"""
            INSERT INTO audit_entries (leaf, leaf_hash, position)
            SELECT leaf, sha256('\\x00'::bytea || leaf), n - 1 FROM ({acted}) acted""",
        "top-ups": f"""
            WITH made AS (INSERT INTO transfers (transfer_id, kind, state, debit, credit,
                amount_minor, created_at_ms, closed_at_ms, content, act)
                SELECT transfer, 'top_up', 'posted', $funding, wallet, {TOP_UP_MINOR}, at_ms, at_ms,
                    content, sha256('\\x00'::bytea || leaf) FROM ({acted}) acted)
            INSERT INTO postings (transfer_id, ledger_account_id, amount_minor)
            SELECT transfer, side, minor FROM ({top_up}) made, LATERAL (VALUES
                ($funding, -{TOP_UP_MINOR}), (wallet, {TOP_UP_MINOR})) sides (side, minor)""",
        "leaves of payments": f"""
            INSERT INTO audit_entries (leaf, leaf_hash, position)
            SELECT leaf, leaf_hash, $accounts + n - 1 FROM ({decided}) decided""",
        "attempts": f"""
            INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest, account_id,
                decision, leaf_hash, decided_at_ms, expires_at_ms, factor)
            SELECT transfer, terminal, 1, digest, account, decision, leaf_hash, at_ms, at_ms, 1
            FROM ({decided}) decided""",
        "payments": f"""
            WITH made AS (INSERT INTO transfers (transfer_id, kind, state, debit, credit,
                amount_minor, created_at_ms, closed_at_ms, content)
                SELECT transfer, 'payment', 'posted', wallet, sales, {PAID_MINOR}, at_ms, at_ms,
                    {_CONTENT_OF_PAYMENT} FROM ({payment}) made)
            INSERT INTO postings (transfer_id, ledger_account_id, amount_minor)
            SELECT transfer, side, minor FROM ({payment}) made, LATERAL (VALUES
                (wallet, -{PAID_MINOR}), (sales, {PAID_MINOR})) sides (side, minor)""",
        "terminals' days": f"""
            INSERT INTO terminal_days (credit, day, terminal_id, transfers, amount_minor)
            SELECT sales, at_ms / {DAY_MS}, terminal, count(*), count(*) * {PAID_MINOR}
            FROM ({payment}) made GROUP BY 1, 2, 3""",
    }


def _id(kind: str, number: str) -> str:
    """SQL for the 16 bytes that the thing of this kind and number is named by."""
    return f"decode(md5('{kind} ' || {number}), 'hex')"


def _spliced(template: bytes, values: Mapping[bytes, str]) -> str:
    """SQL for the template with each row's own values in the place of those that stand for them."""
    sql = f"'\\x{template.hex()}'::bytea"
    for value, own in values.items():
        assert value.hex() in sql, "the template lacks a value"
        sql = sql.replace(value.hex(), f"'::bytea || {own} || '\\x")
    return f"({sql})"


def _hex_text(sql: str) -> str:
    return f"convert_to(encode({sql}, 'hex'), 'UTF8')"


def _payment() -> PaymentContext:
    return PaymentContext(amount_minor=PAID_MINOR, currency=CURRENCY, payee=MERCHANT, order="order")


def _content(wanted: Transfer) -> str:
    """As :attr:`Transfer.content` makes it, from the same text."""
    parts = (
        wanted.kind, wanted.debit.kind, wanted.debit.owner.hex(), wanted.credit.kind,
        wanted.credit.owner.hex(), wanted.money.amount_minor, wanted.money.currency, None, None,
    )  # fmt: skip
    owners = {ACCOUNT.raw: "account", MERCHANT.raw: "merchant"}
    used = {
        owner.hex().encode(): _hex_text(sql)
        for owner, sql in owners.items()
        if owner in (wanted.debit.owner, wanted.credit.owner)
    }
    return f"sha256({_spliced(json.dumps(parts).encode(), used)})"


def _money(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency=CURRENCY)


_CONTENT_OF_TOP_UP = _content(Transfer.top_up(TransferId(TRANSFER), ACCOUNT, _money(TOP_UP_MINOR)))
_CONTENT_OF_PAYMENT = _content(
    Transfer(
        transfer=TransferId(TRANSFER),
        kind=TransferKind.PAYMENT,
        debit=Party.wallet(ACCOUNT),
        credit=Party.merchant(MERCHANT),
        money=_money(PAID_MINOR),
    )
)
_LEAF_OF_ACT = _spliced(
    ActLeaf(
        at_ms=AT_MS, act="account.top-up", subject=str(ACCOUNT), nonce=NONCE, actor=None,
        transfer=TransferId(TRANSFER), content=DIGEST,
    ).encode(),
    {
        AT_MS.to_bytes(8): "int8send(at_ms)",
        NONCE: "decode(md5('nonce ' || n), 'hex')",
        TRANSFER: "transfer",
        DIGEST: "content",
    },
)  # fmt: skip
_LEAF_OF_DECISION = _spliced(
    DecisionLeaf(
        at_ms=AT_MS, attempt=AttemptId(TRANSFER), terminal=TERMINAL, context=_payment(),
        evidence_digest=DIGEST, policy_version=1, outcome=Outcome.APPROVED, denial=None,
        account=ACCOUNT, factor=Factor.FACE,
    ).encode(),
    {
        AT_MS.to_bytes(8): "int8send(at_ms)",
        TRANSFER: "transfer",
        TERMINAL.raw: "terminal",
        MERCHANT.raw: "merchant",
        DIGEST: "digest",
        ACCOUNT.raw: "account",
    },
)  # fmt: skip
_DECISION = _spliced(
    envelope.sign(
        Decision(
            attempt=AttemptId(TRANSFER), evidence_digest=DIGEST, context=_payment(),
            outcome=Outcome.APPROVED, reason=None, result=TRANSFER, decided_at_ms=AT_MS,
            expires_at_ms=AT_MS, leaf_hash=LEAF_HASH, factor=Factor.FACE,
        ),
        SigningKey(Ed25519PrivateKey.generate(), b"benchmark"),
    ).raw,
    {
        AT_MS.to_bytes(8): "int8send(at_ms)",
        TRANSFER: "transfer",
        MERCHANT.raw: "merchant",
        DIGEST: "digest",
        LEAF_HASH: "leaf_hash",
    },
)  # fmt: skip


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _without_indexes(conn: Connection[Any], tell: Callable[[str], None]) -> Iterator[None]:
    """The tables' indexes and keys are made again at the end, and so checked."""
    tables = [f"public.{name}" for name in TABLES]
    constraints = conn.execute(
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype
        FROM pg_constraint WHERE contype IN ('p', 'u', 'f')
        AND (conrelid = ANY(%(of)s::regclass[]) OR confrelid = ANY(%(of)s::regclass[]))
        ORDER BY contype <> 'f', conrelid::regclass::text""",
        {"of": tables},
    ).fetchall()
    indexes = conn.execute(
        """SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid = ANY(%s::regclass[]) AND NOT EXISTS (
            SELECT FROM pg_constraint WHERE conindid = indexrelid)""",
        (tables,),
    ).fetchall()
    for table, name, _, _ in constraints:
        conn.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    conn.commit()
    yield
    for table, name, definition, _ in reversed(constraints):
        began = time.monotonic()
        conn.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        conn.commit()
        tell(f"{table}.{name}: {time.monotonic() - began:.0f} s")
    for _, definition in indexes:
        began = time.monotonic()
        conn.execute(definition)
        conn.commit()
        tell(f"{definition.split(' USING')[0]}: {time.monotonic() - began:.0f} s")
