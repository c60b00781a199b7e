"""A study's trials as runs of a tracking tool: TensorBoard, MLflow, Weights & Biases.

They repeat what the tables hold. A run that a trial goes on with is first filled up from the
tables, so that no epoch is missing from it, and none is in it twice.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from segtune.observers.tracked import Ending, TrackedTrial, ending_of, history, tracked_trial
from segtune.results.storage import Storage
from segtune.study.trial import Trial

PAUSE = 5 * 60.0
"""Seconds without a further try after a tool did not answer: each try holds the study up."""


class Tracker(Protocol):
    """A tracking tool: a row of `segtune.observers.trackers`."""

    name: str
    errors: tuple[type[Exception], ...]
    """What its client raises where the tool does not answer, or refuses."""

    def check(self) -> str:
        """See that the tool answers, before anything starts.

        Returns:
            Where the runs will be, or the command that shows them.

        Raises:
            ValueError: it does not; what to do.
        """
        ...

    def open(self, trial: TrackedTrial) -> Collection[int]:
        """Begin a trial's run, or go on with it; the epochs that it has already."""
        ...

    def log(self, trial_id: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add an epoch to an open run: curve -> value."""
        ...

    def close(self, trial_id: str, ending: Ending) -> None:
        """End an open run."""
        ...


class TrackingObserver:
    """An observer that keeps a tracking tool's runs up to date.

    Where the tool does not answer, or the disk is full, the study goes on; the runs are filled up
    when it answers again.
    """

    def __init__(
        self, tracker: Tracker, storage: Storage, study: str, say: Callable[[str], None]
    ) -> None:
        """Keep what is needed.

        Args:
            tracker: the tool.
            storage: the folder that holds the studies.
            study: its name.
            say: tells a person what went wrong.
        """
        self._tracker, self._storage, self._study, self._say = tracker, storage, study, say
        self._open: dict[str, TrackedTrial] = {}
        self._has: dict[str, set[int]] = {}
        self._last: dict[str, int] = {}
        self._final: set[str] = set()
        self._incomplete: set[str] = set()
        self._refused_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the runs of trials that were interrupted."""
        for trial_id in list(self._open):
            self._try(trial_id, lambda i: self._tracker.close(i, Ending("cancelled")))
        if self._incomplete:
            self._say(
                f"{self._tracker.name} lacks something of {', '.join(sorted(self._incomplete))}: "
                f"`segtune sync {self._study} --to {self._tracker.name}` adds it"
            )

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """Nothing to write yet."""

    def started(self, trial: Trial) -> None:
        """Nothing to write yet: a trial's row is written by its worker."""

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Add a point to each curve. The final test has none: curves are of val."""
        if metrics.get("final"):
            self._final.add(trial.trial_id)
            return
        epoch = int(metrics["epoch"])

        def add(trial_id: str) -> None:
            if trial_id not in self._open or epoch != self._last[trial_id] + 1:
                self._begin(trial_id, before=epoch)
            self._log(trial_id, epoch, metrics)

        self._try(trial.trial_id, add)

    def ended(self, trial: Trial, error: str | None) -> None:
        """End the trial's run, with the scores of its best epoch."""
        finished = trial.trial_id in self._final
        status = "failed" if error else "finished" if finished else "pruned"

        def end(trial_id: str) -> None:
            if trial_id not in self._open:
                self._begin(trial_id)
            ending = ending_of(self._storage, self._study, trial_id, status, error)
            self._tracker.close(trial_id, ending)
            self._forget(trial_id)

        self._try(trial.trial_id, end)

    def bring_over(self, trial_id: str) -> None:
        """Fill up the run of a trial that has ended, from the tables alone.

        Raises:
            OSError: the tables can't be read; and what the tracker's client raises.
        """
        self._begin(trial_id)
        self._tracker.close(trial_id, ending_of(self._storage, self._study, trial_id))
        self._forget(trial_id)

    def _begin(self, trial_id: str, before: int | None = None) -> None:
        """Open a trial's run, with all epochs before one; None means with all there are."""
        trial = tracked_trial(self._storage, self._study, trial_id)
        self._has[trial_id] = set(self._tracker.open(trial))
        self._open[trial_id], self._last[trial_id] = trial, 0
        if before is None or before > 1:
            for epoch, values in history(self._storage, self._study, trial_id):
                if before is None or epoch < before:
                    self._log(trial_id, epoch, values)

    def _log(self, trial_id: str, epoch: int, values: Mapping[str, Any]) -> None:
        if epoch not in self._has[trial_id]:
            curves = self._open[trial_id].curves
            points = {c: values[key] for key, c in curves.items() if values.get(key) is not None}
            self._tracker.log(trial_id, epoch, points)
            self._has[trial_id].add(epoch)
        self._last[trial_id] = epoch

    def _try(self, trial_id: str, act: Callable[[str], None]) -> None:
        """Do something for a trial's run; if that fails, the next time fills up what is missing."""
        refused_at = self._refused_at
        if refused_at is not None and time.monotonic() < refused_at + PAUSE:
            self._incomplete.add(trial_id)
            self._forget(trial_id)
            return
        failures: tuple[type[Exception], ...] = (OSError, *self._tracker.errors)
        try:
            act(trial_id)
        except failures as error:
            if refused_at is None:
                self._say(
                    f"{self._tracker.name} takes nothing: {cause_of(error)}. The study goes on"
                )
            self._refused_at = time.monotonic()
            self._incomplete.add(trial_id)
            self._forget(trial_id)
        else:
            self._incomplete.discard(trial_id)

    def _forget(self, trial_id: str) -> None:
        self._open.pop(trial_id, None)
        self._last.pop(trial_id, None)


def cause_of(error: Exception) -> str:
    """What a tool's client says, in one line, without the password that an address may have."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]+@", "//", first)
