"""An abdomen as a CT sees it: thirteen organs of an atlas, each patient's moved, scaled and bent.

Places are shares of the body: x from the patient's right (-1) to the left (1), y from the front
(-1) to the back (1), z from the lowest slice (0) to the highest (1).

Shape suffixes: S slices from the feet up, H W rows and columns of a slice.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

VERSION = 1
"""Raised when the same seed draws another volume."""

DomainName = Literal["a", "b"]
Triple = tuple[float, float, float]
Array = NDArray[np.float32]

WIDTH_MM, HEIGHT_MM, LENGTH_MM = 380.0, 380.0, 240.0
"""Of the field of view, and from the lowest slice to the highest."""
BODY = (0.88, 0.66)
"""Half axes of the body, as shares of the field of view's."""
AIR, FAT, MUSCLE, BONE = -1000.0, -95.0, 52.0, 330.0
"""Hounsfield units."""


@dataclass(frozen=True)
class Organ:
    """An ellipsoid of the atlas."""

    name: str
    centre: Triple
    radii: Triple
    plain: float
    """Hounsfield units without a contrast agent."""
    enhanced: float
    """With one, in the portal venous phase."""


ATLAS = (
    Organ("liver", (-0.42, -0.10, 0.66), (0.40, 0.44, 0.28), 58, 112),
    Organ("stomach", (0.30, -0.28, 0.72), (0.24, 0.26, 0.18), 22, 30),
    Organ("spleen", (0.54, 0.22, 0.70), (0.15, 0.24, 0.18), 48, 122),
    Organ("right_kidney", (-0.34, 0.34, 0.36), (0.12, 0.15, 0.20), 32, 178),
    Organ("left_kidney", (0.36, 0.34, 0.44), (0.12, 0.15, 0.20), 32, 178),
    Organ("pancreas", (0.10, 0.02, 0.46), (0.30, 0.09, 0.08), 42, 92),
    Organ("gallbladder", (-0.30, -0.34, 0.48), (0.09, 0.11, 0.10), 8, 10),
    Organ("portal_splenic_vein", (-0.02, 0.10, 0.56), (0.26, 0.055, 0.06), 42, 160),
    Organ("inferior_vena_cava", (-0.11, 0.34, 0.50), (0.065, 0.06, 0.75), 40, 140),
    Organ("aorta", (0.06, 0.40, 0.45), (0.06, 0.06, 0.70), 42, 165),
    Organ("esophagus", (0.10, 0.24, 0.92), (0.055, 0.055, 0.16), 34, 48),
    Organ("right_adrenal", (-0.22, 0.36, 0.60), (0.05, 0.09, 0.06), 28, 72),
    Organ("left_adrenal", (0.24, 0.36, 0.62), (0.05, 0.09, 0.06), 28, 72),
)
"""Drawn in this order, each over those before."""
LOOPS = 14
"""Of bowel: soft tissue that is no organ of the atlas, and lies between those that are."""


@dataclass(frozen=True)
class Domain:
    """A scanner and a protocol."""

    contrast: float
    """How much of the contrast agent is there, 0 to 1."""
    noise: float
    """Standard deviation, Hounsfield units."""
    blur: float
    """Of the reconstruction, pixels of 128 across."""


DOMAINS: dict[DomainName, Domain] = {
    "a": Domain(contrast=1.0, noise=14.0, blur=0.5),
    "b": Domain(contrast=0.45, noise=26.0, blur=1.0),
}


@dataclass(frozen=True, eq=False)
class Scan:
    """One patient's volume."""

    units_SHW: NDArray[np.int16]
    """Hounsfield units."""
    labels_SHW: NDArray[np.uint8]
    """Place of the organ in a list of names, from 1."""


def render(
    rng: np.random.Generator, names: tuple[str, ...], slices: int, size: int, domain: Domain
) -> Scan:
    """A patient of the domain.

    Args:
        rng: all that is random comes from it.
        names: of the organs, in the order of their labels.
        slices: from the feet up.
        size: of a slice, pixels.
        domain: what scans the patient.
    """
    z, y, x = _grid(slices, size)
    bends = _bends(rng)
    stout = rng.uniform(0.92, 1.06, 2)
    body = np.hypot(x / (BODY[0] * stout[0]), y / (BODY[1] * stout[1]))
    inner = body + 0.02 * _waves(bends[0], x, y, z)
    units = np.full(x.shape, AIR, np.float32)
    units[body < 1] = FAT
    units[(inner < 0.92) & (inner > 0.80)] = MUSCLE
    units[inner < 0.80] = FAT + 40
    spine = np.hypot(x / 0.13, (y - 0.47) / 0.13)
    units[(spine < 1.5) & (inner < 0.95)] = MUSCLE
    units[spine < 0.9] = BONE
    labels = np.zeros(x.shape, np.uint8)
    moved = rng.normal(0, 0.025, 3)
    room = inner < 0.84
    for bend in bends[1 : LOOPS + 1]:
        inside = _inside(_loop(rng), x, y, z, moved, bend, rng) & room & (spine > 1.5)
        units[inside] = rng.uniform(0, 70)
    for organ, bend in zip(ATLAS, bends[LOOPS + 1 :], strict=True):
        inside = _inside(organ, x, y, z, moved, bend, rng) & room
        level = organ.plain + domain.contrast * (organ.enhanced - organ.plain)
        units[inside] = level + rng.normal(0, 5)
        labels[inside] = names.index(organ.name) + 1
    units += 6 * _waves(bends[0], 3 * x, 3 * y, 3 * z)
    return Scan(_scanned(units, rng, domain), labels)


def _grid(slices: int, size: int) -> tuple[Array, Array, Array]:
    z = ((np.arange(slices) + 0.5) / slices).astype(np.float32)
    side = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    z_S11, y_1H1, x_11W = z[:, None, None], side[None, :, None], side[None, None, :]
    shape = (slices, size, size)
    # Columns run from the patient's right to the left, rows from front to back: as x and y do.
    return (np.broadcast_to(a, shape).astype(np.float32) for a in (z_S11, y_1H1, x_11W))  # type: ignore[return-value]


def _bends(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Wave vectors and phases of the body's surface, and of each loop's and organ's."""
    return [
        np.column_stack([rng.normal(0, (7, 7, 5), (5, 3)), rng.uniform(0, 2 * np.pi, 5)])
        for _ in range(1 + LOOPS + len(ATLAS))
    ]


def _waves(bend: NDArray[np.float64], x: Array, y: Array, z: Array) -> Array:
    """A smooth field of about unit size."""
    waves = [np.cos(kx * x + ky * y + kz * z + phase) for kx, ky, kz, phase in bend]
    field: Array = (np.sum(waves, axis=0) / np.sqrt(len(bend) / 2)).astype(np.float32)
    return field


def _inside(
    organ: Organ,
    x: Array,
    y: Array,
    z: Array,
    moved: NDArray[np.float64],
    bend: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Where a patient's organ is."""
    centre = np.array(organ.centre) + moved + rng.normal(0, 0.02, 3)
    radii = np.array(organ.radii) * rng.uniform(0.85, 1.15, 3)
    turn = rng.normal(0, 0.15)
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    along = np.cos(turn) * dx + np.sin(turn) * dy
    across = np.cos(turn) * dy - np.sin(turn) * dx
    far = np.sqrt((along / radii[0]) ** 2 + (across / radii[1]) ** 2 + (dz / radii[2]) ** 2)
    inside: NDArray[np.bool_] = far < 1.4
    near = inside.copy()  # waves are slow to compute, and matter at the surface alone
    inside[near] = far[near] < 1 + 0.09 * _waves(bend, x[near], y[near], z[near])
    return inside


def _loop(rng: np.random.Generator) -> Organ:
    """A piece of bowel: in the front, or low."""
    centre = (rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.15), rng.uniform(0, 0.62))
    radii = (rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.14), rng.uniform(0.06, 0.16))
    return Organ("bowel", centre, radii, 0, 0)


def _scanned(units_SHW: Array, rng: np.random.Generator, domain: Domain) -> NDArray[np.int16]:
    """What the scanner makes of a body: blurred slices and grains of noise."""
    scale = units_SHW.shape[-1] / 128
    blurred = gaussian_filter(units_SHW, (0, domain.blur * scale, domain.blur * scale))
    grains = gaussian_filter(rng.normal(0, 1, units_SHW.shape), (0, 0.7, 0.7))
    noisy = blurred + domain.noise * grains / grains.std()
    units: NDArray[np.int16] = np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
    return units
