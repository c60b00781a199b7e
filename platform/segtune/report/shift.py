"""What is lost away from home: on another domain, and on masks of another size."""

from dataclasses import dataclass

from segtune.report.stats import Estimate, t_interval
from segtune.results.measures import Measure, best_epochs, choose, height, pixels, values
from segtune.results.study_rows import MACRO, StudyRows

HOME, AWAY = "test", "external"
METRICS = ("dice", "assd")


@dataclass(frozen=True)
class DomainShift:
    """One arm, tested at home and on another domain by the same trials."""

    arm: str
    home: Estimate
    away: Estimate
    change: Estimate
    """Away minus home, paired by seed."""


@dataclass(frozen=True)
class SizeScores:
    """One arm, tested on masks of several sizes."""

    arm: str
    sizes: tuple[int, ...]
    """Side of the square masks, pixels."""
    scores: tuple[Estimate, ...]


@dataclass(frozen=True)
class Shifts:
    """One metric."""

    measure: Measure
    """At the native size."""
    domains: tuple[DomainShift, ...]
    sizes: tuple[SizeScores, ...]
    """Of arms that were tested at two sizes or more."""


def shifts(rows: StudyRows) -> tuple[Shifts, ...]:
    """Per metric the arms' finished trials; metrics without another domain or size are left out."""
    found = []
    for metric in METRICS:
        measure = choose(rows, metric, HOME)
        if measure is None:
            continue
        domains, sizes = _domains(rows, measure), _sizes(rows, measure)
        if domains or sizes:
            found.append(Shifts(measure, domains, sizes))
    return tuple(found)


def _domains(rows: StudyRows, measure: Measure) -> tuple[DomainShift, ...]:
    home, away = values(rows, measure, HOME), values(rows, measure, AWAY)
    found = []
    for arm in rows.arms:
        keys = [(str(t), MACRO) for t in rows.of("arm", arm=arm, status="finished")["trial_id"]]
        both = [(home[k], away[k]) for k in keys if k in home and k in away]
        both = [(h, a) for h, a in both if h == h and a == a]
        at_home, at_away = t_interval([h for h, _ in both]), t_interval([a for _, a in both])
        change = t_interval([a - h for h, a in both])
        if at_home is not None and at_away is not None and change is not None:
            found.append(DomainShift(arm, at_home, at_away, change))
    return tuple(found)


def _sizes(rows: StudyRows, measure: Measure) -> tuple[SizeScores, ...]:
    scores = rows.scores
    there = scores[
        (scores["metric"] == measure.metric)
        & (scores["protocol"] == measure.protocol)
        & (scores["split"] == HOME)
        & (scores["class_name"] == MACRO)
        & (scores["epoch"] == scores["trial_id"].map(best_epochs(rows)))
    ]
    found = []
    for arm in rows.arms:
        trials = rows.of("arm", arm=arm, status="finished")["trial_id"]
        of_arm = there[there["trial_id"].isin(trials)]
        by_size = {}
        for resolution in sorted(map(str, of_arm["resolution"].unique()), key=pixels):
            same = of_arm.loc[of_arm["resolution"] == resolution, "value"].tolist()
            side, estimate = height(resolution), t_interval(same)
            if side is not None and estimate is not None:
                by_size[side] = estimate
        if len(by_size) > 1:
            found.append(SizeScores(arm, tuple(by_size), tuple(by_size.values())))
    return tuple(found)
