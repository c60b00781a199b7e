"""Measures of salient object detection: how far a map of probabilities is from a mask.

S-measure (Fan et al., ICCV 2017), E-measure (Fan et al., IJCAI 2018), F-measure (Achanta et al.,
CVPR 2009, beta^2 = 0.3), weighted F-measure (Margolin et al., CVPR 2014) and MAE (Perazzi et al.,
CVPR 2012), with the values of PySODMetrics 1.6 and so of the authors' MATLAB code.

Each of them is told what to do about three traps, which `Reading` names:

min-max      Most tables come from PySODMetrics or from MATLAB scripts that first stretch every map
             from its own minimum and maximum to 0 and 1. It forgives whoever is never sure, and
             turns faint noise on an image without an object into objects.
empty truth  Precision and recall are undefined there. PySODMetrics gives 0, whatever is predicted.
             S, E and MAE are defined: they say how much of the image was left in peace.
empty map    An adaptive threshold is twice the map's mean, and all of a map of zeros reaches 0: a
             network that finds nothing is scored as if it had marked everything.

A fourth one is the caller's: networks whose output is an argmax (Mask2Former, WEFT) are scored on
hard masks in some tables, where MAE is the share of wrong pixels and every threshold is the same.

Shape suffixes: H W image, T thresholds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, distance_transform_edt

from segcore.metrics.overlap import Mask

Map = NDArray[np.float64]
Curve = NDArray[np.float64]
Reading = Literal["probabilities", "min_max"]
"""`probabilities`: maps as they are; nothing is marked where a map is 0; F-measures of an image
whose truth is empty are NaN, not counted. `min_max`: as PySODMetrics does by default, of maps that
were saved with 8 bits: stretched, and with its values where truth or map are empty."""

LEVELS = 256
"""Thresholds of a curve: all grey levels of a map with 8 bits."""
BETA_SQUARED = 0.3
"""Weight of recall in the F-measure: precision counts more."""
ALPHA = 0.5
"""Weight of objects against regions in the S-measure."""
TINY = float(np.spacing(1))
"""MATLAB's `eps`, with which the authors' code keeps from dividing by 0."""
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Saliency:
    """A map beside the truth. What several measures need is computed once."""

    map_HW: Map
    """In [0, 1]."""
    truth_HW: Mask
    reading: Reading

    @classmethod
    def of(cls, map_HW: NDArray[np.floating], truth_HW: Mask, reading: Reading) -> "Saliency":
        """Read a map of probabilities (H, W) as it is to be read."""
        values = map_HW.astype(np.float64)
        if reading == "min_max":
            values = np.round(255 * values) / 255
            low, high = values.min(), values.max()
            if high > low:
                values = (values - low) / (high - low)
        return cls(values, truth_HW, reading)

    @property
    def truth(self) -> int:
        """Pixels of the truth."""
        return int(np.count_nonzero(self.truth_HW))

    @property
    def undefined(self) -> bool:
        """Whether precision and recall mean nothing, and nobody is to be told a number."""
        return self.reading == "probabilities" and not self.truth_HW.any()

    @cached_property
    def hits_and_marked_T(self) -> tuple[Curve, Curve]:
        """Pixels at or above each threshold, from the highest on: of the truth, and all."""
        level_HW = (255 * self.map_HW).astype(np.uint8)
        inside, all_levels = (
            np.bincount(levels, minlength=LEVELS)[::-1].cumsum().astype(np.float64)
            for levels in (level_HW[self.truth_HW], level_HW.ravel())
        )
        return inside, all_levels

    @cached_property
    def adaptive(self) -> tuple[Curve, Curve]:
        """The same at one threshold, twice the map's mean."""
        marked_HW = self.map_HW >= min(2 * self.map_HW.mean(), 1)
        if self.reading == "probabilities":
            marked_HW &= self.map_HW > 0
        return _count(marked_HW & self.truth_HW), _count(marked_HW)

    @cached_property
    def f_curve_T(self) -> Curve:
        """F-measure at each threshold, from the highest on."""
        return f_measure(*self.hits_and_marked_T, truth=self.truth)

    @cached_property
    def e_curve_T(self) -> Curve:
        """E-measure at each threshold, from the highest on."""
        return e_measure(*self.hits_and_marked_T, truth_HW=self.truth_HW)

    @cached_property
    def overlaps_T(self) -> tuple[Curve, Curve]:
        """Dice and IoU at each threshold, from the highest on; 0 where truth and mask are empty."""
        hits_T, marked_T = self.hits_and_marked_T
        both_T = marked_T + self.truth
        return _divided(2 * hits_T, both_T), _divided(hits_T, both_T - hits_T)

    def mae(self) -> float:
        """Mean absolute difference of map and truth."""
        return float(np.abs(self.map_HW - self.truth_HW).mean())

    def s_measure(self) -> float:
        """How alike in structure: objects by mean and spread, and regions by SSIM."""
        share = self.truth_HW.mean()
        if share == 0:
            return float(1 - self.map_HW.mean())
        if share == 1:
            return float(self.map_HW.mean())
        objects = share * _evenness(self.map_HW[self.truth_HW])
        objects += (1 - share) * _evenness(1 - self.map_HW[~self.truth_HW])
        regions = _regions(self.map_HW, self.truth_HW.astype(np.float64))
        return float(np.clip(ALPHA * objects + (1 - ALPHA) * regions, 0, 1))  # 1 but for rounding

    def weighted_f(self) -> float:
        """F-measure (beta = 1) of soft errors, which cost less beside right pixels of an object
        and more far from any.

        Returns:
            The value; without an object in the truth, what the reading says.
        """
        truth_HW = self.truth_HW
        if not truth_HW.any():
            return NAN if self.undefined else 0.0
        far_HW, nearest_2HW = distance_transform_edt(~truth_HW, return_indices=True)
        error_HW = np.abs(self.map_HW - truth_HW)
        spread_HW = error_HW[tuple(nearest_2HW)]  # outside, the error of the nearest object pixel
        smooth_HW = spread_HW
        for axis in (0, 1):
            smooth_HW = convolve1d(smooth_HW, _GAUSSIAN_7, axis=axis, mode="constant")
        forgiven_HW = np.where(truth_HW, np.minimum(error_HW, smooth_HW), error_HW)
        weighted_HW = forgiven_HW * np.where(truth_HW, 1, 2 - 0.5 ** (far_HW / 5))
        hits = self.truth - weighted_HW[truth_HW].sum()
        recall = 1 - weighted_HW[truth_HW].mean()
        precision = hits / (hits + weighted_HW[~truth_HW].sum() + TINY)
        return float(2 * recall * precision / (recall + precision + TINY))


def f_measure(hits_T: Curve, marked_T: Curve, *, truth: int) -> Curve:
    """F-measure of masks; 0 where nothing of the truth is marked.

    Args:
        hits_T: pixels of each mask that are in the truth.
        marked_T: pixels of each mask.
        truth: pixels of the truth.
    """
    # P = hits / marked and R = hits / truth, put into (1 + b) P R / (b P + R).
    found_T = _divided((1 + BETA_SQUARED) * hits_T, BETA_SQUARED * truth + marked_T)
    return np.minimum(found_T, 1)  # a perfect mask has 1, but for rounding


def e_measure(hits_T: Curve, marked_T: Curve, *, truth_HW: Mask) -> Curve:
    """E-measure of masks: how well each pixel's difference from the image's mean agrees.

    The authors divide by one pixel less than there are: a perfect mask has a little more than 1.

    Args:
        hits_T: pixels of each mask that are in the truth.
        marked_T: pixels of each mask.
        truth_HW: the truth.
    """
    pixels, truth = truth_HW.size, np.count_nonzero(truth_HW)
    if truth == 0:
        total_T = pixels - marked_T
    elif truth == pixels:
        total_T = marked_T
    else:
        total_T = np.zeros_like(marked_T)
        marked_share_T, share = marked_T / pixels, truth / pixels
        for marked in (True, False):
            inside_T = hits_T if marked else truth - hits_T
            all_T = marked_T if marked else pixels - marked_T
            for true, count_T in ((True, inside_T), (False, all_T - inside_T)):
                a_T, b = marked - marked_share_T, true - share
                agreement_T = 2 * a_T * b / (a_T**2 + b**2 + TINY)
                total_T += count_T * (agreement_T + 1) ** 2 / 4
    return np.asarray(total_T / (pixels - 1 + TINY))


def _count(mask_HW: Mask) -> Curve:
    return np.array([np.count_nonzero(mask_HW)], np.float64)


def _divided(part_T: Curve, whole_T: Curve) -> Curve:
    """A share; 0 of nothing."""
    return np.divide(part_T, whole_T, out=np.zeros_like(part_T), where=whole_T > 0)


def _evenness(values_N: Map) -> float:
    """How near to 1 all values of an object are."""
    mean = values_N.mean()
    spread = values_N.std(ddof=1) if len(values_N) > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + spread + TINY))


def _regions(map_HW: Map, truth_HW: Map) -> float:
    """Likeness of the four quarters around the truth's middle, by area."""
    rows, columns = np.nonzero(truth_HW)
    y, x = round(float(rows.mean())) + 1, round(float(columns.mean())) + 1
    total = 0.0
    for vertical in (slice(None, y), slice(y, None)):
        for horizontal in (slice(None, x), slice(x, None)):
            a, b = map_HW[vertical, horizontal], truth_HW[vertical, horizontal]
            if a.size:
                total += a.size / map_HW.size * _likeness(a, b)
    return total


def _likeness(a_hw: Map, b_hw: Map) -> float:
    """SSIM of two rectangles, without the constants that keep it from dividing by 0."""
    a_mean, b_mean, free = a_hw.mean(), b_hw.mean(), a_hw.size - 1 + TINY
    a_off, b_off = a_hw - a_mean, b_hw - b_mean
    together = 4 * a_mean * b_mean * (a_off * b_off).sum() / free
    apart = (a_mean**2 + b_mean**2) * ((a_off**2).sum() + (b_off**2).sum()) / free
    if together == 0:
        return float(apart == 0)
    return float(together / (apart + TINY))


def _gaussian() -> Map:
    """Seven values with a standard deviation of 5; their product is MATLAB's `fspecial`."""
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / 50)
    return np.asarray(kernel / kernel.sum(), np.float64)


_GAUSSIAN_7 = _gaussian()
