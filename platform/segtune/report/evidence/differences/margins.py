"""Against a margin: whether an arm is as good as the baseline, or no worse.

That a difference cannot be told is no evidence that there is none. What is evidence: an arm is no
worse within a margin m where the difference is shown to be above -m in the direction of the score,
and as good where it is shown to be between -m and m (two one-sided tests). Each one-sided test is
at 5 %, so of 100 studies whose arms differ by exactly m some 5 are told wrongly, as many as of
true nulls by the test of a difference. The test at 5 % is the same as asking whether a 90 %
interval lies within the margin.

Each of both kinds of verdict is a family of its own, with Holm's correction over the arms. An arm
that is as good is no worse as well, so at a difference of -m the two together are told wrongly no
more often than "no worse" alone.

Sources: two one-sided tests: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15
(1987), 657-680; Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority (2010),
chapters 1 and 3; correction: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from segtune.report.evidence.estimate import Estimate, Tested
from segtune.report.evidence.stats import ALPHA, holm
from segtune.report.page.text import count
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows
from segtune.study.definition import MARGIN_BEFORE


@dataclass(frozen=True)
class AgainstMargin:
    """A difference held against a margin."""

    margin: float
    bounds: Estimate
    """The two-sided 90 % interval of all arms together: Bonferroni's correction."""
    worse: float
    """How much worse the arm is at most, by the end of `bounds`; negative where it is better."""
    p_no_worse: float
    """Against being worse by the margin or more, after Holm's correction."""
    p_as_good: float
    """Against a difference of the margin or more to either side, after Holm's correction."""

    @property
    def no_worse(self) -> bool:
        """Whether the arm is shown to be no worse."""
        return self.p_no_worse < ALPHA

    @property
    def as_good(self) -> bool:
        """Whether the arm is shown to be as good."""
        return self.p_as_good < ALPHA


def hold_against(
    margin: float, found: Sequence[Tested | None], higher_is_better: bool
) -> tuple[AgainstMargin | None, ...]:
    """Hold the differences of all arms against a margin.

    Args:
        margin: in the unit of the score, above 0.
        found: of each arm; None where there is no test, which no other arm is corrected for.
        higher_is_better: direction of the score.

    Returns:
        One for each arm; None where there is no test.
    """
    above = [None if c is None else c.p_above(-margin) for c in found]
    below = [None if c is None else c.p_below(margin) for c in found]
    both = [
        None if p is None or q is None else max(p, q) for p, q in zip(above, below, strict=True)
    ]
    no_worse, as_good = holm(above if higher_is_better else below), holm(both)
    alpha = 2 * ALPHA / max(1, sum(c is not None for c in found))
    held: list[AgainstMargin | None] = []
    for c, p, q in zip(found, no_worse, as_good, strict=True):
        if c is None or p is None or q is None:
            held.append(None)
            continue
        bounds = c.interval(alpha)
        assert bounds.low is not None
        assert bounds.high is not None
        worse = -bounds.low if higher_is_better else bounds.high
        held.append(AgainstMargin(margin, bounds, worse, p, q))
    return tuple(held)


def margin_text(margin: float, measure: Measure) -> str:
    """`0.01`, `1 px`."""
    return f"{margin:g} {measure.unit}".strip()


def at_most(held: AgainstMargin, measure: Measure) -> str:
    """`at most 0.021 worse`, rounded up; empty where that says nothing, since no score between 0
    and 1 can be so much worse."""
    if not 0 < held.worse < (1 if measure.is_fraction else math.inf):
        return ""
    scale = 10**measure.digits
    # What is a whole number of digits but for rounding must not become one more.
    most = math.ceil(round(held.worse * scale, 6)) / scale
    return f"at most {most:.{measure.digits}f}{f' {measure.unit}' if measure.unit else ''} worse"


def changed_margins(rows: StudyRows) -> tuple[str, bool]:
    """A sentence that says how the margin was changed, and whether results were there by then.

    Empty where it never was.
    """
    before = rows.definition.get(MARGIN_BEFORE) or []
    if not before:
        return "", False
    ended, clauses, seen = rows.trials["ended"], [], False
    after = [*(one["margin"] for one in before[1:]), rows.margin]
    for one, now in zip(before, after, strict=True):
        until = pd.Timestamp(one["until"])
        known = int((ended <= until).sum())
        seen = seen or known > 0
        clauses.append(
            f"on {until:%Y-%m-%d %H:%M} UTC, when {count(known, 'trial')} had ended, from "
            f"{_words(one['margin'])} to {_words(now)}"
        )
    return f"The margin was changed after the study had begun: {'; '.join(clauses)}.", seen


def _words(margin: object) -> str:
    assert isinstance(margin, dict)
    return ", ".join(f"{metric} {value:g}" for metric, value in margin.items()) or "none"
