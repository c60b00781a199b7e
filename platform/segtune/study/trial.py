"""One training of a study: a complete frozen value, with its name and its place in the study."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from segtune.study import plugins
from segtune.study.overrides import Changes

Role = Literal["arm", "tune", "search", "finalist"]
TESTED: tuple[Role, ...] = ("arm", "finalist")
"""Roles whose best checkpoint is tested, once; the others are for choosing, which test is not."""


@dataclass(frozen=True)
class Trial:
    """One training of a study, complete."""

    trial_id: str
    role: Role
    seed: int
    config: Any
    changes: Changes
    """Against the study's baseline."""
    arm: str | None = None
    number: int | None = None
    fold: int | None = None
    """Its part of a cross-validation, from 0."""
    repeats: int = 0
    """How many trials of a search had the same changes before; each has another seed."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A trial takes along the user's files that its configuration's classes come from. What
        makes the empty trial runs before its values are read, so the files are loaded by then."""
        return _empty_trial, (plugins.needed(self.config),), vars(self)


def _empty_trial(files: tuple[plugins.PluginFile, ...]) -> Trial:
    """The trial that comes out of another process, before its values."""
    plugins.ensure(files)
    return object.__new__(Trial)


ARM_TRIAL = re.compile(r"(?P<arm>.+?)-s(?P<seed>\d+)(?:-f(?P<fold>\d+))?")
"""The name of a trial of an arm, as `arm_trial_id` makes it."""


def arm_trial_id(arm: str, seed: int, fold: int | None = None) -> str:
    """`lora-s0`, or `lora-s0-f2` where the study has folds."""
    return f"{arm}-s{seed}" if fold is None else f"{arm}-s{seed}-f{fold}"
