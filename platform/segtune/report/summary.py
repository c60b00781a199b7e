"""Per arm: what it scores on the test split, over seeds and over patients."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segtune.report.patients import PatientInterval, bootstrap, by_patient
from segtune.report.stats import Estimate, t_interval
from segtune.report.text import changes_text
from segtune.results.images import ImageScores, image_scores
from segtune.results.measures import Measure, choose, stacked_dice, values
from segtune.results.study_rows import MACRO, POOLED, StudyRows

METRICS = ("dice", "assd", "iou", "hd95")
PER_CLASS = "dice"


@dataclass(frozen=True)
class Column:
    """One number of the summary."""

    measure: Measure
    class_name: str

    @property
    def key(self) -> str:
        """Name in the exported table."""
        return f"{self.measure.metric}_{self.class_name}"

    @property
    def label(self) -> str:
        """Heading."""
        if self.class_name == MACRO:
            return self.measure.label
        if self.class_name == POOLED:
            return f"{self.measure.label}, {self.measure.protocol}"
        return f"{self.measure.label}, {self.class_name}"


@dataclass(frozen=True)
class ArmScores:
    """One arm of the summary."""

    arm: str
    is_baseline: bool
    changes: str
    """Against the baseline, as text."""
    seeds: tuple[int, ...]
    """Those whose trial finished."""
    planned: int
    values: Mapping[str, Estimate]
    """Column key -> mean over seeds; without the columns that no seed defines."""
    patients: Mapping[str, PatientInterval]
    """Column key -> the same mean with its interval over test patients; without the columns of
    which no image keeps a score, and where there is one patient."""
    left_out: Mapping[str, int]
    """Status -> trials that are in no mean: running, pruned, failed, cancelled, dirty."""


@dataclass(frozen=True)
class Summary:
    """The scores of all arms."""

    split: str
    columns: tuple[Column, ...]
    arms: tuple[ArmScores, ...]


def summarise(rows: StudyRows, split: str = "test") -> Summary:
    """Mean and interval over the seeds of each arm's finished trials.

    An arm without a finished trial keeps its row: that it is missing is part of the result.
    """
    shown = columns(rows, split)
    found = {c.measure: values(rows, c.measure, split) for c in shown}
    images = {m: image_scores(rows, m, split) for m in found}
    planned = len(rows.definition.get("seeds") or [])
    arms = []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        estimates = {}
        for column in shown:
            numbers = found[column.measure]
            of_arm = [numbers.get((t, column.class_name)) for t in finished["trial_id"]]
            estimate = t_interval([v for v in of_arm if v is not None])
            if estimate is not None:
                estimates[column.key] = estimate
        others = rows.of("arm", arm=arm)["status"]
        arms.append(
            ArmScores(
                arm=arm,
                is_baseline=arm == rows.baseline,
                changes=_changes(rows, arm),
                seeds=tuple(int(s) for s in finished["seed"]),
                planned=max(planned, len(rows.of("arm", arm=arm))),
                values=estimates,
                patients=_over_patients(shown, images, [str(t) for t in finished["trial_id"]]),
                left_out={
                    str(status): int(n)
                    for status, n in others[others != "finished"].value_counts().items()
                },
            )
        )
    return Summary(split, shown, tuple(arms))


def _over_patients(
    shown: Sequence[Column], images: Mapping[Measure, ImageScores], trials: Sequence[str]
) -> dict[str, PatientInterval]:
    found = {}
    for column in shown:
        of_measure = images[column.measure]
        there = [t for t in trials if t in of_measure.of_trial]
        if not there or column.class_name == POOLED:
            continue
        stacked = of_measure.stack(there, column.class_name)
        (scores,), _, n = by_patient([stacked], of_measure.patients)
        interval = bootstrap(scores, None, n)
        if interval is not None:
            found[column.key] = interval
    return found


def _changes(rows: StudyRows, arm: str) -> str:
    """As its trials ran, tuned values among them; as defined where none has begun."""
    ran = rows.of("arm", arm=arm)["changes"].dropna()
    defined = (rows.definition.get("arms") or {}).get(arm) or {}
    return changes_text(json.loads(ran.iloc[0]) if len(ran) else defined)


def columns(rows: StudyRows, split: str) -> tuple[Column, ...]:
    """Macro values of each metric that was scored, the papers' Dice, then Dice per class."""
    found = []
    for metric in METRICS:
        measure = choose(rows, metric, split)
        if measure is not None:
            found.append(Column(measure, MACRO))
    stacked = stacked_dice(rows, split)
    if stacked is not None:
        found.append(Column(stacked, POOLED))
    per_class = choose(rows, PER_CLASS, split)
    if per_class is not None:
        found += [Column(per_class, c) for c in rows.classes]
    return tuple(found)
