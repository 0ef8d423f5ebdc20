"""The device's commands as a shop runs them: a real service over HTTP, simulated customers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import cv2
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import make_server

from countenance.cli import main
from countenance.demo import VISITS_MAX
from face_engine.engine import Engine
from service.checkout import Checkout
from service.clock import unix_ms
from service.enrolment import accounts
from service.ledger import store as ledger
from service.ledger.check import check_balances
from service.payments.rules import Intent, NewIntent
from service.terminals import registration
from service.terminals import store as terminals
from service.verification.policy import default_policy
from terminal_client.enrolment import CONSENT_VERSION
from tests.ceremony.house import House
from tests.ceremony.test_terminal import Portrait, astronaut, engine, publish, real, stranger
from wire.ids import AccountId, PaymentIntentId, TerminalId
from wire.messages import TerminalKind
from wire.money import Money

__all__ = ["astronaut", "engine", "real", "stranger"]

PIN = "2468"
SAYS_AGAIN = ("a live person", "no usable face", "not the same person in all pictures")


@dataclass
class Site:
    """A service that listens, and the homes of the terminals beside it."""

    house: House
    url: str
    homes: Path
    photo: Path

    def code(self, kind: str) -> str:
        wanted = TerminalKind[kind.upper()]
        code = registration.new_code(self.house.keys.signing.public)
        with self.house.database.transaction() as conn:
            terminal = terminals.Terminal(
                terminal=TerminalId.new(),
                kind=wanted,
                name=kind,
                merchant=self.house.merchant if kind == "store" else None,
                door=self.house.door if kind == "door" else None,
                public_key=None,
                revoked=False,
            )
            terminals.add_terminal(
                conn,
                terminal,
                code_hash=registration.code_hash(code, self.house.keys.claims),
                code_expires_at_ms=unix_ms() + 60_000,
                now_ms=unix_ms(),
            )
            if kind == "atm":
                ledger.open_cassette(conn, terminal.terminal, "EUR")
        return code

    def run(self, kind: str, *arguments: str, typed: str = "", home: Path | None = None) -> Result:
        command = ["terminal", *arguments, "--home", str(home or self.homes / kind)]
        result = CliRunner().invoke(main, command, input=typed, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    def visit(self, kind: str, *arguments: str, typed: str = "") -> Result:
        """Until there is a decision, as a customer tries again who is asked to."""
        for _ in range(VISITS_MAX):
            result = self.run(kind, *arguments, typed=typed)
            if not any(said in result.output for said in SAYS_AGAIN):
                break
        return result

    def register(self, kind: str, *more: str) -> None:
        camera = f"simulated:{self.photo}"
        result = self.run(
            kind, "register", self.code(kind), "--kind", kind, "--service", self.url,
            "--camera", camera, *more,
        )  # fmt: skip
        assert result.exit_code == 0, result.output

    def ask_for(self, amount_minor: int) -> PaymentIntentId:
        """A payment that any terminal of the merchant may take, as its system asks for it."""
        wanted = NewIntent(
            merchant=self.house.merchant,
            money=Money(amount_minor=amount_minor, currency="EUR"),
            order="B-1",
            terminal=None,
            site=None,
            hold_ms=None,
            lives_ms=60_000,
        )
        made = Checkout(self.house.database, self.house.keys).create(wanted)
        assert isinstance(made, Intent)
        return made.intent

    def enrol(self) -> AccountId:
        self.register("enrolment")
        result = self.visit("enrolment", "enrol", typed=f"y\ncard:1\n{PIN}\n{PIN}\n")
        assert result.exit_code == 0, result.output
        with self.house.database.transaction() as conn:
            ((account, _, _),) = accounts.list_accounts(conn, limit=2)
        return account


@pytest.fixture
def listen() -> Iterator[Callable[[Flask], str]]:
    servers = []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(
    real: House,
    engine: Engine,
    astronaut: Portrait,
    listen: Callable[[Flask], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.setattr(Engine, "open", lambda _name: engine)
    photo = tmp_path / "astronaut.png"
    cv2.imwrite(str(photo), astronaut[0])
    return Site(real, listen(real.app), tmp_path, photo)


def last_line(result: Result) -> dict[str, object]:
    return json.loads(result.stdout.splitlines()[-1])


def test_the_text_that_a_terminal_shows_is_the_one_that_the_service_wants() -> None:
    assert default_policy().consent_version == CONSENT_VERSION


def test_a_customer_enrols_pays_draws_cash_and_enters_by_the_commands(site: Site) -> None:
    account = site.enrol()
    site.house.top_up(account, 20_000)
    site.house.grant(account)
    for kind in ("store", "atm", "door"):
        site.register(kind)
    paid = site.visit("store", "pay", "12.50 EUR", "--order", "A-1", "--claim", "card:1", "--json")
    assert paid.exit_code == 0, paid.output
    assert last_line(paid)["outcome"] == "approved"
    intent = site.ask_for(700)
    taken = site.visit("store", "take", str(intent), "--claim", "card:1", "--json")
    assert taken.exit_code == 0, taken.output
    assert "7.00 EUR for order B-1" in taken.output
    assert site.run("store", "take", "--claim", "card:1").exit_code == 2
    assert site.run("store", "take", str(intent), "--claim", "card:1").exit_code == 1
    settings = site.homes / "atm" / "terminal.toml"
    settings.write_text(settings.read_text() + '[atm]\nnotes = {"50 EUR" = 2, "20 EUR" = 5}\n')
    drawn = site.visit("atm", "withdraw", "80 EUR", typed=f"card:1\n{PIN}\n")
    assert drawn.exit_code == 0, drawn.output
    assert PIN not in drawn.output
    assert "card:1" not in drawn.output
    report = site.run("atm", "atm", "report", "--json")
    assert report.exit_code == 0, report.output
    assert last_line(report)["notes_given"] == {"2000": 4}
    entered = site.visit("door", "enter", "--claim", "card:1")
    assert entered.exit_code == 0, entered.output
    assert "strike released" in entered.output
    with site.house.database.transaction() as conn:
        assert check_balances(conn) == ()
        assert ledger.wallet_of(conn, account).available_minor == 20_000 - 1250 - 700 - 8000
        assert conn.execute("SELECT state FROM entries").fetchall() == [("confirmed",)]


def test_another_person_is_denied_with_1(site: Site, stranger: Portrait, tmp_path: Path) -> None:
    site.house.top_up(site.enrol(), 20_000)
    site.register("store")
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), stranger[0])
    result = site.visit(
        "store", "pay", "1 EUR", "--order", "A-1", "--claim", "card:1",
        "--camera", f"simulated:{other}", "--json",
    )  # fmt: skip
    assert result.exit_code == 1
    assert (last_line(result)["outcome"], last_line(result)["reason"]) == ("denied", "not_verified")


def test_a_pin_comes_from_a_file_descriptor(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(site.house, level="none")
    site.register("enrolment")
    reading, writing = os.pipe()
    os.write(writing, b"2468\n")
    os.close(writing)
    monkeypatch.setenv("COUNTENANCE_PIN_FD", str(reading))
    result = site.run(
        "enrolment", "enrol", "--agreed", "--claim", "card:1", "--camera", str(site.photo)
    )
    os.close(reading)
    assert result.exit_code == 0, result.output


def test_without_a_face_by_the_commands_and_the_keypad_no_camera_is_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_camera(*_: object) -> None:
        raise AssertionError("a camera was opened")

    for module in ("terminal_device", "terminal_till"):
        monkeypatch.setattr(f"countenance.commands.{module}.open_camera", no_camera)
    for kind in ("enrolment", "store", "door"):
        site.register(kind)
    phone = site.run("enrolment", "enrol", "--no-face", typed=f"phone:1\n{PIN}\n{PIN}\n")
    assert (phone.exit_code, "qr:…" in phone.output) == (2, True)
    done = site.run("enrolment", "enrol", "--no-face", typed=f"qr:7\n{PIN}\n{PIN}\n")
    assert done.exit_code == 0, done.output
    assert "Consent" not in done.output
    with site.house.database.transaction() as conn:
        ((account, _, references),) = accounts.list_accounts(conn, limit=2)
    assert references == 0
    site.house.top_up(account, 20_000)
    site.house.grant(account)
    paid = site.run("store", "pay", "12.50 EUR", "--order", "A-1", "--no-face",
                    typed=f"qr:7\n{PIN}\n")  # fmt: skip
    assert paid.exit_code == 0, paid.output
    assert PIN not in paid.output
    entered = site.run("door", "enter", "--no-face", typed=f"qr:7\n{PIN}\n")
    assert entered.exit_code == 0, entered.output
    typed = f"nothing\n3,20\ncard\nqr:7\n{PIN}\n1\ncard\nqr:7\n1357\n\n"
    keypad = site.run("store", "keypad", typed=typed)
    assert keypad.exit_code == 0, keypad.output
    assert "3.20 EUR paid, order K-000001" in keypad.output
    assert "K-000002: refused" in keypad.output
    with site.house.database.transaction() as conn:
        assert ledger.wallet_of(conn, account).available_minor == 20_000 - 1250 - 320


def test_the_tills_token_is_made_with_the_registration(site: Site) -> None:
    site.register("store")
    made = (site.homes / "store" / "till-token").read_text()
    assert site.run("store", "till-token").output.strip() == made
    assert site.run("store", "till-token", "--new").output.strip() != made
