"""What a search may draw: distributions over dotted fields, some of which depend on others.

Needs Optuna alone: no Ray, no torch.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from segtune.study.overrides import Changes


@dataclass(frozen=True, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
class When:
    """A field that is drawn only where another one has a certain value.

    `"method.rank": When("method", ("lora", "galore"), IntDistribution(2, 32))`: a frozen encoder
    has no rank.
    """

    field: str
    """Another field of the space; it may depend on a third."""
    values: tuple[Any, ...]
    """Those of its values that this field goes with."""
    distribution: BaseDistribution


Space = Mapping[str, BaseDistribution | When]
"""Dotted field -> the distribution of its values, or `When` for a field with a condition."""


def distribution(space: Space, field: str) -> BaseDistribution:
    """The distribution of a field, whatever condition it has."""
    found = space[field]
    return found.distribution if isinstance(found, When) else found


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Field -> its distribution: see `distribution`."""
    return {field: distribution(space, field) for field in space}


def ordered(space: Space) -> list[str]:
    """The fields, each after the one it depends on; without those that depend on each other or on
    a field that is not there."""
    order: list[str] = []
    left = list(space)
    while left:
        ready = [f for f in left if not isinstance(w := space[f], When) or w.field in order]
        if not ready:
            break
        order += ready
        left = [f for f in left if f not in ready]
    return order


def holds(space: Space, field: str, values: Changes) -> bool:
    """Whether a trial with these values of other fields has this field at all."""
    when = space[field]
    if not isinstance(when, When):
        return True
    return when.field in values and values[when.field] in when.values


def active(space: Space, values: Changes) -> dict[str, Any]:
    """Leave out the values of fields that such a trial does not have."""
    out: dict[str, Any] = {}
    for field in ordered(space):
        if field in values and holds(space, field, out):
            out[field] = values[field]
    return {field: out[field] for field in space if field in out}


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Let an Optuna trial draw every field that it has."""
    out: dict[str, Any] = {}
    for field in ordered(space):
        if holds(space, field, out):
            out[field] = _suggest(trial, field, distribution(space, field))
    return out


def _suggest(trial: optuna.Trial, field: str, where: BaseDistribution) -> Any:
    if isinstance(where, CategoricalDistribution):
        return trial.suggest_categorical(field, where.choices)
    if isinstance(where, IntDistribution):
        return trial.suggest_int(field, where.low, where.high, step=where.step, log=where.log)
    assert isinstance(where, FloatDistribution)
    return trial.suggest_float(field, where.low, where.high, step=where.step, log=where.log)


def corners(where: BaseDistribution) -> Sequence[Any]:
    """The values that show whether a range fits its field."""
    if isinstance(where, CategoricalDistribution):
        return where.choices
    assert isinstance(where, IntDistribution | FloatDistribution)
    return (where.low, where.high)


def every_value(where: BaseDistribution) -> Sequence[Any]:
    """All values; a continuous range is taken at its ends."""
    if isinstance(where, IntDistribution) and not where.log:
        return range(where.low, where.high + 1, where.step)
    if isinstance(where, IntDistribution):
        return range(where.low, where.high + 1)
    if isinstance(where, FloatDistribution) and where.step is not None:
        count = math.floor((where.high - where.low) / where.step + 1e-9) + 1
        return [where.low + i * where.step for i in range(count)]
    return corners(where)


def contains(where: BaseDistribution, value: Any) -> bool:
    """Whether a value can be drawn."""
    if isinstance(where, CategoricalDistribution):
        return value in where.choices
    low, high = corners(where)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(low <= value <= high)


def ends(space: Space) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field with each of its corners, together with values of the fields it depends on."""
    for field in ordered(space):
        for value in corners(distribution(space, field)):
            for others in _others(space, field):
                yield field, {**others, field: value}


def _others(space: Space, field: str) -> Iterator[dict[str, Any]]:
    """Values of the fields that it depends on, in every combination in which it exists."""
    when = space[field]
    if not isinstance(when, When):
        yield {}
        return
    for others in _others(space, when.field):
        yield from ({**others, when.field: value} for value in when.values)


def combinations(
    space: Space, values: Callable[[BaseDistribution], Sequence[Any]] = corners
) -> Iterator[dict[str, Any]]:
    """Every trial that can be drawn if each field had these values alone."""

    def extend(drawn: dict[str, Any], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        if not fields:
            yield drawn
            return
        field, *rest = fields
        if not holds(space, field, drawn):
            yield from extend(drawn, rest)
            return
        for value in values(distribution(space, field)):
            yield from extend({**drawn, field: value}, rest)

    yield from extend({}, ordered(space))


def some_combinations(space: Space, most: int) -> list[dict[str, Any]]:
    """The combinations of corners; where they may be more than `most`, a sample of them."""
    if math.prod(len(corners(d)) for d in distributions(space).values()) <= most:
        return list(combinations(space))
    dice = random.Random(0)
    drawn = []
    for _ in range(most):
        values = {f: dice.choice(corners(d)) for f, d in distributions(space).items()}
        drawn.append(active(space, values))
    return drawn
