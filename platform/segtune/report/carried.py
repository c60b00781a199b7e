"""Single seeds, patients and images that a conclusion hangs on.

Shape suffixes: I images, P patients (or whatever else is left out).
"""

from collections.abc import Mapping

import numpy as np

from segtune.report.paired import Difference, paired_test
from segtune.report.patients import by_patient, difference
from segtune.report.stats import ALPHA, Estimate, holm
from segtune.report.text import number
from segtune.results.images import ImageScores
from segtune.results.measures import Measure


def carriers(
    d: Difference,
    pairs: Mapping[int, tuple[str, str]],
    images: ImageScores,
    measure: Measure,
    p_values: Mapping[str, float | None],
) -> list[str]:
    """What can be left out so that the verdict is another, in words: one patient, image or seed.

    Args:
        d: an arm's difference.
        pairs: per seed the arm's trial and the baseline's.
        images: scores of all trials.
        measure: of the scores.
        p_values: of all arms, which Holm's correction is repeated with.
    """
    own, base = (images.stack(side) for side in zip(*pairs.values(), strict=True))
    kinds = {"patient": images.patients}
    if len(set(images.patients)) < len(images.samples):
        kinds["image"] = images.samples
    said = []
    for kind, names_I in kinds.items():
        (a, b), units, _ = by_patient((own, base), names_I)
        without_P = difference(a, b, 1 - np.eye(len(units)))
        for k in (int(np.nanargmin(without_P)), int(np.nanargmax(without_P))):
            keep_I = [name != units[k] for name in names_I]
            again = paired_test(images, list(pairs.values()), keep_I)
            said += changed(d, again, f"{kind} {units[k]}", measure, p_values)
    gaps = dict(zip(d.seeds, d.per_seed, strict=True))
    for seed in {min(gaps, key=gaps.__getitem__), max(gaps, key=gaps.__getitem__)}:
        rest = [pair for s, pair in pairs.items() if s != seed]
        said += changed(d, paired_test(images, rest), f"seed {seed}", measure, p_values)
    return said


def changed(
    d: Difference,
    again: tuple[Estimate, float] | None,
    without: str,
    measure: Measure,
    p_values: Mapping[str, float | None],
) -> list[str]:
    """A verdict that goes with what was left out, or that only it prevented.

    Losing a verdict for having less to go by is none of this: the difference must shrink. Nor is a
    change of sign where no difference was shown.
    """
    if again is None or d.p is None or d.p_holm is None:
        return []
    estimate, p = again
    corrected = holm([*(q for arm, q in p_values.items() if arm != d.arm), p])[-1]
    assert corrected is not None
    before, after = d.shown.mean, estimate.mean
    moved = _moved(before, after, measure.digits)
    if d.p_holm < ALPHA and before * after < 0:
        return [f"without {without} {d.arm}'s difference has the other sign ({moved})"]
    if d.p_holm < ALPHA <= corrected and abs(after) < abs(before):
        return [f"without {without} {d.arm} can no longer be told from the baseline ({moved})"]
    if corrected < ALPHA <= d.p_holm:
        return [f"without {without} {d.arm} could be told from the baseline ({moved})"]
    return []


def _moved(before: float, after: float, digits: int) -> str:
    """Both differences, with as many digits as tell them apart."""
    for more in range(3):
        both = [number(v, digits + more, sign=True) for v in (before, after)]
        if both[0] != both[1]:
            break
    return " becomes ".join(both)
