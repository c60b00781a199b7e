"""A trial of a study as Ray Tune runs it: a Ray Train run, or a process of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ray.tune

from segtune.execution.resources import Resources
from segtune.execution.training.job import Job
from segtune.execution.training.subprocess_trainer import TrainingProcess
from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.study.trial import PackedTrial

DRIVER_MEMORY = 500 * 2**20
"""Bytes that the driver of a Ray Train run asks Ray for. It asks for nothing else: with
a share of a CPU, a trial whose workers need every CPU could never start."""


def trainable(study: str, storage: Storage, origin: Origin, resources: Resources) -> Any:
    """What Tune is to run for each trial, `config["trial"]`, with what it asks for.

    It reports what `Recorder.add` returns after each epoch; the last report has `final`, or
    `error` where the training failed.
    """
    job = partial(
        Job,
        study=study,
        storage=storage,
        origin=origin,
        patience=resources.patience,
        cpus=resources.cpus_per_worker,
        gpus=resources.gpus_per_worker,
        price=resources.price_per_hour,
    )
    if resources.in_train_run:
        # Ray Train brings torch.distributed: seconds, which trials on CPUs need not wait.
        from segtune.execution.training import distributed

        driver = partial(distributed.drive, job=job, resources=resources)
        return ray.tune.with_resources(driver, {"CPU": 0, "memory": DRIVER_MEMORY})
    one_process = ray.tune.with_parameters(OneProcessTrial, job=job)
    return ray.tune.with_resources(one_process, {"CPU": resources.cpus_per_worker})


class OneProcessTrial(ray.tune.Trainable):
    """A trial of one worker on CPUs, trained in a process of its own.

    Ray keeps the trainable's process, and the one that trainings are forked from, for the next
    trial. A Ray Train run of one worker would start six processes, each of which imports torch.
    """

    _job: Callable[[PackedTrial], Job]
    _training: TrainingProcess

    def setup(
        self, config: dict[str, Any], job: Callable[[PackedTrial], Job] | None = None
    ) -> None:
        """Start training `config["trial"]`; `ray.tune.with_parameters` passes `job`."""
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
        """End the training, whatever it is doing."""
        self._training.end()
