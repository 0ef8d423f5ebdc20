"""Who may ask, what for, and how often; and what a refusal says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.audit.leaf import ActLeaf
from service.http.api import BODY_BYTES_MAX
from service.http.models import example_id
from service.ledger.check import check
from service.operators import tokens
from service.operators.pages import Cursor
from service.operators.tokens import Scope
from tests.api.client import Client, problem_of
from tests.ceremony.house import House, enrol
from wire.errors import MalformedError
from wire.ids import AccountId, DoorId, MerchantId, TransferId
from wire.messages import TerminalKind

HOUR_MS = 3600 * 1000


def acts(house: House) -> list[ActLeaf]:
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    return [ActLeaf.decode(bytes(leaf)) for (leaf,) in rows if b"\x63act" in bytes(leaf)]


def test_only_a_hash_is_stored_and_the_log_knows_who_made_it(house: House) -> None:
    client = Client.of(house, Scope.DOORS_WRITE)
    with house.database.transaction() as conn:
        (row,) = conn.execute("SELECT api_tokens::text FROM api_tokens").fetchone()
        plain = tokens.token_hash(client.secret, b"")
    assert client.secret not in row
    assert client.secret.removeprefix("cnt_") not in row
    assert plain.hex() not in row
    door = client.post("/doors", json={"name": "Back"}).json["door"]
    house.operations.revoke_token(client.token)
    assert [(act.act, act.subject, act.actor) for act in acts(house)] == [
        ("token.add", str(client.token), None),
        ("door.add", door, str(client.token)),
        ("token.revoke", str(client.token), None),
    ]


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, False),
        ("", False),
        ("Bearer", False),
        ("Bearer cnt_short", False),
        ("Basic Y250OmNudA==", False),
        ("Bearer cnt_" + "a" * 52, True),
        ("Bearer  cnt_" + "a" * 52, False),
        ("Bearer cnt_" + "A" * 52, False),
        ("Bearer cnt_" + "٣" * 52, False),
    ],
)
def test_without_a_token_nothing_is_told(house: House, header: str | None, error: bool) -> None:
    headers = {"Authorization": header.encode().decode("latin-1")} if header is not None else {}
    answer = house.client().get("/api/v1/accounts", headers=headers)
    assert (answer.status_code, problem_of(answer)) == (401, "token_not_accepted")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="countenance"')
    assert ("invalid_token" in challenge) is error


def test_a_token_ends(house: House) -> None:
    client = Client.of(house, Scope.DOORS_READ)
    assert client.get("/doors").status_code == 200
    house.clock.now_ms += 30 * tokens.DAY_MS - 1
    assert client.get("/doors").status_code == 200
    house.clock.now_ms += 1
    assert client.get("/doors").status_code == 401
    revoked = Client.of(house, Scope.DOORS_READ)
    assert house.operations.revoke_token(revoked.token)
    assert not house.operations.revoke_token(revoked.token)
    assert revoked.get("/doors").status_code == 401


def test_a_scope_is_needed_for_each_operation(house: House) -> None:
    client = Client.of(house, Scope.DOORS_READ)
    for path in ("/accounts", "/terminals", "/merchants", "/attempts", "/audit/checkpoint"):
        answer = client.get(path)
        assert (answer.status_code, problem_of(answer)) == (403, "scope_missing")
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert client.post("/doors", json={"name": "x"}).status_code == 403
    assert client.get("/doors").status_code == 200


def test_a_token_asks_only_so_often_and_each_for_itself(house: House) -> None:
    client, other = (Client.of(house, Scope.DOORS_READ) for _ in range(2))
    answers = [client.get("/doors").status_code for _ in range(tokens.BURST + 1)]
    assert answers == [200] * tokens.BURST + [429]
    refused = client.get("/doors")
    assert problem_of(refused) == "too_many_requests"
    assert int(refused.headers["Retry-After"]) > 0
    assert other.get("/doors").status_code == 200
    house.clock.now_ms += 60_000 // tokens.PER_MINUTE
    assert [client.get("/doors").status_code for _ in range(2)] == [200, 429]
    text = house.client().get("/metrics").text
    assert 'countenance_rate_limited_total{sender="token"} 3.0' in text


def test_requests_without_the_scope_count_too(house: House) -> None:
    client = Client.of(house, Scope.DOORS_READ)
    for _ in range(tokens.BURST):
        assert client.get("/accounts").status_code == 403
    assert client.get("/doors").status_code == 429


def test_a_merchant_sees_only_its_own(house: House) -> None:
    other = house.operations.add_merchant("Other", "EUR")
    mine, theirs = (
        Client.of(house, *tokens.MERCHANT_SCOPES, merchant=merchant)
        for merchant in (house.merchant, other)
    )
    store = str(house.add_terminal(TerminalKind.STORE).terminal)
    house.add_terminal(TerminalKind.ATM)
    assert [each["terminal"] for each in mine.get("/terminals").json["items"]] == [store]
    assert theirs.get("/terminals").json["items"] == []
    for path in (f"/merchants/{house.merchant}/earnings", f"/merchants/{house.merchant}/payments"):
        assert mine.get(path).status_code == 200
        assert problem_of(theirs.get(path)) == "not_found"
    assert [m["merchant"] for m in theirs.get("/merchants").json["items"]] == [str(other)]
    assert problem_of(theirs.post(f"/terminals/{store}/revoke")) == "not_found"
    wanted = {"kind": "store", "name": "Till", "merchant": str(house.merchant), "site": "Gate"}
    assert problem_of(theirs.post("/terminals", json=wanted)) == "not_found"
    assert problem_of(mine.post("/terminals", json={"kind": "atm", "name": "A"})) == "not_found"
    assert mine.post("/terminals", json=wanted).status_code == 201
    sites = {each["name"]: each["site"] for each in mine.get("/terminals").json["items"]}
    assert sites["Till"] == "Gate"
    assert mine.post(f"/terminals/{store}/revoke").status_code == 200
    assert problem_of(mine.post(f"/terminals/{store}/revoke")) == "terminal_revoked"


def test_a_merchants_token_never_has_an_operators_scope(house: House) -> None:
    with pytest.raises(ValueError, match="a merchant's only those of merchants"):
        Client.of(house, Scope.AUDIT_READ, merchant=house.merchant)
    with pytest.raises(ValueError, match="a token has scopes"):
        Client.of(house)
    client = Client.of(house, Scope.PAYMENTS_READ, merchant=house.merchant)
    with house.database.transaction() as conn:
        conn.execute("UPDATE api_tokens SET scopes = '{accounts:read,audit:read,no:such}'")
    assert client.get("/accounts").status_code == 403


PROBLEMS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/nowhere", {}, 404, "not_found"),
    ("PATCH", "/doors", {}, 405, "method_not_allowed"),
    ("GET", "/accounts/acc_wrong", {}, 422, "invalid"),
    ("GET", f"/accounts/{example_id(AccountId)}", {}, 404, "not_found"),
    ("GET", "/doors?limit=101", {}, 422, "invalid"),
    ("GET", "/doors?limit=0", {}, 422, "invalid"),
    ("GET", "/doors?limit=1&limit=2", {}, 400, "bad_request"),
    ("GET", "/doors?after=1.00", {}, 422, "invalid"),
    ("GET", "/doors?unknown=1", {}, 422, "invalid"),
    ("GET", "/audit/checkpoint?unknown=1", {}, 400, "bad_request"),
    ("GET", "/doors", {"json": {}}, 400, "bad_request"),
    ("POST", "/doors", {"data": "{", "content_type": "application/json"}, 400, "bad_request"),
    ("POST", "/doors", {"json": ["name"]}, 400, "bad_request"),
    ("POST", "/doors", {"json": '{"name": "x"}'}, 400, "bad_request"),
    ("POST", "/doors", {"data": "name=x"}, 415, "not_json"),
    ("POST", "/doors", {}, 422, "invalid"),
    ("POST", "/doors", {"json": {"name": "x" * 20_000}}, 413, "body_too_long"),
    ("POST", "/doors", {"json": {"name": "x" * 200_000}}, 413, "body_too_long"),
    ("POST", "/doors", {"json": {"name": ""}}, 422, "invalid"),
    ("POST", "/doors", {"json": {"name": "a\0b"}}, 422, "invalid"),
    ("POST", "/doors", {"json": {"name": 5}}, 422, "invalid"),
    ("POST", "/doors", {"json": {"name": "x", "other": 1}}, 422, "invalid"),
    *(
        ("POST", "/doors", {"data": text, "content_type": "application/json"}, 400, "bad_request")
        for text in ('{"name": "x", "name": "y"}', '{"name": NaN}', "[" * 16_000, b"\xff")
    ),
    (
        "POST",
        "/doors",
        {"data": r'{"name": "\ud800"}', "content_type": "application/json"},
        422,
        "invalid",
    ),
    (
        "POST",
        "/terminals",
        {"json": {"kind": "store", "name": "x", "merchant": str(MerchantId(bytes(16)))}},
        404,
        "not_found",
    ),
    ("POST", "/terminals", {"json": {"kind": "store", "name": "x"}}, 422, "invalid"),
    ("POST", "/merchants", {"json": {"name": "x", "currency": "XXX"}}, 422, "invalid"),
    ("GET", f"/doors/{DoorId(bytes(16))}/grants", {}, 404, "not_found"),
    ("GET", "/audit/checkpoint", {}, 404, "not_found"),
    ("GET", "/audit/receipts/" + "00" * 32, {}, 404, "not_found"),
]


def test_what_is_wrong_is_a_problem_that_echoes_nothing(house: House, api: Client) -> None:
    for method, path, arguments, status, code in PROBLEMS:
        house.clock.now_ms += 1000
        answer = api.send(method, path, **arguments)
        assert (answer.status_code, problem_of(answer)) == (status, code), (method, path, arguments)
        assert b"Traceback" not in answer.data
        assert answer.headers["Cache-Control"] == "no-store"
        assert ("Allow" in answer.headers) is (status == 405)
    assert problem_of(house.client().get("/api/nothing")) == "not_found"
    answer = api.post("/doors", json={"name": "x", "hunter2": "s3cret"})
    assert b"hunter2" not in answer.data
    assert b"s3cret" not in answer.data


@pytest.mark.parametrize(("spare", "status"), [(0, 201), (1, 413), (10**6, 413)])
def test_a_body_of_unknown_length_is_not_cut_to_fit(api: Client, spare: int, status: int) -> None:
    text = b'{"name": "x"}'
    padded = text + b" " * (BODY_BYTES_MAX - len(text) + spare)
    answer = api.post(
        "/doors",
        input_stream=BytesIO(padded),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == status


def test_a_top_up_is_booked_once_for_its_id(house: House, api: Client) -> None:
    account, other = enrol(house, 1), enrol(house, 2)
    key = {"Idempotency-Key": str(TransferId.new())}
    path, money = f"/accounts/{account}/top-ups", {"amount_minor": 700, "currency": "EUR"}
    first, again = (api.post(path, json=money, headers=key) for _ in range(2))
    assert (first.status_code, again.data) == (201, first.data)
    for changed, where in (
        ({**money, "amount_minor": 701}, path),
        (money, f"/accounts/{other}/top-ups"),
    ):
        answer = api.post(where, json=changed, headers=key)
        assert (answer.status_code, problem_of(answer)) == (422, "idempotency_key_reused")
    assert api.get(f"/accounts/{account}").json["available_minor"] == 700
    assert [act.act for act in acts(house)].count("account.top-up") == 1
    for wrong in ("", "short", "x" * 65, "with a blank in it"):
        answer = api.post(path, json=money, headers={"Idempotency-Key": wrong})
        assert problem_of(answer) == "bad_request"
    dollars = api.post(path, json={**money, "currency": "USD"})
    assert problem_of(dollars) == "currency_mismatch"
    for booked in range(9, -1, -1):
        answer = api.post(path, json={**money, "amount_minor": 10**15})
        assert (answer.status_code == 201) is (booked > 0)
    assert problem_of(answer) == "limit_exceeded"
    assert api.post(f"/accounts/{account}/erase").status_code == 200
    assert problem_of(api.post(path, json=money)) == "account_erased"
    assert problem_of(api.post(f"/accounts/{account}/erase")) == "account_erased"
    assert problem_of(api.post(f"/accounts/{account}/resume")) == "account_erased"
    assert problem_of(api.post(f"/accounts/{account}/unlock-pin")) == "account_erased"
    assert api.post(f"/accounts/{other}/unlock-pin").status_code == 200
    assert api.post(path, json=money, headers=key).status_code == 201


def test_a_top_up_that_is_asked_for_at_once_is_booked_once(house: House, api: Client) -> None:
    account = enrol(house, 1)
    key = {"Idempotency-Key": str(TransferId.new())}

    def ask(amount_minor: int) -> int:
        money = {"amount_minor": amount_minor, "currency": "EUR"}
        return api.post(f"/accounts/{account}/top-ups", json=money, headers=key).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, [700] * 12 + [701] * 12))
    assert sorted(set(statuses)) == [201, 422]
    assert statuses.count(201) == 12
    with house.database.transaction() as conn:
        assert check(conn) == ()
    assert api.get(f"/accounts/{account}").json["available_minor"] in (700, 701)
    assert [act.act for act in acts(house)].count("account.top-up") == 1


WORD = st.text(max_size=20) | st.integers() | st.booleans() | st.none() | st.floats()
ANY = st.recursive(WORD, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
KEYS = st.sampled_from(
    ["name", "kind", "merchant", "door", "currency", "schedule", "time_zone", "valid_from_ms",
     "valid_until_ms", "amount_minor", "x"]
)  # fmt: skip


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from(["POST", "PUT", "GET", "DELETE"]),
    path=st.sampled_from(
        [
            "/doors",
            "/terminals",
            "/merchants",
            f"/accounts/{example_id(AccountId)}/top-ups",
            f"/doors/{example_id(DoorId)}/grants/{example_id(AccountId)}",
        ]
    ),
    body=st.dictionaries(KEYS, ANY | st.sampled_from(["EUR", "atm", "always", 5]), max_size=4),
    query=st.dictionaries(st.sampled_from(["limit", "after", "x"]), st.text(max_size=40)),
    key=st.sampled_from([str(example_id(TransferId)), "", "tra_x"]),
)
def test_whatever_is_sent_is_answered_as_documented(
    house: House,
    api: Client,
    method: str,
    path: str,
    body: dict[str, Any],
    query: dict[str, str],
    key: str,
) -> None:
    house.clock.now_ms += 1000
    answer = api.send(method, path, json=body, query_string=query, headers={"Idempotency-Key": key})
    assert answer.status_code in {201, 400, 404, 405, 422}, answer.data
    if answer.status_code > 201:
        problem_of(answer)


@given(st.text() | st.from_regex(r"[0-9]{1,19}\.[0-9a-fA-F ]{0,33}", fullmatch=True))
def test_a_cursor_has_one_text(text: str) -> None:
    try:
        found = Cursor.parse(text)
    except MalformedError:
        return
    assert str(found) == text
    assert Cursor.parse(str(found)) == found


def test_tokens_are_long_alike_and_differ() -> None:
    made = {tokens.new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(tokens.is_token(each) and len(each) == 56 for each in made)
    key, other = bytes(32), bytes(31) + b"\1"
    secret = made.pop()
    assert tokens.token_hash(secret, key) != tokens.token_hash(secret, other)
    assert len(tokens.token_hash(secret, key)) == 32
