"""What every metric offers: how a value is computed, of what, and how a set's values are reduced.

Shape suffixes: H W image, S slices, K classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segcore.metrics.lines import centreline
from segcore.metrics.overlap import Mask, Overlap
from segcore.metrics.saliency import Reading, Saliency
from segcore.metrics.surface import SurfaceDistances, surface_distances, without_surface

Direction = Literal["maximize", "minimize"]
Needs = Literal["labels", "probabilities", "uncertainty"]
Scope = Literal["image", "case"]
Classes = Literal["each", "pooled", "stacked"]
Value = float | NDArray[np.float64]
"""A number, or a curve of which a set's mean is taken before it becomes a number."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A prediction beside the truth: of one class, or of several, as the metric asks for them."""

    prediction: Mask
    """(H, W); (S, H, W) of a case; (K, H, W) where the foreground classes are stacked."""
    truth: Mask
    """In the shape of the prediction."""
    probability: NDArray[np.float32] | None = None
    """Of the class at each pixel, for metrics that need probabilities."""
    spacing_mm: tuple[float, ...] | None = None
    """Between the pixels along each axis of the masks; None where it is not known."""
    uncertainty: NDArray[np.float32] | None = None
    """How unsure the network is of each pixel, for metrics that need it, NaN where nobody knows the
    truth; None where it does not say."""
    own_size: tuple[int, int] | None = None
    """Height and width of the image that the masks are of; None where it is not known."""
    counted: Overlap | None = None
    """Pixels of both masks, where a GPU has counted them."""

    @cached_property
    def overlap(self) -> Overlap:
        """Pixels of both masks, counted once."""
        if self.counted is not None:
            return self.counted
        return Overlap.of(self.prediction, self.truth)

    @cached_property
    def surface(self) -> SurfaceDistances | None:
        """Distances between the two borders, searched for once; None where a mask is empty."""
        if not self.prediction.any() or not self.truth.any():
            return None
        return surface_distances(self.prediction, self.truth)

    @cached_property
    def surface_mm(self) -> SurfaceDistances | None:
        """The same in millimetres; None also where the spacing is not known."""
        if self.spacing_mm is None or not self.prediction.any() or not self.truth.any():
            return None
        return surface_distances(self.prediction, self.truth, spacing=self.spacing_mm)

    @cached_property
    def surface_own(self) -> SurfaceDistances | None:
        """The same in pixels of the image itself, whatever size and shape the masks have; None also
        where its size is not known."""
        if self.own_size is None or self.surface is None:
            return None
        rows, columns = np.divide(self.own_size, self.truth.shape).tolist()
        if rows == columns:  # not squashed
            return SurfaceDistances(*(rows * d_N for d_N in self.surface))
        return surface_distances(self.prediction, self.truth, spacing=(rows, columns))

    @cached_property
    def centrelines(self) -> tuple[Mask, Mask]:
        """Of the prediction and of the truth, thinned once."""
        return centreline(self.prediction), centreline(self.truth)

    @cached_property
    def as_is(self) -> Saliency:
        """The probabilities beside the truth, as they are."""
        return self._saliency("probabilities")

    @cached_property
    def stretched(self) -> Saliency:
        """The same, stretched to [0, 1] as most tables of saliency are made."""
        return self._saliency("min_max")

    def _saliency(self, reading: Reading) -> Saliency:
        assert self.probability is not None, "a metric of probabilities must say that it needs them"
        return Saliency.of(self.probability, self.truth, reading)

    @property
    def distance_if_empty(self) -> float:
        """The distance where exactly one mask is empty, the diagonal; NaN, not counted, else."""
        found = without_surface(self.prediction, self.truth)
        return float("nan") if found is None else found


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One row of the table of metrics: one protocol of one metric."""

    name: str
    """`dice`, `assd`: what several protocols of one thing share."""
    protocol: str
    """How exactly it is computed. The first protocol of a name in the table stands for it."""
    direction: Direction
    """Which values are better."""
    label: str
    """The name as it is written for a person: `Dice`."""
    about: str = ""
    """What it computes, in one sentence for a person: a report's notes have it."""
    unit: str
    """`fraction` (0 to 1), `px`, `mm`, or any other."""
    compute: Callable[[Pair], Value]
    """The value of a pair. NaN where it is not defined: the image, or case, is not counted.
    Threads call it at the same time."""
    classes: Classes = "each"
    """`each`: every foreground class, and `pooled`: all foreground as one mask. `pooled`: that one
    alone. `stacked`: the foreground classes side by side as one mask of three dimensions."""
    needs: Needs = "labels"
    scope: Scope = "image"
    """Whether an image or a case (all its slices, as a volume) has a value."""
    reduce: Callable[[Sequence[Value]], float] | None = None
    """How the values of a set become one; None: their mean. For a curve: of one image, too."""
    shown: bool = False
    """Whether a report has it wherever it was scored, not only where it is an objective."""
    only_at_test: bool = False
    """Whether it takes so long that val is not scored with it, unless it selects."""

    @property
    def key(self) -> str:
        """Its name in the table: `dice.per_image`."""
        return f"{self.name}.{self.protocol}"

    def number(self, value: Value) -> float:
        """The value of one image as a number."""
        if not isinstance(value, np.ndarray):
            return float(value)
        assert self.reduce is not None, f"{self.key} gives a curve and no way to reduce it"
        return self.reduce([value])


def distance(reduce: Callable[[SurfaceDistances], float]) -> Callable[[Pair], float]:
    """A metric of the distances between two borders, in pixels."""

    def compute(pair: Pair) -> float:
        return pair.distance_if_empty if pair.surface is None else reduce(pair.surface)

    return compute


def distance_own(reduce: Callable[[SurfaceDistances], float]) -> Callable[[Pair], float]:
    """A metric of the distances between two borders, in pixels of the image itself."""

    def compute(pair: Pair) -> float:
        if pair.own_size is None:
            return float("nan")
        if pair.surface_own is not None:
            return reduce(pair.surface_own)
        return float(np.hypot(*pair.own_size)) if np.isfinite(pair.distance_if_empty) else math.nan

    return compute
