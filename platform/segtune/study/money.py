"""Amounts of money with their currency, and budgets: what a study may take."""

import math
import re
from dataclasses import dataclass

from segtune.study.overrides import SpecError

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{3})")
_HOURS = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*[hH]")


@dataclass(frozen=True)
class Money:
    """An amount, or what an hour costs."""

    amount: float
    currency: str
    """Three letters, such as EUR."""

    def __str__(self) -> str:
        return f"{self.amount:,.2f} {self.currency}"

    @property
    def written(self) -> str:
        """As it can be read back."""
        return f"{self.amount}{self.currency}"

    def __mul__(self, times: float) -> "Money":
        return Money(self.amount * times, self.currency)


@dataclass(frozen=True)
class Budget:
    """What the trials of a study, or of several, may take; one of the two is given."""

    seconds: float | None = None
    """Of trials, one after another: two trials that run for an hour at a time take two."""
    money: Money | None = None

    def __str__(self) -> str:
        return f"{self.seconds / 3600:g} h" if self.seconds is not None else str(self.money)

    @property
    def written(self) -> str:
        """As it can be read back."""
        if self.seconds is not None:
            return f"{self.seconds / 3600}h"
        assert self.money is not None
        return self.money.written


def read_money(text: str) -> Money:
    """`2.50EUR` or `2.50 EUR`.

    Raises:
        ValueError: it is not written so, or not above 0.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ValueError(f"{text}: give an amount above 0 with its currency, such as 2.50EUR")
    return Money(float(found[1]), found[2].upper())


def read_budget(text: str) -> Budget:
    """`20h` or `50EUR`.

    Raises:
        ValueError: it is neither.
    """
    hours = _HOURS.fullmatch(text.strip())
    if hours is not None and 0 < float(hours[1]) < math.inf:
        return Budget(seconds=3600 * float(hours[1]))
    try:
        return Budget(money=read_money(text))
    except ValueError:
        raise ValueError(
            f"{text}: give hours of trials or money, above 0, such as 20h or 50EUR"
        ) from None


def check_budget(budget: Budget | None, price: Money | None) -> None:
    """A budget of money needs a price in its currency.

    Raises:
        SpecError: it has none.
    """
    if budget is None or budget.money is None:
        return
    if price is None:
        raise SpecError(
            [f"--budget {budget}: what an hour of a trial costs is not known: add --price-per-hour"]
        )
    if price.currency != budget.money.currency:
        raise SpecError(
            [f"--budget {budget} and --price-per-hour {price}: give both in one currency"]
        )
