"""How long what is left of a study will take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from segtune.results.status.trials import CANCELLED, RUNNING, SILENT, TrialStatus, defined_epochs


@dataclass(frozen=True)
class TimeLeft:
    """How long what is left will take, at the pace of what has run."""

    seconds: float
    work: float
    """The same seconds if the trials ran one after another."""
    concurrent: int
    """Trials taken to run at a time: as many as do now, at least one."""
    guessed: int
    """Trials without an epoch of their own, at the median pace of their arm, else of the study."""
    at_most: bool
    """Whether some may end before their last epoch: by `evaluation.patience`, or a search's
    scheduler."""


def usual_pace(begun: Sequence[TrialStatus]) -> Callable[[str | None], float] | None:
    """Arm -> seconds of an epoch: the median of its trials, else of all; None without an epoch."""
    paces: dict[str | None, list[float]] = {}
    for trial in begun:
        if trial.epoch_seconds is not None:
            paces.setdefault(trial.arm, []).append(trial.epoch_seconds)
    every = [pace for of_arm in paces.values() for pace in of_arm]
    return (lambda arm: median(paces.get(arm) or every)) if every else None


def time_left(
    begun: Sequence[TrialStatus], waiting: Sequence[str | None], defined: Mapping[str, Any]
) -> TimeLeft | None:
    """The work that is left, over as many trials at a time as run now."""
    unfinished = [t for t in begun if t.state in (RUNNING, SILENT, CANCELLED)]
    own = [t.seconds_left for t in unfinished if t.seconds_left is not None]
    paceless = [(t.arm, (t.epochs or 0) - t.epoch) for t in unfinished if t.seconds_left is None]
    paceless += [(arm, defined_epochs(defined, arm) or 0) for arm in waiting]
    pace = usual_pace(begun)
    if pace is None or not (own or paceless):
        return None
    guessed = [epochs * pace(arm) for arm, epochs in paceless]
    concurrent = max(1, sum(t.state == RUNNING for t in begun))
    seconds = max([*own, *guessed, sum(own + guessed) / concurrent])
    work = sum(own + guessed)
    return TimeLeft(seconds, work, concurrent, len(guessed), _may_end_early(defined))


def _may_end_early(defined: Mapping[str, Any]) -> bool:
    """Whether a definition lets trials end before their last epoch."""
    tuned = (defined.get("tune") or {}).values()
    arms = (defined.get("arms") or {}).values()
    fields = (defined.get("baseline"), defined.get("space"), *arms, *tuned)
    patient = any((of or {}).get("evaluation.patience") is not None for of in fields)
    return patient or defined.get("scheduler") is not None
