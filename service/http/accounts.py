"""Accounts: read, top up, suspend, resume, erase."""

from __future__ import annotations

from flask import current_app
from pydantic import BaseModel

from service.funding.processor import Processors, Source, StripeSource
from service.funding.sources import read_card
from service.http import models
from service.http.api import database, operation, operations, transfer_of_key
from service.http.models import AccountPath, FundingSourceRequest, PageQuery, TopUpRequest
from service.http.problems import Code, ProblemError, not_found
from service.operators import records
from service.operators.acts import Refusal
from service.operators.pages import FIRST
from service.operators.tokens import Scope
from wire.denial import Denial
from wire.ids import AccountId
from wire.money import Money

_REFUSED = {
    Refusal.ACCOUNT_UNKNOWN: (Code.NOT_FOUND, "there is no such account"),
    Refusal.ACCOUNT_ERASED: (Code.ACCOUNT_ERASED, "the account was erased"),
    Refusal.TRANSFER_ID_REUSED: (
        Code.TRANSFER_ID_REUSED,
        "this transfer id was used for another transfer",
    ),
    Refusal.PROCESSOR_MISSING: (Code.PROCESSOR_MISSING, "this processor is not set up here"),
    Refusal.SOURCE_NOT_ACCEPTED: (
        Code.SOURCE_NOT_ACCEPTED,
        "no payment method or card that the processor takes",
    ),
    Denial.CURRENCY_MISMATCH: (Code.CURRENCY_MISMATCH, "the wallet has another currency"),
    Denial.LIMIT_EXCEEDED: (Code.LIMIT_EXCEEDED, "the wallet holds no more than 2^53 - 1"),
}


@operation("get", "/accounts", Scope.ACCOUNTS_READ, models.AccountPage)
def list_accounts(query: PageQuery) -> BaseModel:
    """Accounts, the newest first."""
    with database().transaction() as conn:
        page = records.list_accounts(conn, after=query.after or FIRST, limit=query.limit)
    return models.AccountPage.model_validate(page)


@operation("get", "/accounts/<account>", Scope.ACCOUNTS_READ, models.Account)
def show_account(path: AccountPath) -> BaseModel:
    """One account."""
    return _show(path.account)


@operation("post", "/accounts/<account>/top-ups", Scope.ACCOUNTS_WRITE, models.TopUp, status=201)
def top_up(path: AccountPath, body: TopUpRequest) -> BaseModel:
    """Put outside money into an account's wallet."""
    money = Money(amount_minor=body.amount_minor, currency=body.currency)
    transfer = transfer_of_key()
    refusal = operations().top_up(path.account, money, transfer=transfer)
    if refusal is not None:
        raise ProblemError(*_REFUSED[refusal])
    return models.TopUp(
        transfer=transfer,
        account=path.account,
        amount_minor=body.amount_minor,
        currency=body.currency,
    )


@operation("put", "/accounts/<account>/funding-source", Scope.ACCOUNTS_WRITE, models.FundingSource)
def attach_source(path: AccountPath, body: FundingSourceRequest) -> BaseModel:
    """Have an account's outside money pay from now on, in place of its wallet."""
    source = _entered(body)
    refusal: Refusal | None = Refusal.SOURCE_NOT_ACCEPTED
    if source is not None:
        processors: Processors = current_app.extensions["processors"]
        refusal = operations().attach_source(path.account, source, processors)
    if refusal is Refusal.ACCOUNT_UNKNOWN:
        raise not_found()
    if refusal is not None:
        raise ProblemError(*_REFUSED[refusal])
    return models.FundingSource(account=path.account, processor=body.processor)


@operation("delete", "/accounts/<account>/funding-source", Scope.ACCOUNTS_WRITE, None)
def detach_source(path: AccountPath) -> None:
    """Have an account's own wallet pay again."""
    if not operations().detach_source(path.account):
        raise not_found()


def _entered(body: FundingSourceRequest) -> Source | None:
    """None where it lacks what its processor needs, or has what another does."""
    card = (body.card_number, body.card_expiry)
    if body.processor == "stripe":
        method = body.payment_method
        return StripeSource(method=method) if method and card == (None, None) else None
    number, expiry = card
    if not number or not expiry or body.payment_method is not None:
        return None
    try:
        return read_card(number, expiry)
    except ValueError:
        return None


@operation("post", "/accounts/<account>/suspend", Scope.ACCOUNTS_WRITE, models.Account)
def suspend_account(path: AccountPath) -> BaseModel:
    """Deny every attempt on the account from now on."""
    return _set(path.account, active=False)


@operation("post", "/accounts/<account>/resume", Scope.ACCOUNTS_WRITE, models.Account)
def resume_account(path: AccountPath) -> BaseModel:
    """Lift a suspension, or a lockout of the face."""
    return _set(path.account, active=True)


@operation("post", "/accounts/<account>/unlock-pin", Scope.ACCOUNTS_WRITE, models.Account)
def unlock_pin(path: AccountPath) -> BaseModel:
    """Lift a lockout of the PIN, which is apart from the face's."""
    if not operations().unlock_pin(path.account):
        raise _absent(path.account)
    return _show(path.account)


@operation("post", "/accounts/<account>/erase", Scope.ACCOUNTS_WRITE, models.Erasure)
def erase_account(path: AccountPath) -> BaseModel:
    """Destroy the account's data key, references, claims and PIN, for ever."""
    leaf_hash = operations().erase_account(path.account)
    if leaf_hash is None:
        raise _absent(path.account)
    return models.Erasure(account=path.account, state="erased", leaf_hash=leaf_hash.hex())


def _set(account: AccountId, *, active: bool) -> BaseModel:
    if not operations().set_account(account, active=active):
        raise _absent(account)
    return _show(account)


def _show(account: AccountId) -> BaseModel:
    with database().transaction() as conn:
        found = records.find_account(conn, account)
    if found is None:
        raise not_found()
    return models.Account.model_validate(found)


def _absent(account: AccountId) -> ProblemError:
    """Why an act on an account did nothing."""
    with database().transaction() as conn:
        known = records.find_account(conn, account) is not None
    return ProblemError(*_REFUSED[Refusal.ACCOUNT_ERASED]) if known else not_found()
