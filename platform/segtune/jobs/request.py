"""A study to be run on a cluster, checked before anything is sent there."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segtune.execution.preflight import faults_of
from segtune.execution.resources import Resources, check_amounts
from segtune.jobs.upload import STUDIES
from segtune.results.storage import Place
from segtune.study.catalog import YAML
from segtune.study.overrides import Changes, SpecError, apply, flatten
from segtune.study.spec import Ablation, Study
from segtune.study.validate import check_name, validate


@dataclass(frozen=True)
class Request:
    """A study as a command of a cluster's head node."""

    name: str
    """The name that its results get."""
    study: str
    """Its name in `search_spaces/`, or its file."""
    storage: str
    """The folder of results; every node reaches it by this path."""
    options: Sequence[str]
    """More options of `segtune run`."""
    python: str
    """How the head node calls the Python that has Ray."""

    @property
    def file(self) -> Path | None:
        """The study's file; None where the study comes with segtune."""
        return Path(self.study) if Path(self.study).suffix in (".py", *YAML) else None

    @property
    def entrypoint(self) -> str:
        """The command."""
        study = f"{STUDIES}/{self.file.name}" if self.file else self.study
        words = [self.python, "-m", "segtune", "run", study, "--name", self.name]
        return shlex.join([*words, "--storage", self.storage, *self.options])


def options(values: Mapping[str, Any]) -> list[str]:
    """Options of `segtune run` as its command line has them.

    Args:
        values: option -> what was given: None leaves it out, a list repeats it.
    """
    words: list[str] = []
    for option, value in values.items():
        values_given = value if isinstance(value, list) else [value]
        words += [f"{option}={one}" for one in values_given if one is not None]
    return words


def check_request(study: Study, name: str, storage: str, resources: Resources) -> None:
    """Check what can be checked on this machine: a job that fails on a cluster costs a minute.

    Raises:
        SpecError: all that is wrong with the study, its name, its resources and its paths.
    """
    faults = faults_of(
        partial(check_name, name),
        partial(validate, study),
        partial(check_amounts, resources),
        partial(Place.of, storage),
    )
    if "://" not in storage and not Path(storage).is_absolute():
        faults.append(
            f"--storage {storage} is relative to this folder, which the cluster does not have: "
            "give a folder that every node reaches by the same path, such as /mnt/segtune/results"
        )
    if not faults:
        faults += relative_locations(study)
    if faults:
        raise SpecError(faults)


def relative_locations(study: Study) -> list[str]:
    """One line for each path of data or weights that another machine would not find."""
    found: dict[str, str] = {}
    for changes in _changes(study):
        config = apply(study.baseline, changes)
        kept = flatten(config, locations=False)
        for field, value in flatten(config).items():
            if field not in kept and isinstance(value, str) and not Path(value).is_absolute():
                found[field] = value
    return [
        f"{field} = {value} is relative to this folder, which the cluster does not have: "
        f"--set {field}=PATH, by which every node reaches it"
        for field, value in found.items()
    ]


def _changes(study: Study) -> Iterator[Changes]:
    yield {}
    if isinstance(study, Ablation):
        yield from study.arms.values()
