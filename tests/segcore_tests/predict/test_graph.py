"""A predictor as a graph says what the predictor says."""

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.untrained import save

from segcore.classes import ClassSpec
from segcore.data.prompts import PromptConfig
from segcore.predict import Predictor, graph
from segcore.predict.graph import FORMATS, SUFFIX, Format, export_graph, run_graph
from segcore.presets import imedsam_nano, nano, polyps_nano, weft_nano
from segcore.training.tta import TtaConfig
from segtune.cli import main

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
POLYP = ClassSpec(("polyp",), exclusive=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save(polyps_nano(), POLYP, tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_says_what_the_predictor_says(
    form: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of RGB and depth, as the file is read by onnxruntime or torch alone."""
    checkpoint = save(nano(), CLASSES, tmp_path / "checkpoint")
    out = tmp_path / f"whole{SUFFIX[form]}"
    assert main(["export", str(checkpoint), "--format", form, "--out", str(out)]) == 0
    assert "gives probabilities (1, 4, 128, 128)" in capsys.readouterr().out
    predictor = Predictor.load(checkpoint, device="cpu")
    rng = np.random.default_rng(7)
    image = rng.integers(0, 256, (*predictor.size, 3), dtype=np.uint8)
    depth = rng.integers(0, 256, predictor.size, dtype=np.uint8)
    (own,) = predictor([image], [depth], probabilities=True)
    assert own.probabilities_KHW is not None
    found = run_graph(out, form, image, depth)
    assert np.abs(found - own.probabilities_KHW).max() < 1e-3
    assert np.ptp(found) > 0.01, "it says something"
    if form == "onnx":
        session = onnxruntime.InferenceSession(out)
        shapes = {put.name: (put.type, put.shape) for put in session.get_inputs()}
        assert shapes == {
            "image": ("tensor(uint8)", [1, 128, 128, 3]),
            "depth": ("tensor(uint8)", [1, 128, 128]),
        }


@pytest.mark.slow
def test_a_graph_that_says_something_else_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(checkpoint, device="cpu")
    out = tmp_path / "whole.pt2"
    monkeypatch.setattr(graph, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs from the predictor"):
        export_graph(predictor, out, "torch-export")
    assert not out.exists()


def test_what_can_be_no_graph_says_why(checkpoint: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(checkpoint, device="cpu", tta=TtaConfig(flips=("horizontal",)))
    with pytest.raises(ValueError, match="is written as .onnx\n.*not a folder.*\n.*several times"):
        export_graph(predictor, tmp_path / "no" / "whole.pt2", "onnx")
    told = dataclasses.replace(imedsam_nano(), prompts=PromptConfig(source="truth"))
    predictor = Predictor.load(save(told, POLYP, tmp_path / "told"), device="cpu")
    predictor.prompts = PromptConfig(source="truth")
    with pytest.raises(ValueError, match="is told boxes"):
        export_graph(predictor, tmp_path / "whole.pt2", "torch-export")


@pytest.mark.slow
def test_a_network_whose_way_depends_on_the_image_is_refused(tmp_path: Path) -> None:
    predictor = Predictor.load(save(weft_nano(), POLYP, tmp_path / "weft"), device="cpu")
    with pytest.raises(ValueError, match="weft can't be written as a graph"):
        export_graph(predictor, tmp_path / "whole.pt2", "torch-export")
    assert not (tmp_path / "whole.pt2").exists()
