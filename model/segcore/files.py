"""Where what is made once is kept, and how a file comes to be whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`$SEGTUNE_CACHE`, or `~/.cache/segtune`: rendered data sets and unpacked volumes.

    It may be deleted whenever nothing runs.
    """
    named = os.environ.get("SEGTUNE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "segtune"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another place beside a path, whose file or folder has the path once the block has ended.

    Whoever looks sees all of it or nothing, also where two processes write the same.

    Args:
        path: of the file or folder; its parent is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        unfinished.replace(path)
