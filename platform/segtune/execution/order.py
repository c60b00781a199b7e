"""A study that is to be run: how, which part of it, and whether anything is wrong or left."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from segtune.execution.preflight import check_data_and_weights, check_study
from segtune.execution.ray_cluster import this_machine
from segtune.execution.resources import Resources, check_resources
from segtune.execution.stages import stages, stages_of_finalists
from segtune.results import tables
from segtune.results.integrity.damage import find_damage
from segtune.results.spending import Allowance, check_currency
from segtune.results.storage import Place, Storage
from segtune.search import finalists
from segtune.search.trial_history import read_past
from segtune.study.overrides import Changes
from segtune.study.part import WHOLE, Part, check_part
from segtune.study.spec import Ablation, Search, Study


@dataclass(frozen=True)
class Order:
    """A study that is to be run, and how."""

    study: Study
    name: str
    """The same name goes on where an earlier run stopped."""
    storage: Place
    """The folder that holds the studies; every node must reach it."""
    resources: Resources
    undecided: Callable[[Storage, str, int], Collection[str]]
    """Of (storage, study, seeds of a look) the arms that get further seeds, and what they are
    compared with; asked where a study has `Sequential` seeds
    (`segtune.report.evidence.sequential.looks.undecided`)."""
    part: Part = WHOLE
    """Of an ablation, which of its trials are trained."""
    file: Path | None = None
    """The study's file, whose commit is noted; None for a study that comes with segtune."""
    allowance: Allowance | None = None
    """What its trials may take; None: whatever they take."""

    def out_of_budget(self) -> bool:
        """Whether its trials, and those that share the budget, have taken all of it."""
        return self.allowance is not None and self.allowance.is_spent()

    def ask(self, look: int) -> Collection[str]:
        """The arms that get further seeds after so many."""
        return self.undecided(self.storage, self.name, look)


@dataclass(frozen=True)
class Ready:
    """A study that was looked over: nothing is wrong with it."""

    order: Order
    kept: Mapping[str, Any]
    """Its definition, to be written to its `study.json`."""
    lost: Mapping[str, str]
    """Trial -> what of its results is lost."""
    finished: bool
    """Whether nothing is left to be trained."""


def look_over(order: Order, address: str | None) -> Ready:
    """Look a study over before anything starts.

    Raises:
        ValueError: something is wrong with the study, data, resources or storage.
    """
    study, name, storage, resources = order.study, order.name, order.storage, order.resources
    check_part(study, order.part)
    kept = check_study(study, name, storage, resources)
    check_currency(storage, name, resources.price_per_hour)
    lost = find_damage(storage, name)
    rows = [] if lost else tables.read(storage, name, "trials").to_pylist()
    if not lost and not is_unfinished(order, rows):
        return Ready(order, kept, lost, finished=True)
    if address is None and "RAY_ADDRESS" not in os.environ:
        check_resources(resources, [this_machine()], "this machine")
    check_data_and_weights(study, resources)
    return Ready(order, kept, lost, finished=False)


def is_unfinished(order: Order, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether trials are left of a study, or of its part, by the rows of those that ran."""
    done, study = finished_of(rows), order.study
    if isinstance(study, Ablation):
        listed = chain([list(study.tuning_trials())], stages(study, {}, order.ask))
        return any(t.trial_id not in done for trials in listed for t in trials if t in order.part)
    if len(searched_of(rows) & done) < study.num_samples:
        return True
    if not study.finalists:
        return False
    chosen = finalists_of(study, order.name, order.storage)
    return any(
        t.trial_id not in done
        for trials in stages_of_finalists(study, chosen, order.ask)
        for t in trials
    )


def finished_of(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The trials that are not to be trained again."""
    return {r["trial_id"] for r in rows if r["status"] in ("finished", "pruned")}


def searched_of(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The trials that Optuna drew."""
    return {r["trial_id"] for r in rows if r["role"] == "search"}


def finalists_of(study: Search, name: str, storage: Storage) -> Mapping[int, Changes]:
    """The finalists of a search; none before all of its trials have ended."""
    if not study.finalists:
        return {}
    return finalists.choose_finalists(study, read_past(study, storage, name)) or {}
