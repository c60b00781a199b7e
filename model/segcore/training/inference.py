"""A network on one batch, and what it says of each image: labels, probabilities, pictures.

Shape suffixes: B batch, K classes, H W the size asked for.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch, Prediction, Size
from segcore.classes import ClassSpec, Labels
from segcore.metrics.images import POOLED
from segcore.metrics.metric import Needs
from segcore.metrics.overlap import Overlap
from segcore.training.ensemble import Network
from segcore.training.runtime import Precision, autocast
from segcore.training.tta import TtaConfig, averaged


@dataclass(frozen=True, eq=False)
class Masks:
    """What a network says of one image."""

    labels_HW: Labels
    probabilities_KHW: NDArray[np.float32] | None = None
    """Only if asked for."""
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    """The system's own pictures (h, w), such as its uncertainty, as grey levels."""
    uncertainty_HW: NDArray[np.float32] | None = None
    """With all its digits, only if asked for; None where it has no such map of this size."""
    overlaps: Mapping[str, Overlap] = field(default_factory=dict)
    """With the truth, of each foreground class and of all foreground, where a GPU counted them."""


def infer(
    system: Network,
    batch_at: Callable[[Size], Batch],
    size: Size,
    *,
    input_size: Size,
    classes: ClassSpec,
    tta: TtaConfig,
    device: torch.device,
    precision: Precision,
) -> Prediction:
    """Logits of a size, without gradients; the system is in evaluation mode.

    Args:
        system: what predicts.
        batch_at: the batch with its images read at a size.
        size: of the logits.
        input_size: of the images that the system sees.
        classes: what the logits are of.
        tta: how often it sees each image; the logits are then of mean probabilities.
        device: of the system.
        precision: of its forward pass.
    """

    def see(batch: Batch, size: Size) -> Prediction:
        with autocast(device, precision):
            prediction: Prediction = system(batch, size)
        return prediction

    def moved(wanted: Size) -> Batch:
        return batch_at(wanted).to(device)

    with torch.inference_mode():
        if tta.is_off:
            return see(moved(input_size), size)
        return averaged(see, moved, size, input_size=input_size, classes=classes, tta=tta)


@dataclass(frozen=True, eq=False)
class Sent:
    """What a network says of a batch, on its way from a GPU to the CPU."""

    labels_BHW: Tensor
    shares_BKHW: Tensor | None
    greys_Bhw: Mapping[str, Tensor]
    unsure_BHW: Tensor | None
    counts_BK3: Tensor | None
    """Pixels as of `Overlap`, of the classes in their order and of all foreground."""
    classes: ClassSpec
    there: torch.cuda.Event | None
    """What happens when all has come; None: all is there."""

    def masks(self) -> list[Masks]:
        """Image by image, once all has come."""
        if self.there is not None:
            self.there.synchronize()
        labels_BHW = self.labels_BHW.numpy()
        shares_BKHW = None if self.shares_BKHW is None else self.shares_BKHW.numpy()
        unsure_BHW = None if self.unsure_BHW is None else self.unsure_BHW.numpy()
        greys = {name: grey_Bhw.numpy() for name, grey_Bhw in self.greys_Bhw.items()}
        names = (*self.classes.foreground, POOLED)
        counts = None if self.counts_BK3 is None else self.counts_BK3.tolist()
        return [
            Masks(
                labels_HW,
                None if shares_BKHW is None else shares_BKHW[i],
                {name: grey_Bhw[i] for name, grey_Bhw in greys.items()},
                None if unsure_BHW is None else unsure_BHW[i],
                {}
                if counts is None
                else {n: Overlap(*c) for n, c in zip(names, counts[i], strict=True)},
            )
            for i, labels_HW in enumerate(labels_BHW)
        ]


@dataclass(frozen=True, eq=False)
class Truth:
    """The labels that predictions are held against, on the device that counts overlaps."""

    labels_BHW: Tensor
    ignore_BHW: Tensor | None
    """Where nobody knows them: counts as background in both."""


def sent(
    prediction: Prediction,
    classes: ClassSpec,
    *,
    also: Collection[Needs],
    truth: Truth | None = None,
) -> Sent:
    """A prediction on its way to the CPU, for which nobody waits yet.

    Args:
        prediction: of a batch.
        classes: what its logits are of.
        also: what is handed out beside labels and maps.
        truth: with which overlaps are counted; None: they are not.
    """
    with torch.inference_mode():
        logits_BKHW = prediction.logits_BKhw.float()
        found_BHW = classes.labels_there(logits_BKHW)
        counts_BK3 = None
        if truth is not None:
            counts_BK3 = _to_cpu(count_overlaps(found_BHW, truth, classes))
        labels_BHW = _to_cpu(found_BHW)
        shares_BKHW = None
        if "probabilities" in also:
            shares_BKHW = _to_cpu(classes.probabilities(logits_BKHW))
        greys = {name: _to_cpu(_grey(map_B1hw)) for name, map_B1hw in prediction.maps.items()}
        unsure_B1hw = prediction.maps.get("uncertainty") if "uncertainty" in also else None
        unsure_BHW = None
        if unsure_B1hw is not None and unsure_B1hw.shape[-2:] == logits_BKHW.shape[-2:]:
            unsure_BHW = _to_cpu(unsure_B1hw[:, 0].float())
        there = None
        if logits_BKHW.device.type == "cuda":
            there = torch.cuda.Event()
            there.record(torch.cuda.current_stream(logits_BKHW.device))
    return Sent(labels_BHW, shares_BKHW, greys, unsure_BHW, counts_BK3, classes, there)


def masks(prediction: Prediction, classes: ClassSpec, *, also: Collection[Needs]) -> list[Masks]:
    """A prediction image by image, on the CPU. Arguments as of `sent`."""
    return sent(prediction, classes, also=also).masks()


def count_overlaps(labels_BHW: Tensor, truth: Truth, classes: ClassSpec) -> Tensor:
    """Pixels of the labels, of the truth and of both: (B, classes and all foreground, 3)."""
    both = [labels_BHW, truth.labels_BHW]
    if truth.ignore_BHW is not None:
        both = [x.masked_fill(truth.ignore_BHW, 0) for x in both]
    numbers = [classes.names.index(name) for name in classes.foreground]
    a_BKHW, b_BKHW = (
        torch.stack(
            [*(x == k if classes.exclusive else (x >> k) & 1 == 1 for k in numbers), x > 0], 1
        )
        for x in both
    )
    return torch.stack([m.sum((2, 3)) for m in (a_BKHW, b_BKHW, a_BKHW & b_BKHW)], -1)


def by_size(shapes: Iterable[tuple[int, ...]]) -> dict[Size, list[int]]:
    """The places of the images of each size, (H, W), among the shapes of arrays (H, W, ...)."""
    found: dict[Size, list[int]] = {}
    for place, (height, width, *_) in enumerate(shapes):
        found.setdefault((height, width), []).append(place)
    return found


def _grey(map_B1hw: Tensor) -> Tensor:
    """A map in [0, 1] as grey levels (B, h, w)."""
    return (map_B1hw[:, 0].float().clamp(0, 1) * 255).round().to(torch.uint8)


def _to_cpu(x: Tensor) -> Tensor:
    """From a GPU into page-locked memory, without waiting for it."""
    return x.to("cpu", non_blocking=True)
