"""Every metric of one image, or of all slices of one case.

Shape suffixes: H W image, S slices, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segcore.batch import Size
from segcore.classes import ClassSpec, Labels
from segcore.metrics.metric import Metric, Pair, Scope, Value
from segcore.metrics.overlap import Mask, Overlap

POOLED = "pooled"
"""The class that is all foreground as one mask."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A prediction and the truth that it is held against, of an image or of a whole case."""

    prediction: Labels
    """(H, W), or (S, H, W)."""
    truth: Labels
    """In the shape of the prediction."""
    ignore: Mask | None = None
    """Where nobody knows the truth: counts as background in both."""
    probabilities: NDArray[np.float32] | None = None
    """(K, H, W), or (K, S, H, W): of every class, where a metric asks for them."""
    spacing_mm: tuple[float, ...] | None = None
    """Between the pixels along each axis."""
    uncertainty: NDArray[np.float32] | None = None
    """In the shape of the prediction, larger is less sure; None where the network says nothing."""
    own_size: Size | None = None
    """Of the image that the masks are of; None where it is not known."""
    overlaps: Mapping[str, Overlap] = field(default_factory=dict)
    """Of each foreground class and of all foreground, where a GPU has counted them."""


class MaskScore(NamedTuple):
    """One metric of one class of one image or case."""

    class_name: str
    metric: Metric
    value: Value


def score(
    scored: Scored, classes: ClassSpec, metrics: Iterable[Metric], scope: Scope
) -> list[MaskScore]:
    """The metrics of a scope: each foreground class, then `pooled`.

    Args:
        scored: what is compared.
        classes: how to read the labels.
        metrics: which to compute; those of the other scope are passed over.
        scope: of what `scored` is.
    """
    wanted = [m for m in metrics if m.scope == scope]
    pairs = _pairs(scored, classes)
    each = [m for m in wanted if m.classes == "each"]
    # By object: where there is one foreground class, all foreground is the same pair.
    values = {p: [m.compute(p) for m in each] for p in dict.fromkeys(pairs.values())}
    out = [
        MaskScore(name, metric, value)
        for name, pair in pairs.items()
        for metric, value in zip(each, values[pair], strict=True)
    ]
    return out + [MaskScore(POOLED, m, v) for m, v in _together(pairs, classes, wanted)]


def _pairs(scored: Scored, classes: ClassSpec) -> dict[str, Pair]:
    """The pair of each foreground class by name, then of all foreground as one mask."""
    prediction, truth, shares = scored.prediction, scored.truth, scored.probabilities
    if scored.ignore is not None:
        background = np.uint8(0)
        prediction, truth = (
            np.where(scored.ignore, background, labels) for labels in (prediction, truth)
        )
        if shares is not None:  # certain of the background, which is channel 0 if there is one
            certain = np.zeros((len(shares), *[1] * (shares.ndim - 1)), np.float32)
            certain[0] = float(classes.exclusive)
            shares = np.where(scored.ignore, certain, shares)
    unsure = scored.uncertainty
    if unsure is not None and scored.ignore is not None:
        unsure = np.where(scored.ignore, np.float32(np.nan), unsure)
    masks = zip(
        classes.foreground_masks(prediction).items(),
        classes.foreground_masks(truth).values(),
        strict=True,
    )
    of_class = {} if shares is None else dict(zip(classes.names, shares, strict=True))

    def pair(name: str, mask: Mask, true: Mask, share: NDArray[np.float32] | None) -> Pair:
        counted = scored.overlaps.get(name)
        return Pair(mask, true, share, scored.spacing_mm, unsure, scored.own_size, counted)

    pairs = {name: pair(name, mask, true, of_class.get(name)) for (name, mask), true in masks}
    if len(pairs) == 1:
        return {**pairs, POOLED: pairs[classes.foreground[0]]}
    any_foreground = None
    if shares is not None:
        any_foreground = 1 - shares[0] if classes.exclusive else shares.max(axis=0)
    pairs[POOLED] = pair(POOLED, prediction > 0, truth > 0, any_foreground)
    return pairs


def _together(
    pairs: dict[str, Pair], classes: ClassSpec, metrics: Sequence[Metric]
) -> Iterator[tuple[Metric, Value]]:
    """The metrics that look at all foreground classes at once."""
    own = [pairs[name] for name in classes.foreground]
    stacked = None
    for metric in metrics:
        if metric.classes == "pooled":
            yield metric, metric.compute(pairs[POOLED])
        elif metric.classes == "stacked":
            if stacked is None:
                shares = [p.probability for p in own if p.probability is not None]
                counts = [p.counted for p in own if p.counted is not None]
                stacked = Pair(
                    np.stack([p.prediction for p in own]),
                    np.stack([p.truth for p in own]),
                    np.stack(shares) if shares else None,
                    counted=Overlap.stacked(counts) if counts else None,
                )
            yield metric, metric.compute(stacked)
