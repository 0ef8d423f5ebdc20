"""insightface's loaders on networks that are here, arranged as one of its packs.

No published weights are used: the detector is made here, with the outputs by which the library
routes; the embedder is dlib's or the open pack's.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
from onnx import TensorProto, helper, numpy_helper

from face_engine import licences
from face_engine.engine import Engine
from face_engine.errors import LicenceError, ModelFileError, ProviderError

LICENCE = "insightface-non-commercial"
SIDE_PX = 640
CENTRE_PX = (320, 240)
EYES_TO_MOUTH = np.array([(-40, -30), (40, -30), (0, 10), (-30, 50), (30, 50)], np.float32)


def scrfd() -> bytes:
    """Always finds one face of 200 by 240 pixels around ``CENTRE_PX`` in its input."""
    nodes, weights, outputs = [], [], []
    zero = helper.make_node("ReduceMin", ["input"], ["least"], keepdims=0)
    nodes += [zero, helper.make_node("Mul", ["least", "nothing"], ["zero"])]
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    for part, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32):
            cells = SIDE_PX // stride
            values = np.zeros((cells * cells * 2, width), np.float32)
            if stride == 8:
                at = (CENTRE_PX[1] // 8 * cells + CENTRE_PX[0] // 8) * 2
                found = {"score": [0.9], "box": [12.5, 15, 12.5, 15], "points": EYES_TO_MOUTH / 8}
                values[at] = np.ravel(found[part])
            name = f"{part}_{stride}"
            weights.append(numpy_helper.from_array(values, f"{name}_value"))
            nodes.append(helper.make_node("Add", [f"{name}_value", "zero"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape))
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE_PX, SIDE_PX])
    graph = helper.make_graph(nodes, "scrfd", [taken], outputs, weights)
    return saved(graph)


def recognition() -> bytes:
    """Means of 8 by 8 squares of the chip: 14 x 14 x 3 numbers."""
    taken = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])
    given = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 588])
    nodes = [
        helper.make_node("AveragePool", ["data"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["means"], ["embedding"]),
    ]
    return saved(helper.make_graph(nodes, "recognition", [taken], [given]))


def saved(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTENANCE_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "insightface" / "models" / "made_here"
    folder.mkdir(parents=True)
    (folder / "det_10g.onnx").write_bytes(scrfd())
    (folder / "w600k.onnx").write_bytes(recognition())
    return folder


@pytest.fixture
def accepted(folder: Path) -> None:
    licences.accept(LICENCE)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:480, :, ::-1])


def test_its_licence_must_be_accepted_by_name(folder: Path) -> None:
    with pytest.raises(LicenceError, match=f"--accept-licence {LICENCE}"):
        Engine.open("insightface:made_here")


@pytest.mark.usefixtures("accepted")
def test_a_pack_detects_aligns_and_embeds(pixels: np.ndarray) -> None:
    engine = Engine.open("insightface:made_here", threads=2)
    (face,) = engine.detect(pixels)
    scale = pixels.shape[1] / SIDE_PX
    assert np.allclose(face.centre, np.array(CENTRE_PX) * scale, atol=1)
    assert np.allclose(face.landmarks, (EYES_TO_MOUTH + CENTRE_PX) * scale, atol=1)
    one = engine.embed(pixels, face)
    assert one.vector.shape == (588,)
    assert one.model_id == engine.model_id
    assert [two.vector.tobytes() for two in engine.embed_many([(pixels, face)])] == [
        one.vector.tobytes()
    ]
    assert engine.passive(pixels, face) is None
    assert engine.follow(pixels, face)[0].box == face.box
    engine.warm_up()


@pytest.mark.usefixtures("accepted")
def test_other_networks_are_another_model(folder: Path) -> None:
    before = Engine.open("insightface:made_here").model_id
    (folder / "w600k.onnx").write_bytes(recognition() + b"\x0a\x00")
    assert Engine.open("insightface:made_here").model_id != before


@pytest.mark.usefixtures("accepted")
@pytest.mark.parametrize("broken", ["det_10g.onnx", "w600k.onnx"])
def test_a_missing_or_broken_network_is_one_clear_error(folder: Path, broken: str) -> None:
    (folder / broken).write_bytes(b"half a network")
    with pytest.raises(ModelFileError, match="insightface cannot open"):
        Engine.open("insightface:made_here")
    (folder / broken).unlink()
    with pytest.raises(ModelFileError, match="insightface cannot open"):
        Engine.open("insightface:made_here")


@pytest.mark.usefixtures("accepted")
@pytest.mark.parametrize("name", ["buffalo_l", "../made_here", "", "/", "made_here/.."])
def test_a_pack_that_is_not_here_is_never_fetched(name: str) -> None:
    with pytest.raises(ModelFileError, match="is not here: unpack it"):
        Engine.open(f"insightface:{name}")


@pytest.mark.usefixtures("accepted")
def test_another_liveness_addon_is_refused(folder: Path) -> None:
    addon = folder.parents[1] / "addons" / "liveness.onnx"
    addon.parent.mkdir()
    shutil.copy(folder / "w600k.onnx", addon)
    with pytest.raises(ModelFileError, match="liveness addon is damaged"):
        Engine.open("insightface:made_here")


@pytest.mark.usefixtures("accepted")
def test_a_provider_that_is_not_here_is_refused() -> None:
    with pytest.raises(ProviderError, match="coreml is not on this machine"):
        Engine.open("insightface:made_here", provider="coreml")


def test_nothing_else_imports_insightface() -> None:
    root = Path(__file__).parents[2]
    imports = re.compile(r"^\s*(from|import) insightface\b", re.MULTILINE)
    packages = (
        "wire",
        "access",
        "face_engine",
        "liveness",
        "terminal_client",
        "service",
        "countenance",
    )
    found = [
        path.name
        for package in packages
        for path in (root / package).rglob("*.py")
        if imports.search(path.read_text())
    ]
    assert found == ["insightface_pack.py"]
