"""A trained network, or masks from elsewhere, tested on any data set: `segtune evaluate`.

A score is computed as a training's own test computes it: on the training's own data, at its size,
every digit is the same.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import Size
from segcore.config import from_json
from segcore.data.dataset import DataConfig, Dataset, Split
from segcore.data.prompts import PromptConfig
from segcore.data.splits import fold_of, share_of_train
from segcore.metrics.metric import Metric
from segcore.metrics.table import METRICS
from segcore.registry import STRICT
from segcore.systems import SYSTEMS
from segcore.training.ensemble import Network
from segcore.training.evaluation import Resolution, size_of
from segcore.training.events import OWN_SIZE, ImageScore
from segcore.training.predicting import Target
from segcore.training.restore import Restored
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segcore.training.scoring import evaluate
from segcore.training.tta import TtaConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Retest:
    """What is tested on, and how a network sees it."""

    data: DataConfig
    split: Split = "test"
    prompts: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    """The boxes that the system is told."""
    tta: TtaConfig = dataclasses.field(default_factory=TtaConfig)
    """How often it sees each image."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Measured:
    """What is computed, and of masks of which sizes."""

    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Rows of the table of metrics."""
    resolutions: Annotated[tuple[Resolution, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        faults = [
            f"{field} = {values}: each must stand once"
            for field, values in (("metrics", self.metrics), ("resolutions", self.sizes()))
            if len(set(values)) < len(values)
        ]
        if unknown := [key for key in self.metrics if key not in METRICS]:
            faults.append(
                f"metrics: there is no {', '.join(unknown)}: choose of {', '.join(METRICS)}"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def sizes(self) -> list[Size | None]:
        """The resolutions as height and width; None for each image's own size."""
        return [size_of(resolution) for resolution in self.resolutions]

    def rows(self) -> list[Metric]:
        """The metrics."""
        return [METRICS[key].load() for key in self.metrics]

    def targets(self, dataset: Dataset, split: Split) -> list[Target]:
        """A split at each of the resolutions."""
        rows = self.rows()
        return [Target(dataset, split, split, size, rows) for size in self.sizes()]


def divided_as_trained(restored: Restored, dataset: Dataset, split: Split) -> Dataset:
    """The set that a network was trained on, with train and val as its training had them: of its
    part of a cross-validation, and of its share of the patients.

    Args:
        restored: the network.
        dataset: the set that it was trained on, open.
        split: which is asked for. Test is never divided.

    Raises:
        ValueError: the set can no longer be divided so.
    """
    fold = restored.values.get("fold")
    if split != "test" and fold is not None:
        dataset = fold_of(dataset, *fold)
    share = float(restored.values.get("train_share", 1.0))
    return share_of_train(dataset, share) if split == "train" and share < 1 else dataset


def as_trained(restored: Restored, data: DataConfig) -> Retest:
    """A test in which the network is told boxes and sees images as when training tested it."""
    return Retest(data=data, prompts=restored.prompts, tta=restored.tta)


def usual_metrics(restored: Restored, data: DataConfig) -> tuple[str, ...]:
    """What the training was told to be scored with, else what the data set is scored with."""
    named = _part(restored, "evaluation").get("metrics")
    return data.metrics if named is None else tuple(named)


def usual_resolution(restored: Restored) -> Resolution:
    """At which the training scored every split."""
    own = _part(restored, "evaluation").get("size") == OWN_SIZE
    return "image" if own else restored.config.input_size


def faults(restored: Restored, retest: Retest, dataset: Dataset) -> Iterator[str]:
    """What keeps a network from being tested so."""
    system, named = restored.config, retest.data.name
    if dataset.classes != restored.classes:
        yield (
            f"data: {named} has the classes {dataset.classes}; the network was trained on "
            f"{restored.classes}: give a set of the same classes in the same order"
        )
    yield from lacking(retest, dataset)
    if system.needs_depth and not dataset.has_depth:
        advice = SYSTEMS[system.name].needs.get("depth maps", "give a set that has them")
        yield f"data: {named} has no depth maps, and the network looks at them: {advice}"
    if retest.prompts.source != "none" and not system.takes_prompts:
        yield (
            f"prompts.source = {retest.prompts.source!r} has no effect: the system {system.name} "
            "looks at no boxes"
        )


def lacking(retest: Retest, dataset: Dataset) -> Iterator[str]:
    """Whether there is nothing to test on."""
    if not dataset.ids(retest.split):
        yield (
            f"data: {retest.data.name} has no image in {retest.split}: change how it is split, or "
            "give another --split"
        )


def doubts(restored: Restored, retest: Retest, dataset: Dataset) -> Iterator[str]:
    """What a reader of the scores should know, in sentences."""
    window, now = restored.window, retest.data.grey_window
    if window != now and window is not None and now is not None:
        yield (
            f"the network was trained with the window {window[0]:g} to {window[1]:g}, and "
            f"{retest.data.name} is read with {now[0]:g} to {now[1]:g} (data.window)"
        )
    if retest.split != "test":
        yield f"the scores are of {retest.split}: a network may have been trained or chosen on it"


def usual_batch(restored: Restored) -> int:
    """Samples at once where the training scored them."""
    chosen: int | None = _part(restored, "evaluation").get("batch_size")
    return chosen or from_json(Schedule, _part(restored, "schedule")).usual_microbatch


def score_network(
    network: Network,
    restored: Restored,
    target: Target,
    retest: Retest,
    runtime: Runtime,
    *,
    batch_size: int,
) -> list[ImageScore]:
    """Every metric of every image and case of a target.

    Args:
        network: of one checkpoint or several, on the device of `runtime`.
        restored: the checkpoint, or the first of them, `as_trained`.
        target: what it is tested on.
        retest: how it sees that.
        runtime: its device.
        batch_size: samples at once.
    """
    images, _ = evaluate(
        network,
        target,
        runtime,
        input_size=restored.config.input_size,
        batch_size=batch_size,
        precision=restored.precision,
        prompts=None if retest.prompts.source == "none" else retest.prompts,
        tta=retest.tta,
        draw=False,
    )
    return images


def of_masks(metrics: Iterable[str]) -> tuple[str, ...]:
    """Those that look at labels alone."""
    return tuple(key for key in metrics if METRICS[key].load().needs == "labels")


def not_of_masks(metrics: Sequence[str]) -> list[str]:
    """Those that masks from elsewhere do not do for."""
    allowed = of_masks(metrics)
    return [key for key in metrics if key not in allowed]


def _part(restored: Restored, name: str) -> dict[str, Any]:
    """A part of the configuration that a network was trained with."""
    found: dict[str, Any] = restored.values.get(name) or {}
    return found
