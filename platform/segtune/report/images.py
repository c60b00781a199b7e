"""Scores image by image, side by side for all trials.

Shape suffixes: S seeds, I images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segtune.report.load import MACRO, POOLED, StudyRows
from segtune.report.measures import Measure, select
from segtune.report.stats import Values


@dataclass(frozen=True, eq=False)
class ImageScores:
    """One measure of every image and class, of all trials that were scored in it."""

    samples: tuple[str, ...]
    patients: tuple[str, ...]
    """Of each image."""
    classes: tuple[str, ...]
    of_trial: Mapping[str, Values]
    """Trial -> (I, C); NaN where an image does not define a class."""

    def stack(self, trials: Sequence[str], class_name: str = MACRO) -> Values:
        """Scores of several trials, (S, I, C); of one class alone where it is named."""
        stacked = np.stack([self.of_trial[t] for t in trials])
        if class_name == MACRO:
            return stacked
        keep = [i for i, c in enumerate(self.classes) if c == class_name]
        return stacked[:, :, keep]


def image_scores(rows: StudyRows, measure: Measure, split: str) -> ImageScores:
    """The images' own scores, without their means over classes."""
    own = select(rows.images, measure, split)
    own = own[~own["class_name"].isin([MACRO, POOLED])]
    there = {str(c) for c in own["class_name"].unique()}
    classes = tuple(dict.fromkeys([*(c for c in rows.classes if c in there), *sorted(there)]))
    index: list[tuple[str, str]] = sorted(
        {(str(p), str(s)) for p, s in zip(own["patient_id"], own["sample_id"], strict=True)}
    )
    place = {key: i for i, key in enumerate(index)}
    column = {name: i for i, name in enumerate(classes)}
    found = {
        str(trial): _grid(of_trial, place, column) for trial, of_trial in own.groupby("trial_id")
    }
    return ImageScores(tuple(s for _, s in index), tuple(p for p, _ in index), classes, found)


def _grid(
    own: pd.DataFrame, place: Mapping[tuple[str, str], int], column: Mapping[str, int]
) -> Values:
    """One trial's values, (I, C)."""
    grid = np.full((len(place), len(column)), np.nan)
    keys = zip(own["patient_id"], own["sample_id"], strict=True)
    at = [place[str(p), str(s)] for p, s in keys]
    grid[at, [column[str(c)] for c in own["class_name"]]] = own["value"]
    return grid
