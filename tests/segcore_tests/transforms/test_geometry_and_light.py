"""The parts of augmentation against slow restatements, and the promises of their docstrings."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from segcore.data.dataset import Sample
from segcore.transforms import LARGEST_SHIFT, geometry, light
from segcore.transforms.smoke import Smoke


def place(height: int, width: int) -> Sample:
    """Labels count pixels row by row, where there are at most 256."""
    labels = np.arange(height * width).reshape(height, width).astype(np.uint8)
    image = np.repeat(labels[..., None], 3, axis=2)
    return Sample("p", "p", "p", image, labels, None, None, 0, (5.0, 1.0, 2.0))


def test_a_crop_is_the_rectangle_that_was_drawn_enlarged_from_pixel_centres() -> None:
    sample = place(16, 16)
    for seed in range(20):
        out = geometry.cropped(sample, np.random.default_rng(seed), area=(0.2, 0.8), stretch=1.5)
        rng = np.random.default_rng(seed)
        share, against = rng.uniform(0.2, 0.8), math.exp(math.log(1.5) * rng.uniform(-1, 1))
        rows = min(16, round(16 * math.sqrt(share / against)))
        columns = min(16, round(16 * math.sqrt(share * against)))
        top, left = int(rng.integers(0, 17 - rows)), int(rng.integers(0, 17 - columns))
        y = top + np.floor((np.arange(16) + 0.5) * rows / 16).astype(int)
        x = left + np.floor((np.arange(16) + 0.5) * columns / 16).astype(int)
        np.testing.assert_array_equal(out.labels_HW, sample.labels_HW[np.ix_(y, x)])
        assert out.spacing_mm == pytest.approx((5.0, rows / 16, 2 * columns / 16))


def test_an_elastic_deformation_never_folds_nor_shows_the_outside() -> None:
    worst, ones = (
        1.0,
        Sample("p", "p", "p", np.full((60, 90, 3), 255, np.uint8), np.ones((60, 90), np.uint8)),
    )
    for seed in range(60):
        rng = np.random.default_rng(seed)
        field = geometry.displacement(rng, (60, 90), shift=LARGEST_SHIFT)[0].numpy()
        # In the units of torchvision's `elastic` a pixel is 2 / 90 wide and 2 / 60 high.
        du_dy, du_dx = np.gradient(field[..., 0] * 45)
        dv_dy, dv_dx = np.gradient(field[..., 1] * 30)
        worst = min(worst, float(((1 + du_dx) * (1 + dv_dy) - du_dy * dv_dx).min()))
        out = geometry.deformed(ones, np.random.default_rng(seed), shift=LARGEST_SHIFT)
        assert out.labels_HW.all()
        assert (out.image_HW3 == 255).all()
    assert 0 < worst < 0.9


def test_a_deformation_is_as_large_as_it_says_at_every_size() -> None:
    for size in ((64, 64), (256, 256), (100, 200)):
        rng = np.random.default_rng(3)
        field = geometry.displacement(rng, size, shift=0.03)[0].numpy()
        pixels = np.abs(field * [size[1] / 2, size[0] / 2]).max()
        assert 0.5 < pixels / (0.03 * min(size)) < 1.2


def image(height: int = 40, width: int = 56) -> torch.Tensor:
    levels = np.random.default_rng(0).integers(0, 256, (3, height, width)).astype(np.uint8)
    return torch.from_numpy(levels)


def test_a_blur_is_scipys() -> None:
    rng, same = np.random.default_rng(2), np.random.default_rng(2)
    sigma = 0.05 * 40 * same.uniform(light.SHARPEST, 1)
    radius = math.ceil(3 * sigma)
    wanted = [
        gaussian_filter(c.astype(float), sigma, mode="mirror", radius=radius)
        for c in image().numpy()
    ]
    found = light.blurred(image(), rng, sigma=0.05).numpy()
    assert np.abs(found - np.stack(wanted)).max() <= 0.51


def test_noise_has_the_deviation_that_was_drawn() -> None:
    grey = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    drawn = 255 * 0.1 * np.random.default_rng(4).uniform()
    found = light.noisy(grey, np.random.default_rng(4), std=0.1).float() - 128
    assert found.std() == pytest.approx(drawn, rel=0.02)
    assert abs(float(found.mean())) < 0.2


def test_colours_are_as_their_formulas_say() -> None:
    """Of torchvision's functions, what they are given: gain, power, and no colour left at -1."""
    seed = next(s for s in range(99) if np.random.default_rng(s).uniform(-1, 1) < -0.9)
    drawn = np.random.default_rng(seed).uniform(-1, 1)
    x = image().double()
    weights = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)[:, None, None]
    grey = (x * weights).sum(0, keepdim=True)
    for function, wanted in (
        (light.saturated, grey + (1 + 0.9 * drawn) * (x - grey)),
        (light.contrasted, grey.mean() + (1 + 0.9 * drawn) * (x - grey.mean())),
        (light.gamma_corrected, 255 * (x / 255) ** (1.9**drawn)),
    ):
        found = function(image(), np.random.default_rng(seed), most=0.9)
        assert (found - wanted.clamp(0, 255)).abs().max() <= 2


def test_a_hue_turns_and_a_grey_stays() -> None:
    red = torch.zeros(3, 4, 4, dtype=torch.uint8)
    red[0] = 200
    drawn = [np.random.default_rng(seed).uniform(-1, 1) for seed in range(999)]
    seed = int(np.abs(np.array(drawn) - 2 / 3).argmin())
    found = light.hued(red, np.random.default_rng(seed), most=0.5)  # a third of the circle
    assert found[1].float().mean() > 180
    assert found[0].float().mean() < 20
    grey = torch.full((3, 4, 4), 90, dtype=torch.uint8)
    assert torch.equal(light.hued(grey, np.random.default_rng(seed), most=0.5), grey)


def test_reflections_are_white_few_and_where_light_falls() -> None:
    dark = torch.zeros(3, 80, 80, dtype=torch.uint8)
    dark[:, :, 40:] = 120
    on_dark = on_light = 0
    for seed in range(40):
        found = light.spotted(dark, np.random.default_rng(seed), count=5, size=0.03)
        assert (found >= dark).all()
        white = (found == 255).all(0)
        assert white.any()
        on_dark += int(white[:, :38].sum())
        on_light += int(white[:, 42:].sum())
        assert float((found != dark).any(0).float().mean()) < 0.2
    assert on_light > 20 * on_dark


def test_smoke_leaves_the_black_around_a_round_picture() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    inside = np.hypot(y, x) < 40
    picture = np.repeat((inside * np.uint8(90))[..., None], 3, axis=2)
    sample = Sample("p", "p", "p", picture, np.zeros((96, 96), np.uint8))
    for seed in range(5):
        out = Smoke(probability=1.0).apply(sample, np.random.default_rng(seed)).image_HW3
        assert not out[np.hypot(y, x) > 46].any()
        assert out[inside].mean() > 95
        assert out.max() <= 205
