"""Which trials of a search were the best, by its tables."""

import json
from collections.abc import Sequence

from optuna.trial import TrialState

from segtune.results.storage import Storage
from segtune.search.trial_history import ENDED, OptunaOutcome, PastTrial, optuna_outcome, read_past
from segtune.study.overrides import Changes, SpecError
from segtune.study.spec import Search


def ranked(search: Search, past: Sequence[PastTrial]) -> list[PastTrial]:
    """The trials that finished within the constraints, best first: see `Search.finalists`."""
    outcomes = {p.number: optuna_outcome(search, p.values) for p in past if p.status == "finished"}
    there = [p for p in past if p.number in outcomes and _is_allowed(outcomes[p.number])]
    signs = [-1.0 if o.direction == "maximize" else 1.0 for o in search.objectives]
    points = {
        p.number: tuple(s * v for s, v in zip(signs, outcomes[p.number].values or (), strict=True))
        for p in there
    }

    def is_dominated(number: int) -> bool:
        mine = points[number]
        return any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in points.values()
        )

    return sorted(there, key=lambda p: (is_dominated(p.number), points[p.number][0], p.number))


def choose_finalists(search: Search, past: Sequence[PastTrial]) -> dict[int, Changes] | None:
    """The finalists of a search, and the baseline where it is kept: number of the trial -> its
    changes.

    None while any trial has not ended: a search that goes on may find better ones.
    """
    if _ended(past) < search.num_samples:
        return None
    chosen: dict[int, Changes] = {}
    seen = set()
    for trial in ranked(search, past):
        key = json.dumps(dict(trial.changes), sort_keys=True)
        if key not in seen and len(chosen) < search.finalists:
            seen.add(key)
            chosen[trial.number] = trial.changes
    if search.keeps_baseline and chosen:
        chosen |= {p.number: p.changes for p in past if p.number == 0 and p.status == "finished"}
    return chosen


def best_changes(
    search: Search, name: str, *, storage: Storage = "results", trial: int | None = None
) -> Changes:
    """What a finished search's best trial changes, for `Ablation.around`.

    Args:
        search: what was searched.
        name: what its results are called.
        storage: the folder that holds the studies' results.
        trial: the number of another trial to take; None takes the best by `Search.finalists`' rule.

    Raises:
        SpecError: the search is not finished, or has no such trial.
    """
    past = read_past(search, storage, name)
    if (ended := _ended(past)) < search.num_samples:
        raise SpecError(
            [
                f"search {name} under {storage} is not finished: {ended} of "
                f"{search.num_samples} trials are done. Run it first: segtune run {name}"
            ]
        )
    best = ranked(search, past)
    if trial is not None:
        best = [p for p in best if p.number == trial]
    if not best:
        which = "no trial has" if trial is None else f"t{trial} has not"
        raise SpecError([f"search {name}: {which} finished with every objective, in its limits"])
    return best[0].changes


def _ended(past: Sequence[PastTrial]) -> int:
    """How many trials have ended. Failed ones count, although the next run tries them again."""
    return sum(p.status in (*ENDED, "failed") for p in past)


def _is_allowed(outcome: OptunaOutcome) -> bool:
    return outcome.state == TrialState.COMPLETE and all(
        v <= 0 for v in outcome.constraints.values()
    )
