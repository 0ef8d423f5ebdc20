"""Whatever a parser of the terminal reads, it returns a value or raises the one error it names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_client.badge import Badge
from terminal_client.config import FILE_BYTES_MAX, FILE_NAME, Config, write_config
from terminal_client.device import REGISTER, Device
from terminal_client.door import Exit
from terminal_client.drivers.mqtt_lock import LockTopics
from terminal_client.drivers.settings import DoorConfig, Driver, Lock, OsdpConfig
from terminal_client.enrolment import check_claim, check_pin
from terminal_client.errors import (
    NotTheService,
    Rejected,
    StorageError,
    TerminalError,
    Unreachable,
    UsageError,
)
from terminal_client.exchange import check_acknowledgement
from terminal_client.keystore import Identity, Keystore
from terminal_client.outbox import ATTEMPT, Outbox, Waiting
from terminal_client.transport import HttpTransport, Reply, send
from wire import envelope
from wire.envelope import SigningKey
from wire.ids import AttemptId, MerchantId, TerminalId
from wire.messages import Acknowledgement, Completion, Direction, Problem, TerminalKind

fuzz = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FULL = """
service = "https://pay.example"
ca_file = "ca.pem"
camera = "rtsp://10.0.0.2/door"
pack = "open"
[door]
driver = "osdp"
lock = "fail-secure"
open_ms = 3000
held_ms = 30000
direction = "out"
exit = "releases"
[door.osdp]
port = "/dev/ttyUSB0"
baud = 19200
address = 3
output = 1
contact = 0
exit = 1
keypad = "card"
[atm]
notes = {"50 EUR" = 100, "20 EUR" = 0}
[enrolment]
consent_version = "2027-01"
consent_file = "consent.txt"
"""


class Answers:
    """A service that says one thing."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.sent: list[bytes] = []

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        self.sent.append(body)
        return self.replies[min(len(self.sent), len(self.replies)) - 1]


def identity(service_key: bytes = bytes(32)) -> Identity:
    return Identity(
        terminal=TerminalId.new(),
        kind=TerminalKind.STORE,
        service_key=service_key,
        merchant=MerchantId.new(),
        door=None,
    )


def test_every_setting_is_read() -> None:
    assert Config.parse(FULL.encode()) == Config(
        service="https://pay.example",
        ca_file="ca.pem",
        camera="rtsp://10.0.0.2/door",
        pack="open",
        door=DoorConfig(
            driver=Driver.OSDP,
            lock=Lock.FAIL_SECURE,
            open_ms=3000,
            held_ms=30_000,
            direction=Direction.OUT,
            exit=Exit.RELEASES,
            settings=OsdpConfig(
                port="/dev/ttyUSB0",
                baud=19200,
                address=3,
                output=1,
                contact=0,
                exit=1,
                keypad="card",
            ),
        ),
        currency="EUR",
        notes={5000: 100, 2000: 0},
        consent_version="2027-01",
        consent_files={"en": "consent.txt"},
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("colour = 1", "unknown key colour"),
        ("camera = 0", "camera is a str"),
        ('pack = ""', "pack is a text"),
        ('camera = "a\\u0000b"', "camera is a text"),
        ("[door]\nopen_ms = 0", "door.open_ms is a number from 500 to 60000"),
        ("[door]\nopen_ms = true", "door.open_ms is a int"),
        ("[door]\nopen_ms = 5000.0", "door.open_ms is a int"),
        ('[door]\ndirection = "up"', "door.direction is in or out"),
        ("[door]\nspeed = 1", "unknown key door.speed"),
        ("door = 1", "door is a dict"),
        ('[door]\ndriver = "wiegand"', "door.driver is console or osdp"),
        ('[door]\nlock = "open"', "door.lock is fail-safe or fail-secure"),
        ('[door]\ndriver = "gpio"\n[door.gpio]\nrelay = 4', "door.lock is missing"),
        ('[door]\ndriver = "gpio"', "door.gpio.relay is a number from 0"),
        ('[door]\ndriver = "gpio"\n[door.gpio]\nrelay = 4\nexit = 4', "names one pin twice"),
        ('[door]\ndriver = "osdp"', "door.osdp.port is missing"),
        ('[door]\ndriver = "osdp"\n[door.osdp]\nport = "x"\nbaud = 9601', "door.osdp.baud is one"),
        ('[door]\ndriver = "osdp"\n[door.osdp]\nport = "x"\nkeypad = "pin"', "keypad is one of"),
        (
            '[door]\ndriver = "osdp"\n[door.osdp]\nport = "x"\nkey = "y"',
            "unknown key door.osdp.key",
        ),
        (
            '[door]\ndriver = "mqtt"\n[door.mqtt]\nhost = "b"\nuser = "u"\ndiscovery = "a/#"',
            "one topic, without wildcards",
        ),
        ('[door]\ndriver = "http"\n[door.http]\nurl = "http://u:p@relay"', "holds no user"),
        ('[atm]\nnotes = {"50" = 1}', "atm.notes: an amount is written"),
        ('[atm]\nnotes = {"50 EUR" = -1}', "atm.notes: 0 to"),
        ('[atm]\nnotes = {"50 EUR" = true}', "atm.notes: 0 to"),
        ('[atm]\nnotes = {"50 EUR" = 1, "20 USD" = 1}', "one currency"),
        (f'[enrolment]\nconsent_version = "{"x" * 41}"', "enrolment.consent_version is a text"),
        ('[enrolment]\nconsent_files = {english = "x"}', "named by languages"),
        ("[enrolment]\nconsent_files = {en = 1}", "enrolment.consent_files.en is a str"),
        ('[enrolment]\nconsent_file = "x"\nconsent_files = {en = "x"}', "not both"),
        ('[kiosk]\nlanguage = "english"', "kiosk.language is a language"),
        ("x = [", "not TOML"),
        ("x = " + "[" * 20_000, "not TOML: nested too deeply"),
        ("# " + "x" * FILE_BYTES_MAX, "more than 64 KiB"),
    ],
)
def test_a_wrong_setting_is_one_line(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")) as caught:
        Config.parse(f'service = "https://pay.example"\n{line}'.encode())
    assert "\n" not in str(caught.value)


def test_the_consent_text_is_read_in_the_terminals_own_language_first() -> None:
    files = '[enrolment]\nconsent_files = {en = "a", es = "b"}\n[kiosk]\nlanguage = "es"'
    config = Config.parse(f'service = "https://pay.example"\n{files}'.encode())
    assert list(config.consent_files.items()) == [("es", "b"), ("en", "a")]


def test_a_config_needs_the_service() -> None:
    with pytest.raises(UsageError, match="service is missing"):
        Config.parse(b"")


@fuzz
@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(str.encode)
    | st.tuples(st.integers(0, len(FULL)), st.binary(max_size=3)).map(
        lambda cut: FULL.encode()[: cut[0]] + cut[1] + FULL.encode()[cut[0] + len(cut[1]) :]
    )
)
def test_any_config_is_read_or_refused(raw: bytes) -> None:
    with suppress(UsageError):
        Config.parse(raw)


@fuzz
@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_what_is_written_is_read_back(tmp_path: Path, camera: str, pack: str) -> None:
    path = tmp_path / FILE_NAME
    path.unlink(missing_ok=True)
    written = Config(service="https://pay.example", camera=camera, pack=pack)
    try:
        write_config(tmp_path, written)
    except UsageError:
        assert not (camera.isprintable() and pack.isprintable())
        assert not path.exists()
    else:
        assert Config.load(tmp_path) == written
        assert path.stat().st_mode & 0o777 == 0o600


@fuzz
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["terminal", "kind", "service_key", "merchant", "door"]), inner
            )
            | st.lists(inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_identity_file_is_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    keystore = Keystore(tmp_path / "home")
    path = tmp_path / "home" / "identity"
    path.touch(mode=0o600)
    path.write_bytes(raw)
    with suppress(StorageError):
        assert keystore.identity is not None


def test_an_identity_is_remembered_whole(tmp_path: Path) -> None:
    keystore, known = Keystore(tmp_path / "home"), identity()
    keystore.remember(known)
    assert Keystore(tmp_path / "home").identity == known


@pytest.mark.parametrize(
    "change", [{"service_key": "00"}, {"service_key": 1}, {"kind": 9}, {"terminal": "ter_x"},
               {"merchant": 5}, {"door": []}, {"extra": 1}]
)  # fmt: skip
def test_a_changed_identity_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    keystore = Keystore(tmp_path / "home")
    keystore.remember(identity())
    path = tmp_path / "home" / "identity"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StorageError, match="is damaged"):
        _ = keystore.identity


@fuzz
@given(st.text(max_size=80), st.binary(max_size=200), st.sampled_from([200, 201, 400, 404, 301]))
def test_any_code_and_answer_registers_nothing(
    tmp_path: Path, code: str, body: bytes, status: int
) -> None:
    home = tmp_path / "home"
    with Device(Keystore(home), Outbox(home / "o.db"), Answers(Reply(status, body))) as device:
        with pytest.raises(TerminalError):
            device.register(code, TerminalKind.STORE)
        assert device.keystore.identity is None


CELL = st.none() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=20) | st.binary(
    max_size=40
)  # fmt: skip


@fuzz
@given(st.lists(st.tuples(CELL, CELL | st.just(ATTEMPT), CELL), max_size=4))
def test_any_outbox_rows_are_read_or_refused(
    tmp_path: Path, rows: list[tuple[object, object, object]]
) -> None:
    path = tmp_path / "outbox.db"
    path.unlink(missing_ok=True)
    Outbox(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", rows)
    home = tmp_path / "home"
    keystore = Keystore(home)
    keystore.remember(identity())
    transport = Answers(Reply(200, b""))
    with Device(keystore, Outbox(path), transport) as device:
        if rows:
            with pytest.raises(StorageError):
                device.reconcile()
        assert transport.sent == []


@pytest.mark.parametrize(
    "row", [(bytes(16), "/v1/elsewhere", b"raw"), (bytes(15), ATTEMPT, b"raw"),
            (bytes(16), ATTEMPT, "raw")]
)  # fmt: skip
def test_a_row_that_is_no_message_is_named(tmp_path: Path, row: tuple[object, ...]) -> None:
    path = tmp_path / "outbox.db"
    Outbox(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO waiting VALUES (?, ?, ?)", row)
    with closing(Outbox(path)) as outbox, pytest.raises(StorageError, match="outbox is damaged"):
        outbox.waiting()


def test_evidence_of_another_key_in_the_outbox_is_not_sent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keystore = Keystore(home)
    keystore.remember(identity())
    transport = Answers(Reply(200, b""))
    with Device(keystore, Outbox(home / "outbox.db"), transport) as device:
        device.outbox.put(Waiting(AttemptId.new(), ATTEMPT, b"\xd2\x84"))
        with pytest.raises(StorageError, match="did not sign"):
            device.reconcile()
        assert len(device.outbox.waiting()) == 1
    assert transport.sent == []


@fuzz
@given(st.data())
def test_only_the_pinned_services_own_bytes_are_an_answer(data: st.DataObject) -> None:
    attempt, private = AttemptId(bytes(16)), Ed25519PrivateKey.from_private_bytes(bytes(32))
    pinned = identity(private.public_key().public_bytes_raw())
    message = Acknowledgement(attempt=attempt, completion=Completion.COMPLETED)
    genuine = envelope.sign(message, SigningKey(private, b"kid")).raw
    assert check_acknowledgement(genuine, attempt, pinned) == message
    at = data.draw(st.integers(0, len(genuine) - 1))
    put = data.draw(st.binary(max_size=4))
    cut = data.draw(st.integers(0, 4))
    changed = genuine[:at] + put + genuine[at + cut :]
    if changed != genuine:
        with pytest.raises(NotTheService):
            check_acknowledgement(changed, attempt, pinned)


@fuzz
@given(st.integers(100, 599), st.binary(max_size=120))
def test_any_reply_is_a_body_or_one_of_two_errors(status: int, body: bytes) -> None:
    try:
        answer = send(Answers(Reply(status, body)), REGISTER, b"", tries=1)
    except (Unreachable, Rejected):
        assert status not in (200, 201)
    else:
        assert (answer, status in (200, 201)) == (body, True)


def test_a_problem_tells_the_services_time() -> None:
    body = Problem(reason="not_verified", detail="no", now_ms=5).encode()
    with pytest.raises(Rejected) as caught:
        send(Answers(Reply(400, body)), REGISTER, b"", tries=1)
    assert (caught.value.reason, caught.value.now_ms) == ("not_verified", 5)


@fuzz
@given(st.text(max_size=60))
def test_any_service_address_is_taken_or_refused(url: str) -> None:
    for address in (url, f"http://{url}", f"https://{url}"):
        with suppress(UsageError):
            HttpTransport(address)


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1", "http://127.0.0.1.example", "http://127.0.0.1@192.0.2.1", "//x", "",
     "https://", "https://x:99999", "https://[::1"],
)  # fmt: skip
def test_an_address_that_must_not_be_used(url: str) -> None:
    with pytest.raises(UsageError):
        HttpTransport(url)


@pytest.mark.parametrize("check", [check_claim, check_pin])
@fuzz
@given(text=st.text(max_size=130))
def test_claims_and_pins_are_taken_or_refused_without_being_repeated(
    check: Callable[[str], str], text: str
) -> None:
    said: list[str] = []
    try:
        assert check(text) == text
    except UsageError as error:
        said.append(str(error))
    assert said in (
        [],
        ["a claim reads card:…, phone:…, qr:… or badge:…"],
        ["a PIN has 4 to 12 digits"],
    )


@fuzz
@given(st.integers(-1, 300), st.binary(max_size=40))
def test_a_badge_reads_the_same_on_both_ways(bits: int, raw: bytes) -> None:
    with suppress(UsageError):
        badge = Badge.read(bits, raw)
        assert check_claim(badge.claim) == badge.claim
        assert Badge.of_claim(badge.claim) == badge
        assert raw.hex() not in repr(badge) or len(raw) < 2


@fuzz
@given(st.text(max_size=80) | st.from_regex(r"badge:[0-9]{1,3}-[0-9a-f]{0,8}", fullmatch=True))
def test_a_badge_has_one_spelling(text: str) -> None:
    with suppress(UsageError):
        assert Badge.of_claim(text).claim == text


LOCK = b'{"~": "zigbee/front", "cmd_t": "~/set", "stat_t": "~", "avty": [{"t": "bridge"}]}'


def test_a_lock_announces_itself() -> None:
    lock = LockTopics.parse(LOCK)
    assert lock is not None
    topics = lock.command, lock.state, lock.availability
    assert topics == ("zigbee/front/set", "zigbee/front", "bridge")
    assert (lock.lock, lock.unlock) == ("LOCK", "UNLOCK")
    assert (lock.locked, lock.unlocked) == ("LOCKED", "UNLOCKED")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"[" * 50_000,
        b'{"command_topic": "a"}',
        b'{"command_topic": "a/#", "state_topic": "b"}',
        b'{"command_topic": "$SYS/x", "state_topic": "b"}',
        b'{"command_topic": "a", "state_topic": "b", "value_template": "{{ x }}"}',
        b'{"command_topic": "a", "state_topic": "b", "code_format": "."}',
        b'{"command_topic": "a", "state_topic": "b", "avty": [{"t": "c"}, {"t": "d"}]}',
        b'{"command_topic": "a", "state_topic": "b", "payload_lock": ""}',
        b'{"command_topic": "a", "state_topic": "b", "x": "' + b"y" * 20_000 + b'"}',
    ],
)
def test_what_is_no_lock_to_use(raw: bytes) -> None:
    assert LockTopics.parse(raw) is None


@fuzz
@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, len(LOCK)), st.binary(max_size=3)).map(
        lambda cut: LOCK[: cut[0]] + cut[1] + LOCK[cut[0] + len(cut[1]) :]
    )
)
def test_any_announcement_is_a_lock_or_none(raw: bytes) -> None:
    lock = LockTopics.parse(raw)
    assert lock is None or not set("+#") & set(lock.command + lock.state)
