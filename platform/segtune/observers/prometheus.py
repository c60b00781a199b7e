"""Each trial's latest numbers as gauges of Ray, which Prometheus scrapes from every node.

The process that runs the study sets the gauges. They disappear when it ends.
"""

import math
from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Gauge

from segtune.results.trial_rows import BEST, VAL
from segtune.study.scores import scores
from segtune.study.trial import Trial

TAGS = ("study", "trial", "arm", "seed")
SHOWN: Mapping[str, tuple[str, str]] = {
    "segtune_trial_loss": ("loss", "Mean loss of the latest epoch's steps."),
    "segtune_trial_images_per_second": ("images_per_second", "Images trained on in a second."),
    "segtune_trial_peak_memory_bytes": ("peak_memory_bytes", "Most memory of the first worker."),
    "segtune_trial_epoch": ("epoch", "Epochs done."),
    "segtune_trial_epochs": ("epochs", "Epochs to do."),
}
"""Gauge -> what a trial reports, and what it is. Prometheus sees each with Ray's prefix `ray_`."""
SCORE, BEST_SCORE = "segtune_trial_score", "segtune_trial_best_score"
"""Gauges of the macro scores on val, with the tag `metric`: `dice`, `assd`."""
STATE = "segtune_trial_state"
STATES = ("running", "finished", "pruned", "failed")


class PrometheusObserver:
    """An observer that sets the gauges."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._gauges: dict[str, Gauge] = {}
        self._finished: set[str] = set()

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """Create the gauges; by now Ray is running."""
        for name, (_, about) in SHOWN.items():
            self._gauges[name] = Gauge(name, description=about, tag_keys=TAGS)
        for name, when in ((SCORE, "after the latest epoch"), (BEST_SCORE, "at the best epoch")):
            about = f"A macro score on val {when}, in the metric's unit."
            self._gauges[name] = Gauge(name, description=about, tag_keys=(*TAGS, "metric"))
        about = "1 for the state that a trial is in, 0 for the others."
        self._gauges[STATE] = Gauge(STATE, description=about, tag_keys=(*TAGS, "state"))

    def started(self, trial: Trial) -> None:
        """Set the trial's state to running."""
        self._set_state(trial, "running")

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Set the trial's latest numbers. Those of the final test are left out: gauges are of
        val."""
        if metrics.get("final"):
            self._finished.add(trial.trial_id)
            return
        for name, (key, _) in SHOWN.items():
            value = metrics.get(key)
            if value is not None and math.isfinite(value):
                self._gauges[name].set(value, tags=self._tags(trial))
        for metric in scores(trial.config):
            tags = {**self._tags(trial), "metric": metric}
            for name, key in ((SCORE, f"{VAL}{metric}"), (BEST_SCORE, f"{BEST}{metric}")):
                value = metrics.get(key)
                if value is not None and math.isfinite(value):
                    self._gauges[name].set(value, tags=tags)

    def ended(self, trial: Trial, error: str | None) -> None:
        """Set the trial's last state: finished, pruned or failed."""
        finished = trial.trial_id in self._finished
        self._set_state(trial, "failed" if error else "finished" if finished else "pruned")

    def _set_state(self, trial: Trial, present: str) -> None:
        for state in STATES:
            self._gauges[STATE].set(
                int(state == present), tags={**self._tags(trial), "state": state}
            )

    def _tags(self, trial: Trial) -> dict[str, str]:
        arm = trial.arm or "search"
        values = (self._study, trial.trial_id, arm, str(trial.seed))
        return dict(zip(TAGS, values, strict=True))
