"""What a study's tables say of its scores, derived once and handed down.

study = derive(load("results", "demo"))
dice = study.measure("dice", "test")
values = study.values(dice, "test")  # (trial, class) -> value at the trial's best epoch
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from segtune.results.images import ImageScores, image_means, image_scores
from segtune.results.measures import Measure, best_epochs, choose_measure, select, stacked_dice
from segtune.results.study_rows import StudyRows
from segtune.study.scores import headline

_Key = tuple[Measure, str]


@dataclass(frozen=True, eq=False)
class StudyScores:
    """A study's rows, the measures chosen for its metrics, and its scores in them."""

    rows: StudyRows
    best_epochs: Mapping[str, int]
    """Trial -> the epoch that was best on val."""
    at_best: pd.DataFrame
    """The rows of `scores` at the best epoch of their trial."""
    chosen: Mapping[tuple[str, str], Measure]
    """(Metric, split) -> the protocol and resolution at which the metric is shown."""
    stacked: Mapping[str, Measure]
    """Split -> Dice of an image's classes laid side by side, where it was scored."""
    _values: dict[_Key, Mapping[tuple[str, str], float]] = field(default_factory=dict)
    _images: dict[_Key, ImageScores] = field(default_factory=dict)
    _image_means: dict[_Key, pd.DataFrame] = field(default_factory=dict)

    def measure(self, metric: str, split: str) -> Measure | None:
        """How a metric is shown on a split; None where it was not scored there yet."""
        return self.chosen.get((metric, split))

    def measures(self, split: str) -> tuple[Measure, ...]:
        """Those that are shown of a split, in the order of the page."""
        scored = [metric for metric, of in self.chosen if of == split]
        known = [metric for metric in self._shown() if metric in scored]
        asked = [o.metric for o in self.rows.objectives if o.metric in scored]
        order = dict.fromkeys([*known, *asked] or scored)
        return tuple(self.chosen[metric, split] for metric in order)

    def _shown(self) -> list[str]:
        """What the study's definition says is always shown: what stands for a trial first."""
        always = [name for name, kind in self.rows.all_score_kinds.items() if kind.shown]
        return [*dict.fromkeys([*headline(self.rows.score_kinds), *always])]

    def leading(self, split: str) -> tuple[Measure, ...]:
        """The first measure between 0 and 1 and the first other one: an overlap and a distance."""
        shown = self.measures(split)
        kinds = ([m for m in shown if m.is_fraction is kind] for kind in (True, False))
        return tuple(of_kind[0] for of_kind in kinds if of_kind)

    def image_measure(self, split: str) -> Measure | None:
        """The measure in which single images and classes are shown; None where none was scored."""
        return next(iter(self.leading(split)), None)

    def values(self, measure: Measure, split: str) -> Mapping[tuple[str, str], float]:
        """(Trial, class) -> value at the trial's best epoch on val; NaN is kept."""
        key = (measure, split)
        if key not in self._values:
            found = select(self.at_best, measure, split)
            columns = (found["trial_id"], found["class_name"], found["value"])
            self._values[key] = {
                (str(trial), str(name)): float(value)
                for trial, name, value in zip(*columns, strict=True)
            }
        return self._values[key]

    def images(self, measure: Measure, split: str) -> ImageScores:
        """Scores of every image and class, of all trials that were scored in the measure."""
        key = (measure, split)
        if key not in self._images:
            self._images[key] = image_scores(self.rows, measure, split)
        return self._images[key]

    def image_means(self, measure: Measure, split: str) -> pd.DataFrame:
        """Per trial and image the mean over the classes that the image defines.

        Returns:
            Columns `trial_id`, `sample_id`, `patient_id` and `value`.
        """
        key = (measure, split)
        if key not in self._image_means:
            self._image_means[key] = image_means(self.rows, measure, split)
        return self._image_means[key]


def derive(rows: StudyRows) -> StudyScores:
    """Choose the measures of a study's metrics and look up every trial's best epoch."""
    best, scores = best_epochs(rows), rows.scores
    pairs = rows.scored[["metric", "split"]].drop_duplicates().itertuples(index=False, name=None)
    chosen = {
        (metric, split): measure
        for metric, split in ((str(m), str(s)) for m, s in pairs)
        if (measure := choose_measure(rows, metric, split)) is not None
    }
    splits = {split for _, split in chosen}
    found = {split: stacked_dice(rows, split) for split in sorted(splits)}
    return StudyScores(
        rows=rows,
        best_epochs=best,
        at_best=scores[scores["epoch"] == scores["trial_id"].map(best)],
        chosen=chosen,
        stacked={split: measure for split, measure in found.items() if measure is not None},
    )
