"""Scores image by image, side by side for all trials.

Shape suffixes: T trials, S seeds, I images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segtune.results.measures import Measure, select
from segtune.results.study_rows import MACRO, POOLED, StudyRows
from segtune.study.spec import Weights

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """One measure of every image and class, of all trials that were scored in it."""

    samples: tuple[str, ...]
    patients: tuple[str, ...]
    """Of each image."""
    classes: tuple[str, ...]
    of_trial: Mapping[str, Values]
    """Trial -> (I, C); NaN where an image does not define a class."""
    weights: Weights
    """What weighs alike in a mean over them."""

    def stack(self, trials: Sequence[str], class_name: str = MACRO) -> Values:
        """Scores of several trials, (S, I, C); of one class alone where it is named."""
        stacked = np.stack([self.of_trial[t] for t in trials])
        if class_name == MACRO:
            return stacked
        keep = [i for i, c in enumerate(self.classes) if c == class_name]
        return stacked[:, :, keep]


def image_scores(rows: StudyRows, measure: Measure, split: str) -> ImageScores:
    """Scores of each class in each image, without the means over classes."""
    own = select(rows.images, measure, split)
    own = own[~own["class_name"].isin([MACRO, POOLED])]
    there = {str(c) for c in own["class_name"].unique()}
    classes = tuple(dict.fromkeys([*(c for c in rows.classes if c in there), *sorted(there)]))
    images = pd.MultiIndex.from_frame(own[["patient_id", "sample_id"]])
    image, names = pd.factorize(images, sort=True)
    trial, trials = pd.factorize(own["trial_id"])
    class_ = pd.Index(classes).get_indexer(pd.Index(own["class_name"]))
    scores_TIC = np.full((len(trials), len(names), len(classes)), np.nan)
    scores_TIC[trial, image, class_] = own["value"]
    return ImageScores(
        samples=tuple(str(sample) for _, sample in names),
        patients=tuple(str(patient) for patient, _ in names),
        classes=classes,
        of_trial={str(name): scores_TIC[i] for i, name in enumerate(trials)},
        weights=rows.weights,
    )


def image_means(rows: StudyRows, measure: Measure, split: str) -> pd.DataFrame:
    """Per trial and image the mean over the classes that the image defines.

    Returns:
        Columns `trial_id`, `sample_id`, `patient_id` and `value`.
    """
    own = select(rows.images, measure, split)
    own = own[own["class_name"].isin(rows.classes)]
    keys = ["trial_id", "sample_id", "patient_id"]
    return own.groupby(keys, dropna=False)["value"].mean().reset_index()
