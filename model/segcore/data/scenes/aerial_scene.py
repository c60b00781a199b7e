"""Synthetic aerial scenes: ponds, tanks, halls and aircraft on ploughed fields, known at any size.

Furrows repeat, and an object is told from them by the scale of its own texture: finer than the
field's, or coarser where it is large enough for that. Colour tells little, for fields differ among
themselves by as much; trees cast shadows too, and are no objects.

Shape suffixes: H W image, h w part of it, 3 RGB in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.data.scenes.aerial_objects import HARMONICS, OUTLINES, Floats, Texture, Thing
from segcore.data.scenes.liver_geometry import smooth_noise

VERSION = 1
"""Raised when the same seed draws another picture."""
RADII = (0.045, 0.18)
"""Of the smallest and of the largest object, as shares of the image: two octaves."""
COARSE_FROM = 0.09
"""Radius from which on an object may have a coarser texture than its field."""
MOST = 3
"""Objects on an image."""
EMPTY = 0.12
"""Share of the images that show none."""
DomainName = Literal["a", "b"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """From which ranges land, objects and sensors are drawn."""

    soils: tuple[tuple[float, float, float], ...]
    """Mean colours of fields."""
    period: Range
    """From furrow to furrow, as a share of the image."""
    contrast: Range
    """Of the furrows."""
    trees: tuple[int, int]
    """How many there are on an image."""
    haze: float
    """Share of the light that is scattered by the air."""
    blur: float
    """Standard deviation of the optics' blur as a share of the image."""
    noise: float
    """Standard deviation of the sensor's noise, in [0, 1]."""


DOMAINS: Mapping[DomainName, Domain] = {
    "a": Domain(
        soils=((0.30, 0.42, 0.20), (0.42, 0.46, 0.24), (0.50, 0.44, 0.30), (0.36, 0.34, 0.22)),
        period=(1 / 26, 1 / 17),
        contrast=(0.10, 0.20),
        trees=(6, 26),
        haze=0.04,
        blur=0.0012,
        noise=0.012,
    ),
    "b": Domain(
        soils=((0.66, 0.54, 0.38), (0.58, 0.45, 0.32), (0.70, 0.61, 0.48), (0.52, 0.46, 0.34)),
        period=(1 / 20, 1 / 12),
        contrast=(0.07, 0.14),
        trees=(0, 10),
        haze=0.16,
        blur=0.0028,
        noise=0.022,
    ),
}
"""`a`: green and brown fields, clear air. `b`: dry land with wider furrows, haze, a soft sensor."""


@dataclass(frozen=True)
class Place:
    """Fields, roads, sun and sensor that all images of a place share."""

    domain: Domain
    angle: float
    """Of the fields' borders."""
    soils: tuple[tuple[float, float, float], ...]
    """Colours of its fields, one for each of its crops."""
    period: float
    contrast: float
    sun: float
    """Direction into which shadows fall."""


def draw_place(rng: np.random.Generator, domain: Domain = DOMAINS["a"]) -> Place:
    """A place of a domain at random."""
    crops = rng.permutation(len(domain.soils))[:3]
    return Place(
        domain=domain,
        angle=rng.uniform(0, np.pi),
        soils=tuple(domain.soils[i] for i in crops),
        period=rng.uniform(*domain.period),
        contrast=rng.uniform(*domain.contrast),
        sun=rng.uniform(0, 2 * np.pi),
    )


def render(
    place: Place, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image of a place, (size, size, 3), and where its objects are: nowhere on a few images."""
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    x_HW, y_HW = np.meshgrid(middles, middles)
    things = draw_things(place, rng)
    image = _land(place, rng, x_HW, y_HW)
    trees = _trees(place, rng)
    mask_HW = np.zeros((size, size), bool)
    for x, y, radius in trees:
        here = _around(size, x, y, 3 * radius)
        dx, dy = x_HW[here] - x, y_HW[here] - y
        shadow = np.hypot(dx - radius * np.cos(place.sun), dy - radius * np.sin(place.sun))
        _darken(image[here], 1 - shadow / radius, radius * size / 3)
    for thing in things:
        here = _around(size, *thing.middle, 1.4 * thing.radius + 0.01)
        x_hw, y_hw = x_HW[here], y_HW[here]
        inside_hw = thing.depth(x_hw, y_hw)
        mask_HW[here] |= inside_hw > 0
        colour_3 = image[here][inside_hw > 0].mean(0)  # of the field, before a shadow falls on it
        reach = 0.16 * thing.radius + 0.006
        shift = reach * np.cos(place.sun), reach * np.sin(place.sun)
        shadow = thing.depth(x_hw - np.float32(shift[0]), y_hw - np.float32(shift[1]))
        _darken(image[here], shadow, thing.radius * size)
        _paint(image[here], thing, inside_hw, colour_3 + thing.tint_3, (x_hw, y_hw), size)
    leaf_3 = np.array([0.16, 0.24, 0.12], np.float32)
    for x, y, radius in trees:
        here = _around(size, x, y, radius)
        crown = np.clip(1 - np.hypot(x_HW[here] - x, y_HW[here] - y) / radius, 0, 1)
        seen = np.minimum(1, 3 * crown) * ~mask_HW[here]
        image[here] += seen[..., None] * (leaf_3 * (0.7 + 0.8 * crown[..., None]) - image[here])
    image *= 1 + 0.05 * smooth_noise(rng, size, 5)[..., None]
    domain = place.domain
    image = (1 - domain.haze) * image + domain.haze * np.array([0.78, 0.8, 0.83], np.float32)
    if domain.blur * size > 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), domain.blur * size), np.float32)
    image += rng.normal(0, domain.noise, image.shape)
    return (255 * np.clip(image, 0, 1)).round().astype(np.uint8), mask_HW


def _land(place: Place, rng: np.random.Generator, x_HW: Floats, y_HW: Floats) -> Floats:
    """Fields with furrows, a light edge between them, and perhaps a road."""
    size = len(x_HW)
    along = (x_HW - 0.5) * np.cos(place.angle) + (y_HW - 0.5) * np.sin(place.angle)
    across = -(x_HW - 0.5) * np.sin(place.angle) + (y_HW - 0.5) * np.cos(place.angle)
    cuts, rows = _cuts(rng), _cuts(rng)
    row = np.searchsorted(rows, across)
    shift = rng.uniform(-0.2, 0.2, len(rows) + 1).astype(np.float32)
    shifted = along + shift[row]
    column = np.searchsorted(cuts, shifted)
    image = np.zeros((size, size, 3), np.float32)
    for i in range(len(rows) + 1):
        for j in range(len(cuts) + 1):
            soil = np.array(place.soils[rng.integers(len(place.soils))], np.float32)
            soil = soil * np.float32(rng.uniform(0.85, 1.15))
            furrows = Texture(
                period=place.period * rng.uniform(0.85, 1.2),
                angle=place.angle + (np.pi / 2 if rng.uniform() < 0.5 else 0),
                phase=rng.uniform(0, 2 * np.pi),
                contrast=place.contrast * rng.uniform(0.7, 1.2),
            )
            here = (row == i) & (column == j)
            image[here] = soil * (1 + furrows.at(x_HW[here], y_HW[here]))[:, None]
    edges = np.abs(across[..., None] - rows).min(-1)
    edges = np.minimum(edges, np.abs(shifted[..., None] - cuts).min(-1))
    image *= (1 - 0.25 * np.exp(-((edges / 0.006) ** 2)))[..., None]
    if rng.uniform() < 0.6:
        bend = 0.03 * np.sin(3 * along + rng.uniform(0, 6))
        road = np.exp(-(((across - rows[0] - bend) / 0.012) ** 4))
        image += 0.8 * road[..., None] * (np.array([0.55, 0.53, 0.5], np.float32) - image)
    image *= 1 + 0.06 * smooth_noise(rng, size, 60)[..., None]
    return image


def _cuts(rng: np.random.Generator) -> Floats:
    """Where fields end, from the image's middle."""
    return np.sort(rng.uniform(-0.5, 0.5, int(rng.integers(1, 4)))).astype(np.float32)


def _trees(place: Place, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Middle and radius of each."""
    count = int(rng.integers(place.domain.trees[0], place.domain.trees[1]))
    grove, spread = rng.uniform(0, 1, 2), rng.uniform(0.06, 0.3)
    at = grove + rng.normal(0, spread, (count, 2))
    radii = rng.uniform(0.008, 0.02, count)
    return [(float(x), float(y), float(r)) for (x, y), r in zip(at, radii, strict=True)]


def draw_things(place: Place, rng: np.random.Generator) -> list[Thing]:
    """Objects that neither touch nor leave the image."""
    if rng.uniform() < EMPTY:
        return []
    found: list[Thing] = []
    wanted = int(rng.integers(1, MOST + 1))
    for _ in range(20 * wanted):
        radius = float(np.exp(rng.uniform(*np.log(RADII))))
        x, y = (float(v) for v in rng.uniform(1.2 * radius, 1 - 1.2 * radius, 2))
        near = any(
            np.hypot(x - t.middle[0], y - t.middle[1]) < 1.35 * (radius + t.radius) for t in found
        )
        if not near:
            found.append(_thing(place, rng, (x, y), radius))
        if len(found) == wanted:
            break
    return found


def _thing(
    place: Place, rng: np.random.Generator, middle: tuple[float, float], radius: float
) -> Thing:
    finer = rng.uniform(0.3, 0.45)
    coarser = rng.uniform(2.0, 2.8)
    scale = coarser if radius > COARSE_FROM and rng.uniform() < 0.5 else finer
    return Thing(
        kind=list(OUTLINES)[int(rng.integers(len(OUTLINES)))],
        middle=middle,
        radius=radius,
        turn=rng.uniform(0, 2 * np.pi),
        amplitudes_K=(rng.normal(0, 0.12, len(HARMONICS)) / HARMONICS**0.5).astype(np.float32),
        phases_K=rng.uniform(0, 2 * np.pi, len(HARMONICS)).astype(np.float32),
        texture=Texture(
            period=place.period * scale,
            angle=rng.uniform(0, np.pi),
            phase=rng.uniform(0, 2 * np.pi),
            contrast=place.contrast * rng.uniform(1.0, 1.5),
        ),
        tint_3=(rng.uniform(0.0, 0.1) + rng.uniform(-0.03, 0.03, 3)).astype(np.float32),
    )


def _around(size: int, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """The pixels of a square about a point, rows and columns, as far as they are in the image."""
    rows, columns = (
        slice(max(0, int((at - reach) * size)), max(0, int((at + reach) * size) + 1))
        for at in (y, x)
    )
    return rows, columns


def _paint(
    image_hw3: Floats,
    thing: Thing,
    inside_hw: Floats,
    colour_3: Floats,
    at: tuple[Floats, Floats],
    size: int,
) -> None:
    """An object in its colour and texture, with a dark rim."""
    shade_hw = 1 + thing.texture.at(*at) - 0.14 * np.exp(-((inside_hw / 0.06) ** 2))
    cover_hw = np.clip(inside_hw * thing.radius * size + 0.5, 0, 1)  # of pixels on the outline
    image_hw3 += cover_hw[..., None] * (colour_3 * shade_hw[..., None] - image_hw3)


def _darken(image_hw3: Floats, inside_hw: Floats, pixels: float) -> None:
    """A shadow; `pixels` is how many there are to one unit of depth."""
    image_hw3 *= (1 - 0.42 * np.clip(inside_hw * pixels + 0.5, 0, 1))[..., None]
