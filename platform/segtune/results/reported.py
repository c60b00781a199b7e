"""Numbers of papers, shown next to the study's own: reported, not reproduced.

A study may name them itself; others are written by hand into `reported.toml` beside its
`study.json`:

    [[reported]]
    method = "D2GPLand"
    metric = "dice"
    value = 0.635
    data = "L3D test"
    source = "arXiv 2406.17858"

They enter no mean, no test and no figure.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from segtune.results.storage import Place
from segtune.study.definition import REPORTED
from segtune.study.spec import Reported

FILE = "reported.toml"
_WORDS = ("method", "metric", "data", "source")


def read_reported(folder: Place, definition: Mapping[str, Any]) -> tuple[Reported, ...]:
    """What the study names, and what `reported.toml` says.

    Args:
        folder: the study's.
        definition: the study's, from `study.json`.

    Raises:
        ValueError: the file cannot be read, or an entry lacks or mistakes something; all of them.
    """
    named = tuple(Reported(**entry) for entry in definition.get(REPORTED, ()))
    path = folder / FILE
    if not path.is_file():
        return named
    try:
        entries = tomllib.loads(path.read().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    listed = entries.get("reported")
    faults = [
        f"{key}: only [[reported]] entries may stand here" for key in entries.keys() - {"reported"}
    ]
    if not isinstance(listed, list):
        raise ValueError(f"{path}: write each number as a [[reported]] entry")
    for i, entry in enumerate(listed, 1):
        faults += [f"entry {i}: {fault}" for fault in _faults(entry)]
    if faults:
        raise ValueError("\n".join([f"{path}:", *(f"  {f}" for f in faults)]))
    return (
        *named,
        *(Reported(**{**entry, "value": float(entry["value"])}) for entry in listed),
    )


def _faults(entry: Mapping[str, Any]) -> list[str]:
    if not isinstance(entry, dict):
        return ["write it as [[reported]]"]
    needed = (*_WORDS, "value")
    faults = [f"{name} is missing" for name in needed if name not in entry]
    faults += [
        f"{name} is unknown: choose of {', '.join(needed)}"
        for name in sorted(entry.keys() - set(needed))
    ]
    faults += [
        f"{name} must be text"
        for name in _WORDS
        if name in entry and not (isinstance(entry[name], str) and entry[name].strip())
    ]
    value = entry.get("value", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.append("value must be a number")
    return faults
