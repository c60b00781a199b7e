"""Test scores in which patients weigh alike, however many images each has.

A score over images asks how good an arm is on an image. Where few patients have most of the images,
it is theirs, and a difference in it is as uncertain as if there were few patients. A score over
patients asks how good it is on a patient: the mean over the patient's images, then the mean over
patients. That is another question; a study says beforehand which it asks (`Ablation.weights`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from segtune.results.folds import LOOKED_AT_ONCE

_ROW = ["trial_id", "split", "resolution", "metric", "protocol", "class_name"]
_MACRO, _POOLED = "macro", "pooled"
"""In the place of a class: the mean over classes, and all foreground as one mask."""


def patients_alike(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables with test and external scores over patients in place of those over images.

    Replaced are the means over images in `scores`, of a class, of all foreground as one mask, and
    over classes. What is computed of the whole set at once (Dice of all pixels together, the best
    threshold of the set) knows no patients and stays.

    Args:
        frames: the tables `scores` and `images`, and any others.
    """
    images, scores = frames["images"], frames["scores"]
    own = images[images["split"].isin(LOOKED_AT_ONCE)]
    over_images = _with_macro(own.groupby(_ROW)["value"].mean())
    per_patient = own.groupby([*_ROW, "patient_id"], dropna=False)["value"].mean()
    over_patients = _with_macro(per_patient.groupby(level=_ROW).mean())
    rows = pd.MultiIndex.from_frame(scores[_ROW])
    before, after = (found.reindex(rows).to_numpy() for found in (over_images, over_patients))
    is_mean = np.isclose(before, scores["value"], rtol=1e-6, atol=1e-9)
    changed = scores.assign(value=np.where(is_mean, after, scores["value"]))
    return {**frames, "scores": changed}


def _with_macro(values: "pd.Series[float]") -> "pd.Series[float]":
    """Values by class, with their mean over classes."""
    rows = values.reset_index()
    rows = rows[rows["class_name"] != _MACRO]
    classes = rows[rows["class_name"] != _POOLED]
    keys = [key for key in _ROW if key != "class_name"]
    macro = classes.groupby(keys)["value"].mean().reset_index().assign(class_name=_MACRO)
    return pd.concat([rows, macro]).set_index(_ROW)["value"]
