"""Where a training runs: its device, its peers, and where it goes on from."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch
import torch.distributed

from srft_galore import AllReduce, Broadcast

T = TypeVar("T")
Precision = Literal["float32", "bfloat16"]
"""What a forward pass computes in; weights and optimizer state are float32 in either."""


@dataclass
class Runtime:
    """One worker. Where there are several, whoever started them has set up torch.distributed's
    default process group, by which they communicate."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world: int = 1
    restore_from: Path | None = None
    """A checkpoint folder to go on from."""
    test: bool = True
    """Whether the best checkpoint is tested once, at the end."""

    cpus: int = 1
    """CPUs that it may keep busy."""
    beat: Callable[[], None] = lambda: None
    """Called after each step and each predicted batch: a sign of life."""
    all_reduce: AllReduce = field(default_factory=AllReduce)
    """Sums tensors over the workers, in place."""
    broadcast: Broadcast = field(default_factory=Broadcast)
    """Overwrites tensors with those of one worker."""

    @property
    def sent_bytes(self) -> int:
        """Bytes of the tensors that this worker has handed over so far, or been given."""
        return self.all_reduce.nbytes + self.broadcast.nbytes

    def gather(self, items: Sequence[T]) -> list[T]:
        """The items of all workers, in rank order, on every worker."""
        if self.world == 1:
            return list(items)
        parts: list[list[T]] = [[] for _ in range(self.world)]
        torch.distributed.all_gather_object(parts, list(items))
        return [item for part in parts for item in part]


def local_runtime(*, restore_from: Path | None = None, test: bool = True) -> Runtime:
    """The best single device of this machine."""
    return Runtime(
        device=choose_device(None),
        restore_from=restore_from,
        test=test,
        cpus=torch.get_num_threads(),
    )


def choose_device(name: str | None) -> torch.device:
    """The device of a name, or the best single one of this machine.

    Raises:
        ValueError: no such kind of device, or none on this machine.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in here and not (name == "cuda" and len(here) > 1):
        raise ValueError(f"no device {name!r} on this machine: choose {' or '.join(here)}")
    if name == "cuda":  # torch asks for the number of a GPU here and there
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def limit_memory(device: torch.device, share: float) -> None:
    """Let this process take a share of a GPU's memory and no more: what is above it fails here, not
    in the trials that share the GPU. On a CPU nothing is done.

    Args:
        device: what it computes on.
        share: of that device; 1 or more is all of it.
    """
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)


def choose_kernels(device: torch.device, *, deterministic: bool) -> None:
    """Let torch take deterministic algorithms alone, or else, on a GPU, let cuDNN try which of its
    convolutions are the fastest for each shape: a training has few shapes. From here on in this
    process."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False  # it may choose another algorithm each time
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a forward pass computes in a precision.

    Raises:
        ValueError: the device is a GPU that does not compute in bfloat16.
    """
    enabled = precision == "bfloat16"
    if enabled and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"{device_name(device)} does not compute in bfloat16: set precision to float32"
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def device_name(device: torch.device) -> str:
    """The device as a person knows it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
