"""How a score spreads over the images, by class."""

from dataclasses import dataclass

from segtune.results.measures import Measure, choose, select
from segtune.results.study_rows import MACRO, POOLED, StudyRows


@dataclass(frozen=True)
class Spread:
    """One arm and class: one value per image, each the mean over the arm's seeds."""

    arm: str
    class_name: str
    sample_ids: tuple[str, ...]
    values: tuple[float, ...]
    undefined: int
    """Images that no seed defines the metric of, left out."""


def spreads(
    rows: StudyRows, metric: str = "dice", split: str = "test"
) -> tuple[Measure | None, tuple[Spread, ...]]:
    """Per arm and class, over the images that the finished trials were tested on."""
    measure = choose(rows, metric, split)
    if measure is None:
        return None, ()
    images = select(rows.images, measure, split)
    images = images[~images["class_name"].isin([MACRO, POOLED])]
    found = []
    for arm in rows.arms:
        trials = rows.of("arm", arm=arm, status="finished")["trial_id"]
        of_arm = images[images["trial_id"].isin(trials)]
        for class_name in rows.classes:
            of_class = of_arm[of_arm["class_name"] == class_name]
            per_image = of_class.groupby("sample_id")["value"].mean()
            there = per_image.dropna()
            if len(there):
                found.append(
                    Spread(
                        arm,
                        class_name,
                        tuple(str(s) for s in there.index),
                        tuple(float(v) for v in there),
                        len(per_image) - len(there),
                    )
                )
    return measure, tuple(found)
