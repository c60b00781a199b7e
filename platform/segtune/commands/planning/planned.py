"""A plan as values: power by seeds and patients, the numbers that are enough, and their cost."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from segtune.commands.planning.asked import Asked
from segtune.execution.estimate import trials
from segtune.report.evidence.power.advice import (
    Advice,
    both_needed,
    seeds_needed,
    smallest,
)
from segtune.report.evidence.power.chance import chance
from segtune.report.evidence.power.spread import MeasuredSpread, Spread
from segtune.results.status.left import usual_pace
from segtune.results.status.study import read_status
from segtune.results.storage import Storage
from segtune.results.study_rows import studies
from segtune.study.money import Money
from segtune.study.spec import Ablation

USUAL_SEEDS = (3, 5, 10, 20)
"""That are always shown, beside the study's own number and the advised one."""


@dataclass(frozen=True)
class Cost:
    """What a study costs."""

    trials: int
    hours: float | None
    """One trial after another; None where no pace is known."""
    money: Money | None
    """None without a price."""


@dataclass(frozen=True)
class ArmPlan:
    """What one arm's verdict takes, with the first number of patients."""

    arm: str
    spread: Spread
    seeds: Advice
    both: tuple[Advice, Advice] | None
    """Seeds and patients that are enough together, of the arm that takes most where no number of
    seeds is enough for it."""


@dataclass(frozen=True)
class Row:
    """A number of seeds."""

    seeds: int
    power: tuple[float, ...]
    """For each number of patients."""
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """The whole plan."""

    arms: tuple[ArmPlan, ...]
    """The one that takes most first: the rows are of it."""
    rows: tuple[Row, ...]
    smallest: float | None
    """Difference or margin that the study's own seeds are enough for."""
    cost: Cost | None
    """Of the advised seeds; None where no number is enough."""
    pace: str
    """Where the hours come from, in words; empty where they are not known."""


def plan(
    asked: Asked,
    study: Ablation,
    cost: Callable[[int], Cost],
    pace: str,
    seeds: tuple[int, ...] | None,
) -> Plan:
    """Compute a plan.

    Args:
        asked: what is planned for.
        study: whose trials are counted.
        cost: of a number of seeds.
        pace: where its hours come from.
        seeds: the rows; None for the usual ones.
    """
    aim, patients = asked.aim, asked.patients[0]
    arms = []
    for arm, known in asked.spreads.items():
        spread = known.spread if isinstance(known, MeasuredSpread) else known
        arms.append(ArmPlan(arm, spread, seeds_needed(aim, known, patients), None))
    arms.sort(key=lambda a: (-a.seeds.number, -a.spread.of_mean(3, patients.number)))
    worst = arms[0]
    if math.isinf(worst.seeds.number):
        together = both_needed(aim, asked.spreads[worst.arm], patients)
        arms[0] = worst = replace(worst, both=together)
    numbers = seeds
    if numbers is None:
        advised = [int(worst.seeds.number)] if math.isfinite(worst.seeds.number) else []
        own = [n for n in (len(study.all_seeds),) if n >= min(USUAL_SEEDS)]
        numbers = tuple(sorted({*USUAL_SEEDS, *own, *advised}))
    rows = tuple(
        Row(
            n,
            tuple(chance(aim.question, worst.spread, n, p, aim.arms) for p in asked.patients),
            cost(n),
        )
        for n in numbers
    )
    enough = math.isfinite(worst.seeds.number)
    return Plan(
        tuple(arms),
        rows,
        smallest(aim, worst.spread, len(study.all_seeds), patients),
        cost(int(worst.seeds.number)) if enough else None,
        pace,
    )


def cost_of(
    study: Ablation,
    names: tuple[str, ...],
    storage: Storage,
    hours_per_trial: float | None,
    price: Money | None,
) -> tuple[Callable[[int], Cost], str]:
    """A function from seeds to their cost, and where its hours come from.

    Args:
        study: whose trials are counted, with folds and tuning.
        names: of studies whose trials may have been timed, the first that was counts.
        storage: where these lie.
        hours_per_trial: as stated; None takes the measured pace.
        price: of an hour.
    """
    once = list(trials(replace(study, seeds=study.all_seeds[:1])))
    tuning = [t for t in once if t[0] in {x.trial_id for x in study.tuning_trials()}]
    seconds, source = _seconds(names, storage, hours_per_trial)

    def cost(seeds: int) -> Cost:
        count = len(tuning) + seeds * (len(once) - len(tuning))
        if seconds is None:
            return Cost(count, None, None)
        of_tuning = sum(seconds(arm, epochs) for _, arm, epochs in tuning)
        of_all = sum(seconds(arm, epochs) for _, arm, epochs in once)
        hours = (of_tuning + seeds * (of_all - of_tuning)) / 3600
        return Cost(count, hours, None if price is None else price * hours)

    return cost, source


def _seconds(
    names: tuple[str, ...], storage: Storage, hours_per_trial: float | None
) -> tuple[Callable[[str | None, int], float] | None, str]:
    """(Arm, epochs) -> seconds of a trial, and where they are from; None where nothing says."""
    if hours_per_trial is not None:
        return (lambda arm, epochs: 3600 * hours_per_trial), "as stated"
    known = studies(storage)
    timed = {n: usual_pace(read_status(storage, n, datetime.now(UTC)).trials)
             for n in names if n in known}  # fmt: skip
    name, pace = next(((n, p) for n, p in timed.items() if p is not None), ("", None))
    if pace is None:
        return None, ""
    return (lambda arm, epochs: epochs * pace(arm)), f"by the pace of the trials of {name}"
