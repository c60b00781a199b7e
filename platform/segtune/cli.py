"""The command line: a table of commands, each a module of `segtune.commands`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console

from segtune import extras
from segtune.commands import (
    doctor,
    evaluate,
    export,
    logs,
    names,
    plan,
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
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "bundle": bundle,
    "verify": verify,
    "doctor": doctor,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it did what was asked, 1 when trials failed, 2 on a mistake."""
    args = _parser().parse_args(argv)
    command: Command = args.command
    try:
        return command.run(args, Console(soft_wrap=True))
    except (ModuleNotFoundError, ValueError, OSError) as error:
        # OSError: a store that can't be reached, a full disk
        lacking = extras.lacking(error)
        if lacking is None and isinstance(error, ModuleNotFoundError):
            raise
        print(f"segtune: {lacking or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("segtune: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtune",
        description="Find out which way of fine-tuning a segmentation model is worth it.",
        epilog=extras.without_training(),
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.HELP)
        command.arguments(one)
        one.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
