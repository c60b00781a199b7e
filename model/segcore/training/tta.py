"""Test-time augmentation: an image seen flipped, at several scales and through windows, averaged.

A network always sees images of its own size. At a scale above 1 the image is read larger than that
and looked at through windows that overlap; below 1 it is read smaller and continued at its edges by
its mirror image. Networks that take images of any size are often given the smaller image as it is
(mmsegmentation does): that would leave out those that take one size alone.

Shape suffixes: B batch, C channels (classes, then maps), H W image, h w size of the logits, N
boxes.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction, Prompts, Size
from segcore.classes import ClassSpec
from segcore.registry import STRICT

Flip = Literal["horizontal", "vertical", "both"]
Scale = Annotated[float, Field(ge=0.5, le=4)]
OVERLAP = 0.25
AXES: dict[Flip, tuple[int, ...]] = {"horizontal": (-1,), "vertical": (-2,), "both": (-2, -1)}
"""Axes of an image that a flip turns round."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TtaConfig:
    """How often each image is seen when it is scored or predicted. Probabilities are averaged, each
    view counting alike; box prompts and depth move with the image. By default it is seen once.

    WEFT's test (arXiv 2601.09108, its code): scales=(0.5, 1.0, 1.5), flips=("horizontal",),
    overlap=0.168.
    """

    scales: tuple[Scale, ...] = (1.0,)
    """Sizes at which the image is read, against the network's input. 1: the whole of it at once."""
    flips: tuple[Flip, ...] = ()
    """Left-right, upside-down, or both at once: each adds a view at every scale."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = OVERLAP
    """Share of its side that a window has in common with the next one, at least; they are spread
    evenly."""

    def __post_init__(self) -> None:
        for field, values in (("scales", self.scales), ("flips", self.flips)):
            if len(set(values)) < len(values):
                raise ValueError(f"{field} = {values}: each must stand once")
        if not self.scales:
            raise ValueError("scales = (): give at least one, 1.0 is the network's own size")
        if max(self.scales) <= 1 and self.overlap != OVERLAP:
            raise ValueError("overlap has no effect without a scale above 1: leave it out")

    @property
    def views(self) -> int:
        """How often each image is seen, whatever the windows of each time."""
        return len(self.scales) * (1 + len(self.flips))

    @property
    def is_off(self) -> bool:
        """Whether each image is seen once, as it is."""
        return self.scales == (1.0,) and not self.flips


def averaged(
    see: Callable[[Batch, Size], Prediction],
    batch_at: Callable[[Size], Batch],
    size: Size,
    *,
    input_size: Size,
    classes: ClassSpec,
    tta: TtaConfig,
) -> Prediction:
    """What a network says of a batch on average over all views.

    Args:
        see: the network: logits of a batch of the input size, at any size.
        batch_at: the batch with its images read at a size.
        size: of the logits.
        input_size: of the images that the network sees.
        classes: what the logits are of.
        tta: the views.

    Returns:
        Logits whose probabilities are the means, and the means of the maps of their size. Maps of
        another size do not lie on the image: those of the first view stand for all.
    """
    names: list[str] = []
    others: dict[str, Tensor] = {}

    def channels(batch: Batch, size: Size) -> Tensor:
        prediction = see(batch, size)
        alike = {n: m for n, m in prediction.maps.items() if m.shape[-2:] == torch.Size(size)}
        names[:] = alike
        for name, map_B1hw in prediction.maps.items():
            if name not in alike:
                others.setdefault(name, map_B1hw)
        shares_BKhw = classes.probabilities(prediction.logits_BKhw.float())
        return torch.cat([shares_BKhw, *(m.float() for m in alike.values())], dim=1)

    total_BChw: Tensor | None = None
    for scale in tta.scales:
        height, width = (round(scale * side) for side in input_size)
        batch = batch_at((height, width))
        for flip in (None, *tta.flips):
            seen = batch if flip is None else flipped(batch, flip)
            found_BChw = _through_windows(channels, seen, size, input_size, tta.overlap)
            if flip is not None:
                found_BChw = found_BChw.flip(AXES[flip])
            total_BChw = found_BChw if total_BChw is None else total_BChw + found_BChw
    assert total_BChw is not None
    mean_BChw = total_BChw / tta.views
    shares_BKhw, *maps = mean_BChw.split([len(classes.names), *(1 for _ in names)], dim=1)
    logits_BKhw = logits_of(shares_BKhw, classes)
    return Prediction(logits_BKhw, maps={**dict(zip(names, maps, strict=True)), **others})


def logits_of(shares_BKhw: Tensor, classes: ClassSpec) -> Tensor:
    """Logits that have these probabilities."""
    if classes.exclusive:
        return shares_BKhw.clamp_min(torch.finfo(torch.float32).tiny).log()
    return shares_BKhw.logit()


def flipped(batch: Batch, flip: Flip) -> Batch:
    """A batch with image, depth and boxes turned round; nothing that was kept of it is of this."""
    axes, prompts, depth_B1HW = AXES[flip], batch.prompts, batch.depth_B1HW
    if prompts is not None:
        x0, y0, x1, y1 = prompts.boxes_BN4.unbind(-1)
        if -1 in axes:
            x0, x1 = 1 - x1, 1 - x0
        if -2 in axes:
            y0, y1 = 1 - y1, 1 - y0
        boxes_BN4 = torch.stack([x0, y0, x1, y1], dim=-1) * prompts.present_BN[..., None]
        prompts = Prompts(boxes_BN4, prompts.present_BN)
    return _seen(
        batch,
        batch.image_B3HW.flip(axes),
        None if depth_B1HW is None else depth_B1HW.flip(axes),
        prompts,
    )


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin that cover a length, spread evenly.

    Args:
        length: pixels to cover, at least a window.
        window: pixels of each window.
        overlap: least share of a window that it has in common with the next one.
    """
    steps = math.ceil((length - window) / max(1.0, window * (1 - overlap)))
    return [round(float(at)) for at in np.linspace(0, length - window, steps + 1)]


def _through_windows(
    channels: Callable[[Batch, Size], Tensor],
    batch: Batch,
    size: Size,
    window: Size,
    overlap: float,
) -> Tensor:
    """Channels (B, C, *size) of a batch of any size, which is looked at through windows."""
    height, width = batch.image_B3HW.shape[-2:]
    if (height, width) == window:
        return channels(batch, size)
    # The network's windows are laid on a canvas of whole pixels, at least as fine as what is asked.
    zoom = max(1, math.ceil(size[0] / height), math.ceil(size[1] / width))
    whole = max(height, window[0]), max(width, window[1])
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    total_BCHW: Tensor | None = None
    count_HW = torch.zeros([zoom * side for side in whole], device=batch.image_B3HW.device)
    for y, x in itertools.product(
        *(window_starts(side, w, overlap) for side, w in zip(whole, window, strict=True))
    ):
        found_BCHW = channels(
            _cut(batch, (y - top, x - left), window), (zoom * window[0], zoom * window[1])
        )
        if total_BCHW is None:
            total_BCHW = found_BCHW.new_zeros(*found_BCHW.shape[:2], *count_HW.shape)
        rows = slice(zoom * y, zoom * (y + window[0]))
        columns = slice(zoom * x, zoom * (x + window[1]))
        total_BCHW[..., rows, columns] += found_BCHW
        count_HW[rows, columns] += 1
    assert total_BCHW is not None
    mean_BCHW = total_BCHW / count_HW
    inside = slice(zoom * top, zoom * (top + height)), slice(zoom * left, zoom * (left + width))
    mean_BCHW = mean_BCHW[(..., *inside)]
    if mean_BCHW.shape[-2:] == size:
        return mean_BCHW
    return F.interpolate(mean_BCHW, size, mode="bilinear", antialias=True)


def _cut(batch: Batch, at: tuple[int, int], window: Size) -> Batch:
    """A window of a batch; beyond the image's edges is its mirror image.

    Args:
        batch: of any size.
        at: row and column of the window's first pixel; negative where it begins outside.
        window: its size.
    """
    height, width = batch.image_B3HW.shape[-2:]
    rows, columns = (
        _mirrored(torch.arange(first, first + side), length).to(batch.image_B3HW.device)
        for first, side, length in zip(at, window, (height, width), strict=True)
    )

    def cut(x_BCHW: Tensor) -> Tensor:
        return x_BCHW[..., rows[:, None], columns]

    prompts = batch.prompts
    if prompts is not None:
        whole_4 = prompts.boxes_BN4.new_tensor([width, height, width, height])
        first_4 = prompts.boxes_BN4.new_tensor([at[1], at[0], at[1], at[0]])
        side_4 = prompts.boxes_BN4.new_tensor([window[1], window[0], window[1], window[0]])
        boxes_BN4 = ((prompts.boxes_BN4 * whole_4 - first_4) / side_4).clamp(0, 1)
        there_BN = (boxes_BN4[..., 2:] > boxes_BN4[..., :2]).all(-1) & prompts.present_BN
        prompts = Prompts(boxes_BN4 * there_BN[..., None], there_BN)
    depth_B1HW = batch.depth_B1HW
    return _seen(
        batch, cut(batch.image_B3HW), None if depth_B1HW is None else cut(depth_B1HW), prompts
    )


def _mirrored(places: Tensor, length: int) -> Tensor:
    """Places on a line of this length, those beyond its ends mirrored at the first and last one."""
    folded = places.abs()
    return torch.where(folded < length, folded, 2 * (length - 1) - folded)


def _seen(
    batch: Batch, image_B3HW: Tensor, depth_B1HW: Tensor | None, prompts: Prompts | None
) -> Batch:
    """A batch that is only looked at: without truth, and without hashes of what it was."""
    return replace(
        batch,
        image_B3HW=image_B3HW,
        depth_B1HW=depth_B1HW,
        prompts=prompts,
        target_BKHW=batch.target_BKHW[..., :0, :0],
        ignore_B1HW=None,
        image_hashes=None,
        depth_hashes=None,
    )
