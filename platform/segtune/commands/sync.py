"""`segtune sync`: a study that has run, brought to a tracking tool."""

import argparse

from rich.console import Console

from segtune.commands.shared import TRACKERS, storage_argument

HELP = "bring a study's trials to MLflow, W&B or TensorBoard, from its tables"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, where its results lie, and the tool."""
    parser.add_argument("study", metavar="STUDY", help="the name that it was run under")
    storage_argument(parser)
    parser.add_argument(
        "--to",
        required=True,
        choices=TRACKERS,
        help="the tool; what is there already stays, and no epoch comes twice",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Bring every trial that has ended; 2 where the tool stops taking them."""
    from segtune.observers import trackers
    from segtune.observers.tracking import TrackingObserver, cause_of
    from segtune.results.study_rows import recorded_trials

    def say(text: str) -> None:
        console.print(text, highlight=False)

    rows = recorded_trials(args.storage, args.study)
    ended = [row["trial_id"] for row in rows if row["status"] != "running"]
    (tracker,) = trackers.make([args.to], args.storage, args.study)
    where = tracker.check()
    observer = TrackingObserver(tracker, args.storage, args.study, say)
    for done, trial_id in enumerate(ended):
        try:
            observer.bring_over(trial_id)
        except tracker.errors as error:
            raise ValueError(
                f"{args.to} took {done} of {len(ended)} trials, then no more: {cause_of(error)}. "
                "The same command goes on from there"
            ) from error
    say(f"{len(ended)} trials of {args.study}: {where}")
    if left := len(rows) - len(ended):
        say(f"{left} more have not ended: `segtune run --log {args.to}` brings them as they run")
    return 0
