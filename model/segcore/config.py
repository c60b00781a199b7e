"""`TrainConfig`: one training as one complete, frozen value."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import ClassSpec
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig, Dataset, Split
from segcore.data.faults import DataError
from segcore.data.separation import check_separate, one_naming
from segcore.losses import LossConfig
from segcore.methods.method import Method
from segcore.registry import STRICT, Choice
from segcore.systems.system import SystemConfig
from segcore.training.schedule import OptimConfig, Schedule
from segcore.training.scoring import EvaluationConfig

EMPTY: Mapping[Split, str] = {
    "train": "there is nothing to train on",
    "val": "the best epoch is chosen on val",
}
NO_DEPTH = (
    "give a set that has them, set system.depth.source='image' to let the depth encoder see the "
    "image, or system.fusion.mode='rgb_only' to do without it"
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """Everything that one training depends on; places and machines are not among it."""

    data: DataConfig
    system: SystemConfig
    method: Method
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    augment: Augment = dataclasses.field(default_factory=Augment)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initialisation, order and augmentation."""

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
            ValueError: a folder is not in order.
        """
        external = self.evaluation.external
        return self.data.open(), None if external is None else external.open()

    def check_sets(self, dataset: Dataset, external: Dataset | None) -> None:
        """See that open sets have what this training needs, and that nothing seen is tested on.

        Raises:
            ValueError: train or val is empty, the system needs depth maps and a set has none, the
                loss is none for these classes, the external set has other classes or no test
                split, or train or val share images or patients with what is tested; all of them.
        """
        faults = [*self._lacking(dataset, external)]
        other = self.evaluation.external
        try:
            naming = None if other is None else one_naming(self.data, other)
            check_separate(dataset, external, naming=naming)
        except DataError as error:
            faults.append(str(error))
        if faults:
            raise DataError("\n".join(faults))

    def _lacking(self, dataset: Dataset, external: Dataset | None) -> Iterator[str]:
        for split, why in EMPTY.items():
            if not dataset.ids(split):
                yield f"data: no image is in {split}, and {why}: change how data are split"
        for field, opened in (("data", dataset), ("evaluation.external", external)):
            if opened is not None and self.system.needs_depth and not opened.has_depth:
                yield f"{field} has no depth maps for every image: {NO_DEPTH}"
        if external is not None and not external.ids("test"):
            yield (
                "evaluation.external: no image is in test, the one split of it that is scored: "
                "change how it is split (`folder` puts all in test with fractions=(0, 0, 1))"
            )
        try:
            self.loss.build(dataset.classes)
        except ValueError as error:
            yield str(error)
        if external is not None and external.classes != dataset.classes:
            yield (
                f"evaluation.external has the classes {_said(external.classes)}, the data have "
                f"{_said(dataset.classes)}: give an external set of the same classes"
            )


def _said(classes: ClassSpec) -> str:
    return ", ".join(classes.names) + ("" if classes.exclusive else " (may overlap)")


def to_json(config: Any, *, places: bool = True) -> dict[str, Any]:
    """A configuration as nested plain values; a choice carries its table name as `name`.

    Args:
        config: a frozen dataclass.
        places: whether fields that only say where something lies are among them.
    """
    out: dict[str, Any] = {"name": config.name} if isinstance(config, Choice) else {}
    for field in dataclasses.fields(config):
        if field.metadata.get("place") and not places:
            continue
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_json(value, places=places)
        out[field.name] = list(value) if isinstance(value, tuple) else value
    return out


def from_json(cls: type[Any], values: dict[str, Any]) -> Any:
    """The configuration of class `cls` that `to_json` wrote.

    Raises:
        ValueError: an unknown name or field, or a value out of range.
    """
    values = dict(values)
    if issubclass(cls, Choice):
        cls = cls.choice(values.pop("name")) if "name" in values else cls
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        hint = hints.get(name)
        if isinstance(value, dict) and (inner := _class_in(hint)) is not None:
            values[name] = from_json(inner, value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return cls(**values)


def _class_in(hint: Any) -> type[Any] | None:
    """The configuration that a field holds, or may hold; None where it holds plain values."""
    for c in (hint, *typing.get_args(hint)):
        if isinstance(c, type) and (dataclasses.is_dataclass(c) or issubclass(c, Choice)):
            return c
    return None
