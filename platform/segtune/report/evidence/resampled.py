"""What stands beside the verdicts: probability of improvement, performance profiles, ranks.

A mean hides how often an arm is better, and on how many images it fails. Each is told with seeds
and patients drawn again with replacement, the same ones for all arms that ran with them.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
NeurIPS 2021 (`rliable`), with test patients as its tasks; here they are drawn too, since verdicts
are about other patients. Drawing rows and columns at once errs on the wide side (Owen, Annals of
Applied Statistics 1(2), 2007, 386-411).

Shape suffixes: S seeds of the arm, R of the other one, P patients, I images, C classes, T
thresholds, D draws, A arms.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import Scores, by_patient
from segtune.report.evidence.stats import LEVEL, Values, expanded_tail
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores

DRAWS = 2000
THRESHOLDS = 61
_HIGHEST = 99
"""Percentile of the images' distances at which a profile ends."""


@dataclass(frozen=True)
class Profile:
    """The share of test images that an arm brings to a threshold or beyond."""

    arm: str
    shares: tuple[Estimate, ...]
    """At each threshold."""


@dataclass(frozen=True)
class Chances:
    """How an arm stands to the others when seeds and patients are drawn again."""

    arm: str
    improvement: Estimate | None
    """Probability that a training of the arm is better than one of the baseline on a patient, ties
    counting half; None for the baseline."""
    first: float
    """Share of the draws in which the arm is the best; arms that tie share it."""
    rank: Estimate
    """Mean rank over the draws, 1 for the best, and the ranks between which 95 % of them lie."""


@dataclass(frozen=True)
class Resampled:
    """All arms in one measure, on the test images."""

    measure: Measure
    baseline: str
    thresholds: tuple[float, ...]
    profiles: tuple[Profile, ...]
    chances: tuple[Chances, ...]
    patients: int
    images: int


def resampled(study: StudyScores, measure: Measure) -> Resampled | None:
    """Draw seeds and patients again; None for fewer than two arms with scores of single images, of
    which one is the baseline, or fewer than two patients.

    Args:
        study: whose arms are compared.
        measure: in which.
    """
    rows, images = study.rows, study.images(measure, "test")
    values: dict[str, Values] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        there = [
            (int(s), str(t))
            for s, t in zip(finished["seed"], finished["trial_id"], strict=True)
            if str(t) in images.of_trial and np.isfinite(images.of_trial[str(t)]).any()
        ]
        if there:
            seeds[arm] = tuple(s for s, _ in there)
            values[arm] = images.stack([t for _, t in there])
    if rows.baseline not in values or len(values) < 2:
        return None
    summed, patients, n = by_patient(list(values.values()), images.patients, images.weights)
    if len(patients) < 2:
        return None
    scores = dict(zip(values, summed, strict=True))
    weights_DP = draws("patients", len(patients))
    drawn = {arm: draws(str(of_arm), len(of_arm)) for arm, of_arm in seeds.items()}
    thresholds = _thresholds(list(values.values()), measure)
    profiles = [
        Profile(arm, profile(values[arm], images.patients, thresholds, measure.higher_is_better,
                             drawn[arm], patients))
        for arm in values
    ]  # fmt: skip
    firsts, ranks = standing(
        np.stack([_drawn_score(scores[arm], drawn[arm], weights_DP) for arm in values]),
        measure.higher_is_better,
    )
    base = rows.baseline
    chances = [
        Chances(
            arm,
            None
            if arm == base
            else improvement(
                patient_scores(scores[arm]), patient_scores(scores[base]),
                measure.higher_is_better, drawn[arm], drawn[base],
            ),
            first,
            rank,
        )
        for arm, first, rank in zip(values, firsts, ranks, strict=True)
    ]  # fmt: skip
    return Resampled(
        measure, base, tuple(float(t) for t in thresholds), tuple(profiles), tuple(chances),
        len(patients), n,
    )  # fmt: skip


def patient_scores(scores: Scores) -> Values:
    """Each patient's score in each training, (S, P): the mean over its images of each class, then
    over the classes that it has; NaN for none."""
    there_SPC = scores.count_SPC > 0
    mean_SPC = np.divide(scores.sum_SPC, scores.count_SPC, out=np.zeros_like(scores.sum_SPC),
                         where=there_SPC)  # fmt: skip
    classes_SP = there_SPC.sum(axis=2)
    found_SP = np.full(classes_SP.shape, np.nan)
    np.divide(mean_SPC.sum(axis=2), classes_SP, out=found_SP, where=classes_SP > 0)
    return found_SP


def improvement(
    arm_SP: Values, other_RP: Values, higher_is_better: bool, drawn_DS: Values, drawn_DR: Values
) -> Estimate | None:
    """Probability that the arm is better: the mean over patients of the share of pairs of trainings
    in which it is, ties counting half; with its interval.

    Args:
        arm_SP: scores of each training and patient; a patient with a NaN is left out.
        other_RP: those of the arm that it is held against.
        higher_is_better: direction of the score.
        drawn_DS: how often each training of the arm is drawn.
        drawn_DR: the same of the other one.
    """
    known_P = np.isfinite(arm_SP).all(axis=0) & np.isfinite(other_RP).all(axis=0)
    if not known_P.any():
        return None
    arm_SP, other_RP = arm_SP[:, known_P], other_RP[:, known_P]
    gap_SRP = (arm_SP[:, None] - other_RP[None]) * (1 if higher_is_better else -1)
    better_SRP = (gap_SRP > 0) + 0.5 * (gap_SRP == 0)
    weights_DP = draws("patients", known_P.size)[:, known_P]
    pairs_DSR = (weights_DP @ better_SRP.reshape(-1, better_SRP.shape[2]).T).reshape(
        len(weights_DP), *better_SRP.shape[:2]
    )
    total_D = weights_DP.sum(axis=1) * drawn_DS.sum(axis=1) * drawn_DR.sum(axis=1)
    won_D = np.einsum("dsr,ds,dr->d", pairs_DSR, drawn_DS, drawn_DR)
    found_D = np.divide(won_D, total_D, out=np.full(len(total_D), np.nan), where=total_D > 0)
    n = min(arm_SP.shape[0], other_RP.shape[0], int(known_P.sum()))
    low, high = _ends(found_D[:, None], n)
    return Estimate(float(better_SRP.mean()), float(low[0]), float(high[0]), n)


def profile(
    values_SIC: Values,
    owners: Sequence[str],
    thresholds_T: Values,
    higher_is_better: bool,
    drawn_DS: Values,
    patients: Sequence[str],
) -> tuple[Estimate, ...]:
    """The share of images, each the mean over its classes, at each threshold or beyond.

    Args:
        values_SIC: of every training, image and class; NaN where an image has no such class.
        owners: the patient of each image.
        thresholds_T: scores.
        higher_is_better: whether beyond is above.
        drawn_DS: how often each training is drawn.
        patients: those that are drawn; every image's owner is among them or has no value.
    """
    there_SIC = np.isfinite(values_SIC)
    classes_SI = there_SIC.sum(axis=2)
    mean_SI = np.where(there_SIC, values_SIC, 0.0).sum(axis=2) / np.maximum(classes_SI, 1)
    sign = 1 if higher_is_better else -1
    beyond_SIT = (sign * mean_SI[..., None] >= sign * thresholds_T) & (classes_SI > 0)[..., None]
    of_patient_PI = (np.array(patients)[:, None] == np.array(owners)).astype(np.float64)
    counts_SPT = np.stack([of_patient_PI @ one_IT for one_IT in beyond_SIT.astype(np.float64)])
    images_SP = (classes_SI > 0).astype(np.float64) @ of_patient_PI.T
    weights_DP = draws("patients", len(patients))
    by_seed = list(zip(drawn_DS.T[:, :, None], images_SP[:, :, None], counts_SPT, strict=True))
    whole_D = sum(drawn_D1 * (weights_DP @ n_P1) for drawn_D1, n_P1, _ in by_seed)[:, 0]
    share_DT = sum(drawn_D1 * (weights_DP @ n_PT) for drawn_D1, _, n_PT in by_seed)
    share_DT[whole_D > 0] /= whole_D[whole_D > 0, None]
    share_DT[whole_D == 0] = np.nan
    n = min(drawn_DS.shape[1], len(patients))
    shares_T = counts_SPT.sum(axis=(0, 1)) / images_SP.sum()
    low_T, high_T = _ends(share_DT, n)
    return tuple(
        Estimate(float(share), float(low), float(high), n)
        for share, low, high in zip(shares_T, low_T, high_T, strict=True)
    )


def standing(
    scores_AD: Values, higher_is_better: bool
) -> tuple[tuple[float, ...], tuple[Estimate, ...]]:
    """Per arm: the share of draws that it leads, and its rank in them.

    Draws in which an arm has no score are left out. Arms that tie share their ranks.
    """
    scores_AD = scores_AD[:, np.isfinite(scores_AD).all(axis=0)]
    ranks_AD = stats.rankdata(-scores_AD if higher_is_better else scores_AD, axis=0)
    leads_AD = ranks_AD == ranks_AD.min(axis=0)
    first_A = (leads_AD / leads_AD.sum(axis=0)).mean(axis=1)
    tail = 100 * (1 - LEVEL) / 2
    low_A, high_A = np.percentile(ranks_AD, [tail, 100 - tail], axis=1)
    ranks = tuple(
        Estimate(float(mean), float(low), float(high), scores_AD.shape[1])
        for mean, low, high in zip(ranks_AD.mean(axis=1), low_A, high_A, strict=True)
    )
    return tuple(float(f) for f in first_A), ranks


def _drawn_score(scores: Scores, drawn_DS: Values, weights_DP: Values) -> Values:
    """The arm's macro score in each draw, (D,)."""
    by_seed_DS = scores.by_seed(weights_DP).T
    return np.asarray((by_seed_DS * drawn_DS).sum(axis=1) / drawn_DS.sum(axis=1))


def draws(what: str, n: int) -> Values:
    """How often each of n is drawn, (D, n): the same whenever the same things are drawn."""
    rng = np.random.default_rng([zlib.crc32(what.encode()), n])
    return rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)


def _ends(found_DT: Values, n: int) -> tuple[Values, Values]:
    """Ends of the 95 % interval in each column, further out for few (`stats.expanded_tail`)."""
    if n < 2:
        low_T, high_T = np.nanmin(found_DT, axis=0), np.nanmax(found_DT, axis=0)
        return np.asarray(low_T), np.asarray(high_T)
    tail = expanded_tail(n)
    low_T, high_T = np.nanpercentile(found_DT, [tail, 100 - tail], axis=0)
    return np.asarray(low_T), np.asarray(high_T)


def _thresholds(values: Sequence[Values], measure: Measure) -> Values:
    """From the lowest score of all arms to the highest, or to where nearly all distances lie."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    end = finite.max() if measure.is_fraction else np.percentile(finite, _HIGHEST)
    return np.linspace(float(finite.min()), float(end), THRESHOLDS)
