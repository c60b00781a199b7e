"""The section of a report about the same arms on several data sets."""

from collections.abc import Sequence

from segtune.report.evidence.across.pooled import MIN_SETS, Pooled
from segtune.report.evidence.across.ranks import Ranks
from segtune.report.evidence.across.same import Across, ArmAcross
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.evidence.estimate import Estimate
from segtune.report.page.look import (
    MUTED,
    Figure,
    Look,
    Looks,
    arrowheads,
    error_bar,
    faded,
    figure,
    named_rows,
    plain,
    reach,
)
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, raw_estimate, raw_header_of
from segtune.report.page.text import (
    DASH,
    MANY_ARMS,
    count,
    interval,
    listing,
    number,
    p_text,
)

_ALL = "over data sets"


def across_answer(found: Across) -> tuple[str, ...]:
    """What holds over the data sets, in a sentence for each kind of verdict."""
    sentences = []
    kinds = dict.fromkeys((arm.judged.word, _tested(arm)) for arm in found.arms)
    for word, tested in kinds:
        of_kind = [a for a in found.arms if (a.judged.word, _tested(a)) == (word, tested)]
        arms = [f"{a.arm}{_shown(a, found)}" for a in of_kind]
        over = _over(tested, found)
        if word == "cannot tell":
            sentences.append(
                f"{over} one cannot tell {listing(arms)} from {found.baseline} in "
                f"{found.measure.name}."
            )
            continue
        verb, than = ("is" if len(arms) == 1 else "are"), ("as" if word == "as good" else "than")
        within = "" if word in ("better", "worse") else f" within {_margin(found)}"
        sentences.append(
            f"{over} {listing(arms)} {verb} {word} {than} {found.baseline}{within} in "
            f"{found.measure.name}."
        )
    if len(found.studies) < 5:
        sentences.append(
            f"{len(found.studies)} data sets say little about others: these intervals are wide "
            "for a reason."
        )
    return tuple(sentences)


def across_part(found: Across, looks: Looks, sentences: tuple[str, ...] = ()) -> Part:
    """Each arm's difference on every data set and over them, with a table.

    Args:
        found: what is shown.
        looks: of the arms.
        sentences: what else differs between the studies.
    """
    margin = "" if found.margin is None else f" The margin of all of them is {_margin(found)}."
    arms = found.arms[:MANY_ARMS]
    more = len(found.arms) - len(arms)
    return Part(
        "Differences by data set",
        f"Arm minus {found.baseline} in {found.measure.name}: on each data set with its own 95 % "
        "interval over seeds and patients, and over data sets (below): a random-effects "
        "meta-analysis, whose interval is for the mean over data sets like these, and holds for "
        "all arms together (Bonferroni). Another data set: where its truth lies with 95 %. Between "
        f"sets: standard deviation of the truths from set to set.{margin}"
        f"{f' Drawn: the first {len(arms)} arms.' if more else ''}",
        figures=tuple(
            (_forest(arm, found, looks[arm.arm]), f"Difference of {arm.arm} by data set")
            for arm in arms
        ),
        sheet=_sheet(found, looks),
        sentences=sentences,
    )


def ranks_part(ranks: Ranks | None, looks: Looks) -> Part | None:
    """Average ranks; None for fewer than 3 data sets or arms."""
    if ranks is None:
        return None
    rows = tuple(
        (Cell(arm, color=looks[arm].color, left=True), Cell(f"{rank:.2f}"))
        for arm, rank in ranks.arms
    )
    return Part(
        "Average ranks",
        f"Rank of each arm by its mean score, averaged over {ranks.sets} data sets; 1 is best. "
        f"Ranks that are farther apart than {ranks.critical:.2f} differ (Nemenyi, 5 %); of all "
        f"arms being alike: {p_text(ranks.p)} (Friedman, as Iman and Davenport corrected it).",
        sheet=Sheet(
            "ranks", ("arm", "average rank"), rows, frozenset(), ("arm", "rank"), ranks.arms
        ),
    )


def _tested(arm: ArmAcross) -> int:
    """Data sets on which the arm has a test: what stands over data sets rests on these alone."""
    return sum(d.crossed is not None for d in arm.by_set.values())


def _over(tested: int, found: Across) -> str:
    every = count(len(found.studies), "data set")
    if tested == len(found.studies):
        return f"Over {every}"
    if tested < MIN_SETS:
        return f"With a test on {tested or 'none'} of {every}, where {MIN_SETS} are needed,"
    return f"Over {tested} of {every} (the others have no test)"


def _margin(found: Across) -> str:
    return margin_text(found.margin or 0.0, found.measure)


def _shown(arm: ArmAcross, found: Across) -> str:
    estimate = arm.judged.interval
    if estimate is None:
        return ""
    digits = found.measure.digits
    return f" ({number(estimate.mean, digits, sign=True)} {interval(estimate, digits, sign=True)})"


def _sheet(found: Across, looks: Looks) -> Sheet:
    digits = found.measure.digits
    rows, raw = [], []
    for arm in found.arms:
        estimate, pooled = arm.judged.interval, arm.pooled
        better, worse, neither = arm.counts
        mean = Cell(DASH)
        if estimate is not None:
            ends = interval(estimate, digits, sign=True)
            mean = Cell(number(estimate.mean, digits, sign=True), small=ends)
        p = arm.judged.p_holm
        rows.append(
            (
                Cell(arm.arm, color=looks[arm.arm].color, left=True),
                mean,
                Cell(_another(pooled, digits)),
                Cell(DASH if pooled is None else number(pooled.between, digits)),
                Cell(f"{better} / {worse} / {neither}"),
                Cell(
                    arm.judged.word,
                    small="" if p is None else p_text(p),
                    left=True,
                    strong=arm.judged.word in SIGNS,
                ),
            )
        )
        raw.append((arm.arm, *raw_estimate(estimate), *_ends(pooled), better, worse, neither, p,
                    arm.judged.word))  # fmt: skip
    return Sheet(
        "across",
        ("arm", "over data sets", "another data set", "between sets", "better / worse / neither",
         "verdict"),
        tuple(rows),
        frozenset(),
        ("arm", *raw_header_of("pooled"), "another_low", "another_high", "between", "better",
         "worse", "neither", "p_holm", "verdict"),
        tuple(raw),
    )  # fmt: skip


def _another(pooled: Pooled | None, digits: int) -> str:
    if pooled is None or pooled.another is None:
        return DASH
    return interval(pooled.another, digits, sign=True)


def _ends(pooled: Pooled | None) -> tuple[float | None, ...]:
    if pooled is None:
        return (None, None, None)
    another = pooled.another
    ends = (None, None) if another is None else (another.low, another.high)
    return (*ends, pooled.between)


def _forest(arm: ArmAcross, found: Across, look: Look) -> Figure:
    """A row for each data set, and one for all of them in bold."""
    digits = found.measure.digits
    shown: list[tuple[str, Estimate]] = [(name, d.shown) for name, d in arm.by_set.items()]
    if arm.judged.interval is not None:
        shown.append((_ALL, arm.judged.interval))
    row = {name: len(shown) - 1 - i for i, (name, _) in enumerate(shown)}
    ends = reach([estimate for _, estimate in shown])
    traces = []
    for name, estimate in shown:
        strong, text = name == _ALL, interval(estimate, digits, sign=True)
        color = look.color if strong else faded(look.color, 0.75)
        traces.append(
            {"type": "scatter", "x": [estimate.mean], "y": [row[name]], "mode": "markers",
             "name": plain(name), "error_x": error_bar(estimate, thickness=2, width=5),
             "marker": {"color": color, "symbol": "diamond" if strong else "square",
                        "size": 12 if strong else 8},
             "hovertemplate": f"{plain(name)}<br>"
                              f"{number(estimate.mean, digits, sign=True)} {text}<extra></extra>"}
        )  # fmt: skip
        traces += arrowheads(estimate, row[name], ends, color)
    traces.append(
        {"type": "scatter", "x": list(ends), "y": [0.5, 0.5], "mode": "lines",
         "line": {"color": faded(MUTED, 0.4), "width": 1}, "hoverinfo": "skip"}
    )  # fmt: skip
    better = "right is better" if found.measure.higher_is_better else "left is better"
    title = f"{found.measure.label}: {plain(arm.arm)} minus {plain(found.baseline)}<br>{better}"
    return figure(
        traces,
        height=116 + 30 * len(shown),
        span="half",
        xaxis={"title": {"text": title}, "zeroline": True, "zerolinewidth": 1.5, "nticks": 6,
               "range": list(ends)},
        yaxis=named_rows(row),
    )  # fmt: skip


def names_of(found: Across) -> Sequence[str]:
    """The baseline and the arms, in their order."""
    return [found.baseline, *(arm.arm for arm in found.arms)]
