"""What may stand in the settings of processors: nothing that carries cards or keys in the clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import Misconfigured
from service.funding.processor import ProcessorName
from service.processors import open_processors
from service.settings import Settings


def test_without_settings_there_is_no_processor() -> None:
    assert open_processors(Settings.from_env({})) == {}


def test_processors_are_what_is_named(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk_test_123\n")
    settings = Settings.from_env(
        {
            "COUNTENANCE_STRIPE_KEY_FILE": str(key),
            "COUNTENANCE_STRIPE_WEBHOOK_SECRET": "whsec_1",
            "COUNTENANCE_ISO8583_URL": "tls://bank.example:8583",
            "COUNTENANCE_ISO8583_ACQUIRER": "00012345",
        }
    )
    assert set(open_processors(settings)) == set(ProcessorName)
    assert settings.iso8583_address == ("bank.example", 8583, True)
    assert "sk_test" not in repr(settings)
    assert "whsec" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_URL", "http://127.0.0.1:8420"),
        ("STRIPE_URL", "https://stripe.example"),
        ("ISO8583_URL", "tcp://bank.example:8583"),
        ("ISO8583_URL", "tcp://127.0.0.1"),
        ("ISO8583_URL", "tls://bank.example:99999"),
        ("ISO8583_URL", "tls://user@bank.example:1"),
        ("ISO8583_URL", "tls://bank.example:1/path"),
        ("ISO8583_URL", "http://bank.example:1"),
        ("ISO8583_ACQUIRER", ""),
        ("ISO8583_ACQUIRER", "1" * 12),
        ("ISO8583_ACQUIRER", "\u0661"),
    ],
)
def test_a_wrong_value_is_one_clear_error(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        Settings.from_env({f"COUNTENANCE_{name}": value})


def test_a_stand_in_for_stripe_is_for_development() -> None:
    env = {"COUNTENANCE_STRIPE_URL": "http://127.0.0.1:8420", "COUNTENANCE_MODE": "development"}
    assert Settings.from_env(env).stripe_url == env["COUNTENANCE_STRIPE_URL"]


def test_a_trial_of_liveness_is_shown_where_it_is_named() -> None:
    assert Settings.from_env({}).liveness_report is None
    named = Settings.from_env({"COUNTENANCE_LIVENESS_REPORT": "/srv/trial.json"})
    assert named.liveness_report == Path("/srv/trial.json")
