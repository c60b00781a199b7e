"""Scores of single test images: how they spread, and each arm against the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from segtune.report.page.look import (
    MUTED,
    Figure,
    Look,
    Looks,
    arm_keys,
    faded,
    figure,
    name,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.text import number
from segtune.results.measures import Measure, select
from segtune.results.study_rows import MACRO, POOLED
from segtune.results.study_scores import StudyScores

_MANY_IMAGES = 120
"""With more images than these a box shows its outliers only."""
_MOST_PANELS = 6
"""Arms that are drawn against the baseline image by image."""


@dataclass(frozen=True)
class Spread:
    """One arm and class: one value per image, each the mean over the arm's seeds."""

    arm: str
    class_name: str
    sample_ids: tuple[str, ...]
    values: tuple[float, ...]
    undefined: int
    """Images for which no seed defines the metric; they are left out."""


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


def spreads(study: StudyScores, split: str = "test") -> tuple[Measure | None, tuple[Spread, ...]]:
    """Per arm and class, over the images that the finished trials were tested on."""
    rows, measure = study.rows, study.image_measure(split)
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


def image_table(study: StudyScores, measure: Measure, split: str = "test") -> pd.DataFrame:
    """One row per image (index: sample_id, patient_id), one column per arm; NaN is undefined.

    An image's value is the mean over the classes that it defines, then over the finished seeds.
    """
    finished = study.rows.of("arm", status="finished")
    joined = study.image_means(measure, split).merge(finished[["trial_id", "arm"]], on="trial_id")
    keys = ["arm", "sample_id", "patient_id"]
    # Sorted, since the last digit of a mean depends on the order of its terms.
    ordered = joined.sort_values([*keys, "trial_id"])
    return ordered.groupby(keys)["value"].mean().unstack("arm")


def agreements(study: StudyScores) -> tuple[Measure | None, tuple[Agreement, ...]]:
    """Every arm against the baseline; arms without a common image are left out."""
    rows, measure, base = study.rows, study.image_measure("test"), study.rows.baseline
    if measure is None or base is None:
        return measure, ()
    table = image_table(study, measure)
    if base not in table:
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


def agreement_figure(found: Agreement, look: Look, measure: Measure) -> Figure:
    """One point per image: the baseline's value across, the arm's upwards, equality as a line."""
    ends = [min(*found.of_baseline, *found.of_arm), max(*found.of_baseline, *found.of_arm)]
    room = 0.04 * (ends[1] - ends[0]) or 0.05
    both_axes = [ends[0] - room, ends[1] + room]
    digits = measure.digits
    traces = [
        {"type": "scatter", "x": both_axes, "y": both_axes, "mode": "lines", "hoverinfo": "skip",
         "line": {"color": MUTED, "width": 1, "dash": "dot"}, "showlegend": False},
        {"type": "scatter", "x": found.of_baseline, "y": found.of_arm, "mode": "markers",
         "name": plain(found.arm), "marker": {"color": faded(look.color, 0.7), "size": 7,
                                              "symbol": look.symbol},
         "text": [f"{plain(s)} (patient {plain(p)})<br>{plain(found.baseline)} "
                  f"{number(b, digits)}, {plain(found.arm)} {number(a, digits)}"
                  for s, p, b, a in zip(found.sample_ids, found.patient_ids, found.of_baseline,
                                        found.of_arm, strict=True)],
         "hovertemplate": "%{text}<extra></extra>"},
    ]  # fmt: skip
    return figure(
        traces,
        height=330,
        span="third",
        xaxis={"title": {"text": name(found.baseline)}, "range": both_axes, "nticks": 6},
        yaxis={"title": {"text": name(found.arm)}, "range": both_axes, "nticks": 6},
    )


def spread_figure(spreads: Sequence[Spread], looks: Looks, measure: Measure) -> Figure:
    """Boxes per class and arm over images, with a point per image where they are few."""
    traces = []
    arms = list(dict.fromkeys(s.arm for s in spreads))
    for arm in arms:
        of_arm = [s for s in spreads if s.arm == arm]
        many = max(len(s.values) for s in of_arm) > _MANY_IMAGES
        traces.append(
            {"type": "box", "x": [name(s.class_name) for s in of_arm for _ in s.values],
             "y": [v for s in of_arm for v in s.values],
             "text": [plain(sample) for s in of_arm for sample in s.sample_ids],
             "name": plain(arm), "legendgroup": arm, "alignmentgroup": "arms", "offsetgroup": arm,
             "boxpoints": "outliers" if many else "all", "jitter": 0.5, "pointpos": 0,
             "marker": {"color": looks[arm].color, "size": 4, "opacity": 0.55},
             "line": {"color": looks[arm].color, "width": 1.5},
             "fillcolor": faded(looks[arm].color, 0.12), "hoveron": "points",
             "hovertemplate": f"{plain(arm)}<br>%{{text}}: %{{y:.3f}}<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=420,
        keys=arm_keys(arms, looks),
        boxmode="group",
        boxgap=0.2,
        boxgroupgap=0.15,
        xaxis={"ticks": "", "showgrid": False},
        yaxis={"title": {"text": f"{measure.heading} of one test image"}},
    )


def spread_part(study: StudyScores, looks: Looks) -> Part:
    """How the score of a class spreads over the test images."""
    title = "Spread over test images"
    measure, found = spreads(study)
    if not found or measure is None:
        return Part(title, missing="No score per test image yet.")
    undefined = sum(s.undefined for s in found)
    n = max(len(s.values) for s in found)
    left_out = f" {undefined} values are undefined (empty masks) and left out." if undefined else ""
    return Part(
        title,
        f"{measure.label} per class. One point per image (up to n={n}), each the mean over the "
        f"arm's seeds; box: quartiles, line: median.{left_out}",
        figures=(
            (
                spread_figure(found, looks, measure),
                f"Box plots of {measure.name} per image by class and arm",
            ),
        ),
    )


def agreement_part(study: StudyScores, looks: Looks) -> Part | None:
    """Each arm against the baseline, image by image; None without an image in common."""
    measure, found = agreements(study)
    if measure is None or not found:
        return None
    # Readers ask about the arms that differ most from the baseline.
    gap = {a.arm: abs(sum(a.of_arm) - sum(a.of_baseline)) / len(a.of_arm) for a in found}
    widest = set(sorted(gap, key=lambda arm: -gap[arm])[:_MOST_PANELS])
    shown = [a for a in found if a.arm in widest]
    more = len(found) - len(shown)
    better = "Above" if measure.higher_is_better else "Below"
    wins = ", ".join(f"{a.arm} {a.wins} of {len(a.of_arm)}" for a in shown)
    return Part(
        "Image by image",
        f"One mark per test image: {measure.label} of {shown[0].baseline} across, of the arm "
        f"upwards, each the mean over classes and seeds. {better} the dotted line the arm is "
        f"better. Images on which the arm scores higher: {wins}."
        + (f" {more} further arms, closer to the baseline on average, are not drawn." * bool(more)),
        figures=tuple(
            (agreement_figure(a, looks[a.arm], measure), f"{a.arm} against {a.baseline}")
            for a in shown
        ),
    )
