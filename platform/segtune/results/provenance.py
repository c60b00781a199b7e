"""Which code ran, of which commit, and which command line started it."""

import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

COMMIT, DIRTY = "SEGTUNE_GIT_COMMIT", "SEGTUNE_GIT_DIRTY"
"""Variables that name the commit of code that lies apart from its checkout: 1 is dirty, 0 not."""
STUDY_COMMIT = "SEGTUNE_STUDY_COMMIT"
"""The same of the study's file."""
_PACKAGES = (
    *("segtune", "srft-galore", "torch", "torchvision", "sam2", "transformers", "timm", "monai"),
    *("peft", "segmentation-models-pytorch", "ray", "optuna"),
)
_THIS_FILE = Path("segtune", "results", "provenance.py")
"""This file in an installed wheel."""


@dataclass(frozen=True)
class Origin:
    """What code ran."""

    git_commit: str | None
    """Commit of segtune; None where it is not known."""
    git_dirty: bool | None
    """Whether the code had changes that are in no commit; None where it is not known."""
    versions: Mapping[str, str]
    """Package -> version, of those that are installed."""
    command: str | None = None
    """The command line of this process."""
    study_commit: str | None = None
    """Commit of the study's file where that lies in a repository of its own, with `-dirty` at its
    end where files of that repository had changes; None for a study that comes with segtune."""


def find_origin(study: Path | None = None) -> Origin:
    """Find out what code this process runs.

    Args:
        study: the study's file; None for a study that comes with segtune.
    """
    here = Path(__file__)
    versions = {package: found for package in _PACKAGES if (found := _version(package))}
    commit, dirty = commit_of_code(here, importlib.metadata.distribution("segtune"))
    if given := os.environ.get(COMMIT):  # in a job or an image, which have no git
        commit, dirty = given, {"0": False, "1": True}.get(os.environ.get(DIRTY, ""))
    study_commit = os.environ.get(STUDY_COMMIT) or None
    if study_commit is None and study is not None and _checkout(study) != _checkout(here):
        study_commit = commit_of_study(study)
    return Origin(commit, dirty, versions, _command(), study_commit)


def commit_of_code(file: Path, wheel: Distribution) -> tuple[str | None, bool | None]:
    """Commit of segtune, and whether it had changes on top.

    An installed copy may lie inside of somebody else's repository, as in a virtual environment
    next to a user's studies. The repository's commit is segtune's only where it tracks the code;
    else the wheel's own record counts, which names a commit where pip installed from git (PEP 610).

    Args:
        file: this file, wherever the code that runs lies.
        wheel: the distribution that is installed.
    """
    if _checkout(file) is not None:
        return _git(file.parent, "rev-parse", "HEAD"), _has_changes(file.parent)
    if Path(str(wheel.locate_file(_THIS_FILE))).resolve() != file.resolve():
        return None, None
    record = json.loads(wheel.read_text("direct_url.json") or "{}")
    commit: str | None = record.get("vcs_info", {}).get("commit_id")
    return commit, None if commit is None else False


def commit_of_study(file: Path) -> str | None:
    """Commit of the repository that tracks a study's file, `-dirty` where there are changes."""
    if _checkout(file) is None:
        return None
    commit = _git(file.parent, "rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and _has_changes(file.parent) else commit


def _version(package: str) -> str | None:
    """None where it is not installed, as torch is not where nothing is trained."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _command() -> str:
    program = Path(sys.argv[0]).name
    by_module = program == "__main__.py"  # python -m segtune, as a job has it
    words = ["python", *sys.orig_argv[1:]] if by_module else [program, *sys.argv[1:]]
    return shlex.join(words)


def _checkout(file: Path) -> str | None:
    """Folder of the repository that tracks a file; None where none does."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "rev-parse", "--show-toplevel")


def _has_changes(folder: Path) -> bool | None:
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)


def _git(folder: Path, *command: str) -> str | None:
    """What git answers in a folder; None where it has no answer, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
