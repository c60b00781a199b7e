"""Look a study over before anything starts: every mistake at once."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from segtune.changes import Changes, SpecError, apply, flatten
from segtune.spec import Ablation, Resources, Search, Study

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


def check(study: Study) -> None:
    """Find every mistake in a study.

    Raises:
        SpecError: one line per mistake, with the choices and the fix.
    """
    faults = _check_ablation(study) if isinstance(study, Ablation) else _check_search(study)
    if faults:
        raise SpecError(faults)


def check_name(name: str) -> None:
    """A study's name must serve as a folder's.

    Raises:
        SpecError: it does not.
    """
    if not _NAME.fullmatch(name):
        raise SpecError([f"{name!r} can't name a study: use letters, digits, - and _"])


def check_resources(resources: Resources, available: Mapping[str, float], where: str) -> None:
    """Ask for no more than there is: a trial that asks for more would wait for ever.

    Args:
        resources: what one trial asks for.
        available: CPU and GPU in all.
        where: what has them, for the message.

    Raises:
        SpecError: a number out of range, or more than there is.
    """
    faults = []
    if resources.workers < 1:
        faults.append(f"workers = {resources.workers}: a trial has at least 1")
    if resources.cpus_per_worker <= 0:
        faults.append(f"CPUs per worker = {resources.cpus_per_worker}: give more than 0")
    if resources.gpus_per_worker < 0:
        faults.append(f"GPUs per worker = {resources.gpus_per_worker}: give 0 or more")
    if resources.concurrent is not None and resources.concurrent < 1:
        faults.append(f"concurrent = {resources.concurrent}: give at least 1")
    asked = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    for kind, each in asked.items():
        there = available.get(kind, 0)
        if each * resources.workers > there:
            faults.append(
                f"a trial asks for {each * resources.workers:g} {kind}s ({resources.workers} "
                f"workers x {each:g}), but {where} has {there:g}: it would wait for ever. "
                f"Ask for fewer workers or {kind}s, or give a larger cluster with --address"
            )
    if faults:
        raise SpecError(faults)


def fitting_trials(resources: Resources, available: Mapping[str, float]) -> int:
    """How many trials run at a time."""
    asked = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    fits = [
        math.floor(available.get(kind, 0) / (each * resources.workers))
        for kind, each in asked.items()
        if each > 0
    ]
    return max(1, min([*fits, resources.concurrent or math.inf]))  # type: ignore[return-value]


def check_grown(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """A study of the same name may have grown: more arms, seeds or samples; nothing else.

    Raises:
        SpecError: it changed; every difference is shown.
    """
    faults = []
    for key in sorted((old.keys() | new.keys()) - {"question"}):
        faults += _change(key, old.get(key), new.get(key))
    if faults:
        name = old.get("study")
        head = f"study {name} was run here with another definition:"
        tail = "Give this one another name with --name, or another folder with --storage"
        raise SpecError([head, *(f"  {f}" for f in faults), tail])


def _change(key: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        grows = key in ("arms", "tune")
        keys = old.keys() if grows else old.keys() | new.keys()
        return [
            line
            for k in sorted(keys)
            if old.get(k) != new.get(k)
            for line in [f"{key}: {k} was {old.get(k, 'not there')!r}, now {new.get(k, 'gone')!r}"]
        ]
    if key == "seeds" and isinstance(old, list) and isinstance(new, list):
        gone = [s for s in old if s not in new]
        return [f"seeds: {gone} are gone"] if gone else []
    if key == "num_samples" and old is not None and new is not None and new >= old:
        return []
    return [] if old == new else [f"{key}: was {old!r}, now {new!r}"]


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
                f"arm {arm} is the same as {twin}: {dict(changes) or 'nothing'} changes nothing. "
                "Change something that matters, or leave the arm out"
            )
    return faults + _check_tune(study)


def _check_seeds(study: Ablation) -> list[str]:
    faults = []
    if not study.seeds:
        faults.append("seeds is empty: give at least one")
    if len(set(study.seeds)) < len(study.seeds):
        faults.append(f"seeds = {study.seeds}: each must stand once")
    for seed in (*study.seeds, study.tune_seed):
        faults += _try(study.baseline, {"seed": seed}, "seeds")[1]
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
        for candidate in study.candidates(arm):
            both = {**changes, **candidate}
            faults += _try(study.baseline, both, f"tune of arm {arm}")[1]
    return list(dict.fromkeys(faults))


def _check_search(study: Search) -> list[str]:
    faults = []
    if study.num_samples < 1:
        faults.append(f"num_samples = {study.num_samples}: give at least 1")
    if not study.space:
        faults.append("space is empty: give at least one field to search")
    if not isinstance(getattr(optuna.samplers, study.sampler, None), type):
        known = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and n != "BaseSampler"]
        faults.append(f"unknown sampler {study.sampler!r}: choose one of {', '.join(known)}")
    faults += _check_objectives(study)
    current = flatten(study.baseline)
    for field, distribution in study.space.items():
        for value in _corners(distribution):
            faults += _try(study.baseline, {field: value}, "space")[1]
        start = current.get(field)
        if field in current and not _contains(distribution, start):
            faults.append(
                f"space: the baseline's {field} = {start!r} lies outside of {distribution}: "
                "widen the space or change the baseline, which is the first trial"
            )
    return list(dict.fromkeys(faults))


def _check_objectives(study: Search) -> list[str]:
    allowed = ("dice", "iou", "assd", "hd", "hd95")
    faults = [] if study.objectives else ["objectives is empty: give at least one"]
    for objective in study.objectives:
        if objective.metric not in allowed:
            faults.append(f"objective {objective.metric!r}: choose one of {', '.join(allowed)}")
        if objective.direction not in ("maximize", "minimize"):
            faults.append(
                f"objective {objective.metric}: direction {objective.direction!r} must be "
                "'maximize' or 'minimize'"
            )
    return faults


def _corners(distribution: BaseDistribution) -> Iterable[Any]:
    """The values that show whether a range fits its field."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return (distribution.low, distribution.high)  # type: ignore[attr-defined]


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return bool(distribution.low <= value <= distribution.high)  # type: ignore[attr-defined]


def _try(baseline: Any, changes: Changes, what: str) -> tuple[Any, list[str]]:
    try:
        return apply(baseline, changes), []
    except SpecError as error:
        return None, [f"{what}: {fault}" for fault in error.faults]


def _identity(config: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, repr(v)) for k, v in flatten(config, places=False).items()))
