"""`segtune logs`: what a trial's training printed."""

import argparse

from rich.console import Console

from segtune.commands.shared import storage_argument

HELP = "what a trial's training printed, warnings and tracebacks included"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A trial of a study, where its results lie, and whether to stay."""
    parser.add_argument("study", metavar="STUDY", help="the name that it was run under")
    parser.add_argument("trial", metavar="TRIAL", help="as `segtune status` shows it, like lora-s0")
    storage_argument(parser)
    parser.add_argument("--follow", action="store_true", help="go on until the trial ends")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print it."""
    from segtune.execution.training import trial_log

    if args.follow:
        pieces = trial_log.follow(args.storage, args.study, args.trial)
    else:
        pieces = iter([trial_log.read(args.storage, args.study, args.trial)])
    for piece in pieces:
        print(piece, end="", flush=True)
    return 0
