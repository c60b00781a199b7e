"""Beside the verdicts: how often an arm is better, on how many images, and how steady its rank."""

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.resampled import DRAWS, Resampled
from segtune.report.page.look import (
    Figure,
    Looks,
    arm_keys,
    error_bar,
    faded,
    figure,
    name,
    named_rows,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, raw_estimate, raw_header_of
from segtune.report.page.text import DASH, interval, number, percent

_MOST_BANDS = 5
"""With more arms than these the bands of a profile hide one another, and none is drawn."""
_SHOWN = 12
"""Rows of the table before the others are folded."""


def profile_figure(found: Resampled, looks: Looks) -> Figure:
    """A line per arm: the share of images at each threshold or beyond, and its band."""
    measure, traces = found.measure, []
    x, digits = found.thresholds, found.measure.digits
    for one in found.profiles:
        look, y = looks[one.arm], [e.mean for e in one.shares]
        low, high = ([getattr(e, end) for e in one.shares] for end in ("low", "high"))
        if len(found.profiles) <= _MOST_BANDS:
            traces.append(
                {"type": "scatter", "x": [*x, *reversed(x)], "y": [*high, *reversed(low)],
                 "fill": "toself", "fillcolor": faded(look.color, 0.1), "line": {"width": 0},
                 "mode": "lines", "hoverinfo": "skip", "legendgroup": one.arm}
            )  # fmt: skip
        shown = [f"{percent(e.mean)} {interval(e, 2)}" for e in one.shares]
        traces.append(
            {"type": "scatter", "x": x, "y": y, "mode": "lines", "name": plain(one.arm),
             "legendgroup": one.arm, "text": shown,
             "line": {"color": look.color, "width": 2, "dash": look.dash},
             "hovertemplate": f"{plain(one.arm)}<br>at %{{x:.{digits}f}}: %{{text}}"
                              "<extra></extra>"}
        )  # fmt: skip
    beyond = "at least" if measure.higher_is_better else "at most"
    return figure(
        traces,
        height=360,
        span="half",
        keys=arm_keys((p.arm for p in found.profiles), looks),
        xaxis={"title": {"text": f"threshold of {measure.heading}"}, "nticks": 6},
        yaxis={"title": {"text": f"share of images with {beyond} that"}, "range": [-0.02, 1.02]},
    )


def improvement_figure(found: Resampled, looks: Looks) -> Figure:
    """A row per arm: the probability that it is better than the baseline."""
    told = [(c.arm, c.improvement) for c in found.chances if c.improvement is not None]
    row = {arm: len(told) - 1 - k for k, (arm, _) in enumerate(told)}
    traces = [
        {"type": "scatter", "x": [e.mean], "y": [row[arm]], "mode": "markers", "name": plain(arm),
         "legendgroup": arm, "error_x": error_bar(e, thickness=2, width=3),
         "marker": {"color": looks[arm].color, "symbol": looks[arm].symbol, "size": 9},
         "hovertemplate": f"{plain(arm)}: {number(e.mean, 2)} {interval(e, 2)}<extra></extra>"}
        for arm, e in told
    ]  # fmt: skip
    title = f"probability of being better than {name(found.baseline)}"
    half = {"type": "line", "x0": 0.5, "x1": 0.5, "y0": -0.6, "y1": len(told) - 0.4, "line": {
        "width": 1.5, "color": looks[found.baseline].color}, "layer": "below"}  # fmt: skip
    return figure(
        traces,
        height=max(360, 100 + 22 * len(told)),
        span="half",
        xaxis={"title": {"text": title}, "range": [-0.02, 1.02], "nticks": 6},
        yaxis=named_rows(row),
        shapes=[half],
    )


def chances_sheet(found: Resampled, looks: Looks) -> Sheet:
    """A row per arm: improvement, first place, rank."""
    rows, raw = [], []
    for c in found.chances:
        own = c.arm == found.baseline
        rows.append(
            (
                Cell(c.arm + (" (baseline)" if own else ""), color=looks[c.arm].color, left=True),
                _cell(c.improvement),
                Cell(percent(c.first)),
                Cell(number(c.rank.mean, 1), small=interval(c.rank, 0)),
            )
        )
        raw.append((c.arm, *raw_estimate(c.improvement), c.first, *raw_estimate(c.rank)))
    better = f"better than {found.baseline}, probability"
    return Sheet(
        "chances",
        ("arm", better, "first, share of draws", "rank, mean"),
        tuple(rows),
        frozenset(k for k, c in enumerate(found.chances) if c.arm == found.baseline),
        ("arm", *raw_header_of("improvement"), "first", *raw_header_of("rank")),
        tuple(raw),
        shown=_SHOWN,
    )  # fmt: skip


def _cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(DASH)
    alike = estimate.low == estimate.mean == estimate.high  # all agree: few of them, no certainty
    return Cell(number(estimate.mean, 2), small="" if alike else interval(estimate, 2))


def resampled_part(found: Resampled | None, looks: Looks) -> Part | None:
    """How often, on how many images, how steadily; None where too little was tested."""
    if found is None:
        return None
    measure = found.measure
    bands = (
        "band: 95 % interval at each threshold"
        if len(found.profiles) <= _MOST_BANDS
        else "bands are left out with so many arms"
    )
    return Part(
        "Beside the verdicts",
        f"{measure.label} with seeds and the {found.patients} test patients drawn again "
        f"{DRAWS:,} times. The curves: the share of {found.images} test images that reach a score, "
        f"{bands}. The rows and the table: the probability that one training of an arm is better "
        f"than one of {found.baseline} on one patient, ties counting half (0.5: neither), how "
        "often the arm has the best mean, and its rank. They describe; verdicts are above, "
        "corrected for the number of arms, these are not.",
        figures=(
            (profile_figure(found, looks), f"Share of images by threshold of {measure.name}"),
            (improvement_figure(found, looks), f"Probability of improvement on {found.baseline}"),
        ),
        sheet=chances_sheet(found, looks),
    )
