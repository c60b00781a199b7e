"""Ray Tune's schedulers, which get the results of epochs and no others.

Used directly, they would measure time by Tune's counter, which restarts with each launch; they
would take a trial's final result for one of its best epoch; and they would not know the trials of
earlier launches.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from segtune.results.trial_rows import SELECTION, VAL
from segtune.search.callbacks import survived
from segtune.search.trial_history import (
    ENDED,
    LearningCurve,
    PastTrial,
    begun_curve,
    pruning_metric,
)
from segtune.study.overrides import flatten
from segtune.study.scores import scores
from segtune.study.space import corners, distributions
from segtune.study.spec import Search
from segtune.study.stopping import EPOCHS, EVERY, Asha, first_decision
from segtune.study.trial import PackedTrial

CONTINUE, STOP = str(TrialScheduler.CONTINUE), str(TrialScheduler.STOP)
PAUSE = str(TrialScheduler.PAUSE)


@dataclass(frozen=True)
class _Known:
    """A trial as Ray's schedulers see it: its id is ours, which is the same at each launch."""

    trial_id: str


class EpochScheduler(FIFOScheduler):
    """Stops trials by one of Ray's schedulers, but never one that has reached its last epoch. A
    trial about which that one raises an error goes on."""

    def __init__(
        self, rule: Any, metric: str, curves: dict[str, LearningCurve], past: Iterable[PastTrial]
    ) -> None:
        """Replay the results of earlier launches to Ray's scheduler.

        Args:
            rule: a scheduler of Ray's that compares trials by `value` over `epoch`, and asks a
                trial for its id alone.
            metric: what that value is.
            curves: trial -> its scores so far; those of live trials are added to.
            past: the trials of earlier launches.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.stopped: dict[str, int] = {}
        """Trial -> the epoch after which it was stopped."""
        self._rule, self._compared, self._curves = rule, metric, curves
        self._live: set[str] = set()
        self._doomed: set[str] = set()
        """Trials to stop after their next epoch: the replay of their earlier ones already said
        so."""
        for trial in past:  # a trial that resumes does so from its checkpoint
            known = _Known(trial.trial_id)
            rule.on_trial_add(None, known)
            decisions = [self._decide(None, known, e, m) for e, m in trial.curve.at_best.items()]
            if trial.status in ENDED:
                rule.on_trial_remove(None, known)
            elif STOP in decisions:
                self._doomed.add(trial.trial_id)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Register a trial that is about to run."""
        known = _known(trial)
        self._live.add(known.trial_id)
        with survived(f"the scheduler, of {known.trial_id}"):
            self._rule.on_trial_add(tune_controller, known)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Whether a trial goes on after an epoch."""
        with survived(f"the scheduler, of {_known(trial).trial_id}"):
            return self._decision(tune_controller, trial, result)
        return CONTINUE

    def on_trial_complete(
        self, tune_controller: Any, trial: Any, result: Mapping[str, Any]
    ) -> None:
        """Remove the trial: its epochs were all seen already."""
        self.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Remove the trial; others are still compared with its epochs. It may be added again."""
        self.on_trial_remove(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Remove a trial that runs no more."""
        known = _known(trial)
        if known.trial_id in self._live:
            self._live.remove(known.trial_id)
            with survived(f"the scheduler, of {known.trial_id}"):
                self._rule.on_trial_remove(tune_controller, known)

    def debug_string(self) -> str:
        """State of Ray's scheduler, for its logs."""
        state: str = self._rule.debug_string()
        return state

    def _decision(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        config = trial.config["trial"].unpack().config
        metrics = epoch_metrics(config, result)
        if metrics is None:
            return CONTINUE
        name, epoch = _known(trial).trial_id, result["epoch"]
        curve = self._curves.setdefault(name, begun_curve(config))
        at_best = curve.add(epoch, metrics, result[SELECTION])
        if at_best is None or epoch >= result["epochs"]:
            return CONTINUE
        decision = STOP
        if name not in self._doomed:
            decision = self._decide(tune_controller, _known(trial), epoch, at_best)
        if decision == STOP:
            self.stopped[name] = epoch
        return decision

    def _decide(
        self, controller: Any, known: _Known, epoch: int, metrics: Mapping[str, float]
    ) -> str:
        value = metrics.get(self._compared, math.nan)
        if math.isnan(value):
            return CONTINUE
        result = {"epoch": epoch, "value": value}
        decision: str = self._rule.on_trial_result(controller, known, result)
        return STOP if decision == PAUSE else decision


def scheduler(
    search: Search, curves: dict[str, LearningCurve], past: Iterable[PastTrial]
) -> EpochScheduler | None:
    """The scheduler that a search asks for; None where every trial runs to its end.

    Args:
        search: what is searched.
        curves: as of `EpochScheduler`.
        past: as of `EpochScheduler`.
    """
    asked, found = search.scheduler, pruning_metric(search)
    if asked is None:
        return None
    assert found is not None
    metric, direction = found
    common: dict[str, Any] = {
        "time_attr": "epoch",
        "metric": "value",
        "mode": "max" if direction == "maximize" else "min",
        # Else a lower rung, passed over between two scores, would stop trials at a later one.
        "grace_period": first_decision(asked.grace_period, flatten(search.baseline).get(EVERY, 1)),
    }
    if isinstance(asked, Asha):
        rule: Any = AsyncHyperBandScheduler(
            **common,
            max_t=most_epochs(search) + 1,  # a trial that reached `max_t` would be stopped
            reduction_factor=asked.reduction_factor,
        )
    else:
        common["min_time_slice"] = math.inf  # else trials take turns while there are few
        # With a hard stop, a trial that trained past the decision would raise an error.
        common["hard_stop"] = False
        rule = MedianStoppingRule(**common, min_samples_required=asked.min_trials)
    return EpochScheduler(rule, metric, curves, past)


def most_epochs(search: Search) -> int:
    """Epochs of the longest trial that can be drawn."""
    epochs: list[int] = [flatten(search.baseline)[EPOCHS]]
    drawn = distributions(search.space)
    if EPOCHS in drawn:
        epochs += corners(drawn[EPOCHS])
    return max(epochs)


def epoch_metrics(config: Any, result: Mapping[str, Any]) -> dict[str, float] | None:
    """The metrics of an epoch; None where a result is no epoch's.

    Args:
        config: of the trial, which says what it is scored with.
        result: what the trial reported.
    """
    if result.get("final") or "error" in result or SELECTION not in result:
        return None
    return {m: float(result[f"{VAL}{m}"]) for m in scores(config) if f"{VAL}{m}" in result}


def _known(trial: Any) -> _Known:
    ours: PackedTrial = trial.config["trial"]
    return _Known(ours.trial_id)
