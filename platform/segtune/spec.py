"""What a study is: frozen values, no machine and no clock in them.

Works on any frozen dataclass as the configuration of a trial; a change is a dotted field and its
value, such as `{"method.rank": 8}`. A field whose value was chosen from a table by name takes the
name of another row: `{"method": "lora"}`.
"""

import dataclasses
import difflib
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.distributions import BaseDistribution, distribution_to_json

Changes = Mapping[str, Any]
Role = Literal["arm", "tune", "search"]


class SpecError(ValueError):
    """Something in a study is not right; `faults` has one line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


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


@dataclass(frozen=True)
class Objective:
    """A metric (macro, on val, at the best epoch) that a search improves."""

    metric: str
    direction: Literal["maximize", "minimize"]


DICE_AND_ASSD = (Objective("dice", "maximize"), Objective("assd", "minimize"))


@dataclass(frozen=True, kw_only=True)
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
    tune: Mapping[str, Changes] = field(default_factory=dict)
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
        config = apply(self.baseline, {**both, "seed": seed})
        return Trial(trial_id, role, seed, config, both, arm, number)


@dataclass(frozen=True, kw_only=True)
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
        config = apply(self.baseline, {**changes, "seed": seed})
        return Trial(f"t{number}", "search", seed, config, dict(changes), None, number)


Study = Ablation | Search


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How a study runs; no part of what its trials are."""

    workers: int = 1
    """Train workers of one trial."""
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    concurrent: int | None = None
    """Most trials at a time; None: as many as fit."""


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


def apply(config: Any, changes: Changes) -> Any:
    """The configuration with dotted fields changed.

    Raises:
        SpecError: unknown fields, wrong types, values out of range; all of them.
    """
    faults: list[str] = []
    changed = _apply(config, changes, "", faults)
    if faults:
        raise SpecError(faults)
    return changed


def flatten(config: Any, *, places: bool = True) -> dict[str, Any]:
    """Every setting by its dotted field; a choice from a table stands as its name.

    Args:
        config: a dataclass.
        places: whether fields that only say where something lies are among them.
    """
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        if f.metadata.get("place") and not places:
            continue
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            if isinstance(name := getattr(value, "name", None), str):
                out[f.name] = name
            inner = flatten(value, places=places)
            out |= {f"{f.name}.{key}": item for key, item in inner.items()}
        else:
            out[f.name] = value
    return out


def non_default(config: Any) -> dict[str, Any]:
    """The settings that differ from their class's defaults, places apart.

    A field that is added to the code later, with a default, changes nothing here.
    """
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("place"):
            continue
        if dataclasses.is_dataclass(value):
            if isinstance(name := getattr(value, "name", None), str):
                out[f.name] = name
            out |= {f"{f.name}.{key}": item for key, item in non_default(value).items()}
        elif f.default is dataclasses.MISSING or value != f.default:
            out[f.name] = value
    return out


def config_hash(config: Any, **contents: str) -> str:
    """A name for what a trial computes: 16 hexadecimal digits.

    Args:
        config: its configuration; places do not count.
        contents: hashes of what the configuration refers to (data, weights).
    """
    text = json.dumps({**non_default(config), **contents}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def definition(name: str, study: Study) -> dict[str, Any]:
    """A study as plain values: what a later run of the same name is held against."""
    common = {
        "study": name,
        "question": study.question,
        "baseline": flatten(study.baseline, places=False),
        "objectives": [dataclasses.asdict(o) for o in DICE_AND_ASSD],
    }
    if isinstance(study, Ablation):
        return common | {
            "kind": "ablation",
            "baseline_arm": study.baseline_arm,
            "arms": {arm: dict(changes) for arm, changes in study.all_arms().items()},
            "seeds": list(study.seeds),
            "tune": {a: {f: list(v) for f, v in c.items()} for a, c in study.tune.items()},
            "tune_seed": study.tune_seed,
        }
    return common | {
        "kind": "search",
        "objectives": [dataclasses.asdict(o) for o in study.objectives],
        "space": {f: distribution_to_json(d) for f, d in study.space.items()},
        "num_samples": study.num_samples,
        "sampler": study.sampler,
        "seed": study.seed,
    }


def _apply(config: Any, changes: Changes, path: str, faults: list[str]) -> Any:
    fields = {f.name for f in dataclasses.fields(config)}
    whole = {k: v for k, v in changes.items() if "." not in k}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        head, dot, rest = key.partition(".")
        if dot:
            inner.setdefault(head, {})[rest] = value
    for name in sorted((whole.keys() | inner.keys()) - fields):
        faults.append(_unknown(f"{path}{name}", fields))
    new: dict[str, Any] = {}
    for name in sorted(fields & (whole.keys() | inner.keys())):
        value = getattr(config, name)
        if name in whole:
            value = _choose(value, whole[name], inner.get(name, {}), f"{path}{name}", faults)
        if name in inner:
            if not dataclasses.is_dataclass(value):
                faults.append(f"{path}{name} has no fields: it is {value!r}")
                continue
            value = _apply(value, inner[name], f"{path}{name}.", faults)
        new[name] = value
    try:
        return dataclasses.replace(config, **new)
    except ValueError as error:
        faults += _value_faults(error, path)
        return config


def _choose(current: Any, value: Any, inner: Changes, path: str, faults: list[str]) -> Any:
    """A row of the table that the current value comes from, by name; else the value itself.

    Args:
        current: what is there.
        value: a row's name, or a value.
        inner: changes to the row's own fields, of which it needs those without a default.
        path: where, for messages.
        faults: gets what is wrong.
    """
    if not (isinstance(value, str) and hasattr(current, "choice")):
        return value
    try:
        row = current.choice(value)
        needed = [f.name for f in dataclasses.fields(row) if _is_required(f)]
        return row(**{name: inner[name] for name in needed if name in inner})
    except ValueError as error:
        faults += _value_faults(error, f"{path}.") if hasattr(error, "errors") else [str(error)]
        return current


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _unknown(path: str, fields: set[str]) -> str:
    name = path.rpartition(".")[2]
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"unknown field {path}: choose one of {', '.join(sorted(fields))}.{hint}"


def _value_faults(error: ValueError, path: str) -> list[str]:
    """One line for each fault that a class found in its fields (pydantic lists them)."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return [f"{path.rstrip('.')}: {error}" if path else str(error)]
    lines = []
    for e in errors():
        where = path + ".".join(str(part) for part in e["loc"])
        shown = e["loc"] and e["type"] != "missing" and not dataclasses.is_dataclass(e["input"])
        given = f" = {e['input']!r}" if shown else ""
        lines.append(f"{where.rstrip('.')}{given}: {e['msg']}")
    return lines
