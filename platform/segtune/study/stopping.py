"""When a search stops a trial early, as values. Ray's schedulers are made of them in
`schedulers.py`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(strict=True, extra="forbid")
Direction = Literal["maximize", "minimize"]

EPOCHS = "schedule.epochs"
"""The field that says how long a trial trains; schedulers count epochs."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Asha:
    """Asynchronous successive halving: at each rung the best 1 / `reduction_factor` of the trials
    that came so far go on.

    Rungs lie at `grace_period` * `reduction_factor` ** k epochs. A trial that reaches its last
    epoch is never stopped.
    """

    metric: str | None = None
    """What trials are compared by; None takes the first objective that is a score. It is the value
    at the best epoch so far, which is what the trial would be worth if it ended there, and which
    the objectives are too."""
    grace_period: Annotated[int, Field(ge=1)] = 1
    """Epochs that every trial gets."""
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class MedianStopping:
    """The median rule: a trial goes on while its best value is no worse than the median of the
    others' means up to the same epoch."""

    metric: str | None = None
    """As of `Asha`."""
    grace_period: Annotated[int, Field(ge=1)] = 1
    """Epochs that every trial gets."""
    min_trials: Annotated[int, Field(ge=1)] = 3
    """Others that must have come as far before any trial is stopped."""


Scheduler = Asha | MedianStopping
NAMES: dict[type[Asha] | type[MedianStopping], str] = {Asha: "asha", MedianStopping: "median"}
"""What a stopped trial is said to be stopped by."""
