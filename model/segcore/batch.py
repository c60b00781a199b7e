"""What travels through a system: batches in, predictions out.

Shape suffixes: B batch, K classes, H W image size, h w asked-for size, N boxes of a sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width, pixels."""
Modality = Literal["image", "depth"]
"""What a system may look at."""


@dataclass(frozen=True)
class Prompts:
    """Boxes that tell a system where to look: one for the image, or one for each class."""

    boxes_BN4: Tensor
    """(x0, y0, x1, y1) as shares of the image's width and height, float32, x1 and y1 exclusive.
    N is 1, or the number of foreground classes in their order."""
    present_BN: Tensor
    """Whether there is such a box, bool. Of an absent one the numbers are zero and mean nothing."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on one device.

    On its way to a GPU what is float32 below may be in bytes, a quarter of the memory: levels of
    image and depth, 0 to 255, and targets; `to` makes float32 of them.
    """

    image_B3HW: Tensor
    """RGB in [0, 1], float32."""
    target_BKHW: Tensor
    """0 or 1, float32; one-hot where the classes exclude one another."""
    sample_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    depth_B1HW: Tensor | None = None
    """Relative depth in [0, 1], larger is farther, float32."""
    prompts: Prompts | None = None
    ignore_B1HW: Tensor | None = None
    """Where nobody knows the truth, bool: these pixels count in no loss and no metric."""
    image_hashes: tuple[str, ...] | None = None
    """Of each sample's image as it is here, where a system keeps what it computes of it."""
    depth_hashes: tuple[str, ...] | None = None
    """Alike, of the depth maps."""

    def __len__(self) -> int:
        return len(self.sample_ids)

    def take(self, samples: Sequence[int]) -> "Batch":
        """Some of the samples, by their places in the batch."""

        def taken(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value[list(samples)]
            if isinstance(value, tuple):
                return tuple(value[i] for i in samples)
            if isinstance(value, Prompts):
                return Prompts(taken(value.boxes_BN4), taken(value.present_BN))
            return value

        return replace(self, **{f.name: taken(getattr(self, f.name)) for f in fields(self)})

    def tensors(self) -> dict[str, Tensor]:
        """All there are, by name."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.prompts is not None:
            held |= {f"prompts.{f.name}": getattr(self.prompts, f.name) for f in fields(Prompts)}
        return {name: x for name, x in held.items() if isinstance(x, Tensor)}

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same with every tensor changed."""
        changed: dict[str, Any] = {name: change(x) for name, x in self.tensors().items()}
        if self.prompts is None:
            return replace(self, **changed)
        prompts = Prompts(*(changed.pop(f"prompts.{f.name}") for f in fields(Prompts)))
        return replace(self, **changed, prompts=prompts)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device, in float32."""
        return self.each(lambda x: x.to(device, non_blocking=True))._in_float32()

    def pinned(self) -> "Batch":
        """The same in page-locked memory, which a GPU reads by itself while the host goes on."""
        return self.each(Tensor.pin_memory)

    def _in_float32(self) -> "Batch":
        if self.image_B3HW.dtype != torch.uint8:
            return self
        return replace(
            self,
            image_B3HW=_unit(self.image_B3HW),
            target_BKHW=self.target_BKHW.float(),
            depth_B1HW=None if self.depth_B1HW is None else _unit(self.depth_B1HW),
        )


def moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host's on a device; the host waits for no GPU."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def _unit(levels: Tensor) -> Tensor:
    """Levels from 0 to 255 in [0, 1], with the digits of a CPU: by a number of the host a GPU does
    not divide, it multiplies by its reciprocal."""
    return levels.float() / torch.full((), 255.0, device=levels.device)


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    step: int
    """Optimizer steps done."""
    total: int
    """Optimizer steps in all."""
    epoch: int
    """The epoch that runs, from 1."""
    epochs: int
    """Epochs in all."""

    @property
    def share(self) -> float:
        """Of the training that is done, in [0, 1]."""
        return self.step / self.total


FINISHED = Progress(step=1, total=1, epoch=1, epochs=1)
"""What evaluation and prediction say: nothing is still warming up."""


@dataclass(frozen=True)
class Prediction:
    """What a system says about a batch."""

    logits_BKhw: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    """What the system's own loss needs besides (coarse fields, queries)."""
    maps: dict[str, Tensor] = field(default_factory=dict)
    """Pictures of the system's own by name, such as `uncertainty`: (B, 1, h, w) in [0, 1]. They
    stand in a report's gallery, and `predict` writes them. Not made in training."""
