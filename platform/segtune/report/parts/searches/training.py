"""How the trials of a search trained: scores on val by epoch."""

import math
from typing import Any

from segtune.report.evidence.search_results import SearchResults
from segtune.report.page.look import MUTED, Figure, Key, Looks, faded, figure, packed, plain
from segtune.report.page.page import Part
from segtune.report.parts.training import Curves, val_curves
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores

_MANY_LINES, _THIN_TO = 60, 40
"""With more trials than the first number, lines of all but the best have so many points at most as
the second says."""


def search_curves_figure(curves: Curves, best: Looks, measure: Measure) -> Figure:
    """Score on val by epoch, the best trials in colour on top of the others in grey."""
    others = [line for line in curves.lines if line.trial_id not in best]
    of_best = {line.trial_id: line for line in curves.lines if line.trial_id in best}
    many = len(others) > _MANY_LINES
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    for line in others:
        step = max(1, -(-len(line.x) // _THIN_TO)) if many else 1
        x += [*line.x[::step], math.nan]
        y += [*line.y[::step], math.nan]
        texts += [] if many else [plain(line.trial_id)] * (len(line.x) + 1)
    hovering: dict[str, Any] = (
        {"hoverinfo": "skip"}
        if many
        else {"text": texts, "hovertemplate": "%{text}<br>%{x:.0f}: %{y:.4g}<extra></extra>"}
    )
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "x": packed(x), "y": packed(y), "mode": "lines", "name": "other trials",
         "line": {"color": faded(MUTED, 0.2 if many else 0.4), "width": 1}, **hovering}
    ]  # fmt: skip
    for trial in reversed(list(best)):
        if trial in of_best:
            line, look = of_best[trial], best[trial]
            traces.append(
                {"type": "scatter", "x": line.x, "y": line.y, "mode": "lines", "legendgroup": trial,
                 "name": plain(trial), "line": {"color": look.color, "width": 2.4},
                 "hovertemplate": f"{plain(trial)} (n=1)<br>%{{x:.0f}}: %{{y:.4g}}<extra></extra>"}
            )  # fmt: skip
    return figure(
        traces,
        height=360,
        keys=[Key(t, t, best[t].color, "line") for t in best if t in of_best],
        xaxis={"title": {"text": "epoch"}, "tickformat": "d", "rangemode": "tozero"},
        yaxis={"title": {"text": f"{measure.heading} on val, macro"}},
    )


def search_training_part(
    study: StudyScores, search: SearchResults, looks: Looks, *, tested: bool
) -> Part:
    """The course of every trial on val.

    Args:
        study: its scores.
        search: all trials of the search.
        looks: of the trials to draw in colour, by `t5`.
        tested: whether finalists are among those.
    """
    measure, curves = val_curves(study, "search")
    if measure is None or not curves.lines:
        return Part("Training", missing="No score on val yet.")
    ids = {f"t{t.number}": t.trial_id for t in search.trials}
    repeated = " and the finalists" if tested else ""
    best = {ids[name]: look for name, look in looks.items() if name in ids}
    return Part(
        "Training",
        f"{measure.label} on val by epoch, one line per trial (n={len(curves.lines)}, stopped ones "
        f"too); {len(best)} in colour: the best finished{repeated}.",
        figures=((search_curves_figure(curves, best, measure), "Score on val by epoch"),),
    )
