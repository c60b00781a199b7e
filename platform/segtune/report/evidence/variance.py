"""Where a difference varies: between seeds, between patients, or of a seed with a patient.

Shape suffixes: S seeds, P patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segtune.report.evidence.compare import Comparison, Difference, trials_by_seed
from segtune.report.evidence.patients import Scores, by_patient, shares
from segtune.report.evidence.stats import Values
from segtune.results.study_scores import StudyScores


@dataclass(frozen=True)
class VarianceSplit:
    """Standard deviations of what a seed, a patient and both together add to one patient's
    difference in one training."""

    seed: float
    patient: float
    interaction: float
    """Of a seed with a patient; single images and chance are in it."""

    @property
    def shares(self) -> tuple[float, float, float]:
        """Share of the variance that each has."""
        squares = np.square([self.seed, self.patient, self.interaction])
        seed, patient, both = (squares / squares.sum()).tolist()
        return seed, patient, both


def variance_splits(study: StudyScores, comparison: Comparison) -> Mapping[str, VarianceSplit]:
    """Arm -> the split of its difference; without arms of one seed or patient, and without those
    whose differences do not vary."""
    if study.rows.baseline is None:
        return {}
    found = {d.arm: _split(study, comparison, d) for d in comparison.differences}
    return {arm: split for arm, split in found.items() if split is not None}


def split(differences_SP: Values) -> VarianceSplit | None:
    """Variance components of differences by seed and patient, (S, P), each seen once.

    By the method of moments; a component that comes out below zero is zero.
    Source: two-way random effects, Searle, Casella, McCulloch, Variance Components (1992), 4.3.

    Returns:
        None for fewer than two seeds or patients, and where nothing varies.
    """
    seeds, patients = differences_SP.shape
    if seeds < 2 or patients < 2 or not np.isfinite(differences_SP).all():
        return None
    whole = differences_SP.mean()
    of_seed_S, of_patient_P = differences_SP.mean(axis=1), differences_SP.mean(axis=0)
    left_SP = differences_SP - of_seed_S[:, None] - of_patient_P[None, :] + whole
    both = float((left_SP**2).sum()) / ((seeds - 1) * (patients - 1))
    seed = max(0.0, float(of_seed_S.var(ddof=1)) - both / patients)
    patient = max(0.0, float(of_patient_P.var(ddof=1)) - both / seeds)
    if not seed + patient + both > 0:
        return None
    return VarianceSplit(*np.sqrt([seed, patient, both]).tolist())


def _split(study: StudyScores, comparison: Comparison, d: Difference) -> VarianceSplit | None:
    images = study.images(comparison.measure, comparison.split)
    own, base = (trials_by_seed(study.rows, arm) for arm in (d.arm, comparison.baseline))
    pairs = [(own[s], base[s]) for s in d.seeds]
    there = [p for p in pairs if p[0] in images.of_trial and p[1] in images.of_trial]
    if len(there) < 2:
        return None
    both = (images.stack(side) for side in zip(*there, strict=True))
    (a, b), names, _ = by_patient(tuple(both), images.patients)
    if len(names) < 2:
        return None
    each = [shares(_one(a, s), _one(b, s)) for s in range(len(there))]
    return split(np.stack(each))


def _one(scores: Scores, seed: int) -> Scores:
    return Scores(scores.sum_SPC[seed : seed + 1], scores.count_SPC[seed : seed + 1])
