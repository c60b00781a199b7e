"""Power: whether there are enough seeds and patients to show a difference that matters."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from segtune.report.evidence.compare import SIGNS, Comparison, Difference
from segtune.report.evidence.objections.caveat import MATTERS, Caveat
from segtune.report.evidence.patients import MIN_FOR_INTERVAL
from segtune.report.evidence.stats import MIN_PATIENTS, MIN_SEEDS, POWER, needed
from segtune.report.page.text import count, listing, number


def too_few(comparison: Comparison) -> tuple[Caveat, ...]:
    """Too few seeds or patients for a verdict, and how many more it would take."""
    measure, tests = comparison.measure, len(comparison.differences)
    undecided = [
        d for d in comparison.differences if d.verdict.word == "cannot tell" and d.same_data
    ]
    return (
        *_untestable(undecided),
        *_few_patients(comparison),
        *(_underpowered(undecided, comparison, tests) if measure.is_fraction else ()),
    )


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
    scarce = [d for d in undecided if d.effective_patients < MIN_PATIENTS]
    if scarce:
        worth = min(d.effective_patients for d in scarce)
        found.append(
            Caveat(
                "too few test patients",
                f"{listing([d.arm for d in scarce])}: the test images are of "
                f"{count(scarce[0].patients, 'patient')} that weigh as {worth:.3g}, which "
                f"says too little of how much patients differ. At least {MIN_PATIENTS} with as "
                "many images each are needed for a test at all.",
            )
        )
    return found


def _underpowered(
    undecided: Sequence[Difference], comparison: Comparison, tests: int
) -> list[Caveat]:
    """How many seeds and patients would be enough together, from the spread that was observed.

    Seeds and patients both add to the variance of the test, so each may use up half of the
    variance that the power allows. That is the same as asking each to show a difference that is
    smaller by the square root of two.
    """
    measure = comparison.measure
    asked = f"a difference of {MATTERS} in {measure.name} ({round(100 * POWER)} % power, "
    asked += f"5 % level{f' over {tests} arms' if tests > 1 else ''}, paired t test)"
    spread: list[tuple[str, Callable[[Difference], tuple[float, ...]]]] = [
        ("seed", lambda d: d.per_seed),
        ("test patient", lambda d: d.per_patient),
    ]
    tested, found = [d for d in undecided if d.p is not None], []
    for noun, of in spread:
        wanted = {d: _needed(of(d), tests) for d in tested}
        short = {d: n for d, n in wanted.items() if n is not None and n > len(of(d))}
        if short:
            worst = max(short, key=lambda d: short[d] - len(of(d)))
            sd, n = float(np.std(of(worst), ddof=1)), len(of(worst))
            others = [d.arm for d in short if d is not worst]
            found.append(
                Caveat(
                    f"too few {noun}s",
                    f"{worst.arm}'s difference from {comparison.baseline} varies over {noun}s with "
                    f"sd {number(sd, measure.digits)} (n = {n}): to show {asked} it takes about "
                    f"{_about(short[worst])} {noun}s instead of {n}, if there are enough "
                    f"{'test patients' if noun == 'seed' else 'seeds'} as well"
                    f"{f'; {listing(others)} would need more, too' if others else ''}.",
                )
            )
    return found


def _about(n: int) -> str:
    """An estimated number, rounded to two digits from 100 on."""
    return f"{n if n < 100 else round(n, 2 - len(str(n))):,}"


def _needed(values: Sequence[float], tests: int) -> int | None:
    return needed(MATTERS / math.sqrt(2), float(np.std(values, ddof=1)), tests)
