"""A mean and how sure it is."""

from dataclasses import dataclass


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
