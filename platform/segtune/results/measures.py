"""Which number stands for a trial: one protocol and size per metric, at the best epoch on val."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.results.study_rows import MACRO, POOLED, StudyRows

_NAMES = {"dice": "Dice", "iou": "IoU", "assd": "ASSD", "hd": "HD", "hd95": "HD95", "nsd": "NSD"}
_HIGHER_IS_BETTER = frozenset({"dice", "iou", "nsd"})
_FRACTIONS = frozenset({"dice", "iou", "nsd"})
_DISTANCES = frozenset({"assd", "hd", "hd95"})
STACKED = "stacked"
_DEFINITIONS = {
    "dice": "Twice the overlap over the sum of both areas; 1 is perfect.",
    "iou": "Overlap over union; 1 is perfect.",
    "assd": "Average symmetric surface distance: how far the two outlines are apart on average.",
    "hd95": "95th percentile of the distances between the two outlines.",
}
DEFAULT_PROTOCOLS = ("per_image", "per_class_px", "pooled", "tolerance_1pct")
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
    def definition(self) -> str:
        """What the metric computes, in one sentence; empty for a metric that is not known here."""
        return _DEFINITIONS.get(self.metric, "")

    @property
    def unit(self) -> str:
        """`px` or, where the protocol ends so, `mm`; empty for what is no distance."""
        if self.metric not in _DISTANCES:
            return ""
        return "mm" if self.protocol.endswith("mm") else "px"

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


def choose_measure(rows: StudyRows, metric: str, split: str) -> Measure | None:
    """The protocol and size at which a metric is shown; None where it was not computed yet.

    The default protocol at the native size. Other protocols (a paper's own, say) and other sizes
    (how a network fares on larger masks) stand beside it in the tables; neither is averaged with
    it, and neither takes its place because it is larger or comes first by name.
    """
    there = _of(rows, metric, split, MACRO)
    if there.empty:
        return None
    order = {p: i for i, p in enumerate(DEFAULT_PROTOCOLS)}
    protocol = min(
        (str(p) for p in there["protocol"].unique()), key=lambda p: (order.get(p, len(order)), p)
    )
    return Measure(metric, protocol, _size(rows, there[there["protocol"] == protocol]))


def stacked_dice(rows: StudyRows, split: str) -> Measure | None:
    """Dice of an image's classes laid side by side, as D2GPLand and SRFT-GaLore report it."""
    there = _of(rows, "dice", split, POOLED)
    there = there[there["protocol"] == STACKED]
    return None if there.empty else Measure("dice", STACKED, _size(rows, there))


def select(frame: pd.DataFrame, measure: Measure, split: str) -> pd.DataFrame:
    """Rows of `scores` or `images` that a measure names."""
    return frame[
        (frame["metric"] == measure.metric)
        & (frame["protocol"] == measure.protocol)
        & (frame["resolution"] == measure.resolution)
        & (frame["split"] == split)
    ]


def best_epochs(rows: StudyRows) -> Mapping[str, int]:
    """Per trial: the epoch that was best on val.

    As recorded with the trial; of a trial that has not recorded one, the epoch of the best macro
    value so far of the study's first objective (the first of equals).
    """
    best: dict[str, int] = {}
    objective = rows.selects
    measure = choose_measure(rows, objective.metric, "val")
    if measure is not None:
        val = select(rows.scores, measure, "val")
        val = val[(val["class_name"] == MACRO) & val["value"].notna()].sort_values("epoch")
        # Stable: of equal values the earliest epoch stays first.
        ranked = val.sort_values("value", ascending=not objective.maximize, kind="stable")
        best.update(_by_trial(ranked.drop_duplicates("trial_id"), "epoch"))
    best.update(_by_trial(rows.trials[rows.trials["best_epoch"].notna()], "best_epoch"))
    return best


def _of(rows: StudyRows, metric: str, split: str, class_name: str) -> pd.DataFrame:
    scored = rows.scored
    return scored[
        (scored["metric"] == metric)
        & (scored["split"] == split)
        & (scored["class_name"] == class_name)
    ]


def _size(rows: StudyRows, there: pd.DataFrame) -> int:
    """The native size where it is there, else the largest."""
    sizes, native = {int(r) for r in there["resolution"].unique()}, rows.native_size
    return native if native is not None and native in sizes else max(sizes)


def _by_trial(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(t): int(v) for t, v in zip(frame["trial_id"], frame[column], strict=True)}
