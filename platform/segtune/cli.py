"""The command line: a table of commands, each a module of `segtune.commands`."""

import argparse
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console

from segtune import extras
from segtune.commands import (
    doctor,
    logs,
    names,
    predict,
    report,
    run,
    show,
    status,
    stop,
    submit,
    sync,
)
from segtune.commands.bundling import bundle, verify
from segtune.commands.datasets import data
from segtune.commands.exchange import export, publish, weights
from segtune.commands.planning import plan
from segtune.commands.scoring import evaluate
from segtune.commands.shared import plain_console


class Command(Protocol):
    """What a module of `segtune.commands` offers."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    def run(self, args: argparse.Namespace, console: Console) -> int:
        """Do it; the exit code.

        Of a ValueError or OSError the message is printed, of an import that fails for want of an
        extra how to install that.
        """


COMMANDS: Mapping[str, Command] = {
    "list": names,
    "show": show,
    "plan": plan,
    "run": run,
    "submit": submit,
    "stop": stop,
    "status": status,
    "logs": logs,
    "report": report,
    "sync": sync,
    "data": data,
    "weights": weights,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "publish": publish,
    "bundle": bundle,
    "verify": verify,
    "doctor": doctor,
}


EXIT_CODES: Mapping[int, str] = {
    0: "it did what was asked",
    1: "trials failed, or a bundle does not hold",
    2: "a mistake in what was asked, or something that it takes is not there; nothing was started",
    3: "something unforeseen: a line says in which file the traceback lies",
    4: "the budget is spent and trials are left: the same command with a larger one goes on",
    130: "stopped by Ctrl-C; the same command goes on",
}
"""What the exit code says."""
LONGEST = 200
"""Characters of an unforeseen error's message that are shown; the rest stands in the file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        One of the codes in `EXIT_CODES`; `segtune submit` has the code of its job.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line may go on
        from segtune.completion import answer_shell

        answer_shell(parser)
    args = parser.parse_args(argv)
    command: Command = args.command
    try:
        return command.run(args, plain_console())
    except KeyboardInterrupt:
        print("segtune: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        message = extras.lacking(error)
        # OSError: a store that can't be reached, a full disk
        if message is None and not _for_the_user(error):
            print(_unforeseen(error, argv), file=sys.stderr)
            return 3
        print(f"segtune: {message or error}", file=sys.stderr)
        return 2


def _for_the_user(error: Exception) -> bool:
    """Whether an error's message was written for whoever gave the command."""
    if isinstance(error, KeyError | IndexError | UnicodeError | ModuleNotFoundError):
        return False
    return isinstance(error, ValueError | OSError)


def _unforeseen(error: Exception, argv: Sequence[str] | None) -> str:
    """Write the traceback of an error that no part of segtune foresaw to a file.

    Returns:
        One line that says what happened and where the file is.
    """
    words = shlex.join(sys.argv[1:] if argv is None else argv)
    described = " ".join(f"{type(error).__name__}: {error}".split())
    told = described if len(described) <= LONGEST else f"{described[:LONGEST]} ..."
    lines = [f"$ segtune {words}\n", *traceback.format_exception(error)]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="segtune-error-", suffix=".log", delete=False
        ) as log:
            log.writelines(lines)
    except OSError:  # no room for it anywhere
        return f"segtune: unforeseen: {told}"
    return f"segtune: unforeseen: {told}. Please report it, with {log.name}, which says where"


class _Version(argparse.Action):
    """Looks the version up where it is asked for: other commands need not wait for it."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        nothing = argparse.SUPPRESS
        super().__init__(option_strings, nothing, nargs=0, default=nothing, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and end."""
        import importlib.metadata

        print(f"segtune {importlib.metadata.version('segtune')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtune",
        description="Find out which way of fine-tuning a segmentation model is worth it.",
        epilog=extras.without_training(),
    )
    parser.add_argument("--version", action=_Version, help="print the version, and nothing else")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.HELP)
        command.arguments(one)
        one.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
