"""How a training is scored: metrics, resolutions, and what chooses the best epoch."""

import dataclasses
import math
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import Size
from segcore.data.dataset import DataConfig
from segcore.metrics import METRICS
from segcore.metrics.aggregate import MACRO
from segcore.metrics.images import POOLED
from segcore.metrics.metric import Direction, Metric
from segcore.registry import STRICT
from segcore.training.events import OWN_SIZE, resolution_of
from segcore.training.tta import TtaConfig

Side = Annotated[int, Field(ge=16, le=8192)]
Resolution = Literal["image"] | Side | tuple[Side, Side]
"""Of the masks compared: each image's own size, the side of a square, or height and width; pixels.
"""


def size_of(resolution: Resolution) -> Size | None:
    """A resolution as height and width; None: each image's own."""
    if isinstance(resolution, str):
        return None
    return resolution if isinstance(resolution, tuple) else (resolution, resolution)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationConfig:
    """Which scores there are, and which of them chooses the best epoch."""

    metrics: tuple[str, ...] | None = None
    """Rows of the table of metrics, such as `dice.per_image`; None: those of the data set."""
    select_on: tuple[str, str, str] = ("dice", MACRO, "per_image")
    """Metric, class and protocol that choose the best epoch on val; the first of equals. The field
    also selects on `("dice", "pooled", "stacked")`."""
    every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one evaluation on val, and one checkpoint, to the next; the last epoch always has
    one."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Evaluations in a row without a better one after which the training ends early; None: it goes
    through all its epochs."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images that are predicted at once; None: as many as `schedule.microbatch_size` says."""
    size: Literal["system", "image"] = "system"
    """Whether masks are compared at the size that the system sees, or each at its own size."""
    external: DataConfig | None = None
    """Another data set, of the same classes: its test split is scored as split `external`."""
    resolutions: tuple[Resolution, ...] = ()
    """Further sizes at which test and external are predicted and scored: a side of a square, or
    height and width, in pixels, or `image`: each at its own size and shape, where a distance is not
    that of a picture squashed to a square. The system sees its own size; only what it predicts, and
    the truth, are of this one."""
    tta: TtaConfig = dataclasses.field(default_factory=TtaConfig)
    """How often each image is seen, on every split: val chooses by what test is scored with."""

    def __post_init__(self) -> None:
        if len(set(self.sizes())) < len(self.resolutions):
            raise ValueError(f"resolutions = {self.resolutions}: each must stand once")
        named = self.metrics or ()
        if len(set(named)) < len(named):
            raise ValueError(f"metrics = {named}: each must stand once")
        faults = [key for key in named if key not in METRICS]
        if faults:
            raise ValueError(
                f"metrics: there is no {', '.join(faults)}: choose of {', '.join(METRICS)}"
            )
        if self.selecting not in METRICS:
            raise ValueError(
                f"select_on: there is no metric {self.selecting}: choose of {', '.join(METRICS)}"
            )
        metric: Metric = METRICS[self.selecting].load()
        if metric.classes != "each" and self.select_on[1] != POOLED:
            raise ValueError(
                f"select_on: {self.selecting} has one value for all classes: give the class "
                f"{POOLED!r}"
            )
        if self.metrics is not None and self.selecting not in self.metrics:
            raise ValueError(f"select_on: {self.selecting} is not among the metrics: add it there")

    @property
    def selecting(self) -> str:
        """Key of the metric that chooses the best epoch."""
        metric, _, protocol = self.select_on
        return f"{metric}.{protocol}"

    def next_after(self, epoch: int, epochs: int) -> int:
        """The epoch with the next evaluation.

        Args:
            epoch: the last one done, 0 before the first.
            epochs: of the whole training.
        """
        return min(epochs, (epoch // self.every + 1) * self.every)

    def gives_up(self, epoch: int, best_epoch: int) -> bool:
        """Whether nothing has become better for so long that the training ends.

        Args:
            epoch: of the last evaluation.
            best_epoch: of the best one.
        """
        return self.patience is not None and epoch - best_epoch >= self.patience * self.every

    def sizes(self) -> list[Size | None]:
        """The further resolutions, as height and width; None: each image's own."""
        return [size_of(resolution) for resolution in self.resolutions]

    def resolution(self, input_size: Size) -> str:
        """At which every split is scored."""
        return OWN_SIZE if self.size == "image" else resolution_of(input_size)

    def rows(self, data: DataConfig, *, test: bool) -> list[Metric]:
        """The metrics of an evaluation.

        Args:
            data: whose metrics count where none are named.
            test: whether it is the last one, which also has what takes long.
        """
        keys = data.metrics if self.metrics is None else self.metrics
        found: list[Metric] = [METRICS[key].load() for key in keys]
        return [m for m in found if test or not m.only_at_test or m.key == self.selecting]

    def scores(self, data: DataConfig, *, test: bool = False) -> dict[str, Metric]:
        """What every epoch has on val, by the name of the metric: its first protocol.

        Args:
            data: as of `rows`.
            test: of the last evaluation instead.
        """
        found: dict[str, Metric] = {}
        for metric in self.rows(data, test=test):
            if metric.classes == "each":
                found.setdefault(metric.name, metric)
        return found


def better(direction: Direction, value: float, than: float) -> bool:
    """Whether a value is better than another one. Every number is better than NaN, which is better
    than nothing; equal values are not better."""
    if math.isnan(than):
        return not math.isnan(value)
    return value > than if direction == "maximize" else value < than
