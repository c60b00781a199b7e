"""A trial as a Ray Train run of one or more workers, driven by a Tune trial."""

import os
from collections.abc import Callable
from typing import Any

import ray.train
import ray.train.torch
import ray.tune
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from segcore.training.runtime import Runtime, limit_memory
from segtune.execution.resources import Resources
from segtune.execution.training.job import Job
from segtune.execution.training.subprocess_trainer import GRACE
from segtune.execution.training.worker import cause_of, work
from segtune.results.storage import Place
from segtune.results.trial_rows import failure, record_failure
from segtune.study.trial import PackedTrial

RETRIES = 1
"""How often the workers are started again, from the checkpoint, after one of them died."""
ELASTIC_RETRIES = 3
"""The same for an elastic trial, where losing a worker is expected. Ray also counts errors that the
training itself raises, which a restart would only repeat."""


def drive(
    config: dict[str, Any], *, job: Callable[[PackedTrial], Job], resources: Resources
) -> None:
    """Train `config["trial"]`; a failure is written to the tables and reported as `error`."""
    training = job(config["trial"])
    # A frozen worker does not answer Ray Train's controller, which takes this variable over.
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(training.patience + GRACE)
    try:
        trainer(training, resources).fit()
        error = failure(training.storage, training.study, training.trial.trial_id)
    except Exception as caught:
        error = cause(caught)
        record_failure(
            training.storage,
            training.study,
            training.trial.unpack(),
            training.origin,
            resources.workers,
            error,
        )
    if error:
        ray.tune.report({"error": error})


def trainer(job: Job, resources: Resources) -> TorchTrainer:
    """The Ray Train run of a trial, to be made inside a Tune trial."""
    folder = Place.of(job.storage) / job.study / "ray"
    elastic = resources.most > resources.workers
    per_worker = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    # A type checker sees the older of Ray's two classes of that name, which took no pair.
    num_workers: Any = (resources.workers, resources.most) if elastic else resources.workers
    return TorchTrainer(
        train_together,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=num_workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        run_config=RunConfig(
            name=job.trial.trial_id,
            storage_path=folder.path,
            storage_filesystem=folder.filesystem if folder.local is None else None,
            failure_config=FailureConfig(max_failures=ELASTIC_RETRIES if elastic else RETRIES),
            callbacks=[EachEpochOnce()],  # type: ignore[list-item]  # Ray's own pairing
        ),
    )


class EachEpochOnce(TuneReportCallback):
    """Reports to Tune. Workers that start again train from the last whole checkpoint, which may be
    of the epoch before the one that was reported: that one is not reported again."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        self._told = 0

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        """Called by Ray with what each worker has reported, the first worker's first."""
        first = metrics[0]
        ends = "error" in first or bool(first.get("final"))
        if ends or first["epoch"] > self._told:
            self._told = self._told if ends else first["epoch"]
            super().after_report(run_context, metrics, checkpoint)


def train_together(config: dict[str, Any]) -> None:
    """One worker of a Ray Train run: `config["job"]` is a `Job`."""
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    limit_memory(device, config["job"].gpus)
    runtime = Runtime(
        device=device,
        rank=context.get_world_rank(),
        world=context.get_world_size(),
        cpus=config["job"].whole_cpus,
    )
    work(config["job"], runtime, ray.train.report)


def cause(error: BaseException) -> str:
    """What went wrong: the error of the first worker that failed, if any did."""
    failures = getattr(error, "worker_failures", None)
    return cause_of(failures[min(failures)] if failures else error)
