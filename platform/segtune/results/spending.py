"""What a study's trials have taken, in time and in money, from the rows of all their attempts.

An attempt's time goes from its first row to its last: the seconds until a worker has started, and
what it did after its last row before it was killed, are not known to the tables.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from segtune.results import tables
from segtune.results.storage import Place, Storage
from segtune.study.money import Budget, Money
from segtune.study.overrides import SpecError


@dataclass(frozen=True)
class Spent:
    """What trials have taken, attempts that were gone on from included."""

    seconds: float = 0.0
    """Of all trials, one after another."""
    money: Money | None = None
    """None where no attempt had a price, or studies were priced in several currencies."""
    unpriced_seconds: float = 0.0
    """Those of `seconds` that had no price: they are not in `money`."""
    price: Money | None = None
    """Of an hour, of the newest attempt; None where that had none."""

    def __add__(self, other: "Spent") -> "Spent":
        amounts = [m for m in (self.money, other.money) if m is not None]
        both = None
        if len({m.currency for m in amounts}) == 1:
            both = Money(sum(m.amount for m in amounts), amounts[0].currency)
        return Spent(
            self.seconds + other.seconds,
            both,
            self.unpriced_seconds + other.unpriced_seconds,
            other.price or self.price,
        )

    def exhausts(self, budget: Budget) -> bool:
        """Whether a budget is spent."""
        if budget.seconds is not None:
            return self.seconds >= budget.seconds
        assert budget.money is not None
        return self.money is not None and self.money.amount >= budget.money.amount


@dataclass(frozen=True)
class Allowance:
    """A budget, and the studies that share it."""

    budget: Budget
    storage: Storage
    studies: tuple[str, ...]

    def spent(self) -> Spent:
        """What their trials have taken so far."""
        return sum((read_spent(self.storage, study) for study in self.studies), Spent())

    def is_spent(self) -> bool:
        """Whether that is the whole budget."""
        return self.spent().exhausts(self.budget)


def read_spent(storage: Storage, study: str) -> Spent:
    """What a study's trials have taken so far; nothing where it has none."""
    bad: dict[Place, str] = {}  # what they took is lost with them
    return spent(tables.read_attempts(storage, study, damaged=bad).to_pylist())


def spent(attempts: Iterable[Mapping[str, Any]]) -> Spent:
    """What attempts have taken, from their rows."""
    seconds = unpriced = amount = 0.0
    currency = None
    rows = list(attempts)
    for row in rows:
        took = attempt_seconds(row)
        seconds += took
        if row["price_per_hour"] is None:
            unpriced += took
        else:
            amount += took / 3600 * row["price_per_hour"]
            currency = row["currency"]
    newest = max((r for r in rows if r["started"]), key=lambda r: r["started"], default=None)
    price = None
    if newest is not None and newest["price_per_hour"] is not None:
        price = Money(newest["price_per_hour"], newest["currency"])
    money = None if currency is None else Money(amount, currency)
    return Spent(seconds, money, unpriced, price)


def attempt_seconds(row: Mapping[str, Any]) -> float:
    """Seconds that an attempt took: as its row says, or, in rows of older versions, to its end."""
    if row["seconds"] is not None:
        return float(row["seconds"])
    if row["started"] is None or row["ended"] is None:
        return 0.0
    return max(0.0, float((row["ended"] - row["started"]).total_seconds()))


def costs_of_trials(attempts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Trial -> what it cost, all of its attempts together; without trials that ran without a price
    at any time."""
    found: Counter[str] = Counter()
    unknown = set()
    for row in attempts:
        if row["price_per_hour"] is None:
            unknown.add(row["trial_id"])
        else:
            found[row["trial_id"]] += attempt_seconds(row) / 3600 * row["price_per_hour"]
    return {trial: cost for trial, cost in found.items() if trial not in unknown}


def check_currency(storage: Storage, study: str, price: Money | None) -> None:
    """A study's money is counted in one currency.

    Raises:
        SpecError: its earlier trials were priced in another one.
    """
    before = read_spent(storage, study).money
    if price is not None and before is not None and before.currency != price.currency:
        raise SpecError(
            [
                f"--price-per-hour {price}: earlier trials of {study} were priced in "
                f"{before.currency}: give the price in it"
            ]
        )
