"""What a study would cost, before it runs: counted where that is possible, else from its tables.

Time and memory are measured, never guessed: before a first trial has run they are not known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from segcore.config import TrainConfig
from segcore.data.dataset import Dataset
from segtune.results import study_file
from segtune.results.status.left import usual_pace
from segtune.results.status.study import read_status
from segtune.results.storage import Storage
from segtune.study.spec import Ablation, Study

BYTES = 4
"""Bytes of a float32."""
KEPT = 4
"""How many tensors a checkpoint has at most for each trained one: its best and its last value, and
the optimizer's two moments."""


@dataclass(frozen=True)
class Size:
    """One training, counted."""

    trainable: int
    total: int
    """Parameters, the frozen ones included."""
    epochs: int
    steps: int
    """Optimizer steps in all."""
    sent: float
    """Bytes that each worker hands over to be summed at a step, where there are several: the mean
    over many steps."""
    sends_projections: bool
    """Whether these are projections of gradients, and not the gradients."""

    @property
    def checkpoint(self) -> int:
        """Bytes of a trial's folder, at most."""
        return KEPT * BYTES * self.trainable

    @property
    def least_memory(self) -> int:
        """Bytes of weights and gradients, without activations and optimizer state."""
        return BYTES * (self.total + self.trainable)


@dataclass(frozen=True)
class Measured:
    """What earlier trials of the study measured."""

    trials: int
    """How many finished an epoch."""
    left: int
    """Trials that are not finished."""
    seconds: float
    """Time of the trials left, one after another, each at the median pace of its arm, or of the
    study where its arm has none."""
    memory: int | None
    """Largest memory of any trial's first worker, bytes."""


def size(config: TrainConfig, dataset: Dataset) -> Size:
    """Build one training's network and count.

    Args:
        config: of the training.
        dataset: its data, open.

    Raises:
        ValueError: its weights are not in order.
    """
    with torch.random.fork_rng(devices=[]):
        system = config.system.build(dataset.classes)
        config.method.adapt(system)
    updater = config.method.updater(system, config.optim)
    parameters = list(system.parameters())
    epochs = config.schedule.epochs
    return Size(
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        total=sum(p.numel() for p in parameters),
        epochs=epochs,
        steps=epochs * config.schedule.steps_per_epoch(len(dataset.ids("train"))),
        sent=updater.bytes_to_sum(),
        sends_projections=updater.sends_projections,
    )


def measured(study: Study, name: str, storage: Storage) -> Measured | None:
    """Read what earlier trials measured; None where no trial has finished an epoch."""
    if study_file.read(storage, name) is None:
        return None
    begun = read_status(storage, name, datetime.now(UTC)).trials
    pace = usual_pace(begun)
    if pace is None:
        return None
    done = {t.trial_id for t in begun if t.state in ("finished", "pruned")}
    left = [(arm, epochs) for trial_id, arm, epochs in trials(study) if trial_id not in done]
    memory = [t.memory_bytes for t in begun if t.memory_bytes is not None]
    return Measured(
        trials=sum(t.epoch_seconds is not None for t in begun),
        left=len(left),
        seconds=sum(epochs * pace(arm) for arm, epochs in left),
        memory=max(memory, default=None),
    )


def trials(study: Study) -> Iterator[tuple[str, str | None, int]]:
    """(id, arm, epochs) of every trial, as far as they are known before any has run."""
    if isinstance(study, Ablation):
        for trial in (*study.tuning_trials(), *study.trials({})):
            yield trial.trial_id, trial.arm, trial.config.schedule.epochs
        return
    epochs = study.baseline.schedule.epochs
    for number in range(study.num_samples):
        yield f"t{number}", None, epochs
    for number in range(study.finalists * len(study.all_finalist_seeds)):
        yield f"finalist {number}", None, epochs
