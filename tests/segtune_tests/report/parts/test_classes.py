"""The scores of each class."""

import numpy as np
import pytest
from support.report_tables import ARMS, DICE

from segtune.report.page.look import looks
from segtune.report.parts.classes import class_figure, class_scores
from segtune.results.study_scores import StudyScores


def test_classes_in_dice_and_assd(methods: StudyScores) -> None:
    dice, assd = class_scores(methods)
    ridge = next(s for s in dice.scores if (s.arm, s.class_name) == ("lora", "ridge"))
    assert ridge.estimate is not None
    assert ridge.estimate.mean == pytest.approx(np.mean(DICE["lora"]) - 0.06)
    drawn = class_figure(assd, looks(methods.rows.arms, methods.rows.baseline))
    assert len(drawn.data) == len(ARMS) * 3
    assert "lower is better" in drawn.layout.yaxis.title.text
