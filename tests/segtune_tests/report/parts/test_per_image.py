"""Scores of single images."""

import pytest
from support.report_tables import IMAGES

from segtune.report.page.look import Look
from segtune.report.parts.per_image import agreement_figure, agreements, spreads
from segtune.results.study_scores import StudyScores


def test_the_spread_is_over_images_that_define_the_class(methods: StudyScores) -> None:
    _, found = spreads(methods)
    ligament = next(s for s in found if s.arm == "lora" and s.class_name == "ligament")
    assert (len(ligament.values), ligament.undefined) == (12, 6)


def test_image_by_image_is_the_mean_over_classes_and_seeds(methods: StudyScores) -> None:
    measure, found = agreements(methods)
    assert measure is not None
    lora = next(a for a in found if a.arm == "lora")
    assert (lora.baseline, len(lora.of_arm)) == ("full", IMAGES)
    images = methods.rows.images[
        (methods.rows.images["metric"] == "dice") & (methods.rows.images["sample_id"] == "p0-00")
    ]
    of_lora = images[images["trial_id"].str.startswith("lora")]
    expected = of_lora.groupby("trial_id")["value"].mean().mean()  # without the absent ligament
    assert lora.of_arm[lora.sample_ids.index("p0-00")] == pytest.approx(expected)
    assert lora.wins < IMAGES / 2
    marks = agreement_figure(lora, Look("#006cb4", "circle"), measure).data[1]
    assert (marks.x, marks.y) == (lora.of_baseline, lora.of_arm)
