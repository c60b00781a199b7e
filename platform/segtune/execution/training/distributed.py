"""A trial as a Ray Train run of one or more workers, driven by a Tune trial."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray.train
import ray.train.torch
import ray.tune
import torch
import torch.distributed
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback
from torch import Tensor

from segcore.training.runtime import Runtime, limit_memory
from segtune.execution.resources import Resources
from segtune.execution.training.job import Job
from segtune.execution.training.subprocess_trainer import GRACE
from segtune.execution.training.worker import cause_of, work
from segtune.results.storage import Place
from segtune.results.trial_rows import failure, record_failure
from segtune.study.trial import PackedTrial

T = TypeVar("T")
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
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]  # Ray's own pairing
        ),
    )


def train_together(config: dict[str, Any]) -> None:
    """One worker of a Ray Train run: `config["job"]` is a `Job`."""
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    limit_memory(device, config["job"].gpus)
    runtime = RayRuntime(
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


@dataclass
class RayRuntime(Runtime):
    """One of the workers, which communicate by torch.distributed as Ray Train sets it up."""

    def reduce(self, gradients: Iterable[Tensor]) -> None:
        """Sum over the workers in one message per dtype."""
        groups: dict[torch.dtype, list[Tensor]] = {}
        for gradient in gradients:
            groups.setdefault(gradient.dtype, []).append(gradient)
        for tensors in groups.values():
            flat = torch.cat([t.reshape(-1) for t in tensors])
            self.reduced_bytes += flat.numel() * flat.element_size()
            torch.distributed.all_reduce(flat)
            for tensor, summed in zip(
                tensors, flat.split([t.numel() for t in tensors]), strict=True
            ):
                tensor.copy_(summed.view_as(tensor))

    def gather(self, items: Sequence[T]) -> list[T]:
        """The items of all workers, on every worker."""
        parts: list[list[T]] = [[] for _ in range(self.world)]
        torch.distributed.all_gather_object(parts, list(items))
        return [item for part in parts for item in part]
