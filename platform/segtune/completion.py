"""Shell completion: commands, options and studies, while a command line is typed."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import argcomplete
from argcomplete.completers import BaseCompleter, FilesCompleter

from segtune.study.catalog import YAML, names


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """End the process with what a shell asked for."""
    argcomplete.autocomplete(parser, default_completer=Studies())


class Studies(BaseCompleter):
    """What an argument may be: a study that comes with segtune, one in the storage, or a file."""

    def __call__(
        self, *, prefix: str, action: argparse.Action, parsed_args: argparse.Namespace, **_: Any
    ) -> Iterable[str]:
        """Words for one argument; those that do not begin with `prefix` are left out later."""
        if action.metavar != "STUDY":
            return list(FilesCompleter()(prefix))
        storage = Path(str(getattr(parsed_args, "storage", None) or "results"))
        ran = {file.parent.name for file in storage.glob("*/study.json")}
        files = FilesCompleter([".py", *YAML])(prefix)
        return sorted({*names(), *ran, *files})
