"""Figures of differences: to the baseline, to another domain, to another size of mask."""

from collections.abc import Mapping
from typing import Any

from segtune.report.marks import Looks, arm_keys, error_bar, named_rows
from segtune.report.paired import Comparison
from segtune.report.shift import Shifts
from segtune.report.stats import Estimate
from segtune.report.style import MUTED, Key, faded, figure, name, plain
from segtune.report.text import count, interval, number
from segtune.results.measures import Measure

_PLACES = {1: (0.0,), 2: (0.13, -0.17), 3: (0.24, 0.0, -0.2)}
"""Heights of the intervals of one arm, above and below its row."""


def forest(comparison: Comparison, looks: Looks) -> Any:
    """Differences to the baseline: over both in bold, over seeds and over patients lighter."""
    measure, arms = comparison.measure, [d.arm for d in comparison.differences]
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces = []
    for d in comparison.differences:
        look, y, patients = looks[d.arm], row[d.arm], d.over_patients
        both = f"{plain(d.arm)}: over seeds and patients, n={d.shown.n} of the fewer"
        seeds = f"{plain(d.arm)}: over {count(d.over_seeds.n, 'seed')}"
        marks = [(d.over_seeds, seeds, "circle-open")]
        if patients is not None:
            limits = Estimate(patients.mean, patients.low, patients.high, patients.patients)
            people, images = count(patients.patients, "patient"), count(patients.images, "image")
            marks.append((limits, f"{plain(d.arm)}: over {people}, {images}", "diamond-open"))
        if d.over_both is not None:
            marks.insert(0, (d.over_both, both, look.symbol))
        for (estimate, said, symbol), place in zip(marks, _PLACES[len(marks)], strict=True):
            strong = estimate is marks[0][0]
            marker = {"color": look.color if strong else faded(look.color, 0.65),
                      "symbol": symbol, "size": 11 if strong else 7}  # fmt: skip
            traces.append(_interval(estimate, y + place, marker, measure, said))
    better = "right is better" if measure.higher_is_better else "left is better"
    where = "" if comparison.split == "test" else f" on {comparison.split}"
    found = comparison.differences
    kinds = [Key("", "over seeds", MUTED, "circle-open")]
    if any(d.over_both is not None for d in found):
        kinds.insert(0, Key("", "over seeds and patients", MUTED, "square"))
    if any(d.over_patients is not None for d in found):
        kinds.append(Key("", "over patients", MUTED, "diamond-open"))
    return figure(
        traces,
        height=116 + 56 * len(arms),
        span="half",
        keys=kinds,
        xaxis={
            "title": {
                "text": f"{measure.label}{where}: arm minus {name(comparison.baseline)}<br>{better}"
            },
            "zeroline": True,
            "zerolinewidth": 1.5,
            "nticks": 6,
        },
        yaxis=named_rows(row),
    )


def _interval(
    estimate: Estimate, y: float, marker: Mapping[str, Any], measure: Measure, said: str
) -> dict[str, Any]:
    digits = measure.digits
    shown = f"{number(estimate.mean, digits, sign=True)} {interval(estimate, digits, sign=True)}"
    return {
        "type": "scatter", "x": [estimate.mean], "y": [y], "mode": "markers", "name": said,
        "error_x": error_bar(estimate, thickness=2, width=5), "marker": marker,
        "hovertemplate": f"{said}<br>{shown}<extra></extra>",
    }  # fmt: skip


def domain_figure(shifts: Shifts, looks: Looks) -> Any:
    """From home (open) to away (filled), one row per arm."""
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
        xaxis={"title": {"text": f"{measure.label}, macro"}, "nticks": 6},
        yaxis=named_rows(row),
    )


def size_figure(shifts: Shifts, looks: Looks) -> Any:
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
        yaxis={"title": {"text": f"{shifts.measure.label} on test, macro"}},
    )
