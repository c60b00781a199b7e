"""One objection to a conclusion."""

from dataclasses import dataclass

MATTERS = 0.01
"""The smallest difference of a score between 0 and 1 that a study should be able to show: one Dice
point. Papers of this field seldom claim less."""


@dataclass(frozen=True)
class Caveat:
    """One objection to a conclusion, raised by the study's own numbers."""

    title: str
    """`too few seeds`: what the first screen says."""
    text: str
    """The objection with its numbers."""
