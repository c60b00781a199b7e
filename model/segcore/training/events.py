"""What a training tells the world after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcore.batch import Size
from segcore.metrics.metric import Direction, Scope
from segcore.metrics.table import default_protocol
from segcore.training.checkpoint import Checkpoint

OWN_SIZE = "image"
"""The resolution of scores that compare each image's masks at its own size."""


def resolution_of(size: Size) -> str:
    """How a size stands in the tables: `128x192`, height first."""
    return f"{size[0]}x{size[1]}"


@dataclass(frozen=True)
class Score:
    """One metric of one class over one split."""

    split: str
    """`val`, `test` or `external`: the test split of another data set."""
    resolution: str
    """Size of the masks that were compared: as `resolution_of`, or `OWN_SIZE`."""
    class_name: str
    """A class, or `pooled` (all foreground as one mask), or `macro` (mean over classes)."""
    metric: str
    protocol: str
    direction: Direction
    """Which values are better."""
    unit: str
    label: str
    """As of `Metric`."""
    value: float
    """NaN where no image of the split defines it."""
    n: int
    """Images, or cases, that the value is over."""


@dataclass(frozen=True)
class ImageScore:
    """One metric of one class of one image or case, from the final evaluation."""

    split: str
    resolution: str
    sample_id: str
    """Of the image; of a case, the case's."""
    patient_id: str
    scope: Scope
    """Whether the value is of the image or of the whole case."""
    case_id: str
    class_name: str
    metric: str
    protocol: str
    value: float
    curve: NDArray[np.float64] | None = None
    """Of which the set's mean is taken, where the metric gives one."""


@dataclass(frozen=True)
class Picture:
    """A small PNG of the final evaluation."""

    split: str
    sample_id: str
    kind: str
    """`image`, `depth`, `truth`, `prediction`, or the name of one of the system's own maps."""
    png: bytes


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of one optimizer step, by part."""

    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0
    refresh: float = 0.0
    """Of the low-rank bases; not counted in `optimizer`."""


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    step: int
    """From 1."""
    epoch: int
    loss: float
    """Mean over the samples of the step, over all workers."""
    lr: float
    """The head's rate."""
    gradient_norm: float
    """Global norm of the gradient (of low-rank methods that free it, of its projection) before it
    was clipped."""
    images: int
    reduced_bytes: int
    """Of the gradients that this worker handed over to be summed over the workers."""
    seconds: Seconds


@dataclass(frozen=True)
class Memory:
    """Bytes, measured on this worker."""

    weights: int
    gradients: int
    optimizer_state: int
    peak: int
    """CUDA: most bytes allocated. CPU: largest resident size of the process so far."""


@dataclass(frozen=True)
class Facts:
    """What is known of a training once it is set up."""

    trainable_parameters: int
    total_parameters: int
    weights_hash: str
    """Of the pretrained weights as loaded."""
    data_hash: str
    """Of the data, the external set included."""
    device: str
    train_images: int
    resolution: str
    """At which every split is scored, whatever other resolutions are asked for."""
    adapted_lr: float | None
    """Peak learning rate of what the method adapts; None: it adapts nothing, or does not say."""
    prompts: str
    """Which boxes the system is told, as of `PromptConfig.source`."""
    microbatch_size: int | None
    """Most samples that a worker computes with at once: what was asked for, or the largest that was
    found to fit. None: its whole share of a batch."""


@dataclass(frozen=True)
class Evaluation:
    """The state of a training after an epoch, or (`final`) its test."""

    epoch: int
    """Epochs done, from 1; the final evaluation names the best epoch."""
    step: int
    """Optimizer steps done."""
    epochs: int
    """Epochs in all."""
    steps: tuple[Step, ...]
    """Those since the last evaluation."""
    memory: Memory
    scores: tuple[Score, ...]
    checkpoint: Callable[[], Checkpoint]
    """Copies the state of the training, which goes on to change, to the host's memory. To be called
    before the next evaluation is asked for."""
    facts: Facts
    final: bool = False
    is_best: bool = False
    """Whether this is the best epoch on val so far (the first of equals), by
    `EvaluationConfig.select_on`."""
    selection: float | None = None
    """The value that the best epoch is chosen by; None in the final evaluation."""
    images: tuple[ImageScore, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def save(self, folder: Path) -> None:
        """Write the checkpoint (best and last) into an empty folder."""
        self.checkpoint().save(folder)

    def score(
        self,
        metric: str,
        *,
        split: str = "val",
        class_name: str = "macro",
        protocol: str | None = None,
        resolution: str | None = None,
    ) -> float:
        """One value out of `scores`.

        Args:
            metric: its name.
            split: `val`, `test` or `external`.
            class_name: a class, `pooled` or `macro`.
            protocol: None takes the metric's default.
            resolution: None takes the one at which every split is scored.

        Raises:
            KeyError: it was not computed.
        """
        protocol = protocol or default_protocol(metric)
        resolution = resolution or self.facts.resolution
        wanted = (metric, protocol, split, resolution, class_name)
        for s in self.scores:
            if (s.metric, s.protocol, s.split, s.resolution, s.class_name) == wanted:
                return s.value
        raise KeyError(f"no {metric} ({protocol}) of {class_name} on {split} at {resolution}")
