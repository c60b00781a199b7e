"""The definition of a study as it was run, kept beside its tables as `study.json`."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json

from segtune.changes import SpecError, flatten, non_default
from segtune.spec import DICE_AND_ASSD, Ablation, Study

SCHEMA_VERSION = 1


def definition_path(storage: Path, study: str) -> Path:
    """Where a study's definition is kept."""
    return Path(storage) / study / "study.json"


def write(storage: Path, study: str, definition: dict[str, Any]) -> None:
    """Keep a definition, in place of the one before."""
    path = definition_path(storage, study)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(definition, indent=2) + "\n")
    os.replace(unfinished, path)


def read(storage: Path, study: str) -> dict[str, Any] | None:
    """A study's definition; None where no study of this name was run here.

    Raises:
        ValueError: the file was damaged.
    """
    path = definition_path(storage, study)
    if not path.is_file():
        return None
    try:
        definition: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete it: a run with the same study writes it anew"
        ) from error
    return definition


def define(name: str, study: Study) -> dict[str, Any]:
    """A study as plain values: what a later run of the same name is held against."""
    common = {
        "schema_version": SCHEMA_VERSION,
        "study": name,
        "question": study.question,
        "baseline": flatten(study.baseline, places=False),
        "not_default": sorted(non_default(study.baseline)),
    }
    if isinstance(study, Ablation):
        return common | {
            "kind": "ablation",
            "objectives": [dataclasses.asdict(o) for o in DICE_AND_ASSD],
            "baseline_arm": study.baseline_arm,
            "arms": {arm: dict(changes) for arm, changes in study.all_arms().items()},
            "seeds": list(study.seeds),
            "tune": {a: {f: list(v) for f, v in c.items()} for a, c in study.tune.items()},
            "tune_seed": study.tune_seed,
        }
    return common | {
        "kind": "search",
        "objectives": [dataclasses.asdict(o) for o in study.objectives],
        "space": {f: distribution_to_json(d) for f, d in study.space.items()},
        "num_samples": study.num_samples,
        "sampler": study.sampler,
        "seed": study.seed,
    }


def check_grown(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """A study of the same name may have grown: more arms, seeds or samples; nothing else.

    A setting that the code did not have when the study was begun must have its default.

    Raises:
        SpecError: it changed; every difference is shown.
    """
    new = json.loads(json.dumps(new))
    head = f"study {old.get('study')} was run here with another definition:"
    tail = "Give this one another name with --name, or another folder with --storage"
    if old.get("kind") != new.get("kind"):
        raise SpecError(
            [head, f"  it was of kind {old.get('kind')}, now of kind {new.get('kind')}", tail]
        )
    faults = []
    for key in sorted((old.keys() | new.keys()) - {"question", "not_default", "schema_version"}):
        before: Any = old.get(key)
        now: Any = new.get(key)
        if key == "baseline":
            added = now.keys() - before.keys() - set(new["not_default"])
            now = {k: v for k, v in now.items() if k not in added}
        faults += _change(key, before, now)
    if faults:
        raise SpecError([head, *(f"  {f}" for f in faults), tail])


def _change(key: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = old.keys() if key in ("arms", "tune") else old.keys() | new.keys()
        where = "" if key == "baseline" else f"{key}: "
        return [
            f"{where}{k} was {old.get(k, 'not there')!r}, now {new.get(k, 'gone')!r}"
            for k in sorted(keys)
            if old.get(k) != new.get(k)
        ]
    if key == "seeds":
        gone = [s for s in old if s not in new]
        return [f"seeds: {gone} are gone"] if gone else []
    if key == "num_samples" and new >= old:
        return []
    return [] if old == new else [f"{key}: was {old!r}, now {new!r}"]
