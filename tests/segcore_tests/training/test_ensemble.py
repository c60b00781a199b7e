"""Ensembles: probabilities are averaged, in any order, and only of networks that are alike."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from support.untrained import save

from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.predict import Predictor
from segcore.presets import nano
from segcore.training.ensemble import network_of
from segcore.training.restore import restore
from segcore.training.tta import TtaConfig
from segtune import apply

EXCLUSIVE = ClassSpec(("background", "polyp", "tool"), exclusive=True)
ALONE = ClassSpec(("polyp", "tool"), exclusive=False)


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    torch.set_num_threads(1)
    changes = {"system": "hiera_unet", "data": SyntheticPolyps(), "system.image_size": 64}
    made: TrainConfig = apply(nano(), changes)
    return made


def members(config: TrainConfig, classes: ClassSpec, folder: Path, count: int = 3) -> list[Path]:
    """Networks with other heads, as other seeds have."""
    found = []
    for seed in range(count):
        path = save(config, classes, folder / f"m{seed}")
        tensors: Mapping[str, torch.Tensor] = load_file(path / "best.safetensors")
        draw = torch.Generator().manual_seed(seed)
        moved = {n: x + 0.2 * torch.randn(x.shape, generator=draw) for n, x in tensors.items()}
        save_file(moved, path / "best.safetensors")
        found.append(path)
    return found


def said(predictor: Predictor, **options: Any) -> NDArray[np.float32]:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    (found,) = predictor([image], probabilities=True, **options)
    assert found.probabilities_KHW is not None
    np.testing.assert_array_equal(
        found.labels_HW,
        predictor.classes.labels(predictor_logits(found.probabilities_KHW, predictor.classes))[0],
    )
    return found.probabilities_KHW


def predictor_logits(shares_KHW: NDArray[np.float32], classes: ClassSpec) -> torch.Tensor:
    shares = torch.from_numpy(shares_KHW)[None]
    return shares.log() if classes.exclusive else shares.logit()


@pytest.mark.parametrize("classes", [EXCLUSIVE, ALONE], ids=["exclusive", "alone"])
def test_probabilities_are_the_means(
    config: TrainConfig, classes: ClassSpec, tmp_path: Path
) -> None:
    paths = members(config, classes, tmp_path)
    alone = [said(Predictor.load(path, device="cpu")) for path in paths]
    assert np.abs(alone[0] - alone[1]).max() > 0.05
    together = Predictor.load(*paths, device="cpu")
    assert together.networks == 3
    wanted = sum(alone[1:], start=alone[0]) / 3
    np.testing.assert_allclose(said(together), wanted, atol=1e-6)
    backwards = Predictor.load(*reversed(paths), device="cpu")
    np.testing.assert_allclose(said(backwards), wanted, atol=1e-6)


def test_of_one_it_is_that_one_and_of_the_same_twice_too(
    config: TrainConfig, tmp_path: Path
) -> None:
    (path,) = members(config, EXCLUSIVE, tmp_path, 1)
    one = Predictor.load(path, device="cpu")
    assert one.networks == 1
    twice = said(Predictor.load(path, path, device="cpu"))
    np.testing.assert_allclose(twice, said(one), atol=1e-6)
    restored = restore(path)
    assert network_of([("a", restored)]) is restored.system


def test_views_are_averaged_over_networks_and_networks_over_views(
    config: TrainConfig, tmp_path: Path
) -> None:
    paths, tta = members(config, EXCLUSIVE, tmp_path, 2), TtaConfig(flips=("horizontal",))
    alone = [said(Predictor.load(path, device="cpu", tta=tta)) for path in paths]
    together = said(Predictor.load(*paths, device="cpu", tta=tta))
    np.testing.assert_allclose(together, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_networks_that_are_not_alike_are_refused_with_all_reasons(
    config: TrainConfig, tmp_path: Path
) -> None:
    one = restore(save(config, EXCLUSIVE, tmp_path / "one"))
    larger = apply(config, {"system.image_size": 128})
    other = restore(save(larger, ALONE, tmp_path / "other"))
    with pytest.raises(ValueError, match="b can't be averaged with a: it has the classes") as told:
        network_of([("a", one), ("b", replace(other, precision="bfloat16"))])
    assert "b can't be averaged with a: its system.image_size is 128, not 64" in str(told.value)
    assert "its precision is 'bfloat16', not 'float32'" in str(told.value)
    seen = replace(one, tta=TtaConfig(flips=("vertical",)), window=(0.0, 1.0))
    with pytest.raises(ValueError, match="its evaluation.tta.flips is") as told:
        network_of([("a", one), ("c", seen)])
    assert "its window is (0.0, 1.0), not None" in str(told.value)
