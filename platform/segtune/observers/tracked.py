"""A trial as a tracking tool's run is made of it, read from the tables."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from segtune.results import tables
from segtune.results.storage import Storage
from segtune.results.trial_rows import BEST, VAL

CURVES: Mapping[str, str] = {
    "loss": "train/loss",
    "images_per_second": "train/images_per_second",
    "peak_memory_bytes": "train/peak_memory_bytes",
}
"""What a trial reports -> the name of its curve. Its scores on val have curves of their own."""
UNITS: Mapping[str, str] = {"fraction": "", "px": "_pixels"}
"""What the name of a score's curve ends with; of other units their name."""


@dataclass(frozen=True)
class TrackedTrial:
    """What a run says of its trial."""

    study: str
    trial_id: str
    group: str
    """Its arm, or what it is for where it has none."""
    identity: str
    """The same for all attempts of this trial, another for a trial of this name in other results.
    """
    tags: Mapping[str, str]
    settings: Mapping[str, str | int | float | bool | None]
    """Dotted field -> value, of the whole configuration without locations."""
    changes: str
    """Against the study's baseline, for a person."""
    started: datetime
    units: Mapping[str, str]
    """Score on val -> its unit."""

    @property
    def curves(self) -> dict[str, str]:
        """What the trial reports -> the name of its curve: `val/assd` -> `val/assd_pixels`."""
        return {**CURVES, **{f"{VAL}{n}": f"{VAL}{n}{_ending(u)}" for n, u in self.units.items()}}


@dataclass(frozen=True)
class Ending:
    """What became of a trial."""

    status: str
    """`finished`, `pruned`, `failed` or `cancelled`."""
    error: str | None = None
    epoch: int = 0
    """The best one on val, which was tested; 0 where there is none."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Scores at that epoch: `best/dice` on val, `test/dice`."""
    ended: datetime | None = None


def tracked_trial(storage: Storage, study: str, trial_id: str) -> TrackedTrial:
    """A trial as the tables have it.

    Raises:
        FileNotFoundError: the tables have no row of it, as may be on a slow network file system.
    """
    rows = tables.read(storage, study, "trials", trial_id=trial_id).to_pylist()
    if not rows:
        raise FileNotFoundError(f"the tables have no row of {trial_id} yet")
    (row,) = rows
    first = tables.read_file(storage, study, "trials", f"{trial_id}-a1.parquet").to_pylist()
    started: datetime = (first or rows)[0]["started"]
    scores = tables.read(storage, study, "scores", trial_id=trial_id).to_pylist()
    changes = json.loads(row["changes"])
    optional = {name: row[name] for name in ("arm", "fold", "number", "git_commit", "study_commit")}
    return TrackedTrial(
        study=study,
        trial_id=trial_id,
        group=row["arm"] or row["role"],
        identity=f"{study}/{trial_id}@{started.isoformat()}",
        tags={
            "role": row["role"],
            "seed": str(row["seed"]),
            **{name: str(value) for name, value in optional.items() if value is not None},
        },
        settings=_settings(json.loads(row["config"])),
        changes=", ".join(f"{field} = {value}" for field, value in changes.items()),
        started=started,
        units={s["metric"]: s["unit"] for s in scores if _is_curve(s)},
    )


def ending_of(
    storage: Storage, study: str, trial_id: str, status: str | None = None, error: str | None = None
) -> Ending:
    """How a trial ended, with its scores at the best epoch, as the tables have it.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        trial_id: the trial.
        status: what became of it where that is known already; None takes what its row says.
        error: why it failed, likewise.
    """
    rows = tables.read(storage, study, "trials", trial_id=trial_id).to_pylist()
    if not rows:
        return Ending(status or "failed", error)
    (row,) = rows
    epoch = row["best_epoch"] or 0
    values: dict[str, float] = {}
    for s in tables.read(storage, study, "scores", trial_id=trial_id).to_pylist():
        if s["class_name"] == "macro" and (s["split"] != "val" or s["epoch"] == epoch):
            where = BEST if s["split"] == "val" else f"{s['split']}/"
            # the first protocol of a metric stands for it
            values.setdefault(f"{where}{s['metric']}{_ending(s['unit'])}", s["value"])
    if status is None:
        status, error = row["status"], row["error"]
    return Ending(status, error, epoch, values, row["ended"])


def history(storage: Storage, study: str, trial_id: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Epoch by epoch, what a trial reported, read from the tables."""
    steps = tables.read(storage, study, "steps", trial_id=trial_id).to_pandas()
    scores = tables.read(storage, study, "scores", trial_id=trial_id).to_pandas()
    macro = scores[(scores["split"] == "val") & (scores["class_name"] == "macro")]
    means = steps.groupby("epoch")[["loss", "images_per_second"]].mean()
    means["peak_memory_bytes"] = steps.groupby("epoch")["peak_memory_bytes"].max()
    for epoch, row in means.iterrows():
        of_val = macro[macro["epoch"] == epoch]
        firsts = of_val.drop_duplicates("metric")  # the protocol that stands for the metric
        found = dict(zip(VAL + firsts["metric"], firsts["value"], strict=True))
        yield int(str(epoch)), {**row.dropna().to_dict(), **found}


def _settings(value: Any, field: str = "") -> dict[str, str | int | float | bool | None]:
    """Dotted field -> value; a choice from a table stands as its name."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {field: value}
    found: dict[str, str | int | float | bool | None] = {}
    for key, inner in value.items():
        inside = field if key == "name" else f"{field}.{key}" if field else str(key)
        found |= _settings(inner, inside)
    return found


def _is_curve(score: Mapping[str, Any]) -> bool:
    return bool(score["split"] == "val" and score["class_name"] == "macro")


def _ending(unit: str) -> str:
    return UNITS.get(unit, f"_{unit}")
