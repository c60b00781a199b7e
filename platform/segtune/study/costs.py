"""What a trial cost, as numbers that a search can minimize or limit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segtune.study.stopping import Direction

COSTS: Mapping[str, Direction] = {
    "peak_memory_bytes": "minimize",
    "optimizer_state_bytes": "minimize",
    "seconds_per_step": "minimize",
    "trainable_parameters": "minimize",
}
"""Name of a cost -> its direction: less is better.

`peak_memory_bytes` and `optimizer_state_bytes` are the most that the first worker held at once;
`seconds_per_step` is the mean over all steps but the first, which includes starting up. It is a
mean and no median because low-rank bases are refreshed once in many steps.
"""
PARTS = ("data", "forward", "backward", "optimizer", "refresh")
"""Of a step; the table `steps` has the seconds of each."""
_SECONDS = [f"seconds_{part}" for part in PARTS]
STEP_COLUMNS = ["trial_id", "step", "peak_memory_bytes", "optimizer_state_bytes", *_SECONDS]


def costs(trials: Sequence[Mapping[str, Any]], steps: pa.Table) -> dict[str, dict[str, float]]:
    """Compute the costs of trials: trial -> cost -> value. What was not measured is left out.

    Args:
        trials: rows of `trials`.
        steps: the table `steps`.
    """
    frame = steps.select(STEP_COLUMNS).to_pandas()
    frame["seconds_per_step"] = frame[_SECONDS].sum(axis=1, min_count=1)
    largest = frame.groupby("trial_id")[["peak_memory_bytes", "optimizer_state_bytes"]].max()
    seconds = steady(frame).groupby("trial_id")["seconds_per_step"].mean()
    found: dict[str, dict[str, float]] = {}
    for trial in trials:
        name = trial["trial_id"]
        measured = {"trainable_parameters": trial.get("trainable_parameters")}
        if name in largest.index:
            measured |= {k: largest.at[name, k] for k in largest.columns}
            measured["seconds_per_step"] = seconds.get(name)
        found[name] = {k: float(v) for k, v in measured.items() if v is not None and np.isfinite(v)}
    return found


def steady(steps: pd.DataFrame) -> pd.DataFrame:
    """The steps of each trial in their order, without its first, which pays for starting up and
    counts only where it is alone."""
    ordered = steps.sort_values(["trial_id", "step"])
    alone = ordered.groupby("trial_id")["step"].transform("size") == 1
    return ordered[ordered.duplicated("trial_id") | alone]
