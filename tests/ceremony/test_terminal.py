"""A real terminal, with real weights and a rendered customer, against a real service.

Only the network is missing: the transport hands the bytes to the service in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import skimage.data
from flask.testing import FlaskClient

from countenance.demo import ASKS_AGAIN, VISITS_MAX
from face_engine.calibration import shipped
from face_engine.engine import Engine
from face_engine.types import Face, Pixels
from liveness.challenge import Colour, Move
from liveness.evaluate import Presentation
from liveness.rig.presentation import flat_print, live_customer
from service import policies
from service.app import create_app
from service.authorize import Authorizer
from service.clock import unix_ms
from service.desk import Limits
from service.enrolment import accounts
from service.ledger import store as ledger
from service.terminals import registration
from service.terminals import store as terminals
from service.verification.policy import Tier, default_policy
from terminal_client.atm import CashMachine
from terminal_client.camera import SimulatedCamera, Stills
from terminal_client.door import DoorPolicy
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.console import ConsoleChannel
from terminal_client.drivers.simulated_dispenser import SimulatedDispenser
from terminal_client.errors import Rejected, StorageError, Unreachable
from terminal_client.exchange import COMPLETED, Ended, Ending, Word
from terminal_client.journal import Journal
from terminal_client.outbox import Outbox, Waiting
from terminal_client.terminal import Terminal
from terminal_client.transport import Reply
from tests.ceremony.house import House, entry, payment, withdrawal
from tests.models.conftest import package_folder
from wire import envelope
from wire.denial import Reason
from wire.ids import AccountId, AttemptId, TerminalId
from wire.messages import ChallengeRequest, Context, EnrolmentContext, TerminalKind

STORE, ATM, DOOR = TerminalKind.STORE, TerminalKind.ATM, TerminalKind.DOOR
Portrait = tuple[Pixels, Face]


class InProcess:
    """A transport without a network; ``lose`` makes it lose answers."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self.lose: Callable[[str], bool] = lambda path: False
        self.sent: list[tuple[str, bytes]] = []

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        self.sent.append((path, body))
        answer = self._client.post(path, data=body, content_type="application/cose")
        if self.lose(path):
            raise Unreachable("lost")
        return Reply(answer.status_code, answer.data)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture(scope="module")
def astronaut(engine: Engine) -> Portrait:
    pixels = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    return pixels, engine.detect(pixels)[0]


@pytest.fixture(scope="module")
def stranger(engine: Engine) -> Portrait:
    pixels = cv2.imread(str(package_folder("insightface") / "data" / "images" / "t1.jpg"))
    return pixels, engine.detect(pixels)[0]


@pytest.fixture
def real(house: House) -> House:
    """The house with the shipped calibrations, the wall clock, and simulated cameras allowed."""
    house.clock = unix_ms
    authorizer = Authorizer(
        house.database,
        house.keys,
        shipped(),
        unix_ms,
        limits=Limits(per_minute=100_000, burst=10_000),
    )
    house.app = create_app(authorizer, house.database)
    publish(house, level="standard")
    return house


def publish(
    house: House,
    *,
    level: str,
    packs: tuple[str, ...] = ("open", "pip"),
    pin_at_doors: bool = False,
) -> None:
    standard = default_policy()
    policy = type(standard)(
        tiers={
            name: tuple(
                Tier(
                    fmr=tier.fmr,
                    level=level,
                    pin=tier.pin or (pin_at_doors and name == "entry"),
                    up_to_minor=tier.up_to_minor,
                )
                for tier in tiers
            )
            for name, tiers in standard.tiers.items()
        },
        without_face=standard.without_face,
        packs=packs,
        sources=("camera", "simulated", "file"),
    )
    with house.database.transaction() as conn:
        policies.publish(conn, policy, house.keys.signing, now_ms=unix_ms())


@pytest.fixture
def new_terminal(
    real: House, engine: Engine, tmp_path: Path
) -> Iterator[Callable[[TerminalKind], Terminal]]:
    opened = []

    def make(kind: TerminalKind) -> Terminal:
        code = registration.new_code(real.keys.signing.public)
        with real.database.transaction() as conn:
            terminals.add_terminal(
                conn,
                terminals.Terminal(
                    terminal=TerminalId.new(),
                    kind=kind,
                    name=kind.name,
                    merchant=real.merchant if kind is STORE else None,
                    door=real.door if kind is DOOR else None,
                    public_key=None,
                    revoked=False,
                ),
                code_hash=registration.code_hash(code, real.keys.claims),
                code_expires_at_ms=unix_ms() + 60_000,
                now_ms=unix_ms(),
            )
        terminal = Terminal.open(tmp_path / kind.name, InProcess(real.client()), engine)
        terminal.has_colours = True
        terminal.register(code, kind)
        if kind is ATM:
            with real.database.transaction() as conn:
                ledger.open_cassette(conn, terminal.identity.terminal, "EUR")
        opened.append(terminal)
        return terminal

    yield make
    for terminal in opened:
        terminal.outbox.close()


def customer(portrait: Portrait, seed: int, kind: Callable[..., Presentation] = live_customer
             ) -> SimulatedCamera:  # fmt: skip
    pixels, face = portrait
    return SimulatedCamera(kind(pixels, face, seed=seed))


def enrol(make: Callable[[TerminalKind], Terminal], portrait: Portrait) -> AccountId:
    account = AccountId.new()
    context = EnrolmentContext(account=account, consent_version=default_policy().consent_version)
    station = make(TerminalKind.ENROLMENT)
    ended = visit(station, context, lambda: customer(portrait, 1), pin="2468")
    assert ended.approved, ended
    return account


def visit(
    terminal: Terminal, context: Context, stand: Callable[[], SimulatedCamera], **how: Any
) -> Ended:
    """Until there is a decision: some live people are asked again (docs/liveness.md), which the
    plan decides, and it is drawn anew for each try."""
    for _ in range(VISITS_MAX):
        terminal.transport.sent.clear()
        ended = terminal.attempt(context, "card:1", stand(), **how)
        if ended.ending not in ASKS_AGAIN:
            break
    return ended


def test_a_customer_enrols_pays_draws_cash_and_opens_a_door(
    real: House,
    new_terminal: Callable[[TerminalKind], Terminal],
    astronaut: Portrait,
    stranger: Portrait,
    tmp_path: Path,
) -> None:
    account = enrol(new_terminal, astronaut)
    real.top_up(account, 10_000)
    real.grant(account)
    store, atm, door = map(new_terminal, (STORE, ATM, DOOR))
    prompts = []
    paid = visit(store, payment(real), lambda: customer(astronaut, 2), on_prompt=prompts.append)
    assert paid.approved
    assert prompts[-1].enough
    assert any("Turn" in prompt.instruction or "Look" in prompt.instruction for prompt in prompts)
    impostor = visit(store, payment(real), lambda: customer(stranger, 3))
    assert impostor.reason == Reason.NOT_VERIFIED
    unit = SimulatedDispenser(tmp_path / "dispenser.db", {2000: 5, 1000: 1})
    machine = CashMachine(unit, Journal(tmp_path / "journal"), unix_ms)
    drawn = visit(
        atm, withdrawal(5000), lambda: customer(astronaut, 4), pin="2468", act=machine.dispense
    )
    assert drawn.approved
    assert unit.at_hand() == {2000: 3, 1000: 0}
    with Keeper(ConsoleChannel(lambda text: None), DoorPolicy(), lambda event: None) as keeper:
        entered = visit(door, entry(real), lambda: customer(astronaut, 5), act=keeper.admit)
    assert entered.approved
    unit.close()
    with real.database.transaction() as conn:
        assert conn.execute("SELECT state FROM entries").fetchall() == [("confirmed",)]
        assert conn.execute("SELECT state FROM transfers WHERE kind = 'withdrawal'").fetchall() == [
            ("posted",)
        ]


class InTheSun:
    """A customer on whom no screen's colour can be seen."""

    def __init__(self, presentation: Presentation) -> None:
        self._presentation = presentation
        self.frame, self.next_ms = presentation.frame, presentation.next_ms

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        self._presentation.follow(move, at_ms)


def test_where_colours_cannot_be_read_a_move_more_is_asked(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    account = enrol(new_terminal, astronaut)
    real.top_up(account, 10_000)
    store = new_terminal(STORE)

    def stand() -> SimulatedCamera:
        return SimulatedCamera(InTheSun(live_customer(*astronaut, seed=6)))

    assert visit(store, payment(real), stand).approved
    asked = [
        envelope.parse(body, ChallengeRequest).message.colours
        for path, body in store.transport.sent
        if path == "/v1/challenges"
    ]
    assert asked[:2] == [True, False]
    assert not any(asked[1:])


def test_a_terminal_with_two_packs_enrols_the_better_one_on_the_way(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    real.top_up(enrol(new_terminal, astronaut), 10_000)
    publish(real, level="none", packs=("pip-int8", "pip"))
    store, better = new_terminal(STORE), Engine.open("pip-int8")
    store.successor = better
    assert store.attempt(payment(real), "card:1", Stills(astronaut[0])).approved
    alone = Terminal(store.keystore, store.outbox, store.transport, better)
    assert alone.attempt(payment(real), "card:1", Stills(astronaut[0])).approved
    with real.database.transaction() as conn:
        ((models, number),) = accounts.count_by_models(conn).items()
    assert (models, number) == ({store.engine.model_id, better.model_id}, 1)


def test_a_print_of_the_customer_never_reaches_the_service(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    store = new_terminal(STORE)
    ended = store.attempt(payment(real), "card:1", customer(astronaut, 1, flat_print), tries=1)
    assert ended.ending is Ending.NOT_LIVE
    assert not [path for path, _ in store.transport.sent if path == "/v1/attempts"]


def test_a_lost_answer_is_asked_for_again_and_charged_once(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    account = enrol(new_terminal, astronaut)
    real.top_up(account, 10_000)
    store = new_terminal(STORE)
    losses = iter([True, True])
    store.transport.lose = lambda path: path == "/v1/attempts" and next(losses, False)
    publish(real, level="none")
    assert store.attempt(payment(real), "card:1", Stills(astronaut[0])).approved
    attempts = [body for path, body in store.transport.sent if path == "/v1/attempts"]
    assert len(attempts) == 3
    assert len(set(attempts)) == 1
    with real.database.transaction() as conn:
        (number,) = conn.execute("SELECT count(*) FROM transfers WHERE kind = 'payment'").fetchone()
    assert number == 1
    assert store.outbox.waiting() == []


def test_an_approval_that_comes_too_late_is_not_acted_on(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    account = enrol(new_terminal, astronaut)
    real.top_up(account, 10_000)
    publish(real, level="none")
    atm = new_terminal(ATM)
    dispensed: list[object] = []

    def dispense(decision: object) -> Word:
        dispensed.append(decision)
        return COMPLETED

    for late_ms, given in ((10**7, 0), (0, 1)):
        times = iter([0, late_ms])
        atm.monotonic_ms = lambda times=times: next(times)
        still = Stills(astronaut[0])
        assert atm.attempt(withdrawal(), "card:1", still, pin="2468", act=dispense).approved
        assert len(dispensed) == given
    with real.database.transaction() as conn:
        states = conn.execute(
            "SELECT state FROM transfers WHERE kind = 'withdrawal' ORDER BY created_at_ms"
        ).fetchall()
    assert states == [("voided",), ("posted",)]


def test_what_the_power_cut_left_is_settled_at_the_next_start(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    account = enrol(new_terminal, astronaut)
    real.top_up(account, 10_000)
    publish(real, level="none")
    atm = new_terminal(ATM)

    def cut(_: object) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atm.attempt(withdrawal(), "card:1", Stills(astronaut[0]), pin="2468", act=cut)
    assert len(atm.outbox.waiting()) == 1
    (decision,) = atm.reconcile()
    assert decision.approved
    assert atm.outbox.waiting() == []
    with real.database.transaction() as conn:
        states = conn.execute("SELECT state FROM transfers WHERE kind = 'withdrawal'").fetchall()
    assert states == [("voided",)]


def test_a_full_outbox_refuses_before_anything_is_sent(
    real: House,
    new_terminal: Callable[[TerminalKind], Terminal],
    astronaut: Portrait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(real, level="none")
    store = new_terminal(STORE)
    monkeypatch.setattr("terminal_client.outbox.MESSAGES_MAX", 0)
    with pytest.raises(StorageError, match="outbox is full"):
        store.attempt(payment(real), "card:1", Stills(astronaut[0]))
    assert not [path for path, _ in store.transport.sent if path == "/v1/attempts"]


def test_a_picture_without_a_face_ends_with_what_is_wrong(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], stranger: Portrait
) -> None:
    publish(real, level="none")
    store = new_terminal(STORE)
    black = stranger[0] * 0
    for picture, flaw in ((black, "no_face"), (stranger[0], "several_faces")):
        ended = store.attempt(payment(real), "card:1", Stills(picture))
        assert (ended.ending, ended.reason) == (Ending.NO_USABLE_FACE, flaw)


def test_a_used_code_and_a_revoked_terminal_are_told_apart_from_a_lost_network(
    real: House, new_terminal: Callable[[TerminalKind], Terminal], astronaut: Portrait
) -> None:
    store = new_terminal(STORE)
    with pytest.raises(Rejected, match="wrong, used or expired"):
        store.register("AAAAAAAA-AAAAAAAA.AAAAAAAAAAAAAAAA", STORE)
    with real.database.transaction() as conn:
        terminals.revoke(conn, store.identity.terminal, now_ms=1)
    with pytest.raises(Rejected, match="revoked"):
        store.attempt(payment(real), "card:1", Stills(astronaut[0]))


def test_the_outbox_survives_being_closed(tmp_path: Path) -> None:
    message = Waiting(AttemptId.new(), "/v1/attempts", b"bytes")
    first = Outbox(tmp_path / "outbox.db")
    first.put(message)
    first.close()
    second = Outbox(tmp_path / "outbox.db")
    assert second.waiting() == [message]
    assert (tmp_path / "outbox.db").stat().st_mode & 0o777 == 0o600
    second.close()
