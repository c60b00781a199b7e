"""`TrainConfig`: one training as one complete, frozen value."""

import dataclasses
import typing
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig
from segcore.losses import LossConfig
from segcore.methods.method import Method
from segcore.registry import STRICT, Choice
from segcore.schedule import OptimConfig, Schedule
from segcore.systems.system import SystemConfig


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
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initialisation, order and augmentation."""


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
        if isinstance(value, dict) and isinstance(hint, type):
            values[name] = from_json(hint, value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return cls(**values)
