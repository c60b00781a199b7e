"""Trainings of one step that put every system together with what goes with it.

Everything here goes over the tables, so that a row that is added is trained too.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from support.data_folders import WRITERS

from segcore.config import TrainConfig
from segcore.data import DATASETS
from segcore.data.dataset import DataConfig
from segcore.data.prompts import PromptConfig
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
from segcore.systems.system import SystemConfig
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import Ablation
from segtune.execution.worker import Job, work
from segtune.results import study_file
from segtune.results.provenance import find_origin
from segtune.results.storage import Storage
from segtune.study import definition
from segtune.study.spec import Trial


class Run(NamedTuple):
    """Rows that are put together, by name."""

    system: str
    method: str
    data: str

    @property
    def arm(self) -> str:
        """Its name in a study."""
        return "-".join(self)


def product() -> list[Run]:
    """Every system with every method and every data set that go with it."""
    every = itertools.starmap(Run, itertools.product(SYSTEMS, METHODS, DATASETS))
    return [run for run in every if not any(refusals(run))]


def refusals(run: Run) -> Iterator[str]:
    """Why the rows cannot be put together."""
    for reason in (
        METHODS[run.method].refusal(SYSTEMS, run.system),
        SYSTEMS[run.system].refusal(DATASETS, run.data),
    ):
        if reason is not None:
            yield reason


def pairs(run: Run) -> set[tuple[str, str]]:
    """What the array has to cover: system and method, system and data set."""
    return {(run.system, run.method), (run.system, run.data)}


def covering_array() -> list[Run]:
    """Runs that hold every allowed pair of `pairs`, always the one that adds most next; of equals
    the one whose method and data set have not met."""
    runs = product()
    left: set[tuple[str, str]] = set().union(*map(pairs, runs))
    met: set[tuple[str, str]] = set()
    chosen = []
    while left:
        best = max(runs, key=lambda r: (len(pairs(r) & left), (r.method, r.data) not in met))
        left -= pairs(best)
        met.add((best.method, best.data))
        chosen.append(best)
    return chosen


def smallest(system: str) -> SystemConfig:
    """A system at its defaults, for the smallest images that it takes."""
    config = SystemConfig.named(system)
    schema = TypeAdapter(type(config)).json_schema()
    side = schema["properties"].get("image_size", {}).get("minimum")
    changed: Any = config
    return config if side is None else replace(changed, image_size=side)


def write_sets(root: Path, names: Sequence[str]) -> dict[str, DataConfig]:
    """A small folder of each data set."""
    return {name: WRITERS[name](root / name) for name in names}


def study(runs: Sequence[Run], sets: Mapping[str, DataConfig]) -> Ablation:
    """A study with an arm for each run: one epoch of one step on the images of one patient."""
    every = {run.arm: _changes(run, sets) for run in runs}
    (first, baseline), *_ = every.items()
    config = TrainConfig(
        **baseline,
        schedule=Schedule(epochs=1, batch_size=64, warmup_steps=0),
        train_share=1e-6,
    )
    return Ablation(
        question="Does everything go together that may?",
        baseline=config,
        baseline_arm=first,
        arms={arm: changes for arm, changes in every.items() if arm != first},
        seeds=(0,),
    )


def _changes(run: Run, sets: Mapping[str, DataConfig]) -> dict[str, Any]:
    system = smallest(run.system)
    return {
        "data": sets[run.data],
        "system": system,
        "method": Method.named(run.method),
        "prompts": PromptConfig(source="jittered" if system.takes_prompts else "none"),
    }


def begin(storage: Storage, name: str, ablation: Ablation) -> Iterator[Trial]:
    """Write what a study is, and give its trials."""
    study_file.write(storage, name, definition.define(name, ablation))
    yield from ablation.trials({})


def train_one(storage: Storage, name: str, trial: Trial) -> str | None:
    """Train a trial in this process, into the study's tables; why it failed, None if it did not."""
    job = Job(trial, name, storage, find_origin(), patience=600, on_gpu=False)
    try:
        work(job, Runtime(), lambda metrics: None)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
