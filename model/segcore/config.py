"""`TrainConfig`: one training as one complete, frozen value."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from segcore.data import DATASETS
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig, Dataset
from segcore.data.prompts import PromptConfig
from segcore.data.separation import check_sets
from segcore.data.splits import fold_of, share_of_train
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.metrics.aggregate import MACRO
from segcore.metrics.images import POOLED
from segcore.metrics.metric import Direction, Metric
from segcore.metrics.table import METRICS
from segcore.registry import STRICT, Choice
from segcore.systems import SYSTEMS
from segcore.systems.system import SystemConfig
from segcore.tables import Trait
from segcore.training.evaluation import EvaluationConfig
from segcore.training.runtime import Precision
from segcore.training.schedule import OptimConfig, Schedule

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """Everything that one training depends on; places and machines are not among it."""

    renamed: ClassVar[Mapping[str, str]] = {"loss": "system.loss"}
    """Fields of earlier versions -> what took their place, for the message."""

    data: DataConfig
    system: SystemConfig
    method: Method
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    augment: Augment = dataclasses.field(default_factory=Augment)
    prompts: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    precision: Precision = "float32"
    """Of the forward pass, on every device; weights and optimizer state are float32 in either. A
    GPU computes faster in `bfloat16`, and the scores differ in their last digits."""
    gradient_checkpointing: bool = False
    """Whether the transformer blocks of pretrained encoders keep no activations for the backward
    pass, which computes them again (Chen et al., arXiv 1604.06174): less memory, more time, the
    same numbers."""
    compile_blocks: bool = False
    """Whether torch.compile makes kernels of the transformer blocks of pretrained encoders, which
    takes a minute or more when a training begins, and changes scores in their last digits."""
    cuda_graphs: bool = True
    """Whether a GPU replays the forward and the backward pass, where they are the same at every
    step, as two CUDA graphs: the same kernels, and the host launches two things in place of
    thousands. The gradients keep their memory between steps, and the graphs theirs: only where the
    GPU has room for both passes beside them."""
    deterministic: bool = False
    """Whether torch takes algorithms alone that give a GPU the same digits each time, as a CPU has
    them anyway: slower, and an operator without one ends the training, and is named."""
    fold: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=2)]] | None = None
    """Part of a cross-validation: its number from 0, and how many there are. The patients of train
    and val are dealt out to so many parts; this one is val, the others are train. None: the data
    set's own train and val."""
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the train split's patients that is trained on, as if no one had annotated the
    others: at least one, and a smaller share is part of a larger one."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initialisation, order and augmentation."""

    def __post_init__(self) -> None:
        faults = [*self._faults()]
        if faults:
            raise ValueError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        """What does not go together in parts that are each in order."""
        if reason := METHODS[self.method.name].refusal(SYSTEMS, self.system.name):
            yield f"method {self.method.name} refuses the system {self.system.name}: {reason}"
        external = self.evaluation.external
        unneeded: tuple[Trait, ...] = () if self.system.needs_depth else ("depth maps",)
        for name in [self.data.name] if external is None else [self.data.name, external.name]:
            if reason := SYSTEMS[self.system.name].refusal(DATASETS, name, unneeded):
                yield f"system {self.system.name} refuses the data set {name}: {reason}"
        if self.prompts.source != "none" and not self.system.takes_prompts:
            yield (
                f"prompts.source = {self.prompts.source!r} has no effect: the system "
                f"{self.system.name} looks at no boxes"
            )
        yield from self._without_effect()
        if self.fold is not None and self.fold[0] >= self.fold[1]:
            yield f"fold = {self.fold}: the first number must be below the second one"
        if "transformer blocks" in SYSTEMS[self.system.name].lacks:
            for field in ("gradient_checkpointing", "compile_blocks"):
                if getattr(self, field):
                    yield (
                        f"{field} has no effect: the system {self.system.name} has no transformer "
                        "blocks"
                    )
            if self.optim.layer_decay != 1:
                yield (
                    f"optim.layer_decay has no effect: the system {self.system.name} has no "
                    "transformer blocks: set it to 1"
                )
        else:
            yield from self._unmoved_blocks()
        if self.system.loss.needs_queries and not self.system.has_queries:
            yield (
                f"system.loss = {self.system.loss.name!r} looks at queries, and the system "
                f"{self.system.name} has none: choose another loss"
            )
        if unknown := [key for key in self.data.metrics if key not in METRICS]:
            yield (
                f"data {self.data.name} is scored with {', '.join(unknown)}, which no table has: "
                f"choose of {', '.join(METRICS)}"
            )
        if self.evaluation.metrics is None and self.evaluation.selecting not in self.data.metrics:
            yield (
                f"evaluation.select_on: {self.evaluation.selecting} is not among the metrics of "
                f"{self.data.name}, {', '.join(self.data.metrics)}: select on one of them, or name "
                "evaluation.metrics"
            )

    def _unmoved_blocks(self) -> Iterator[str]:
        """Settings of transformer blocks that the method leaves as they are."""
        unmoved = f"the method {self.method.name} moves nothing of a pretrained encoder"
        if self.optim.layer_decay != 1 and self.method.rate(self.optim) is None:
            yield f"optim.layer_decay has no effect: {unmoved}: set it to 1"
        inside = self.method.adapts or self.system.gradients_in_frozen_blocks
        if self.gradient_checkpointing and not inside:
            yield (
                f"gradient_checkpointing has no effect: {unmoved}, and nothing that the system "
                f"{self.system.name} trains lies before one's blocks, so that none keeps "
                "activations: leave it out, or take another method"
            )

    def _without_effect(self) -> Iterator[str]:
        """Settings of how a training is looked at that cannot do anything in so many epochs, or
        with this method."""
        epochs, every = self.schedule.epochs, self.evaluation.every
        if every > epochs:
            yield (
                f"evaluation.every = {every}: there are {epochs} epochs: give as many or fewer, "
                "which evaluates once, at the end"
            )
        patience = self.evaluation.patience
        if patience is not None and every * (1 + patience) >= epochs:
            yield (
                f"evaluation.patience = {patience} has no effect: {epochs} epochs with an "
                f"evaluation every {every} are over before; give a smaller one, or leave it out"
            )
        if self.optim.ema is not None and not self.method.averages:
            yield (
                f"optim.ema: the method {self.method.name} changes weights between steps, and "
                "their mean would keep what it took out: leave optim.ema out, or take another "
                "method"
            )

    def modules(self) -> Iterator[str]:
        """The modules of the metrics that are named, so that a user's own go where trials run."""
        external = self.evaluation.external
        keys = {self.evaluation.selecting, *(self.evaluation.metrics or self.data.metrics)}
        keys |= set() if external is None else {*external.metrics}
        yield from (METRICS[key].module for key in keys)

    @property
    def boxes(self) -> PromptConfig | None:
        """The boxes that the system is told; None: none."""
        return None if self.prompts.source == "none" else self.prompts

    def scores(self) -> Mapping[str, tuple[Direction, str, str, str, str, bool]]:
        """What every epoch has on val, macro, by the metric's name: which values are better, unit,
        label, what it computes, by which protocol, and whether a report always shows it. What
        chooses the best epoch comes first."""
        found = self.evaluation.scores(self.data)
        first = self.evaluation.select_on[0]
        return _told(dict(sorted(found.items(), key=lambda item: item[0] != first)))

    def scores_at_test(self) -> Mapping[str, tuple[Direction, str, str, str, str, bool]]:
        """The same of what test alone has."""
        on_val = self.evaluation.scores(self.data)
        found = self.evaluation.scores(self.data, test=True)
        return _told({name: m for name, m in found.items() if name not in on_val})

    def selects(self) -> tuple[str, str, str, Direction]:
        """Metric, class, protocol and direction of what chooses the best epoch on val."""
        metric: Metric = METRICS[self.evaluation.selecting].load()
        return (*self.evaluation.select_on, metric.direction)

    def open_data(self) -> tuple[Dataset, Dataset | None]:
        """Open the data and the external set, and see that this training can use them.

        Raises:
            ValueError: a folder is not in order, or as of `check_sets`.
        """
        dataset, external = self.open_sets()
        self.check_sets(dataset, external)
        return dataset, external

    def open_sets(self) -> tuple[Dataset, Dataset | None]:
        """Open the data and the external set alone.

        Raises:
            ValueError: a folder is not in order, or cannot be divided as `fold` says.
        """
        external = self.evaluation.external
        data = self.data.open()
        if self.fold is not None:
            data = fold_of(data, *self.fold)
        if self.train_share < 1:
            data = share_of_train(data, self.train_share)
        return data, None if external is None else external.open()

    def check_sets(self, dataset: Dataset, external: Dataset | None) -> None:
        """See that open sets have what this training needs, and that nothing seen is tested on.

        Raises:
            ValueError: as of `segcore.data.separation.check_sets`, or the loss is none for these
                classes; all of it.
        """
        faults = []
        try:
            self.system.loss.check(dataset.classes)
        except ValueError as error:
            faults.append(str(error))
        images = len(dataset.ids("train"))
        if images and not self.schedule.steps_per_epoch(images):
            faults.append(
                f"schedule.last_batch: {images} training images fill no batch of "
                f"{self.schedule.batch_size}: give a smaller schedule.batch_size, or keep the last "
                "batch"
            )
        known = (*dataset.classes.foreground, MACRO, POOLED)
        if self.evaluation.select_on[1] not in known:
            faults.append(
                f"evaluation.select_on: there is no class {self.evaluation.select_on[1]!r}: choose "
                f"one of {', '.join(known)}"
            )
        check_sets(
            (self.data, dataset),
            None
            if self.evaluation.external is None or external is None
            else (self.evaluation.external, external),
            without_depth=self._without_depth(),
            others=faults,
        )

    def _without_depth(self) -> str | None:
        """What to do where there are no depth maps; None: the system looks at none."""
        if not self.system.needs_depth:
            return None
        return SYSTEMS[self.system.name].needs.get("depth maps", "give a set that has them")


def to_json(config: Any, *, locations: bool = True) -> dict[str, Any]:
    """A configuration as nested plain values; a choice carries its table name as `name`.

    Args:
        config: a configuration of segcore's.
        locations: whether fields that only say where something lies are among them.
    """
    if isinstance(config, Choice):
        values = config.to_json()
    else:
        values = TypeAdapter(type(config)).dump_python(config, mode="json")
    return values if locations else _without_locations(config, values)


def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
    """The configuration of class `cls` that `to_json` wrote.

    Raises:
        ValueError: an unknown name or field, or a value out of range.
    """
    return TypeAdapter(cls).validate_json(json.dumps(values))


def _told(
    metrics: Mapping[str, Metric],
) -> dict[str, tuple[Direction, str, str, str, str, bool]]:
    return {
        name: (m.direction, m.unit, m.label, m.about, m.protocol, m.shown)
        for name, m in metrics.items()
    }


def _without_locations(config: Any, values: dict[str, Any]) -> dict[str, Any]:
    kept = dict(values)
    for field in dataclasses.fields(config):
        inner = getattr(config, field.name)
        if field.metadata.get("location"):
            del kept[field.name]
        elif dataclasses.is_dataclass(inner):
            kept[field.name] = _without_locations(inner, kept[field.name])
        elif isinstance(inner, tuple) and all(map(dataclasses.is_dataclass, inner)):
            pairs = zip(inner, kept[field.name], strict=True)
            kept[field.name] = [_without_locations(one, own) for one, own in pairs]
    return kept
