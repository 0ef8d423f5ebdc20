"""Downloads from a real server on this machine that cuts, lies, and serves wrong bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from face_engine import download
from face_engine.download import TRIES, Download, DownloadError

CONTENT = bytes(range(256)) * 2000
DIGEST = sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """``/FAULT`` serves CONTENT with that fault; ``asked`` holds each request's headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.cuts_left = 0
        self.etag = '"one"'
        self.content = CONTENT

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.close_connection = True
        getattr(self, "serve_" + self.path.strip("/"))()

    def start(self) -> int:
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range") == self.server.etag
        return int(asked[6:-1]) if asked.startswith("bytes=") and same else 0

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def serve_good(self) -> None:
        start, whole = self.start(), self.server.content
        body = whole[start:]
        if self.server.cuts_left:
            self.server.cuts_left -= 1
            body = body[: len(body) // 3]
        headers = {"ETag": self.server.etag, "Content_Length": str(len(whole) - start)}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        self.answer(206 if start else 200, body, **headers)

    def serve_without_a_tag(self) -> None:
        body = CONTENT[: len(CONTENT) // 3] if self.server.cuts_left else CONTENT
        self.server.cuts_left = 0
        self.answer(200, body, Content_Length=str(len(CONTENT)))

    def serve_wrong(self) -> None:
        self.answer(200, b"x" * len(CONTENT), Content_Length=str(len(CONTENT)))

    def serve_short(self) -> None:
        self.answer(200, CONTENT, Content_Length="1000")

    def serve_gigantic(self) -> None:
        self.answer(200, b"", Content_Length=str(1 << 40))

    def serve_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            return

    def serve_another_range(self) -> None:
        if not self.start():
            self.answer(
                200, CONTENT[:9999], ETag=self.server.etag, Content_Length=str(len(CONTENT))
            )
            return
        self.answer(206, CONTENT[5:], Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")

    def serve_absent(self) -> None:
        self.answer(404, b"<html>not here</html>")

    def serve_busy(self) -> None:
        self.answer(503, b"")

    def serve_elsewhere(self) -> None:
        self.answer(302, b"", Location="/good")

    def serve_circle(self) -> None:
        self.answer(302, b"", Location="/circle")

    def serve_plain(self) -> None:
        self.answer(302, b"", Location="http://models.example/weights.onnx")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server: Server, folder: Path, path: str = "good", digest: str = DIGEST) -> Path:
    target = folder / "weights.onnx"
    Download(url=server.url(path), target=target, digest=digest, pause_s=0).run()
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "deep" / "weights.onnx"
    Download(
        url=server.url("good"),
        target=target,
        digest=DIGEST,
        on_progress=lambda here, size: seen.append((here, size)),
    ).run()
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["weights.onnx"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_transfer_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.cuts_left = 3
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    starts = [asked.get("range") for asked in server.asked]
    assert starts[0] is None
    assert len(set(starts)) == 4
    assert all(asked["if-range"] == '"one"' for asked in server.asked[1:])


def test_the_next_pull_goes_on_from_what_the_last_one_left(server: Server, tmp_path: Path) -> None:
    server.cuts_left = TRIES
    with pytest.raises(DownloadError, match="broke off, 5 times"):
        fetch(server, tmp_path)
    assert names(tmp_path) == [".weights.onnx.part", ".weights.onnx.tag"]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.onnx"]
    assert server.asked[-1]["range"] != "bytes=0-"


def test_another_version_of_the_file_starts_anew(server: Server, tmp_path: Path) -> None:
    server.cuts_left, server.content = TRIES, b"old" * 100_000
    with pytest.raises(DownloadError):
        fetch(server, tmp_path)
    server.content, server.etag = CONTENT, '"two"'
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_without_a_tag_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts_left = 1
    assert fetch(server, tmp_path, "without_a_tag").read_bytes() == CONTENT
    assert all("range" not in asked for asked in server.asked)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("wrong", "not the file that the pack names"),
        ("short", "not the file that the pack names"),
        ("gigantic", "larger than 256 MiB"),
        ("absent", "answered 404"),
        ("busy", "answered 503, 5 times"),
        ("circle", "redirects in circles"),
        ("plain", r"models\.example is not asked over https"),
    ],
)
def test_a_server_at_fault_is_one_message_and_leaves_no_file(
    server: Server, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(server, tmp_path, path)
    assert names(tmp_path) == []


def test_a_wrong_range_is_not_believed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"broke off|another part"):
        fetch(server, tmp_path, "another_range")
    assert not (tmp_path / "weights.onnx").exists()


def test_an_endless_body_is_stopped(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FILE_BYTES_MAX", 1 << 20)
    with pytest.raises(DownloadError, match="too much"):
        fetch(server, tmp_path, "endless")
    assert names(tmp_path) == []


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, "elsewhere").read_bytes() == CONTENT


def test_a_file_that_is_here_stays_when_the_new_one_is_wrong(
    server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "weights.onnx"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "wrong")
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("url", ["http://models.example/x", "ftp://127.0.0.1/x", "file:///x", ""])
def test_only_https_and_this_machine_are_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="is not asked over https"):
        Download(url=url, target=tmp_path / "x", digest=DIGEST).run()


def test_a_folder_that_cannot_be_made_is_one_message(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server, tmp_path / "file")


def test_nobody_listening_is_one_message(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url("good")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached"):
        Download(url=url, target=tmp_path / "x", digest=DIGEST).run()
