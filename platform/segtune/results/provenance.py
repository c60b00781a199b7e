"""Which code ran, of which commit, and which command line started it."""

import importlib.metadata
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMIT, DIRTY = "SEGTUNE_GIT_COMMIT", "SEGTUNE_GIT_DIRTY"
"""Variables that name the commit of code that lies apart from its checkout: 1 is dirty, 0 not."""
_PACKAGES = ("segtune", "torch", "torchvision", "sam2", "transformers", "peft", "ray", "optuna")


@dataclass(frozen=True)
class Origin:
    """What code ran, and on whose word."""

    git_commit: str | None
    git_dirty: bool | None
    versions: Mapping[str, str]
    command: str | None = None
    """The command line of this process."""


def find_origin() -> Origin:
    """The commit that the code was taken from, where that can be known, versions and command."""
    here = Path(__file__).parent

    def git(*command: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *command], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    versions = {p: importlib.metadata.version(p) for p in _PACKAGES}
    program = Path(sys.argv[0]).name
    by_module = program == "__main__.py"  # python -m segtune, as a job has it
    words = ["python", *sys.orig_argv[1:]] if by_module else [program, *sys.argv[1:]]
    command = shlex.join(words)
    if commit := os.environ.get(COMMIT):  # a job's archive or an image: no git there
        dirty = {"0": False, "1": True}.get(os.environ.get(DIRTY, ""))
        return Origin(commit, dirty, versions, command)
    status = git("status", "--porcelain", "--untracked-files=no")
    dirty = None if status is None else bool(status)
    return Origin(git("rev-parse", "HEAD"), dirty, versions, command)
