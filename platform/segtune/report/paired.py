"""Every arm against the baseline, seed by seed and patient by patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from segtune.report.patients import PatientInterval, bootstrap, by_patient, shares
from segtune.report.stats import (
    ALPHA,
    MIN_PATIENTS,
    MIN_SEEDS,
    Estimate,
    effective,
    hedges,
    holm,
    over_both,
    paired_t,
    sign_flips,
    t_factor,
    t_interval,
)
from segtune.report.text import count, interval, listing, number, p_text
from segtune.results.images import ImageScores, image_scores
from segtune.results.measures import Measure, choose, values
from segtune.results.study_rows import MACRO, StudyRows

FEW_SEEDS = 4
"""Up to here the page says how wide an interval is."""
Word = Literal["better", "worse", "cannot tell"]
MARKS = {"better": "*", "worse": "\u2020"}
"""Verdict that tells a difference -> its mark in a table."""


@dataclass(frozen=True)
class Verdict:
    """What may be said of an arm, in plain words."""

    word: Word
    why: str
    """`with n = 2 seeds` where one cannot tell, else what it rests on."""

    @property
    def text(self) -> str:
        """The word, and why where one cannot tell."""
        return f"{self.word} {self.why}" if self.word == "cannot tell" else self.word


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, in one measure."""

    arm: str
    seeds: tuple[int, ...]
    """Those that both arms finished with a defined value."""
    per_seed: tuple[float, ...]
    """The difference of each."""
    over_seeds: Estimate
    """With these patients given."""
    p_seeds: float | None
    """Paired t test over seeds; None for fewer than 3."""
    effect_seeds: float | None
    """Hedges' g_z over seeds; None for fewer than 3."""
    over_patients: PatientInterval | None
    """With these trainings given; None where the images cover fewer than 6 patients."""
    p_patients: float | None
    """Permutation of the patients' signs; None for fewer than 6."""
    effect_patients: float | None
    """Hedges' g_z over patients; None for fewer than 3."""
    per_patient: tuple[float, ...]
    """Each patient's part in the difference; empty without scores per image."""
    patients: int
    """Those whose images were scored."""
    effective_patients: float
    """Patients with equally many images that these are worth; 0 without scores per image."""
    over_both: Estimate | None
    """With other seeds and other patients: what the verdict rests on. Its n is of whichever are
    fewer. None for fewer than 3 of either."""
    p: float | None
    """Of `over_both`."""
    p_holm: float | None
    """The same, corrected across the arms of this measure."""
    same_data: bool
    """Whether arm and baseline ran on the same data with each of the seeds: no test where not."""
    verdict: Verdict

    @property
    def shown(self) -> Estimate:
        """The widest claim that can be made: over both, else over seeds."""
        return self.over_seeds if self.over_both is None else self.over_both


@dataclass(frozen=True)
class Comparison:
    """All arms against the baseline, in one measure."""

    measure: Measure
    baseline: str
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    """Arms that share no finished seed with the baseline."""
    split: str = "test"
    """The images: `test`, or `external`, of another source."""


def compare(rows: StudyRows, split: str = "test") -> tuple[Comparison, ...]:
    """One comparison per objective that was scored; none where there is no baseline."""
    if rows.baseline is None:
        return ()
    chosen = [choose(rows, o.metric, split) for o in rows.objectives]
    return tuple(_compare(rows, rows.baseline, m, split) for m in chosen if m is not None)


def conclusions(comparison: Comparison) -> tuple[str, ...]:
    """What may be said, in plain sentences, and what may not."""
    measure, found = comparison.measure, comparison.differences
    if not found:
        return (f"Nothing can be said about {measure.name} yet: no arm shares a finished seed "
                f"with the baseline.",)  # fmt: skip
    said = []
    alone = [d.arm for d in found if d.over_seeds.n == 1]
    if alone:
        said.append(
            f"{measure.name}: one paired seed for {listing(alone)}, which says nothing about "
            "whether the difference would show again."
        )
    told = [d for d in found if d.over_seeds.n > 1]
    said += [
        _difference_sentence(d, comparison)
        for d in told
        if d.verdict.word != "cannot tell" or (d.p is not None and d.p < ALPHA)
    ]
    silent = [d for d in told if d.verdict.word == "cannot tell" and not (d.p or 1.0) < ALPHA]
    for why in dict.fromkeys(d.verdict.why for d in silent):
        arms = [d.arm for d in silent if d.verdict.why == why]
        plural = "the intervals of" if len(arms) > 1 else "the interval of"
        tested = all(d.p is not None for d in silent if d.verdict.why == why)
        reason = f" ({plural} {listing(arms)} over both include{'' if len(arms) > 1 else 's'} 0)"
        said.append(
            f"{measure.name}: one cannot tell {listing(arms)} from {comparison.baseline} "
            f"{why}{reason if tested else ''}, which is not evidence that there is no difference."
        )
    return tuple(said)


def caution(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """How wide intervals over few seeds are."""
    seeds = [d.over_seeds.n for c in comparisons for d in c.differences if d.over_seeds.n > 1]
    if not seeds or min(seeds) > FEW_SEEDS:
        return ()
    return (
        f"A 95 % t interval over {min(seeds)} seeds reaches {t_factor(min(seeds)):.1f} standard "
        "errors to each side: only large and steady differences can show, and seeds that happen "
        "to agree can make one too narrow. Repeat with more seeds before relying on it.",
    )


def shown_text(d: Difference, measure: Measure) -> str:
    """`+0.021 [+0.011, +0.031]`; the mean alone where nothing can be said of seeds and patients."""
    mean = number(d.shown.mean, measure.digits, sign=True)
    if d.over_both is None:
        return mean
    return f"{mean} {interval(d.over_both, measure.digits, sign=True)}"


def difference_text(d: Difference, measure: Measure) -> str:
    """`+0.021 [+0.011, +0.031], p=0.012 after Holm`."""
    words = shown_text(d, measure)
    return words if d.p_holm is None else f"{words}, {p_text(d.p_holm)} after Holm"


def paired_test(
    arm: ImageScores, pairs: Sequence[tuple[str, str]], keep_I: Sequence[bool] | None = None
) -> tuple[Estimate, float] | None:
    """`stats.over_both` from the images' scores alone.

    Args:
        arm: scores of all trials.
        pairs: per seed the arm's trial and the baseline's.
        keep_I: the images to take; None takes all.
    """
    keep = np.full(len(arm.patients), True) if keep_I is None else np.asarray(keep_I, dtype=bool)
    own, base = (arm.stack(side)[:, keep] for side in zip(*pairs, strict=True))
    patients = [p for p, kept in zip(arm.patients, keep, strict=True) if kept]
    (a, b), names, _ = by_patient((own, base), patients)
    if len(names) < MIN_PATIENTS:
        return None
    once = np.ones((1, len(names)))
    per_seed = a.by_seed(once)[:, 0] - b.by_seed(once)[:, 0]
    return over_both(float(per_seed.mean()), per_seed, shares(a, b), a.weights_P)


def trials_by_seed(rows: StudyRows, arm: str) -> dict[int, str]:
    """Seed -> the arm's finished trial."""
    finished = rows.of("arm", arm=arm, status="finished")
    return {int(s): str(t) for s, t in zip(finished["seed"], finished["trial_id"], strict=True)}


def _difference_sentence(d: Difference, comparison: Comparison) -> str:
    measure, estimate = comparison.measure, d.shown
    words = "better" if (estimate.mean > 0) == measure.higher_is_better else "worse"
    head = f"{measure.name}: {d.arm} scored {words} than {comparison.baseline}"
    shown = f"{difference_text(d, measure)}; {d.verdict.why.removeprefix('with ')}"
    if d.verdict.word == "cannot tell":
        return f"{head} ({shown}), but this does not survive the correction for the number of arms."
    return f"{head} ({shown})."


def _compare(rows: StudyRows, baseline: str, measure: Measure, split: str) -> Comparison:
    found = values(rows, measure, split)
    images = image_scores(rows, measure, split)
    base = trials_by_seed(rows, baseline)
    parts, missing = [], []
    for arm in rows.arms:
        if arm == baseline:
            continue
        own = trials_by_seed(rows, arm)
        pairs = {
            seed: (own[seed], base[seed])
            for seed in sorted(set(own) & set(base))
            if np.isfinite(_gap(found, own[seed], base[seed]))
        }
        if pairs:
            parts.append(_difference(arm, pairs, found, images, _same_data(rows, pairs)))
        else:
            missing.append(arm)
    corrected = holm([d.p for d in parts])
    told = tuple(
        replace(d, p_holm=p, verdict=_verdict(d, p, measure))
        for d, p in zip(parts, corrected, strict=True)
    )
    return Comparison(measure, baseline, told, tuple(missing), split)


def _difference(
    arm: str,
    pairs: Mapping[int, tuple[str, str]],
    found: Mapping[tuple[str, str], float],
    images: ImageScores,
    same_data: bool,
) -> Difference:
    per_seed = [_gap(found, *pair) for pair in pairs.values()]
    over_seeds = t_interval(per_seed)
    assert over_seeds is not None
    there = [p for p in pairs.values() if p[0] in images.of_trial and p[1] in images.of_trial]
    interval_, per_patient, weights_P = None, np.empty(0), np.empty(0)
    names: tuple[str, ...] = ()
    if there:
        own, base = (images.stack(side) for side in zip(*there, strict=True))
        (a, b), names, n = by_patient((own, base), images.patients)
        interval_, weights_P = bootstrap(a, b, n), a.weights_P
        if len(names) > 1 and np.isfinite(each := shares(a, b)).all():
            per_patient = each
    testable = same_data and per_patient.size > 0
    both = over_both(over_seeds.mean, per_seed, per_patient, weights_P) if testable else None
    return Difference(
        arm=arm,
        seeds=tuple(pairs),
        per_seed=tuple(per_seed),
        over_seeds=over_seeds,
        p_seeds=paired_t(per_seed) if same_data else None,
        effect_seeds=hedges(per_seed),
        over_patients=interval_,
        p_patients=sign_flips(per_patient) if same_data else None,
        effect_patients=hedges(per_patient),
        per_patient=tuple(float(v) for v in per_patient),
        patients=len(names),
        effective_patients=effective(weights_P),
        over_both=None if both is None else both[0],
        p=None if both is None else both[1],
        p_holm=None,
        same_data=same_data,
        verdict=Verdict("cannot tell", ""),
    )


def _verdict(d: Difference, p_holm: float | None, measure: Measure) -> Verdict:
    n, patients = len(d.seeds), d.patients
    if not d.same_data:
        return Verdict("cannot tell", "where they ran on different data")
    if n < MIN_SEEDS:
        return Verdict("cannot tell", f"with n = {count(n, 'seed')}")
    if patients < MIN_PATIENTS:
        return Verdict("cannot tell", f"with scores of {count(patients, 'test patient')}")
    if d.effective_patients < MIN_PATIENTS:
        worth = f"{d.effective_patients:.1f}"
        return Verdict(
            "cannot tell",
            f"with {count(patients, 'patient')} so unequal in images that they weigh as {worth}",
        )
    if p_holm is None:
        return Verdict("cannot tell", "where seeds and patients do not vary")
    rests = f"with n = {count(n, 'seed')} and {count(patients, 'patient')}"
    if p_holm >= ALPHA:
        return Verdict("cannot tell", rests)
    up = d.shown.mean > 0
    return Verdict("better" if up == measure.higher_is_better else "worse", rests)


def _same_data(rows: StudyRows, pairs: Mapping[int, tuple[str, str]]) -> bool:
    data = rows.trials.set_index("trial_id")["data_hash"]
    return all(data.loc[list(pair)].dropna().nunique() <= 1 for pair in pairs.values())


def _gap(found: Mapping[tuple[str, str], float], arm: str, baseline: str) -> float:
    return found.get((arm, MACRO), np.nan) - found.get((baseline, MACRO), np.nan)
