"""The rows of salient object detection; `saliency` has what they compute, `segcore.metrics` tells
of their protocols."""

from collections.abc import Callable, Sequence

import numpy as np

from segcore.metrics.metric import Classes, Metric, Pair, Value
from segcore.metrics.saliency import NAN, Reading, Saliency, e_measure, f_measure

Compute = Callable[[Saliency], Value]


def _map(compute: Compute, reading: Reading) -> Callable[[Pair], Value]:
    """Of a pair's probabilities, read in one way."""

    def of(pair: Pair) -> Value:
        return compute(pair.as_is if reading == "probabilities" else pair.stretched)

    return of


def _f(compute: Compute) -> Compute:
    """An F-measure, not counted where the truth is empty and the reading says so."""

    def of(saliency: Saliency) -> Value:
        found = compute(saliency)
        if not saliency.undefined:
            return found
        return np.full_like(found, NAN) if isinstance(found, np.ndarray) else NAN

    return of


def _best_of_set(curves: Sequence[Value]) -> float:
    """The mean curve's maximum: one threshold for the whole set."""
    return _at_most_1(np.mean(np.stack([np.asarray(c) for c in curves]), axis=0).max())


def _at_most_1(value: float | np.floating) -> float:
    """Without the pixel's worth by which E-measures exceed 1."""
    return float(np.minimum(value, 1))  # NaN stays NaN


def _mean_f(saliency: Saliency) -> float:
    return float(saliency.f_curve_T.mean())


def _mean_e(saliency: Saliency) -> float:
    return _at_most_1(saliency.e_curve_T.mean())


def _adaptive_f(saliency: Saliency) -> float:
    return float(f_measure(*saliency.adaptive, truth=saliency.truth)[0])


def _adaptive_e(saliency: Saliency) -> float:
    return _at_most_1(e_measure(*saliency.adaptive, truth_HW=saliency.truth_HW)[0])


def _mask_f(pair: Pair) -> float:
    truth, marked = (int(np.count_nonzero(m)) for m in (pair.truth, pair.prediction))
    if not truth:
        return NAN
    hits = np.count_nonzero(pair.prediction & pair.truth)
    return float(f_measure(np.array([hits]), np.array([marked]), truth=truth)[0])


def _mask_e(pair: Pair) -> float:
    hits = np.array([np.count_nonzero(pair.prediction & pair.truth)], np.float64)
    marked = np.array([np.count_nonzero(pair.prediction)], np.float64)
    return _at_most_1(e_measure(hits, marked, truth_HW=pair.truth)[0])


def _of_mask(compute: Compute) -> Callable[[Pair], Value]:
    """Of the mask, taken for a map of zeros and ones."""

    def of(pair: Pair) -> Value:
        return compute(Saliency.of(pair.prediction.astype(float), pair.truth, "probabilities"))

    return of


def _counts(pair: Pair) -> Value:
    """Pixels of the background and of each class: in both masks, and in either, (2, 1 + K)."""
    both = [np.concatenate([~m.any(0, keepdims=True), m]) for m in (pair.prediction, pair.truth)]
    axes = tuple(range(1, both[0].ndim))
    return np.stack([(both[0] & both[1]).sum(axes), (both[0] | both[1]).sum(axes)]).astype(float)


def _iou_of_counts(counts: Sequence[Value]) -> float:
    """Mean over the classes that are anywhere of the IoU of the whole set's pixels."""
    common, either = np.sum([np.asarray(c) for c in counts], axis=0)
    return float((common[either > 0] / either[either > 0]).mean())


def _dice_of_counts(counts: Sequence[Value]) -> float:
    """The same of Dice."""
    common, either = np.sum([np.asarray(c) for c in counts], axis=0)
    there = either > 0
    return float((2 * common[there] / (common + either)[there]).mean())


def _row(
    name: str,
    protocol: str,
    compute: Callable[[Pair], Value],
    *,
    probabilities: bool = True,
    about: str = "",
    at_val: bool = False,
    classes: Classes = "each",
    reduce: Callable[[Sequence[Value]], float] | None = None,
) -> Metric:
    """What all of them have in common. Those of val are quick, and the first of their name."""
    return Metric(
        name=name,
        protocol=protocol,
        direction="minimize" if name == "mae" else "maximize",
        label=LABELS[name],
        about=about,
        unit="fraction",
        compute=compute,
        classes=classes,
        needs="probabilities" if probabilities else "labels",
        reduce=reduce,
        shown=at_val,
        only_at_test=not at_val,
    )


LABELS = {
    "s_measure": "S-measure",
    "e_measure": "E-measure",
    "f_measure": "F-measure",
    "weighted_f": "Weighted F",
    "mae": "MAE",
    "dice": "Dice",
    "iou": "IoU",
}

S_MEASURE = _row(
    "s_measure",
    "probabilities",
    _map(Saliency.s_measure, "probabilities"),
    about="How alike the probabilities and the truth are in structure; 1 is perfect.",
    at_val=True,
)
E_MEAN = _row(
    "e_measure",
    "mean",
    _map(_mean_e, "probabilities"),
    about="How well each pixel's difference from the image's mean agrees; 1 is perfect.",
    at_val=True,
)
F_ADAPTIVE = _row(
    "f_measure",
    "adaptive",
    _map(_f(_adaptive_f), "probabilities"),
    about="Precision and recall as one number, precision counting more; 1 is perfect.",
    at_val=True,
)
WEIGHTED_F = _row(
    "weighted_f",
    "probabilities",
    _map(Saliency.weighted_f, "probabilities"),
    about="F-measure of soft errors, by how far they are from the object; 1 is perfect.",
)
MAE = _row(
    "mae",
    "probabilities",
    _map(Saliency.mae, "probabilities"),
    about="Mean absolute difference of probability and truth; 0 is perfect.",
    at_val=True,
)
E_MAX = _row(
    "e_measure",
    "max",
    _map(lambda s: s.e_curve_T, "probabilities"),
    reduce=_best_of_set,
)
E_ADAPTIVE = _row("e_measure", "adaptive", _map(_adaptive_e, "probabilities"))
F_MAX = _row(
    "f_measure",
    "max",
    _map(_f(lambda s: s.f_curve_T), "probabilities"),
    reduce=_best_of_set,
)
F_MEAN = _row("f_measure", "mean", _map(_f(_mean_f), "probabilities"))

S_MIN_MAX = _row("s_measure", "min_max", _map(Saliency.s_measure, "min_max"))
E_MEAN_MIN_MAX = _row("e_measure", "mean_min_max", _map(_mean_e, "min_max"))
E_MAX_MIN_MAX = _row(
    "e_measure",
    "max_min_max",
    _map(lambda s: s.e_curve_T, "min_max"),
    reduce=_best_of_set,
)
E_ADAPTIVE_MIN_MAX = _row("e_measure", "adaptive_min_max", _map(_adaptive_e, "min_max"))
F_ADAPTIVE_MIN_MAX = _row("f_measure", "adaptive_min_max", _map(_adaptive_f, "min_max"))
F_MAX_MIN_MAX = _row(
    "f_measure",
    "max_min_max",
    _map(lambda s: s.f_curve_T, "min_max"),
    reduce=_best_of_set,
)
F_MEAN_MIN_MAX = _row("f_measure", "mean_min_max", _map(_mean_f, "min_max"))
WEIGHTED_F_MIN_MAX = _row("weighted_f", "min_max", _map(Saliency.weighted_f, "min_max"))
MAE_MIN_MAX = _row("mae", "min_max", _map(Saliency.mae, "min_max"))
DICE_OF_THRESHOLDS = _row(
    "dice", "mean_over_thresholds", _map(lambda s: float(s.overlaps_T[0].mean()), "min_max")
)
IOU_OF_THRESHOLDS = _row(
    "iou", "mean_over_thresholds", _map(lambda s: float(s.overlaps_T[1].mean()), "min_max")
)

S_HARD = _row("s_measure", "hard_mask", _of_mask(Saliency.s_measure), probabilities=False)
E_HARD = _row("e_measure", "hard_mask", _mask_e, probabilities=False)
F_HARD = _row("f_measure", "hard_mask", _mask_f, probabilities=False)
WEIGHTED_F_HARD = _row(
    "weighted_f", "hard_mask", _of_mask(Saliency.weighted_f), probabilities=False
)
MAE_HARD = _row("mae", "hard_mask", _of_mask(Saliency.mae), probabilities=False)
DICE_OF_SET = _row(
    "dice",
    "set_with_background",
    _counts,
    classes="stacked",
    probabilities=False,
    reduce=_dice_of_counts,
)
IOU_OF_SET = _row(
    "iou",
    "set_with_background",
    _counts,
    classes="stacked",
    probabilities=False,
    reduce=_iou_of_counts,
)
