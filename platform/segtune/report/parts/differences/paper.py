"""The table of differences as a paper prints it: four columns, for LaTeX."""

from collections.abc import Sequence

from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.evidence.estimate import Estimate
from segtune.report.page.files import latex_text, with_note
from segtune.report.page.text import count, range_text
from segtune.results.measures import Measure

_POINTS = 100
"""Scores between 0 and 1 are printed in hundredths."""


def paper_table(comparisons: Sequence[Comparison], label: str) -> str:
    """A `table` of arm, difference with interval, p and verdict; needs booktabs and siunitx.

    Args:
        comparisons: at least one, each with differences; a block of rows for each.
        label: of the table, after `tab:`.
    """
    lines = [
        "% needs \\usepackage{booktabs,siunitx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_caption(comparisons)}}}",
        f"\\label{{tab:{label}}}",
        "\\sisetup{retain-explicit-plus, table-format=1.3}",
        "\\begin{tabular}{llSl}",
        "\\toprule",
        "arm & difference [95\\,\\% interval] & {$p$} & verdict \\\\",
    ]
    several = len({c.baseline for c in comparisons}) > 1
    for comparison in comparisons:
        against = f", minus {latex_text(comparison.baseline)}" if several else ""
        lines += [
            "\\midrule",
            f"\\multicolumn{{4}}{{l}}{{\\emph{{{_head(comparison.measure)}{against}}}}} \\\\",
            *(_row(d, comparison.measure) for d in comparison.differences),
        ]
    lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}"]
    return with_note("\n".join(lines) + "\n")


def _head(measure: Measure) -> str:
    if measure.is_fraction:
        return f"{latex_text(measure.name)} $\\times\\,{_POINTS}$"
    return latex_text(measure.label)


def _row(d: Difference, measure: Measure) -> str:
    p = (
        "{--}"
        if d.p_holm is None
        else f"{d.p_holm:.3f}"
        if d.p_holm >= 0.001
        else "{$<$\\num{0.001}}"
    )
    verdict = latex_text(d.verdict.word + (f" {d.verdict.note}" if d.verdict.note else ""))
    bold = f"\\textbf{{{verdict}}}" if d.verdict.word in SIGNS else verdict
    return f"{latex_text(d.arm)} & {_estimate(d.shown, measure)} & {p} & {bold} \\\\"


def _estimate(estimate: Estimate, measure: Measure) -> str:
    factor, digits = (_POINTS, measure.digits - 2) if measure.is_fraction else (1, measure.digits)
    mean, low, high = (
        "" if v is None else f"\\num{{{factor * v:+.{digits}f}}}"
        for v in (estimate.mean, estimate.low, estimate.high)
    )
    return f"{mean} [{low}, {high}]" if low else mean


def _caption(comparisons: Sequence[Comparison]) -> str:
    first = comparisons[0]
    seeds = range_text([len(d.seeds) for d in first.differences], "paired seed")
    patients = max(d.patients for d in first.differences)
    tested = any(d.over_both is not None for d in first.differences)
    over = (
        f"seeds and patients ({seeds}, {count(patients, 'patient')})"
        if tested
        else f"seeds ({seeds})"
    )
    where = "the test split" if first.split == "test" else "the external set"
    alike = ", patients weighing alike" if first.weights == "patients" else ""
    several = len({c.baseline for c in comparisons}) > 1
    reference = "other arms" if several else first.baseline
    text = (
        f"Differences to {reference} on {where}{alike}, with 95 % intervals over {over}"
        f"{', which hold for all arms of a measure together (Bonferroni); p after Holm' * tested}."
    )
    return latex_text(text)
