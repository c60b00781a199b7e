"""Event files for TensorBoard in `tensorboard/<trial>/` of a study's folder: one run per trial."""

import shlex
import time
from collections.abc import Collection, Mapping

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar, text

from segtune.observers.tracked import Ending, TrackedTrial
from segtune.results.storage import Storage, local_folder

FOLDER = "tensorboard"


def command(storage: Storage, study: str) -> str:
    """The command that shows a study's curves."""
    return f"tensorboard --logdir {shlex.quote(str(local_folder(storage, study) / FOLDER))}"


class TensorBoardTracker:
    """Writes event files. When a trial resumes or starts again, its file is written anew."""

    name = "tensorboard"
    errors: tuple[type[Exception], ...] = ()

    def __init__(self, storage: Storage, study: str) -> None:
        self._shown_by = command(storage, study)
        self._folder = local_folder(storage, study) / FOLDER
        self._writers: dict[str, EventsWriter] = {}  # a SummaryWriter's thread hides errors

    def check(self) -> str:
        """Nothing to ask: the command that shows the files."""
        return self._shown_by

    def open(self, trial: TrackedTrial) -> Collection[int]:
        """Start a trial's file again, without any epoch."""
        if writer := self._writers.pop(trial.trial_id, None):
            writer.close()
        folder = self._folder / trial.trial_id
        for file in folder.glob("events.out.tfevents.*"):
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        writer = self._writers[trial.trial_id] = EventsWriter(str(folder / "events"))
        about = text("trial", f"seed {trial.tags['seed']}; {trial.changes or 'the baseline'}")
        writer.write_event(Event(wall_time=time.time(), summary=about))
        return ()

    def log(self, trial_id: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        writer = self._writers[trial_id]
        for curve, value in values.items():
            point = scalar(curve, value)
            writer.write_event(Event(wall_time=time.time(), step=epoch, summary=point))
        writer.flush()

    def close(self, trial_id: str, ending: Ending) -> None:
        """Close the trial's file; what became of the trial has no place in it."""
        self._writers.pop(trial_id).close()
