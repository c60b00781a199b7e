"""Synthetic laparoscopic scenes: what the camera and a monocular depth estimate would show.

Colour alone leaves ridge and silhouette open: every scene has further curves of the same look
(borders of fat, blood or shadow), and the true ones are often faint. Depth shows the step at the
silhouette and the crease at the ridge, and next to nothing of the ligament, which colour shows.

Shape suffixes: H W image, N points of a line, P points of a curve, 3 RGB in [0, 1].
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.data.labelme import Polyline
from segcore.data.scenes.liver_domain import DOMAINS, Domain
from segcore.data.scenes.liver_geometry import (
    GRID_P,
    Anatomy,
    Field,
    Geometry,
    along,
    build,
    draw_anatomy,
    smooth_noise,
    undulation,
)

VERSION = 2
"""Raised when the same seed draws another picture."""


@dataclass(frozen=True)
class Patient:
    """Anatomy, tissue and camera that all frames of a patient share."""

    domain: Domain
    anatomy: Anatomy
    tissue_3: NDArray[np.float32]
    """Mean colour of liver and of what surrounds it."""
    contrast: NDArray[np.float32]
    """By how much the liver is redder and darker than its surroundings, per channel."""
    grain: int
    """Cells of the texture across the image."""
    roughness: float
    """Contrast of the texture."""
    scope: float
    """Radius of the endoscope's view as a share of the image."""


@dataclass(frozen=True)
class Scene:
    """One rendered frame."""

    image_HW3: NDArray[np.uint8]
    """RGB."""
    depth_HW: NDArray[np.uint8]
    """Relative, larger is farther."""
    lines: tuple[Polyline, ...]
    """Landmarks where they are in view and not behind a tool."""


def draw_patient(rng: np.random.Generator, domain: Domain = DOMAINS["a"]) -> Patient:
    """A patient of a domain at random."""
    red = rng.uniform(*domain.red)
    return Patient(
        domain=domain,
        anatomy=draw_anatomy(rng),
        tissue_3=np.array(
            [red, red * rng.uniform(*domain.green), red * rng.uniform(*domain.blue)], "f4"
        ),
        contrast=(rng.uniform(0.1, 1.0) * np.array([-0.08, -0.22, -0.2])).astype("f4"),
        grain=int(rng.integers(*domain.grain)),
        roughness=rng.uniform(*domain.roughness),
        scope=rng.uniform(*domain.scope),
    )


def render(patient: Patient, rng: np.random.Generator, size: int) -> Scene:
    """A frame of a patient, (size, size)."""
    geometry = build(patient.anatomy, rng, size, patient.domain.zoom)
    light = _light(patient.domain, rng, geometry)
    image = _tissue(patient, rng, geometry) * light[..., None]
    _stain(rng, image)
    _shine(patient.domain, rng, image, light)
    depth = geometry.depth_HW.copy()
    tool_HW = np.zeros((size, size), np.uint8)
    for _ in range(rng.choice([0, 1, 2], p=[0.35, 0.45, 0.2])):
        _tool(rng, image, depth, tool_HW)
    _smoke(rng, image)
    view_HW = _view(patient, rng, image)
    visible = (view_HW > 0.5) & (tool_HW == 0)
    lines = [part for line in geometry.lines for part in visible_parts(line, visible)]
    return Scene(
        _developed(patient.domain, rng, image), _estimated(rng, depth, image, view_HW), tuple(lines)
    )


def visible_parts(line: Polyline, visible_HW: NDArray[np.bool_]) -> list[Polyline]:
    """The stretches of a line that are seen; bits shorter than 4 % of the image are dropped."""
    height, width = visible_HW.shape
    steps = np.hypot(*np.diff(line.points_N2, axis=0).T)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.arange(0, length[-1], 2.0)
    dense_N2 = np.stack([np.interp(at, length, c) for c in line.points_N2.T], axis=1)
    x, y = np.rint(dense_N2).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    seen = np.zeros(len(at), bool)
    seen[inside] = visible_HW[y[inside], x[inside]]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [
        # Every third point and the last one: about as dense as a person clicks.
        Polyline(line.label, dense_N2[np.unique([*range(a, b, 3), b - 1])])
        for a, b in runs
        if 2 * (b - a) > 0.04 * height
    ]


def _light(domain: Domain, rng: np.random.Generator, geometry: Geometry) -> Field:
    """Illumination: a lamp at the endoscope that fades sideways, and shadows that follow nothing.

    Distance dims a little, so that the step at the silhouette has a faint shade."""
    size = len(geometry.depth_HW)
    x, y = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 2)
    lamp = rng.uniform(-domain.lamp, domain.lamp, 2).astype(np.float32)
    spot = np.exp(-((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2) / domain.spot)
    shade = 0.1 * smooth_noise(rng, size, 3) + 0.05 * smooth_noise(rng, size, 8)
    fade = 1.08 - 0.2 * geometry.depth_HW
    light: Field = np.clip(
        (domain.ambient + (1.2 - domain.ambient) * spot) * fade * (1 + shade), 0.1, 1.6
    ).astype("f4")
    return light


def _tissue(patient: Patient, rng: np.random.Generator, geometry: Geometry) -> Field:
    """Albedo: layers between curves, true and false, of tissue that differs little and at random;
    only between the true ones comes the liver's own contrast on top."""
    size = len(geometry.depth_HW)
    gap = geometry.bottom_P - geometry.top_P
    false = [_false_curve(rng, geometry.top_P, -rng.uniform(0.1, 0.3)) for _ in range(2)]
    false += [
        _false_curve(rng, geometry.top_P + gap * rng.uniform(0.25, 0.75), 0.0)
        for _ in range(rng.integers(0, 2))
    ]
    false += [_false_curve(rng, geometry.bottom_P, rng.uniform(0.1, 0.28)) for _ in range(2)]
    # The liver differs from what is around it by as much as patients and frames differ.
    liver = patient.contrast * rng.uniform(0.2, 1.2) * patient.tissue_3
    borders = [
        (geometry.top_P, liver + 0.5 * _shade(patient, rng), rng.uniform(0.08, 0.32)),
        (geometry.bottom_P, -liver + 0.5 * _shade(patient, rng), rng.uniform(0.08, 0.32)),
    ]
    borders += [(c, 0.8 * _shade(patient, rng), rng.uniform(0, 0.27)) for c in false]
    albedo = np.broadcast_to(patient.tissue_3 - 0.3 * liver, (size, size, 3)).astype(np.float32)
    for curve_P, step, rim_strength in borders:
        below = geometry.v_HW - along(curve_P, geometry.u_HW)
        edge = np.clip(below * size / 3 + 0.5, 0, 1)[..., None]
        # Any border may have a bright rim above and a dark one below, as folded tissue has.
        rim = rim_strength * np.where(below < 0, 1, -0.8)
        rim = rim * np.exp(-np.abs(below) / rng.uniform(0.012, 0.03))
        albedo = (albedo + edge * step) * (1 + rim[..., None])
    texture = smooth_noise(rng, size, patient.grain) + smooth_noise(rng, size, 2 * patient.grain)
    albedo = albedo * (1 + patient.roughness * texture[..., None])
    yellow = patient.tissue_3 * np.array([0.75, 1.1, 0.6], "f4")
    albedo += (0.7 * np.sqrt(geometry.gallbladder_HW))[..., None] * (yellow - albedo)
    pale = patient.tissue_3 * 0.35 + np.array([0.52, 0.46, 0.38], "f4")
    albedo += (rng.uniform(0.65, 0.95) * geometry.band_HW)[..., None] * (pale - albedo)
    for _ in range(rng.integers(0, 3)):
        streak = _streak(rng, geometry)
        albedo += (rng.uniform(0.4, 0.8) * streak)[..., None] * (pale - albedo)
    return albedo.astype(np.float32)


def _shade(patient: Patient, rng: np.random.Generator) -> NDArray[np.float32]:
    """How the tissue beyond a border differs in colour."""
    shift = rng.normal(0, 0.09) + rng.normal(0, 0.04, 3)
    return (patient.tissue_3 * shift * [1, 1.6, 1.6]).astype(np.float32)


def _false_curve(
    rng: np.random.Generator, like: NDArray[np.float64], offset: float
) -> NDArray[np.float64]:
    """A curve shaped like a landmark, moved by `offset`, with undulations of its own."""
    waves_32 = np.stack(
        [rng.uniform(0.2, 1, 3) * [0.03, 0.015, 0.008], rng.uniform(0, 2 * np.pi, 3)], axis=1
    )
    tilt = rng.uniform(-0.12, 0.12) * (GRID_P - 0.5)
    return like + offset + tilt + undulation(waves_32, 0)


def _streak(rng: np.random.Generator, geometry: Geometry) -> Field:
    """A pale strip of fat outside the liver's surface, as wide as a ligament."""
    angle, reach = rng.uniform(0, np.pi), rng.uniform(0.08, 0.2)
    base = geometry.top_P - 0.15 if rng.uniform() < 0.5 else geometry.bottom_P + 0.15
    u0 = rng.uniform(0.2, 0.8)
    du, dv = geometry.u_HW - u0, geometry.v_HW - np.interp(u0, GRID_P, base)
    length = du * np.cos(angle) + dv * np.sin(angle)
    across = dv * np.cos(angle) - du * np.sin(angle) + 0.3 * length**2
    strip = np.clip(1.6 - np.abs(across) / rng.uniform(0.012, 0.022), 0, 1)
    ended: Field = (strip * (np.abs(length) < reach)).astype(np.float32)
    return ended


def _stain(rng: np.random.Generator, image: Field) -> None:
    """Blood: dark red pools anywhere."""
    if rng.uniform() < 0.5:
        size = len(image)
        pool = np.clip(3 * (smooth_noise(rng, size, 4) - rng.uniform(1.4, 2.2)), 0, 0.75)
        image += pool[..., None] * (np.array([0.34, 0.03, 0.03], "f4") - image)


def _shine(domain: Domain, rng: np.random.Generator, image: Field, light: Field) -> None:
    """Highlights on wet tissue where the lamp is strong."""
    size = len(image)
    wet = smooth_noise(rng, size, 14) + 0.6 * smooth_noise(rng, size, 40) + 1.2 * (light - 1)
    dry = rng.uniform(2.3, 3) - domain.gloss
    image += np.clip(1.5 * (wet - dry), 0, 0.85)[..., None]


def _tool(rng: np.random.Generator, image: Field, depth: Field, tool_HW: NDArray[np.uint8]) -> None:
    """A metal shaft from the border towards the middle, nearer than all tissue."""
    size = len(image)
    bearing = rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(bearing), np.sin(bearing)])
    tip = size * (0.5 + out * rng.uniform(0.12, 0.32) + rng.uniform(-0.08, 0.08, 2))
    tail = tip + 1.2 * size * (out + rng.uniform(-0.2, 0.2, 2))
    along_, side = tail - tip, np.array([-(tail - tip)[1], (tail - tip)[0]])
    side = side / np.hypot(*side)
    half = size * rng.uniform(0.025, 0.045)
    nose = tip - along_ / np.hypot(*along_) * 2.2 * half
    corners = [tip + side * half, nose + side * half * 0.25, nose - side * half * 0.25]
    corners += [tip - side * half, tail - side * half, tail + side * half]
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    ys, xs = np.nonzero(mask)
    across = ((xs - tip[0]) * side[0] + (ys - tip[1]) * side[1]) / half
    gleam = 0.22 + 0.5 * np.exp(-((across - rng.uniform(-0.4, 0.4)) ** 2) / 0.08)
    image[ys, xs] = gleam[:, None] * np.array([0.92, 0.96, 1.0])
    depth[ys, xs] = rng.uniform(0.05, 0.15) + 0.04 * across**2
    tool_HW |= mask


def _smoke(rng: np.random.Generator, image: Field) -> None:
    if rng.uniform() < 0.35:
        size = len(image)
        cloud = np.clip(0.22 + 0.14 * smooth_noise(rng, size, 3), 0, 0.5) * rng.uniform(0.4, 1)
        image += cloud[..., None] * (np.float32(0.72) - image)


def _view(patient: Patient, rng: np.random.Generator, image: Field) -> Field:
    """Darken towards and beyond the endoscope's round edge; returns what is left of the view."""
    size = len(image)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    shift = rng.uniform(-0.03, 0.03, 2).astype(np.float32)
    radius = np.hypot(axis[None] - shift[0], axis[:, None] - shift[1]) / patient.scope
    view: Field = np.clip((1 - radius) * 40, 0, 1).astype(np.float32)
    image *= (view * (1 - 0.35 * radius**4))[..., None]
    return view


def _developed(domain: Domain, rng: np.random.Generator, image: Field) -> NDArray[np.uint8]:
    """Lens, exposure, white balance, tone curve and sensor noise."""
    if domain.blur:
        image = cv2.GaussianBlur(image, (0, 0), domain.blur * len(image)).astype(np.float32)
    gains = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3) * domain.white
    noise = rng.normal(0, domain.noise, image.shape)
    exposed = image * gains
    exposed = np.copysign(np.abs(exposed) ** domain.gamma, exposed)
    return np.clip(255 * (exposed + noise), 0, 255).astype(np.uint8)


def _estimated(
    rng: np.random.Generator, depth: Field, image: Field, view_HW: Field
) -> NDArray[np.uint8]:
    """Depth as a network would guess it: soft, bent, a little noisy, in a range of its own."""
    size = len(depth)
    sharp = cv2.GaussianBlur(depth, (0, 0), 0.008 * size)
    # In places the estimate misses an edge altogether.
    missed = np.clip(1.5 * (smooth_noise(rng, size, 4) - 0.7), 0, 1)
    soft = sharp + missed * (cv2.GaussianBlur(depth, (0, 0), 0.05 * size) - sharp)
    # Like real estimators it takes some shading for shape.
    grey = cv2.GaussianBlur(image.mean(axis=2), (0, 0), 0.01 * size)
    soft = soft - rng.uniform(0, 0.12) * grey
    soft = soft + 0.025 * smooth_noise(rng, size, 3) + 0.006 * smooth_noise(rng, size, 30)
    low, high = np.quantile(soft[::4, ::4], [0.02, 0.98])
    # A nearly flat view is not stretched: that would show noise alone.
    unit = np.clip(0.05 + 0.9 * (soft - low) / max(high - low, 0.3), 0, 1)
    estimate: NDArray[np.uint8] = (255 * unit * view_HW).astype(np.uint8)
    return estimate
