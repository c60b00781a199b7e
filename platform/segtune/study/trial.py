"""One training of a study: a complete frozen value, with its name and its place in the study."""

import importlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from segtune.study import plugins
from segtune.study.overrides import Changes, plain

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


@dataclass(frozen=True)
class PackedTrial:
    """A trial on its way to the process that trains it, its configuration in plain values.

    Those that only pass it on, as Ray's own do, would otherwise import all that its configuration
    is made of: seconds of torch and segcore in each of them.
    """

    trial: Trial
    """Its configuration and what that changes are in plain values, those of JSON, if there is a
    `kind`."""
    kind: tuple[str, str] | None
    """Module and name of the configuration's class, where that module has `to_json` and `from_json`
    as `segcore.config` has; None: everything is left as it is."""
    files: tuple[plugins.PluginFile, ...]
    """The user's files that the configuration's classes come from."""
    imports: tuple[str, ...]
    """Modules that its training imports; a process that others are forked from does so once."""

    @classmethod
    def of(cls, trial: Trial) -> "PackedTrial":
        """Pack a trial."""
        config, kind = trial.config, None
        to_json = getattr(sys.modules[type(config).__module__], "to_json", None)
        if to_json is not None:
            kind = (type(config).__module__, type(config).__name__)
            trial = replace(trial, config=to_json(config), changes=plain(trial.changes))
        return cls(trial, kind, plugins.needed(config), tuple(dict.fromkeys(_imports(config))))

    @property
    def trial_id(self) -> str:
        """The trial's."""
        return self.trial.trial_id

    def unpack(self) -> Trial:
        """The trial, as it was packed."""
        if self.kind is None:
            return self.trial
        plugins.ensure(self.files)
        module: Any = importlib.import_module(self.kind[0])
        config = module.from_json(getattr(module, self.kind[1]), self.trial.config)
        return replace(self.trial, config=config)


def _imports(config: Any) -> Iterable[str]:
    for name in plugins.modules_of(config):
        if not name.startswith(plugins.PREFIX):  # a user's file, which the trial brings along
            yield name
    yield from _libraries(config)


def _libraries(config: Any) -> Iterable[str]:
    """What the classes of a configuration import only when they build: `LIBRARIES` of a module, if
    it has that. Of its fields, those that it calls `unread` build nothing."""
    yield from getattr(sys.modules[type(config).__module__], "LIBRARIES", ())
    if isinstance(config, tuple):
        for one in config:
            yield from _libraries(one)
    elif is_dataclass(config):
        unread = getattr(config, "unread", ())
        for field in fields(config):
            if field.name not in unread:
                yield from _libraries(getattr(config, field.name))


def _empty_trial(files: tuple[plugins.PluginFile, ...]) -> Trial:
    """The trial that comes out of another process, before its values."""
    plugins.ensure(files)
    return object.__new__(Trial)


ARM_TRIAL = re.compile(r"(?P<arm>.+?)-s(?P<seed>\d+)(?:-f(?P<fold>\d+))?")
"""The name of a trial of an arm, as `arm_trial_id` makes it."""


def arm_trial_id(arm: str, seed: int, fold: int | None = None) -> str:
    """`lora-s0`, or `lora-s0-f2` where the study has folds."""
    return f"{arm}-s{seed}" if fold is None else f"{arm}-s{seed}-f{fold}"
