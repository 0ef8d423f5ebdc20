"""The enrolled population compared with itself, over real rows."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from face_engine.calibration import Calibration
from face_engine.types import Embedding
from service import population
from service.clock import unix_ms
from service.db import Database
from service.enrolment import accounts
from service.enrolment.accounts import StoredReference
from service.keys import KeyRing
from service.population import EVERYWHERE, check_population
from service.verification.policy import default_policy
from service.verification.protection import Slot, new_data_key, protect
from wire.ids import AccountId, AttemptId, TerminalId

MODEL_ID = b"a model of tests"
CALIBRATION = Calibration(
    model_id=MODEL_ID,
    pack="test",
    dimensions=128,
    provenance="made up",
    people=1,
    impostor_comparisons=1,
    points=((0.7, 1e-4),),
)


class Town:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys = KeyRing.ephemeral()
        self._random = np.random.default_rng(1)
        self._now_ms = 0

    def enrol(
        self, number: int, *, alike: float = 0.0, site: str = "", holder: bool = False
    ) -> None:
        """``alike`` is the cosine of each two of these people."""
        terminal = self._terminal(site)
        common = self._face()
        for _ in range(number):
            own = self._face()
            mixed = np.sqrt(alike) * common + np.sqrt(1 - alike) * own
            self._create((mixed / np.linalg.norm(mixed)).astype(np.float32), terminal, holder)

    def _face(self) -> np.ndarray:
        drawn = self._random.normal(size=128)
        return drawn / np.linalg.norm(drawn)

    def _terminal(self, site: str) -> TerminalId:
        terminal = TerminalId.new()
        with self.database.transaction() as conn:
            conn.execute(
                "INSERT INTO terminals (terminal_id, kind, name, site, created_at_ms)"
                " VALUES (%s, 4, 'station', %s, 1)",
                (terminal.raw, site),
            )
        return terminal

    def _create(self, vector: np.ndarray, terminal: TerminalId, holder: bool) -> None:
        account, data_key = AccountId.new(), new_data_key()
        share = os.urandom(32) if holder else None
        slot = Slot(account=account, model_id=MODEL_ID, version=1)
        stored = protect(
            Embedding(vector=vector, model_id=MODEL_ID),
            slot,
            data_key=data_key,
            holder_share=share,
            transform_key=self.keys.transforms,
        )
        with self.database.transaction() as conn:
            accounts.create(
                conn,
                account,
                claim_hash=os.urandom(32),
                blinded=os.urandom(32),
                consent_version="1",
                wrapped_key=self.keys.wrap(data_key, account),
                holder_mode=holder,
                pin_hash=None,
                references=[StoredReference(slot=slot, ciphertext=stored)],
                now_ms=1,
            )
            conn.execute(
                """INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest,
                account_id, decision, leaf_hash, decided_at_ms, expires_at_ms)
                VALUES (%s, %s, 4, %s, %s, 'x', %s, 1, 1)""",
                (AttemptId.new().raw, terminal.raw, bytes(32), account.raw, os.urandom(32)),
            )

    def check(self) -> dict[str, population.PopulationCheck]:
        self._now_ms += 1
        with self.database.transaction() as conn:
            places = population.places(conn)
        done = {
            site: check_population(
                self.database,
                self.keys,
                CALIBRATION,
                default_policy(),
                site=site,
                now_ms=self._now_ms,
            )
            for site in places
        }
        with self.database.transaction() as conn:
            newest = population.latest(conn)
        found = {site: check for site, checks in done.items() for check in checks}
        assert {check for check in newest if check.at_ms == self._now_ms} == set(found.values())
        return found


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


def test_strangers_are_as_the_calibration_says(town: Town) -> None:
    town.enrol(60)
    check = town.check()[EVERYWHERE]
    assert check.figures.comparisons == 60 * 59 // 2
    assert (check.figures.matches, check.exceeded) == (0, False)
    assert (check.threshold, check.fmr_allowed) == (0.7, 1e-4)


def test_a_family_at_one_site_is_found_there(town: Town) -> None:
    town.enrol(40, site="harbour")
    town.enrol(25, alike=0.85, site="farm")
    found = town.check()
    assert found["farm"].exceeded
    assert found["farm"].figures.matches > 200
    assert not found["harbour"].exceeded
    assert found[EVERYWHERE].figures.accounts == 65


def test_too_few_people_say_nothing(town: Town) -> None:
    town.enrol(10, alike=1.0)
    assert town.check() == {}


def test_references_in_holder_mode_and_suspended_accounts_stay_closed(town: Town) -> None:
    town.enrol(30)
    town.enrol(30, alike=1.0, holder=True)
    assert town.check()[EVERYWHERE].figures.accounts == 30
    with town.database.transaction() as conn:
        conn.execute("UPDATE accounts SET state = 'suspended' WHERE NOT holder_mode")
    assert town.check() == {}


def test_a_sample_is_bounded_and_wraps_around(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.enrol(60)
    monkeypatch.setattr(population, "ACCOUNTS_MAX", 50)
    for _ in range(10):
        assert town.check()[EVERYWHERE].figures.accounts == 50


def test_another_key_ring_opens_nothing(town: Town) -> None:
    town.enrol(30)
    town.keys = KeyRing.ephemeral()
    assert town.check() == {}


def test_the_nightly_task_sends_one_a_site_and_says_what_is_exceeded(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", "postgresql:///none")
    tasks = importlib.import_module("service.tasks.app")
    calibration = replace(CALIBRATION, pack="pip")
    monkeypatch.setattr(tasks, "_database", lambda: town.database)
    monkeypatch.setattr(tasks, "_keys", lambda: town.keys)
    monkeypatch.setattr(tasks, "shipped", lambda: {calibration.model_id: calibration})
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(tasks.population_of, "apply_async", lambda args, expires: sent.append(args))
    town.enrol(40, site="harbour")
    town.enrol(25, alike=0.85, site="farm")
    tasks.population()
    assert sent == [(calibration.model_id.hex(), site) for site in (EVERYWHERE, "farm", "harbour")]
    for args in sent:
        tasks.population_of(*args)
    said = [json.loads(record.getMessage()) for record in caplog.records]
    assert {line["site"] for line in said} == {EVERYWHERE, "farm"}
    assert {line["event"] for line in said} == {"population_exceeded"}
    with town.database.transaction() as conn:
        assert population.count_exceeded(conn, now_ms=unix_ms()) == len(said)
        assert population.count_exceeded(conn, now_ms=unix_ms() + 10**9) == 0
