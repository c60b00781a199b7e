"""Mean score by rank and refresh interval."""

import itertools
import json
from pathlib import Path

import pytest
from support.report_tables import write_trial
from support.report_values import scores

from segtune.report.parts.searches.rank_by_interval import rank_by_interval, rank_by_interval_figure


def test_rank_by_interval_means_per_cell(tmp_path: Path) -> None:
    for k, (rank, gap) in enumerate(itertools.product((4, 8), (10, 50))):
        for seed in (0, 1):
            write_trial(tmp_path, "x", f"a{k}-s{seed}", 0.5 + 0.01 * k + 0.1 * seed, role="arm",
                        arm=f"a{k}", seed=seed, pictured=False,
                        changes=json.dumps({"method.rank": rank,
                                            "method.update_proj_gap": gap}))  # fmt: skip
    found = rank_by_interval(scores(tmp_path, "x"), "arm")
    assert found is not None
    assert (found.ranks, found.intervals) == (("4", "8"), ("10", "50"))
    assert [v for row in found.mean for v in row] == pytest.approx([0.55, 0.57, 0.56, 0.58])
    assert found.n == ((2, 2), (2, 2))
    assert "n=2" in rank_by_interval_figure(found).data[0].text[0][0]
