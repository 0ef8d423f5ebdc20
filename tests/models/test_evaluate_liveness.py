"""``countenance evaluate liveness`` on real weights and photos that come inside pip packages."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner, Result

from countenance.cli import main
from countenance.liveness_trial import Settings, Task, choose_portraits, nonce, plan_of
from face_engine.corpus import list_people
from face_engine.engine import Engine
from face_engine.types import Pixels
from liveness.rig.recording import Recording, RecordingError
from liveness.types import Level
from tests.models.conftest import package_folder


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", "liveness", *map(str, arguments)])


def last_line(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return np.asarray(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, astronaut: Pixels) -> Path:
    """Two people, one of whom has a photo of nothing first."""
    folder = tmp_path_factory.mktemp("people")
    images = package_folder("insightface") / "data" / "images"
    for name in ("one", "two"):
        (folder / name).mkdir()
    cv2.imwrite(str(folder / "one" / "1.png"), np.zeros((90, 90, 3), np.uint8))
    cv2.imwrite(str(folder / "one" / "2.png"), astronaut)
    actor = cv2.imread(str(images / "Tom_Hanks_54745.png"))
    framed = cv2.copyMakeBorder(cv2.resize(actor, None, fx=3, fy=3), 150, 150, 150, 150,
                                cv2.BORDER_REPLICATE)  # fmt: skip
    cv2.imwrite(str(folder / "two" / "1.png"), framed)
    return folder


def test_a_trial_gives_the_same_table_whatever_the_number_of_processes(
    people: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    asked = ["--rig", "--people", people, "--attempts", 1, "--seed", 3, "--json"]
    asked += ["--species", "live", "--species", "rigid_mask"]
    document = last_line(evaluate(*asked, "--jobs", 1, "--report", report))
    assert set(document) == {"seed", "level", "species", "live", "verdict_ms_p50"}
    assert document["seed"] == 3
    assert document["level"] == "standard"
    assert set(document["species"]) == {"rigid_mask"}
    rigid_mask = document["species"]["rigid_mask"]
    assert set(rigid_mask) == {"attempts", "accepted", "apcer", "apcer_upper95"}
    assert set(document["live"]) == {"attempts", "rejected", "undecided", "bpcer"}
    assert document == last_line(evaluate(*asked, "--jobs", 2))
    text = report.read_text()
    assert "rigid mask" in text
    assert "is not an iBeta letter" in text
    assert "data:image/jpeg;base64," in text
    assert "http" not in text.replace("http-equiv", "")


def test_recordings_in_folders_are_judged_without_a_plan(tmp_path: Path, astronaut: Pixels) -> None:
    place = tmp_path / "live" / "standing"
    place.mkdir(parents=True)
    (place / "fps").write_text("15")
    random = np.random.default_rng(1)
    for number in range(12):
        shifted = np.roll(astronaut, number % 3, axis=1).astype(float)
        noisy = np.clip(shifted + random.normal(0, 3, shifted.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(place / f"{number}.png"), noisy)
    document = last_line(evaluate("--media", tmp_path, "--json"))
    assert document["level"] == "passive"
    assert document["live"]["attempts"] == 1
    assert document["live"]["rejected"] == 0


def test_who_is_presented_and_the_halves_share_nobody(people: Path) -> None:
    engine = Engine.open("pip")
    roster = list_people([people])
    halves, others = (
        {
            half: {name for name, _ in choose_portraits(engine, roster, seed=seed, half=half)}
            for half in ("all", "even", "odd")
        }
        for seed in (5, 6)
    )
    assert halves == others
    assert halves["all"] == {"one", "two"}
    assert halves["even"] | halves["odd"] == halves["all"]
    assert not halves["even"] & halves["odd"]


def test_plans_come_from_the_services_rule_and_differ() -> None:
    settings = Settings(pack="pip", level=Level.STANDARD, seed=1)
    plans = {plan_of(nonce(1, "live", index), settings) for index in range(20)}
    assert len(plans) == 20
    assert all(plan.colours for plan in plans)
    plain = Settings(pack="pip", level=Level.STANDARD, seed=1, colours=False)
    assert not plan_of(nonce(1, "live", 0), plain).colours
    assert Task(species="live", index=0).path is None


def test_a_gif_and_a_video_give_all_their_frames_at_their_times(
    tmp_path: Path, astronaut: Pixels
) -> None:
    small = cv2.resize(astronaut, (160, 160))
    path = tmp_path / "turning.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 160))
    for number in range(7):
        writer.write(np.roll(small, number, axis=1))
    writer.release()
    animation = cv2.Animation()
    animation.frames = [np.roll(small, number, axis=1) for number in range(7)]
    animation.durations = np.full(7, 100, np.int32)
    assert cv2.imwriteanimation(str(tmp_path / "turning.gif"), animation)
    for name in ("turning.avi", "turning.gif"):
        recording = Recording(tmp_path / name)
        times = []
        while (at_ms := recording.next_ms(times[-1] if times else 0)) is not None:
            times.append(at_ms)
            assert recording.frame(at_ms).pixels.shape == (160, 160, 3)
        assert len(times) == 7, name
        assert np.diff(times) == pytest.approx(100, abs=2), name


@pytest.mark.parametrize(
    ("content", "rate"), [(None, "25"), (b"no video", None)], ids=["empty", "not a video"]
)
def test_what_holds_no_frames_is_one_clear_error(
    tmp_path: Path, content: bytes | None, rate: str | None
) -> None:
    path = tmp_path / "clip.mp4"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"clip\.mp4 has no frame"):
        Recording(path)


def test_a_rate_that_is_none_is_refused(tmp_path: Path, astronaut: Pixels) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), astronaut)
    for text in ("fast", "0", "1e9"):
        (tmp_path / "fps").write_text(text)
        with pytest.raises(RecordingError, match="fps"):
            Recording(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing to present"),
        (("--rig", "--species", "hologram"), "No species is called hologram"),
        (("--media", "."), "holds no recording"),
    ],
)
def test_what_cannot_be_evaluated_says_why(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    given = [tmp_path if each == "." else each for each in arguments]
    result = evaluate(*given)
    assert result.exit_code != 0
    assert said in " ".join(result.stderr.split())


def test_without_models_it_ends_before_any_process_starts(tmp_path: Path) -> None:
    place = tmp_path / "live"
    place.mkdir()
    (place / "clip.gif").write_bytes(b"GIF89a")
    for asked in (("--rig",), ("--media", tmp_path, "--jobs", 2)):
        result = evaluate(*asked, "--pack", "none")
        assert result.exit_code == 3
        assert "The pack none cannot be used" in " ".join(result.stderr.split())
