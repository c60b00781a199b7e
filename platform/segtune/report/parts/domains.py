"""Scores on another domain, and on masks of another size than the network was trained for."""

from dataclasses import dataclass
from typing import Any

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import t_interval
from segtune.report.page.look import (
    MUTED,
    Figure,
    Key,
    Looks,
    arm_keys,
    error_bar,
    faded,
    figure,
    named_rows,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.text import interval, number
from segtune.results.measures import Measure, height, pixels
from segtune.results.study_rows import MACRO
from segtune.results.study_scores import StudyScores

HOME, AWAY = "test", "external"


@dataclass(frozen=True)
class DomainShift:
    """One arm, tested on its own domain and on another one by the same trials."""

    arm: str
    home: Estimate
    away: Estimate
    change: Estimate
    """Score away minus score at home, paired by seed."""


@dataclass(frozen=True)
class SizeScores:
    """One arm, tested on masks of several sizes."""

    arm: str
    sizes: tuple[int, ...]
    """Side of the square masks, pixels."""
    scores: tuple[Estimate, ...]


@dataclass(frozen=True)
class Shifts:
    """One metric on other domains and sizes."""

    measure: Measure
    """At the native size of the masks."""
    domains: tuple[DomainShift, ...]
    sizes: tuple[SizeScores, ...]
    """Of arms that were tested at two sizes or more."""


def shifts(study: StudyScores) -> tuple[Shifts, ...]:
    """The finished trials of each arm, in the leading measures.

    A measure that was scored on one domain and at one size alone is left out.
    """
    found = []
    for measure in study.leading(HOME):
        domains, sizes = _domains(study, measure), _sizes(study, measure)
        if domains or sizes:
            found.append(Shifts(measure, domains, sizes))
    return tuple(found)


def _domains(study: StudyScores, measure: Measure) -> tuple[DomainShift, ...]:
    rows, found = study.rows, []
    home, away = study.values(measure, HOME), study.values(measure, AWAY)
    for arm in rows.arms:
        keys = [(str(t), MACRO) for t in rows.of("arm", arm=arm, status="finished")["trial_id"]]
        both = [(home[k], away[k]) for k in keys if k in home and k in away]
        both = [(h, a) for h, a in both if h == h and a == a]
        at_home, at_away = t_interval([h for h, _ in both]), t_interval([a for _, a in both])
        change = t_interval([a - h for h, a in both])
        if at_home is not None and at_away is not None and change is not None:
            found.append(DomainShift(arm, at_home, at_away, change))
    return tuple(found)


def _sizes(study: StudyScores, measure: Measure) -> tuple[SizeScores, ...]:
    rows, scores = study.rows, study.at_best
    there = scores[
        (scores["metric"] == measure.metric)
        & (scores["protocol"] == measure.protocol)
        & (scores["split"] == HOME)
        & (scores["class_name"] == MACRO)
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


def domain_figure(shifts: Shifts, looks: Looks) -> Figure:
    """A row per arm: its score on test as an open circle, on the external set as a filled one."""
    measure, arms = shifts.measure, [d.arm for d in shifts.domains]
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces: list[dict[str, Any]] = []
    digits = measure.digits
    for d in shifts.domains:
        look, above, below = looks[d.arm], row[d.arm] + 0.12, row[d.arm] - 0.12
        change = (
            f"{number(d.change.mean, digits, sign=True)} {interval(d.change, digits, sign=True)}"
        )
        traces.append(
            {"type": "scatter", "mode": "lines",
             "x": [d.home.mean, d.away.mean], "y": [above, below],
             "line": {"color": faded(look.color, 0.5), "width": 2}, "hoverinfo": "skip"}
        )  # fmt: skip
        for where, e, symbol, y in (
            ("test", d.home, "circle-open", above),
            ("external", d.away, "circle", below),
        ):
            shown = f"{where}: {number(e.mean, digits)} {interval(e, digits)}, n={e.n}"
            traces.append(
                {"type": "scatter", "x": [e.mean], "y": [y], "mode": "markers", "name": where,
                 "error_x": error_bar(e, thickness=1.2, width=4),
                 "marker": {"color": look.color, "symbol": symbol, "size": 10,
                            "line": {"width": 2}},
                 "hovertemplate": f"{plain(d.arm)}<br>{shown}<br>external minus test: {change}"
                                  "<extra></extra>"}
            )  # fmt: skip
    return figure(
        traces,
        height=96 + 40 * len(arms),
        span="half",
        keys=[Key("", "test", MUTED, "circle-open"), Key("", "external", MUTED, "circle")],
        xaxis={"title": {"text": f"{measure.heading}, macro"}, "nticks": 6},
        yaxis=named_rows(row),
    )


def size_figure(shifts: Shifts, looks: Looks) -> Figure:
    """Score by the size of the masks compared."""
    digits = shifts.measure.digits
    traces = [
        {"type": "scatter", "x": s.sizes, "y": [e.mean for e in s.scores],
         "mode": "lines+markers", "name": plain(s.arm), "legendgroup": s.arm,
         "line": {"color": looks[s.arm].color, "dash": looks[s.arm].dash, "width": 2},
         "marker": {"symbol": looks[s.arm].symbol, "size": 8},
         "error_y": {"type": "data", "symmetric": False, "thickness": 1, "width": 3,
                     "array": [0 if e.high is None else e.high - e.mean for e in s.scores],
                     "arrayminus": [0 if e.low is None else e.mean - e.low for e in s.scores]},
         "text": [f"{number(e.mean, digits)} {interval(e, digits)}, n={e.n}" for e in s.scores],
         "hovertemplate": f"{plain(s.arm)} at %{{x}} px<br>%{{text}}<extra></extra>"}
        for s in shifts.sizes
    ]  # fmt: skip
    sizes = sorted({size for s in shifts.sizes for size in s.sizes})
    return figure(
        traces,
        height=340,
        span="half",
        keys=arm_keys((s.arm for s in shifts.sizes), looks),
        xaxis={"title": {"text": "side of the masks (px)"}, "tickvals": sizes},
        yaxis={"title": {"text": f"{shifts.measure.heading}<br>on test, macro"}},
    )


def domains_part(study: StudyScores, looks: Looks) -> Part | None:
    """Another domain and other sizes of mask; None where neither was tested."""
    found = shifts(study)
    if not found:
        return None
    drawn = [
        (domain_figure(s, looks), f"{s.measure.label} on test and external, by arm")
        for s in found
        if s.domains
    ] + [
        (size_figure(s, looks), f"{s.measure.label} by size of the masks") for s in found if s.sizes
    ]
    return Part(
        "Another domain, another size",
        "The same trained weights, tested on images of another source (external) and on masks of "
        "other sizes than they were trained at. Mean over seeds with its 95 % t interval; hovering "
        "shows the change, paired by seed. Distances in pixels grow with the size of the mask.",
        figures=tuple(drawn),
    )
