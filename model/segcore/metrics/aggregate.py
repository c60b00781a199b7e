"""Means over the images of a split."""

from collections.abc import Iterable, Sequence

import numpy as np

from segcore.training.events import ImageScore, Score


def aggregate(images: Iterable[ImageScore]) -> tuple[Score, ...]:
    """Means over images, in the order in which classes and metrics first appear.

    Images whose value is NaN are not counted; `n` says how many are. The classes of a metric and
    protocol end with `macro`: the mean of the class means, over classes that any image defines;
    its `n` counts the images that define at least one.
    """
    groups: dict[tuple[str, int, str, str], dict[str, list[ImageScore]]] = {}
    for s in images:
        key = (s.split, s.resolution, s.metric, s.protocol)
        groups.setdefault(key, {}).setdefault(s.class_name, []).append(s)
    scores = []
    for (split, resolution, metric, protocol), by_class in groups.items():
        means = {}
        counted: set[str] = set()
        for name, members in by_class.items():
            defined = [s for s in members if not np.isnan(s.value)]
            mean = _mean([s.value for s in defined])
            scores.append(Score(split, resolution, name, metric, protocol, mean, len(defined)))
            if name != "pooled":
                means[name] = mean
                counted |= {s.sample_id for s in defined}
        if means:
            macro = _mean([m for m in means.values() if not np.isnan(m)])
            scores.append(Score(split, resolution, "macro", metric, protocol, macro, len(counted)))
    return tuple(scores)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
