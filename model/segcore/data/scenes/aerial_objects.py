"""Objects of the aerial scenes: their outlines, known at any size, and their textures.

Shape suffixes: H W image or a part of it, K harmonics, 3 RGB in [0, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HARMONICS = np.arange(2, 6)
"""Of a pond's outline."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Texture:
    """Parallel stripes."""

    period: float
    """As a share of the image."""
    angle: float
    phase: float
    contrast: float

    def at(self, x_HW: Floats, y_HW: Floats) -> Floats:
        """By how much each point is lighter or darker, as a share."""
        along = x_HW * np.cos(self.angle) + y_HW * np.sin(self.angle)
        wave = np.sin(2 * np.pi * along / self.period + self.phase)
        return np.asarray(self.contrast * np.tanh(1.6 * wave), np.float32)


@dataclass(frozen=True)
class Thing:
    """An object: its outline, and how it looks."""

    kind: str
    middle: tuple[float, float]
    """(x, y) as shares of the image."""
    radius: float
    turn: float
    amplitudes_K: Floats
    phases_K: Floats
    texture: Texture
    tint_3: Floats
    """By how much its colour differs from the field's."""

    def depth(self, x_HW: Floats, y_HW: Floats) -> Floats:
        """How far inside each point lies, as a share of the radius; negative outside."""
        dx, dy = (x_HW - self.middle[0]) / self.radius, (y_HW - self.middle[1]) / self.radius
        u = dx * np.cos(self.turn) + dy * np.sin(self.turn)
        v = -dx * np.sin(self.turn) + dy * np.cos(self.turn)
        return np.asarray(OUTLINES[self.kind](self, u, v), np.float32)


def _pond(thing: Thing, u: Floats, v: Floats) -> Floats:
    angle = np.arctan2(v, u)
    waves = sum(
        a * np.cos(k * angle + p)
        for k, a, p in zip(HARMONICS, thing.amplitudes_K, thing.phases_K, strict=True)
    )
    return np.asarray(0.75 * (1 + waves) - np.hypot(u, v))


def _tank(thing: Thing, u: Floats, v: Floats) -> Floats:
    return np.asarray(0.9 - np.hypot(u, v))


def _hall(thing: Thing, u: Floats, v: Floats) -> Floats:
    """Two wings at a right angle."""
    return np.maximum(_box(u + 0.1, v - 0.35, 0.85, 0.3), _box(u - 0.4, v + 0.1, 0.28, 0.72))


def _aircraft(thing: Thing, u: Floats, v: Floats) -> Floats:
    """Fuselage, swept wings and tail."""
    swept = np.asarray(u + 0.55 * np.abs(v), np.float32)
    body = _box(u, v, 0.95, 0.15)
    wings, tail = _box(swept - 0.15, v, 0.2, 0.9), _box(swept + 0.72, v, 0.13, 0.38)
    return np.maximum(np.maximum(body, wings), tail)


def _box(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    return np.minimum(half_width - np.abs(u), half_height - np.abs(v))


OUTLINES: Mapping[str, Callable[[Thing, Floats, Floats], Floats]] = {
    "pond": _pond,
    "tank": _tank,
    "hall": _hall,
    "aircraft": _aircraft,
}
"""Depth inside of each kind of object, by place in its own frame, in radii."""
