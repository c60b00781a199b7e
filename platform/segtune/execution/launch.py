"""Trainings of a study in Ray Tune: those of a list, or those that a search suggests."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray.tune

from segtune.execution.order import (
    Order,
    finished_of,
    searched_of,
)
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.relay import Relay
from segtune.execution.resources import Resources, fitting_trials
from segtune.execution.training.trainable import trainable
from segtune.results import tables
from segtune.results.provenance import Origin
from segtune.results.storage import Place, local_folder
from segtune.results.trial_rows import selected_value
from segtune.search.journal import JOURNAL
from segtune.search.limited import LimitedSearcher
from segtune.search.results_store import ParquetResultsStore
from segtune.search.schedulers import EpochScheduler, scheduler
from segtune.search.searchers import ListSearcher, OptunaSearcher
from segtune.search.trial_history import read_past
from segtune.study.overrides import Changes
from segtune.study.part import Part
from segtune.study.scores import is_better, selection
from segtune.study.spec import Ablation, Search
from segtune.study.trial import PackedTrial, Trial

DRIVER_RETRIES = 5
"""How often a trial resumes from its checkpoint after its driver died. Most often its node was
lost, and a long study on a cluster loses a few."""


class Observer(Protocol):
    """What is told of the progress of a running study: see `segtune.observers`."""

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """A stage starts: its trials in all, those finished before, and how many run at a time."""
        ...

    def started(self, trial: Trial) -> None:
        """A trial starts: Ray has given it its resources."""
        ...

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """A trial finished an epoch or its final evaluation."""
        ...

    def ended(self, trial: Trial, error: str | None) -> None:
        """A trial has ended; `error` says why it failed, None where it did not."""
        ...


class StudyStopped(RuntimeError):
    """A run ended before its trials did; what they wrote is kept."""


@dataclass(frozen=True)
class Launch:
    """One run of a study on a cluster."""

    order: Order
    origin: Origin
    observer: Observer
    shared: SharedCluster
    ended: dict[str, str | None] = field(default_factory=dict)
    """Trial -> why it failed, None where it did not; of those that have ended in this run."""

    @property
    def name(self) -> str:
        """The study's."""
        return self.order.name

    @property
    def storage(self) -> Place:
        """Where its results lie."""
        return self.order.storage

    @property
    def resources(self) -> Resources:
        """How it runs."""
        return self.order.resources

    def train_listed(self, trials: Sequence[Trial]) -> None:
        """Train those of the given trials that are not finished."""
        done = finished_of(self._rows())
        pending = [t for t in trials if t.trial_id not in done]
        if pending and not self.order.out_of_budget():
            self._tune(ListSearcher(pending), len(trials), len(trials) - len(pending))

    def train_stages(self, listed: Iterable[Sequence[Trial]]) -> None:
        """Train stage by stage, as long as all trials finish: what is decided at a look must not
        depend on which trial failed."""
        for trials in listed:
            self.train_listed(trials)
            done = finished_of(self._rows())
            if any(t.trial_id not in done for t in trials):
                break

    def train_suggested(self, study: Search) -> None:
        """Train the trials that Optuna suggests."""
        rows = self._rows()
        done = len(searched_of(rows) & finished_of(rows))
        if done >= study.num_samples:
            return
        past = read_past(study, self.storage, self.name)
        curves = {p.trial_id: p.curve for p in past}
        stops = scheduler(study, curves, past)
        store = ParquetResultsStore(
            study, self.storage, self.name, self.origin, self.resources.workers
        )
        stopped = {} if stops is None else stops.stopped
        journal = local_folder(self.storage, self.name) / JOURNAL
        searcher = OptunaSearcher(study, self.name, journal, past, store, stopped, curves)
        self._tune(searcher, study.num_samples, done, stops)
        store.confirm(stopped)

    def tuned(self, study: Ablation, part: Part) -> dict[str, Changes] | None:
        """The candidate of each tuned arm that was best on val, by what chooses the best epoch.

        None while any candidate is not finished: the choice must not depend on which failed.
        """
        rows = {r["trial_id"]: r for r in self._rows()}
        scores = tables.read(self.storage, self.name, "scores").to_pylist()
        selects = selection(study.baseline)
        assert selects is not None, "a training that can be run says what it selects on"
        worst = -math.inf if selects.direction == "maximize" else math.inf
        chosen: dict[str, Changes] = {}
        best: dict[str, float] = {}
        for trial in study.tuning_trials():
            if trial not in part:
                continue
            row = rows.get(trial.trial_id)
            if row is None or row["status"] != "finished":
                return None
            assert trial.arm is not None
            assert trial.number is not None
            value = selected_value(scores, trial.trial_id, row["best_epoch"], selects)
            if trial.arm not in best or is_better(selects.direction, value, best[trial.arm]):
                best[trial.arm] = worst if math.isnan(value) else value
                chosen[trial.arm] = study.candidates(trial.arm)[trial.number]
        return chosen

    def _room(self) -> int:
        return fitting_trials(self.resources, self.shared.nodes())

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = tables.read(self.storage, self.name, "trials").to_pylist()
        return rows

    def _tune(
        self,
        searcher: ListSearcher | OptunaSearcher,
        total: int,
        done: int,
        stops: EpochScheduler | None = None,
    ) -> None:
        spoilt = searcher.spoilt if isinstance(searcher, OptunaSearcher) else {}
        limited = LimitedSearcher(searcher, self._room, self.order.out_of_budget)
        self.observer.begin(total, done, limited.max_concurrent)
        before = len(self.ended)
        folder = self.storage / self.name
        tuner = ray.tune.Tuner(
            trainable(self.name, self.storage, self.origin, self.resources),
            tune_config=ray.tune.TuneConfig(
                search_alg=limited,
                scheduler=stops,
                num_samples=total - done,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
                reuse_actors=not self.resources.in_train_run,
            ),
            run_config=ray.tune.RunConfig(
                name="tune",
                storage_path=folder.path,
                storage_filesystem=folder.filesystem if folder.local is None else None,
                failure_config=ray.tune.FailureConfig(max_failures=DRIVER_RETRIES),
                checkpoint_config=ray.tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[Relay(self, spoilt)],
                verbose=0,
            ),
        )
        # Tune keeps a state to restore from, which segtune never does: no word if the disk is full
        logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
        try:
            tuner.fit()
        except ray.tune.TuneError as error:  # its text is a whole traceback
            raise StudyStopped(str(error).strip().splitlines()[-1]) from error
        if isinstance(searcher, OptunaSearcher) and searcher.gave_up is not None:
            raise StudyStopped(f"no further trial could be drawn: {searcher.gave_up}")
        due = limited.handed_out if limited.closed else total - done
        if len(self.ended) - before < due:
            raise KeyboardInterrupt  # Tune handles Ctrl-C itself and returns


def _trial_name(tune_trial: Any) -> str:
    trial: PackedTrial = tune_trial.config["trial"]
    return trial.trial_id
