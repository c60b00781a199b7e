"""Where what is made once is kept: rendered data sets and unpacked volumes."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$SEGTUNE_CACHE`, or `~/.cache/segtune`. It may be deleted whenever nothing runs."""
    named = os.environ.get("SEGTUNE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "segtune"
