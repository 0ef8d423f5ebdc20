"""Attempts and the audit log."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from pydantic import BaseModel

from service.audit import log
from service.http import models
from service.http.api import bearer, database, operation
from service.http.models import AttemptQuery, EntryQuery, ReceiptPath
from service.http.problems import not_found
from service.operators import records
from service.operators.pages import FIRST
from service.operators.records import Wanted
from service.operators.tokens import Scope
from wire.messages import Purpose


@operation("get", "/attempts", Scope.ATTEMPTS_READ, models.AttemptPage)
def list_attempts(query: AttemptQuery) -> BaseModel:
    """Attempts and their decisions, the newest first.

    The fine denial and the account are null without the scope `audit:read`.
    """
    token = bearer()
    with database().transaction() as conn:
        page = records.list_attempts(
            conn,
            Wanted(
                merchant=token.merchant,
                purpose=Purpose[query.purpose.upper()] if query.purpose else None,
                approved=query.outcome == "approved" if query.outcome else None,
                terminal=query.terminal,
            ),
            after=query.after or FIRST,
            limit=query.limit,
        )
    if Scope.AUDIT_READ not in token.scopes:
        coarse = [replace(each, denial=None, account=None) for each in page.items]
        page = replace(page, items=coarse)
    return models.AttemptPage.model_validate(page)


@operation("get", "/audit/checkpoint", Scope.AUDIT_READ, models.Checkpoint)
def show_checkpoint() -> BaseModel:
    """The newest signed checkpoint of the audit log."""
    with database().transaction() as conn:
        note = log.latest_checkpoint(conn)
    if note is None:
        raise not_found()
    return models.Checkpoint(note=note.decode())


@operation("get", "/audit/receipts/<leaf_hash>", Scope.AUDIT_READ, models.Receipt)
def show_receipt(path: ReceiptPath) -> BaseModel:
    """The receipt of an entry; 404 until a checkpoint covers it."""
    with database().transaction() as conn:
        found = log.receipt(conn, bytes.fromhex(path.leaf_hash))
    if found is None:
        raise not_found()
    return models.Receipt(receipt=found.decode())


@operation("get", "/audit/entries", Scope.AUDIT_READ, models.EntryPage)
def list_entries(query: EntryQuery) -> BaseModel:
    """The audit log's entries from a position on, the oldest first."""
    with database().transaction() as conn:
        found = records.list_entries(conn, start=query.start, limit=query.limit)
    items = [
        models.AuditEntry(position=position, leaf=b64encode(leaf).decode(), leaf_hash=digest.hex())
        for position, leaf, digest in found
    ]
    following = found[-1][0] + 1 if len(found) == query.limit else None
    return models.EntryPage(items=items, next=following)
