"""Studies whose truth is known: macro scores of two arms on the images of several patients, under
several seeds. What a seed and what a patient does to the difference is drawn.
"""

from collections.abc import Iterator

import numpy as np

from segtune.report.evidence.stats import Values

SEEDS, PATIENTS, IMAGES = 5, 10, 3
"""IMAGES: of each patient."""


def studies(
    seed_sd: float,
    patient_sd: float,
    *,
    seeds: int = SEEDS,
    patients: int = PATIENTS,
    n: int,
    skewed: int = 0,
) -> Iterator[tuple[Values, Values]]:
    """Both arms' scores, (seeds S, images I, classes 2), of studies without a true difference.

    Args:
        seed_sd: of what a seed adds to the difference.
        patient_sd: of what a patient adds.
        seeds: of each arm.
        patients: on test.
        n: how many studies.
        skewed: 0 draws what a patient adds from a normal distribution; 1 from an exponential one
            about 0 (most lose a little, a few gain much), -1 from its mirror image.
    """
    rng = np.random.default_rng(7)
    for _ in range(n):
        shape = (seeds, patients * IMAGES, 2)
        hard = rng.normal(0.7, 0.1, (1, patients * IMAGES, 2))
        seed_effect = rng.normal(0, seed_sd, (seeds, 1, 1))
        if skewed:
            drawn = skewed * patient_sd * (rng.exponential(1.0, (1, patients, 1)) - 1)
        else:
            drawn = rng.normal(0, patient_sd, (1, patients, 1))
        patient_effect = np.repeat(drawn, IMAGES, axis=1)
        noise = rng.normal(0, 0.01, (2, *shape))
        yield hard + seed_effect + patient_effect + noise[0], hard + noise[1]


def owners(patients: int = PATIENTS) -> list[str]:
    """The patient of each image."""
    return [f"p{p}" for p in range(patients) for _ in range(IMAGES)]
