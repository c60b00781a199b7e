"""Passes Tune's events on to the observer, and records trials whose driver died."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray.tune

from segtune.results.trial_rows import failure, record_failure
from segtune.search.callbacks import survived
from segtune.search.results_store import DIED
from segtune.study.trial import Trial

if TYPE_CHECKING:
    from segtune.execution.launch import Launch


class Relay(ray.tune.Callback):
    """What Tune calls while it runs trials. No callback raises: Tune would end the study."""

    def __init__(self, launch: "Launch", spoilt: Mapping[str, str]) -> None:
        """Pass events on.

        Args:
            launch: the run; which trials have ended is written down in it.
            spoilt: trial -> why it failed although its training did not; filled by the searcher.
        """
        self._launch, self._spoilt = launch, spoilt

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks for a restore that segtune never uses, and a terminal
        can't be pickled."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        started: Trial = trial.config["trial"].unpack()
        with survived(started.trial_id):
            self._launch.observer.started(started)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        reported: Trial = trial.config["trial"].unpack()
        if "error" not in result:
            with survived(reported.trial_id):
                self._launch.observer.reported(reported, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ended: Trial = trial.config["trial"].unpack()
        error = trial.last_result.get("error") or self._spoilt.get(ended.trial_id)
        self._ended(ended, error)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        launch, failed, why = self._launch, trial.config["trial"].unpack(), None
        with suppress(OSError, ValueError):  # of tables: the observer still hears of it
            record_failure(
                launch.storage, launch.name, failed, launch.origin, launch.resources.workers, DIED
            )
            why = failure(launch.storage, launch.name, failed.trial_id)
        self._ended(failed, why or DIED)

    def _ended(self, trial: Trial, error: str | None) -> None:
        self._launch.ended[trial.trial_id] = error
        with survived(trial.trial_id):
            self._launch.observer.ended(trial, error)
