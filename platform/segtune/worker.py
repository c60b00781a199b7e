"""The Ray Train worker: one process of one training; the first one writes the tables."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray.train
import ray.train.torch
import torch
import torch.distributed
from torch import Tensor

from segcore.evaluation import Evaluation
from segcore.runtime import Runtime
from segcore.train import TrainingDiverged, train
from segtune.record import Origin, Recorder
from segtune.spec import Trial

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """What a worker is given."""

    trial: Trial
    study: str
    storage: Path
    origin: Origin


def work(config: dict[str, Any]) -> None:
    """Train one trial: `config["job"]` is a `Job`."""
    job: Job = config["job"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    recorder = Recorder(job.storage, job.study, job.trial, job.origin, world)
    if rank == 0:
        recorder.start()
    with restored() as folder:
        runtime = ray_runtime(rank, world, folder, test=job.trial.role == "arm")
        try:
            for evaluation in train(job.trial.config, runtime):
                metrics = recorder.add(evaluation) if rank == 0 else {}
                report(evaluation, metrics, rank)
        except TrainingDiverged as error:  # on every worker at the same step
            if rank == 0:
                recorder.fail(f"{type(error).__name__}: {error}")


def report(evaluation: Evaluation, metrics: dict[str, Any], rank: int) -> None:
    """Tell Ray Train; the first worker brings the checkpoint, the final evaluation needs none."""
    if rank > 0 or evaluation.final:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        evaluation.save(Path(folder))
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(
            metrics, checkpoint=checkpoint, checkpoint_dir_name=f"epoch-{evaluation.epoch}"
        )


@contextlib.contextmanager
def restored() -> Iterator[Path | None]:
    """The folder of the checkpoint to go on from, while it is needed."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        yield Path(folder)


def ray_runtime(rank: int, world: int, folder: Path | None, *, test: bool) -> "RayRuntime":
    """This worker's device and place."""
    device = ray.train.torch.get_device()
    bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return RayRuntime(
        device=device,
        rank=rank,
        world=world,
        precision="bfloat16" if bfloat16 else "float32",
        restore_from=folder,
        test=test,
    )


@dataclass
class RayRuntime(Runtime):
    """A worker among its peers: torch.distributed as Ray Train sets it up."""

    def reduce(self, gradients: Iterable[Tensor]) -> None:
        """Sum over the workers in one message per dtype."""
        if self.world == 1:
            return
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
        if self.world == 1:
            return list(items)
        parts: list[list[T]] = [[] for _ in range(self.world)]
        torch.distributed.all_gather_object(parts, list(items))
        return [item for part in parts for item in part]
