"""How long, how fast and in what portions a system trains."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.registry import STRICT

POLY_POWER = 0.9


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimConfig:
    """What every optimizer here shares."""

    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    """Peak learning rate of the head; a method that adapts encoder weights has its own."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-2
    """Decoupled, on the parameters that `decayed` says."""
    decayed: Literal["all", "matrices"] = "all"
    """`matrices` spares what has one dimension: biases, and scales of norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the rate from each transformer block of a pretrained encoder to the one below it,
    as BEiT is fine-tuned (Bao et al., arXiv 2106.08254): what lies behind the last block has the
    full rate, what lies before the first one the smallest. 1 treats all alike."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of Adam's second moment. SRFT-GaLore's code has 1e-6."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global gradient norm; None does not clip."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a running mean of the trained weights, which is scored and kept in their place.
    It grows with the steps, (1 + n) / (10 + n), until it has this value, so that a short training
    forgets how it began. None: no mean."""

    def __post_init__(self) -> None:
        if self.weight_decay == 0 and self.decayed != "all":
            raise ValueError("decayed changes nothing while weight_decay is 0: give both")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Schedule:
    """Epochs, batches and the course of the learning rate."""

    epochs: Annotated[int, Field(ge=1)] = 15
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Samples of one optimizer step, over all workers."""
    microbatch_size: Annotated[int, Field(ge=1)] | Literal["largest"] | None = None
    """Most samples in memory at once on a worker, which changes a loss in its last digits at most;
    None takes its whole share. `largest`: as many as its GPU holds, tried once for each network and
    kind of GPU and kept in $SEGTUNE_CACHE or ~/.cache/segtune; on a CPU one."""
    last_batch: Literal["kept", "dropped"] = "kept"
    """What becomes of an epoch's last batch where it is smaller than the others: the images left
    over sit this epoch out, or make a batch of their own."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Optimizer steps of linear warm-up."""
    final_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Where the course ends, as a share of the peak rate. 1 keeps the rate constant: SRFT-GaLore's
    code does, which steps its cosine only after the last epoch."""

    course: Literal["cosine", "linear", "poly"] = "cosine"
    """How the rate falls after the warm-up; `poly`: as a power of what is left of the training."""
    poly_power: Annotated[float, Field(gt=0, le=10)] = POLY_POWER
    """Of `poly`. 0.9 is DeepLab's and nnU-Net's."""

    def __post_init__(self) -> None:
        if self.course != "poly" and self.poly_power != POLY_POWER:
            raise ValueError("poly_power changes nothing unless course is poly: give both")

    @property
    def usual_microbatch(self) -> int:
        """Most samples at once, of `largest` what a CPU takes."""
        if self.microbatch_size == "largest":
            return 1
        return self.microbatch_size or self.batch_size

    def steps_per_epoch(self, samples: int) -> int:
        """Optimizer steps of one pass over `samples`."""
        return len(self.batches(range(samples)))

    def batches(self, order: Sequence[int]) -> list[Sequence[int]]:
        """The places of an epoch's samples, batch by batch.

        Args:
            order: in which they are visited.
        """
        size = self.batch_size
        end = len(order) if self.last_batch == "kept" else len(order) // size * size
        return [order[i : i + size] for i in range(0, end, size)]

    def lr_ratio(self, step: int, total_steps: int) -> float:
        """Learning rate of a 0-based optimizer step as a share of the peak rate."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        done = min(1.0, (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))
        if self.course == "cosine":
            left = 0.5 * (1 + math.cos(math.pi * done))
        else:
            left = (1 - done) ** (self.poly_power if self.course == "poly" else 1)
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * left
