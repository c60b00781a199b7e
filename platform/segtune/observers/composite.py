"""Several observers of a study as one."""

from collections.abc import Mapping
from typing import Any

from segtune.execution.runner import Observer
from segtune.study.trial import Trial


class CompositeObserver:
    """An observer that passes every event on to several others, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """A stage starts."""
        for observer in self._observers:
            observer.begin(total, done, concurrent)

    def started(self, trial: Trial) -> None:
        """A trial was given its resources."""
        for observer in self._observers:
            observer.started(trial)

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """A trial finished an epoch or its final evaluation."""
        for observer in self._observers:
            observer.reported(trial, metrics)

    def ended(self, trial: Trial, error: str | None) -> None:
        """A trial is done."""
        for observer in self._observers:
            observer.ended(trial, error)
