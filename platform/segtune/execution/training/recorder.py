"""Turns a training's evaluations into rows of the tables, and writes them at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from segcore.training.events import Evaluation, ImageScore, Score, Step
from segtune.execution.training.job import Metrics
from segtune.execution.training.utilisation import Utilisation
from segtune.results import tables
from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.results.trial_rows import (
    BEST,
    SELECTION,
    VAL,
    best_values,
    seconds_since,
    trial_row,
)
from segtune.study.money import Money
from segtune.study.overrides import config_hash
from segtune.study.trial import Trial


class TrialStopped(Exception):
    """A scheduler has stopped the trial that this worker still trains."""


@dataclass
class Recorder:
    """Collects the rows of one attempt of a trial; they are on disk when `add` returns."""

    storage: Storage
    study: str
    trial: Trial
    origin: Origin
    workers: int
    price: Money | None = None
    """Of an hour of the trial; None where nobody said."""
    attempt: int = 0
    _rows: dict[tables.TrialTable, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in tables.TRIAL_TABLES}
    )
    _row: dict[str, Any] = field(default_factory=dict)
    _best: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Open a new attempt."""
        self.attempt = tables.next_attempt(self.storage, self.study, self.trial.trial_id)
        row = trial_row(self.trial, self.origin, self.workers, self.price)
        self._row = row | {"attempt": self.attempt}
        self._write("trials", [self._row])

    def add(self, evaluation: Evaluation, used: Utilisation | None = None) -> Metrics:
        """Write an evaluation's rows.

        Args:
            evaluation: what the training yielded.
            used: of the machine since the evaluation before; None where nobody measured.

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
            "microbatch_size": evaluation.facts.microbatch_size,
            "adapted_lr": evaluation.facts.adapted_lr,
            "epochs": evaluation.epochs,
        }
        if evaluation.final or evaluation.is_best:
            self._row["best_epoch"] = evaluation.epoch
        machine = {} if used is None else vars(used)
        self._extend("steps", [row | machine for row in _step_rows(evaluation)])
        self._extend("scores", [_score_row(evaluation, s) for s in evaluation.scores])
        self._extend("images", [_image_row(i) for i in evaluation.images])
        self._extend("pictures", [vars(p) for p in evaluation.pictures])
        if evaluation.final:
            self._row |= {"status": "finished", "ended": datetime.now(UTC)}
        self._write_row()
        return self._report(evaluation)

    def fail(self, error: str) -> None:
        """Mark this attempt as failed."""
        self._row |= {"status": "failed", "error": error, "ended": datetime.now(UTC)}
        self._write_row()

    def _write_row(self) -> None:
        self._row["seconds"] = seconds_since(self._row["started"])
        self._write("trials", [self._row])

    def _stopped(self) -> bool:
        """Whether a scheduler has stopped the trial: its workers go on until Ray has ended the
        driver."""
        row = tables.read_attempt(self.storage, self.study, self.trial.trial_id, self.attempt)
        return row is not None and row["status"] == "pruned"

    def _report(self, evaluation: Evaluation) -> Metrics:
        macro: dict[str, float] = {}
        for s in evaluation.scores:  # the first protocol of a metric stands for it
            if s.split == "val" and s.class_name == "macro":
                macro.setdefault(s.metric, s.value)
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
            **({} if evaluation.selection is None else {SELECTION: evaluation.selection}),
            **{f"{VAL}{metric}": value for metric, value in macro.items()},
            **self._best,
        }

    def _best_on_disk(self, epoch: int) -> dict[str, float]:
        trial_id = self.trial.trial_id
        scores = tables.read(self.storage, self.study, "scores", trial_id=trial_id).to_pylist()
        return best_values(scores, trial_id, epoch)

    def _extend(self, name: tables.TrialTable, rows: list[dict[str, Any]]) -> None:
        key = {"trial_id": self.trial.trial_id, "attempt": self.attempt}
        self._rows[name] += [{**key, **row} for row in rows]
        if rows:
            self._write(name, self._rows[name])

    def _write(self, name: tables.TrialTable, rows: list[dict[str, Any]]) -> None:
        tables.write(self.storage, self.study, name, rows)


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
            "gradient_norm": s.gradient_norm,
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
    return {
        "step": evaluation.step,
        "epoch": evaluation.epoch,
        "prompts": evaluation.facts.prompts,
        **vars(score),
    }


def _image_row(score: ImageScore) -> dict[str, Any]:
    return {name: value for name, value in vars(score).items() if name != "curve"}
