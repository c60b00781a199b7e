"""A trial to be trained, as it is handed from process to process.

Imports neither torch nor segcore: Ray's process of a trial passes it on to the one that trains.
"""

from dataclasses import dataclass
from pathlib import Path

from segtune.results.provenance import Origin
from segtune.results.storage import Place, Storage, local_folder
from segtune.study.money import Money
from segtune.study.trial import PackedTrial

Metrics = dict[str, float | int | bool | str]
"""What is reported of an evaluation: see `segtune.execution.training.recorder.Recorder.add`."""


def trial_folder(storage: Storage, study: str, trial_id: str) -> Place:
    """Where a trial's checkpoints lie."""
    return Place.of(storage) / study / "train" / trial_id


@dataclass(frozen=True)
class Job:
    """What a worker needs to train a trial."""

    trial: PackedTrial
    study: str
    storage: Storage
    origin: Origin
    patience: float
    """Seconds without a step or a predicted batch after which a worker counts as hanging."""
    cpus: float
    """That Ray gave each of its workers."""
    gpus: float
    """Alike, or a share of one."""
    price: Money | None = None
    """Of an hour of the trial, as `Resources.price_per_hour`."""

    @property
    def whole_cpus(self) -> int:
        """CPUs that a worker may keep busy: one, where Ray gave it a share of one."""
        return max(1, int(self.cpus))

    @property
    def folder(self) -> Place:
        """Where the trial's checkpoints lie."""
        return trial_folder(self.storage, self.study, self.trial.trial_id)

    def stacks(self, attempt: int) -> Path:
        """The file to which the stacks of all threads are written if an attempt hangs."""
        folder = local_folder(self.storage, self.study) / "train" / self.trial.trial_id
        return folder / f"hang-a{attempt}.txt"
