"""Two arms image by image: does one win everywhere, or on a few images?"""

from dataclasses import dataclass

import pandas as pd

from segtune.results.measures import Measure, choose, select
from segtune.results.study_rows import StudyRows


@dataclass(frozen=True)
class Agreement:
    """An arm against the baseline on the images that both were tested on."""

    arm: str
    baseline: str
    sample_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    of_baseline: tuple[float, ...]
    of_arm: tuple[float, ...]
    """Per image: mean over the classes that the image defines, then over the arm's seeds."""

    @property
    def wins(self) -> int:
        """Images on which the arm's value is the larger one."""
        return sum(a > b for a, b in zip(self.of_arm, self.of_baseline, strict=True))


def image_scores(
    rows: StudyRows, metric: str = "dice", split: str = "test"
) -> tuple[Measure | None, pd.DataFrame]:
    """One row per image (index: sample_id, patient_id), one column per arm; NaN is undefined.

    An image's value is the mean over the classes that it defines, then over the finished seeds.
    """
    measure = choose(rows, metric, split)
    if measure is None:
        return None, pd.DataFrame()
    images = select(rows.images, measure, split)
    images = images[images["class_name"].isin(rows.classes)]
    finished = rows.trials[(rows.trials["role"] == "arm") & (rows.trials["status"] == "finished")]
    joined = images.merge(finished[["trial_id", "arm"]], on="trial_id")
    keys = ["arm", "sample_id", "patient_id"]
    per_trial = joined.groupby([*keys, "trial_id"])["value"].mean()
    return measure, per_trial.groupby(keys).mean().unstack("arm")


def agreements(rows: StudyRows) -> tuple[Measure | None, tuple[Agreement, ...]]:
    """Every arm against the baseline; arms without a common image are left out."""
    measure, table = image_scores(rows)
    base = rows.baseline
    if measure is None or base is None or base not in table:
        return measure, ()
    found = []
    for arm in rows.arms:
        if arm == base or arm not in table:
            continue
        both = table[[base, arm]].dropna()
        if len(both):
            found.append(
                Agreement(
                    arm,
                    base,
                    tuple(str(s) for s in both.index.get_level_values("sample_id")),
                    tuple(str(p) for p in both.index.get_level_values("patient_id")),
                    tuple(float(v) for v in both[base]),
                    tuple(float(v) for v in both[arm]),
                )
            )
    return measure, tuple(found)
