"""Ray Tune's schedulers, told of epochs and nothing else.

By themselves they take Tune's counter for time, which starts anew with each launch, take the final
result (it names the best epoch) for one of that epoch, and forget what earlier launches saw.
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

from segtune.results.trial_rows import SELECTION
from segtune.search.trial_history import ENDED, Course, Past, begun_course, pruning_metric
from segtune.study.overrides import flatten
from segtune.study.scores import scores
from segtune.study.space import corners, distributions
from segtune.study.spec import Search, Trial
from segtune.study.stopping import EPOCHS, Asha

CONTINUE, STOP = str(TrialScheduler.CONTINUE), str(TrialScheduler.STOP)
PAUSE = str(TrialScheduler.PAUSE)


@dataclass(frozen=True)
class _Known:
    """A trial as Ray's rules know it: by our name, which stays the same from launch to launch."""

    trial_id: str


class EpochScheduler(FIFOScheduler):
    """Stops trials by one of Ray's rules; those that have reached their last epoch never."""

    def __init__(
        self, rule: Any, metric: str, courses: dict[str, Course], past: Iterable[Past]
    ) -> None:
        """Tell the rule what earlier launches saw.

        Args:
            rule: a scheduler of Ray's that compares trials by `value` over `epoch`, and asks a
                trial for its id alone.
            metric: what that value is.
            courses: trial -> its scores so far; those of live trials are added to.
            past: the trials of earlier launches.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.stopped: dict[str, int] = {}
        """Trial -> the epoch after which it was stopped."""
        self._rule, self._compared, self._courses = rule, metric, courses
        self._live: set[str] = set()
        self._doomed: set[str] = set()
        """Trials that go on though the rule, told of what they had reached, would have stopped."""
        for trial in past:  # those that go on do so after their checkpoint
            known = _Known(trial.trial_id)
            rule.on_trial_add(None, known)
            told = [self._decide(None, known, e, m) for e, m in trial.course.at_best.items()]
            if trial.status in ENDED:
                rule.on_trial_remove(None, known)
            elif STOP in told:
                self._doomed.add(trial.trial_id)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is to run."""
        self._live.add(_known(trial).trial_id)
        self._rule.on_trial_add(tune_controller, _known(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Whether a trial goes on after an epoch."""
        config = trial.config["trial"].config
        metrics = epoch_metrics(config, result)
        if metrics is None:
            return CONTINUE
        name, epoch = _known(trial).trial_id, result["epoch"]
        course = self._courses.setdefault(name, begun_course(config))
        at_best = course.add(epoch, metrics, result[SELECTION])
        if at_best is None or epoch >= result["epochs"]:
            return CONTINUE
        decision = STOP
        if name not in self._doomed:
            decision = self._decide(tune_controller, _known(trial), epoch, at_best)
        if decision == STOP:
            self.stopped[name] = epoch
        return decision

    def on_trial_complete(
        self, tune_controller: Any, trial: Any, result: Mapping[str, Any]
    ) -> None:
        """Nothing that its epochs have not told."""
        self.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """What it reached still counts for the others. It may be added again."""
        self.on_trial_remove(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial is gone."""
        known = _known(trial)
        if known.trial_id in self._live:
            self._live.remove(known.trial_id)
            self._rule.on_trial_remove(tune_controller, known)

    def debug_string(self) -> str:
        """The rule's."""
        said: str = self._rule.debug_string()
        return said

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
    search: Search, courses: dict[str, Course], past: Iterable[Past]
) -> EpochScheduler | None:
    """The scheduler that a search asks for; None where every trial runs to its end.

    Args:
        search: what is searched.
        courses: as of `EpochScheduler`.
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
        "grace_period": asked.grace_period,
    }
    if isinstance(asked, Asha):
        rule: Any = AsyncHyperBandScheduler(
            **common,
            max_t=most_epochs(search) + 1,  # whoever gets there is killed
            reduction_factor=asked.reduction_factor,
        )
    else:
        common["min_time_slice"] = math.inf  # else trials take turns while there are few
        # A hard stop would refuse to hear of a trial that got further, as several at a time do.
        common["hard_stop"] = False
        rule = MedianStoppingRule(**common, min_samples_required=asked.min_trials)
    return EpochScheduler(rule, metric, courses, past)


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
    return {m: float(result[m]) for m in scores(config) if m in result}


def _known(trial: Any) -> _Known:
    ours: Trial = trial.config["trial"]
    return _Known(ours.trial_id)
