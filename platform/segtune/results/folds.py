"""A seed's folds as one trial: means over the parts of a cross-validation.

The trainings of a cross-validation share most of their images, so they are not as many independent
trials: an interval over them would be too narrow. What the report compares is a seed's mean over
its folds, and the seeds and the patients of test are what its intervals are over.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from segtune.study.trial import ARM_TRIAL, arm_trial_id

Frames = Mapping[str, pd.DataFrame]
"""The tables of a study, by name."""
_SCORE = ["split", "resolution", "class_name", "metric", "protocol"]
_MEANS: Mapping[str, list[str]] = {
    "steps": ["step"],
    "scores": ["epoch", *_SCORE],
    "images": ["split", "resolution", "sample_id", "class_name", "metric", "protocol"],
}
"""What makes rows of different folds one and the same, table by table."""
LOOKED_AT_ONCE = ("test", "external")
"""Splits that are scored at the best epoch alone."""


def mean_over_folds(frames: Frames, folds: int) -> dict[str, pd.DataFrame]:
    """The tables with one trial in the place of a seed's folds.

    - It has the status `finished` once all folds have it, and is called `lora-s0`.
    - On val: the mean of the epochs that every fold has; image by image, each image's own fold.
    - On test and external: the mean of the folds, each at its own best epoch. The trial's best
      epoch is the median of theirs.
    - What was evaluated afterwards: the mean of the folds where each of them was; a fold that was
      evaluated without the others stays a trial of its own.
    - A value that is not defined (NaN) in one fold is not defined in the mean either.
    - Pictures are those of the first fold.

    Args:
        frames: `trials`, `steps`, `scores`, `images`, `pictures` and `evaluations`.
        folds: how many there are.
    """
    trials = frames["trials"]
    parts = trials[trials["fold"].notna()]
    merged = parts["trial_id"].map(trial_of_fold)
    names = dict(zip(parts["trial_id"], merged, strict=True))
    rows = pd.DataFrame([_trial(name, of, folds) for name, of in parts.groupby(merged, sort=False)])
    found = dict(frames)
    if rows.empty:
        return found
    kinds = {column: kind for column, kind in trials.dtypes.items() if column != "fold"}
    found["trials"] = pd.concat([trials[trials["fold"].isna()], rows.astype(kinds)])
    best = dict(zip(rows["trial_id"], rows["best_epoch"], strict=True))
    for table, keys in _MEANS.items():
        found[table] = _means(frames[table], names, keys, best, folds)
    first = {t for t, fold in zip(parts["trial_id"], parts["fold"], strict=True) if fold == 0}
    found["pictures"] = _renamed(frames["pictures"], names, only=first)
    if not frames["evaluations"].empty:
        keys = ["data", "settings", "source", *_SCORE]
        found["evaluations"] = _evaluated(frames["evaluations"], names, keys, folds)
    return found


def trial_of_fold(trial_id: str) -> str:
    """`lora-s0` of `lora-s0-f2`; any other name as it is."""
    found = ARM_TRIAL.fullmatch(trial_id)
    return trial_id if found is None else arm_trial_id(found["arm"], int(found["seed"]))


def _evaluated(
    frame: pd.DataFrame, names: Mapping[str, str], keys: list[str], folds: int
) -> pd.DataFrame:
    """The rows of trials without folds and of folds that lack others, and means of the rest."""
    merged = frame.assign(trial_id=frame["trial_id"].map(names))
    sizes = merged.groupby(["trial_id", *keys], dropna=False)["value"].transform("size")
    whole = merged["trial_id"].notna() & (sizes == folds)
    if not whole.any():
        return frame
    # Hashes of val differ from fold to fold: every arm has those of the same one.
    ordered = frame[whole].sort_values("trial_id", kind="stable")
    means = _means(ordered, names, keys, {}, folds)
    return pd.concat([frame[~whole], means], ignore_index=True)


def _trial(name: Any, parts: pd.DataFrame, folds: int) -> pd.Series:
    parts = parts.sort_values("fold")
    row = parts.iloc[0].copy()
    others = parts.loc[parts["status"] != "finished", "status"]
    if len(parts) < folds:
        row["status"] = "running" if others.empty else others.iloc[0]
    else:
        row["status"] = "finished" if others.empty else others.iloc[0]
    row["trial_id"], row["fold"] = name, None
    row["data_hash"] = " ".join(parts["data_hash"].dropna())
    row["cost"] = parts["cost"].sum(skipna=False)
    row["started"], row["ended"] = parts["started"].min(), parts["ended"].max()
    if parts["best_epoch"].notna().all():
        row["best_epoch"] = int(parts["best_epoch"].median())
    return row


def _means(
    frame: pd.DataFrame,
    names: Mapping[str, str],
    keys: list[str],
    best: Mapping[str, Any],
    folds: int,
) -> pd.DataFrame:
    """The rows of trials without folds, and means of those with."""
    own = frame["trial_id"].isin(names.keys())
    parts = frame[own].assign(trial_id=frame.loc[own, "trial_id"].map(names))
    if "epoch" in keys:
        once = parts["split"].isin(LOOKED_AT_ONCE)
        parts.loc[once, "epoch"] = parts.loc[once, "trial_id"].map(best)
    numbers = [c for c in parts.select_dtypes("number") if c not in keys]
    how = {c: "mean" if c in numbers else "first" for c in parts.columns if c not in keys}
    groups = parts.groupby(["trial_id", *keys], sort=False, dropna=False)
    means = groups.agg({c: way for c, way in how.items() if c != "trial_id"}).reset_index()
    if "value" in numbers:  # pandas leaves NaN out: the mean would be that of fewer folds
        partly = groups["value"].count().to_numpy() < groups.size().to_numpy()
        means.loc[partly, "value"] = math.nan
    if {"epoch", "step"} & set(keys):  # an epoch that some folds do not have is left out
        means = means[groups.size().to_numpy() == folds]
    return pd.concat([frame[~own], means[frame.columns]], ignore_index=True)


def _renamed(frame: pd.DataFrame, names: Mapping[str, str], *, only: set[str]) -> pd.DataFrame:
    kept = frame[~frame["trial_id"].isin(names.keys() - only)]
    return kept.assign(trial_id=kept["trial_id"].map(lambda t: names.get(t, t)))
