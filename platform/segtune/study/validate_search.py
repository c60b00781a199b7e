"""Find every mistake in a search."""

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning

from segtune.study.costs import COSTS
from segtune.study.overrides import Changes, SpecError, apply, flatten
from segtune.study.samplers import EXHAUSTIVE, missing_package, sampler, sampler_names
from segtune.study.scores import margin_faults, scores
from segtune.study.space import (
    When,
    combinations,
    contains,
    distribution,
    ends,
    every_value,
    ordered,
    some_combinations,
    suggest,
)
from segtune.study.spec import Search
from segtune.study.stopping import EPOCHS, EVERY, first_decision

COMBINATIONS = 1024
"""How many combinations of a space's ends and choices are checked; where there are more, a
sample."""
DRAWS = 3
"""How many trials the sampler draws as a check: some samplers refuse a study only when they
draw."""


def faults_of_search(study: Search) -> list[str]:
    """One line per mistake, with the choices and the fix."""
    faults = []
    if study.num_samples < 1:
        faults.append(f"num_samples = {study.num_samples}: give at least 1")
    if not study.space:
        faults.append("space is empty: give at least one field to search")
    faults += _conditions(study)
    faults += _ranges(study)
    faults += _values(study)
    faults += _objectives(study)
    faults += _scheduler(study)
    faults += _finalists(study)
    faults += _margin(study)
    faults = list(dict.fromkeys(faults)) or _combinations(study)
    return faults + _sampler(study, drawable=not faults)


def try_changes(baseline: Any, changes: Changes, what: str) -> tuple[Any, list[str]]:
    """The changed baseline, and what is wrong with it.

    Args:
        baseline: a configuration.
        changes: to it.
        what: where they come from, for messages.
    """
    if "seed" in changes:
        return None, [f"{what}: a seed is no change: give it in the study's seeds or seed"]
    try:
        return apply(baseline, changes), []
    except SpecError as error:
        return None, [f"{what}: {fault}" for fault in error.faults]


def _conditions(study: Search) -> Iterator[str]:
    space, reached = study.space, ordered(study.space)
    for field, when in space.items():
        if not isinstance(when, When):
            continue
        if when.field not in space:
            yield (
                f"space: {field} depends on {when.field}, which is not searched: "
                f"choose one of {', '.join(f for f in space if f != field)}"
            )
            continue
        if field not in reached and _circular(study, field):
            yield f"space: {field} depends on {when.field}, which depends on it"
            continue
        if not when.values:
            yield f"space: {field} goes with no value of {when.field}: give at least one"
        parent = distribution(space, when.field)
        for value in when.values:
            if not contains(parent, value):
                yield (
                    f"space: {field} goes with {when.field} = {value!r}, which is never drawn from "
                    f"{parent}"
                )


def _ranges(study: Search) -> Iterator[str]:
    """What Optuna can't write down, or can't draw from."""
    for field in study.space:
        where = distribution(study.space, field)
        if isinstance(where, CategoricalDistribution):
            for choice in where.choices:
                if not _can_be_written(choice):
                    yield (
                        f"space: {field} can't be drawn from {choice!r}: choices are numbers, "
                        "words, True, False and None; a search draws what a tuple holds by fields "
                        "of their own, or the tuples are arms of an ablation"
                    )
        elif isinstance(where, FloatDistribution) and not math.isfinite(where.high - where.low):
            yield f"space: {field} lies in {where}: give finite ends"


def _can_be_written(choice: Any) -> bool:
    """Whether Optuna's journal gives a choice back as it was."""
    if isinstance(choice, float):
        return math.isfinite(choice)
    return choice is None or isinstance(choice, bool | int | str)


def _circular(study: Search, field: str) -> bool:
    seen = [field]
    while isinstance(when := study.space.get(seen[-1]), When):
        if when.field in seen:
            return True
        seen.append(when.field)
    return False


def _values(study: Search) -> Iterator[str]:
    for _, changes in ends(study.space):
        yield from try_changes(study.baseline, changes, "space")[1]
    first = study.first()
    for field in study.space:
        where = distribution(study.space, field)
        start = first.get(field)
        if field in first and not contains(where, start):
            yield (
                f"space: the baseline's {field} = {start!r} lies outside of {where}: "
                "widen the space or change the baseline, which is the first trial"
            )


def _combinations(study: Search) -> list[str]:
    """Values that are each allowed may not be so together."""
    found: dict[str, dict[str, Any]] = {}
    for changes in some_combinations(study.space, COMBINATIONS):
        for fault in try_changes(study.baseline, changes, "space")[1]:
            found.setdefault(fault, changes)
    return [f"{fault} (as with {changes})" for fault, changes in found.items()]


def _objectives(study: Search) -> Iterator[str]:
    allowed = (*scores(study.baseline), *COSTS)
    if not study.objectives:
        yield "objectives is empty: give at least one"
    metrics = [objective.metric for objective in study.objectives]
    for metric in dict.fromkeys(metrics):
        if metric not in allowed:
            yield f"objective {metric!r}: choose one of {', '.join(allowed)}"
        if metrics.count(metric) > 1:
            yield f"objective {metric} stands {metrics.count(metric)} times: once is enough"
    for constraint in study.constraints:
        if constraint.metric not in allowed:
            yield f"constraint {constraint.metric!r}: choose one of {', '.join(allowed)}"
        if not math.isfinite(constraint.limit):
            yield f"constraint {constraint}: give a finite number, or leave the constraint out"


def _scheduler(study: Search) -> Iterator[str]:
    asked = study.scheduler
    if asked is None:
        return
    known = scores(study.baseline)
    if asked.metric is not None and asked.metric not in known:
        yield (
            f"scheduler: trials can't be compared by {asked.metric!r} after each epoch: "
            f"choose one of {', '.join(known)}"
        )
    if asked.metric is None and not any(o.metric in known for o in study.objectives):
        yield f"scheduler: no objective is a score: give its metric, one of {', '.join(known)}"
    fields = flatten(study.baseline)
    epochs, every = fields.get(EPOCHS), fields.get(EVERY, 1)
    if epochs is None:
        yield f"scheduler: it counts epochs, and the baseline has no {EPOCHS}: leave it out"
    elif asked.grace_period >= epochs:
        yield (
            f"scheduler: grace_period = {asked.grace_period} of {epochs} epochs stops nobody: "
            f"give less than {epochs}, or leave the scheduler out"
        )
    elif (first := first_decision(asked.grace_period, every)) >= epochs:
        yield (
            f"scheduler: it stops nobody: with {EVERY} = {every} and grace_period = "
            f"{asked.grace_period} the first score that it could decide by comes after epoch "
            f"{min(first, epochs)} of {epochs}: evaluate more often, or leave the scheduler out"
        )


def _finalists(study: Search) -> Iterator[str]:
    seeds, count = study.all_finalist_seeds, study.finalists
    if count < 0 or count > study.num_samples:
        yield f"finalists = {count}: give 0 to {study.num_samples}, the number of trials"
    if count > 0 and not seeds:
        yield "finalist_seeds is empty: give at least one fresh seed to train the finalists with"
    if seeds and count == 0:
        yield f"finalist_seeds = {seeds} and no finalists: give finalists, or leave the seeds out"
    if len(set(seeds)) < len(seeds):
        yield f"finalist_seeds = {seeds}: each must stand once"
    last = study.seed + max(study.num_samples, 1) - 1
    if used := [s for s in seeds if study.seed <= s <= last]:
        yield (
            f"finalist_seeds: {used} may choose the configurations (the search trains with seeds "
            f"from {study.seed}, up to {last} for one drawn again): give others"
        )
    for seed in seeds:
        try:
            apply(study.baseline, {"seed": seed})
        except SpecError as error:
            yield from (f"finalist_seeds: {fault}" for fault in error.faults)


def _margin(study: Search) -> list[str]:
    if not study.margin:
        return []
    if not study.finalists:
        return ["margin: it is for the finalists, and there are none: give some, or leave it out"]
    kinds = scores(study.baseline)
    compared = {o.metric: kinds[o.metric] for o in study.objectives if o.metric in kinds}
    return margin_faults(study.margin, compared)


def _sampler(study: Search, *, drawable: bool) -> list[str]:
    """Check that the sampler can be built, and can draw from this space for these objectives."""
    if study.sampler == "GridSampler":
        return [f"sampler GridSampler keeps no grid from one run to the next: use {EXHAUSTIVE}"]
    if (package := missing_package(study.sampler)) is not None:
        return [
            f"sampler {study.sampler} needs the package {package}, which is not installed: "
            f"pip install {package}, or choose one of {', '.join(sampler_names())}"
        ]
    known = sampler_names()
    if study.sampler not in known:
        return [f"sampler {study.sampler!r} can't be used: choose one of {', '.join(known)}"]
    if "seed" in study.sampler_options:
        return ["sampler_options: a seed is the study's own: give it in seed"]
    try:
        optuna_sampler = sampler(study.sampler, study.sampler_options, 0)
        if drawable and study.space:
            _draw(study, optuna_sampler)
    except Exception as error:  # each sampler has its own
        options = f" with {dict(study.sampler_options)}" if study.sampler_options else ""
        return [f"sampler {study.sampler}{options} can't be used: {error}"]
    if study.sampler == EXHAUSTIVE and drawable:
        every = itertools.islice(combinations(study.space, every_value), study.num_samples)
        if (count := sum(1 for _ in every)) < study.num_samples:
            return [
                f"num_samples = {study.num_samples}: {EXHAUSTIVE} draws each of the {count} "
                "combinations once: give no more than that"
            ]
    return []


def _draw(study: Search, optuna_sampler: optuna.samplers.BaseSampler) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        trial_run = optuna.create_study(
            sampler=optuna_sampler, directions=[o.direction for o in study.objectives]
        )
        for number in range(DRAWS):
            asked = trial_run.ask()
            suggest(asked, study.space)
            trial_run.tell(asked, [float(number)] * len(study.objectives))
