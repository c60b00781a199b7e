"""Metrics against medpy, MONAI and DeepMind's surface-distance, wherever those define a value."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from medpy.metric import binary as medpy
from numpy.typing import NDArray

from segcore.metrics import (
    METRICS,
    assd,
    background_10mm,
    dice,
    hausdorff,
    iou,
    stack3d,
    surface_dice,
)
from segcore.metrics.metric import Pair

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI warns of its own imports.
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.meandice import compute_dice
    from monai.metrics.surface_dice import compute_surface_dice
    from monai.metrics.surface_distance import compute_average_surface_distance

Mask = NDArray[np.bool_]
SHAPE = (28, 33)


def adversarial_masks() -> dict[str, Mask]:
    def mask(*where: Any) -> Mask:
        out = np.zeros(SHAPE, bool)
        for index in where:
            out[index] = True
        return out

    full = slice(None)
    ring = mask((slice(5, 20), slice(4, 25)))
    ring[8:17, 7:22] = False
    return {
        "empty": mask(),
        "full": mask((full, full)),
        "one pixel": mask((13, 9)),
        "pixel in the corner": mask((0, 0)),
        "pixel in the last corner": mask((-1, -1)),
        "along the border": mask((full, slice(0, 4)), (slice(-2, None), full)),
        "the border itself": mask((0, full), (-1, full), (full, 0), (full, -1)),
        "ring": ring,
        "checkerboard": np.indices(SHAPE).sum(0) % 2 == 0,
        "two far pixels": mask((1, 1), (26, 31)),
        "one row": mask((14, full)),
        "diagonal": mask((np.arange(28), np.arange(28))),
    }


def random_masks(count: int) -> dict[str, Mask]:
    """Blobs and specks, never empty; some touch the border."""
    out = {}
    for seed in range(count):
        rng = np.random.default_rng(seed)
        mask = rng.random(SHAPE) < rng.choice([0, 0.02, 0.5])
        y, x = rng.integers(0, 20, 2)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
        out[f"random {seed}"] = mask
    return out


MASKS = adversarial_masks() | random_masks(5)
PAIRS = list(itertools.combinations_with_replacement(MASKS, 2))
DEFINED = [pair for pair in PAIRS if "empty" not in pair]


def over(pairs: list[tuple[str, str]], metric: Callable[[Mask, Mask], float]) -> dict[str, float]:
    """The metric's value of each pair, under the pair's name."""
    return {f"{a} and {b}": metric(MASKS[a], MASKS[b]) for a, b in pairs}


def monai(compute: Callable[..., torch.Tensor], a: Mask, b: Mask, **options: Any) -> float:
    tensors = (torch.from_numpy(m)[None, None].float() for m in (a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(compute(*tensors, include_background=True, **options))


@pytest.fixture
def deepmind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The library as of 2018: it uses names that NumPy 2 has no more."""
    library = pytest.importorskip("surface_distance")
    for name, value in {"NaN": np.nan, "Inf": np.inf}.items():
        monkeypatch.setattr(np, name, value, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy.ndimage.filters, scipy.ndimage.morphology
        yield library


def test_overlap_is_medpys() -> None:
    """Two empty masks are 0 / 0 there, and not defined here either."""
    some = [pair for pair in PAIRS if pair != ("empty", "empty")]
    assert over(some, dice) == pytest.approx(over(some, medpy.dc))
    assert over(some, iou) == pytest.approx(over(some, medpy.jc))


def test_overlap_is_monais() -> None:
    """MONAI does not count an image whose truth is empty, whatever was predicted."""
    theirs = over(DEFINED, partial(monai, compute_dice))
    assert over(DEFINED, dice) == pytest.approx(theirs)


def test_distances_are_medpys() -> None:
    assert over(DEFINED, assd) == pytest.approx(over(DEFINED, medpy.assd), abs=1e-9)
    assert over(DEFINED, hausdorff) == pytest.approx(over(DEFINED, medpy.hd), abs=1e-9)
    ours = over(DEFINED, partial(hausdorff, percentile=95, directions="pooled"))
    assert ours == pytest.approx(over(DEFINED, medpy.hd95), abs=1e-9)


def test_assd_is_monais() -> None:
    compute = partial(monai, compute_average_surface_distance)
    theirs = over(DEFINED, partial(compute, symmetric=True))
    assert over(DEFINED, assd) == pytest.approx(theirs, rel=1e-5)
    theirs = over(DEFINED, lambda a, b: (compute(a, b) + compute(b, a)) / 2)
    ours = over(DEFINED, partial(assd, directions="averaged"))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_hausdorff_is_monais() -> None:
    compute = partial(monai, compute_hausdorff_distance)
    assert over(DEFINED, hausdorff) == pytest.approx(over(DEFINED, compute), rel=1e-5)
    ours = over(DEFINED, partial(hausdorff, percentile=95))
    assert ours == pytest.approx(over(DEFINED, partial(compute, percentile=95)), rel=1e-5)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.5])
def test_surface_dice_is_monais(tolerance: float) -> None:
    theirs = over(PAIRS, partial(monai, compute_surface_dice, class_thresholds=[tolerance]))
    ours = over(PAIRS, partial(surface_dice, tolerance=tolerance))
    assert ours == pytest.approx(theirs, rel=1e-6, nan_ok=True)


def test_background_distance_is_deepminds(deepmind: Any) -> None:
    """An image without background is infinite in one direction and NaN in the other there."""

    def theirs(a: Mask, b: Mask) -> float:
        surfaces = deepmind.compute_surface_distances(~a, ~b, spacing_mm=(10, 10))
        with np.errstate(invalid="ignore"):
            return float(np.mean(deepmind.compute_average_surface_distance(surfaces)))

    ours = over(PAIRS, lambda a, b: background_10mm(~a, ~b))
    assert ours == pytest.approx(over(PAIRS, theirs), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("seed", range(6))
def test_stack_is_medpys_of_a_volume(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = rng.permutation(sorted(MASKS))
    labels = [np.zeros(SHAPE, np.uint8) for _ in range(2)]
    for image, start in zip(labels, (0, 3), strict=True):
        for k, name in enumerate(names[start : start + 3]):
            image[MASKS[name] & (rng.random(SHAPE) < 0.7)] = k + 1
    a, b = (np.stack([image == k for k in (1, 2, 3)]) for image in labels)
    assert stack3d(a, b) == pytest.approx(medpy.assd(a, b), abs=1e-9)


def test_which_library_has_which_definition(deepmind: Any) -> None:
    """A long outline against a short one: pooled, the long one counts more."""
    a, b = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    a[2:62, 2:62] = True
    b[30:34, 30:34] = True
    pooled, averaged = assd(a, b), assd(a, b, directions="averaged")
    assert pooled == pytest.approx(medpy.assd(a, b))
    assert pooled == pytest.approx(
        monai(compute_average_surface_distance, a, b, symmetric=True), rel=1e-5
    )
    surfaces = deepmind.compute_surface_distances(a, b, spacing_mm=(1, 1))
    of_elements = np.mean(deepmind.compute_average_surface_distance(surfaces))
    assert pooled == pytest.approx(31.74, abs=0.01)
    assert averaged == pytest.approx(29.96, abs=0.01)
    assert of_elements == pytest.approx(29.91, abs=0.01)
    pooled = hausdorff(a, b, percentile=95, directions="pooled")
    assert pooled == pytest.approx(medpy.hd95(a, b))
    assert hausdorff(a, b, percentile=95) > pooled


def test_imedsams_hausdorff_is_medpys_and_100_where_a_mask_is_empty() -> None:
    rng = np.random.default_rng(0)
    metric = METRICS["hd.empty_100"].load()
    for _ in range(10):
        a, b = (rng.uniform(size=(20, 30)) > 0.9 for _ in range(2))
        assert metric.compute(Pair(a, b)) == pytest.approx(medpy.hd(a, b))
        nothing = np.zeros_like(a)
        for pair in (Pair(a, nothing), Pair(nothing, b), Pair(nothing, nothing)):
            assert metric.compute(pair) == 100
