"""Verdicts: what the tests say of each arm beside all others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segtune.report.evidence.differences.margins import AgainstMargin, hold_against
from segtune.report.evidence.estimate import Estimate, Tested
from segtune.report.evidence.stats import ALPHA, holm

Word = Literal["better", "worse", "as good", "no worse", "cannot tell"]
DIFFERENT = ("better", "worse")
"""Verdicts that state a difference."""
IDENTICAL = "(identical scores)"
"""Why one cannot tell an arm that scored the same everywhere: what it changes did nothing."""
SIGNS = {"better": "*", "worse": "\u2020", "as good": "\u2248", "no worse": "\u2265"}
"""Verdict -> its sign in a table; the last two are within a margin."""


@dataclass(frozen=True)
class ArmVerdict:
    """What may be said of an arm."""

    word: Word
    why: str
    """Where one cannot tell, the reason: `with n = 2 seeds`; else the data that it rests on."""
    note: str = ""
    """What a margin adds: `within 0.01`, `but within 0.01`, `at most 0.021 worse`."""

    @property
    def text(self) -> str:
        """The word, the reason where one cannot tell, and what a margin adds."""
        words = f"{self.word} {self.why}" if self.word == "cannot tell" else self.word
        if not self.note:
            return words
        return f"{words} {self.note}" if self.note.startswith("within") else f"{words}, {self.note}"


@dataclass(frozen=True)
class Judged:
    """What the tests say of one arm beside all others."""

    word: Word
    interval: Estimate | None
    """Of the difference: with 95 % the intervals of all arms hold together (Bonferroni). None where
    there is no test."""
    p_holm: float | None
    """Of a difference, after Holm's correction; None where there is no test."""
    held: AgainstMargin | None


def judge(
    found: Sequence[Tested | None], margin: float | None, higher_is_better: bool
) -> tuple[Judged, ...]:
    """The verdict on each arm, from all arms' differences in one measure.

    A difference that is shown stands first, however small; then "as good", then "no worse".

    Args:
        found: of each arm; None where there is no test.
        margin: the largest difference that does not matter; None leaves these two out.
        higher_is_better: direction of the measure.
    """
    corrected = holm([None if c is None else c.p for c in found])
    alpha = ALPHA / max(1, sum(c is not None for c in found))
    nothing: tuple[AgainstMargin | None, ...] = (None,) * len(found)
    held = nothing if margin is None else hold_against(margin, found, higher_is_better)
    judged = []
    for c, p, h in zip(found, corrected, held, strict=True):
        word: Word = "cannot tell"
        if c is not None and p is not None and p < ALPHA:
            word = "better" if (c.mean > 0) == higher_is_better else "worse"
        elif h is not None and h.no_worse:
            word = "as good" if h.as_good else "no worse"
        judged.append(Judged(word, None if c is None else c.interval(alpha), p, h))
    return tuple(judged)
