"""From a training's evaluations to rows of the tables, written as they come in."""

import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segcore.config import to_json
from segcore.evaluation import Evaluation, Score, Step
from segtune import table
from segtune.changes import config_hash
from segtune.spec import Trial
from segtune.storage import Storage

Metrics = dict[str, float | int | bool | str]
"""What is told of an evaluation: see `Recorder.add`."""
BEST = "best_"
"""Before a metric's name in a report: its value on val at the best epoch so far."""
COMMIT, DIRTY = "SEGTUNE_GIT_COMMIT", "SEGTUNE_GIT_DIRTY"
"""Variables that name the commit of code that lies apart from its checkout: 1 is dirty, 0 not."""
_PACKAGES = ("segtune", "torch", "torchvision", "sam2", "transformers", "peft", "ray", "optuna")


class TrialStopped(Exception):
    """A scheduler has stopped a trial whose worker was not told yet."""


@dataclass(frozen=True)
class Origin:
    """What code ran, and on whose word."""

    git_commit: str | None
    git_dirty: bool | None
    versions: Mapping[str, str]
    command: str | None = None
    """The command line of this process."""


def find_origin() -> Origin:
    """The commit that the code was taken from, where that can be known, versions and command."""
    here = Path(__file__).parent

    def git(*command: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *command], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    versions = {p: importlib.metadata.version(p) for p in _PACKAGES}
    program = Path(sys.argv[0]).name
    by_module = program == "__main__.py"  # python -m segtune, as a job has it
    words = ["python", *sys.orig_argv[1:]] if by_module else [program, *sys.argv[1:]]
    command = shlex.join(words)
    if commit := os.environ.get(COMMIT):  # a job's archive or an image: no git there
        dirty = {"0": False, "1": True}.get(os.environ.get(DIRTY, ""))
        return Origin(commit, dirty, versions, command)
    status = git("status", "--porcelain", "--untracked-files=no")
    dirty = None if status is None else bool(status)
    return Origin(git("rev-parse", "HEAD"), dirty, versions, command)


@dataclass
class Recorder:
    """Collects the rows of one attempt of a trial; they are on disk when `add` returns."""

    storage: Storage
    study: str
    trial: Trial
    origin: Origin
    workers: int
    attempt: int = 0
    _rows: dict[table.TableName, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in table.TABLES}
    )
    _row: dict[str, Any] = field(default_factory=dict)
    _best: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Open a new attempt."""
        self.attempt = table.next_attempt(self.storage, self.study, self.trial.trial_id)
        self._row = trial_row(self.trial, self.origin, self.workers) | {"attempt": self.attempt}
        self._write("trials", [self._row])

    def add(self, evaluation: Evaluation) -> Metrics:
        """Write an evaluation's rows.

        Returns:
            What a scheduler or a person watching wants to know: epoch, loss, macro metrics on
            val and their values at the best epoch so far.

        Raises:
            TrialStopped: a scheduler has stopped the trial meanwhile; nothing was written.
        """
        if self._stopped():
            raise TrialStopped(self.trial.trial_id)
        self._row |= {
            "config_hash": config_hash(
                self.trial.config,
                data=evaluation.facts.data_hash,
                weights=evaluation.facts.weights_hash,
            ),
            "device": evaluation.facts.device,
            "data_hash": evaluation.facts.data_hash,
            "weights_hash": evaluation.facts.weights_hash,
            "trainable_parameters": evaluation.facts.trainable_parameters,
            "total_parameters": evaluation.facts.total_parameters,
            "epochs": evaluation.epochs,
        }
        if evaluation.final or evaluation.is_best:
            self._row["best_epoch"] = evaluation.epoch
        self._extend("steps", _step_rows(evaluation))
        self._extend("scores", [_score_row(evaluation, s) for s in evaluation.scores])
        self._extend("images", [vars(i) for i in evaluation.images])
        self._extend("pictures", [vars(p) for p in evaluation.pictures])
        if evaluation.final:
            self._row |= {"status": "finished", "ended": datetime.now(UTC)}
        self._write("trials", [self._row])
        return self._report(evaluation)

    def fail(self, error: str) -> None:
        """Write down that this attempt came to nothing."""
        self._row |= {"status": "failed", "error": error, "ended": datetime.now(UTC)}
        self._write("trials", [self._row])

    def _stopped(self) -> bool:
        """The workers of several train on while their driver is being ended."""
        trial_id = self.trial.trial_id
        rows = table.read(self.storage, self.study, "trials", trial_id=trial_id).to_pylist()
        return bool(rows) and rows[0]["status"] == "pruned"

    def _report(self, evaluation: Evaluation) -> Metrics:
        macro = {
            s.metric: s.value
            for s in evaluation.scores
            if s.split == "val" and s.class_name == "macro"
        }
        if evaluation.is_best:
            self._best = {f"{BEST}{metric}": value for metric, value in macro.items()}
        elif evaluation.final and not self._best:  # went on from the last epoch's checkpoint
            self._best = self._best_on_disk(evaluation.epoch)
        return {
            "epoch": evaluation.epoch,
            "epochs": evaluation.epochs,
            "final": evaluation.final,
            "peak_memory_bytes": evaluation.memory.peak,
            **_of_steps(evaluation.steps),
            **macro,
            **self._best,
        }

    def _best_on_disk(self, epoch: int) -> dict[str, float]:
        trial_id = self.trial.trial_id
        scores = table.read(self.storage, self.study, "scores", trial_id=trial_id).to_pylist()
        return best_values(scores, trial_id, epoch)

    def _extend(self, name: table.TableName, rows: list[dict[str, Any]]) -> None:
        key = {"trial_id": self.trial.trial_id, "attempt": self.attempt}
        self._rows[name] += [{**key, **row} for row in rows]
        if rows:
            self._write(name, self._rows[name])

    def _write(self, name: table.TableName, rows: list[dict[str, Any]]) -> None:
        table.write(self.storage, self.study, name, rows)


def record_failure(
    storage: Storage, study: str, trial: Trial, origin: Origin, workers: int, error: str
) -> None:
    """Mark a trial's last attempt as failed; make one up where it died before it wrote a row."""
    rows = table.read(storage, study, "trials", trial_id=trial.trial_id).to_pylist()
    row = rows[0] if rows else trial_row(trial, origin, workers) | {"attempt": 1}
    if row["status"] in ("running", None):
        row |= {"status": "failed", "error": error, "ended": datetime.now(UTC)}
        table.write(storage, study, "trials", [row])


def record_pruned(storage: Storage, study: str, trial_id: str, epoch: int) -> None:
    """Mark a trial's last attempt as stopped by a scheduler after an epoch, unless it is so; what
    its workers wrote since stays in the tables."""
    (row,) = table.read(storage, study, "trials", trial_id=trial_id).to_pylist()
    if row["status"] != "pruned":
        row |= {"status": "pruned", "stopped_epoch": epoch, "ended": datetime.now(UTC)}
        table.write(storage, study, "trials", [row])


def record_cancelled(storage: Storage, study: str) -> None:
    """Mark the trials that a person interrupted; the next run goes on with them."""
    for row in table.read(storage, study, "trials").to_pylist():
        if row["status"] == "running":
            row |= {"status": "cancelled", "ended": datetime.now(UTC)}
            table.write(storage, study, "trials", [row])


def failure(storage: Storage, study: str, trial_id: str) -> str | None:
    """Why a trial failed; None where it did not."""
    for row in table.read(storage, study, "trials", trial_id=trial_id).to_pylist():
        if row["status"] == "failed":
            return str(row["error"])
    return None


def trial_row(trial: Trial, origin: Origin, workers: int) -> dict[str, Any]:
    """A trial that has just begun."""
    return {
        "trial_id": trial.trial_id,
        "role": trial.role,
        "arm": trial.arm,
        "seed": trial.seed,
        "number": trial.number,
        "status": "running",
        "config": json.dumps(to_json(trial.config, places=False)),
        "changes": json.dumps(dict(trial.changes), sort_keys=True),
        "train_run": trial.trial_id,
        "git_commit": origin.git_commit,
        "git_dirty": origin.git_dirty,
        "versions": json.dumps(dict(origin.versions), sort_keys=True),
        "command": origin.command,
        "workers": workers,
        "started": datetime.now(UTC),
    }


def best_values(scores: list[dict[str, Any]], trial_id: str, epoch: int | None) -> dict[str, float]:
    """A trial's macro metrics on val at an epoch, under their names in a report."""
    return {
        f"{BEST}{s['metric']}": s["value"]
        for s in scores
        if (s["trial_id"], s["epoch"], s["split"], s["class_name"])
        == (trial_id, epoch, "val", "macro")
    }


def _of_steps(steps: Sequence[Step]) -> dict[str, float]:
    """Mean loss and pace of an epoch; nothing for an evaluation without steps."""
    if not steps:
        return {}
    seconds = sum(sum(vars(s.seconds).values()) for s in steps)
    return {
        "loss": sum(s.loss for s in steps) / len(steps),
        "images_per_second": sum(s.images for s in steps) / max(1e-9, seconds),
    }


def _step_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    memory = evaluation.memory
    return [
        {
            "step": s.step,
            "epoch": s.epoch,
            "loss": s.loss,
            "lr": s.lr,
            **{f"seconds_{part}": seconds for part, seconds in vars(s.seconds).items()},
            "images_per_second": s.images / max(1e-9, sum(vars(s.seconds).values())),
            "reduced_bytes": s.reduced_bytes,
            "weights_bytes": memory.weights,
            "gradient_bytes": memory.gradients,
            "optimizer_state_bytes": memory.optimizer_state,
            "peak_memory_bytes": memory.peak,
        }
        for s in evaluation.steps
    ]


def _score_row(evaluation: Evaluation, score: Score) -> dict[str, Any]:
    return {"step": evaluation.step, "epoch": evaluation.epoch, **vars(score)}
