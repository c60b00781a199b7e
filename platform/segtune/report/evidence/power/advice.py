"""Seeds and patients that are enough for a verdict, with the range that a small study leaves.

A pilot of few seeds knows its own spread badly: of three seeds whose truth asks for 38, the advice
is anything from 9 to 79 in most pilots. So each number comes with the numbers that the likely
spreads ask for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from scipy import optimize, special

from segtune.report.evidence.power.chance import Question, chance
from segtune.report.evidence.power.spread import MeasuredSpread, Patients, Spread
from segtune.report.evidence.stats import MIN_PATIENTS, MIN_SEEDS, POWER

MOST = 1000
"""Seeds or patients beyond which nobody plans: what takes more is not to be had."""
RANGE = 0.8
"""Share of pilots whose range holds the number that the truth asks for."""


@dataclass(frozen=True)
class Aim:
    """What a study should be able to show."""

    question: Question
    arms: int
    """That are compared with the baseline."""
    power: float = POWER
    """Share of studies that should show it."""

    def reached(self, spread: Spread, seeds: int, patients: Patients) -> bool:
        """Whether so many seeds and patients are enough."""
        return chance(self.question, spread, seeds, patients, self.arms) >= self.power

    @property
    def allowed(self) -> float:
        """Standard deviation of the mean that is about small enough: of a normal test."""
        missed = (1 - self.power) / (2 if self.question.word == "as good" else 1)
        errors = -special.ndtri(self.question.level(self.arms) / 2) - special.ndtri(missed)
        return self.question.distance / float(errors)


@dataclass(frozen=True)
class Advice:
    """How many it takes; infinite for more than `MOST`."""

    number: float
    low: float
    high: float
    """The range of the numbers that the likely spreads ask for."""


def seeds_needed(aim: Aim, known: Spread | MeasuredSpread, patients: Patients) -> Advice:
    """Seeds that are enough with these test patients.

    Args:
        aim: what is to be shown.
        known: the spread as stated, which leaves no range, or as measured.
        patients: on test.
    """
    if isinstance(known, Spread):
        number = _seeds(aim, known, patients)
        return Advice(number, number, number)
    low, high = _ends(known, lambda s: _guess(aim, s, patients.number))
    number = _seeds(aim, known.spread, patients)
    # What the test asks for beyond the normal one is alike for all three: start from there.
    beyond = number - _guess(aim, known.spread, patients.number) if math.isfinite(number) else 2.0
    ends = [_seeds(aim, spread, patients, beyond) for spread in (low, high)]
    return Advice(number, min(number, *ends), max(number, *ends))


def both_needed(
    aim: Aim, known: Spread | MeasuredSpread, patients: Patients
) -> tuple[Advice, Advice]:
    """Seeds and patients that are enough together; each uses up about half of the variance.

    Args:
        aim: what is to be shown.
        known: the spread as stated or as measured.
        patients: on test so far, which says how unequal they are.
    """
    if isinstance(known, Spread):
        seeds, number = _both(aim, known, patients)
        return Advice(seeds, seeds, seeds), Advice(number, number, number)
    low, high = _ends(known, lambda s: s.of_mean(known.seeds, known.patients))
    pairs = [_both(aim, spread, patients) for spread in (known.spread, low, high)]
    of_seeds, of_patients = zip(*pairs, strict=True)
    return (
        Advice(of_seeds[0], min(of_seeds), max(of_seeds)),
        Advice(of_patients[0], min(of_patients), max(of_patients)),
    )


def smallest(aim: Aim, spread: Spread, seeds: int, patients: Patients) -> float | None:
    """The smallest difference, or margin, that so many seeds and patients are enough for; None
    where they are too few for any test."""
    question = aim.question

    def short(size: float) -> float:
        changed = (
            replace(question, truth=size)
            if question.margin is None
            else replace(question, margin=size)
        )
        return chance(changed, spread, seeds, patients, aim.arms) - aim.power

    most = question.distance
    for _ in range(60):
        if short(most) >= 0:
            return float(optimize.brentq(short, 0.0, most, rtol=1e-3))
        most *= 2
    return None


def _ends(known: MeasuredSpread, order: Callable[[Spread], float]) -> tuple[Spread, Spread]:
    """Of the likely spreads those at both ends of the range."""
    ranked, tail = sorted(known.likely, key=order), (1 - RANGE) / 2
    return ranked[round(tail * len(ranked))], ranked[round((1 - tail) * len(ranked)) - 1]


def _guess(aim: Aim, spread: Spread, patients: int) -> float:
    """Seeds by a normal test; infinite where the patients' spread alone is too wide."""
    left = aim.allowed**2 - spread.patient**2 / patients
    return spread.of_seeds(patients) ** 2 / left if left > 0 else math.inf


def _seeds(aim: Aim, spread: Spread, patients: Patients, beyond: float = 2.0) -> float:
    start = _guess(aim, spread, patients.number) + beyond
    return _fewest(lambda n: aim.reached(spread, n, patients), start, MIN_SEEDS)


def _both(aim: Aim, spread: Spread, patients: Patients) -> tuple[float, float]:
    half = aim.allowed**2 / 2
    # What is beyond seeds and patients is over the product of both: the first number decides.
    number = max(MIN_SEEDS, math.ceil(spread.seed**2 / half) + 2)
    if number > MOST:
        return math.inf, math.inf
    start = spread.of_patients(number) ** 2 / half + 2
    enough = _fewest(
        lambda n: aim.reached(spread, number, replace(patients, number=n)), start, MIN_PATIENTS
    )
    return number, enough


def _fewest(enough: Callable[[int], bool], start: float, least: int) -> float:
    """The smallest number from `least` to `MOST` that is enough, sought from a guess on.

    More are taken to be no worse than fewer.
    """
    below, above, step = least - 1, MOST + 1, 1
    tried = int(min(max(start, least), MOST))
    while above - below > 1:
        if enough(tried):
            above = tried
            ahead = tried - step
        else:
            below = tried
            ahead = tried + step
        step *= 2
        # Outwards in growing steps until both ends are known, then by halves.
        sought = above <= MOST and below >= least
        tried = (below + above) // 2 if sought else min(max(ahead, least), MOST)
        tried = min(max(tried, below + 1), above - 1) if above - below > 1 else tried
    return above if above <= MOST else math.inf
