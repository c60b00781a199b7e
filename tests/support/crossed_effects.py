"""Differences by seed and patient, without a true difference on average: the kinds of studies that
rules are tried on.

Shape suffixes: N studies, S seeds, P patients.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from segtune.report.evidence.stats import Values

Rng = np.random.Generator
Draw = Callable[[Rng, int, int, int], Values]
"""Draws differences of N studies of S seeds and P patients, (N, S, P)."""
UNEQUAL = ("images unequal", "images unequal, spread grows")


def normal(seed: float, patient: float, rest: float) -> Draw:
    """Normal effects with these standard deviations."""

    def draw(rng: Rng, n: int, s: int, p: int) -> Values:
        of_seed = seed * rng.standard_normal((n, s, 1))
        of_patient = patient * rng.standard_normal((n, 1, p))
        return np.asarray(of_seed + of_patient + rest * rng.standard_normal((n, s, p)))

    return draw


def alike(rng: Rng, n: int, s: int, p: int) -> Values:
    """Seeds and patients move the mean alike."""
    return normal(np.sqrt(s), np.sqrt(p), 1.0)(rng, n, s, p)


def skewed(drawn: Callable[[Rng, tuple[int, int, int]], Values]) -> Draw:
    """Patients add what is drawn, seeds and the rest a fifth of it."""

    def draw(rng: Rng, n: int, s: int, p: int) -> Values:
        return drawn(rng, (n, 1, p)) + normal(0.2, 0.0, 0.2)(rng, n, s, p)

    return draw


def rare(seed: bool) -> Draw:
    """One training in ten, or one patient in twelve, loses far more than all else varies."""

    def draw(rng: Rng, n: int, s: int, p: int) -> Values:
        lost = rng.random((n, s, 1)) < 1 / 10 if seed else rng.random((n, 1, p)) < 1 / 12
        return normal(0.05, 0.1, 0.1)(rng, n, s, p) - lost

    return draw


def heavy_tails(rng: Rng, n: int, s: int, p: int) -> Values:
    """Student's t with 3 degrees of freedom throughout."""
    of_seed, of_patient = rng.standard_t(3, (n, s, 1)), rng.standard_t(3, (n, 1, p))
    return np.asarray(0.5 * of_seed + of_patient + rng.standard_t(3, (n, s, p)))


def hard_patients(rng: Rng, n: int, s: int, p: int) -> Values:
    """Of some patients everything varies more than of others."""
    scale = np.exp(rng.standard_normal((n, 1, p)))
    drawn = normal(0.0, 0.5, 1.0)(rng, n, s, p) * scale
    return np.asarray(drawn + 0.3 * rng.standard_normal((n, s, 1)))


def bounded(arm_sd: float) -> Draw:
    """Scores near 1, of which a logit is normal; the arm's may vary more than the baseline's."""

    def draw(rng: Rng, n: int, s: int, p: int) -> Values:
        hard = 3 + 1.2 * rng.standard_normal((n, 1, p))
        arm, base = (
            special.expit(hard + normal(0.3 * k, 0.3, 0.5 * k)(rng, n, s, p)) for k in (arm_sd, 1.0)
        )
        return np.asarray(arm - base)

    return draw


def spread_grows(rng: Rng, n: int, s: int, p: int) -> Values:
    """Patients with more images differ more."""
    by_images = np.sqrt(weights("images unequal", p) * p)
    of_patient = by_images * rng.standard_normal((n, 1, p))
    return of_patient + normal(0.3, 0.0, 0.3)(rng, n, s, p) / [[by_images]]


KINDS: dict[str, Draw] = {
    "alike": alike,
    "seeds dominate": normal(1.0, 0.2, 0.2),
    "patients dominate": normal(0.2, 1.0, 0.2),
    "interaction dominates": normal(0.1, 0.1, 1.0),
    "nothing but noise": normal(0.0, 0.0, 1.0),
    "exponential patients": skewed(lambda rng, shape: rng.exponential(1.0, shape)),
    "lognormal patients": skewed(lambda rng, shape: np.exp(rng.standard_normal(shape)) / 2.16),
    "heavy tails": heavy_tails,
    "hard patients vary more": hard_patients,
    "scores near 1": bounded(1.0),
    "scores near 1, the arm's vary more": bounded(3.0),
    UNEQUAL[0]: alike,
    UNEQUAL[1]: spread_grows,
    "one patient in 12 loses much": rare(seed=False),
    "one training in 10 loses much": rare(seed=True),
}


def weights(kind: str, patients: int) -> Values:
    """How much each patient weighs: alike, or the first a twelfth of the last."""
    each_P = np.exp(np.linspace(0, 2.5 if kind in UNEQUAL else 0, patients))
    return np.asarray(each_P / each_P.sum())
