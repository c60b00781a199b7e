"""The forward and backward passes of a step's microbatches: launched kernel by kernel, or replayed
as CUDA graphs."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segcore.batch import Batch, Progress
from segcore.config import TrainConfig
from segcore.methods.updater import Updater
from segcore.systems.system import System
from segcore.training.costs import Stopwatch
from segcore.training.microbatch import available
from segcore.training.runtime import Runtime, autocast

WARM = 3
"""Passes that are launched before they are captured: libraries choose their kernels in the first
ones, and the gradients have their place in memory after them."""


class Passes:
    """Launched one kernel at a time, which serves every system on every device."""

    def __init__(self, system: System, updater: Updater, config: TrainConfig, device: torch.device):
        self.system, self.updater, self.config, self.device = system, updater, config, device

    def clear(self) -> None:
        """Forget the gradients of the step before."""
        self.updater.optimizer.zero_grad(set_to_none=True)

    def run(self, batch: Batch, progress: Progress, share: float, watch: Stopwatch) -> Tensor:
        """Add a microbatch's gradients to those that are there.

        Args:
            batch: on the device.
            progress: how far the training is.
            share: of the step's samples that are in the microbatch.
            watch: is told when each of the two passes ends.

        Returns:
            The microbatch's part of the step's loss, a scalar.
        """
        loss = self._loss(batch, progress, share)
        watch.split("forward")
        loss.backward()
        watch.split("backward")
        return loss.detach()

    def _loss(self, batch: Batch, progress: Progress, share: float | Tensor) -> Tensor:
        with autocast(self.device, self.config.precision):
            prediction = self.system(batch, self.config.system.input_size, progress)
            loss = self.system.loss(prediction, batch, progress)
        return (loss + self.config.method.extra_loss(self.system)) * share


@dataclass(frozen=True)
class Captured:
    """What the GPU does by itself, from a batch that always lies in the same place."""

    batch: Batch
    share: Tensor
    form: Any
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph
    loss: Tensor


class ReplayedPasses(Passes):
    """Microbatches of the usual form are captured once and then replayed: two launches by the host
    in place of thousands. Others are launched kernel by kernel.

    The gradients stay where they are in memory, and are set to zero between steps.
    """

    def __init__(self, system: System, updater: Updater, config: TrainConfig, device: torch.device):
        super().__init__(system, updater, config, device)
        self._seen: dict[Any, int] = {}
        self.captured: Captured | None = None
        """Once the usual form has come often enough."""
        self._tries = True
        """Whether a capture is still to be tried."""

    def clear(self) -> None:
        """Set the gradients of the step before to zero, where they are."""
        self.updater.optimizer.zero_grad(set_to_none=False)

    def run(self, batch: Batch, progress: Progress, share: float, watch: Stopwatch) -> Tensor:
        """See `Passes.run`."""
        form = _form(batch)
        if form is not None and self._tries and self._warm(form):
            self._capture(batch, form, progress)
        captured = self.captured
        if captured is None or captured.form != form:
            return super().run(batch, progress, share, watch)
        place = captured.batch.tensors()
        for name, given in batch.tensors().items():
            place[name].copy_(given)
        captured.share.fill_(share)
        captured.forward.replay()
        watch.split("forward")
        captured.backward.replay()
        watch.split("backward")
        return captured.loss.clone()

    def _warm(self, form: Any) -> bool:
        """Whether enough microbatches of a form have been launched before this one."""
        self._seen[form] = self._seen.get(form, 0) + 1
        return self._seen[form] > WARM

    def _capture(self, batch: Batch, form: Any, progress: Progress) -> None:
        """Record both passes; nothing is computed."""
        self._tries = False
        if not self._fits():
            return
        place, share = batch.each(torch.clone), torch.ones((), device=self.device)
        pool = torch.cuda.graph_pool_handle()
        try:
            forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            # Some versions of torch stay on a stream of their own where a capture breaks off.
            with torch.cuda.stream(torch.cuda.current_stream(self.device)):
                # Threads that load the next batches may ask for page-locked memory meanwhile.
                with torch.cuda.graph(forward, pool=pool, capture_error_mode="thread_local"):
                    loss = self._loss(place, progress, share)
                with torch.cuda.graph(backward, pool=pool, capture_error_mode="thread_local"):
                    loss.backward()
        except RuntimeError as error:
            warnings.warn(
                "the passes cannot be captured as CUDA graphs and are launched kernel by kernel "
                f"(cuda_graphs = False says so from the start): {error}",
                stacklevel=2,
            )
        else:
            self.captured = Captured(place, share, form, forward, backward, loss.detach())

    def _fits(self) -> bool:
        """Whether the device has room for the passes twice: what is captured keeps its memory, and
        batches of another form and evaluations need theirs beside it."""
        held = torch.cuda.memory_allocated(self.device)
        most = torch.cuda.max_memory_allocated(self.device)
        return most + (most - held) <= available(self.device)


def _form(batch: Batch) -> tuple[Any, ...] | None:
    """What must be equal of two batches for the same kernels to serve both; None where what is
    computed depends on the batches before, as it does where features of samples are kept."""
    if batch.image_hashes is not None or batch.depth_hashes is not None:
        return None
    return tuple((name, x.shape, x.dtype) for name, x in batch.tensors().items())


def passes(system: System, updater: Updater, config: TrainConfig, runtime: Runtime) -> Passes:
    """Replayed on a GPU where that gives the same numbers: one worker alone, since several send
    gradients during the backward pass; gradients that stay to the end of the step; a system and a
    loss whose passes are the same at every step.

    Args:
        system: adapted, on its device.
        updater: of its trained parameters.
        config: of the training.
        runtime: the device and the workers.
    """
    replayed = (
        config.cuda_graphs
        and runtime.device.type == "cuda"
        and runtime.world == 1
        and updater.keeps_gradients
        and system.repeats
        and config.system.loss.repeats
        and not config.gradient_checkpointing
    )
    kind = ReplayedPasses if replayed else Passes
    return kind(system, updater, config, runtime.device)
