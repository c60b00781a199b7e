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
from segcore.systems.depth_encoders import DEPTH_ENCODERS
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig
from segcore.systems.rgb_encoders import RGB_ENCODERS
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.system import SystemConfig
from segcore.tables import Table
from segcore.train import train
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import Ablation
from segtune.execution.training.recorder import Recorder
from segtune.report.evidence.summary import score_summary
from segtune.report.page.look import looks
from segtune.report.parts.scores import scores_sheet
from segtune.results import study_file
from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.results.study_rows import load
from segtune.results.study_scores import derive
from segtune.study import definition
from segtune.study.trial import Trial


def ours(table: Table) -> tuple[str, ...]:
    """A table's rows but for those that other tests' files add."""
    return tuple(name for name in table if table[name].module.startswith("segcore."))


class Run(NamedTuple):
    """Rows that are put together, by name."""

    system: str
    method: str
    data: str
    rgb: str = ""
    depth: str = ""
    """Encoders of the system that chooses them by name; of others none."""

    @property
    def arm(self) -> str:
        """Its name in a study."""
        return "-".join(filter(None, self))


def product() -> list[Run]:
    """Every system with every method and every data set that go with it, and with every encoder
    that it may have."""
    every = [
        Run(*rows, *encoders)
        for rows in itertools.product(ours(SYSTEMS), ours(METHODS), ours(DATASETS))
        for encoders in _encoders(rows[0])
    ]
    return [run for run in every if not any(refusals(run))]


def _encoders(system: str) -> Iterator[tuple[str, ...]]:
    """The encoders that a system may have."""
    if system == "dual_encoder":
        return itertools.product(ours(RGB_ENCODERS), ours(DEPTH_ENCODERS))
    return iter([()])


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


def encoder_pairs(run: Run) -> set[tuple[str, str]]:
    """What it has to cover too: each encoder with each method, data set and other encoder."""
    if not run.rgb:
        return set()
    others = (run.method, run.data)
    return {
        (run.rgb, run.depth),
        *((encoder, other) for encoder in (run.rgb, run.depth) for other in others),
    }


def covering_array() -> list[Run]:
    """Runs that hold every allowed pair of `pairs` and `encoder_pairs`, always the one that adds
    most next; of equals the one whose method and data set have not met."""
    runs = product()
    held = {run: pairs(run) | encoder_pairs(run) for run in runs}
    left: set[tuple[str, str]] = set().union(*held.values())
    met: set[tuple[str, str]] = set()
    chosen = []
    while left:
        best = max(runs, key=lambda r: (len(held[r] & left), (r.method, r.data) not in met))
        left -= held[best]
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
    system: Any = smallest(run.system)
    if run.rgb:
        rgb, depth = RgbEncoderConfig.named(run.rgb), DepthEncoderConfig.named(run.depth)
        system = replace(system, rgb=rgb, depth=depth)
    return {
        "data": sets[run.data],
        "system": system,
        "method": Method.named(run.method),
        "prompts": PromptConfig(source="jittered" if system.takes_prompts else "none"),
    }


def begin(storage: Storage, name: str, ablation: Ablation) -> list[Trial]:
    """Write what a study is, and give its trials."""
    study_file.write(storage, name, definition.define(name, ablation))
    return [*ablation.trials({})]


def train_one(storage: Storage, name: str, trial: Trial, origin: Origin) -> str | None:
    """Train a trial in this process, into the study's tables; why it failed, None if it did not."""
    recorder = Recorder(storage, name, trial, origin, workers=1)
    recorder.start()
    try:
        for evaluation in train(trial.config, Runtime()):
            recorder.add(evaluation)
    except Exception as error:
        recorder.fail(failure := f"{type(error).__name__}: {error}")
        return failure
    return None


def reported(storage: Storage, name: str) -> dict[str, float | None]:
    """Macro Dice on test in the row that each arm has in the study's report; None where it has no
    number there."""
    study = derive(load(storage, name))
    summary = score_summary(study)
    sheet = scores_sheet(summary, (), looks(study.rows.arms, study.rows.baseline))
    place = sheet.raw_header.index("dice_macro_mean")
    return {str(row[0]): _number(row[place]) for row in sheet.raw_rows}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
