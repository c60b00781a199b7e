"""Run a study: what is left of it, through Ray Tune, until every trial is done."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ray.tune
from ray.tune.search import Searcher

from segtune import definition, table
from segtune.changes import Changes, SpecError
from segtune.check import check, check_grown, check_name, fitting_trials
from segtune.cluster import cluster
from segtune.record import Origin, best_values, find_origin, record_failure
from segtune.search import Listed, OptunaSearcher
from segtune.spec import Ablation, Resources, Search, Study, Trial
from segtune.spec import definition as define
from segtune.trial import DRIVER_MEMORY, drive


class Observer(Protocol):
    """Somebody who watches a study run."""

    def begin(self, total: int, done: int, together: int) -> None:
        """A stage starts: trials in all, those done before, and how many run at a time."""
        ...

    def started(self, trial: Trial) -> None:
        """A trial was given its resources."""
        ...

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """A trial finished an epoch or its final evaluation."""
        ...

    def ended(self, trial: Trial, error: str | None) -> None:
        """A trial is done."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended."""

    ran: int
    """Trials that this run trained."""
    failed: tuple[str, ...]
    """Ids of trials that have failed."""
    total: int


def run(
    study: Study,
    name: str,
    storage: Path,
    resources: Resources,
    observer: Observer,
    *,
    address: str | None = None,
) -> Outcome:
    """Train every trial of a study that is not finished yet.

    Args:
        study: what to run.
        name: of the study; the same name goes on where an earlier run stopped.
        storage: the folder that holds the studies; every node must reach it.
        resources: how to run it.
        observer: is told what happens.
        address: a Ray cluster; None takes the one that this process belongs to, else starts one
            on this machine.

    Raises:
        ValueError: something is wrong with the study, data, resources or storage. Nothing was
            started or written.
    """
    storage = storage.expanduser().absolute()
    kept = check_definition(study, name, storage)
    rows = table.read(storage, name, "trials").to_pylist()
    if not _unfinished(study, _finished(rows)):
        return Outcome(0, (), len(rows))
    check_places(study)
    with cluster(address, resources) as available:
        definition.write(storage, name, kept)
        launch = _Launch(name, storage, resources, find_origin(), observer, available)
        ran = _run_ablation(study, launch) if isinstance(study, Ablation) else launch.search(study)
    rows = table.read(storage, name, "trials").to_pylist()
    failed = tuple(r["trial_id"] for r in rows if r["status"] == "failed")
    return Outcome(ran, failed, len(rows))


def check_definition(study: Study, name: str, storage: Path) -> dict[str, Any]:
    """Look over a study, its name and where it is kept.

    Returns:
        The study's definition, to be kept beside its tables.

    Raises:
        SpecError: mistakes in the study, a storage that can't be written, or a name that another
            definition has.
    """
    check_name(name)
    check(study)
    _check_writable(storage)
    kept = {"schema_version": definition.SCHEMA_VERSION, **define(name, study)}
    if (old := definition.read(storage, name)) is not None:
        check_grown(old, kept)
    return kept


def check_places(study: Study) -> None:
    """Read the data and weights that the trials will need, before anything starts.

    Raises:
        SpecError: whatever is wrong with them.
    """
    configs = (
        [t.config for t in (*study.tuning_trials(), *study.trials({}))]
        if isinstance(study, Ablation)
        else [study.baseline]
    )
    looks = {repr(c.data): c.data.open for c in configs}
    looks |= {repr(c.system): c.system.check_weights for c in configs}
    faults = []
    for look in looks.values():
        try:
            look()
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))


def _run_ablation(study: Ablation, launch: "_Launch") -> int:
    ran = launch.listed(list(study.tuning_trials()))
    return ran + launch.listed(list(study.trials(launch.tuned(study))))


def _unfinished(study: Study, done: set[str]) -> bool:
    if isinstance(study, Search):
        return len(done) < study.num_samples
    return any(t.trial_id not in done for t in (*study.tuning_trials(), *study.trials({})))


def _finished(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {r["trial_id"] for r in rows if r["status"] in ("finished", "pruned")}


@dataclass(frozen=True)
class _Launch:
    """One run of a study on a cluster."""

    name: str
    storage: Path
    resources: Resources
    origin: Origin
    observer: Observer
    available: Mapping[str, float]

    def listed(self, trials: Sequence[Trial]) -> int:
        """Train those that are not finished; how many those were."""
        done = _finished(table.read(self.storage, self.name, "trials").to_pylist())
        pending = [t for t in trials if t.trial_id not in done]
        if pending:
            self._tune(Listed(pending), len(trials), len(trials) - len(pending))
        return len(pending)

    def search(self, study: Search) -> int:
        """Train what Optuna asks for."""
        rows = table.read(self.storage, self.name, "trials").to_pylist()
        scores = table.read(self.storage, self.name, "scores").to_pylist()
        done = _finished(rows)
        for row in rows:
            if row["trial_id"] in done:
                found = best_values(scores, row["trial_id"], row["best_epoch"])
                row["objectives"] = {k.removeprefix("best_"): v for k, v in found.items()}
        journal = self.storage / self.name / "optuna.journal"
        searcher = OptunaSearcher(study, self.name, journal, rows)
        self._tune(searcher, study.num_samples, len(done))
        return study.num_samples - len(done)

    def tuned(self, study: Ablation) -> dict[str, Changes]:
        """The candidate of each tuned arm that was best on val (macro Dice)."""
        rows = table.read(self.storage, self.name, "trials").to_pylist()
        scores = table.read(self.storage, self.name, "scores").to_pylist()
        chosen: dict[str, Changes] = {}
        for arm in study.tune:
            dice = {
                row["number"]: best_values(scores, row["trial_id"], row["best_epoch"])["best_dice"]
                for row in rows
                if (row["role"], row["arm"], row["status"]) == ("tune", arm, "finished")
            }
            if not dice:
                raise SpecError([f"every candidate of arm {arm} failed: see the trials table"])
            chosen[arm] = study.candidates(arm)[max(sorted(dice), key=lambda n: dice[n])]
        return chosen

    def _tune(self, searcher: Searcher, total: int, done: int) -> None:
        together = fitting_trials(self.resources, self.available)
        self.observer.begin(total, done, together)
        driver = partial(
            drive,
            study=self.name,
            storage=self.storage,
            origin=self.origin,
            resources=self.resources,
        )
        trainable = ray.tune.with_resources(driver, {"CPU": 0, "memory": DRIVER_MEMORY})
        ray.tune.Tuner(
            trainable,
            tune_config=ray.tune.TuneConfig(
                search_alg=searcher,
                num_samples=total - done,
                max_concurrent_trials=together,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=ray.tune.RunConfig(
                name="tune",
                storage_path=str(self.storage / self.name),
                callbacks=[_Relay(self)],
                verbose=0,
            ),
        ).fit()


def _trial_name(tune_trial: Any) -> str:
    trial: Trial = tune_trial.config["trial"]
    return trial.trial_id


class _Relay(ray.tune.Callback):
    """Passes on what happens; writes down the death of a trial that could not itself."""

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks down for a restore that never comes: a screen can't be."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._launch.observer.started(trial.config["trial"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._launch.observer.reported(trial.config["trial"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._launch.observer.ended(trial.config["trial"], None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        launch, failed = self._launch, trial.config["trial"]
        record_failure(
            launch.storage,
            launch.name,
            failed,
            launch.origin,
            launch.resources.workers,
            "the trial's driver died",
        )
        rows = table.read(launch.storage, launch.name, "trials").to_pylist()
        error = next(r["error"] for r in rows if r["trial_id"] == failed.trial_id)
        launch.observer.ended(failed, error)


def _check_writable(storage: Path) -> None:
    there = next(p for p in (storage, *storage.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise SpecError(
            [
                f"can't write to {storage}: {there} is not a folder that this user may write to. "
                "Give another one with --storage"
            ]
        )
