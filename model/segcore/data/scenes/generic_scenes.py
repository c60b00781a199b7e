"""Procedural scenes for pretraining: layered lit surfaces, tools and bands, and no liver.

Layers lie strictly behind one another, near light is brighter and a near layer darkens the one
behind it, so that the order in depth shows in the image. Shape suffixes: H W image size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

REGIONS = ("background", "smooth", "speckled", "striped", "tool", "band")
"""Region classes, by what the surface is made of."""
LINES = ("boundary", "crease", "band")
"""Line masks: occluding edges, folds of a surface, thin raised bands."""

LINE_WIDTH = 4 / 128
"""Width of a line mask as a share of the image's side."""


@dataclass(frozen=True)
class Scene:
    """An image and everything that is known about it."""

    image_HW3: NDArray[np.uint8]
    depth_HW: Float
    """Relative depth in [0, 1], larger is farther."""
    regions_HW: NDArray[np.uint8]
    """Index in REGIONS."""
    lines_3HW: Mask
    """One mask for each of LINES; they may overlap."""


class Canvas:
    """A scene in the making: what is visible so far, nearest layer on top."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        # Coordinates in [-1, 1].
        axis = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        self.depth = np.full((size, size), np.inf, np.float32)
        self.bump = np.zeros((size, size), np.float32)
        self.albedo = np.zeros((size, size, 3), np.float32)
        self.regions = np.zeros((size, size), np.uint8)
        self.layer = np.full((size, size), -1, np.int16)
        self.crease = np.zeros((size, size), bool)
        self.band = np.zeros((size, size), bool)

    def noise(self, cells: int) -> Float:
        """Smooth noise in about [-1, 1], `cells` bumps across."""
        grid = self.rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
        side = self.size * (cells + 3) // cells
        big = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        top = (side - self.size) // 2
        return np.asarray(big[top : top + self.size, top : top + self.size], np.float32)

    def put(
        self, inside: Mask, depth: Float, region: str, *, crease: Mask | None, albedo: Float
    ) -> None:
        """Lay a surface over what is farther than it."""
        seen = inside & (depth < self.depth)
        bump = np.zeros_like(depth)
        if region == "speckled":
            bump = 0.012 * self.noise(int(self.rng.integers(24, 40)))
            albedo = albedo * (1 + 0.25 * self.noise(int(self.rng.integers(24, 40)))[..., None])
        elif region == "striped":
            angle = self.rng.uniform(0, np.pi)
            across = self.x * np.cos(angle) + self.y * np.sin(angle) + 0.1 * self.noise(4)
            stripes = np.sin(across * self.rng.uniform(25, 45)).astype(np.float32)
            albedo = albedo * (1 + 0.25 * stripes[..., None])
        self.depth[seen] = depth[seen]
        self.bump[seen] = bump[seen]
        self.albedo[seen] = np.broadcast_to(albedo, self.albedo.shape)[seen]
        self.regions[seen] = REGIONS.index(region)
        self.layer[seen] = self.layer.max() + 1
        self.crease[seen] = False if crease is None else crease[seen]
        self.band[seen] = False


def render(seed: int, size: int = 128) -> Scene:
    """The scene of a seed."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng, size)
    backdrop, crease = _folded(canvas, canvas.x, canvas.y, 0.85 + 0.06 * canvas.noise(3), 0.5)
    everywhere = np.ones((size, size), bool)
    canvas.put(everywhere, backdrop, "background", crease=crease, albedo=_colour(rng))
    layers = int(rng.integers(3, 7))
    # Evenly spaced levels leave a step between any two layers.
    for level in np.linspace(0.68, 0.15, layers):
        kind = rng.choice(["blob", "tool", "band"], p=[0.65, 0.15, 0.2])
        if kind == "blob":
            _blob(canvas, float(level))
        elif kind == "tool":
            _tool(canvas, float(level))
        else:
            _band(canvas)
    width = max(2, round(LINE_WIDTH * size))
    lines = np.stack([_boundary(canvas, width), canvas.crease, canvas.band])
    low, high = canvas.depth.min(), canvas.depth.max()
    depth = (canvas.depth - low) / (high - low)
    return Scene(_photograph(canvas), depth.astype(np.float32), canvas.regions, lines)


def degraded(depth_HW: Float, rng: np.random.Generator) -> tuple[Float, Float]:
    """A depth map as an estimator might give it, and the same before it was spoiled.

    Both went through one random monotone tone curve; the first is blurred and noisy as well.
    """
    toned = depth_HW ** np.float32(np.exp(rng.uniform(-0.7, 0.7)))
    spoiled = toned
    sigma = rng.uniform(0, 1.5) * depth_HW.shape[0] / 128
    if sigma > 0.3:
        spoiled = np.asarray(cv2.GaussianBlur(spoiled, (0, 0), sigma), np.float32)
    wave = rng.uniform(-1, 1, (8, 8)).astype(np.float32) * np.float32(rng.uniform(0, 0.04))
    spoiled = spoiled + cv2.resize(wave, depth_HW.shape, interpolation=cv2.INTER_CUBIC)
    spoiled = spoiled + rng.uniform(0, 0.02) * rng.standard_normal(depth_HW.shape)
    return np.clip(spoiled, 0, 1).astype(np.float32), toned


def _colour(rng: np.random.Generator) -> Float:
    """A random RGB albedo that is neither black nor garish."""
    hsv = [[[rng.uniform(0, 360), rng.uniform(0.1, 0.7), rng.uniform(0.45, 0.95)]]]
    return np.asarray(cv2.cvtColor(np.array(hsv, np.float32), cv2.COLOR_HSV2RGB)[0, 0])


def _folded(
    canvas: Canvas, u: Float, v: Float, depth: Float, chance: float
) -> tuple[Float, Mask | None]:
    """The surface with, by chance, a sharp fold along a smooth curve in (u, v), and its mask."""
    rng = canvas.rng
    if rng.uniform() > chance:
        return depth, None
    angle = rng.uniform(0, 2 * np.pi)
    across = u * np.cos(angle) + v * np.sin(angle) + 0.25 * canvas.noise(3) - rng.uniform(-0.4, 0.4)
    height = rng.choice([-1, 1]) * rng.uniform(0.06, 0.13)
    folded = depth + height * np.exp(-np.abs(across) / rng.uniform(0.15, 0.35))
    slope = np.hypot(*np.gradient(across))
    pixels = np.abs(across) / np.maximum(slope, 1e-6)
    return folded.astype(np.float32), pixels < LINE_WIDTH * canvas.size / 2


def _blob(canvas: Canvas, level: float) -> None:
    """A dome with a wavy outline and perhaps a fold."""
    rng = canvas.rng
    angle, (cx, cy) = rng.uniform(0, np.pi), rng.uniform(-0.9, 0.9, 2)
    a, b = rng.uniform(0.3, 0.8, 2)
    u = ((canvas.x - cx) * np.cos(angle) + (canvas.y - cy) * np.sin(angle)) / a
    v = ((canvas.y - cy) * np.cos(angle) - (canvas.x - cx) * np.sin(angle)) / b
    radius = u**2 + v**2 + 0.35 * canvas.noise(4)
    dome = level - rng.uniform(0.03, 0.12) * np.sqrt(np.maximum(1 - radius, 0))
    depth, crease = _folded(canvas, u, v, dome.astype(np.float32), 0.7)
    material = str(rng.choice(REGIONS[1:4]))
    canvas.put(radius < 1, depth, material, crease=crease, albedo=_colour(rng))


def _tool(canvas: Canvas, level: float) -> None:
    """A grey rod that reaches in from outside the image."""
    rng = canvas.rng
    angle, (tip_x, tip_y) = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5, 2)
    along = (canvas.x - tip_x) * np.cos(angle) + (canvas.y - tip_y) * np.sin(angle)
    across = (canvas.y - tip_y) * np.cos(angle) - (canvas.x - tip_x) * np.sin(angle)
    radius = rng.uniform(0.05, 0.12)
    inside = (along > 0) & (np.abs(across) < radius)
    round_ = np.sqrt(np.maximum(1 - (across / radius) ** 2, 0))
    depth = (level - 0.06 * round_).astype(np.float32)
    grey = np.full(3, rng.uniform(0.35, 0.8), np.float32)
    canvas.put(inside, depth, "tool", crease=None, albedo=grey)


def _band(canvas: Canvas) -> None:
    """A thin strip lying on whatever is there."""
    rng = canvas.rng
    start, bend, end = rng.uniform(-1.1, 1.1, (3, 2))
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    points = ((curve + 1) / 2 * canvas.size).round().astype(np.int32)
    strip = np.zeros((canvas.size, canvas.size), np.uint8)
    width = max(2, round(float(rng.uniform(0.7, 1.4)) * LINE_WIDTH * canvas.size))
    cv2.polylines(strip, [points], False, 1, width)
    inside = strip > 0
    canvas.put(inside, canvas.depth - 0.02, "band", crease=None, albedo=_colour(rng))
    canvas.band |= inside


def _boundary(canvas: Canvas, width: int) -> Mask:
    """Where one layer hides another that lies clearly behind it."""
    square = np.ones((3, 3), np.uint8)
    layer = canvas.layer.astype(np.float32)
    change = cv2.dilate(layer, square) != cv2.erode(layer, square)
    step = cv2.dilate(canvas.depth, square) - cv2.erode(canvas.depth, square)
    edge = (change & (step > 0.05)).astype(np.uint8)
    return np.asarray(cv2.dilate(edge, np.ones((width - 1, width - 1), np.uint8)), bool)


def _photograph(canvas: Canvas) -> NDArray[np.uint8]:
    """Light the scene from near the camera."""
    rng, size = canvas.rng, canvas.size
    relief = (canvas.depth + canvas.bump) * (size * 0.35)
    gx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=1 / 8)
    gy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=1 / 8)
    length = np.sqrt(gx**2 + gy**2 + 1)
    lx, ly = rng.uniform(-0.5, 0.5, 2)
    facing = np.maximum((gx * lx + gy * ly + 1) / (length * np.sqrt(lx**2 + ly**2 + 1)), 0)
    falloff = (0.6 / (0.3 + canvas.depth)) ** rng.uniform(0.8, 1.4)
    around = cv2.GaussianBlur(canvas.depth, (0, 0), size * 0.03)
    shadow = np.exp(-rng.uniform(3, 6) * np.maximum(canvas.depth - around, 0))
    light = (0.2 + 0.8 * facing) * falloff * shadow
    shine = rng.uniform(0, 0.5) * facing ** rng.uniform(30, 80) * falloff
    image = canvas.albedo * light[..., None] + shine[..., None]
    image = image * rng.uniform(0.7, 1.1) + rng.normal(0, rng.uniform(0, 0.03), image.shape)
    bright: NDArray[np.float64] = np.clip(image, 0, 1) ** rng.uniform(0.8, 1.2)
    return (bright * 255).astype(np.uint8)
