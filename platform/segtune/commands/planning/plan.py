"""`segtune plan`: seeds and patients that a study's verdict takes, and what they cost."""

import argparse
import json

from rich.console import Console

from segtune.commands.shared import (
    changed_study,
    price_argument,
    storage_argument,
    study_arguments,
)

HELP = "how many seeds and patients a study's verdict takes, and what they cost"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, the verdict that is planned for, what is known of the spread, and prices."""
    study_arguments(parser)
    storage_argument(parser)
    parser.add_argument(
        "--difference",
        type=float,
        metavar="D",
        help="plan to show that an arm is better which truly is, by D in the score's unit",
    )
    parser.add_argument(
        "--verdict",
        choices=["better", "no-worse", "as-good"],
        help="what to show; the last two within the study's margin (default: better with "
        "--difference, else no-worse)",
    )
    parser.add_argument(
        "--truth",
        type=float,
        metavar="D",
        help="with no-worse, as-good: how much better the arm truly is (default: 0)",
    )
    parser.add_argument("--metric", help="the score (default: the study's first)")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="STUDY",
        help="an earlier study whose tables say how much seeds and patients vary (default: this "
        "one's own results)",
    )
    parser.add_argument(
        "--arm", help="of that study, whose difference varies as will be (default: all)"
    )
    for option, what in (
        ("--seed-sd", "what a seed adds to a difference, in place of tables"),
        ("--patient-sd", "what a patient adds"),
        ("--interaction-sd", "what is left for a seed on a patient (default: 0)"),
    ):
        parser.add_argument(option, type=float, metavar="SD", help=f"standard deviation of {what}")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="rows of the table")
    parser.add_argument(
        "--patients",
        type=int,
        nargs="+",
        metavar="N",
        help="numbers of test patients; the advice is for the first (default: as many as the data "
        "set or the tables have)",
    )
    parser.add_argument(
        "--power", type=float, default=0.8, help="share of studies to succeed (default: 0.8)"
    )
    parser.add_argument(
        "--hours-per-trial", type=float, metavar="H", help="(default: as measured by the tables)"
    )
    price_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print how many it takes."""
    from segtune.commands.planning.asked import read
    from segtune.commands.planning.planned import cost_of, plan
    from segtune.commands.planning.shown import as_json, show
    from segtune.study.overrides import SpecError
    from segtune.study.spec import Ablation
    from segtune.study.validate import check_name, validate

    named = changed_study(args)
    validate(named.study)
    check_name(named.name)
    study = named.study
    if not isinstance(study, Ablation):
        raise SpecError(
            [f"{named.name} is a search: plan the ablation that confirms what it found"]
        )
    with Console(stderr=True).status("working out the power ..."):
        asked = read(args, study, named.name)
        names = tuple(dict.fromkeys(n for n in (named.name, args.source) if n is not None))
        cost, pace = cost_of(study, names, args.storage, args.hours_per_trial, args.price_per_hour)
        if args.price_per_hour is not None and not pace:
            raise SpecError(
                ["--price-per-hour: how long a trial takes is not known: add --hours-per-trial"]
            )
        seeds = None if args.seeds is None else tuple(sorted(set(args.seeds)))
        found = plan(asked, study, cost, pace, seeds)
    if args.json:
        print(json.dumps(as_json(asked, found, named.name), indent=2))
    else:
        show(asked, found, named.name, console)
    return 0
