"""What `segtune plan` was asked: read from its options, and checked."""

import argparse
import math
from dataclasses import dataclass

from segtune.report.evidence.differences.compare import Comparison, compare
from segtune.report.evidence.power.advice import MOST, Aim
from segtune.report.evidence.power.chance import Question, Shown
from segtune.report.evidence.power.spread import MeasuredSpread, Patients, Spread
from segtune.report.evidence.stats import MIN_PATIENTS, MIN_SEEDS
from segtune.results.study_rows import load, studies
from segtune.results.study_scores import derive
from segtune.study.overrides import SpecError
from segtune.study.scores import ScoreKind, scores
from segtune.study.spec import Ablation, Weights, headline_objectives

WORDS: dict[str, Shown] = {"better": "better", "no-worse": "no worse", "as-good": "as good"}
IF_UNKNOWN = (5, 10, 20, 40)
"""Numbers of patients that are shown where the data set's own is not known."""


@dataclass(frozen=True)
class Asked:
    """What is planned for, and what is known of the spread."""

    metric: str
    kind: ScoreKind
    aim: Aim
    spreads: dict[str, Spread | MeasuredSpread]
    """Arm -> its spread; `stated` for one that was stated."""
    source: str
    """Where the spread is from, in words."""
    patients: tuple[Patients, ...]
    fixed: bool
    """Whether the first number of patients is the data set's own."""
    looks: tuple[int, ...] = ()
    """Seeds at each look of a study with `Sequential` seeds."""


def read(args: argparse.Namespace, study: Ablation, name: str) -> Asked:
    """Read the options.

    Raises:
        SpecError: all that is wrong with them.
        ValueError: the tables cannot be read.
    """
    faults = _out_of_range(args)
    metric, kind = _metric(args, study, faults)
    question = None if kind is None else _question(args, study, metric, faults)
    stated = _stated(args, faults)
    if faults or kind is None or question is None:
        raise SpecError(faults)
    arms, source = len(study.arms), "stated"
    spreads: dict[str, Spread | MeasuredSpread] = {}
    if stated is not None:
        spreads["stated"] = stated
        patients, fixed = _patients_of_data(study), True
    else:
        comparison = _measured(args, name, metric, study.weights)
        source = f"{args.source or name} under {args.storage}"
        spreads = {
            d.arm: d.spread
            for d in comparison.differences
            if d.spread is not None and d.same_data and args.arm in (None, d.arm)
        }
        if not spreads:
            raise SpecError([_nothing(args, comparison, source)])
        first = next(iter(spreads.values()))
        assert isinstance(first, MeasuredSpread)
        patients, fixed = first.test_patients, True
    chosen: tuple[Patients, ...] = () if patients is None else (patients,)
    weights = () if patients is None else patients.weights
    if args.patients:
        chosen, fixed = tuple(Patients(n, weights) for n in args.patients), False
    elif patients is None:
        chosen, fixed = tuple(Patients(n) for n in IF_UNKNOWN), False
    looks = () if study.sequential is None else study.sequential.looks
    aim = Aim(question, arms, args.power)
    return Asked(metric, kind, aim, spreads, source, chosen, fixed, looks)


def _out_of_range(args: argparse.Namespace) -> list[str]:
    """Numbers that cannot be."""
    faults = []
    if not 0 < args.power < 1:
        faults.append(f"--power {args.power:g}: give a share between 0 and 1, such as 0.8")
    for option in ("difference", "hours_per_trial"):
        value = getattr(args, option)
        if value is not None and not (math.isfinite(value) and value > 0):
            faults.append(f"--{option.replace('_', '-')} {value:g}: give a number above 0")
    for option in ("seed_sd", "patient_sd", "interaction_sd"):
        value = getattr(args, option)
        if value is not None and not (math.isfinite(value) and value >= 0):
            faults.append(f"--{option.replace('_', '-')} {value:g}: give 0 or more")
    for option, least in (("seeds", MIN_SEEDS), ("patients", MIN_PATIENTS)):
        wrong = [n for n in getattr(args, option) or () if not least <= n <= MOST]
        if wrong:
            shown = " ".join(map(str, wrong))
            faults.append(f"--{option} {shown}: give {least} to {MOST}: fewer give no verdict")
    return faults


def _metric(
    args: argparse.Namespace, study: Ablation, faults: list[str]
) -> tuple[str, ScoreKind | None]:
    known, compared = scores(study.baseline), headline_objectives(study.baseline)
    names = [o.metric for o in compared]
    with_margin = [m for m in names if m in study.margin]
    default = with_margin if args.difference is None and with_margin else names
    metric = args.metric or (default[0] if default else "")
    if metric not in names:
        faults.append(f"--metric {metric}: arms are compared in {', '.join(names) or 'no score'}")
        return metric, None
    return metric, known[metric]


def _question(
    args: argparse.Namespace, study: Ablation, metric: str, faults: list[str]
) -> Question | None:
    margin = study.margin.get(metric)
    verdict = args.verdict or ("better" if args.difference is not None else "no-worse")
    if verdict == "better":
        if args.difference is None:
            faults.append("--verdict better: say how much better with --difference D")
        if args.truth is not None:
            faults.append("--truth goes with a margin: for `better`, --difference is the truth")
        return None if args.difference is None else Question("better", args.difference)
    if args.difference is not None:
        faults.append(f"--difference goes with `better`: for {verdict}, say --truth, or neither")
    truth = args.truth or 0.0
    if margin is None:
        what = f"the study has no margin for {metric}: write Ablation(margin={{{metric!r}: M}})"
        faults.append(f"{what}, or ask for a difference with --difference D")
        return None
    question = Question(WORDS[verdict], truth, margin)
    if not question.distance > 0:
        faults.append(f"--truth {truth:g}: `{verdict}` within {margin:g} would not be true there")
    return question


def _stated(args: argparse.Namespace, faults: list[str]) -> Spread | None:
    given = {
        "--seed-sd": args.seed_sd,
        "--patient-sd": args.patient_sd,
        "--interaction-sd": args.interaction_sd,
    }
    there = [option for option, value in given.items() if value is not None]
    if not there:
        return None
    clashing = [o for o, v in (("--from", args.source), ("--arm", args.arm)) if v is not None]
    if clashing:
        faults.append(f"{' and '.join(clashing)}: {', '.join(there)} state the spread: choose one")
    if args.seed_sd is None or args.patient_sd is None:
        faults.append("state --seed-sd and --patient-sd together (--interaction-sd if it is known)")
        return None
    if not any(given.values()):
        faults.append(f"{', '.join(there)}: where nothing varies there is no test")
    return Spread(args.seed_sd, args.patient_sd, args.interaction_sd or 0.0)


def _measured(args: argparse.Namespace, name: str, metric: str, weights: Weights) -> Comparison:
    source = args.source or name
    if source not in (known := studies(args.storage)):
        there = ", ".join(known) or "none"
        raise SpecError(
            [
                f"no results of {source} under {args.storage} (studies there: {there}): how much "
                "seeds and patients vary is not known. Name an earlier study with --from, state "
                "--seed-sd and --patient-sd, or run a pilot: 3 seeds of the study itself"
            ]
        )
    found = {c.measure.metric: c for c in compare(derive(load(args.storage, source, weights)))}
    if metric not in found:
        raise SpecError(
            [f"{source} has no differences in {metric}, but {', '.join(found) or 'in none'}"]
        )
    arms = [d.arm for d in found[metric].differences]
    if args.arm is not None and args.arm not in arms:
        raise SpecError([f"--arm {args.arm}: {source} has {', '.join(arms) or 'none to compare'}"])
    return found[metric]


def _nothing(args: argparse.Namespace, comparison: Comparison, source: str) -> str:
    of = args.arm or f"any arm beside {comparison.baseline}"
    return (
        f"{source}: fewer than two finished seeds, or two test patients, of {of}: how much they "
        "vary is not known. Run more, or state --seed-sd and --patient-sd"
    )


def _patients_of_data(study: Ablation) -> Patients | None:
    """Of the data set's test split; None where it cannot be read here."""
    opened = getattr(study.baseline, "open_sets", None)
    try:
        dataset, _ = opened() if opened is not None else (None, None)
    except ValueError:
        return None
    if dataset is None:
        return None
    owners = [source.patient_id for source in dataset.sources("test").values()]
    if study.weights == "patients":
        return Patients(len(set(owners)))
    return Patients(len(set(owners)), tuple(float(owners.count(p)) for p in sorted(set(owners))))
