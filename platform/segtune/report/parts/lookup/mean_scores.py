"""A mean over seeds for each arm, by one protocol of one metric, and the table of many such."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from segtune.report.evidence.estimate import Estimate
from segtune.report.page.sheet import Cell, Raw, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.results.study_rows import MACRO, POOLED

FRACTION = "fraction"


@dataclass(frozen=True, kw_only=True)
class MeanScores:
    """One protocol of one metric, on one split, of masks of one size."""

    label: str
    protocol: str
    unit: str
    split: str
    resolution: str
    class_name: str
    """`macro`, or `pooled` where a protocol has one value for all classes."""
    of_arm: tuple[tuple[str, Estimate | None], ...]
    """Mean over seeds; None where no seed defines it."""

    @property
    def digits(self) -> int:
        """Decimals worth showing."""
        return 3 if self.unit == FRACTION else 2

    @property
    def metric(self) -> str:
        """The metric's label with its unit."""
        return self.label if self.unit == FRACTION else f"{self.label} ({self.unit})"


Scores = TypeVar("Scores", bound=MeanScores)


def of_all_classes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one protocol that stand for all classes: means over them, else the values that it
    has for all of them together."""
    means = rows[rows["class_name"] == MACRO]
    return means if len(means) else rows[rows["class_name"] == POOLED]


def scores_sheet(
    name: str,
    found: Sequence[Scores],
    *,
    columns: Iterable[tuple[str, Callable[[Scores], Cell]]],
    raw_columns: Iterable[tuple[str, Callable[[Scores], Raw]]],
) -> Sheet:
    """A row for each of the scores, a column for each arm.

    Args:
        name: of the table's files.
        found: at least one; all of the same arms.
        columns: heading and cell of what stands before the arms.
        raw_columns: the same of the exported numbers.
    """
    headings, cells = zip(*columns, strict=True)
    raw_headings, raws = zip(*raw_columns, strict=True)
    arms = [arm for arm, _ in found[0].of_arm]
    seeds = max((e.n for scores in found for _, e in scores.of_arm if e is not None), default=0)
    return Sheet(
        name,
        (*headings, *arms),
        tuple(
            (
                *(cell(scores) for cell in cells),
                *(estimate_cell(value, seeds, scores.digits) for _, value in scores.of_arm),
            )
            for scores in found
        ),
        frozenset(),
        (*raw_headings, *(column for arm in arms for column in raw_header_of(arm))),
        tuple(
            (
                *(raw(scores) for raw in raws),
                *(number for _, value in scores.of_arm for number in raw_estimate(value)),
            )
            for scores in found
        ),
        legend="Mean over seeds with its 95 % t interval.",
    )


def cell_of(field: str) -> Callable[[MeanScores], Cell]:
    """The cell of a field, aligned as words are."""
    return lambda scores: Cell(str(getattr(scores, field)), left=True)


def raw_of(field: str) -> Callable[[MeanScores], Raw]:
    """The exported value of a field."""
    return lambda scores: str(getattr(scores, field))
