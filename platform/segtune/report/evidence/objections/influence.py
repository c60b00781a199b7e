"""Influential seeds, patients and images: without one of them a verdict would be another.

Shape suffixes: I images, P patients (or whatever else is left out).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from segtune.report.evidence.differences.compare import (
    Comparison,
    Difference,
    paired_test,
    trials_by_seed,
)
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.evidence.patients import by_patient, macro_difference
from segtune.report.evidence.stats import ALPHA, MIN_SEEDS, Values, holm
from segtune.report.page.text import listing, number
from segtune.results.images import ImageScores
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores


def influence_caveats(study: StudyScores, comparison: Comparison) -> tuple[Caveat, ...]:
    """Single seeds, patients or images without which a verdict or a sign would be another."""
    rows, images = study.rows, study.images(comparison.measure, "test")
    if rows.baseline is None or not images.samples:
        return ()
    base = trials_by_seed(rows, rows.baseline)
    clauses: list[str] = []
    few: list[str] = []
    p_values = {d.arm: d.p for d in comparison.differences}
    for d in comparison.differences:
        own = trials_by_seed(rows, d.arm)
        pairs = {s: (own[s], base[s]) for s in d.seeds}
        if d.p is not None and all(t in images.of_trial for pair in pairs.values() for t in pair):
            clauses += influential(d, pairs, images, comparison.measure, p_values)
            few += [d.arm] if len(d.seeds) == MIN_SEEDS else []
    found = []
    if clauses:
        found.append(
            Caveat(
                "a single patient, image or seed carries a difference",
                f"{'; '.join(clauses)}. (Of each kind the two that move a difference most were "
                "left out, one at a time, and the test repeated.)",
            )
        )
    if few:
        found.append(
            Caveat(
                "not checked without single seeds",
                f"{listing(few)}: without one of {MIN_SEEDS} seeds there is no test, so whether a "
                "single seed carries the difference could not be looked at.",
            )
        )
    return tuple(found)


def influential(
    d: Difference,
    pairs: Mapping[int, tuple[str, str]],
    images: ImageScores,
    measure: Measure,
    p_values: Mapping[str, float | None],
) -> list[str]:
    """Single patients, images and seeds without which the verdict changes, each as a clause.

    Of each kind the two that move the difference most are left out, one at a time.

    Args:
        d: an arm's difference.
        pairs: per seed the arm's trial and the baseline's.
        images: scores of all trials.
        measure: of the scores.
        p_values: of all arms; Holm's correction is repeated with them.
    """
    own, base = (images.stack(side) for side in zip(*pairs.values(), strict=True))
    kinds = {"patient": images.patients}
    if len(set(images.patients)) < len(images.samples):
        kinds["image"] = images.samples
    found = []
    for kind, names_I in kinds.items():
        weights = images.weights if kind == "patient" else "images"
        (a, b), units, _ = by_patient((own, base), names_I, weights)
        left_PP = 1 - np.eye(len(units))
        if kind == "image" and images.weights == "patients":
            left_PP = alike(left_PP, units, images)
        without_P = macro_difference(a, b, left_PP)
        for k in (int(np.nanargmin(without_P)), int(np.nanargmax(without_P))):
            keep_I = [name != units[k] for name in names_I]
            again = paired_test(images, list(pairs.values()), keep_I)
            found += changed(d, again, f"{kind} {units[k]}", measure, p_values)
    gaps = dict(zip(d.seeds, d.per_seed, strict=True))
    for seed in {min(gaps, key=gaps.__getitem__), max(gaps, key=gaps.__getitem__)}:
        rest = [pair for s, pair in pairs.items() if s != seed]
        found += changed(d, paired_test(images, rest), f"seed {seed}", measure, p_values)
    return found


def alike(left_II: Values, units: Sequence[str], images: ImageScores) -> Values:
    """The images that are left, those of a patient together as heavy as those of any other.

    Args:
        left_II: 1 where an image (second) is left when another (first) is left out, else 0.
        units: the images, in this order.
        images: of which patient each is.
    """
    of_image = dict(zip(images.samples, images.patients, strict=True))
    owners = np.array([of_image[unit] for unit in units])
    together_II = left_II @ (owners[:, None] == owners)
    return np.asarray(left_II / np.maximum(together_II, 1.0), dtype=np.float64)


def changed(
    d: Difference,
    again: tuple[Estimate, float] | None,
    without: str,
    measure: Measure,
    p_values: Mapping[str, float | None],
) -> list[str]:
    """A clause that says how the verdict changes without what was left out; empty if it does not.

    A verdict that is lost merely because fewer data are left is not reported: the difference must
    shrink as well. Nor is a change of sign where no difference was shown.

    Args:
        d: an arm's difference.
        again: the estimate and p value without what was left out; None where there is no test.
        without: what was left out: `patient p3`.
        measure: of the scores.
        p_values: of all arms; Holm's correction is repeated with them.
    """
    if again is None or d.p is None or d.p_holm is None or d.crossed is None:
        return []
    estimate, alone = again
    p = min(1.0, d.crossed.price * alone)  # of a study that is looked at several times
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
    """Both differences, with enough digits to look different."""
    for more in range(3):
        both = [number(v, digits + more, sign=True) for v in (before, after)]
        if both[0] != both[1]:
            break
    return " becomes ".join(both)
