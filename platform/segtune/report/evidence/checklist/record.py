"""What is on record of how a study ran, as words: trials, images, code, versions, settings."""

import json

import pandas as pd

from segtune.report.page.text import MISSING, count, dotted
from segtune.results.study_rows import StudyRows

_STATUSES = ("finished", "dirty", "running", "pruned", "failed", "damaged", "cancelled")
_COMMIT_DIGITS = 10


def status_text(trials: pd.DataFrame) -> str:
    """`8 finished, 1 failed`."""
    counts = trials["status"].value_counts().to_dict()
    known = [*_STATUSES, *sorted(set(map(str, counts)) - set(_STATUSES))]
    return ", ".join(f"{counts[s]} {s}" for s in known if counts.get(s))


def images_text(rows: StudyRows) -> str:
    """Images per split; with patients, where images were scored one by one."""
    shown = []
    for split in ("val", "test", "external"):
        of_split = rows.single_images[rows.single_images["split"] == split]
        scored = rows.scores[rows.scores["split"] == split]
        if len(of_split):
            patients = of_split["patient_id"].nunique()
            images = of_split["sample_id"].nunique()
            shown.append(f"{split} {images} (of {count(patients, 'patient')})")
        elif scored["n"].notna().any():
            shown.append(f"{split} {int(scored['n'].max())}")
    return ", ".join(shown) or "none scored yet"


def synthetic(rows: StudyRows) -> bool:
    """Whether images of any trial are rendered."""
    return any("synthetic" in name for name in settings(rows, "data.name"))


def settings(rows: StudyRows, field: str) -> set[str]:
    """What the trials' configurations say at a dotted field."""
    found = set()
    for text in rows.trials["config"].dropna().unique():
        value = dotted(json.loads(text), field)
        if value is not MISSING:
            found.add(str(value))
    return found


def unique(column: "pd.Series[str]") -> list[str]:
    """The values that are there, in order, each once."""
    return sorted(str(v) for v in column.dropna().unique())


def commits(trials: pd.DataFrame) -> list[str]:
    """Each commit, marked where a trial ran with changes on top of it."""
    dirty = trials[trials["git_dirty"].fillna(False).astype(bool)]
    changed = set(unique(dirty["git_commit"]))
    return [
        c[:_COMMIT_DIGITS] + (" + uncommitted changes" if c in changed else "")
        for c in unique(trials["git_commit"])
    ]


def versions(trials: pd.DataFrame) -> str:
    """`numpy 2.1.0, torch 2.7.0`; several versions of a package side by side."""
    packages: dict[str, set[str]] = {}
    for text in unique(trials["versions"]):
        for package, version in json.loads(text).items():
            packages.setdefault(package, set()).add(str(version))
    shown = [f"{p} {'/'.join(sorted(v))}" for p, v in sorted(packages.items())]
    return ", ".join(shown) or "not recorded"
