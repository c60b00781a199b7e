"""What a study is: frozen values, no machine and no clock in them.

Any frozen dataclass will do as the configuration of a trial.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from segtune.changes import Changes, apply, resolve_places

Role = Literal["arm", "tune", "search"]
_STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Trial:
    """One training of a study, complete."""

    trial_id: str
    role: Role
    seed: int
    config: Any
    changes: Changes
    """Against the study's baseline."""
    arm: str | None = None
    number: int | None = None
    repeats: int = 0
    """How many trials of a search had the same changes before; each has another seed."""


@checked(frozen=True, config=_STRICT)
class Objective:
    """A metric (macro, on val, at the best epoch) that a search improves."""

    metric: str
    direction: Literal["maximize", "minimize"]


DICE_AND_ASSD = (Objective("dice", "maximize"), Objective("assd", "minimize"))


@checked(frozen=True, kw_only=True, config=_STRICT)
class Ablation:
    """A baseline and named arms that differ from it, with the same seeds for all."""

    question: str
    baseline: Any
    """Configuration that every arm changes."""
    arms: Mapping[str, Changes]
    """The other arms: what each changes."""
    seeds: tuple[int, ...]
    baseline_arm: str = "baseline"
    """The baseline's name among the arms."""
    tune: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    """Arm -> field -> values: each combination is tried first, with `tune_seed`, and the best on
    val is what the arm's seeds then run with."""
    tune_seed: int = 1000

    def all_arms(self) -> dict[str, Changes]:
        """The baseline first, then the others."""
        return {self.baseline_arm: {}, **self.arms}

    def tuning_trials(self) -> Iterator[Trial]:
        """Every candidate of every arm that is tuned."""
        for arm, changes in self.all_arms().items():
            for number, candidate in enumerate(self.candidates(arm)):
                yield self._trial(f"{arm}-t{number}", "tune", arm, candidate, changes, number)

    def candidates(self, arm: str) -> list[Changes]:
        """The values that an arm may be tuned to; none where it is not tuned."""
        values = self.tune.get(arm)
        if not values:
            return []
        return [
            dict(zip(values, combination, strict=True))
            for combination in itertools.product(*values.values())
        ]

    def trials(self, tuned: Mapping[str, Changes]) -> Iterator[Trial]:
        """Every arm with every seed, seed by seed, so that pairs are complete early.

        Args:
            tuned: arm -> the candidate that its tuning chose.
        """
        for seed in self.seeds:
            for arm, changes in self.all_arms().items():
                chosen = tuned.get(arm, {})
                yield self._trial(f"{arm}-s{seed}", "arm", arm, chosen, changes, None, seed)

    def _trial(
        self,
        trial_id: str,
        role: Role,
        arm: str,
        chosen: Changes,
        changes: Changes,
        number: int | None,
        seed: int | None = None,
    ) -> Trial:
        seed = self.tune_seed if seed is None else seed
        both = {**changes, **chosen}
        config = resolve_places(apply(self.baseline, {**both, "seed": seed}))
        return Trial(trial_id, role, seed, config, both, arm, number)


@checked(frozen=True, kw_only=True, config=_STRICT)
class Search:
    """A space of changes to a baseline, searched by Optuna; the baseline is its first trial."""

    question: str
    baseline: Any
    space: Mapping[str, BaseDistribution]
    """Dotted field -> where its values may lie."""
    num_samples: int
    objectives: tuple[Objective, ...] = DICE_AND_ASSD
    """The first one also says which of two trials is the better."""
    sampler: str = "TPESampler"
    """Any sampler of `optuna.samplers` that takes a seed."""
    seed: int = 0
    """Of the trainings; the sampler's is drawn from it and the number of trials so far."""

    def trial(self, number: int, changes: Changes, repeats: int) -> Trial:
        """The trial of Optuna's parameters.

        Args:
            number: Optuna's trial number.
            changes: the parameters.
            repeats: how often the same were drawn before; each time takes another seed.
        """
        seed = self.seed + repeats
        config = resolve_places(apply(self.baseline, {**changes, "seed": seed}))
        return Trial(f"t{number}", "search", seed, config, dict(changes), None, number, repeats)


Study = Ablation | Search


def factor(name: str, values: Sequence[Any], *, label: str | None = None) -> dict[str, Changes]:
    """Arms that change one field: `factor("method.rank", (4, 16))` -> rank-4, rank-16.

    Args:
        name: the dotted field.
        values: one arm for each.
        label: beginning of the arms' names; None takes the field's last word.
    """
    word = label or name.rpartition(".")[2]
    return {f"{word}-{value}".replace(".", "_"): {name: value} for value in values}


def factorial(factors: Mapping[str, Sequence[Any]]) -> dict[str, Changes]:
    """Arms for every combination of the factors' values, named after the values."""
    combinations = itertools.product(*factors.values())
    return {
        "-".join(str(v) for v in values).replace(".", "_"): dict(zip(factors, values, strict=True))
        for values in combinations
    }
