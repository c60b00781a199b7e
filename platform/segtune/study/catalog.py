"""Find a study: by its name in `search_spaces/`, or in a user's own file."""

import ast
import importlib
import pkgutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from segtune.study import plugins
from segtune.study.overrides import SpecError, value_faults

if TYPE_CHECKING:
    from segtune.study.spec import Study

PACKAGE = "search_spaces"
YAML = (".yaml", ".yml")
"""Suffixes of studies that are no Python: see `segtune.study.yaml_file`."""


@dataclass(frozen=True)
class Named:
    """A study and what it is called."""

    name: str
    study: "Study"
    description: str
    """Docstring of its file: question, command, expected cost."""


def names() -> list[str]:
    """The studies that come with segtune."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    """Study -> its file below `search_spaces/`, which may lie in a folder of studies."""
    top = Path(importlib.import_module(PACKAGE).__path__[0])
    folders = [top, *(top / m.name for m in pkgutil.iter_modules([str(top)]) if m.ispkg)]
    return {
        m.name: (folder / f"{m.name}.py").relative_to(top)
        for folder in folders
        for m in pkgutil.iter_modules([str(folder)])
        if not m.ispkg and m.name[0] != "_"
    }


def summaries() -> dict[str, str]:
    """The first line of each study's docstring, by name; nothing is executed."""
    top, out = Path(importlib.import_module(PACKAGE).__path__[0]), {}
    for name, file in sorted(_files().items()):
        source = (top / file).read_text()
        docstring = ast.get_docstring(ast.parse(source)) or ""
        out[name] = docstring.partition("\n")[0]
    return out


def find(study: str) -> Named:
    """Load a study.

    Args:
        study: a name, or the path of a file: Python with a function `study()`, or YAML.

    Raises:
        SpecError: there is no such study, or its file does not give one.
    """
    from segtune.study.spec import Ablation, Search  # `segtune list` does without

    path = Path(study)
    if path.suffix in YAML:
        return _find_yaml(path)
    is_file = path.suffix == ".py" or "/" in study
    module = load_file(path) if is_file else _load_named(study)
    make = getattr(module, "study", None)
    if not callable(make):
        raise SpecError([f"{study}: no function `study()` that returns an Ablation or a Search"])
    try:
        with warnings.catch_warnings():
            # Choices that Optuna can't write down are refused by `segtune.study.validate_search`.
            warnings.filterwarnings("ignore", "Choices for a categorical distribution")
            value: Any = make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in a file must not look like success
        raise _refusal(study, error) from error
    if not isinstance(value, Ablation | Search):
        raise SpecError(
            [f"{study}: study() returned {type(value).__name__}, not an Ablation or a Search"]
        )
    return Named(path.stem if is_file else study, value, (module.__doc__ or "").strip())


def _find_yaml(path: Path) -> Named:
    from segtune.study import yaml_file

    if not path.is_file():
        raise SpecError([f"there is no study file {path}"])
    value = yaml_file.read(path)
    return Named(path.stem, value, value.question)


def _load_named(name: str) -> ModuleType:
    if name not in names():
        if Path(f"{name}.py").is_file():
            raise SpecError([f"unknown study {name!r}: did you mean the file {name}.py?"])
        raise SpecError(
            [
                f"unknown study {name!r}: choose one of {', '.join(names())}, "
                "or give the path of a file (my_study.py) with a function `study()`"
            ]
        )
    return importlib.import_module(".".join((PACKAGE, *_files()[name].with_suffix("").parts)))


def load_file(path: Path) -> ModuleType:
    """Execute a user's file, so that what it registers is known.

    Raises:
        SpecError: there is no such file, or it raises.
    """
    if not path.is_file():
        raise SpecError([f"there is no study file {path}"])
    if path.suffix != ".py":
        raise SpecError(
            [f"{path} is neither Python nor YAML: a study is a .py with `study()`, or a .yaml"]
        )
    try:
        return plugins.load(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _refusal(str(path), error) from error


def _refusal(study: str, error: BaseException) -> SpecError:
    """What went wrong in a study's file, as far as a person needs it."""
    if isinstance(error, ValueError):
        return SpecError([f"{study}: {fault}" for fault in value_faults(error, "")])
    if isinstance(error, SystemExit):
        return SpecError([f"{study} ends the program (sys.exit): leave that out of a study's file"])
    told = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    return SpecError([f"{study} can't be read: {told}"])
