"""What the tables say of a trial: its scores with intervals, its data, what it took.

Shape suffixes: I images, C classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segtune.report.evidence.patients import PatientInterval, bootstrap, by_patient
from segtune.results import data_facts, evaluations, study_file, tables
from segtune.results.data_facts import SetFacts
from segtune.results.folds import LOOKED_AT_ONCE
from segtune.results.storage import Place
from segtune.results.study_rows import MACRO

_MEASURE = ["split", "resolution", "metric", "protocol"]


@dataclass(frozen=True)
class Score:
    """A score of a trial on images that chose nothing: macro, over the foreground classes."""

    split: str
    resolution: str
    label: str
    """The metric, its unit and its protocol."""
    metric: str
    protocol: str
    value: float
    images: int
    interval: PatientInterval | None
    """Over patients drawn anew; None with few of them, and of a score that is no mean of images."""


@dataclass(frozen=True)
class OnRecord:
    """A trial as its study's tables have it."""

    study: str
    question: str
    trial: Mapping[str, Any]
    """Its row of the table `trials`."""
    scores: Sequence[Score]
    costs: Mapping[str, str]
    """What it took, in words."""
    data: Sequence[SetFacts]
    """Empty where nobody has counted the study's data."""


def on_record(checkpoint: Place) -> OnRecord | None:
    """What is on record of a trial's checkpoint; None of one that is no study's."""
    found = evaluations.trial_of(checkpoint)
    if found is None:
        return None
    storage, study, trial_id = found
    rows = tables.read(storage, study, "trials", trial_id=trial_id).to_pylist()
    if not rows:
        return None
    definition = study_file.read(storage, study) or {}
    scores = tables.read(storage, study, "scores", trial_id=trial_id).to_pandas()
    images = tables.read(storage, study, "images", trial_id=trial_id).to_pandas()
    steps = tables.read(storage, study, "steps", trial_id=trial_id).to_pandas()
    return OnRecord(
        study=study,
        question=str(definition.get("question", "")),
        trial=rows[0],
        scores=[*_scores(scores, images)],
        costs=dict(_costs(rows[0], steps)),
        data=data_facts.read(storage, study),
    )


def _scores(scores: pd.DataFrame, images: pd.DataFrame) -> Iterator[Score]:
    looked_at = scores[scores["split"].isin(LOOKED_AT_ONCE) & (scores["class_name"] == MACRO)]
    for row in looked_at.dropna(subset="value").to_dict("records"):
        same = (images[_MEASURE] == [row[column] for column in _MEASURE]).all(axis=1)
        unit = "" if row["unit"] == "fraction" else f" ({row['unit']})"
        yield Score(
            split=row["split"],
            resolution=row["resolution"],
            label=f"{row['label']}{unit}, {row['protocol']}",
            metric=row["metric"],
            protocol=row["protocol"],
            value=float(row["value"]),
            images=int(row["n"]),
            interval=_interval(images[same], float(row["value"])),
        )


def _interval(images: pd.DataFrame, value: float) -> PatientInterval | None:
    """Of a score that is the mean over classes of means over images."""
    if images.empty or (images["scope"] == "case").any():
        return None
    by_image = images.pivot(index="sample_id", columns="class_name", values="value")
    patients = images.groupby("sample_id")["patient_id"].first().reindex(by_image.index)
    values_1IC = by_image.to_numpy(dtype=np.float64)[None]
    (summed,), _, count = by_patient([values_1IC], [*patients])
    found = bootstrap(summed, None, count)
    return found if found is not None and np.isclose(found.mean, value, atol=1e-6) else None


def _costs(trial: Mapping[str, Any], steps: pd.DataFrame) -> Iterator[tuple[str, str]]:
    started, ended = trial["started"], trial["ended"]
    if started is not None and ended is not None:
        yield "Training", f"{(ended - started).total_seconds() / 60:.1f} minutes from start to end"
    yield "Device", f"{trial['device']}, {trial['workers']} worker(s)"
    if trial["total_parameters"] is not None:
        shares = f"{trial['trainable_parameters']:,} of {trial['total_parameters']:,}"
        yield "Trained parameters", shares
    for column, name in (
        ("optimizer_state_bytes", "Optimizer state"),
        ("peak_memory_bytes", "Peak memory"),
    ):
        if not (known := steps[column].dropna()).empty:
            yield name, f"{known.max() / 1e6:,.1f} MB"
