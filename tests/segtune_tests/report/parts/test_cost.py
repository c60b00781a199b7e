"""What arms cost, and what refreshes of the basis take."""

import pytest
from support.report_tables import STEPS

from segtune.report.evidence.costs.measured import measure_costs
from segtune.report.parts.cost import step_costs
from segtune.results.study_scores import StudyScores


def test_cost_leaves_out_the_first_step_and_spreads_the_refresh(methods: StudyScores) -> None:
    costs = {c.name: c for c in measure_costs(methods.rows).arms}
    assert costs["full"].values["state"].mean == pytest.approx(84)
    assert costs["full"].values["peak"].mean == pytest.approx(900 + 2 * 84)
    assert costs["full"].values["seconds"].mean == pytest.approx(0.01 + 1.4 * 0.3 + 0.05)
    assert costs["galore"].parts["optimizer"].mean == pytest.approx(0.05)
    assert costs["galore"].parts["refresh"].mean == pytest.approx(0.04 * 4 / (STEPS - 1))
    assert costs["lora"].parts["refresh"].mean == 0


def test_refreshes_stand_out_and_survive_thinning(methods: StudyScores) -> None:
    found = {c.arm: c for c in step_costs(methods.rows)}
    assert set(found) == {"galore", "srft_galore"}
    galore = found["galore"]
    assert (galore.every, galore.median, galore.slowest) == pytest.approx((10, 0.05, 0.09))
    assert [s for s, y in zip(galore.steps, galore.seconds, strict=True) if y > 0.06] == [
        10, 20, 30, 40,
    ]  # fmt: skip
