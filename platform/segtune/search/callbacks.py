"""Callbacks that Ray Tune calls: one that raises would end the study, or train a trial again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def survived(what: str) -> Iterator[None]:
    """Say what goes wrong in here, and go on.

    Args:
        what: begins the message: a trial, or who was called.
    """
    try:
        yield
    except Exception as error:  # whatever it is, the other trials have nothing to do with it
        print(f"segtune: {what}: {error or repr(error)}", file=sys.stderr)
