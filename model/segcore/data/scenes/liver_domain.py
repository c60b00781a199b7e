"""Where synthetic scenes come from: hospitals that differ in camera, light and tissue.

What a landmark is stays the same in every domain; what it looks like does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Range = tuple[float, float]
DomainName = Literal["a", "b"]


@dataclass(frozen=True)
class Domain:
    """From which ranges patients, cameras and lamps are drawn."""

    red: Range
    """Of the tissue's mean colour, in [0, 1]."""
    green: Range
    """As a share of red: healthy liver is low, fatty liver is yellow."""
    blue: Range
    grain: tuple[int, int]
    """Cells of the texture across the image: few are nodules, many a smooth capsule."""
    roughness: Range
    """Contrast of the texture."""
    scope: Range
    """Radius of the endoscope's view as a share of the image; no dark corners from 0.75."""
    zoom: Range
    """Of the camera; at most 2, at least 0.75, which is as far as curves reach."""
    lamp: float
    """Largest distance of the light's middle from the image's, in half image sides."""
    spot: float
    """Width of the light's spot, squared half image sides."""
    ambient: float
    """Brightness beyond the spot; that in its middle is the same in all domains."""
    gloss: float
    """How much wetter than dry tissue: more and larger highlights."""
    white: tuple[float, float, float]
    """White balance, gain of red, green and blue."""
    gamma: float
    """Exponent of the tone curve: above 1 darker shadows and steeper lights."""
    blur: float
    """Standard deviation of the lens' blur as a share of the image."""
    noise: float
    """Standard deviation of the sensor's noise, in [0, 1]."""


DOMAINS: Mapping[DomainName, Domain] = {
    "a": Domain(
        red=(0.48, 0.68),
        green=(0.4, 0.6),
        blue=(0.32, 0.5),
        grain=(18, 40),
        roughness=(0.015, 0.04),
        scope=(0.52, 0.7),
        zoom=(0.85, 1.7),
        lamp=0.4,
        spot=1.6,
        ambient=0.45,
        gloss=0.0,
        white=(1.0, 1.0, 1.0),
        gamma=1.0,
        blur=0.0,
        noise=0.012,
    ),
    "b": Domain(
        red=(0.55, 0.74),
        green=(0.58, 0.78),
        blue=(0.34, 0.5),
        grain=(8, 16),
        roughness=(0.03, 0.06),
        scope=(0.74, 0.95),
        zoom=(0.75, 1.25),
        lamp=0.9,
        spot=0.9,
        ambient=0.4,
        gloss=0.3,
        white=(0.86, 1.0, 1.22),
        gamma=1.15,
        blur=0.006,
        noise=0.03,
    ),
}
"""`a`: close views through a narrow scope, red liver, even light. `b`: wide views without a rim,
yellow nodular liver under a narrow lamp from the side, a soft, noisy and bluish camera."""
