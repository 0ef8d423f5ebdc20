"""What runs of the server leave behind."""

from __future__ import annotations

from pathlib import Path

from service.server import metrics_folder


def test_a_run_takes_its_metrics_away_and_what_killed_runs_left(tmp_path: Path) -> None:
    killed = tmp_path / "metrics" / "killed"
    killed.mkdir(parents=True)
    killed.joinpath("counter_1.db").write_bytes(b"left")
    with metrics_folder(tmp_path) as first:
        assert not killed.exists()
        first.joinpath("counter_2.db").write_bytes(b"in use")
        with metrics_folder(tmp_path) as second:
            assert first.joinpath("counter_2.db").exists()
            assert second.stat().st_mode & 0o777 == 0o700
        assert not second.exists()
    assert list((tmp_path / "metrics").iterdir()) == []
