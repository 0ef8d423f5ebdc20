"""Doors by the whole service: modes, two people, alarms, duress, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from access.rules import Mode, Passback, ZoneRules
from service.audit.leaf import ActLeaf, AlarmLeaf, DecisionLeaf
from service.operators.acts import Refusal
from service.operators.tokens import Scope
from service.verification.policy import default_policy
from tests.api.client import Client
from tests.ceremony.house import Device, House, card, enrol, entry, payment, probe, withdrawal
from wire.codec import decode
from wire.denial import Denial, Reason
from wire.ids import AccountId, ZoneId
from wire.messages import Completion, Context, Direction, TerminalKind

DURESS = "9753"


def zone_of(house: House) -> ZoneId:
    return ZoneId(house.door.raw)


def alarms(house: House) -> list[tuple[str, AccountId | None]]:
    """(kind, account) of the rows, which must be those of the leaves."""
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT alarm_id, kind, account_id FROM alarms ORDER BY at_ms")
        stored = {bytes(raw): (kind, AccountId(account)) for raw, kind, account in rows.fetchall()}
        leaves = [
            AlarmLeaf.decode(leaf)
            for (leaf,) in conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id")
            if decode(leaf)[1] == "alarm"
        ]
    assert {each.alarm.raw: (each.cause, each.account) for each in leaves} == stored
    return list(stored.values())


def test_out_in_an_evacuation_without_a_grant_and_not_in_a_lockdown(house: House) -> None:
    enrol(house, 1)
    door, out = (
        house.add_terminal(TerminalKind.DOOR),
        replace(entry(house), direction=Direction.OUT),
    )
    house.operations.set_mode(zone_of(house), Mode.EVACUATION)
    assert door.attempt(out, probe(1)).approved
    assert door.attempt(entry(house), probe(1)).reason == Reason.DOOR_CLOSED
    house.operations.set_mode(zone_of(house), Mode.LOCKDOWN)
    assert door.attempt(out, probe(1)).reason == Reason.DOOR_CLOSED
    house.operations.set_mode(zone_of(house), Mode.NORMAL)
    assert house.denial_of(door.attempt(out, probe(1)).attempt) == Denial.GRANT_MISSING


def test_a_grant_that_ends_during_the_capture_is_over(house: House) -> None:
    account, door = enrol(house, 1), house.add_terminal(TerminalKind.DOOR)
    house.grant(account)
    challenge = door.challenge(entry(house))
    with house.database.transaction() as conn:
        conn.execute("UPDATE grants SET valid_until_ms = %s", (house.clock() + 1,))
    evidence = door.evidence(challenge, probe(1))
    house.clock.now_ms += 1
    decision = door.read(door.send("/v1/attempts", door.sign(evidence)))
    assert house.denial_of(decision.attempt) == Denial.GRANT_EXPIRED


def test_two_people_let_each_other_in_and_the_log_names_both(house: House) -> None:
    first, second = enrol(house, 1), enrol(house, 2)
    house.operations.set_rules(zone_of(house), ZoneRules(two_person_ms=30_000))
    door = house.add_terminal(TerminalKind.DOOR)
    for account in (first, second):
        house.grant(account)
    waiting = door.attempt(entry(house), probe(1))
    assert waiting.reason == Reason.SECOND_PERSON_MISSING
    opened = door.attempt(entry(house), probe(2))
    assert opened.approved
    with house.database.transaction() as conn:
        row = conn.execute(
            "SELECT leaf FROM audit_entries WHERE leaf_hash = %s", (opened.leaf_hash,)
        ).fetchone()
    assert row is not None
    leaf = DecisionLeaf.decode(row[0])
    assert (leaf.account, leaf.companion) == (second, first)
    assert door.confirm(opened.attempt, Completion.COMPLETED).status_code == 200
    api = Client.of(house, Scope.DOORS_READ)
    [found] = api.get(f"/doors/{house.door}/entries").json["items"]
    assert (found["state"], set(found["accounts"])) == ("confirmed", {str(first), str(second)})
    inside = api.get(f"/zones/{zone_of(house)}/inside").json["items"]
    assert {each["account"] for each in inside} == {str(first), str(second)}


def test_a_door_is_commanded_before_it_is_confirmed(house: House) -> None:
    account, door = enrol(house, 1), house.add_terminal(TerminalKind.DOOR)
    house.grant(account)
    api = Client.of(house, Scope.DOORS_READ)
    opened = door.attempt(entry(house), probe(1))
    [found] = api.get(f"/doors/{house.door}/entries").json["items"]
    assert (found["state"], found["closed_at_ms"]) == ("commanded", None)
    door.confirm(opened.attempt, Completion.FAILED)
    [found] = api.get(f"/doors/{house.door}/entries").json["items"]
    assert (found["state"], found["closed_at_ms"]) == ("failed", house.clock())
    assert api.get(f"/zones/{zone_of(house)}/inside").json["items"] == []


def test_softly_entering_twice_opens_and_alarms(house: House) -> None:
    account, door = enrol(house, 1), house.add_terminal(TerminalKind.DOOR)
    house.grant(account)
    house.operations.set_rules(zone_of(house), ZoneRules(passback=Passback.SOFT))
    assert door.attempt(entry(house), probe(1)).approved
    assert alarms(house) == []
    house.clock.now_ms += 1
    assert door.attempt(entry(house), probe(1)).approved
    assert alarms(house) == [("anti_passback", account)]
    api = Client.of(house, Scope.ALARMS_READ, Scope.ALARMS_WRITE)
    [waiting] = api.get("/alarms?waiting=true").json["items"]
    assert api.post(f"/alarms/{waiting['alarm']}/acknowledge").status_code == 204
    assert api.post(f"/alarms/{waiting['alarm']}/acknowledge").status_code == 404
    assert api.get("/alarms?waiting=true").json["items"] == []


def shape(device: Device, context: Context, pin: str) -> tuple[object, ...]:
    """Everything that a terminal sees of an attempt."""
    evidence = device.evidence(device.challenge(context), probe(1, pin=pin))
    answer = device.send("/v1/attempts", device.sign(evidence))
    decision = device.read(answer)
    headers = sorted(each for each in answer.headers if each[0] != "X-Request-Id")
    lives_ms = decision.expires_at_ms - decision.decided_at_ms
    return answer.status_code, len(answer.data), headers, decision.reason, lives_ms


@pytest.mark.parametrize("kind", [TerminalKind.STORE, TerminalKind.ATM, TerminalKind.DOOR])
def test_the_duress_pin_does_what_the_pin_does_and_calls_for_help(
    house: House, kind: TerminalKind
) -> None:
    policy = default_policy()
    [tier] = policy.tiers["entry"]
    house.publish(replace(policy, tiers={**policy.tiers, "entry": (replace(tier, pin=True),)}))
    account, device = enrol(house, 1, pin="2468"), house.add_terminal(kind)
    house.grant(account)
    house.top_up(account, 10_000_000)
    context = {
        TerminalKind.STORE: payment(house, 50_000),
        TerminalKind.ATM: withdrawal(),
        TerminalKind.DOOR: entry(house),
    }[kind]
    assert house.operations.set_duress_pin(account, DURESS) is None
    own = shape(device, context, "2468")
    assert alarms(house) == []
    assert shape(device, context, DURESS) == own
    assert own[3] is None
    assert alarms(house) == [("duress", account)]
    wrong = shape(device, context, "1357")
    assert wrong[3] == Reason.NOT_VERIFIED
    assert len(alarms(house)) == 1


def test_help_is_called_without_a_face_too(house: House) -> None:
    account, store = enrol(house, 1, pin="2468"), house.add_terminal(TerminalKind.STORE)
    house.top_up(account, 10_000)
    house.operations.set_duress_pin(account, DURESS)
    own = store.card_attempt(payment(house, 500), card(1, "2468"))
    assert (own.reason, alarms(house)) == (None, [])
    assert store.card_attempt(payment(house, 500), card(1, DURESS)).reason is None
    assert alarms(house) == [("duress", account)]


def test_help_is_called_where_the_door_stays_shut_too(house: House) -> None:
    policy = default_policy()
    [tier] = policy.tiers["entry"]
    house.publish(replace(policy, tiers={**policy.tiers, "entry": (replace(tier, pin=True),)}))
    account, door = enrol(house, 1, pin="2468"), house.add_terminal(TerminalKind.DOOR)
    house.operations.set_duress_pin(account, DURESS)
    refused = door.attempt(entry(house), probe(1, pin=DURESS))
    assert house.denial_of(refused.attempt) == Denial.GRANT_MISSING
    assert alarms(house) == [("duress", account)]
    other = door.attempt(entry(house), probe(9, claim="card:1", pin=DURESS))
    assert house.denial_of(other.attempt) == Denial.NO_MATCH
    assert len(alarms(house)) == 1


def test_a_duress_pin_is_another_pin_of_somebody_who_has_one(house: House) -> None:
    with_pin, without = enrol(house, 1, pin="2468"), enrol(house, 2, pin=None)
    acts = house.operations
    assert acts.set_duress_pin(with_pin, "2468") is Refusal.PIN_NOT_ACCEPTED
    assert acts.set_duress_pin(with_pin, "12") is Refusal.PIN_NOT_ACCEPTED
    assert acts.set_duress_pin(with_pin, None) is Refusal.PIN_NOT_SET
    assert acts.set_duress_pin(without, DURESS) is Refusal.PIN_NOT_SET
    assert acts.set_duress_pin(AccountId.new(), DURESS) is Refusal.PIN_NOT_SET
    assert acts.set_duress_pin(with_pin, DURESS) is None
    assert acts.set_duress_pin(with_pin, None) is None
    acts.set_duress_pin(with_pin, DURESS)
    acts.erase_account(with_pin)
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT 1 FROM accounts WHERE duress_hash IS NOT NULL").fetchall()
    assert rows == []
    assert acts.set_duress_pin(with_pin, DURESS) is Refusal.PIN_NOT_SET


def test_what_is_explained_is_what_was_decided(house: House) -> None:
    account, door = enrol(house, 1), house.add_terminal(TerminalKind.DOOR)
    house.grant(account)
    house.operations.set_rules(zone_of(house), ZoneRules(passback=Passback.HARD))
    api = Client.of(house, Scope.DOORS_READ)
    decisions = []
    for _ in range(2):
        decisions.append(door.attempt(entry(house), probe(1)))
        house.clock.now_ms += 1000
    for decision in decisions:
        told = api.get(
            "/access/explain",
            query_string={
                "account": account,
                "door": house.door,
                "at_ms": decision.decided_at_ms,
            },
        ).json
        assert told["denial"] == house.denial_of(decision.attempt)
        deciding = [each for each in told["findings"] if each["effect"] in ("opens", "refuses")]
        assert deciding[0]["rule"] == told["rule"] == (told["denial"] or "granted")
    unknown = {"account": AccountId.new(), "door": house.door}
    assert api.get("/access/explain", query_string=unknown).status_code == 404


def test_every_act_on_doors_is_a_leaf_that_says_who_and_where(house: House) -> None:
    account, acts = AccountId.new(), house.operations
    site = acts.add_site("Works", "Europe/Berlin")
    zone = acts.add_zone("Hall", site, ZoneRules())
    group = acts.add_group("Staff")
    acts.join_group(group, account)
    acts.set_mode(site, Mode.LOCKDOWN)
    acts.set_visit(account, 5)
    assert not acts.revoke_grant(account, zone)
    assert not acts.set_mode(ZoneId.new(), Mode.LOCKDOWN)
    assert not acts.leave_group(group, AccountId.new())
    assert acts.grant_amnesty(zone) == 0
    with house.database.transaction() as conn:
        leaves = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    found = [ActLeaf.decode(leaf) for (leaf,) in leaves]
    assert [(each.act, each.subject) for each in found] == [
        ("site.add", str(site)),
        ("zone.add", f"{zone} {site}"),
        ("group.add", str(group)),
        ("group.join", f"{account} {group}"),
        ("site.lockdown", str(site)),
        ("visit.set", str(account)),
    ]
