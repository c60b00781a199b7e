"""`segtune submit`: run a study as a job of a Ray cluster."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from segtune.commands.run import asked, part_arguments, resource_arguments
from segtune.commands.shared import changed_study, log_argument, study_arguments, study_file

HELP = "run a study as a job of a Ray cluster"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, the cluster, and what `segtune run` takes."""
    study_arguments(parser)
    address_argument(parser)
    parser.add_argument(
        "--storage",
        required=True,
        help="folder that holds the studies' results: every node must reach it by this path",
    )
    log_argument(parser)
    resource_arguments(parser)
    part_arguments(parser)
    parser.add_argument("--detach", action="store_true", help="do not wait for the job's end")
    parser.add_argument(
        "--python",
        default="python",
        help="how the head node calls the Python that has Ray (default: %(default)s)",
    )


def address_argument(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """A cluster that takes jobs."""
    parser.add_argument(
        "--address",
        required=required,
        help="dashboard of the Ray cluster, such as http://127.0.0.1:8265",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Submit it and follow it to its end; the exit code is the job's."""
    from segtune.jobs.connect import connect
    from segtune.jobs.job import provenance_variables, submit_job
    from segtune.jobs.request import Request, check_request
    from segtune.jobs.upload import archive
    from segtune.results.provenance import find_origin
    from segtune.study.money import check_budget
    from segtune.study.part import Part, check_part

    named = changed_study(args)
    check_budget(args.budget, args.price_per_hour)
    check_request(named.study, named.name, args.storage, asked(args))
    check_part(named.study, Part(arms=args.arms, seeds=args.seeds))
    request = Request(named.name, args.study, args.storage, run_options(args), args.python)
    client = connect(args.address)
    with tempfile.TemporaryDirectory() as folder:
        packed = archive(Path(folder), request.file)
        job_id = submit_job(
            client, request, packed, provenance_variables(find_origin(study_file(args)))
        )
    where = f"{job_id} --address {args.address}"
    console.print(
        f"{job_id} is submitted and goes on without this terminal:\n"
        f"  segtune status {where} --watch    follows it\n"
        f"  segtune stop {where}    ends it; the same submit goes on from there",
        highlight=False,
    )
    return 0 if args.detach else follow_to_end(args.address, job_id, console)


def run_options(args: argparse.Namespace) -> list[str]:
    """What was given of the options that `segtune run` takes too."""
    from segtune.jobs.request import options

    return options(
        {
            "--num-samples": args.num_samples,
            "--set": args.changes,
            "--log": args.log,
            "--workers": args.workers,
            "--cpus-per-worker": args.cpus_per_worker,
            "--gpus-per-worker": args.gpus_per_worker,
            "--concurrent": args.concurrent,
            "--patience": args.patience,
            "--arms": args.arms,
            "--seeds": args.seeds,
            "--price-per-hour": args.price_per_hour and args.price_per_hour.written,
            "--budget": args.budget and args.budget.written,
        }
    )


def follow_to_end(address: str, job_id: str, console: Console) -> int:
    """Show a job's log until the job ends; its exit code, 130 where nobody follows any more."""
    from segtune.jobs.connect import connect
    from segtune.jobs.job import exit_code, follow

    try:
        job = follow(connect(address), job_id, _to_screen)
    except KeyboardInterrupt:
        print(f"segtune: {job_id} goes on; `segtune stop` would end it", file=sys.stderr)
        return 130
    code = exit_code(job)
    message = f"{job_id}: {job.status.value.lower()}, exit code {code}"
    if job.driver_exit_code is None and job.message:  # else the log says why
        message += f"\n{job.message.strip()}"
    console.print(message, highlight=False)
    return code


def _to_screen(text: str) -> None:
    print(text, end="", flush=True)
