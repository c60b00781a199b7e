"""A mean and how sure it is."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Estimate:
    """A mean with its two-sided 95 % interval."""

    mean: float
    low: float | None
    """None where there was only one value: no interval can be given."""
    high: float | None
    n: int
    """Values that the mean is over."""
    sd: float | None = None
    """Sample standard deviation of the values; None for one value."""


class Tested(Protocol):
    """A mean that can be tested: over seeds and patients (`crossed`), or over data sets."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def p(self) -> float:
        """Two-sided p of no difference."""

    def interval(self, alpha: float = ...) -> Estimate:
        """The two-sided interval that misses the truth in a share `alpha` of studies."""

    def p_above(self, limit: float) -> float:
        """One-sided p against a mean of `limit` or less."""

    def p_below(self, limit: float) -> float:
        """One-sided p against a mean of `limit` or more."""
