"""`segtune stop`: end a job."""

import argparse

from rich.console import Console

from segtune.commands.submit import address_argument

HELP = "end a job; the same submit goes on from there"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A job and its cluster."""
    parser.add_argument("job", metavar="JOB", help="a job's id, or a study's name: its latest job")
    address_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """End it, where it has not ended."""
    from segtune.jobs.connect import connect
    from segtune.jobs.job import find_job, stop_job

    client = connect(args.address)
    job = find_job(client, args.job)
    if job.status.is_terminal():
        message = f"{job.submission_id} has ended already: {job.status.value.lower()}"
    else:
        job = stop_job(client, job)
        message = (
            f"{job.submission_id}: {job.status.value.lower()}. The same submit goes on from here"
        )
    console.print(message, highlight=False)
    return 0
