"""Means, or other reductions, over the images or cases of a split."""

from collections.abc import Iterable, Sequence

import numpy as np

from segcore.metrics.images import POOLED
from segcore.metrics.metric import Metric
from segcore.metrics.table import METRICS
from segcore.training.events import ImageScore, Score

MACRO = "macro"
"""The class that is the mean of the class means."""


def aggregate(images: Iterable[ImageScore]) -> tuple[Score, ...]:
    """The values of a set, in the order in which classes and metrics first appear.

    Images whose value is NaN are not counted; `n` says how many are. The classes of a metric and
    protocol end with `macro`: the mean of the class means, over classes that any image defines;
    its `n` counts the images that define at least one.
    """
    groups: dict[tuple[str, str, str], dict[str, list[ImageScore]]] = {}
    for s in images:
        row = (s.split, s.resolution, f"{s.metric}.{s.protocol}")
        groups.setdefault(row, {}).setdefault(s.class_name, []).append(s)
    scores = []
    for (split, resolution, key), by_class in groups.items():
        metric: Metric = METRICS.choose(key)
        what = (metric.name, metric.protocol, metric.direction, metric.unit, metric.label)
        means = {}
        counted: set[str] = set()
        for name, members in by_class.items():
            defined = [s for s in members if not np.isnan(s.value)]
            mean = _reduced(metric, defined)
            scores.append(Score(split, resolution, name, *what, mean, len(defined)))
            if name != POOLED:
                means[name] = mean
                counted |= {s.sample_id for s in defined}
        if means:
            macro = _mean([m for m in means.values() if not np.isnan(m)])
            scores.append(Score(split, resolution, MACRO, *what, macro, len(counted)))
    return tuple(scores)


def _reduced(metric: Metric, defined: Sequence[ImageScore]) -> float:
    if metric.reduce is None or not defined:
        return _mean([s.value for s in defined])
    return metric.reduce([s.value if s.curve is None else s.curve for s in defined])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
