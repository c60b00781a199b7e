"""Run a study: what is left of it, through Ray Tune, until every trial is done."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtune.execution.launch import Launch, Observer
from segtune.execution.lock import only_run
from segtune.execution.order import (
    Order,
    Ready,
    finalists_of,
    is_unfinished,
    look_over,
)
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.repair import begin_again, remove_leftovers
from segtune.execution.resources import Resources
from segtune.execution.stages import stages, stages_of_finalists
from segtune.results import study_file, tables
from segtune.results.integrity.damage import find_damage
from segtune.results.provenance import find_origin
from segtune.results.storage import Place, Storage, local_folder
from segtune.results.trial_rows import record_cancelled
from segtune.search import finalists
from segtune.search.callbacks import survived
from segtune.search.journal import JOURNAL, correct
from segtune.search.trial_history import read_past
from segtune.study import definition
from segtune.study.part import WHOLE, Part
from segtune.study.spec import Ablation, Search, Study


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
    if ready.finished or order.out_of_budget():
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
        out_of_budget=order.out_of_budget() and is_unfinished(order, rows),
    )


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


def _run_ablation(study: Ablation, launch: Launch) -> None:
    part = launch.order.part
    launch.train_listed([t for t in study.tuning_trials() if t in part])
    tuned = launch.tuned(study, part)
    if tuned is None:
        return
    listed = stages(study, tuned, launch.order.ask)
    launch.train_stages([t for t in trials if t in part] for trials in listed)


def _run_search(study: Search, launch: Launch, kept: Mapping[str, Any]) -> None:
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
