"""Scores of networks and masks that were evaluated after their study, and of which images.

An evaluation is of one trial (or of several together, or of masks that another program predicted),
on one split of one data set, at one size, told and seen in one way. It has a file in each of the
tables `evaluations` and `evaluated_images`: evaluated again, its file is replaced.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from segtune.results import tables
from segtune.results.provenance import Origin
from segtune.results.storage import Place, Storage


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was evaluated."""

    trial_id: str | None
    """None of an ensemble, and of masks that another program predicted."""
    arm: str | None
    seed: int | None
    source: Literal["checkpoint", "ensemble", "predictions"]
    source_hash: str
    """Of the trained tensors, or of the masks."""
    members: tuple[str, ...] = ()
    """Of an ensemble: its trials, or the folders of checkpoints that lie elsewhere, in order."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What it was evaluated on, and how."""

    data: str
    """Name of the data set."""
    settings: Mapping[str, Any]
    """By dotted field: of the data what differs from defaults; of prompts and test-time
    augmentation what differs from how training tested."""
    data_hash: str
    split: str
    resolution: str
    prompts: str | None
    """Boxes that the system was told; None of masks, which do not say."""
    device: str


def name_of(subject: Subject, setting: Setting) -> str:
    """The name of an evaluation: the same for one that is done again, whatever it finds."""
    what = [subject.trial_id, subject.arm, subject.seed, setting.data, dict(setting.settings)]
    where = [setting.data_hash, setting.split, setting.resolution]
    members = [[*subject.members]] if subject.members else []
    text = json.dumps([*what, *where, *members], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(
    storage: Storage,
    study: str,
    subject: Subject,
    setting: Setting,
    origin: Origin,
    *,
    scores: Sequence[Mapping[str, Any]],
    images: Sequence[Mapping[str, Any]],
) -> str:
    """Put an evaluation on disk, in place of its rows of before.

    Rows of metrics that were not computed this time stay, if they are of the same source.

    Args:
        storage: the folder that holds the studies.
        study: whose evaluation it is.
        subject: what was evaluated.
        setting: on what.
        origin: which code ran.
        scores: columns of each value of the set.
        images: columns of each value of an image or case.

    Returns:
        The evaluation's name.
    """
    name = name_of(subject, setting)
    file = f"{name}.parquet"
    own = {"trial_id": subject.trial_id, "arm": subject.arm, "seed": subject.seed}
    key = {"evaluation": name, **own, "split": setting.split, "resolution": setting.resolution}
    about = {
        **key,
        "data": setting.data,
        "settings": json.dumps(setting.settings, sort_keys=True),
        "data_hash": setting.data_hash,
        "prompts": setting.prompts,
        "source": subject.source,
        "source_hash": subject.source_hash,
        "members": [*subject.members] or None,
        "device": setting.device,
        "git_commit": origin.git_commit,
        "git_dirty": origin.git_dirty,
        "command": origin.command,
        "evaluated": datetime.now(UTC),
    }
    new = {(s["metric"], s["protocol"]) for s in scores}
    before = tables.read_file(storage, study, "evaluations", file).to_pylist()
    kept = {
        (r["metric"], r["protocol"])
        for r in before
        if r["source_hash"] == subject.source_hash and (r["metric"], r["protocol"]) not in new
    }

    def staying(table: tables.TableName) -> list[dict[str, Any]]:
        rows = tables.read_file(storage, study, table, file).to_pylist() if kept else []
        return [r for r in rows if (r["metric"], r["protocol"]) in kept]

    of_images = [*staying("evaluated_images"), *({**key, **i} for i in images)]
    of_sets = [*staying("evaluations"), *({**about, **s} for s in scores)]
    tables.put(storage, study, "evaluated_images", file, of_images)
    tables.put(storage, study, "evaluations", file, of_sets)
    return name


def trial_of(checkpoint: Place) -> tuple[Place, str, str] | None:
    """Storage, study and trial of a checkpoint by where it lies; None of one that lies elsewhere.

    Args:
        checkpoint: a trial's folder, `<storage>/<study>/train/<trial>`, or an epoch's in it.
    """
    text, question, options = str(checkpoint).partition("?")
    parts = text.rstrip("/").split("/")
    if parts[-1].startswith("epoch-"):
        parts = parts[:-1]
    if len(parts) < 4 or parts[-2] != "train":
        return None
    storage = "/".join(parts[:-3]) + question + options
    try:
        return Place.of(storage or "/"), parts[-3], parts[-1]
    except ValueError:  # a bucket alone holds no study
        return None
