"""A plan on the terminal, or as JSON."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtune.commands.planning.asked import Asked
from segtune.commands.planning.planned import ArmPlan, Cost, Plan
from segtune.commands.status import duration
from segtune.report.evidence.objections.power import about, range_of, roughly
from segtune.report.evidence.power.advice import MOST, RANGE, Advice
from segtune.report.evidence.power.spread import MeasuredSpread
from segtune.report.page.text import count, listing


def show(asked: Asked, found: Plan, name: str, console: Console) -> None:
    """Print the answer, then the table of power, then the arms."""
    patients = asked.patients[0].number
    console.print(Text(f"{name}: {_question(asked)}", style="bold"), soft_wrap=True)
    for line in _answer(asked, found):
        console.print(Text(line), soft_wrap=True)
    console.print()
    worst = found.arms[0].arm
    of = (
        "" if worst == "stated" else f" of {worst}, the arm that takes most" * (len(found.arms) > 1)
    )
    console.print(_power(asked, found, f"power{of}"), soft_wrap=False)
    console.print()
    console.print(_arms(asked, found, patients), soft_wrap=False)
    for line in _notes(asked, found):
        console.print(Text(line, style="dim"), soft_wrap=True)


def as_json(asked: Asked, found: Plan, name: str) -> dict[str, Any]:
    """The plan as plain values; null for a number that is more than the most that is looked at."""
    question = asked.aim.question
    return {
        "study": name,
        "metric": asked.metric,
        "verdict": question.word,
        "truth": question.truth,
        "margin": question.margin,
        "arms_compared": asked.aim.arms,
        "power": asked.aim.power,
        "spread_from": asked.source,
        "pace_from": found.pace,
        "most": MOST,
        "arms": [
            {
                "arm": a.arm,
                "seed_sd": a.spread.seed,
                "patient_sd": a.spread.patient,
                "interaction_sd": a.spread.rest,
                "patients": asked.patients[0].number,
                "seeds": _plain(a.seeds),
                "together": None
                if a.both is None
                else {"seeds": _plain(a.both[0]), "patients": _plain(a.both[1])},
            }
            for a in found.arms
        ],
        "table": [
            {
                "seeds": r.seeds,
                "power": {str(p.number): x for p, x in zip(asked.patients, r.power, strict=True)},
                **_plain_cost(r.cost),
            }
            for r in found.rows
        ],
        "smallest": found.smallest,
    }


def _plain(advice: Advice) -> dict[str, int | None]:
    numbers = {"number": advice.number, "low": advice.low, "high": advice.high}
    return {key: int(n) if math.isfinite(n) else None for key, n in numbers.items()}


def _plain_cost(cost: Cost) -> dict[str, Any]:
    money = None if cost.money is None else vars(cost.money)
    return {"trials": cost.trials, "hours": cost.hours, "money": money}


def _unit(asked: Asked) -> str:
    return "" if asked.kind.unit == "fraction" else f" {asked.kind.unit}"


def _question(asked: Asked) -> str:
    aim, label, unit = asked.aim, asked.kind.label, _unit(asked)
    question = aim.question
    if question.margin is None:
        what = f"to show that an arm which is better by {question.truth:g}{unit} {label} is better"
    else:
        truly = "as good" if question.truth == 0 else f"better by {question.truth:g}{unit}"
        what = (
            f"to show that an arm which is truly {truly} is {question.word} "
            f"within {question.margin:g}{unit} {label}"
        )
    return f"{what}, with {100 * aim.power:g} % power, over {count(aim.arms, 'arm')}"


def _answer(asked: Asked, found: Plan) -> list[str]:
    worst, patients = found.arms[0], count(asked.patients[0].number, "test patient")
    if found.cost is not None:
        cost = _cost_text(found.cost)
        number = f"{roughly(worst.seeds.number)} seeds{_range(asked, worst.seeds)}"
        return [f"{number} with {patients}: {cost}"]
    assert worst.both is not None
    seeds, both = worst.both
    fixed = " The set has no more: ask for a larger difference, or test on more patients."
    return [
        f"no number of seeds up to {MOST:,} is enough with {patients}"
        f"{_range(asked, worst.seeds)}; it takes {roughly(both.number)} test patients"
        f"{_range(asked, both)} and {about(seeds.number)} seeds{_range(asked, seeds)}."
        f"{fixed if asked.fixed else ''}"
    ]


def _range(asked: Asked, advice: Advice) -> str:
    measured = any(isinstance(s, MeasuredSpread) for s in asked.spreads.values())
    return f" (likely {range_of(advice)})" if measured and advice.low < advice.high else ""


def _cost_text(cost: Cost) -> str:
    time = "hours not known" if cost.hours is None else duration(3600 * cost.hours)
    money = "" if cost.money is None else f", {cost.money}"
    return f"{count(cost.trials, 'trial')}, {time}{money}"


def _power(asked: Asked, found: Plan, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("seeds", justify="right")
    for p in asked.patients:
        table.add_column(f"{p.number} patients", justify="right")
    table.add_column("trials", justify="right")
    table.add_column("time", justify="right")
    money = any(r.cost.money is not None for r in found.rows)
    if money:
        table.add_column("money", justify="right")
    for row in found.rows:
        cells = [
            Text(f"{math.floor(100 * x)} %", style="green" if x >= asked.aim.power else "")
            for x in row.power
        ]
        time = "?" if row.cost.hours is None else duration(3600 * row.cost.hours)
        spent = [str(row.cost.money)] if row.cost.money is not None else []
        table.add_row(str(row.seeds), *cells, f"{row.cost.trials:,}", time, *spent)
    return table


def _arms(asked: Asked, found: Plan, patients: int) -> Table:
    table = Table(title="what varies in a difference (sd)", title_justify="left")
    table.add_column("arm", overflow="fold")
    for heading in ("seeds", "patients", "beyond both", f"seeds it takes, {patients} patients"):
        table.add_column(heading, justify="right")
    for a in found.arms:
        table.add_row(a.arm, *_deviations(a, asked.kind.digits + 1), _number(asked, a.seeds))
    return table


def _deviations(arm: ArmPlan, digits: int) -> list[str]:
    found = (arm.spread.seed, arm.spread.patient, arm.spread.rest)
    return [f"{sd:.{digits}f}" for sd in found]


def _number(asked: Asked, advice: Advice) -> str:
    return f"{about(advice.number)}{_range(asked, advice)}"


def _notes(asked: Asked, found: Plan) -> list[str]:
    measured = [s for s in asked.spreads.values() if isinstance(s, MeasuredSpread)]
    lines = [f"Spread: {asked.source}."]
    if measured:
        fewest = min(s.seeds for s in measured)
        lines[0] += (
            f" {count(fewest, 'seed')} and {count(measured[0].patients, 'patient')} know it "
            f"only so well: in {round(10 * RANGE)} of 10 such pilots the range holds what the "
            "truth asks for."
        )
    fraction = asked.kind.unit == "fraction"
    if found.smallest is not None and not (fraction and found.smallest > 1):
        what = "difference" if asked.aim.question.margin is None else "margin"
        lines.append(
            f"The study's own seeds are enough for a {what} of {_enough(found.smallest)}"
            f"{_unit(asked)}."
        )
    lines.append(
        f"Time: {found.pace}, one trial after another, tests at the end not counted."
        if found.pace
        else "Time: not known until a trial has run; state it with --hours-per-trial."
    )
    if asked.looks:
        looks = listing([str(seeds) for seeds in asked.looks])
        lines.append(
            f"The study's verdicts are looked at after {looks} seeds, and its tests are stricter "
            "for it than is counted here: so many seeds have less power in it. An arm stops at its "
            "verdict, so it takes fewer trials than the table says."
        )
    lines.append(
        "Power is that of the report's own verdicts, patients' differences taken as normal: where "
        "they are skewed it is lower. Holm's correction is taken as if no other arm were told."
    )
    return lines


def _enough(size: float) -> str:
    """Two significant digits, rounded up: of less the seeds are not enough."""
    if not size > 0:
        return f"{size:g}"
    digit = 10.0 ** (math.floor(math.log10(size)) - 1)
    return f"{math.ceil(round(size / digit, 6)) * digit:.2g}"
