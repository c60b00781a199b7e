"""Several observers of a study as one."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from segtune.execution.launch import Observer
from segtune.study.trial import Trial


class CompositeObserver:
    """An observer that passes every event on to several others, in their order.

    An error in one of them, as of a full disk, is said once and ends nothing: neither the study nor
    the others.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._failed: set[int] = set()
        """Positions of those that have failed."""

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """A stage starts."""
        self._each(lambda observer: observer.begin(total, done, concurrent))

    def started(self, trial: Trial) -> None:
        """A trial was given its resources."""
        self._each(lambda observer: observer.started(trial))

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """A trial finished an epoch or its final evaluation."""
        self._each(lambda observer: observer.reported(trial, metrics))

    def ended(self, trial: Trial, error: str | None) -> None:
        """A trial is done."""
        self._each(lambda observer: observer.ended(trial, error))

    def _each(self, tell: Callable[[Observer], None]) -> None:
        for position, observer in enumerate(self._observers):
            try:
                tell(observer)
            except Exception as error:  # whatever it is, the study has nothing to do with it
                if position not in self._failed:
                    print(f"segtune: {type(observer).__name__}: {error!r}", file=sys.stderr)
                self._failed.add(position)
