"""What each arm has and the baseline lacks, or the other way round."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segtune.report.text import dotted
from segtune.results.study_rows import StudyRows


@dataclass(frozen=True)
class Level:
    """One factor in one arm."""

    value: Any
    """`MISSING` where the arm has no such setting, as `frozen` has no rank."""
    changed: bool
    """Whether the arm says so itself, unlike the baseline."""


@dataclass(frozen=True)
class Factors:
    """Every arm by every setting in which arms differ."""

    fields: tuple[str, ...]
    """Dotted."""
    levels: Mapping[str, tuple[Level, ...]]
    """Arm -> one level per field."""


def factors(rows: StudyRows) -> Factors:
    """Of all arms, the settings that at least one of them changes; tuned values are none."""
    defined: Mapping[str, Mapping[str, Any]] = rows.definition.get("arms") or {}
    fields = tuple(dict.fromkeys(f for changes in defined.values() for f in changes))
    baseline = rows.definition.get("baseline") or {}
    levels = {}
    for arm in rows.arms:
        ran = rows.of("arm", arm=arm)["config"].dropna()
        config = json.loads(ran.iloc[0]) if len(ran) else None
        changes = defined.get(arm, {})
        levels[arm] = tuple(_level(f, changes, config, baseline) for f in fields)
    return Factors(fields, levels)


def _level(
    field: str,
    changes: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    baseline: Mapping[str, Any],
) -> Level:
    """As the arm is defined; what it leaves out, as its trials ran or as the baseline has it."""
    if field in changes:
        # A factor may name a level that is the baseline's own.
        return Level(changes[field], changes[field] != dotted(baseline, field))
    return Level(dotted(baseline if config is None else config, field), False)
