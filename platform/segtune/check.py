"""Look a study over before anything starts: every mistake at once."""

import dataclasses
import itertools
import random
import re
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning

from segtune.changes import Changes, SpecError, apply, flatten
from segtune.spec import Ablation, Search, Study

COMBINATIONS = 1024
"""Combinations of a space's ends and choices that are tried beforehand; of more, a sample."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


def check(study: Study) -> None:
    """Find every mistake in a study.

    Raises:
        SpecError: one line per mistake, with the choices and the fix.
    """
    if not dataclasses.is_dataclass(study.baseline):
        raise SpecError([f"baseline = {study.baseline!r}: give a configuration, such as nano()"])
    faults = _check_ablation(study) if isinstance(study, Ablation) else _check_search(study)
    if faults:
        raise SpecError(faults)


def check_name(name: str) -> None:
    """A study's name must serve as a folder's.

    Raises:
        SpecError: it does not.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            [f"{name!r} can't name a study: use letters, digits, - and _, or give a --name"]
        )


def _check_ablation(study: Ablation) -> list[str]:
    faults = [
        f"arm {name!r}: use letters, digits, -, + and _ in its name"
        for name in study.all_arms()
        if not _NAME.fullmatch(name)
    ]
    if study.baseline_arm in study.arms:
        faults.append(f"two arms are called {study.baseline_arm}: rename one or the baseline_arm")
    if not study.arms:
        faults.append("there is no arm beside the baseline: add one to compare with")
    faults += _check_seeds(study)
    seen = {_identity(study.baseline): study.baseline_arm}
    for arm, changes in study.arms.items():
        config, found = _try(study.baseline, changes, f"arm {arm}")
        faults += found
        if found:
            continue
        twin = seen.setdefault(_identity(config), arm)
        if twin != arm:
            faults.append(
                f"arm {arm} is the same as {twin}, with {dict(changes)}: change something that "
                "matters, or leave one of them out"
            )
    return faults + _check_tune(study)


def _check_seeds(study: Ablation) -> list[str]:
    faults = []
    if not study.seeds:
        faults.append("seeds is empty: give at least one")
    if len(set(study.seeds)) < len(study.seeds):
        faults.append(f"seeds = {study.seeds}: each must stand once")
    for seed in (*study.seeds, study.tune_seed):
        try:
            apply(study.baseline, {"seed": seed})
        except SpecError as error:
            faults += [f"seeds: {fault}" for fault in error.faults]
    if study.tune and study.tune_seed in study.seeds:
        faults.append(f"tune_seed = {study.tune_seed} is one of the seeds: tune with another")
    return faults


def _check_tune(study: Ablation) -> list[str]:
    arms = study.all_arms()
    faults = [f"tune: there is no arm {arm}" for arm in study.tune if arm not in arms]
    budgets = {arm: len(study.candidates(arm)) for arm in arms}
    if study.tune and len(set(budgets.values())) > 1:
        counts = ", ".join(f"{arm} {n}" for arm, n in budgets.items())
        faults.append(f"tune: every arm needs the same number of candidates, but: {counts}")
    for arm, changes in arms.items():
        candidates = study.candidates(arm)
        if any(candidates.count(c) > 1 for c in candidates):
            faults.append(f"tune of arm {arm}: a candidate stands more than once")
        for candidate in candidates:
            both = {**changes, **candidate}
            faults += _try(study.baseline, both, f"tune of arm {arm}")[1]
    return list(dict.fromkeys(faults))


def _check_search(study: Search) -> list[str]:
    faults = []
    if study.num_samples < 1:
        faults.append(f"num_samples = {study.num_samples}: give at least 1")
    if not study.space:
        faults.append("space is empty: give at least one field to search")
    faults += _check_sampler(study.sampler)
    faults += _check_objectives(study)
    current = flatten(study.baseline)
    for field, distribution in study.space.items():
        for value in corners(distribution):
            faults += _try(study.baseline, {field: value}, "space")[1]
        start = current.get(field)
        if field in current and not _contains(distribution, start):
            faults.append(
                f"space: the baseline's {field} = {start!r} lies outside of {distribution}: "
                "widen the space or change the baseline, which is the first trial"
            )
    return list(dict.fromkeys(faults)) or _check_combinations(study)


def _check_combinations(study: Search) -> list[str]:
    """Values that are each allowed may not be so together."""
    every = list(itertools.product(*(corners(d) for d in study.space.values())))
    if len(every) > COMBINATIONS:
        every = random.Random(0).sample(every, COMBINATIONS)
    found: dict[str, dict[str, Any]] = {}
    for values in every:
        changes = dict(zip(study.space, values, strict=True))
        for fault in _try(study.baseline, changes, "space")[1]:
            found.setdefault(fault, changes)
    return [f"{fault} (as with {changes})" for fault, changes in found.items()]


def _check_sampler(name: str) -> list[str]:
    def makes(candidate: str) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                getattr(optuna.samplers, candidate)(seed=0)
        except (AttributeError, TypeError, ImportError):
            return False
        return True

    if makes(name):
        return []
    known = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and makes(n)]
    return [f"sampler {name!r} can't be used: choose one of {', '.join(known)}"]


def _check_objectives(study: Search) -> list[str]:
    allowed = ("dice", "iou", "assd", "hd", "hd95", "nsd")
    faults = [] if study.objectives else ["objectives is empty: give at least one"]
    metrics = [objective.metric for objective in study.objectives]
    for metric in dict.fromkeys(metrics):
        if metric not in allowed:
            faults.append(f"objective {metric!r}: choose one of {', '.join(allowed)}")
        if metrics.count(metric) > 1:
            faults.append(
                f"objective {metric} stands {metrics.count(metric)} times: once is enough"
            )
    return faults


def corners(distribution: BaseDistribution) -> Sequence[Any]:
    """The values that show whether a range fits its field."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    low, high = corners(distribution)
    return isinstance(value, int | float) and bool(low <= value <= high)


def _try(baseline: Any, changes: Changes, what: str) -> tuple[Any, list[str]]:
    if "seed" in changes:
        return None, [f"{what}: a seed is no change: give it in the study's seeds or seed"]
    try:
        return apply(baseline, changes), []
    except SpecError as error:
        return None, [f"{what}: {fault}" for fault in error.faults]


def _identity(config: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, repr(v)) for k, v in flatten(config, places=False).items()))
