"""An installation without extras: what `pip install segtune` brings, and nothing else."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_CODE = """
import contextlib, io, json, sys
from segtune.cli import main
done = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class LightInstall:
    """A folder of links to the packages that segtune asks for without extras, and to theirs.

    Python finds these, the standard library and this checkout. Whatever else is imported or asked
    for its version is missing, as it is for whoever installs segtune alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        link(folder, brought("segtune") - {"segtune"})
        own = importlib.metadata.distribution("segtune")  # its code is that of the checkout
        about = f"segtune-{own.version}.dist-info"
        (folder / about).symlink_to(str(own.locate_file(about)))

    def run(self, cwd: Path, *commands: Sequence[str]) -> list[Done]:
        """Give commands, one after another, in one process."""
        roots = (self._folder, ROOT / "platform", ROOT / "model", ROOT)
        done = subprocess.run(
            [sys.executable, "-S", "-c", _CODE, json.dumps(commands)],  # -S: no site-packages
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stderr
        return [Done(*one) for one in json.loads(done.stdout)]


def link(folder: Path, names: Iterable[str]) -> None:
    """Make a folder of links to what distributions brought into this environment."""
    for name in names:
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():  # a namespace of several distributions, as nvidia is
                (folder / top).symlink_to(str(distribution.locate_file(top)))


def brought(
    distribution: str, extras: Sequence[str] = (), known: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Normalised names of a distribution and of all that pip installs with it."""
    known |= {distribution}
    for requirement in map(Requirement, importlib.metadata.requires(distribution) or ()):
        name, marker = canonicalize_name(requirement.name), requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": x}) for x in ("", *extras))
        if wanted and name not in known:
            known |= brought(name, sorted(requirement.extras), known)
    return known
