"""How much seeds and patients move a difference: measured by a study, and how well it is known.

What arm minus baseline is with seed s on patient p is taken as the truth, plus what the seed adds,
plus what the patient adds, plus what is left: two crossed random effects and their interaction.

Shape suffixes: S seeds, P patients, N draws.

Source: analysis of variance of two crossed random effects, Searle, Casella, McCulloch: Variance
Components (1992), chapter 4; what is likely, by drawing each mean square's chi-square: Weerahandi,
Journal of the American Statistical Association 88 (1993), 899-905.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segtune.report.evidence.patients import Scores, shares_by_seed
from segtune.report.evidence.stats import Values, effective

_DRAWS = 2000
"""Of what the spread may truly be: enough for its 10th and 90th percentile."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations, in the unit of the score, of what is added to a difference."""

    seed: float
    """By a seed: the same on all patients."""
    patient: float
    """By a patient: the same with all seeds."""
    rest: float
    """By a seed on a patient, beyond both: their interaction, and all other noise."""

    @property
    def varies(self) -> bool:
        """Whether anything is added at all."""
        return self.seed + self.patient + self.rest > 0

    @property
    def shares(self) -> tuple[float, float, float]:
        """Which share of the variance of one patient's difference in one training each has."""
        squares = np.square([self.seed, self.patient, self.rest])
        seed, patient, rest = (squares / squares.sum()).tolist()
        return seed, patient, rest

    def of_seeds(self, patients: int) -> float:
        """Standard deviation over seeds of the mean over so many patients."""
        return float(np.hypot(self.seed, self.rest / np.sqrt(patients)))

    def of_patients(self, seeds: int) -> float:
        """Standard deviation over patients of the mean over so many seeds."""
        return float(np.hypot(self.patient, self.rest / np.sqrt(seeds)))

    def of_mean(self, seeds: int, patients: int) -> float:
        """Standard deviation of the mean over both, from study to study."""
        left = self.rest**2 / (seeds * patients)
        return float(np.sqrt(self.seed**2 / seeds + self.patient**2 / patients + left))


@dataclass(frozen=True)
class Patients:
    """The test patients of a study."""

    number: int
    weights: tuple[float, ...] = ()
    """How much patients of an earlier study weigh in the score; empty: all alike."""

    @property
    def shares(self) -> Values:
        """How much each weighs, as unequal as those of the earlier study."""
        if not self.weights:
            return np.ones(self.number)
        places = (np.arange(self.number) + 0.5) / self.number
        known = (np.arange(len(self.weights)) + 0.5) / len(self.weights)
        return np.interp(places, known, sorted(self.weights))


@dataclass(frozen=True)
class MeasuredSpread:
    """The spread of a difference as a study measured it."""

    seeds: int
    patients: int
    squares: tuple[float, float, float]
    """Mean squares of seeds, of patients, and of what is left."""
    freedoms: tuple[float, float, float]
    """Their degrees of freedom; of patients by weight (`effective`)."""
    weights: tuple[float, ...]
    """How much each patient weighs in the score, the heaviest first."""

    @property
    def spread(self) -> Spread:
        """The unbiased estimate of each variance, 0 where that is negative."""
        return Spread(*(float(sd) for sd in self._deviations(np.array([self.squares]))[:, 0]))

    @property
    def test_patients(self) -> Patients:
        """The patients of the study."""
        return Patients(self.patients, self.weights)

    @cached_property
    def likely(self) -> tuple[Spread, ...]:
        """What the spread may truly be, given what was measured: equally likely draws."""
        rng = np.random.default_rng(0)
        chi_N3 = rng.chisquare(self.freedoms, size=(_DRAWS, 3))
        drawn = self._deviations(np.array(self.squares) * self.freedoms / chi_N3)
        return tuple(Spread(*map(float, one)) for one in drawn.T)

    def _deviations(self, squares_N3: Values) -> Values:
        """Standard deviations from mean squares, (3, N)."""
        of_seeds, of_patients, rest = squares_N3.T
        variances = [(of_seeds - rest) / self.patients, (of_patients - rest) / self.seeds, rest]
        return np.sqrt(np.maximum(variances, 0.0))


def measure_spread(arm: Scores, baseline: Scores) -> MeasuredSpread | None:
    """Measure the spread of a difference from both arms' scores by patient.

    Each cell is a patient's part in a seed's difference: the jackknife's pseudo-value, as in
    `patients.shares`, seed by seed.

    Returns:
        None for fewer than two seeds or effective patients, and where a cell has no value.
    """
    equal = effective(arm.weights_P)
    if arm.sum_SPC.shape[0] < 2 or equal < 2:
        return None
    cells_SP = shares_by_seed(arm, baseline)
    if not np.isfinite(cells_SP).all():
        return None
    return spread_of(cells_SP, arm.weights_P)


def spread_of(cells_SP: Values, weights_P: Values) -> MeasuredSpread:
    """Mean squares of differences by seed and patient, at least two of each."""
    seeds, patients = cells_SP.shape
    of_seed, of_patient = cells_SP.mean(axis=1), cells_SP.mean(axis=0)
    left_SP = cells_SP - of_seed[:, None] - of_patient + cells_SP.mean()
    freedom = (seeds - 1) * (patients - 1)
    squares = (
        float(patients * of_seed.var(ddof=1)),
        float(seeds * of_patient.var(ddof=1)),
        float((left_SP**2).sum() / freedom),
    )
    return MeasuredSpread(
        seeds=seeds,
        patients=patients,
        squares=squares,
        freedoms=(seeds - 1.0, effective(weights_P) - 1, float(freedom)),
        weights=tuple(sorted((float(w) for w in weights_P), reverse=True)),
    )
