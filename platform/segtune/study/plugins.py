"""A user's file whose classes a study uses: loaded here, and wherever its trials run.

A method, system, data set, metric, loss or transform may be defined in the study's own file and
registered there (`segcore.methods.METHODS.register`). A worker on another machine has no such file,
so a trial carries the text of every file that its configuration needs. Nothing is ever taken from a
checkpoint: whoever predicts with one names the file again.
"""

import hashlib
import importlib.util
import linecache
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "segtune_study_"
"""Before the name of a file's module, so that it hides none of a library's."""


@dataclass(frozen=True)
class PluginFile:
    """The text of a Python file that was loaded by its path."""

    module: str
    """Name of the module that it became."""
    source: str


_loaded: dict[str, PluginFile] = {}


def load(path: Path) -> ModuleType:
    """Execute a user's file as a module of this process; again if it was loaded before.

    Raises:
        Exception: whatever the file raises.
    """
    # A hash of the path: two files of one name are two modules.
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]
    stem = re.sub(r"\W", "_", path.stem)
    file = PluginFile(f"{PREFIX}{stem}_{digest}", path.read_text())
    return _execute(file, str(path))


def ensure(files: Iterable[PluginFile]) -> None:
    """Load the files that this process has not loaded yet, or has loaded with another text."""
    for file in files:
        if _loaded.get(file.module) != file:
            _execute(file, f"<{file.module}>")


def needed(config: Any) -> tuple[PluginFile, ...]:
    """The loaded files that a configuration's classes come from.

    Args:
        config: a dataclass. Names of what it uses besides its own fields' classes (metrics, say) it
            may give by a method `modules()`.
    """
    names = {*modules_of(config)}
    offered = getattr(config, "modules", None)
    if offered is not None:
        names |= set(offered())
    return tuple(file for name, file in _loaded.items() if name in names)


def modules_of(config: Any) -> Iterable[str]:
    """Names of the modules that a configuration's classes, and those of its parts, come from."""
    yield type(config).__module__
    if isinstance(config, tuple):
        for one in config:
            yield from modules_of(one)
    elif is_dataclass(config):
        for field in fields(config):
            yield from modules_of(getattr(config, field.name))


def _execute(file: PluginFile, filename: str) -> ModuleType:
    spec = importlib.util.spec_from_loader(file.module, loader=None, origin=filename)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = filename
    # So that a traceback shows the lines, also where the file itself is not.
    lines = file.source.splitlines(keepends=True)
    linecache.cache[filename] = (len(file.source), None, lines, filename)
    before = sys.modules.get(file.module)
    sys.modules[file.module] = module
    try:
        exec(compile(file.source, filename, "exec"), module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[file.module]
        else:
            sys.modules[file.module] = before
        raise
    _loaded[file.module] = file
    return module
