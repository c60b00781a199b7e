"""Scores of each class, per arm."""

from dataclasses import dataclass

from segtune.report.stats import Estimate, t_interval
from segtune.results.measures import Measure, choose, values
from segtune.results.study_rows import StudyRows

METRICS = ("dice", "assd")


@dataclass(frozen=True)
class ClassScore:
    """One arm and class: mean over the seeds that define it."""

    arm: str
    class_name: str
    estimate: Estimate | None
    """None where no seed defines it."""


@dataclass(frozen=True)
class ClassScores:
    """All arms and classes, in one measure."""

    measure: Measure
    scores: tuple[ClassScore, ...]


def class_scores(rows: StudyRows, split: str = "test") -> tuple[ClassScores, ...]:
    """Per metric; classes in the report's order, arms within them. Only finished trials count."""
    found = []
    for metric in METRICS:
        measure = choose(rows, metric, split)
        if measure is None:
            continue
        of_trial = values(rows, measure, split)
        scores = []
        for class_name in rows.classes:
            for arm in rows.arms:
                trials = rows.of("arm", arm=arm, status="finished")["trial_id"]
                numbers = [
                    of_trial[key] for t in trials if (key := (str(t), class_name)) in of_trial
                ]
                scores.append(ClassScore(arm, class_name, t_interval(numbers)))
        if any(s.estimate is not None for s in scores):
            found.append(ClassScores(measure, tuple(scores)))
    return tuple(found)
