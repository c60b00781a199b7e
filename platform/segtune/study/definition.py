"""The definition of a study as plain values, and whether a later one is the same study grown.

`segtune.results.study_file` writes it to `study.json` in the study's folder.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import distribution_to_json

from segtune.study.overrides import SpecError, flatten, non_default, plain
from segtune.study.scores import scores, scores_at_test, selection
from segtune.study.space import When, distributions
from segtune.study.spec import Ablation, Search, Study, headline_objectives
from segtune.study.stopping import NAMES

SCHEMA_VERSION = 2
"""Of `study.json` and of the tables beside it."""
SCORES = "scores"
"""What every epoch has on val, by name, with direction, unit and label; the first of each unit are
shown where there is room for few."""
AT_TEST = "scores_at_test"
"""The same of what test alone has; not there where that is nothing."""
SELECTION = "selection"
"""What chooses the best epoch on val; not there where the configuration does not say."""
REPORTED = "reported"
"""Papers' numbers of the same comparison; not there where the study names none."""
FOLDS = "folds"
"""Parts of a cross-validation; not there where there is none."""
SEQUENTIAL = "sequential"
"""Seeds of every arm and the numbers of seeds after which verdicts are looked at; not there where
all arms have the same seeds."""
CONTRASTS = "contrasts"
MARGIN = "margin"
"""Score -> the largest difference that does not matter; not there where none was said."""
MARGIN_BEFORE = "margin_before"
"""Margins that were in force earlier: `{"margin": {...}, "until": "2026-01-31T12:00:00+00:00"}`
each; not there where the margin was never changed."""
WEIGHTS = "weights"
"""What weighs alike in test scores where that is not images but patients."""
CHOSEN = "chosen"
"""Numbers of a search's finalists, once they were chosen. A search that is extended may choose
others; trials of the earlier ones stay in the tables."""


def define(name: str, study: Study) -> dict[str, Any]:
    """A study as plain values: what a later run of the same name is held against."""
    common = {
        "schema_version": SCHEMA_VERSION,
        "study": name,
        "question": study.question,
        "baseline": flatten(study.baseline, locations=False),
        "not_default": sorted(non_default(study.baseline)),
        SCORES: {name: kind._asdict() for name, kind in scores(study.baseline).items()},
    }
    if at_test := scores_at_test(study.baseline):
        common[AT_TEST] = {name: kind._asdict() for name, kind in at_test.items()}
    if study.margin:
        common[MARGIN] = {metric: float(value) for metric, value in study.margin.items()}
    if (selects := selection(study.baseline)) is not None:
        common[SELECTION] = selects._asdict()
    if isinstance(study, Ablation):
        if study.reported:
            common[REPORTED] = [dataclasses.asdict(r) for r in study.reported]
        return common | {
            "kind": "ablation",
            "objectives": [dataclasses.asdict(o) for o in headline_objectives(study.baseline)],
            "baseline_arm": study.baseline_arm,
            "arms": {arm: plain(changes) for arm, changes in study.all_arms().items()},
            "seeds": list(study.all_seeds),
            "tune": {
                arm: {f: list(v) for f, v in study.tuned_over(arm).items()}
                for arm in study.all_arms()
                if study.tuned_over(arm)
            },
            "tune_seed": study.tune_seed,
            **({SEQUENTIAL: looks} if (looks := _sequential(study)) else {}),
            **({} if study.folds is None else {FOLDS: study.folds}),
            **({} if study.weights == "images" else {WEIGHTS: study.weights}),
            **({CONTRASTS: [list(pair) for pair in study.contrasts]} if study.contrasts else {}),
        }
    return common | {
        "kind": "search",
        "objectives": [dataclasses.asdict(o) for o in study.objectives],
        "space": {f: distribution_to_json(d) for f, d in distributions(study.space).items()},
        "num_samples": study.num_samples,
        "sampler": study.sampler,
        "seed": study.seed,
        **{key: value for key, value in _options(study).items() if value},
    }


def _sequential(study: Study) -> dict[str, Any]:
    seeds = study.sequential
    return {"at_least": seeds.at_least, "looks": list(seeds.looks)} if seeds else {}


def _options(study: Search) -> dict[str, Any]:
    """What a search may leave out: left out of its definition too, as before there was any."""
    asked = study.scheduler
    return {
        "conditions": {
            field: {"field": when.field, "values": list(when.values)}
            for field, when in study.space.items()
            if isinstance(when, When)
        },
        "constraints": [str(c) for c in study.constraints],
        "sampler_options": {k: repr(v) for k, v in study.sampler_options.items()},
        "scheduler": asked and {"name": NAMES[type(asked)], **dataclasses.asdict(asked)},
        "finalists": study.finalists,
        "finalist_seeds": list(study.all_finalist_seeds),
        SEQUENTIAL: _sequential(study),
    }


def first_seeds(defined: Mapping[str, Any]) -> Sequence[int]:
    """The seeds that every arm, or finalist, has by a definition: all, or those before the first
    look."""
    key = "finalist_seeds" if defined.get("kind") == "search" else "seeds"
    seeds: Sequence[int] = defined.get(key) or ()
    return seeds[: defined[SEQUENTIAL]["at_least"]] if SEQUENTIAL in defined else seeds


def keep_history(old: Mapping[str, Any], new: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A grown study's definition, with what the earlier one alone knows.

    That is a search's finalists, and the margins that were in force before: who changes the margin
    may have seen results.

    Args:
        old: the definition on disk.
        new: the one that takes its place.
        now: the time of the change, in UTC.
    """
    kept = {**new, **{key: old[key] for key in (CHOSEN, MARGIN_BEFORE) if key in old}}
    before = old.get(MARGIN, {})
    if before != new.get(MARGIN, {}):
        changed = {"margin": before, "until": now.isoformat(timespec="seconds")}
        kept[MARGIN_BEFORE] = [*old.get(MARGIN_BEFORE, []), changed]
    return kept


def check_grown(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """A study of the same name may have grown: more arms, seeds, samples or finalists; nothing
    else.

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
    not_compared = {"question", "not_default", "schema_version", "objectives", SCORES, AT_TEST}
    not_compared |= {CHOSEN, REPORTED, MARGIN, MARGIN_BEFORE}  # they change no trial
    not_compared.add(SELECTION)  # it follows from the baseline, which is compared
    if new.get("kind") == "search":
        not_compared.remove("objectives")
    for key in sorted((old.keys() | new.keys()) - not_compared):
        default = "images" if key == WEIGHTS else None
        before: Any = old.get(key, default)
        now: Any = new.get(key, default)
        if key == "baseline":
            added = now.keys() - before.keys() - set(new["not_default"])
            now = {k: v for k, v in now.items() if k not in added}
        faults += _change(key, before, now)
    if new["kind"] == "search":
        faults += _other_protocols(old, new)
    if faults:
        raise SpecError([head, *(f"  {f}" for f in faults), tail])


def _other_protocols(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each objective that is another number now, though it has the same name."""
    before, now = (definition.get(SCORES) or {} for definition in (old, new))
    kept = [o["metric"] for o in new["objectives"] if o["metric"] in before.keys() & now.keys()]
    return [
        f"objective {metric}: its protocol was {was!r}, now {is_now!r}"
        for metric in kept
        if (was := before[metric].get("protocol")) != (is_now := now[metric].get("protocol"))
        and was
    ]


def _change(key: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = old.keys() if key in ("arms", "tune") else old.keys() | new.keys()
        where = "" if key == "baseline" else f"{key}: "
        return [
            f"{where}{k} was {old.get(k, 'not there')!r}, now {new.get(k, 'gone')!r}"
            for k in sorted(keys)
            if old.get(k) != new.get(k)
        ]
    if key in ("seeds", "finalist_seeds"):
        gone = [s for s in old or () if s not in (new or ())]
        return [f"{key}: {gone} are gone"] if gone else []
    if key in ("num_samples", "finalists") and (new or 0) >= (old or 0):
        return []
    return [] if old == new else [f"{key}: was {old!r}, now {new!r}"]
