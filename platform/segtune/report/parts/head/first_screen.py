"""The first screen: every arm in a line, with its difference, its verdict and what it costs."""

from segtune.report.evidence.differences.compare import Difference
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.evidence.failures.rare_failures import unseen
from segtune.report.evidence.overview import ArmLine, Overview
from segtune.report.evidence.stats import MIN_SEEDS
from segtune.report.page.look import (
    Figure,
    Looks,
    arrowheads,
    error_bar,
    figure,
    named_rows,
    plain,
    reach,
)
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Raw, Sheet
from segtune.report.page.text import (
    DASH,
    MANY_ARMS,
    count,
    interval,
    number,
    p_text,
    parameters,
    percent,
    range_text,
    times,
)

SHOWN = 12
"""Rows of the table before the others are folded."""
_ROW, _SMALLEST_ROW = 22, 13
"""Height of an arm in the forest plot, pixels; of more than 40 arms."""


def first_screen(found: Overview | None, looks: Looks) -> Part | None:
    """All arms against the baseline; of many a sorted forest plot as well."""
    if found is None:
        return None
    many = len(found.compared) > MANY_ARMS
    return Part(
        "At a glance",
        _caption(found),
        figures=((_forest(found, looks), _alt(found)),) if many else (),
        sheet=_sheet(found, looks),
    )


def _caption(found: Overview) -> str:
    compared, name = found.compared, found.measure.name
    if not compared:
        return f"No arm shares a finished, tested seed with {found.baseline} yet."
    seeds = [len(d.seeds) for d in compared]
    tested = any(d.over_both is not None for d in compared)
    patients = max(d.patients for d in compared)
    over = f" and {count(patients, 'patient')}" if tested else ""
    kind = "over seeds and patients" if tested else "over seeds alone"
    arms = sum(d.over_both is not None for d in compared)
    together = (
        f" Intervals hold for all {arms} arms together (Bonferroni), p is after Holm's correction, "
        "which is finer."
        if arms > 1
        else ""
    )
    memory = (
        "memory: weights, gradients and optimizer state (these trials ran on a CPU)"
        if found.on_cpu
        else "memory: peak on the device"
    )
    seconds = "time: mean seconds per step"
    if found.side_by_side:
        seconds += (
            " (no interval: trials ran side by side on a CPU and took time from each other, "
            "which more seeds do not average out)"
        )
    fewest = min(seeds)
    rare = (
        f" A failure of one training in ten shows in no seed of {fewest} in "
        f"{percent(unseen(fewest))} of studies: a verdict is about trainings like these."
        if fewest >= MIN_SEEDS and any(d.verdict.word in SIGNS for d in compared)
        else ""
    )
    return (
        f"Mean {name} on test, and its difference to {found.baseline} with a 95 % interval {kind}; "
        f"{range_text(seeds, 'paired seed')}{over}.{together} Times the baseline's, with a "
        f"95 % interval over seeds: {memory}; {seconds}.{rare}"
    )


def _alt(found: Overview) -> str:
    return f"Differences to {found.baseline} in {found.measure.label}, sorted, by arm"


def _sheet(found: Overview, looks: Looks) -> Sheet:
    rows = [_cells(line, found, looks) for line in found.lines]
    return Sheet(
        "overview",
        ("arm", found.measure.heading, "difference", "verdict", "memory", "time", "trains"),
        tuple(rows),
        frozenset(i for i, line in enumerate(found.lines) if line.is_baseline),
        (
            "arm", found.measure.metric, "difference", "low", "high", "verdict", "doubt",
            "memory_ratio", "memory_low", "memory_high", "time_ratio", "time_low", "time_high",
            "trainable_parameters",
        ),
        tuple(_numbers(line) for line in found.lines),
        shown=SHOWN,
    )  # fmt: skip


def _cells(line: ArmLine, found: Overview, looks: Looks) -> tuple[Cell, ...]:
    digits = found.measure.digits
    own = line.is_baseline
    score = DASH if line.score is None else number(line.score.mean, digits)
    (memory, memory_ends), (seconds, seconds_ends) = times(line.memory), times(line.seconds)
    unit = "" if own else "\u00d7"
    return (
        Cell(line.arm + (" (baseline)" if own else ""), color=looks[line.arm].color, left=True),
        Cell(score),
        Cell(DASH) if line.difference is None else _difference(line.difference, digits),
        Cell(
            line.verdict or DASH,
            small=_tested(line),
            lower=line.note,
            left=True,
            strong=line.verdict in SIGNS,
        ),
        Cell(memory if line.memory is None else f"{unit}{memory}", small=memory_ends),
        Cell(seconds if line.seconds is None else f"{unit}{seconds}", small=seconds_ends),
        Cell(DASH if line.trainable is None else parameters(line.trainable)),
    )


def _tested(line: ArmLine) -> str:
    """The p value, where a test was made, and what else belongs to the verdict."""
    d = line.difference
    p = "" if d is None or d.p_verdict is None else p_text(d.p_verdict)
    return ", ".join(filter(None, [line.why, p]))


def _difference(d: Difference, digits: int) -> Cell:
    return Cell(number(d.shown.mean, digits, sign=True), small=interval(d.shown, digits, sign=True))


def _numbers(line: ArmLine) -> tuple[Raw, ...]:
    shown = None if line.difference is None else line.difference.shown
    return (
        line.arm,
        None if line.score is None else line.score.mean,
        *((None,) * 3 if shown is None else (shown.mean, shown.low, shown.high)),
        line.verdict,
        line.note,
        *((None,) * 3 if (m := line.memory) is None else (m.mean, m.low, m.high)),
        *((None,) * 3 if (s := line.seconds) is None else (s.mean, s.low, s.high)),
        None if line.trainable is None else round(1e6 * line.trainable),
    )


def _forest(found: Overview, looks: Looks) -> Figure:
    """One interval for each arm, the best difference on top."""
    compared, measure = found.compared, found.measure
    row = {d.arm: len(compared) - 1 - i for i, d in enumerate(compared)}
    ends = reach([d.shown for d in compared])
    traces = []
    for d in compared:
        look, label = looks[d.arm], plain(d.arm)
        shown = interval(d.shown, measure.digits, sign=True)
        traces.append(
            {"type": "scatter", "x": [d.shown.mean], "y": [row[d.arm]], "mode": "markers",
             "name": label, "error_x": error_bar(d.shown, thickness=2, width=3),
             "marker": {"color": look.color, "symbol": look.symbol, "size": 8},
             "hovertemplate": f"{label}: {d.verdict.word}<br>"
                              f"{number(d.shown.mean, measure.digits, sign=True)} {shown}"
                              "<extra></extra>"}
        )  # fmt: skip
        traces += arrowheads(d.shown, row[d.arm], ends, look.color)
    height = _ROW if len(compared) <= 40 else _SMALLEST_ROW
    better = "right is better" if measure.higher_is_better else "left is better"
    names = named_rows(row)
    title = f"{measure.heading}: arm minus {plain(found.baseline)}<br>{better}"
    return figure(
        traces,
        height=92 + height * len(compared),
        xaxis={"title": {"text": title}, "zeroline": True, "zerolinewidth": 1.5, "nticks": 6,
               "range": ends},
        yaxis=names | {"tickfont": {"size": 12 if height == _ROW else 10}},
    )  # fmt: skip
