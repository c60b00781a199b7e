"""Whether a network is unsure where it is wrong."""

import numpy as np
from numpy.typing import NDArray

from segcore.metrics.overlap import Mask

LEAST_SURE = 1 / 8
"""Share of an image's pixels that I-MedSAM (arXiv 2311.17081) looks at twice."""


def error_auroc(unsure: NDArray[np.float32], wrong: Mask) -> float:
    """Chance that a wrong pixel is less sure than a right one, ties counting half: the area under
    the curve that finds errors by uncertainty. NaN where no pixel is wrong, or all are.

    Args:
        unsure: of the pixels, in any shape; larger is less sure.
        wrong: in the same shape, where the prediction is wrong.
    """
    count = int(np.count_nonzero(wrong))
    if count in (0, wrong.size):
        return float("nan")
    from scipy.stats import rankdata  # half a second, for those who measure uncertainty alone

    above = rankdata(unsure.ravel())[wrong.ravel()].sum() - count * (count + 1) / 2
    return float(above / (count * (wrong.size - count)))


def errors_found(unsure: NDArray[np.float32], wrong: Mask) -> float:
    """Share of the wrong pixels that are among the least sure eighth of all. Of pixels that are
    equally sure at its edge all count in part, so that their order does not matter. NaN where no
    pixel is wrong. Arguments as of `error_auroc`.
    """
    unsure, wrong = unsure.ravel(), wrong.ravel()
    if not wrong.any():
        return float("nan")
    chosen = LEAST_SURE * unsure.size
    edge = np.sort(unsure)[::-1][max(0, int(np.ceil(chosen)) - 1)]
    above, level = unsure > edge, unsure == edge
    part = (chosen - np.count_nonzero(above)) / np.count_nonzero(level)
    found = np.count_nonzero(wrong & above) + part * np.count_nonzero(wrong & level)
    return float(found / np.count_nonzero(wrong))
