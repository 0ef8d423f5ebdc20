from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from service.errors import Misconfigured
from service.keys import KeyRing
from service.verification.pin import PinHasher, is_pin
from wire.ids import AccountId


def ring(folder: Path) -> KeyRing:
    return KeyRing.open(folder, log_name="example.test/log")


def kid(folder: Path) -> bytes:
    return ring(folder).signing.kid


def test_the_first_start_makes_the_keys_and_later_ones_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first, second = ring(folder), ring(folder)
    assert first.signing.public == second.signing.public
    assert first.claim_hash("card:1") == second.claim_hash("card:1")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["service.json"]
    assert (folder / "service.json").stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_share_one_ring(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(kid, [tmp_path / "keys"] * 8))) == 1


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    ring(tmp_path)
    (tmp_path / "service.json").chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        ring(tmp_path)


@pytest.mark.parametrize("damage", ["", "{}", "[]", "null", '{"signing": 1}', "{"])
def test_a_damaged_key_file_is_refused_without_quoting_it(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "service.json"
    path.touch(mode=0o600)
    path.write_text(damage)
    with pytest.raises(Misconfigured, match="is not a key file") as refused:
        ring(tmp_path)
    assert refused.value.__cause__ is None


def test_a_key_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    ring(tmp_path)
    path = tmp_path / "service.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wrapping": "AAAA"}))
    with pytest.raises(Misconfigured, match="wrong length"):
        ring(tmp_path)


def test_a_data_key_unwraps_only_for_its_account_and_ring() -> None:
    keys, account = KeyRing.ephemeral(), AccountId.new()
    wrapped = keys.wrap(b"k" * 32, account)
    assert keys.unwrap(wrapped, account) == b"k" * 32
    assert keys.unwrap(wrapped, AccountId.new()) is None
    assert KeyRing.ephemeral().unwrap(wrapped, account) is None
    assert keys.unwrap(b"", account) is None


def test_a_ring_never_shows_a_key() -> None:
    keys = KeyRing.ephemeral()
    shown = repr(keys) + repr(keys.signing) + repr(keys.opening) + repr(keys.log)
    for secret in (keys.claims, keys.pins, keys.transforms):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_a_pin_verifies_for_its_account_only() -> None:
    hasher, account = PinHasher(b"p" * 32), AccountId.new()
    stored = hasher.hash("2468", account)
    assert hasher.verify(stored, "2468", account)
    assert not hasher.verify(stored, "2469", account)
    assert not hasher.verify(stored, "2468", AccountId.new())
    assert not hasher.verify(None, "2468", account)
    assert not hasher.verify("not a hash", "2468", account)
    assert not PinHasher(b"q" * 32).verify(stored, "2468", account)
    assert "2468" not in stored


@pytest.mark.parametrize(
    ("pin", "valid"),
    [("1234", True), ("123456789012", True), ("123", False), ("1234567890123", False),
     ("12a4", False), ("", False), ("١٢٣٤", False), ("12 4", False), ("-123", False)],
)  # fmt: skip
def test_a_pin_is_4_to_12_ascii_digits(pin: str, valid: bool) -> None:
    assert is_pin(pin) is valid
