"""Which number stands for a trial: one protocol and size per metric, at the best epoch on val."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.report.load import MACRO, POOLED, StudyRows

_NAMES = {"dice": "Dice", "iou": "IoU", "assd": "ASSD", "hd": "HD", "hd95": "HD95", "nsd": "NSD"}
_HIGHER_IS_BETTER = frozenset({"dice", "iou", "nsd"})
_FRACTIONS = frozenset({"dice", "iou", "nsd"})
_UNITS = ("px", "mm")
STACKED = "stacked"
_PREFERRED = ("per_image", "per_class_px")
"""Where a metric was computed by several protocols, the report shows the first of these."""


@dataclass(frozen=True)
class Measure:
    """One way to compute one metric."""

    metric: str
    protocol: str
    resolution: int
    """Side of the square masks compared, pixels."""

    @property
    def name(self) -> str:
        """The metric as it is written, without its unit."""
        return _NAMES.get(self.metric, self.metric)

    @property
    def unit(self) -> str:
        """`px` or `mm` where the protocol says so, else empty."""
        return next((u for u in _UNITS if self.protocol.endswith(f"_{u}")), "")

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric in _HIGHER_IS_BETTER

    @property
    def digits(self) -> int:
        """Decimals worth showing."""
        return 3 if self.is_fraction else 2

    @property
    def is_fraction(self) -> bool:
        """Whether its values lie between 0 and 1."""
        return self.metric in _FRACTIONS


def choose(rows: StudyRows, metric: str, split: str) -> Measure | None:
    """The protocol and size at which a metric is shown; None where it was not computed yet."""
    scores = rows.scores
    there = scores[
        (scores["metric"] == metric) & (scores["split"] == split) & (scores["class_name"] == MACRO)
    ]
    if there.empty:
        return None
    protocols = sorted(
        (str(p) for p in there["protocol"].unique()),
        key=lambda p: (_PREFERRED.index(p) if p in _PREFERRED else len(_PREFERRED), p),
    )
    of_protocol = there[there["protocol"] == protocols[0]]
    return Measure(metric, protocols[0], int(of_protocol["resolution"].max()))


def stacked_dice(rows: StudyRows, split: str) -> Measure | None:
    """Dice of an image's classes laid side by side, as D2GPLand and SRFT-GaLore report it."""
    scores = rows.scores
    there = scores[
        (scores["metric"] == "dice")
        & (scores["split"] == split)
        & (scores["class_name"] == POOLED)
        & (scores["protocol"] == STACKED)
    ]
    return None if there.empty else Measure("dice", STACKED, int(there["resolution"].max()))


def select(frame: pd.DataFrame, measure: Measure, split: str) -> pd.DataFrame:
    """Rows of `scores` or `images` that a measure names."""
    return frame[
        (frame["metric"] == measure.metric)
        & (frame["protocol"] == measure.protocol)
        & (frame["resolution"] == measure.resolution)
        & (frame["split"] == split)
    ]


def best_epochs(rows: StudyRows) -> dict[str, int]:
    """Per trial: the epoch that was best on val.

    As recorded with the trial; of a trial that has not recorded one, the epoch of the best macro
    value so far of the study's first objective (the first of equals).
    """
    best: dict[str, int] = {}
    objective = rows.objectives[0]
    measure = choose(rows, objective.metric, "val")
    if measure is not None:
        val = select(rows.scores, measure, "val")
        val = val[(val["class_name"] == MACRO) & val["value"].notna()].sort_values("epoch")
        # Stable: of equal values the earliest epoch stays first.
        ranked = val.sort_values("value", ascending=not objective.maximize, kind="stable")
        first = ranked.drop_duplicates("trial_id")
        best.update(_by_trial(first, "epoch"))
    best.update(_by_trial(rows.trials[rows.trials["best_epoch"].notna()], "best_epoch"))
    return best


def values(rows: StudyRows, measure: Measure, split: str) -> Mapping[tuple[str, str], float]:
    """(trial, class) -> value at the trial's best epoch on val; NaN is kept."""
    best = best_epochs(rows)
    found = select(rows.scores, measure, split)
    return {
        (str(trial), str(class_name)): float(value)
        for trial, epoch, class_name, value in zip(
            found["trial_id"], found["epoch"], found["class_name"], found["value"], strict=True
        )
        if best.get(str(trial)) == epoch
    }


def _by_trial(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(t): int(v) for t, v in zip(frame["trial_id"], frame[column], strict=True)}
