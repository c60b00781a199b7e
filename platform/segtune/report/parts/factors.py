"""What differs between the arms: the table of their settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segtune.report.page.look import Looks
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import DASH, MISSING, dotted, setting
from segtune.results.study_rows import StudyRows


@dataclass(frozen=True)
class Level:
    """One factor in one arm."""

    value: Any
    """`MISSING` where the arm has no such setting, as `frozen` has no rank."""
    changed: bool
    """Whether the arm's definition sets it to another value than the baseline's."""


@dataclass(frozen=True)
class Factors:
    """Every arm by every setting in which arms differ."""

    fields: tuple[str, ...]
    """Dotted names of the settings."""
    levels: Mapping[str, tuple[Level, ...]]
    """Arm -> its level of each field."""


def factors(rows: StudyRows) -> Factors:
    """The settings that the definition of at least one arm changes; tuning does not count."""
    defined: Mapping[str, Mapping[str, Any]] = rows.definition.get("arms") or {}
    fields = tuple(dict.fromkeys(f for changes in defined.values() for f in changes))
    baseline = rows.definition.get("baseline") or {}
    levels = {}
    for arm in rows.arms:
        changes, config = defined.get(arm, {}), rows.config(arm)
        levels[arm] = tuple(_level(f, changes, config, baseline) for f in fields)
    return Factors(fields, levels)


def _level(
    field: str,
    changes: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    baseline: Mapping[str, Any],
) -> Level:
    """The arm's value of a field: as defined, else as its trials ran, else the baseline's."""
    if field in changes:
        # A definition may repeat the baseline's value.
        return Level(changes[field], changes[field] != dotted(baseline, field))
    return Level(dotted(baseline if config is None else config, field), False)


def factors_part(rows: StudyRows, looks: Looks) -> Part | None:
    """The ablation table; None where no arm changes a setting."""
    found = factors(rows)
    if not found.fields:
        return None
    body = tuple(
        (
            Cell(
                arm + (" (baseline)" if arm == rows.baseline else ""),
                color=looks[arm].color,
                left=True,
            ),
            *(_cell(level) for level in levels),
        )
        for arm, levels in found.levels.items()
    )
    strong = frozenset(i for i, arm in enumerate(found.levels) if arm == rows.baseline)
    return Part(
        "What differs between the arms",
        "\u25cf: changed against the baseline; \u25cb: as in the baseline. A dash: the arm has no "
        "such setting. \u2713 and \u2717: present and absent.",
        sheet=Sheet("factors", ("arm", *found.fields), body, strong),
    )


def _cell(level: Level) -> Cell:
    if level.value is MISSING:
        return Cell(DASH, left=True)
    words = {True: "\u2713", False: "\u2717", None: "none"}
    simple = isinstance(level.value, bool) or level.value is None
    shown = words[level.value] if simple else setting(level.value)
    return Cell(f"{chr(0x25CF) if level.changed else chr(0x25CB)} {shown}", left=True)
