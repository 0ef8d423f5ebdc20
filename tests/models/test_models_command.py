from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from countenance.cli import main


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["models", "convert", *arguments])
    return result.exit_code, result.output


def test_the_weights_that_pip_brings_are_converted(tmp_path: Path) -> None:
    output = tmp_path / "dlib.onnx"
    code, printed = run("--output", str(output), "--json")
    assert code == 0
    assert json.loads(printed)["bytes"] == output.stat().st_size
    onnx.checker.check_model(onnx.load(output))


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x01\x01\x01\x0dloss_metric_2"])
def test_a_wrong_file_is_one_message_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "wrong.dat"
    source.write_bytes(content)
    code, _ = run("--source", str(source), "--output", str(tmp_path / "dlib.onnx"))
    assert code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.dat"]


def test_a_missing_folder_is_one_message(tmp_path: Path) -> None:
    code, _ = run("--output", str(tmp_path / "missing" / "dlib.onnx"))
    assert code == 1
