"""A trial of one worker: a Tune trial that watches a training in a process of its own.

A Ray Train run of one worker would start six processes, each of which imports torch.
"""

from collections.abc import Callable
from typing import Any

import ray.tune

from segtune.process import TrainingProcess
from segtune.spec import Trial
from segtune.worker import Job


class SoloTrial(ray.tune.Trainable):
    """Ray keeps its process, and the one that trainings are forked from, for the next trial."""

    _job: Callable[[Trial], Job]
    _training: TrainingProcess

    def setup(self, config: dict[str, Any], job: Callable[[Trial], Job] | None = None) -> None:
        """Start training `config["trial"]`; `ray.tune.with_parameters` hands over the rest."""
        assert job is not None
        self._job = job
        self._training = TrainingProcess(job(config["trial"]))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start training the next trial."""
        self._training.end()
        self._training = TrainingProcess(self._job(new_config["trial"]))
        return True

    def step(self) -> dict[str, Any]:
        """Wait for the next evaluation, or the trial's `error`."""
        metrics = self._training.next()
        return {**metrics, "done": "error" in metrics or bool(metrics["final"])}

    def cleanup(self) -> None:
        """End the training, wherever it is."""
        self._training.end()
