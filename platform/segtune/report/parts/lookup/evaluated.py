"""What was scored after the study: networks on other data or sizes, masks from elsewhere."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segtune.report.evidence.stats import t_interval
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import changes_text, count, listing
from segtune.report.parts.lookup.mean_scores import (
    MeanScores,
    cell_of,
    of_all_classes,
    raw_of,
    scores_sheet,
)
from segtune.results.folds import trial_of_fold
from segtune.results.study_rows import MACRO, POOLED, StudyRows

DATA = "data."
HASH_SHOWN = 8
"""Digits of a data set's hash that tell two sets of one name apart."""


@dataclass(frozen=True, kw_only=True)
class Evaluated(MeanScores):
    """The same on a data set that is named."""

    data: str
    """The data set; with its fields, or its hash, where several have its name."""
    told: str
    """What differs from how training tested: boxes, test-time augmentation; empty for nothing."""


@dataclass(frozen=True)
class Evaluations:
    """All that was scored afterwards."""

    scores: tuple[Evaluated, ...]
    ensembles: tuple[tuple[str, tuple[str, ...]], ...]
    """What is the mean of several networks, and of which."""
    others: tuple[str, ...]
    """What else is no trial of the study."""
    left_out: tuple[str, ...]
    """Trials that were scored and are in no mean, and ensembles of such."""


def evaluations(rows: StudyRows) -> Evaluations:
    """Means over the seeds of each arm, as they were evaluated."""
    table = rows.evaluations
    if table.empty:
        return Evaluations((), (), (), ())
    finished = set(rows.trials.loc[rows.trials["status"] == "finished", "trial_id"])
    of_trial = table["trial_id"].notna()
    out = of_trial & ~table["trial_id"].isin(finished)
    # Of an ensemble, where one of its trials would be left out.
    absent = set(rows.trials["trial_id"]) - finished
    out |= table["members"].map(
        lambda of: of is not None and not absent.isdisjoint({*of, *map(_trial_in(rows), of)})
    )
    kept = table[~out & table["class_name"].isin((MACRO, POOLED))]
    kept = kept.assign(column=kept["arm"].where(kept["arm"].notna(), kept["trial_id"]))
    columns = _columns(rows, kept)
    labels = _labels(kept)
    keys = ["data", "data_hash", "settings", "split", "resolution", "metric", "protocol"]
    found = []
    for key, of_key in kept.groupby(keys, sort=False):
        data, data_hash, settings, split, resolution, _, protocol = (str(part) for part in key)
        chosen = of_all_classes(of_key)
        first = chosen.iloc[0]
        changed: Mapping[str, Any] = json.loads(settings)
        found.append(
            Evaluated(
                label=str(first["label"]),
                protocol=protocol,
                unit=str(first["unit"]),
                data=labels[data, _of_data(settings), data_hash],
                told=changes_text({k: v for k, v in changed.items() if not k.startswith(DATA)}),
                split=split,
                resolution=resolution,
                class_name=str(first["class_name"]),
                of_arm=tuple(
                    (name, t_interval(list(chosen.loc[chosen["column"] == name, "value"])))
                    for name in columns
                ),
            )
        )
    together = kept["source"] == "ensemble"
    named = kept.loc[kept["trial_id"].isna() & ~together, "column"]
    pairs = kept.loc[together, ["column", "members"]].itertuples(index=False)
    members = {(str(name), tuple(map(str, of))) for name, of in pairs}
    return Evaluations(
        tuple(found),
        tuple(sorted(members)),
        tuple(sorted({str(name) for name in named})),
        tuple(sorted({str(one) for one in table["trial_id"].fillna(table["arm"])[out]})),
    )


def evaluated_sheet(found: Sequence[Evaluated]) -> Sheet:
    """A row for each metric of an evaluation, a column for each arm."""
    told = ("metric", "protocol", "data", "told", "split", "resolution")
    return scores_sheet(
        "evaluations",
        found,
        columns=(
            ("metric", cell_of("metric")),
            ("protocol", cell_of("protocol")),
            ("data", lambda scores: Cell(scores.data, small=scores.told, left=True)),
            ("split", cell_of("split")),
            ("masks of", cell_of("resolution")),
        ),
        raw_columns=zip((*told, "class"), map(raw_of, (*told, "class_name")), strict=True),
    )


def evaluated_part(rows: StudyRows) -> Part | None:
    """All that was scored afterwards; None where nothing was."""
    found = evaluations(rows)
    if not found.scores and not found.left_out:
        return None
    sentences = [
        f"{name} is an ensemble: one network whose probabilities are the means of {len(members)}, "
        f"{listing([*members])}. It costs as much as all of them."
        for name, members in found.ensembles
    ]
    if found.others:
        sentences.append(
            f"Not trained in this study: {listing([*found.others])}. What chose them, and what "
            "they were trained on, is not known here."
        )
    if {scores.split for scores in found.scores} - {"test"}:
        sentences.append(
            "A network may have been trained or chosen on images of train and val: scores of them "
            "say nothing about new patients."
        )
    if found.left_out:
        trials = count(len(found.left_out), "trial")
        sentences.append(
            f"Left out: {trials} that did not finish, ran uncommitted code beside committed, or "
            f"were evaluated without the other folds ({listing([*found.left_out])})."
        )
    if rows.weights == "patients":
        sentences.append("Unlike the study's test scores, these are means over images.")
    return Part(
        "Evaluated afterwards",
        "Scored with segtune evaluate once the study had run, as means over classes (of "
        "protocols with one value for all classes that value). Whoever looks at many sets, sizes "
        "and metrics and reports the best has chosen by them: no verdict is taken from these.",
        sheet=evaluated_sheet(found.scores) if found.scores else None,
        sentences=tuple(sentences),
    )


def _columns(rows: StudyRows, kept: pd.DataFrame) -> list[str]:
    """What was evaluated: arms in the study's order, then the rest by name."""
    there = {str(name) for name in kept["column"]}
    own = [arm for arm in rows.arms if arm in there]
    return [*own, *sorted(there - set(own))]


def _trial_in(rows: StudyRows) -> Callable[[str], str]:
    """Member of an ensemble -> the trial that the report has it in: a seed, of its folds."""
    return trial_of_fold if rows.folds is not None else str


def _labels(kept: pd.DataFrame) -> Mapping[tuple[str, str, str], str]:
    """What each data set is called: its name, and as much more as tells it from others."""
    sets = list(
        dict.fromkeys(
            (str(data), _of_data(str(settings)), str(data_hash))
            for data, settings, data_hash in zip(
                kept["data"], kept["settings"], kept["data_hash"], strict=True
            )
        )
    )
    labels = {}
    for data, fields, data_hash in sets:
        same_name = [s for s in sets if s[0] == data]
        label = data
        if len({s[1] for s in same_name}) > 1 and fields:
            label += f", {fields}"
        if len([s for s in same_name if s[1] == fields]) > 1:
            label += f" #{data_hash[:HASH_SHOWN]}"
        labels[data, fields, data_hash] = label
    return labels


def _of_data(settings: str) -> str:
    """The fields of the data set among the settings, as text."""
    changed: Mapping[str, Any] = json.loads(settings)
    own = {k.removeprefix(DATA): v for k, v in changed.items() if k.startswith(DATA)}
    return changes_text(own)
