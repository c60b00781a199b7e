"""Two workers on one real GPU, by gloo, since NCCL wants a GPU for each: they train as one does,
and go on from a checkpoint that one of them reads."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.galore import SrftGalore
from segcore.methods.method import Method
from segcore.presets import nano
from segcore.train import train
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune.execution.training import checkpoints
from segtune.execution.training.checkpoint_writer import CheckpointWriter
from segtune.results.storage import Place

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
WORLD = 2
METHODS = {
    "full": Method.named("full"),
    "released": SrftGalore(update_proj_gap=2, refresh_from="previous"),
}


def configuration(method: str, folder: Path) -> TrainConfig:
    """Two epochs of two steps, of two microbatches of each worker."""
    return replace(
        nano(),
        data=SyntheticLiver(train=8, val=2, test=2, root=str(folder / "scenes")),
        method=METHODS[method],
        schedule=Schedule(epochs=2, batch_size=4, microbatch_size=1, warmup_steps=1),
    )


def work(rank: int, folder: Path, device: str) -> None:
    """One of two workers: every method, started again from a checkpoint after the first epoch."""
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=WORLD)
    for method in METHODS:
        kept = Place.of(folder / f"checkpoints-{method}")
        losses: list[float] = []
        for epoch in (1, 2):
            runtime = Runtime(torch.device(device), rank=rank, world=WORLD, test=False)
            newest = checkpoints.newest(kept, to_go_on=True) if rank == 0 else None
            with checkpoints.to_go_on_from(newest, runtime) as runtime.restore_from:
                evaluation = next(train(configuration(method, folder), runtime))
            assert evaluation.epoch == epoch
            losses += [step.loss for step in evaluation.steps]
            if rank == 0:
                with CheckpointWriter(kept) as writer:
                    writer.keep(evaluation)
        torch.save(losses, folder / f"{method}-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_workers_on_a_gpu_train_as_one(device: torch.device, tmp_path: Path) -> None:
    configuration("full", tmp_path).data.open()  # rendered once
    spawn(work, (tmp_path, str(device)), nprocs=WORLD)
    for method in METHODS:
        runtime = Runtime(device, test=False)
        alone = [s.loss for e in train(configuration(method, tmp_path), runtime) for s in e.steps]
        first, second = (
            torch.load(tmp_path / f"{method}-{rank}.pt", weights_only=True)  # noqa: TID251
            for rank in range(WORLD)
        )
        assert first == second
        assert first[0] == pytest.approx(alone[0], rel=1e-4), method
        assert first == pytest.approx(alone, rel=2e-2), method
