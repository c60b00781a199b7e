"""Every arm against the baseline, seed by seed and patient by patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segtune.report.load import MACRO, POOLED, StudyRows
from segtune.report.measures import Measure, choose, select, values
from segtune.report.stats import (
    Estimate,
    PatientInterval,
    Values,
    holm,
    paired_p,
    patient_bootstrap,
    t_factor,
    t_interval,
)
from segtune.report.text import count, interval, listing, number, p_value

ALPHA = 0.05
FEW_SEEDS = 4
"""Up to here the page says how wide an interval is."""


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, in one measure."""

    arm: str
    seeds: tuple[int, ...]
    """Those that both arms finished with a defined value."""
    over_seeds: Estimate
    p: float | None
    """Paired t test over seeds; None where it is not defined."""
    p_holm: float | None
    """The same, corrected across the arms of this measure."""
    over_patients: PatientInterval | None
    """None where the images of both arms cover fewer than two patients."""


@dataclass(frozen=True)
class Comparison:
    """All arms against the baseline, in one measure."""

    measure: Measure
    baseline: str
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    """Arms that share no finished seed with the baseline."""


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
    tested = [d for d in found if d.over_seeds.n > 1]
    for d in tested:
        if d.over_seeds.excludes_zero:
            said.append(_difference_sentence(d, comparison))
    silent = [d.arm for d in tested if not d.over_seeds.excludes_zero]
    if silent:
        fewest = min(d.over_seeds.n for d in tested)
        said.append(
            f"{measure.name}: with {count(fewest, 'paired seed')} the intervals of "
            f"{listing(silent)} include 0: no difference from {comparison.baseline} is shown, "
            "which is not evidence that there is none."
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


def _difference_sentence(d: Difference, comparison: Comparison) -> str:
    measure, estimate = comparison.measure, d.over_seeds
    better = (estimate.mean > 0) == measure.higher_is_better
    shown = (
        f"{number(estimate.mean, measure.digits, sign=True)} "
        f"{interval(estimate, measure.digits, sign=True)}, n={estimate.n} seeds"
    )
    corrected = len(comparison.differences) > 1
    p_text = f"p={p_value(d.p_holm)}{' after Holm' if corrected else ''}".replace("=<", "<")
    words = "better" if better else "worse"
    if d.p_holm is None:
        return f"{measure.name}: {d.arm} differs by the same amount in every seed ({shown})."
    if d.p_holm >= ALPHA:
        return (
            f"{measure.name}: {d.arm} scored {words} than {comparison.baseline} ({shown}), but "
            f"this does not survive the correction for the number of arms ({p_text})."
        )
    patients = d.over_patients
    if patients is None:
        rest = "; over patients it could not be checked"
    elif patients.low <= 0 <= patients.high:
        rest = (
            f"; over the {patients.patients} test patients the interval includes 0, so other "
            "patients may show otherwise"
        )
    else:
        rest = f"; the interval over the {patients.patients} test patients excludes 0 too"
    head = f"{measure.name}: {d.arm} scored {words} than {comparison.baseline}"
    return f"{head} ({shown}, {p_text}){rest}."


def _compare(rows: StudyRows, baseline: str, measure: Measure, split: str) -> Comparison:
    found = values(rows, measure, split)
    base = _by_seed(rows, baseline)
    images = select(rows.images, measure, split)
    parts, missing = [], []
    for arm in rows.arms:
        if arm == baseline:
            continue
        trials = _by_seed(rows, arm)
        pairs = {
            seed: found.get((trials[seed], MACRO), np.nan) - found.get((base[seed], MACRO), np.nan)
            for seed in sorted(set(trials) & set(base))
        }
        pairs = {seed: d for seed, d in pairs.items() if np.isfinite(d)}
        estimate = t_interval(list(pairs.values()))
        if estimate is None:
            missing.append(arm)
            continue
        over_patients = _over_patients(images, [(trials[s], base[s]) for s in pairs])
        parts.append((arm, pairs, estimate, over_patients))
    p_values = [paired_p(list(pairs.values())) for _, pairs, _, _ in parts]
    differences = tuple(
        Difference(arm, tuple(pairs), estimate, p, corrected, over_patients)
        for (arm, pairs, estimate, over_patients), p, corrected in zip(
            parts, p_values, holm(p_values), strict=True
        )
    )
    return Comparison(measure, baseline, differences, tuple(missing))


def _by_seed(rows: StudyRows, arm: str) -> dict[int, str]:
    finished = rows.of("arm", arm=arm, status="finished")
    return {int(s): str(t) for s, t in zip(finished["seed"], finished["trial_id"], strict=True)}


def _over_patients(
    images: pd.DataFrame, pairs: Sequence[tuple[str, str]]
) -> PatientInterval | None:
    """Both arms' scores per image and class, drawn by patient."""
    own = images[~images["class_name"].isin([MACRO, POOLED])]
    own = own[own["trial_id"].isin({t for pair in pairs for t in pair})]
    wide = own.pivot(
        index=["patient_id", "sample_id"], columns=["trial_id", "class_name"], values="value"
    )
    there = set(wide.columns.get_level_values("trial_id"))
    classes = [str(c) for c in own["class_name"].unique()]
    found = [
        (_columns(wide, a, classes), _columns(wide, b, classes))
        for a, b in pairs
        if a in there and b in there
    ]
    patients = [str(p) for p in wide.index.get_level_values("patient_id")]
    return patient_bootstrap(found, patients) if found else None


def _columns(wide: pd.DataFrame, trial: str, classes: Sequence[str]) -> Values:
    """One trial's values, (images, classes)."""
    of_trial = wide.reindex(columns=pd.MultiIndex.from_product([[trial], classes]))
    return of_trial.to_numpy(dtype=float)
