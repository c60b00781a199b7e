"""Which number stands for a trial: one protocol and size per metric, at the best epoch on val."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.results.study_rows import MACRO, POOLED, StudyRows

STACKED = "stacked"
PLAIN = "per_image"
"""The protocol that a heading need not name: overlaps of masks have no other definition."""
FRACTION = "fraction"
"""The unit of what lies between 0 and 1."""


@dataclass(frozen=True)
class Measure:
    """One way to compute one metric."""

    metric: str
    protocol: str
    resolution: str
    """Of the masks compared: `128x192`, height first, or `image` for each image's own size."""
    direction: str = "maximize"
    """Which values are better: `maximize` or `minimize`."""
    unit: str = ""
    """`px`, `mm` or another; empty for a fraction."""
    name: str = ""
    """The metric as it is written, without its unit."""
    is_fraction: bool = False
    """Whether its values lie between 0 and 1."""
    definition: str = ""
    """What the metric computes, in one sentence; empty where the study does not say."""

    @property
    def masks(self) -> str:
        """Size of the masks compared, as it is written."""
        height, by, width = self.resolution.partition("x")
        return f"{height} x {width} pixels" if by else "each image's own size"

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def heading(self) -> str:
        """The same, and the protocol where a metric of this name may be computed otherwise."""
        return self.label if self.protocol in ("", PLAIN) else f"{self.label}, {self.protocol}"

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.direction == "maximize"

    @property
    def digits(self) -> int:
        """Decimals worth showing."""
        return 3 if self.is_fraction else 2


def choose_measure(rows: StudyRows, metric: str, split: str) -> Measure | None:
    """The protocol and size at which a metric is shown; None where it was not computed yet.

    The default protocol at the native size. Other protocols (a paper's own, say) and other sizes
    (how a network fares on larger masks) stand beside it in the tables; neither is averaged with
    it, and neither takes its place because it is larger or comes first by name.
    """
    there = _of(rows, metric, split, MACRO)
    if there.empty:
        return None
    kind = rows.all_score_kinds.get(metric)
    protocol = None if kind is None else kind.protocol
    if protocol not in set(there["protocol"]):  # a training writes the main one first
        protocol = there["protocol"].iloc[0]
    return _measure(rows, there[there["protocol"] == protocol])


def stacked_dice(rows: StudyRows, split: str) -> Measure | None:
    """Dice of an image's classes laid side by side, as D2GPLand and SRFT-GaLore report it."""
    there = _of(rows, "dice", split, POOLED)
    there = there[there["protocol"] == STACKED]
    return None if there.empty else _measure(rows, there)


def selecting_measure(rows: StudyRows) -> tuple[Measure, str] | None:
    """What chooses the best epoch: a measure on val, and the class whose value counts.

    As `study.json` says; where it does not, the macro value of the first objective that is a score.
    None where nothing of it was scored yet.
    """
    selection = rows.selection
    if selection is None:
        measure = choose_measure(rows, rows.first_score.metric, "val")
        return None if measure is None else (measure, MACRO)
    there = _of(rows, selection.metric, "val", selection.class_name)
    there = there[there["protocol"] == selection.protocol]
    return None if there.empty else (_measure(rows, there), selection.class_name)


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

    As recorded with the trial; of a trial that has not recorded one, the best epoch so far by what
    chooses it (the first of equals).
    """
    best: dict[str, int] = {}
    if (selecting := selecting_measure(rows)) is not None:
        measure, class_name = selecting
        val = select(rows.scores, measure, "val")
        val = val[(val["class_name"] == class_name) & val["value"].notna()].sort_values("epoch")
        # Stable: of equal values the earliest epoch stays first.
        ranked = val.sort_values("value", ascending=not measure.higher_is_better, kind="stable")
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


def _measure(rows: StudyRows, there: pd.DataFrame) -> Measure:
    """One metric by one protocol, at the native resolution where it is there, else the largest."""
    row = there.iloc[0]
    is_fraction = row["unit"] == FRACTION
    kind = rows.all_score_kinds.get(str(row["metric"]))
    sizes, native = {str(r) for r in there["resolution"].unique()}, rows.native_resolution
    return Measure(
        metric=str(row["metric"]),
        protocol=str(row["protocol"]),
        resolution=native if native is not None and native in sizes else max(sizes, key=pixels),
        direction=str(row["direction"]),
        unit="" if is_fraction else str(row["unit"]),
        name=str(row["label"]),
        is_fraction=is_fraction,
        definition="" if kind is None else kind.about,
    )


def height(resolution: str) -> int | None:
    """Height of the masks, pixels; None for each image's own size."""
    first, by, _ = resolution.partition("x")
    return int(first) if by else None


def pixels(resolution: str) -> int:
    """How many pixels a resolution has; that of each image's own size counts as none."""
    height, by, width = resolution.partition("x")
    return int(height) * int(width) if by else 0


def _by_trial(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(t): int(v) for t, v in zip(frame["trial_id"], frame[column], strict=True)}
