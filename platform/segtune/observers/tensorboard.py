"""Event files for TensorBoard in `tensorboard/<trial>/` of a study's folder: one run per trial.

They repeat what the tables hold. When a trial resumes or starts again, its file is written anew
from the tables, so that no point is in it twice.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar, text

from segtune.results import tables
from segtune.results.storage import Storage, local_folder
from segtune.results.trial_rows import VAL
from segtune.study.scores import scores
from segtune.study.trial import Trial

FOLDER = "tensorboard"
CURVES: Mapping[str, str] = {
    "loss": "train/loss",
    "images_per_second": "train/images_per_second",
    "peak_memory_bytes": "train/peak_memory_bytes",
}
"""What a trial reports -> the name of its curve. Its scores on val have curves of their own."""
UNITS: Mapping[str, str] = {"fraction": "", "px": "_pixels"}
"""What the name of a score's curve ends with; of other units their name."""


def curves(trial: Trial) -> dict[str, str]:
    """What a trial reports -> the name of its curve: `val/assd` -> `val/assd_pixels`."""
    of_scores = {
        f"{VAL}{name}": f"val/{name}{UNITS.get(kind.unit, f'_{kind.unit}')}"
        for name, kind in scores(trial.config).items()
    }
    return {**CURVES, **of_scores}


class TensorBoardObserver:
    """An observer that writes event files. If the disk is full it stops writing; the study goes
    on."""

    def __init__(self, storage: Storage, study: str) -> None:
        self._storage, self._study = storage, study
        self._writers: dict[str, EventsWriter] = {}  # a SummaryWriter's thread hides errors
        self._last: dict[str, int] = {}
        self._curves: dict[str, dict[str, str]] = {}

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """Nothing to write yet."""

    def started(self, trial: Trial) -> None:
        """Nothing to write yet."""

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Add a point to each curve. The scores of the final test are left out: curves are of
        val."""
        if metrics.get("final"):
            return
        try:
            epoch = int(metrics["epoch"])
            if trial.trial_id not in self._last or epoch != self._last[trial.trial_id] + 1:
                self._open(trial, epoch)
            self._write(trial.trial_id, epoch, metrics)
        except OSError:
            self._writers.pop(trial.trial_id, None)
            self._last.pop(trial.trial_id, None)

    def ended(self, trial: Trial, error: str | None) -> None:
        """Close the trial's file."""
        if writer := self._writers.pop(trial.trial_id, None):
            with contextlib.suppress(OSError):
                writer.close()

    def _open(self, trial: Trial, epoch: int) -> None:
        """Start a trial's file again, with the points of all epochs before this one."""
        if writer := self._writers.pop(trial.trial_id, None):
            writer.close()
        folder = local_folder(self._storage, self._study) / FOLDER / trial.trial_id
        for file in folder.glob("events.out.tfevents.*"):
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        writer = self._writers[trial.trial_id] = EventsWriter(str(folder / "events"))
        self._curves[trial.trial_id] = curves(trial)
        changes = ", ".join(f"{field} = {value}" for field, value in trial.changes.items())
        about = text("trial", f"seed {trial.seed}; {changes or 'the baseline'}")
        writer.write_event(Event(wall_time=time.time(), summary=about))
        if epoch > 1:
            for past, values in history(self._storage, self._study, trial.trial_id):
                if past < epoch:
                    self._write(trial.trial_id, past, values)

    def _write(self, trial_id: str, epoch: int, values: Mapping[str, Any]) -> None:
        writer = self._writers[trial_id]
        for key, curve in self._curves[trial_id].items():
            if values.get(key) is not None:
                point = scalar(curve, values[key])
                writer.write_event(Event(wall_time=time.time(), step=epoch, summary=point))
        writer.flush()
        self._last[trial_id] = epoch


def history(storage: Storage, study: str, trial_id: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Epoch by epoch, what a trial reported, read from the tables."""
    steps = tables.read(storage, study, "steps", trial_id=trial_id).to_pandas()
    scores = tables.read(storage, study, "scores", trial_id=trial_id).to_pandas()
    macro = scores[(scores["split"] == "val") & (scores["class_name"] == "macro")]
    means = steps.groupby("epoch")[["loss", "images_per_second"]].mean()
    means["peak_memory_bytes"] = steps.groupby("epoch")["peak_memory_bytes"].max()
    for epoch, row in means.iterrows():
        of_val = macro[macro["epoch"] == epoch]
        firsts = of_val.drop_duplicates("metric")  # the protocol that stands for the metric
        found = dict(zip(VAL + firsts["metric"], firsts["value"], strict=True))
        yield int(str(epoch)), {**row.dropna().to_dict(), **found}
