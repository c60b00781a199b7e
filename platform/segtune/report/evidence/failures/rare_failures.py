"""Rare failures: trainings, patients and images that are unlike the rest, and those not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segtune.report.evidence.differences.compare import Comparison, Difference, trials_by_seed
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.evidence.failures.outliers import LEVEL, stand_apart
from segtune.report.evidence.objections.caveat import MATTERS
from segtune.report.evidence.patients import by_patient
from segtune.report.page.text import count, number, percent
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO
from segtune.results.study_scores import StudyScores

RATE, LOSS = 0.1, 0.1
"""The rare failure that verdicts are held against: one training in ten loses a tenth."""
FAR = 0.05
"""What a training loses at least, in a score between 0 and 1, to be called a failure."""
HIDDEN = 2 * RATE * LOSS
"""Differences up to here may be such a failure's that was not seen. Simulated, of the verdicts
that it fakes with 5 seeds or more 9 in 10 are as small or have a training that stands apart, with 3
seeds 8 in 10 (`tests/benchmarks/verdicts.py`)."""
UNSEEN = 0.05
"""From enough seeds on, so many that such a failure is unseen in fewer studies, it is not told."""
MANY_ZEROS = 0.1
"""Share of images with a score of 0 from which on an arm's is told."""
_COLLAPSED = 0.9
"""Share of images with a score of 0 from which on a training has found nothing."""
_FEW_PATIENTS = 4


@dataclass(frozen=True)
class OddSeed:
    """A training that scored far worse than the arm's others."""

    seed: int
    value: float
    others: float
    """Mean of the arm's other seeds."""
    zeros: float | None
    """Share of its images and classes that scored 0; None where single ones are not on record."""

    @property
    def collapsed(self) -> bool:
        """Whether it found next to nothing."""
        return self.zeros is not None and self.zeros >= _COLLAPSED


@dataclass(frozen=True)
class OddPatient:
    """A test patient whose difference is far from the other patients'."""

    patient: str
    value: float
    others: float
    """Mean of the other patients' differences."""


@dataclass(frozen=True)
class ArmFailures:
    """What of one arm is unlike the rest."""

    arm: str
    seeds: tuple[OddSeed, ...]
    patients: tuple[OddPatient, ...]
    skew: float | None
    """Skewness of the patients' differences where some stand apart."""
    failed: int
    """Trainings that ended in an error; they are in no mean."""
    finished: int
    zeros: float | None
    """Share of test images and classes with a score of 0, over all seeds; of a measure between 0
    and 1 whose higher values are better."""
    lost: tuple[tuple[str, float], ...]
    """(Class, share of its images with a score of 0) where that is nearly all of them."""
    hidden: bool
    """Whether a verdict could be a rare failure's that the seeds do not show (`hides`)."""

    @property
    def note(self) -> str:
        """The gravest of it in a few words, for a line below a verdict; empty for nothing."""
        if self.seeds:
            seeds = ", ".join(str(s.seed) for s in self.seeds)
            return f"seed{'s' * (len(self.seeds) > 1)} {seeds} far off"
        if self.failed:
            return f"{self.failed} of {count(self.finished + self.failed, 'training')} failed"
        if self.patients:
            return f"{count(len(self.patients), 'patient')} far off"
        return "a rare failure may hide" if self.hidden else ""


def unseen(seeds: int) -> float:
    """How often no seed shows a failure of one training in ten."""
    return float((1 - RATE) ** seeds)


def hides(d: Difference, measure: Measure) -> bool:
    """Whether a verdict may rest on a rare failure that no seed shows.

    A failure of one training in ten that loses a tenth moves an arm's true mean by 0.01. What is
    told of a difference of at most twice that may be the luck of seeds without such a failure.
    """
    return (
        measure.is_fraction
        and d.verdict.word in SIGNS
        and abs(d.shown.mean) <= HIDDEN
        and unseen(len(d.seeds)) >= UNSEEN
    )


def rare_failures(study: StudyScores, comparison: Comparison | None) -> tuple[ArmFailures, ...]:
    """What is unlike the rest, for every arm that was tested or has failed trainings.

    Args:
        study: with the scores.
        comparison: in the first objective, on test; None where there is no baseline.
    """
    rows = study.rows
    measure = study.measure(rows.first_score.metric, "test")
    measure = measure if comparison is None else comparison.measure
    if measure is None or not study.values(measure, "test"):
        return ()
    seeds = odd_seeds(study, measure)
    found = {} if comparison is None else {d.arm: d for d in comparison.differences}
    arms = []
    for arm in rows.arms:
        d = found.get(arm)
        patients, skew = ((), None) if d is None else odd_patients(study, measure, d, len(found))
        zeros, lost = _zeros(study, measure, arm)
        status = rows.of("arm", arm=arm)["status"]
        arms.append(
            ArmFailures(
                arm,
                seeds.get(arm, ()),
                patients,
                skew,
                int((status == "failed").sum()),
                int((status == "finished").sum()),
                zeros,
                lost,
                d is not None and hides(d, measure),
            )
        )
    return tuple(arms)


def odd_seeds(study: StudyScores, measure: Measure) -> dict[str, tuple[OddSeed, ...]]:
    """Per arm its trainings that scored far worse than its others."""
    values, sign = study.values(measure, "test"), 1 if measure.higher_is_better else -1
    by_arm: dict[str, list[tuple[int, str, float]]] = {}
    for arm in study.rows.arms:
        own = trials_by_seed(study.rows, arm)
        scored = [(s, t, values.get((t, MACRO), np.nan)) for s, t in sorted(own.items())]
        by_arm[arm] = [one for one in scored if np.isfinite(one[2])]
    groups = [[sign * value for _, _, value in of_arm] for of_arm in by_arm.values()]
    places = failed_places(groups, measure.is_fraction)
    odd: dict[str, tuple[OddSeed, ...]] = {}
    for k, (arm, of_arm) in enumerate(by_arm.items()):
        off = sorted(i for group, i in places if group == k)
        rest = [value for i, (_, _, value) in enumerate(of_arm) if i not in off]
        others = float(np.mean(rest)) if rest else np.nan
        found = [
            OddSeed(seed, value, others, _zero_share(study, measure, [trial]))
            for seed, trial, value in (of_arm[i] for i in off)
        ]
        if found:
            odd[arm] = tuple(found)
    return odd


def failed_places(
    groups: Sequence[Sequence[float]], is_fraction: bool
) -> tuple[tuple[int, int], ...]:
    """Trainings that stand apart below their arm's others; of a score between 0 and 1 those that
    lost `FAR` or more: where arms vary unlike, what is merely unlikely is no failure.

    Args:
        groups: each arm's scores, higher ones better.
        is_fraction: whether they lie between 0 and 1.

    Returns:
        (Arm, place in it).
    """
    places, kept = stand_apart(groups), []
    for k, i in places:
        rest = [v for j, v in enumerate(groups[k]) if (k, j) not in places]
        if not is_fraction or (rest and float(np.mean(rest)) - groups[k][i] >= FAR):
            kept.append((k, i))
    return tuple(kept)


def odd_patients(
    study: StudyScores, measure: Measure, d: Difference, arms: int
) -> tuple[tuple[OddPatient, ...], float | None]:
    """Patients whose difference is far from the other patients', and the skewness of all.

    Args:
        study: with the scores.
        measure: of the difference.
        d: an arm's difference.
        arms: that are looked at; each has its share of the level.
    """
    values = np.asarray(d.per_patient)
    if values.size < _FEW_PATIENTS or study.rows.baseline is None:
        return (), None
    images = study.images(measure, "test")
    trials = [
        trial
        for arm in (d.arm, study.rows.baseline)
        for seed, trial in trials_by_seed(study.rows, arm).items()
        if seed in d.seeds and trial in images.of_trial
    ]
    _, names, _ = by_patient((images.stack(trials),), images.patients, images.weights)
    if len(names) != values.size:
        return (), None
    off = [i for _, i in stand_apart([values.tolist()], both_sides=True, level=LEVEL / arms)]
    rest = np.delete(values, off)
    found = tuple(
        OddPatient(names[i], float(values[i]), float(rest.mean()))
        for i in off
        if not measure.is_fraction or abs(values[i] - rest.mean()) >= MATTERS
    )
    return found, float(stats.skew(values)) if found else None


def _zeros(
    study: StudyScores, measure: Measure, arm: str
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    """Share of zeros over all seeds of an arm, and the classes that are 0 nearly throughout."""
    trials = list(trials_by_seed(study.rows, arm).values())
    share = _zero_share(study, measure, trials)
    if not share:
        return share, ()
    images = study.images(measure, "test")
    stacked = images.stack([t for t in trials if t in images.of_trial])
    defined = np.isfinite(stacked).sum(axis=(0, 1))
    zero = (stacked == 0).sum(axis=(0, 1)) / np.maximum(defined, 1)
    named = zip(images.classes, zero.tolist(), strict=True)
    return share, tuple((name, of_class) for name, of_class in named if of_class >= _COLLAPSED)


def _zero_share(study: StudyScores, measure: Measure, trials: Sequence[str]) -> float | None:
    if not (measure.is_fraction and measure.higher_is_better):
        return None
    images = study.images(measure, "test")
    there = [t for t in trials if t in images.of_trial]
    if not there:
        return None
    stacked = images.stack(there)
    defined = np.isfinite(stacked)
    return float((stacked[defined] == 0).mean()) if defined.any() else None


def seed_text(arm: str, odd: OddSeed, measure: Measure) -> str:
    """`lora with seed 3 scored 0.021; its other seeds 0.702 on average`."""
    nothing = (
        f", with 0 in {percent(odd.zeros or 0)} of images and classes" if odd.collapsed else ""
    )
    return (
        f"{arm} with seed {odd.seed} scored {number(odd.value, measure.digits)}{nothing}; its "
        f"other seeds {number(odd.others, measure.digits)} on average"
    )
