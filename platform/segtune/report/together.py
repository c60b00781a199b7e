"""Several studies on one protocol: whether they may be compared, and their rows as one study's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from segtune.report.style import BASELINE
from segtune.report.text import count, listing, setting
from segtune.results.measures import choose
from segtune.results.study_rows import StudyRows

_SAME = ("data.", "schedule.")
"""Settings that decide what is asked and how long an arm may learn."""
_MOST_SHOWN = 6


class UnfairError(ValueError):
    """Studies that may not be compared; the message has a line for each field that differs."""


def comparable(rows: StudyRows) -> bool:
    """Whether a study has what can be compared: arms that were tested."""
    arms = rows.of("arm", status="finished")["trial_id"]
    tested = rows.scores.loc[rows.scores["split"] == "test", "trial_id"]
    return rows.baseline is not None and bool(arms.isin(tested).any())


def together(studies: Sequence[StudyRows]) -> StudyRows:
    """The arms of all studies as arms of one, against the first study's baseline.

    Arms are paired where studies share seeds: the same data in the same order.

    Args:
        studies: at least two that are `comparable`.

    Raises:
        UnfairError: they differ in data, split, budget, metric protocol or resolution, or one of
            them ran with uncommitted code and another did not.
    """
    faults = unfair(studies)
    names = [rows.name for rows in studies]
    if faults:
        raise UnfairError(
            "\n".join(
                [
                    f"{listing(names)} cannot be compared fairly:",
                    *(f"  {fault}" for fault in faults),
                    "Run one of them with the other's settings; or have them side by side, "
                    f"uncompared: segtune report {' '.join(names)} --separate",
                ]
            )
        )
    first = studies[0]
    moved = [_renamed(rows, _baseline_config(first)) for rows in studies]
    if not _one_place(studies):
        moved = [_at_home(rows) for rows in moved]
    tune = {
        _arm(r.name, a): t for r in studies for a, t in (r.definition.get("tune") or {}).items()
    }
    return replace(
        first,
        name=" + ".join(names),
        definition={
            "kind": "ablation",
            "question": f"How do the arms of {listing(names)} compare?",
            "objectives": first.definition.get("objectives"),
            "baseline_arm": _arm(first.name, str(first.baseline)),
            "arms": {_arm(r.name, arm): {} for r in studies for arm in r.arms},
            "tune": tune,
        },
        trials=pd.concat([r.trials for r in moved], ignore_index=True),
        steps=pd.concat([r.steps for r in moved], ignore_index=True),
        scores=pd.concat([r.scores for r in moved], ignore_index=True),
        images=pd.concat([r.images for r in moved], ignore_index=True),
        pictures=pd.concat([r.pictures for r in moved], ignore_index=True),
        reported=tuple(dict.fromkeys(n for r in studies for n in r.reported)),
    )


def placed(studies: Sequence[StudyRows], whole: StudyRows) -> list[StudyRows]:
    """The same studies, whose arms look as they do where all stand together.

    Args:
        studies: as they were put together, and others beside them, which are left as they are.
        whole: what `together` made of them.
    """
    others = [arm for arm in whole.arms if arm != whole.baseline]
    place = {arm: i for i, arm in enumerate(others)} | {str(whole.baseline): BASELINE}
    return [
        replace(rows, places={a: place[_arm(rows.name, a)] for a in rows.arms})
        if all(_arm(rows.name, a) in place for a in rows.arms)
        else rows
        for rows in studies
    ]


def unfair(studies: Sequence[StudyRows]) -> list[str]:
    """What must be the same and is not, one line for each field; empty where it is."""
    told = {rows.name: _protocol(rows) for rows in studies}
    fields = dict.fromkeys(field for of_study in told.values() for field in of_study)
    return [
        f"{field}: "
        + ", ".join(
            f"{of_study.get(field, 'not there')} in {name}" for name, of_study in told.items()
        )
        for field in fields
        if len({of_study.get(field) for of_study in told.values()}) > 1
    ]


def shared(studies: Sequence[StudyRows]) -> tuple[str, ...]:
    """The common protocol in words; what else differs between the baselines."""
    protocol = _protocol(studies[0])
    held = [f"{field} {value}" for field, value in protocol.items()]
    configs = [_flat(_baseline_config(rows)) for rows in studies]
    fields = sorted({field for config in configs for field in config} - {"seed"})
    differ = [f for f in fields if len({setting(c.get(f)) for c in configs}) > 1]
    said = [f"The same in all of them: {'; '.join(held)}."]
    if differ:
        said.append(f"The baselines differ in {listing(differ)}.")
    if not _one_place(studies):
        said.append("They were not tested on the same external images: those are left out here.")
    return tuple(said)


def _protocol(rows: StudyRows) -> dict[str, str]:
    """What makes scores comparable, by field, as words."""
    finished = rows.of("arm", status="finished")
    told: dict[str, set[str]] = {}
    for text in finished["config"].dropna().unique():
        for field, value in _flat(json.loads(text)).items():
            if f"{field}.".startswith(_SAME):
                told.setdefault(field, set()).add(setting(value))
    protocol = {"data hash": _words({str(h)[:12] for h in finished["data_hash"].dropna()})}
    ids = _tested(rows, "test")
    protocol["test images"] = f"{count(len(ids), 'image')} (list {_digest(ids)})"
    protocol["initial weights"] = _words({str(h)[:12] for h in finished["weights_hash"].dropna()})
    protocol |= {field: _words(values) for field, values in sorted(told.items())}
    selects = rows.selects
    protocol["best epoch by"] = f"{'highest' if selects.maximize else 'lowest'} {selects.metric}"
    for objective in rows.objectives:
        measure = choose(rows, objective.metric, "test")
        words = "not scored" if measure is None else f"{measure.protocol} at {measure.masks}"
        protocol[f"metric {objective.metric}"] = words
    tries = {len(rows.of("tune", arm=arm)) for arm in rows.arms}
    protocol["tuning trials of an arm"] = _words({str(n) for n in tries})
    dirty = finished["git_dirty"].fillna(False).astype(bool)
    protocol["code"] = "uncommitted" if dirty.any() else "committed"
    return protocol


def _tested(rows: StudyRows, split: str) -> list[tuple[str, str]]:
    """(Patient, image) of a split."""
    images = rows.images[rows.images["split"] == split]
    pairs = zip(images["patient_id"], images["sample_id"], strict=True)
    return sorted({(str(patient), str(sample)) for patient, sample in pairs})


def _one_place(studies: Sequence[StudyRows]) -> bool:
    """Whether all studies were tested on the same external images, or none on any."""
    return len({_digest(_tested(rows, "external")) for rows in studies}) == 1


def _at_home(rows: StudyRows) -> StudyRows:
    """Without what was scored on an external set."""
    return replace(
        rows,
        scores=rows.scores[rows.scores["split"] != "external"],
        images=rows.images[rows.images["split"] != "external"],
    )


def _digest(ids: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:8]


def _words(values: set[str]) -> str:
    found = sorted(values)
    more = len(found) - _MOST_SHOWN
    return "/".join(found[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _renamed(rows: StudyRows, baseline: Mapping[str, Any]) -> StudyRows:
    """Trials and arms under their study's name, changes against another baseline."""

    def moved(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(trial_id=rows.name + "/" + frame["trial_id"].astype(str))

    arms = rows.trials[rows.trials["role"] != "search"]
    base = _flat(baseline)
    trials = moved(arms).assign(
        arm=[_arm(rows.name, str(arm)) for arm in arms["arm"]],
        changes=[json.dumps(_changes(text, base)) for text in arms["config"]],
    )
    return replace(
        rows, trials=trials, steps=moved(rows.steps), scores=moved(rows.scores),
        images=moved(rows.images), pictures=moved(rows.pictures),
    )  # fmt: skip


def _changes(config: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, str):
        return {}
    own = _flat(json.loads(config))
    return {f: v for f, v in own.items() if f != "seed" and (f not in base or base[f] != v)}


def _baseline_config(rows: StudyRows) -> Mapping[str, Any]:
    """Of the baseline arm's first trial."""
    texts = rows.of("arm", arm=rows.baseline)["config"].dropna()
    return json.loads(texts.iloc[0]) if len(texts) else {}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted field -> setting; a choice by name stands under its own field."""
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
