"""The shapes of a synthetic laparoscopic scene: curves, depth and landmark lines.

A scene lives in a plane (u, v), v down, about the unit square; a camera maps it to pixels. From top
to bottom lie the abdominal wall, the liver between its silhouette and its ridge, the liver's
underside and, behind all, other organs.

Shape suffixes: H W image, N points of a line, P points of a curve.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.data.labelme import Polyline

Field = NDArray[np.float32]
GRID_P = np.linspace(-0.8, 1.8, 256)
"""Where curves are tabulated; cameras never look beyond."""


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Noise of about `cells` bumps across the image: mean 0, standard deviation about 1."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return (fine * 1.3).astype(np.float32)


@dataclass(frozen=True)
class Anatomy:
    """What all frames of a patient share."""

    dome: float
    """Curvature of the silhouette."""
    apex: float
    """u of its highest point."""
    thickness: float
    """v from silhouette to ridge at the apex."""
    waves_32: NDArray[np.float64]
    """Amplitude and phase of the curves' undulation, three harmonics."""
    rise: float
    """Depth from ridge to silhouette."""
    jump: float
    """Depth from the silhouette to the wall behind it."""
    fold: float
    """Depth per v below the ridge: how sharply the liver turns under."""
    ligament: bool
    gallbladder: bool


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A patient at random."""
    amplitudes = rng.uniform(0.2, 1, 3) * np.array([0.035, 0.02, 0.01])
    return Anatomy(
        dome=rng.uniform(0.25, 0.9),
        apex=rng.uniform(0.3, 0.7),
        thickness=rng.uniform(0.34, 0.48),
        waves_32=np.stack([amplitudes, rng.uniform(0, 2 * np.pi, 3)], axis=1),
        rise=rng.uniform(0.2, 0.36),
        jump=rng.uniform(0.12, 0.26),
        fold=rng.uniform(0.9, 1.5),
        ligament=rng.uniform() < 0.85,
        gallbladder=rng.uniform() < 0.5,
    )


def undulation(waves_32: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Sum of three sines over the grid; `shift` moves their phases."""
    harmonics = 2 * np.pi * np.array([1.0, 2.1, 3.7])
    angles_3P = harmonics[:, None] * GRID_P + waves_32[:, 1:] + shift
    summed: NDArray[np.float64] = (waves_32[:, :1] * np.sin(angles_3P)).sum(0)
    return summed


@dataclass(frozen=True)
class Camera:
    """Scene to pixels: turned, enlarged, shifted."""

    size: int
    angle: float
    """Radians."""
    zoom: float
    center: tuple[float, float]
    """(u, v) at the middle of the image."""

    def grid(self) -> tuple[Field, Field]:
        """u and v of every pixel, (H, W) each."""
        axis = ((np.arange(self.size, dtype=np.float32) + 0.5) / self.size - 0.5) / self.zoom
        x, y = np.meshgrid(axis, axis)
        c, s = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u = c * x + s * y + np.float32(self.center[0])
        v = -s * x + c * y + np.float32(self.center[1])
        return u.astype(np.float32), v.astype(np.float32)

    def pixels(self, points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        """(u, v) to (x, y) in pixels."""
        d = (points_N2 - np.array(self.center)) * self.zoom
        c, s = np.cos(self.angle), np.sin(self.angle)
        xy = np.stack([c * d[:, 0] - s * d[:, 1], s * d[:, 0] + c * d[:, 1]], axis=1)
        projected: NDArray[np.float64] = (xy + 0.5) * self.size - 0.5
        return projected


@dataclass(frozen=True)
class Geometry:
    """One frame before it has colours."""

    u_HW: Field
    v_HW: Field
    top_P: NDArray[np.float64]
    """Silhouette, v over `GRID_P`."""
    bottom_P: NDArray[np.float64]
    """Ridge."""
    depth_HW: Field
    """About 0 (near) to 1 (far), without tools and sensor."""
    band_HW: Field
    """How far each pixel lies inside the ligament, 0 to 1."""
    gallbladder_HW: Field
    """The same of the gallbladder."""
    lines: tuple[Polyline, ...]
    """Whole landmarks in pixels, not yet cut where they leave the view."""


def along(curve_P: NDArray[np.float64], u_HW: Field) -> Field:
    """A curve's v above each pixel."""
    return np.interp(u_HW, GRID_P, curve_P).astype(np.float32)


def build(
    anatomy: Anatomy, rng: np.random.Generator, size: int, zoom: tuple[float, float]
) -> Geometry:
    """A frame of a patient, from a camera at random whose zoom lies between the two given."""
    camera = Camera(
        size=size,
        angle=rng.uniform(-0.4, 0.4),
        zoom=rng.uniform(*zoom),
        center=(0.5 + rng.uniform(-0.16, 0.16), 0.5 + rng.uniform(-0.24, 0.24)),
    )
    u, v = camera.grid()
    wave = undulation(anatomy.waves_32, rng.uniform(-0.5, 0.5))
    bottom = 0.7 + 0.12 * (GRID_P - 0.5) * rng.uniform(-1, 1) + wave
    top = bottom - anatomy.thickness + anatomy.dome * (GRID_P - anatomy.apex) ** 2
    top += undulation(anatomy.waves_32 * [0.6, 1], 2 + rng.uniform(-0.5, 0.5))
    top = np.minimum(top, bottom - 0.2)

    top_HW, bottom_HW = along(top, u), along(bottom, u)
    band_HW, ligament_N2 = _ligament(anatomy, rng, u, v, top, bottom)
    gallbladder_HW = _gallbladder(anatomy, rng, u, v, bottom)
    depth = _depth(anatomy, rng, u, v, top_HW, bottom_HW)
    depth -= 0.012 * band_HW + 0.1 * np.sqrt(gallbladder_HW)

    lines = [
        Polyline("ridge", camera.pixels(np.stack([GRID_P, bottom], axis=1))),
        Polyline("silhouette", camera.pixels(np.stack([GRID_P, top], axis=1))),
    ]
    if ligament_N2 is not None:
        lines.append(Polyline("ligament", camera.pixels(ligament_N2)))
    return Geometry(u, v, top, bottom, depth, band_HW, gallbladder_HW, tuple(lines))


def _depth(
    anatomy: Anatomy,
    rng: np.random.Generator,
    u: Field,
    v: Field,
    top: Field,
    bottom: Field,
) -> Field:
    """Wall behind the liver, liver up to its ridge, underside falling back to other organs."""
    size = len(u)
    near = 0.3 + np.float32(rng.uniform(-0.15, 0.15)) * (u - 0.5)
    height = np.clip((bottom - v) / (bottom - top), 0, 1)
    liver = near + anatomy.rise * height**1.3 + 0.012 * smooth_noise(rng, size, 4)
    wall = near + anatomy.rise + anatomy.jump + 0.2 * np.maximum(top - v, 0)
    wall += 0.02 * smooth_noise(rng, size, 4)
    organs = near + 0.3 + 0.03 * smooth_noise(rng, size, 5)
    underside = np.minimum(near + anatomy.fold * np.maximum(v - bottom, 0), organs)
    return np.where(v < top, wall, np.where(v < bottom, liver, underside)).astype(np.float32)


def _ligament(
    anatomy: Anatomy,
    rng: np.random.Generator,
    u: Field,
    v: Field,
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
) -> tuple[Field, NDArray[np.float64] | None]:
    """A band from silhouette to ridge, and its middle line; nothing where it is not seen."""
    start, lean, bow = rng.uniform(0.3, 0.7), rng.uniform(-0.16, 0.16), rng.uniform(-0.06, 0.06)
    width = rng.uniform(0.016, 0.028)
    if not anatomy.ligament or rng.uniform() < 0.15:
        return np.zeros_like(u), None
    t = np.linspace(0, 1, 24)
    line_u = start + lean * t + bow * np.sin(np.pi * t)
    line_v = (1 - t) * np.interp(line_u, GRID_P, top) + t * np.interp(line_u, GRID_P, bottom)
    height = np.clip((v - along(top, u)) / along(bottom - top, u), -0.1, 1.1)
    middle = start + lean * height + bow * np.sin(np.pi * height)
    inside = (height > 0) & (height < 1)
    band = np.where(inside, np.clip(1.6 - np.abs(u - middle) / width, 0, 1), 0)
    return band.astype(np.float32), np.stack([line_u, line_v], axis=1)


def _gallbladder(
    anatomy: Anatomy,
    rng: np.random.Generator,
    u: Field,
    v: Field,
    bottom: NDArray[np.float64],
) -> Field:
    """A round body under the liver, which is no landmark."""
    middle, drop = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.2)
    if not anatomy.gallbladder:
        return np.zeros_like(u)
    du = (u - middle) / 0.09
    dv = (v - np.interp(middle, GRID_P, bottom) - drop) / 0.12
    under = v > along(bottom, u)
    return (np.clip(1 - du**2 - dv**2, 0, 1) * under).astype(np.float32)
