"""Another domain, and masks of another size."""

import pytest
from support.report_tables import MASKS, SIDE

from segtune.report.page.look import looks
from segtune.report.parts.domains import shifts, size_figure
from segtune.results.study_scores import StudyScores


def test_shifts_are_paired_by_seed_and_sizes_stay_apart(two_domains: StudyScores) -> None:
    (found,) = shifts(two_domains)
    assert found.measure.resolution == MASKS
    lora = next(d for d in found.domains if d.arm == "lora")
    assert lora.change.mean == pytest.approx(-0.2)
    assert (lora.change.low, lora.change.high) == pytest.approx((-0.2, -0.2))
    sizes = next(s for s in found.sizes if s.arm == "lora")
    assert sizes.sizes == (SIDE, 2 * SIDE)
    assert sizes.scores[0].mean - sizes.scores[1].mean == pytest.approx(0.01)
    drawn = size_figure(found, looks(two_domains.rows.arms, two_domains.rows.baseline))
    assert drawn.data[2].x == (SIDE, 2 * SIDE)
