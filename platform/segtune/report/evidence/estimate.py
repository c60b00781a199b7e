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

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and it lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
