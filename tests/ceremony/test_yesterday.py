"""The day that passes before the demo opens: all of it happened, at its own time, and adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from countenance import yesterday
from countenance.demo import sample_portraits
from countenance.yesterday import HOUR_MS, Yesterday
from face_engine.engine import Engine
from service.clock import unix_ms
from service.ledger.check import check
from tests.ceremony.house import House


def test_a_day_passes_and_adds_up(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yesterday, "VISITS", (1,) * 24)
    monkeypatch.setattr(yesterday, "LOOKS", 3)
    engine = Engine.open("pip")
    people = [portrait for _, portrait in sample_portraits(engine)]
    told: list[tuple[int, int]] = []
    Yesterday(house, engine, tmp_path, people).pass_by(lambda *number: told.append(number))
    assert told[-1][0] == told[-1][1] > 20
    with house.database.transaction() as conn:
        times = [
            each
            for (each,) in conn.execute(
                "SELECT decided_at_ms FROM attempts ORDER BY decided_at_ms"
            ).fetchall()
        ]
        denials = dict(
            conn.execute("SELECT denial, count(*) FROM attempts GROUP BY denial").fetchall()
        )
        assert check(conn) == ()
    now_ms = unix_ms()
    assert now_ms - 26 * HOUR_MS < times[0] < now_ms - 24 * HOUR_MS
    assert now_ms - 3 * HOUR_MS < times[-1] < now_ms
    assert denials[None] > len(times) // 2
    assert set(denials) <= {None, "no_match", "outside_schedule", "insufficient_funds"}
