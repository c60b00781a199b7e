"""Synthetic colonoscopy scenes: a lobed polyp on folded mucosa, its outline known at any size.

A box around a polyp nearly solves a round one, so these are lobed, some with a thin tongue; other
bumps lie within the box. Colour tells next to nothing: the polyp's texture is finer than the
mucosa's, its middle is a little brighter and its rim a little darker.

Shape suffixes: H W image, K harmonics, 3 RGB in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.data.scenes.liver_geometry import smooth_noise

VERSION = 1
"""Raised when the same seed draws another picture."""
HARMONICS = np.arange(2, 7)
DomainName = Literal["a", "b"]
Floats = NDArray[np.float32]
Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """From which ranges mucosa, polyps and cameras are drawn."""

    red: Range
    """Of the mucosa's mean colour, in [0, 1]."""
    green: Range
    """As a share of red."""
    blue: Range
    grain: tuple[int, int]
    """Cells of the mucosa's texture across the image; the polyp's are about three times as many."""
    contrast: Range
    """Of either texture."""
    highlights: tuple[int, int]
    """How many there are on an image."""
    blur: float
    """Standard deviation of the lens' blur as a share of the image."""
    noise: float
    """Standard deviation of the sensor's noise, in [0, 1]."""


DOMAINS: Mapping[DomainName, Domain] = {
    "a": Domain(
        red=(0.6, 0.78),
        green=(0.5, 0.64),
        blue=(0.38, 0.52),
        grain=(10, 16),
        contrast=(0.09, 0.14),
        highlights=(2, 6),
        blur=0.001,
        noise=0.012,
    ),
    "b": Domain(
        red=(0.62, 0.8),
        green=(0.64, 0.8),
        blue=(0.5, 0.68),
        grain=(7, 12),
        contrast=(0.06, 0.1),
        highlights=(5, 12),
        blur=0.003,
        noise=0.025,
    ),
}
"""`a`: red mucosa, sharp camera. `b`: pale, wetter mucosa under a soft and noisy camera."""


@dataclass(frozen=True)
class Outline:
    """A closed curve: a radius with harmonics, and perhaps a tapering tongue."""

    middle: tuple[float, float]
    """(x, y) as shares of the image."""
    radius: float
    amplitudes_K: Floats
    phases_K: Floats
    tongue: tuple[float, float, float] | None
    """Its direction, length and width at the root, where there is one."""

    def depth(self, x_HW: Floats, y_HW: Floats) -> Floats:
        """How far inside each point lies, as a share of the radius; negative outside."""
        dx, dy = x_HW - self.middle[0], y_HW - self.middle[1]
        waves: Floats | int = 0
        if self.amplitudes_K.any():  # else it is round
            angle = np.arctan2(dy, dx)
            waves = sum(
                a * np.cos(k * angle + p)
                for k, a, p in zip(HARMONICS, self.amplitudes_K, self.phases_K, strict=True)
            )
        inside = 1 + waves - np.hypot(dx, dy) / self.radius
        if self.tongue is not None:
            towards, length, width = self.tongue
            along = dx * np.cos(towards) + dy * np.sin(towards)
            across = np.abs(-dx * np.sin(towards) + dy * np.cos(towards))
            left = np.clip(1 - along / length, 0, 1)  # of its width
            tongue = np.where((along > 0) & (left > 0), width * (0.4 + 0.6 * left) - across, -1)
            inside = np.maximum(inside, tongue / self.radius)
        return np.asarray(inside, np.float32)


@dataclass(frozen=True)
class Patient:
    """Mucosa, polyp and camera that all images of a patient share."""

    domain: Domain
    mucosa_3: Floats
    tint_3: Floats
    """By how much the polyp's colour differs."""
    grain: int
    fineness: float
    """Cells of the polyp's texture for one of the mucosa's."""
    contrast: float
    amplitudes_K: Floats
    phases_K: Floats
    has_tongue: bool


def draw_patient(rng: np.random.Generator, domain: Domain = DOMAINS["a"]) -> Patient:
    """A patient of a domain at random."""
    red = rng.uniform(*domain.red)
    colour = [red, red * rng.uniform(*domain.green), red * rng.uniform(*domain.blue)]
    return Patient(
        domain=domain,
        mucosa_3=np.array(colour, np.float32),
        tint_3=rng.uniform(-0.03, 0.03, 3).astype(np.float32),
        grain=int(rng.integers(*domain.grain)),
        fineness=rng.uniform(2.4, 3.6),
        contrast=rng.uniform(*domain.contrast),
        amplitudes_K=(rng.normal(0, 0.2, len(HARMONICS)) / HARMONICS**0.6).astype(np.float32),
        phases_K=rng.uniform(0, 2 * np.pi, len(HARMONICS)).astype(np.float32),
        has_tongue=bool(rng.uniform() < 0.5),
    )


def render(
    patient: Patient, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image of a patient, (size, size, 3), and where its polyp is."""
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    x_HW, y_HW = np.meshgrid(middles, middles)
    outline = _seen(patient, rng)
    inside_HW = outline.depth(x_HW, y_HW)
    mask_HW = inside_HW > 0
    image: Floats = np.broadcast_to(patient.mucosa_3, (size, size, 3)).copy()
    coarse = smooth_noise(rng, size, patient.grain)
    fine = smooth_noise(rng, size, round(patient.grain * patient.fineness))
    image *= 1 + patient.contrast * np.where(mask_HW, fine, coarse)[..., None]
    image += mask_HW[..., None] * patient.tint_3
    relief = _folds(rng, x_HW, y_HW)
    for bump in _bumps(outline, rng):
        relief += 0.6 * _relief(bump.depth(x_HW, y_HW))
    relief = np.where(mask_HW, 1.0, relief) * _relief_of(inside_HW)
    image *= (relief * _light(rng, x_HW, y_HW))[..., None]
    _shine(patient.domain, rng, image)
    sigma = patient.domain.blur * size
    if sigma > 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    image += rng.normal(0, patient.domain.noise, image.shape)
    return (255 * np.clip(image, 0, 1)).round().astype(np.uint8), mask_HW


def _seen(patient: Patient, rng: np.random.Generator) -> Outline:
    """The patient's polyp from where the camera is now."""
    turn, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.11, 0.24)
    tongue = None
    if patient.has_tongue:
        tongue = (turn, radius * rng.uniform(1.6, 2.2), radius * rng.uniform(0.16, 0.26))
    return Outline(
        middle=(rng.uniform(0.32, 0.68), rng.uniform(0.32, 0.68)),
        radius=radius,
        amplitudes_K=patient.amplitudes_K * np.float32(rng.uniform(0.8, 1.2)),
        phases_K=(patient.phases_K - HARMONICS * turn).astype(np.float32),
        tongue=tongue,
    )


def _bumps(outline: Outline, rng: np.random.Generator) -> list[Outline]:
    """Round bumps of the mucosa at the polyp's side, within its box or near."""
    still = np.zeros(len(HARMONICS), np.float32)
    found = []
    for _ in range(int(rng.integers(2, 5))):
        angle, reach = rng.uniform(0, 2 * np.pi), outline.radius * rng.uniform(1.05, 1.7)
        x = outline.middle[0] + reach * np.cos(angle)
        y = outline.middle[1] + reach * np.sin(angle)
        radius = outline.radius * rng.uniform(0.25, 0.5)
        found.append(Outline((float(x), float(y)), float(radius), still, still, None))
    return found


def _relief_of(inside_HW: Floats) -> Floats:
    """Shading of a dome: brighter in the middle, a dark rim just within its edge and a shadow."""
    dome = 1 + 0.12 * np.clip(inside_HW, 0, 1)
    rim = 0.12 * np.exp(-((inside_HW / 0.07) ** 2))
    return np.asarray(dome - rim, np.float32)


def _relief(inside_HW: Floats) -> Floats:
    """What a bump adds to the relief around it."""
    return _relief_of(inside_HW) - 1


def _folds(rng: np.random.Generator, x_HW: Floats, y_HW: Floats) -> Floats:
    """Dark grooves of the colon's folds."""
    relief = np.ones_like(x_HW)
    for _ in range(int(rng.integers(1, 4))):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.35, 0.35)
        along = (x_HW - 0.5) * np.cos(angle) + (y_HW - 0.5) * np.sin(angle)
        across = -(x_HW - 0.5) * np.sin(angle) + (y_HW - 0.5) * np.cos(angle)
        bent = across - offset - rng.uniform(0.3, 1.2) * (along - rng.uniform(-0.2, 0.2)) ** 2
        relief -= 0.2 * np.exp(-((bent / rng.uniform(0.015, 0.04)) ** 2))
    return relief


def _light(rng: np.random.Generator, x_HW: Floats, y_HW: Floats) -> Floats:
    """A lamp beside the camera, and the dark lumen far away."""
    lamp, lumen = rng.uniform(0.3, 0.7, 2), rng.uniform(0, 1, 2)
    spot = np.exp(-((x_HW - lamp[0]) ** 2 + (y_HW - lamp[1]) ** 2) / 0.6)
    away = np.exp(-((x_HW - lumen[0]) ** 2 + (y_HW - lumen[1]) ** 2) / 0.02)
    return np.asarray((0.45 + 0.65 * spot) * (1 - 0.4 * away), np.float32)


def _shine(domain: Domain, rng: np.random.Generator, image: NDArray[np.float32]) -> None:
    """Highlights of wet mucosa."""
    size = len(image)
    for _ in range(int(rng.integers(*domain.highlights))):
        spot = np.zeros((size, size), np.float32)
        middle = tuple(int(v) for v in rng.integers(size // 8, 7 * size // 8, 2))
        axes = tuple(int(v) for v in rng.integers(max(1, size // 160), max(3, size // 40), 2))
        cv2.ellipse(spot, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        image += 0.7 * cv2.GaussianBlur(spot, (0, 0), max(0.5, size / 400))[..., None]
