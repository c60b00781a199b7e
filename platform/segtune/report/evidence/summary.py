"""Per arm: what it scores on the test split, over seeds and over patients."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from segtune.report.evidence.costs.measured import ran_side_by_side
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import PatientInterval, bootstrap, by_patient
from segtune.report.evidence.stats import t_interval
from segtune.report.page.text import changes_text
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, POOLED, StudyRows
from segtune.results.study_scores import StudyScores
from segtune.study.definition import first_seeds
from segtune.study.spec import Weights


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
            return self.measure.heading
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
    """Seeds whose trial finished."""
    planned: int
    values: Mapping[str, Estimate]
    """Column key -> mean over seeds; without the columns that no seed defines."""
    patients: Mapping[str, PatientInterval]
    """Column key -> the same mean with its interval over test patients; without the columns that
    have no scores of single images, and without those of fewer than 6 patients."""
    cost: Estimate | None
    """Money that a seed's training took, in `Summary.currency`; None where no price was given.
    Without an interval where trials ran side by side (`MeasuredCosts.side_by_side`): it is their
    time."""
    left_out: Mapping[str, int]
    """Status -> trials that are in no mean: running, pruned, failed, cancelled, dirty."""


@dataclass(frozen=True)
class Summary:
    """The scores of all arms."""

    split: str
    columns: tuple[Column, ...]
    arms: tuple[ArmScores, ...]
    weights: Weights
    """What weighs alike in them."""
    currency: str | None
    """Of costs; None where no arm has one."""


def score_summary(study: StudyScores, split: str = "test") -> Summary:
    """Mean and interval over the seeds of each arm's finished trials.

    An arm without a finished trial keeps its row: that it is missing is part of the result.
    """
    rows, shown = study.rows, columns(study, split)
    planned = len(first_seeds(rows.definition))
    priced = rows.trials[rows.trials["cost"].notna()]["currency"].unique()
    currency = str(priced[0]) if len(priced) == 1 else None
    side_by_side = ran_side_by_side(rows)
    arms = []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        trials = [str(t) for t in finished["trial_id"]]
        estimates = {}
        for column in shown:
            numbers = study.values(column.measure, split)
            of_arm = [numbers.get((t, column.class_name)) for t in trials]
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
                patients=_over_patients(study, shown, split, trials),
                cost=None if currency is None else _cost(finished["cost"], alone=not side_by_side),
                left_out={
                    str(status): int(n)
                    for status, n in others[others != "finished"].value_counts().items()
                },
            )
        )
    return Summary(split, shown, tuple(arms), rows.weights, currency)


def _cost(costs: "pd.Series[float]", *, alone: bool) -> Estimate | None:
    found = t_interval(costs.dropna().tolist())
    return found if found is None or alone else replace(found, low=None, high=None)


def _over_patients(
    study: StudyScores, shown: Sequence[Column], split: str, trials: Sequence[str]
) -> dict[str, PatientInterval]:
    found = {}
    for column in shown:
        if column.class_name == POOLED:
            continue
        of_measure = study.images(column.measure, split)
        there = [t for t in trials if t in of_measure.of_trial]
        if not there:
            continue
        stacked = of_measure.stack(there, column.class_name)
        (scores,), _, n = by_patient([stacked], of_measure.patients, of_measure.weights)
        interval = bootstrap(scores, None, n)
        if interval is not None:
            found[column.key] = interval
    return found


def _changes(rows: StudyRows, arm: str) -> str:
    """What the arm's trials changed, tuned values included; of an arm without a trial, what its
    definition changes."""
    ran = rows.of("arm", arm=arm)["changes"].dropna()
    defined = (rows.definition.get("arms") or {}).get(arm) or {}
    return changes_text(json.loads(ran.iloc[0]) if len(ran) else defined)


def columns(study: StudyScores, split: str) -> tuple[Column, ...]:
    """Macro values of each measure shown, the papers' Dice, then the leading measure per class."""
    found = [Column(measure, MACRO) for measure in study.measures(split)]
    if split in study.stacked:
        found.append(Column(study.stacked[split], POOLED))
    per_class = study.image_measure(split)
    if per_class is not None:
        found += [Column(per_class, c) for c in study.rows.classes]
    return tuple(found)
