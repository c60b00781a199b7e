"""Several studies on one protocol: whether they may be compared, and their rows as one study."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from segtune.report.page.look import Looks, looks
from segtune.report.page.text import count, listing, setting
from segtune.results.study_rows import StudyRows
from segtune.results.study_scores import StudyScores, derive
from segtune.study.definition import CONTRASTS, MARGIN, MARGIN_BEFORE, SEQUENTIAL

_SAME = ("data.", "schedule.")
"""Settings that must be the same: the data, and how long an arm may train."""
_MOST_SHOWN = 6
"""Values of a field that are written out."""


class UnfairError(ValueError):
    """Studies that may not be compared; the message has a line for each field that differs."""


def comparable(rows: StudyRows) -> bool:
    """Whether a study can be compared: it has a baseline, and arms of it were tested."""
    arms = rows.of("arm", status="finished")["trial_id"]
    tested = rows.scores.loc[rows.scores["split"] == "test", "trial_id"]
    return rows.baseline is not None and bool(arms.isin(tested).any())


def together(studies: Sequence[StudyScores]) -> StudyScores:
    """The arms of all studies as arms of one, against the first study's baseline.

    Arms of different studies are paired by seed, since equal seeds see the same data in the same
    order.

    Args:
        studies: at least two that are `comparable`.

    Raises:
        UnfairError: they differ in data, split, budget, metric protocol or resolution, or one of
            them ran with uncommitted code and another did not.
    """
    faults = unfair(studies)
    own = [study.rows for study in studies]
    names = [rows.name for rows in own]
    if faults:
        raise UnfairError(
            "\n".join(
                [
                    f"{listing(names)} cannot be compared fairly:",
                    *(f"  {fault}" for fault in faults),
                    "Run one of them with the other's settings; or have them side by side, "
                    f"uncompared: segtune report {' '.join(names)} --separate; if they have the "
                    "same arms on several data sets, --across says what holds over these",
                ]
            )
        )
    first = own[0]
    renamed = [_renamed(rows, first.config(first.baseline) or {}) for rows in own]
    if not _same_external_images(own):
        renamed = [_without_external(rows) for rows in renamed]
    tune = {_arm(r.name, a): t for r in own for a, t in (r.definition.get("tune") or {}).items()}
    whole = replace(
        first,
        name=" + ".join(names),
        definition={
            "kind": "ablation",
            "question": f"How do the arms of {listing(names)} compare?",
            **first.scoring,
            "baseline_arm": _arm(first.name, str(first.baseline)),
            "arms": {_arm(r.name, arm): {} for r in own for arm in r.arms},
            "tune": tune,
            **next(({SEQUENTIAL: r.definition[SEQUENTIAL]} for r in own if r.looks), {}),
            MARGIN: dict(first.margin) if _same_margin(own) else {},
            MARGIN_BEFORE: [one for r in own for one in r.definition.get(MARGIN_BEFORE) or ()],
            CONTRASTS: [[_arm(r.name, arm) for arm in pair] for r in own for pair in r.contrasts],
        },
        trials=pd.concat([r.trials for r in renamed], ignore_index=True),
        steps=pd.concat([r.steps for r in renamed], ignore_index=True),
        scores=pd.concat([r.scores for r in renamed], ignore_index=True),
        images=pd.concat([r.images for r in renamed], ignore_index=True),
        pictures=pd.concat([r.pictures for r in renamed], ignore_index=True),
        reported=tuple(dict.fromkeys(n for r in own for n in r.reported)),
    )
    return derive(whole)


def looks_within(rows: StudyRows, whole: StudyRows) -> Looks:
    """How a study's arms are drawn: as in the comparison, where they are in it.

    Args:
        rows: one study of the page.
        whole: what `together` made of those that are compared.
    """
    everywhere = looks(whole.arms, whole.baseline)
    names = {arm: _arm(rows.name, arm) for arm in rows.arms}
    if any(named not in everywhere for named in names.values()):
        return looks(rows.arms, rows.baseline)
    return {arm: everywhere[named] for arm, named in names.items()}


def unfair(studies: Sequence[StudyScores]) -> list[str]:
    """What must be the same and is not, one line for each field; empty where all is the same."""
    protocols = {study.rows.name: _protocol(study) for study in studies}
    fields = dict.fromkeys(field for protocol in protocols.values() for field in protocol)
    return [
        f"{field}: "
        + ", ".join(
            f"{protocol.get(field, 'not there')} in {name}" for name, protocol in protocols.items()
        )
        for field in fields
        if len({protocol.get(field) for protocol in protocols.values()}) > 1
    ]


def shared_protocol(studies: Sequence[StudyScores]) -> tuple[str, ...]:
    """The common protocol in sentences; what else differs between the baselines."""
    protocol = _protocol(studies[0])
    held = [f"{field} {value}" for field, value in protocol.items()]
    sentences = [f"The same in all of them: {'; '.join(held)}.", *unlike_baselines(studies)]
    if not _same_margin([study.rows for study in studies]):
        sentences.append("Their margins differ: arms are held against none here.")
    if not _same_external_images([study.rows for study in studies]):
        sentences.append(
            "They were not tested on the same external images: those are left out here."
        )
    return tuple(sentences)


def unlike_baselines(studies: Sequence[StudyScores]) -> tuple[str, ...]:
    """A sentence about the settings in which the studies' baselines differ; empty for none."""
    configs = [_flat(study.rows.config(study.rows.baseline) or {}) for study in studies]
    fields = sorted({field for config in configs for field in config} - {"seed"})
    differ = [f for f in fields if len({setting(c.get(f)) for c in configs}) > 1]
    return (f"The baselines differ in {listing(differ)}.",) if differ else ()


def _protocol(study: StudyScores) -> dict[str, str]:
    """What makes scores comparable: field -> its value as text."""
    rows = study.rows
    finished = rows.of("arm", status="finished")
    values: dict[str, set[str]] = {}
    for text in finished["config"].dropna().unique():
        for field, value in _flat(json.loads(text)).items():
            if f"{field}.".startswith(_SAME):
                values.setdefault(field, set()).add(setting(value))
    protocol = {"data hash": _joined({str(h)[:12] for h in finished["data_hash"].dropna()})}
    ids = _tested(rows, "test")
    protocol["test images"] = f"{count(len(ids), 'image')} (list {_digest(ids)})"
    protocol["initial weights"] = _joined({str(h)[:12] for h in finished["weights_hash"].dropna()})
    protocol |= {field: _joined(found) for field, found in sorted(values.items())}
    protocol["best epoch by"] = rows.selected_by
    for objective in rows.objectives:
        measure = study.measure(objective.metric, "test")
        protocol[f"metric {objective.metric}"] = (
            "not scored" if measure is None else f"{measure.protocol} at {measure.masks}"
        )
    protocol["alike in test scores"] = rows.weights
    tries = {len(rows.of("tune", arm=arm)) for arm in rows.arms}
    protocol["tuning trials of an arm"] = _joined({str(n) for n in tries})
    dirty = finished["git_dirty"].fillna(False).astype(bool)
    protocol["code"] = "uncommitted" if dirty.any() else "committed"
    return protocol


def _tested(rows: StudyRows, split: str) -> list[tuple[str, str]]:
    """(Patient, image) of all scored images of a split."""
    images = rows.single_images[rows.single_images["split"] == split]
    pairs = zip(images["patient_id"], images["sample_id"], strict=True)
    return sorted({(str(patient), str(sample)) for patient, sample in pairs})


def _same_external_images(studies: Sequence[StudyRows]) -> bool:
    """Whether all studies were tested on the same external images, or none on any."""
    return len({_digest(_tested(rows, "external")) for rows in studies}) == 1


def _same_margin(studies: Sequence[StudyRows]) -> bool:
    """Whether all studies say the same largest differences that do not matter."""
    return all(rows.margin == studies[0].margin for rows in studies)


def _without_external(rows: StudyRows) -> StudyRows:
    """A study without its scores on external images."""
    return replace(
        rows,
        scores=rows.scores[rows.scores["split"] != "external"],
        images=rows.images[rows.images["split"] != "external"],
    )


def _digest(ids: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:8]


def _joined(values: set[str]) -> str:
    """The distinct values of a field as text."""
    found = sorted(values)
    more = len(found) - _MOST_SHOWN
    return "/".join(found[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _renamed(rows: StudyRows, baseline: Mapping[str, Any]) -> StudyRows:
    """A study whose trials and arms begin with its name, with changes against a given baseline."""

    def with_study(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(trial_id=rows.name + "/" + frame["trial_id"].astype(str))

    arms = rows.trials[rows.trials["role"] != "search"]
    base = _flat(baseline)
    trials = with_study(arms).assign(
        arm=[_arm(rows.name, str(arm)) for arm in arms["arm"]],
        changes=[json.dumps(_changes(text, base)) for text in arms["config"]],
    )
    return replace(
        rows, trials=trials, steps=with_study(rows.steps), scores=with_study(rows.scores),
        images=with_study(rows.images), pictures=with_study(rows.pictures),
    )  # fmt: skip


def _changes(config: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, str):
        return {}
    own = _flat(json.loads(config))
    return {f: v for f, v in own.items() if f != "seed" and (f not in base or base[f] != v)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted field -> setting; the name of a choice is the value of the choice's own field."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        field = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{field}.")
        else:
            found[field.removesuffix(".name")] = value
    return found


def _arm(study: str, arm: str) -> str:
    return f"{study}: {arm}"
