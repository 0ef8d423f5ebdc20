"""Policies: the one in force, what somebody proposes, and what it would have changed."""

from __future__ import annotations

import difflib
import json
from collections import Counter

from flask import Response, abort, request

from face_engine.calibration import shipped
from service import policies as stored
from service.console.fields import line, parsed
from service.console.frame import go, operations, operator, page, show
from service.errors import Misconfigured
from service.operators import overview as reads
from service.operators import people, proposals, staff
from service.operators.people import Role
from service.operators.proposals import ProposalId
from service.verification.policy import Policy
from texts import later
from wire.messages import Context, PaymentContext, WithdrawalContext

READERS = frozenset({Role.ADMIN, Role.AUDITOR, Role.SUPPORT})
EDITORS = frozenset({Role.ADMIN})
DRY_RUN = 10_000
SHOWN = 20


def pretty(policy: Policy) -> str:
    return json.dumps(json.loads(policy.to_document()), indent=2, sort_keys=True)


@page("/policies", READERS)
def policies() -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        version, policy = stored.latest(conn, acts.keys.signing, now_ms=acts.clock())
        found = proposals.newest(conn, limit=SHOWN)
        names = {each.operator: each.name for each in people.list_operators(conn)}
    return show(
        "policies.html", version=version, policy=policy, text=pretty(policy), found=found,
        names=names,
    )  # fmt: skip


@page("/policies/new", EDITORS)
def new_policy() -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        version, policy = stored.latest(conn, acts.keys.signing, now_ms=acts.clock())
    return show("policy_new.html", version=version, text=pretty(policy), reason="")


@page("/policies/new", EDITORS, methods=("POST",))
def propose_policy() -> Response:
    """Checked as at a start of the service: nobody is asked to approve what would not run."""
    form, acts = request.form, operations()
    text, reason = form.get("document", ""), form.get("reason", "").strip()
    version = int(form["version"]) if form.get("version", "").isdecimal() else 0
    wrong = None
    try:
        policy = Policy.from_document(text)
        policy.check_rates(shipped().values())
    except Misconfigured as error:
        wrong = str(error)
    if line("reason", 200) is None:
        wrong = wrong or later("say why, in 1 to 200 characters")
    if wrong:
        return show("policy_new.html", 400, version=version, text=text, reason=reason, wrong=wrong)
    return go("proposal", proposal=staff.of(acts).propose_policy(policy, version, reason))


@page("/policies/<proposal>", READERS)
def proposal(proposal: str) -> Response:
    return _proposal(parsed(ProposalId, proposal))


def _proposal(wanted: ProposalId, refusal: proposals.Refusal | None = None) -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        found = proposals.find(conn, wanted)
        if found is None:
            abort(404)
        base = stored.load(conn, found.base_version, acts.keys.signing)
        newest = reads.last_contexts(conn, limit=DRY_RUN)
        names = {each.operator: each.name for each in people.list_operators(conn)}
    lines = difflib.unified_diff(
        pretty(base).splitlines(), pretty(found.policy).splitlines(), lineterm="", n=2
    )
    return show(
        "proposal.html",
        409 if refusal else 200,
        found=found,
        names=names,
        lines=[line for line in lines if not line.startswith(("---", "+++"))],
        changes=compare(base, found.policy, newest),
        looked_at=len(newest),
        refusal=refusal,
        own=found.proposed_by == operator().operator,
    )


@page("/policies/<proposal>", EDITORS, methods=("POST",))
def decide_policy(proposal: str) -> Response:
    wanted = parsed(ProposalId, proposal)
    approve = request.form.get("approve") == "1"
    decided = staff.of(operations()).decide_policy(wanted, approve=approve)
    if isinstance(decided, proposals.Refusal):
        return _proposal(wanted, decided)
    return go("policies")


def compare(
    base: Policy, new: Policy, attempts: list[tuple[Context, bool]]
) -> list[tuple[str, int]]:
    """How many of the attempts each change would have touched.

    What was approved or denied by the face itself is not tried again: no score is kept.
    """
    touched: Counter[str] = Counter()
    for context, approved in attempts:
        before, now = base.tier_for(context), new.tier_for(context)
        if now is None:
            touched[later("refused: above every tier")] += before is not None and approved
            continue
        if before is None:
            touched[later("let in: was above every tier")] += 1
            continue
        touched[later("asked for a PIN")] += now.pin and not before.pin
        touched[later("no longer asked for a PIN")] += before.pin and not now.pin
        touched[later("asked for more liveness")] += now.liveness > before.liveness
        touched[later("asked for less liveness")] += now.liveness < before.liveness
        touched[later("compared at a lower FMR")] += now.fmr < before.fmr
        touched[later("compared at a higher FMR")] += now.fmr > before.fmr
        touched[later("refused: above the limit of one transfer")] += approved and _above(
            context, new
        )
    return [(what, number) for what, number in touched.items() if number]


def _above(context: Context, policy: Policy) -> bool:
    most = policy.limits_for(context).account.transfer_minor
    if most is None or not isinstance(context, PaymentContext | WithdrawalContext):
        return False
    return context.amount_minor > most
