"""Run a study: what is left of it, through Ray Tune, until every trial is done."""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ray.tune

from segtune.execution.lock import only_run
from segtune.execution.order import (
    Order,
    Ready,
    finalists_of,
    finished_of,
    is_unfinished,
    look_over,
    searched_of,
)
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.relay import Relay
from segtune.execution.repair import begin_again, remove_leftovers
from segtune.execution.resources import Resources, fitting_trials
from segtune.execution.stages import stages, stages_of_finalists
from segtune.execution.trainable import trainable
from segtune.results import study_file, tables
from segtune.results.integrity.damage import find_damage
from segtune.results.provenance import Origin, find_origin
from segtune.results.storage import Place, Storage, local_folder
from segtune.results.trial_rows import record_cancelled, selected_value
from segtune.search import finalists
from segtune.search.callbacks import survived
from segtune.search.journal import JOURNAL, correct
from segtune.search.limited import LimitedSearcher
from segtune.search.results_store import ParquetResultsStore
from segtune.search.schedulers import EpochScheduler, scheduler
from segtune.search.searchers import ListSearcher, OptunaSearcher
from segtune.search.trial_history import read_past
from segtune.study import definition
from segtune.study.overrides import Changes
from segtune.study.part import WHOLE, Part
from segtune.study.scores import is_better, selection
from segtune.study.spec import Ablation, Search, Study
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
class Outcome:
    """How a run of a study ended."""

    ran: int
    """Trials that this run trained."""
    failed: tuple[str, ...]
    """Ids of trials that have failed."""
    total: int
    lacking: int = 0
    """How many finalists fewer there are than the search asked for."""
    out_of_budget: bool = False
    """Whether trials are left because the budget is spent."""


def run(
    study: Study,
    name: str,
    storage: Storage,
    resources: Resources,
    observer: Observer,
    *,
    address: str | None = None,
    file: Path | None = None,
    undecided: Callable[[Storage, str, int], Collection[str]],
    part: Part = WHOLE,
) -> Outcome:
    """Train every trial of one study that is not finished yet.

    Args:
        study: as of `Order`, like the others.
        name: of the study.
        storage: where results lie.
        resources: how to run it.
        observer: is told what happens.
        address: a Ray cluster; None takes the one that this process belongs to, else starts one
            on this machine.
        file: the study's.
        undecided: which arms get further seeds.
        part: which trials are trained.

    Raises:
        ValueError: as of `look_over` and `train`.
        StudyStopped: something outside of the trials went wrong, as a full disk may make it.
    """
    order = Order(study, name, Place.of(storage), resources, undecided, part, file)
    with SharedCluster(address) as shared:
        return train(look_over(order, address), observer, shared)


def train(ready: Ready, observer: Observer, shared: SharedCluster) -> Outcome:
    """Train what is left of a study.

    Args:
        ready: the study.
        observer: is told what happens.
        shared: where it runs; it is connected to when the first trial is to be trained.

    Raises:
        ValueError: another process runs this study now, or the cluster has too little for it.
        StudyStopped: something outside of the trials went wrong, as a full disk may make it.
    """
    order, kept = ready.order, ready.kept
    study, name, storage = order.study, order.name, order.storage
    if ready.finished:
        _look_at_finished(study, name, storage, kept)
    if ready.finished or _out_of_budget(order):
        rows = tables.read(storage, name, "trials", damaged={}).to_pylist()
        return Outcome(
            0, (), len(rows), _lacking(study, name, storage), out_of_budget=not ready.finished
        )
    with only_run(storage, name):
        remove_leftovers(storage, name)
        if ready.lost:
            begin_again(storage, name, find_damage(storage, name))
        try:
            shared.connect(order.resources)
            study_file.write(storage, name, dict(kept))
            launch = Launch(order, find_origin(order.file), observer, shared)
            if isinstance(study, Ablation):
                _run_ablation(study, launch)
            else:
                _run_search(study, launch, kept)
        except BaseException as error:
            shared.close()  # before anything else is written: no trial may write after it
            if isinstance(error, KeyboardInterrupt):
                record_cancelled(storage, name)
            raise
    rows = tables.read(storage, name, "trials").to_pylist()
    failed = {r["trial_id"] for r in rows if r["status"] == "failed"}
    failed |= {trial_id for trial_id, error in launch.ended.items() if error}
    known = {r["trial_id"] for r in rows} | failed  # some may have died before they had a row
    return Outcome(
        len(launch.ended),
        tuple(sorted(failed)),
        len(known),
        _lacking(study, name, storage),
        out_of_budget=_out_of_budget(order) and is_unfinished(order, rows),
    )


def _out_of_budget(order: Order) -> bool:
    return order.allowance is not None and order.allowance.is_spent()


def _look_at_finished(study: Study, name: str, storage: Storage, kept: Mapping[str, Any]) -> None:
    """Bring what is told of a finished study up to date: a changed margin, which finalists were
    chosen, and Optuna's journal where a run was killed before it had told the last end."""
    old = study_file.read(storage, name) or {}
    wanted = dict(kept)
    if isinstance(study, Search):
        _correct_journal(study, name, storage)
        if study.finalists:
            wanted[definition.CHOSEN] = list(finalists_of(study, name, storage))
    if any(wanted.get(k) != old.get(k) for k in (definition.MARGIN_BEFORE, definition.CHOSEN)):
        with only_run(storage, name):
            study_file.write(storage, name, wanted)


def _correct_journal(study: Search, name: str, storage: Storage) -> None:
    """Have Optuna's journal say what the tables say; nothing else depends on it."""
    with survived(JOURNAL):
        past = read_past(study, storage, name)
        correct(study, name, local_folder(storage, name) / JOURNAL, past)


def _run_ablation(study: Ablation, launch: "Launch") -> None:
    part = launch.order.part
    launch.train_listed([t for t in study.tuning_trials() if t in part])
    tuned = launch.tuned(study, part)
    if tuned is None:
        return
    listed = stages(study, tuned, launch.order.ask)
    launch.train_stages([t for t in trials if t in part] for trials in listed)


def _run_search(study: Search, launch: "Launch", kept: Mapping[str, Any]) -> None:
    launch.train_suggested(study)
    _correct_journal(study, launch.name, launch.storage)
    if not study.finalists:
        return
    past = read_past(study, launch.storage, launch.name)
    chosen = finalists.choose_finalists(study, past)
    if chosen is None:  # not all trials have ended: better ones may come
        return
    study_file.write(launch.storage, launch.name, {**kept, definition.CHOSEN: list(chosen)})
    launch.train_stages(stages_of_finalists(study, chosen, launch.order.ask))


def _lacking(study: Study, name: str, storage: Storage) -> int:
    if isinstance(study, Ablation) or not study.finalists:
        return 0
    chosen = finalists.choose_finalists(study, read_past(study, storage, name))
    return 0 if chosen is None else max(0, study.finalists - len(chosen))


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
        if pending and not _out_of_budget(self.order):
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
        limited = LimitedSearcher(searcher, self._room, partial(_out_of_budget, self.order))
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
