"""What goes wrong at a terminal: one clear message, its exit code, and nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response, request

from countenance.commands.terminal_device import take_attempt
from face_engine.calibration import shipped
from service.app import create_app
from service.authorize import Authorizer
from service.clock import unix_ms
from service.enrolment import accounts
from service.terminals import store as terminals
from terminal_client.device import REGISTER
from terminal_client.errors import Unreachable
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox
from terminal_client.transport import CHALLENGE, HttpTransport, send
from tests.ceremony.house import CALIBRATIONS, House
from tests.ceremony.test_terminal import Portrait, astronaut, engine, publish, real, stranger
from tests.ceremony.test_terminal_commands import Site, last_line, listen, site
from wire import envelope
from wire.bundle import Bundle
from wire.codec import MAX_MESSAGE_BYTES
from wire.envelope import SigningKey
from wire.messages import Challenge, Decision

__all__ = ["astronaut", "engine", "listen", "real", "site", "stranger"]

PAY = ("pay", "12.50 EUR", "--order", "A-1", "--claim", "card:1", "--json")
Meddle = Callable[[bytes], tuple[int, bytes]]


@dataclass
class Line:
    """A way to the service on which somebody changes the answers of one path."""

    site: Site
    path: str = ""
    meddle: Meddle = lambda body: (200, body)

    def app(self) -> Flask:
        app = Flask("line")

        @app.post("/v1/<name>")
        def forward(name: str) -> Response:
            answer = self.site.house.client().post(
                request.path, data=request.get_data(), content_type=request.content_type
            )
            status, body = answer.status_code, answer.data
            if request.path == self.path:
                status, body = self.meddle(body)
            return Response(body, status, content_type="application/cose")

        return app


@pytest.fixture(autouse=True)
def _two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(send.__kwdefaults__, "tries", 2)


@pytest.fixture
def shop(site: Site) -> Site:
    """A customer with money, and a store; photos count as live."""
    publish(site.house, level="none")
    site.photo = site.photo.rename(site.photo.with_name("customer.png"))
    site.register("enrolment", "--camera", str(site.photo))
    enrolled = site.run("enrolment", "enrol", "--agreed", "--claim", "card:1", typed="2468\n2468\n")
    assert enrolled.exit_code == 0, enrolled.output
    with site.house.database.transaction() as conn:
        ((account, _, _),) = accounts.list_accounts(conn, limit=2)
    site.house.top_up(account, 10_000)
    site.register("store", "--camera", str(site.photo))
    return site


@pytest.fixture
def line(shop: Site, listen: Callable[[Flask], str]) -> Line:
    line = Line(shop)
    shop.url = listen(line.app())
    return line


def payments(house: House) -> int:
    with house.database.transaction() as conn:
        row = conn.execute("SELECT count(*) FROM transfers WHERE kind = 'payment'").fetchone()
    return row[0]


def attempts(house: House) -> int:
    with house.database.transaction() as conn:
        return conn.execute("SELECT count(*) FROM attempts").fetchone()[0] - 1  # the enrolment


def pictures(astronaut: Portrait, stranger: Portrait) -> dict[str, np.ndarray]:
    pixels, face = astronaut
    _, top, _, bottom = face.box
    return {
        "no_face": np.zeros_like(pixels),
        "several_faces": stranger[0],
        "too_far": cv2.resize(pixels, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA),
        "cut_off": pixels[: int(bottom - 0.55 * (bottom - top))],
    }


@pytest.mark.parametrize("flaw", ["no_face", "several_faces", "too_far", "cut_off"])
def test_a_bad_picture_ends_with_what_is_wrong(
    shop: Site, astronaut: Portrait, stranger: Portrait, tmp_path: Path, flaw: str
) -> None:
    photo = tmp_path / "bad.png"
    cv2.imwrite(str(photo), pictures(astronaut, stranger)[flaw])
    result = shop.run("store", *PAY, "--camera", str(photo))
    assert result.exit_code == 1
    assert last_line(result)["outcome"] == "no_usable_face"
    assert last_line(result)["reason"] == flaw
    assert attempts(shop.house) == 0


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ("97", "the camera is missing"),
        ("missing.mp4", "there is no camera, file or folder"),
        ("[/red].mp4", "there is no camera, file or folder [/red].mp4"),
        ("empty", "holds no picture"),
        ("words.jpg", "not a picture that can be read here"),
        ("zero.png", "not a picture that can be read here"),
        ("words.txt", "no video that can be read here"),
        ("simulated:words.jpg", "not a picture that can be read here"),
        ("simulated:black.png", "shows no face"),
        ("rtsp://user:secret@127.0.0.1:9/", "the stream does not answer"),
    ],
)
def test_a_camera_that_is_none(
    shop: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, camera: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("words.jpg").write_text("words")
    Path("words.txt").write_text("words")
    Path("zero.png").write_bytes(b"")
    cv2.imwrite("black.png", np.zeros((200, 200, 3), np.uint8))
    result = shop.run("store", *PAY, "--camera", camera)
    assert (result.exit_code, last_line(result)) == (5, {"outcome": "camera"})
    assert said in result.stderr
    assert "secret" not in result.output
    assert attempts(shop.house) == 0


def test_a_camera_that_stops_in_the_middle(
    shop: Site, astronaut: Portrait, listen: Callable[[Flask], str], tmp_path: Path
) -> None:
    publish(shop.house, level="standard")
    jpeg = cv2.imencode(".jpg", astronaut[0])[1].tobytes()
    camera = Flask("camera")

    @camera.get("/stream")
    def stream() -> Response:
        part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n"
        return Response(iter([part] * 8), mimetype="multipart/x-mixed-replace; boundary=frame")

    result = shop.run("store", *PAY, "--camera", f"{listen(camera)}/stream")
    assert result.exit_code == 5
    assert "the camera stopped" in result.stderr
    video = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (512, 512))
    for _ in range(8):
        writer.write(astronaut[0])
    writer.release()
    result = shop.run("store", *PAY, "--camera", str(video))
    assert result.exit_code == 1
    assert "ended before the check was done" in result.stderr
    assert attempts(shop.house) == 0


def service_with(house: House, **changes: object) -> Flask:
    parts = {"calibrations": shipped(), "clock": unix_ms} | changes
    authorizer = Authorizer(house.database, house.keys, parts["calibrations"], parts["clock"])
    return create_app(authorizer, house.database)


def test_a_service_that_accepts_other_models(shop: Site, listen: Callable[[Flask], str]) -> None:
    url = listen(service_with(shop.house, calibrations=CALIBRATIONS))
    result = shop.run("store", *PAY, "--service", url)
    assert (result.exit_code, last_line(result)["outcome"]) == (1, "model_not_accepted")
    assert "--pack" in result.stderr


@pytest.mark.parametrize(("off_min", "side"), [(10, "behind"), (-10, "ahead of")])
def test_a_clock_that_is_minutes_off_is_named(
    shop: Site,
    listen: Callable[[Flask], str],
    monkeypatch: pytest.MonkeyPatch,
    off_min: int,
    side: str,
) -> None:
    def clock() -> int:
        return unix_ms() + off_min * 60_000

    monkeypatch.setattr("service.http.terminal.unix_ms", clock)
    url = listen(service_with(shop.house, clock=clock))
    result = shop.run("store", *PAY, "--service", url)
    assert (result.exit_code, last_line(result)["outcome"]) == (1, "clock")
    assert f"10 min {side} the service's" in result.stderr


def test_a_person_who_takes_too_long(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def dawdle(body: bytes) -> tuple[int, bytes]:
        with line.site.house.database.transaction() as conn:
            conn.execute("UPDATE challenges SET expires_at_ms = 1")
        return 201, body

    line.path, line.meddle = CHALLENGE, dawdle
    result = line.site.run("store", *PAY, "--service", line.site.url)
    assert (result.exit_code, last_line(result)["reason"]) == (1, "challenge_not_accepted")
    assert "took too long" in result.stderr
    assert payments(line.site.house) == 0


def test_another_terminals_key(shop: Site) -> None:
    shop.register("door")
    shutil.copy(shop.homes / "door" / "key", shop.homes / "store" / "key")
    result = shop.run("store", *PAY)
    assert (result.exit_code, last_line(result)["reason"]) == (1, "evidence_not_accepted")
    assert attempts(shop.house) == 0


def test_a_revoked_terminal(shop: Site) -> None:
    with shop.house.database.transaction() as conn:
        (store,) = (each for each in terminals.list_terminals(conn) if each.kind.name == "STORE")
        terminals.revoke(conn, store.terminal, now_ms=1)
    result = shop.run("store", *PAY)
    assert (result.exit_code, last_line(result)["reason"]) == (1, "terminal_not_accepted")
    assert "revoked" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda home: (home / "key").chmod(0o640), "chmod 600"),
        (lambda home: home.chmod(0o755), "chmod 700"),
        (lambda home: (home / "key").write_bytes(b"short"), "key is damaged"),
        (lambda home: (home / "identity").write_text("{}"), "identity is damaged"),
        (lambda home: (home / "identity").write_text("["), "identity is damaged"),
        (lambda home: (home / "identity").write_bytes(b"\xff"), "identity is damaged"),
        (lambda home: (home / "counter").write_bytes(b"1"), "counter is damaged"),
        (lambda home: (home / "outbox.db").write_bytes(os.urandom(4000)), "not a database"),
    ],
)
def test_storage_that_is_damaged_or_open_to_others(
    shop: Site, spoil: Callable[[Path], None], said: str
) -> None:
    (shop.homes / "store" / "counter").touch(mode=0o600)
    (shop.homes / "store" / "counter").write_bytes(bytes(8))
    spoil(shop.homes / "store")
    result = shop.run("store", *PAY)
    assert (result.exit_code, last_line(result)) == (6, {"outcome": "storage"})
    assert said in result.stderr
    assert attempts(shop.house) == 0


def test_a_second_process_on_one_home_is_refused(shop: Site) -> None:
    first = Outbox(shop.homes / "store" / "outbox.db")
    result = shop.run("store", *PAY)
    assert (result.exit_code, last_line(result)) == (6, {"outcome": "in_use"})
    first.close()
    assert shop.run("store", *PAY).exit_code == 0


def test_a_service_that_is_down_before_anything_was_sent(shop: Site) -> None:
    result = shop.run("store", *PAY, "--service", "http://127.0.0.1:9")
    assert (result.exit_code, last_line(result)) == (4, {"outcome": "unreachable", "waiting": 0})
    assert "nothing was sent" in result.stderr


def other_service(kind: type[Decision | Challenge]) -> Meddle:
    key = SigningKey(Ed25519PrivateKey.generate(), b"kid")
    return lambda body: (200, envelope.sign(envelope.parse(body, kind).message, key).raw)


ANSWERS: dict[str, Meddle] = {
    "busy": lambda body: (503, b""),
    "redirected": lambda body: (200, b"<html>login</html>"),
    "empty": lambda body: (200, b""),
    "cut off": lambda body: (200, body[:-1]),
    "too long": lambda body: (200, bytes(MAX_MESSAGE_BYTES + 1)),
}


@pytest.mark.parametrize("name", [*ANSWERS, "forged"])
def test_no_usable_answer_to_the_evidence_is_settled_later_and_charged_once(
    line: Line, name: str
) -> None:
    line.path, line.meddle = ATTEMPT, ANSWERS.get(name) or other_service(Decision)
    shop = line.site
    result = shop.run("store", *PAY, "--service", shop.url)
    assert (result.exit_code, last_line(result)) == (4, {"outcome": "unreachable", "waiting": 1})
    assert "reconcile" in result.stderr
    again = shop.run("store", *PAY, "--service", shop.url)
    assert again.exit_code == 4
    settled = shop.run("store", "reconcile", "--json")
    assert settled.exit_code == 0, settled.output
    assert list(last_line(settled)["settled"].values()) == [True]
    assert payments(shop.house) == 1
    assert shop.run("store", *PAY).exit_code == 0
    assert payments(shop.house) == 2


@pytest.mark.parametrize("name", ["cut off", "too long", "forged"])
def test_no_usable_challenge_leaves_nothing(line: Line, name: str) -> None:
    line.path, line.meddle = CHALLENGE, ANSWERS.get(name) or other_service(Challenge)
    result = line.site.run("store", *PAY, "--service", line.site.url)
    assert (result.exit_code, last_line(result)) == (4, {"outcome": "unreachable", "waiting": 0})
    assert attempts(line.site.house) == 0


def test_a_lost_confirmation_keeps_the_approval(line: Line) -> None:
    line.path, line.meddle = CONFIRM, ANSWERS["busy"]
    shop = line.site
    result = shop.run("store", *PAY, "--service", shop.url)
    assert (result.exit_code, last_line(result)["waiting"]) == (0, 1)
    assert shop.run("store", "reconcile").exit_code == 0
    with shop.house.database.transaction() as conn:
        rows = conn.execute("SELECT count(*) FROM attempts WHERE completion = 1").fetchone()
    assert rows == (2,)


def test_a_code_of_another_service_is_not_believed(line: Line) -> None:
    code = line.site.code("store")
    secret, _, _ = code.partition(".")
    other = f"{secret}.{'A' * 16}"
    arguments = ("--kind", "store", "--service", line.site.url)
    result = line.site.run("new", "register", other, *arguments)
    assert result.exit_code == 4
    assert "another service" in result.stderr
    line.path, line.meddle = REGISTER, ANSWERS["redirected"]
    result = line.site.run("new", "register", code, *arguments)
    assert result.exit_code == 4
    assert not (line.site.homes / "new" / "identity").exists()
    line.path = ""
    assert line.site.run("new", "register", code, *arguments).exit_code == 0
    assert line.site.run("new", "register", code, *arguments).exit_code == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_refuses_before_anything_is_sent(shop: Site, small_disk: Path) -> None:
    home = small_disk / "home"
    shutil.copytree(shop.homes / "store", home)
    filler = small_disk / "filler"
    for room in (0, 4096, 8192):
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                file.truncate(max(0, file.tell() - room))
        result = shop.run("store", *PAY, home=home)
        assert (result.exit_code, last_line(result)) == (6, {"outcome": "storage"}), room
        assert attempts(shop.house) == 0
    filler.unlink()
    result = shop.run("store", *PAY, home=home)
    assert result.exit_code == 0, result.output
    assert payments(shop.house) == 1


def test_a_full_outbox_refuses_before_anything_is_sent(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terminal_client.outbox.MESSAGES_MAX", 0)
    result = shop.run("store", *PAY)
    assert result.exit_code == 6
    assert "the outbox is full" in result.stderr
    assert attempts(shop.house) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--service", "http://192.0.2.1"), "plain http is for this machine only"),
        (("--service", "ftp://127.0.0.1"), "an https URL"),
        (("--service", "https://127.0.0.1:99999"), "an https URL"),
        (("--service", "https://[::1"), "an https URL"),
        (("--ca-file", "/dev/null"), "no certificates to trust"),
        (("--ca-file", "/missing.pem"), "no certificates to trust"),
        (("--claim", "somebody"), "a claim reads card:"),
        (("--order", "x" * 81), "an order number has 1 to 80 characters"),
    ],
)
def test_what_was_typed_wrongly(shop: Site, arguments: tuple[str, ...], said: str) -> None:
    result = shop.run("store", *PAY, *arguments)
    assert (result.exit_code, last_line(result)) == (2, {"outcome": "usage"})
    assert said in result.stderr
    assert "somebody" not in result.output


def test_a_terminal_does_only_what_its_kind_does(shop: Site) -> None:
    assert shop.run("store", "enter").exit_code == 2
    assert shop.run("store", "withdraw", "20 EUR").exit_code == 2
    assert shop.run("enrolment", *PAY).exit_code == 2
    assert shop.run("nowhere", "status").exit_code == 2
    assert not (shop.homes / "nowhere").exists()


@pytest.mark.parametrize("given", ["letters", "99999"])
def test_a_pin_descriptor_that_is_none(
    site: Site, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    site.register("enrolment")
    monkeypatch.setenv("COUNTENANCE_PIN_FD", given)
    result = site.run("enrolment", "enrol", "--agreed", "--claim", "card:1", "--json")
    assert (result.exit_code, last_line(result)) == (2, {"outcome": "usage"})
    assert "no file descriptor" in result.stderr


def test_who_does_not_agree_is_not_enrolled(site: Site) -> None:
    site.register("enrolment")
    result = site.run("enrolment", "enrol", "--claim", "card:1", typed="n\n")
    assert result.exit_code == 2
    assert "enrol --no-face takes a card or code and a PIN" in " ".join(result.stderr.split())
    with site.house.database.transaction() as conn:
        assert accounts.list_accounts(conn, limit=2) == []


def test_an_interrupted_wait_says_that_an_attempt_is_kept(line: Line) -> None:
    def interrupt(_decision: object) -> object:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(take_attempt.__kwdefaults__, "act", interrupt)
        result = line.site.run("store", *PAY)
    assert (result.exit_code, last_line(result)) == (4, {"outcome": "unreachable", "waiting": 1})
    assert line.site.run("store", "reconcile").exit_code == 0
    assert payments(line.site.house) == 1


def test_an_answer_that_trickles_has_an_end(
    shop: Site, listen: Callable[[Flask], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terminal_client.transport.READ_TIMEOUT_S", 1.0)
    slow, sent = Flask("slow"), []

    @slow.post("/v1/challenges")
    def trickle() -> Response:
        def parts() -> Iterator[bytes]:
            for _ in range(200):
                time.sleep(0.02)
                sent.append(1)
                yield b"x"

        return Response(parts(), content_type="application/cose")

    result = shop.run("store", *PAY, "--service", listen(slow))
    assert (result.exit_code, last_line(result)["waiting"]) == (4, 0)
    assert "too slowly" in result.stderr
    assert len(sent) < 300  # of the two tries' 400


def test_what_is_long_in_the_making_is_waited_for(
    listen: Callable[[Flask], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle of thousands takes its time before its first byte; a decision must not."""
    monkeypatch.setattr("terminal_client.transport.READ_TIMEOUT_S", 0.2)
    slow = Flask("slow")

    @slow.post("/v1/<_>")
    def make(_: str) -> Response:
        time.sleep(0.6)
        return Response(b"x", content_type="application/cose")

    transport = HttpTransport(listen(slow))
    reply = transport.exchange("/v1/door-bundles", b"", timeout_s=20.0, bytes_max=Bundle.BYTES_MAX)
    assert reply.body == b"x"
    with pytest.raises(Unreachable):
        transport.exchange("/v1/attempts", b"", timeout_s=20.0)


def test_a_cassette_is_filled_again(shop: Site) -> None:
    shop.register("atm")
    settings = shop.homes / "atm" / "terminal.toml"
    assert shop.run("atm", "load").exit_code == 2
    settings.write_text(settings.read_text() + '[atm]\nnotes = {"20 EUR" = 1}\n')
    for expected in (0, 2, 0):
        if expected == 0:
            assert shop.run("atm", "load").exit_code == 0
        drawn = shop.run(
            "atm", "withdraw", "20 EUR", "--claim", "card:1", "--camera", str(shop.photo),
            typed="2468\n",
        )  # fmt: skip
        assert drawn.exit_code == expected, drawn.output
