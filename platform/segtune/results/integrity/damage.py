"""What of a study is lost: damaged files of its tables, and finished trials without scores.

A trial is finished where its row says so and its scores can be read. Disks lose what they held, and
people remove files: a trial whose results are lost is trained again by the next `segtune run`, and
until then it is in no mean.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segtune.results import tables
from segtune.results.integrity.parquet_files import damaged
from segtune.results.storage import Place, Storage
from segtune.study.trial import TESTED

DAMAGED = "damaged"
"""The status of such a trial wherever it is shown."""
_READ_WHOLE: tuple[tables.TrialTable, ...] = ("trials", "scores")


def find_damage(storage: Storage, study: str) -> dict[str, str]:
    """Trial -> what of it is lost. Rows and scores are read, of the other tables the ends of files.

    Raises:
        OSError: the storage does not give a file; the message names it.
    """
    bad: dict[Place, str] = {}
    trials, scores = (tables.read(storage, study, t, damaged=bad) for t in _READ_WHOLE)
    for table in tables.TRIAL_TABLES:
        if table not in _READ_WHOLE:
            bad |= damaged(tables.table_dir(storage, study, table).files("*.parquet"))
    return lost(trials.to_pylist(), scores, bad)


def lost(
    trials: Sequence[Mapping[str, Any]], scores: pa.Table, bad: Mapping[Place, str]
) -> dict[str, str]:
    """Trial -> what of it is lost.

    Args:
        trials: the rows that could be read.
        scores: those that could be read.
        bad: file of a trial's table -> why it is damaged.
    """
    found: dict[str, str] = {}
    for file, why in bad.items():
        found.setdefault(tables.trial_of(file), f"{file} is damaged: {why}")
    for trial_id in without_scores(trials, scores):
        found.setdefault(trial_id, "its scores are not there")
    return found


def set_apart(trials: pd.DataFrame, lost: Mapping[str, str]) -> pd.DataFrame:
    """The rows of trials, where those with something lost are `damaged` and say what."""
    apart, found = trials.copy(), trials["trial_id"].isin(list(lost))
    apart.loc[found, "status"] = DAMAGED
    apart["error"] = apart["error"].astype(object).where(~found, apart["trial_id"].map(lost))
    return apart


def without_scores(trials: Iterable[Mapping[str, Any]], scores: pa.Table) -> list[str]:
    """Trials that have ended by their rows, without the scores that they ended with.

    A finished one has those of its best epoch on val, and on test where others have them that were
    tested on the same data; one that a scheduler stopped has some.
    """
    known = scores.group_by(["trial_id", "split", "epoch"]).aggregate([])
    there = set(zip(*(known[c].to_pylist() for c in ("trial_id", "split", "epoch")), strict=True))
    ended = [r for r in trials if r["status"] in ("finished", "pruned")]
    tested = {trial_id for trial_id, split, _ in there if split == "test"}
    tested_data = {_data(r) for r in ended if r["trial_id"] in tested}
    scored = set(pc.unique(scores["trial_id"]).to_pylist())
    missing = []
    for row in ended:
        trial_id, best = row["trial_id"], row["best_epoch"]
        whole = trial_id in scored
        if row["status"] == "finished" and best is not None:
            whole &= (trial_id, "val", best) in there
            whole &= (
                trial_id in tested or row["role"] not in TESTED or _data(row) not in tested_data
            )
        if not whole:
            missing.append(trial_id)
    return missing


def _data(row: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(row["config"] or "{}").get("data"), sort_keys=True)
