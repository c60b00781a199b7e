"""The scores of an evaluation on the terminal: as tables, or as JSON for a program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from segcore.training.events import ImageScore, Score
    from segtune.report.evidence.patients import PatientInterval
    from segtune.results.evaluations import Setting, Subject


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What an evaluation found."""

    title: str
    subject: "Subject"
    setting: "Setting"
    scores: "Sequence[Score]"
    images: "Sequence[ImageScore]"
    study: str | None
    """Whose tables have it; None: none have."""
    evaluation: str | None
    """Its name there."""


def show(found: Scores, console: Console) -> None:
    """A table of the metrics, then one of the classes."""
    from segcore.metrics.aggregate import MACRO
    from segcore.metrics.images import POOLED

    table = Table(title=found.title, title_justify="left")
    columns = (("metric", "left"), ("protocol", "left"), ("mean", "right"))
    for name, side in (*columns, ("95 % over patients", "right"), ("n", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for score in _of_set(found.scores):
        told = _number(score.value, score.unit)
        limits = over_patients(found.images, score)
        shown = "" if limits is None else f"{_of(limits.low, score)} to {_of(limits.high, score)}"
        name = score.label if score.unit == "fraction" else f"{score.label} ({score.unit})"
        table.add_row(name, score.protocol, told, shown, str(score.n))
    console.print(table)
    of_classes = [s for s in found.scores if s.class_name not in (MACRO, POOLED)]
    names = list(dict.fromkeys(s.class_name for s in of_classes))
    if len(names) < 2:
        return
    by_class: dict[tuple[str, str], Score] = {}
    for score in of_classes:  # the first protocol of a metric stands for it
        by_class.setdefault((score.class_name, score.metric), score)
    metrics = list(dict.fromkeys(metric for _, metric in by_class))
    table = Table()
    for column in ("class", *metrics):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name in names:
        there = (by_class.get((name, metric)) for metric in metrics)
        table.add_row(name, *("" if s is None else _number(s.value, s.unit) for s in there))
    console.print(table)


def as_json(found: Scores) -> dict[str, Any]:
    """Everything that was found, as JSON has it; null is a value that no image defines."""
    rows = []
    for score in found.scores:
        limits = over_patients(found.images, score)
        rows.append(
            {
                "metric": score.metric,
                "protocol": score.protocol,
                "class": score.class_name,
                "value": None if math.isnan(score.value) else score.value,
                "n": score.n,
                "unit": score.unit,
                "direction": score.direction,
                "patients_low": None if limits is None else limits.low,
                "patients_high": None if limits is None else limits.high,
            }
        )
    about = {k: v for k, v in vars(found.setting).items() if k != "settings"}
    return {
        "study": found.study,
        "evaluation": found.evaluation,
        **vars(found.subject),
        **about,
        "settings": dict(found.setting.settings),
        "scores": rows,
    }


def over_patients(images: "Sequence[ImageScore]", score: "Score") -> "PatientInterval | None":
    """A set's value with its interval over patients drawn again; None of fewer than 6 patients, and
    of a metric that is no mean over images or cases."""
    from segcore.metrics.aggregate import MACRO
    from segcore.metrics.images import POOLED
    from segcore.metrics.table import METRICS
    from segtune.report.evidence.patients import bootstrap, by_patient

    if METRICS[f"{score.metric}.{score.protocol}"].load().reduce is not None:
        return None
    own = [i for i in images if (i.metric, i.protocol) == (score.metric, score.protocol)]
    if score.class_name == MACRO:
        own = [i for i in own if i.class_name != POOLED]
    else:
        own = [i for i in own if i.class_name == score.class_name]
    samples = list(dict.fromkeys((i.patient_id, i.sample_id) for i in own))
    classes = list(dict.fromkeys(i.class_name for i in own))
    place, column = ({v: k for k, v in enumerate(names)} for names in (samples, classes))
    values_SIC = np.full((1, len(samples), len(classes)), np.nan)
    for i in own:
        values_SIC[0, place[i.patient_id, i.sample_id], column[i.class_name]] = i.value
    (summed,), _, count = by_patient([values_SIC], [patient for patient, _ in samples])
    return bootstrap(summed, None, count)


def _of_set(scores: "Sequence[Score]") -> "list[Score]":
    """One value of each metric and protocol: macro, or the one for all classes."""
    from segcore.metrics.aggregate import MACRO

    found: dict[tuple[str, str], Score] = {}
    for score in scores:
        key = (score.metric, score.protocol)
        if score.class_name == MACRO or key not in found:
            found[key] = score
    return list(found.values())


def _of(value: float, score: "Score") -> str:
    return _number(value, score.unit)


def _number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if unit == "fraction" else f"{value:.2f}"
