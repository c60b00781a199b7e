"""The scores of each class, per arm."""

from dataclasses import dataclass

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import t_interval
from segtune.report.page.look import (
    Figure,
    Looks,
    arm_keys,
    arrowheads,
    error_bar,
    figure,
    limits,
    name,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.text import interval, listing, number
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores


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


def class_scores(study: StudyScores, split: str = "test") -> tuple[ClassScores, ...]:
    """Scores of each class in the leading measures, over the finished trials of each arm."""
    rows, found = study.rows, []
    for measure in study.leading(split):
        of_trial = study.values(measure, split)
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


def class_figure(found: ClassScores, looks: Looks) -> Figure:
    """A point per class and arm with its 95 % t interval over seeds."""
    classes = list(dict.fromkeys(s.class_name for s in found.scores))
    arms = list(dict.fromkeys(s.arm for s in found.scores))
    step = 0.72 / max(1, len(arms))
    traces, digits = [], found.measure.digits
    ends = limits([s.estimate for s in found.scores if s.estimate], found.measure)
    for s in found.scores:
        if s.estimate is None:
            continue
        look, offset = looks[s.arm], (arms.index(s.arm) - (len(arms) - 1) / 2) * step
        shown = f"{number(s.estimate.mean, digits)} {interval(s.estimate, digits)}"
        traces.append(
            {"type": "scatter", "x": [classes.index(s.class_name) + offset],
             "y": [s.estimate.mean], "mode": "markers", "name": plain(s.arm),
             "legendgroup": s.arm, "error_y": error_bar(s.estimate, thickness=1.5, width=3),
             "marker": {"color": look.color, "symbol": look.symbol, "size": 9},
             "hovertemplate": f"{plain(s.arm)}, {plain(s.class_name)}<br>{shown}, "
                              f"n={s.estimate.n}<extra></extra>"}
        )  # fmt: skip
        at = classes.index(s.class_name) + offset
        traces += arrowheads(s.estimate, at, ends, look.color, upright=True, group=s.arm)
    better = "higher" if found.measure.higher_is_better else "lower"
    return figure(
        traces,
        height=360,
        span="half",
        keys=arm_keys((s.arm for s in found.scores if s.estimate is not None), looks),
        xaxis={"tickvals": list(range(len(classes))), "ticktext": [name(c) for c in classes],
               "range": [-0.5, len(classes) - 0.5], "ticks": "", "showgrid": False},
        yaxis={"title": {"text": f"{found.measure.heading}<br>on test ({better} is better)"},
               "range": ends},
    )  # fmt: skip


def classes_part(study: StudyScores, looks: Looks) -> Part:
    """An overlap and a distance of each class."""
    title, found = "Each class", class_scores(study)
    if not found:
        return Part(title, missing="No class was scored on test yet.")
    unscored = sorted({s.class_name for s in found[0].scores} - {
        s.class_name for s in found[0].scores if s.estimate is not None
    })  # fmt: skip
    return Part(
        title,
        "Mean over seeds with its 95 % t interval over seeds; a mark alone is one seed. An "
        "arrowhead: the interval goes on beyond the figure.",
        figures=tuple(
            (class_figure(c, looks), f"{c.measure.label} on test by class and arm") for c in found
        ),
        missing=f"Defined on no test image: {listing(unscored)}." if unscored else "",
    )
