"""When a search stops a trial early. `segtune.search.schedulers` makes Ray's schedulers of these
values."""

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(strict=True, extra="forbid")
Direction = Literal["maximize", "minimize"]

EPOCHS = "schedule.epochs"
"""The field that says how long a trial trains; schedulers count epochs."""
EVERY = "evaluation.every"
"""The field that says after how many epochs there is a score, by which schedulers decide; a
configuration without it has one after each epoch."""


def first_decision(grace_period: int, every: int) -> int:
    """The first epoch after which a trial can be stopped: that of the first score from the grace
    period's last epoch on.

    Args:
        grace_period: epochs that every trial gets.
        every: epochs from one score to the next.
    """
    return every * math.ceil(grace_period / every)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Asha:
    """Asynchronous successive halving: at each rung the best 1 / `reduction_factor` of the trials
    that came so far go on.

    Rungs lie at `grace_period` * `reduction_factor` ** k epochs, each at the first evaluation from
    there on; the grace period lasts until one. A trial that reaches its last epoch is never
    stopped.
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
    """See `Asha.metric`."""
    grace_period: Annotated[int, Field(ge=1)] = 1
    """Epochs that every trial gets."""
    min_trials: Annotated[int, Field(ge=1)] = 3
    """How many other trials must have reached the same epoch before any trial is stopped."""


Scheduler = Asha | MedianStopping
NAMES: dict[type[Asha] | type[MedianStopping], str] = {Asha: "asha", MedianStopping: "median"}
"""Name of each scheduler, as Optuna's attribute `stopped_by` has it."""
