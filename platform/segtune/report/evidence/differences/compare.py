"""Every arm against the baseline, seed by seed and patient by patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segtune.report.evidence.crossed import Crossed, crossed, over_both
from segtune.report.evidence.differences.margins import AgainstMargin, at_most, margin_text
from segtune.report.evidence.differences.verdicts import (
    DIFFERENT,
    IDENTICAL,
    ArmVerdict,
    Judged,
    judge,
)
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import (
    PatientInterval,
    bootstrap,
    by_patient,
    own_differences,
    shares,
)
from segtune.report.evidence.power.spread import MeasuredSpread, measure_spread
from segtune.report.evidence.sequential.bounds import price
from segtune.report.evidence.stats import (
    MIN_EFFECTIVE,
    MIN_PATIENTS,
    MIN_SEEDS,
    effective,
    hedges,
    paired_t,
    sign_flips,
    t_interval,
)
from segtune.report.page.text import count
from segtune.results.images import ImageScores
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, StudyRows
from segtune.results.study_scores import StudyScores
from segtune.study.spec import Weights


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, in one measure."""

    arm: str
    seeds: tuple[int, ...]
    """Seeds that both arms finished with a defined value."""
    per_seed: tuple[float, ...]
    """The difference with each seed."""
    over_seeds: Estimate
    """Mean difference and its t interval over seeds, with these patients."""
    p_seeds: float | None
    """Paired t test over seeds; None for fewer than 3."""
    effect_seeds: float | None
    """Hedges' g_z over seeds; None for fewer than 3."""
    over_patients: PatientInterval | None
    """Mean difference and its bootstrap interval over patients, with these trainings; None for
    fewer than 6 patients."""
    p_patients: float | None
    """Permutation test of the patients' differences; None for fewer than 6."""
    effect_patients: float | None
    """Hedges' g_z over patients; None for fewer than 3."""
    per_patient: tuple[float, ...]
    """Each patient's share in the difference; empty without scores per image."""
    patients: int
    """Patients whose images were scored."""
    effective_patients: float
    """As many patients with equally many images would be as certain; 0 without scores per image."""
    over_both: Estimate | None
    """The difference to be expected with other seeds and other patients; the verdict rests on it.
    Its intervals for all arms of the measure hold together (Bonferroni). Its n is the number of
    seeds or of patients, whichever is smaller. None for fewer than 3 of either, and for patients
    of whom one has nearly all of the images."""
    p: float | None
    """The p value of `over_both`."""
    p_holm: float | None
    """The p value, corrected across the arms of this measure."""
    crossed: Crossed | None
    """What `over_both` and `p` are of."""
    held: AgainstMargin | None
    """The difference against the margin; None without a margin or a test."""
    spread: MeasuredSpread | None
    """How much seeds and patients move the difference; None for fewer than two of either."""
    same_data: bool
    """Whether arm and baseline ran on the same data with each seed; there is no test if not."""
    verdict: ArmVerdict

    @property
    def p_verdict(self) -> float | None:
        """The p value that the verdict goes by, after Holm's correction: within a margin that of
        the margin's test, else that of a difference."""
        if self.held is not None and self.verdict.word == "as good":
            return self.held.p_as_good
        if self.held is not None and self.verdict.word == "no worse":
            return self.held.p_no_worse
        return self.p_holm

    @property
    def shown(self) -> Estimate:
        """The estimate to show: over seeds and patients where there is one, else over seeds."""
        return self.over_seeds if self.over_both is None else self.over_both


@dataclass(frozen=True)
class Comparison:
    """Arms against the baseline, or another reference, in one measure."""

    measure: Measure
    baseline: str
    """What they are compared with."""
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    """Arms that share no finished seed with the baseline."""
    split: str = "test"
    """The images: `test`, or `external` for images of another source."""
    margin: float | None = None
    """The largest difference that does not matter; None where the study says none."""
    weights: Weights = "images"
    """What weighs alike in the scores."""


def compare(study: StudyScores, split: str = "test") -> tuple[Comparison, ...]:
    """One comparison per objective that was scored; none where there is no baseline."""
    baseline = study.rows.baseline
    if baseline is None:
        return ()
    return tuple(
        _compare(study, baseline, m, split, study.rows.arms) for m in _chosen(study, split)
    )


def contrasts(study: StudyScores) -> tuple[Comparison, ...]:
    """The pairs of arms that the study declares, on test: one comparison per reference and
    objective. All arms of a reference are corrected for together, as those of the baseline are."""
    references: dict[str, list[str]] = {}
    for arm, reference in study.rows.contrasts:
        references.setdefault(reference, []).append(arm)
    return tuple(
        _compare(study, reference, m, "test", [a for a in study.rows.arms if a in arms])
        for m in _chosen(study, "test")
        for reference, arms in references.items()
        if reference in study.rows.arms
    )


def _chosen(study: StudyScores, split: str) -> list[Measure]:
    chosen = [study.measure(o.metric, split) for o in study.rows.objectives]
    return [m for m in chosen if m is not None]


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
    (a, b), names, _ = by_patient((own, base), patients, arm.weights)
    if len(names) < MIN_PATIENTS:
        return None
    once = np.ones((1, len(names)))
    per_seed = a.by_seed(once)[:, 0] - b.by_seed(once)[:, 0]
    return over_both(float(per_seed.mean()), per_seed, own_differences(a, b), a.weights_P)


def trials_by_seed(rows: StudyRows, arm: str) -> dict[int, str]:
    """Seed -> the arm's finished trial."""
    finished = rows.of("arm", arm=arm, status="finished")
    return {int(s): str(t) for s, t in zip(finished["seed"], finished["trial_id"], strict=True)}


def _compare(
    study: StudyScores, baseline: str, measure: Measure, split: str, arms: Sequence[str]
) -> Comparison:
    rows = study.rows
    found, images = study.values(measure, split), study.images(measure, split)
    base = trials_by_seed(rows, baseline)
    untested, missing = [], []
    for arm in arms:
        if arm == baseline:
            continue
        own = trials_by_seed(rows, arm)
        pairs = {
            seed: (own[seed], base[seed])
            for seed in sorted(set(own) & set(base))
            if np.isfinite(_gap(found, own[seed], base[seed]))
        }
        if pairs:
            untested.append(_difference(arm, pairs, found, images, _same_data(rows, pairs)))
        else:
            missing.append(arm)
    untested = _looked_at(untested, rows.looks)
    margin = rows.margin.get(measure.metric)
    judged = judge([d.crossed for d in untested], margin, measure.higher_is_better)
    differences = tuple(
        replace(
            d, over_both=j.interval, p_holm=j.p_holm, held=j.held, verdict=_verdict(d, j, measure)
        )
        for d, j in zip(untested, judged, strict=True)
    )
    return Comparison(measure, baseline, differences, tuple(missing), split, margin, rows.weights)


def _looked_at(found: Sequence[Difference], looks: tuple[int, ...]) -> list[Difference]:
    """Differences whose tests bear that they are looked at several times."""
    tested = sum(d.crossed is not None for d in found)
    dearer = []
    for d in found:
        if d.crossed is not None and looks:
            both = replace(d.crossed, price=price(looks, len(d.seeds), tested))
            dearer.append(replace(d, crossed=both, p=both.p))
        else:
            dearer.append(d)
    return dearer


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
    interval_, spread, per_patient, weights_P = None, None, np.empty(0), np.empty(0)
    both: Crossed | None = None
    names: tuple[str, ...] = ()
    if there:
        own, base = (images.stack(side) for side in zip(*there, strict=True))
        (a, b), names, n = by_patient((own, base), images.patients, images.weights)
        interval_, spread, weights_P = bootstrap(a, b, n), measure_spread(a, b), a.weights_P
        if len(names) > 1 and np.isfinite(each := shares(a, b)).all():
            per_patient = each
            if same_data:
                both = crossed(over_seeds.mean, per_seed, own_differences(a, b), weights_P)
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
        over_both=None,
        p=None if both is None else both.p,
        p_holm=None,
        crossed=both,
        held=None,
        spread=spread,
        same_data=same_data,
        verdict=ArmVerdict("cannot tell", ""),
    )


def _verdict(d: Difference, judged: Judged, measure: Measure) -> ArmVerdict:
    n, patients = len(d.seeds), d.patients
    if not d.same_data:
        return ArmVerdict("cannot tell", "where they ran on different data")
    if n < MIN_SEEDS:
        return ArmVerdict("cannot tell", f"with n = {count(n, 'seed')}")
    if patients < MIN_PATIENTS:
        return ArmVerdict("cannot tell", f"with scores of {count(patients, 'test patient')}")
    if d.effective_patients < MIN_EFFECTIVE:
        worth = f"{d.effective_patients:.1f}"
        return ArmVerdict(
            "cannot tell",
            f"with {count(patients, 'patient')} so unequal in images that they weigh as {worth}",
        )
    if judged.p_holm is None:
        same = not any(d.per_seed) and not any(d.per_patient)
        return ArmVerdict(
            "cannot tell", IDENTICAL if same else "where seeds and patients do not vary"
        )
    rests = f"with n = {count(n, 'seed')} and {count(patients, 'patient')}"
    return ArmVerdict(judged.word, rests, _note(judged, measure))


def _note(judged: Judged, measure: Measure) -> str:
    held = judged.held
    if held is None:
        return ""
    if judged.word == "cannot tell":
        return at_most(held, measure)
    within = f"within {margin_text(held.margin, measure)}"
    if judged.word in DIFFERENT:
        return f"but {within}" if held.as_good else ""
    return within


def _same_data(rows: StudyRows, pairs: Mapping[int, tuple[str, str]]) -> bool:
    data = rows.trials.set_index("trial_id")["data_hash"]
    return all(data.loc[list(pair)].dropna().nunique() <= 1 for pair in pairs.values())


def _gap(found: Mapping[tuple[str, str], float], arm: str, baseline: str) -> float:
    return found.get((arm, MACRO), np.nan) - found.get((baseline, MACRO), np.nan)
