"""The tuning trials of each arm, which ran before its seeds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segtune.report.page.text import changes_text
from segtune.results.measures import Measure, selecting_measure
from segtune.results.study_rows import MACRO
from segtune.results.study_scores import StudyScores


@dataclass(frozen=True)
class Candidate:
    """One tuned trial."""

    arm: str
    changes: str
    """What it changes, as text."""
    settings: Mapping[str, Any]
    """Dotted field -> value tried."""
    status: str
    value: float | None
    """On val at its best epoch; None where it has no score."""
    chosen: bool
    """Whether it is the best of its arm, whose settings the seeds ran with."""


def candidates(study: StudyScores) -> tuple[Measure | None, tuple[Candidate, ...]]:
    """All tuning trials by arm, in the order in which they were tried."""
    rows = study.rows
    if rows.of("tune").empty:
        return None, ()
    selecting = selecting_measure(rows)
    measure, class_name = selecting or (None, MACRO)
    found = study.values(measure, "val") if measure is not None else {}
    listed = []
    for arm in rows.arms:
        trials = rows.of("tune", arm=arm)
        scored = {str(t): found.get((str(t), class_name)) for t in trials["trial_id"]}
        finished = {
            str(t): v
            for t, status in zip(trials["trial_id"], trials["status"], strict=True)
            if status == "finished" and (v := scored[str(t)]) is not None and v == v
        }
        pick = max if measure is None or measure.higher_is_better else min
        best = pick(finished, key=lambda t: finished[t]) if finished else None
        for trial, changes, status in zip(
            trials["trial_id"], trials["changes"], trials["status"], strict=True
        ):
            settings = json.loads(changes) if isinstance(changes, str) else {}
            value = scored[str(trial)]
            listed.append(
                Candidate(arm, changes_text(settings), settings, str(status), value, trial == best)
            )
    return measure, tuple(listed)
