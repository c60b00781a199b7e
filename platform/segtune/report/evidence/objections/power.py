"""Power: whether there are enough seeds and patients to show a difference that matters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.evidence.objections.caveat import MATTERS, Caveat
from segtune.report.evidence.patients import MIN_FOR_INTERVAL
from segtune.report.evidence.power.advice import MOST, Advice, Aim, both_needed, seeds_needed
from segtune.report.evidence.power.chance import Question, chance
from segtune.report.evidence.power.spread import MeasuredSpread
from segtune.report.evidence.stats import MIN_EFFECTIVE, MIN_PATIENTS, MIN_SEEDS
from segtune.report.page.text import count, listing, number


def too_few(comparison: Comparison) -> tuple[Caveat, ...]:
    """Too few seeds or patients for a verdict, and how many more it would take."""
    undecided = [
        d for d in comparison.differences if d.verdict.word == "cannot tell" and d.same_data
    ]
    return (
        *_untestable(undecided),
        *_few_patients(comparison),
        *_underpowered(undecided, comparison),
    )


def aim_of(comparison: Comparison) -> Aim | None:
    """What the study should be able to show: with a margin that an arm which is exactly as good is
    no worse, else a difference that matters; None where nothing says what matters."""
    arms = len(comparison.differences)
    if comparison.margin is not None:
        return Aim(Question("no worse", 0.0, comparison.margin), arms)
    if comparison.measure.is_fraction:
        return Aim(Question("better", MATTERS), arms)
    return None


def about(number: float) -> str:
    """An estimated number, rounded to two digits from 100 on."""
    if math.isinf(number):
        return f"more than {MOST:,}"
    n = int(number)
    return f"{n if n < 100 else round(n, 2 - len(str(n))):,}"


def roughly(number: float) -> str:
    """`about 38`, `more than 1,000`."""
    return about(number) if math.isinf(number) else f"about {about(number)}"


def range_of(advice: Advice) -> str:
    """`9 to 79`, `9 to more than 1,000`."""
    return f"{about(advice.low)} to {about(advice.high)}"


def _few_patients(comparison: Comparison) -> list[Caveat]:
    """Verdicts that rest on very few patients, however well these agree."""
    found = [d for d in comparison.differences if d.verdict.word in SIGNS]
    few = [d for d in found if d.patients < MIN_FOR_INTERVAL]
    if not few:
        return []
    fewest = min(d.patients for d in few)
    return [
        Caveat(
            f"only {fewest} test patients",
            f"{listing([d.arm for d in few])}: patients of a kind that is not among these {fewest} "
            "cannot show in any interval or test.",
        )
    ]


def _untestable(undecided: Sequence[Difference]) -> list[Caveat]:
    """Arms with too few seeds or patients for any test."""
    found = []
    fewest = min((len(d.seeds) for d in undecided), default=MIN_SEEDS)
    if fewest < MIN_SEEDS:
        arms = [d.arm for d in undecided if len(d.seeds) == fewest]
        found.append(
            Caveat(
                "too few seeds",
                f"{listing(arms)}: n = {count(fewest, 'paired seed')} says too little of how much "
                f"seeds differ. At least {MIN_SEEDS} are needed for a test at all, and for telling "
                "how many more it would take.",
            )
        )
    scarce = [
        d for d in undecided if d.patients < MIN_PATIENTS or d.effective_patients < MIN_EFFECTIVE
    ]
    if scarce:
        worth = min(d.effective_patients for d in scarce)
        found.append(
            Caveat(
                "too few test patients",
                f"{listing([d.arm for d in scarce])}: the test images are of "
                f"{count(scarce[0].patients, 'patient')} that weigh as {worth:.3g}, which "
                f"says too little of how much patients differ. At least {MIN_PATIENTS} that weigh "
                f"as {MIN_EFFECTIVE} with as many images each are needed for a test at all.",
            )
        )
    return found


@dataclass(frozen=True)
class _Weak:
    """An arm of which too few studies would show what is asked."""

    difference: Difference
    spread: MeasuredSpread
    power: float


def _underpowered(undecided: Sequence[Difference], comparison: Comparison) -> list[Caveat]:
    """How many seeds would be enough with these test patients, from the spread that was observed;
    where no number is, how many patients as well."""
    aim = aim_of(comparison)
    if aim is None:
        return []
    weak = []
    for d in undecided:
        if d.p is None or d.spread is None:
            continue
        there = d.spread.test_patients
        power = chance(aim.question, d.spread.spread, d.spread.seeds, there, aim.arms)
        if power < aim.power:
            weak.append(_Weak(d, d.spread, power))
    if not weak:
        return []
    worst = min(weak, key=lambda w: w.power)
    advice = seeds_needed(aim, worst.spread, worst.spread.test_patients)
    others = [w.difference.arm for w in weak if w is not worst]
    more = f" {listing(others)} would need more, too." if others else ""
    n, patients = worst.spread.seeds, count(worst.spread.patients, "test patient")
    told = f"what {count(n, 'seed')} and {patients} tell of the spread allows for"
    asked = f"To show {_asked(aim, comparison)}"
    if math.isfinite(advice.number):
        return [
            Caveat(
                "too few seeds",
                f"{asked} with these {patients}, it takes {roughly(advice.number)} seeds "
                f"instead of {n} ({told} {range_of(advice)}). {_why(worst, comparison)}{more}",
            )
        ]
    seeds, number_ = both_needed(aim, worst.spread, worst.spread.test_patients)
    return [
        Caveat(
            "too few test patients",
            f"{asked}, no number of seeds up to {MOST:,} is enough with these {patients}: it takes "
            f"{roughly(number_.number)} of them and {about(seeds.number)} seeds ({told} "
            f"{range_of(number_)} test patients and {range_of(seeds)} seeds). "
            f"{_why(worst, comparison)}{more}",
        )
    ]


def _asked(aim: Aim, comparison: Comparison) -> str:
    measure, arms = comparison.measure, aim.arms
    terms = f"{round(100 * aim.power)} % power, 5 % level{f' over {arms} arms' if arms > 1 else ''}"
    if comparison.margin is not None:
        margin = margin_text(comparison.margin, measure)
        return (
            f"that an arm which is as good as {comparison.baseline} is no worse within the margin "
            f"of {margin} in {measure.name} ({terms})"
        )
    return f"a difference of {MATTERS} in {measure.name} ({terms})"


def _why(worst: _Weak, comparison: Comparison) -> str:
    """The spread that the numbers come from."""
    spread, digits = worst.spread.spread, comparison.measure.digits
    unit = f" {comparison.measure.unit}" if comparison.measure.unit else ""
    return (
        f"{worst.difference.arm}'s difference from {comparison.baseline} varies over seeds with sd "
        f"{number(spread.seed, digits)}{unit}, over patients with {number(spread.patient, digits)}"
        f"{unit}, beyond both with {number(spread.rest, digits)}{unit}: the power is "
        f"{round(100 * worst.power)} % now."
    )
