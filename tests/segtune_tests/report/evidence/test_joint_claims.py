"""No worse and cheaper at once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.studies.known_study import rewrite_trials, write_study
from support.studies.simulated_studies import owners, studies

from segtune.report import build, summarize
from segtune.report.evidence.costs.joint_claims import JointClaim, joint_p
from segtune.report.evidence.costs.ratios import ratio_over_seeds
from segtune.report.evidence.crossed import crossed
from segtune.report.evidence.patients import by_patient, own_differences

SEEDS = (0.0, 0.002, -0.002, 0.001, -0.001)
ARMS = {
    "full": tuple(0.7 + s for s in SEEDS),
    "small": (0.7003, 0.7018, 0.6981, 0.7012, 0.6989),
    "worse": tuple(0.66 + s for s in SEEDS),
}
MARGIN = {"margin": {"dice": 0.01}}
COSTS = {"full": {"state": 80e6}, "small": {"state": 8e6}, "worse": {"state": 8e6, "pace": 0.5}}
"""Every trial's pace is alike, but for the arm that is worse."""


def test_both_parts_must_be_shown(tmp_path: Path) -> None:
    write_study(tmp_path, ARMS, defined=MARGIN, of_arm=COSTS)
    found = summarize(tmp_path, "known")
    [joint] = found.joint
    small, worse = joint.arms
    assert [c.cost for c in small.cheaper] == ["memory", "optimizer state"]
    by_kind = {c.cost: c for c in small.claims}
    assert by_kind["optimizer state"].ratio.ratio.mean == pytest.approx(0.1)
    assert by_kind["time"].p == 1.0
    # Held, MB: weights 40, gradients half of the state.
    assert by_kind["memory"].ratio.ratio.mean == pytest.approx(52 / 160)
    assert worse.cheaper == []
    assert {c.ratio.p_cheaper for c in worse.claims} == {0.0}
    crossed_ = small.difference.crossed
    assert crossed_ is not None
    # Two arms, three costs each: the two smallest of six p values are the same.
    assert by_kind["memory"].p == pytest.approx(6 * crossed_.p_above(-0.01))


def test_the_answer_and_a_part_of_the_report_say_it(tmp_path: Path) -> None:
    write_study(tmp_path, ARMS, defined=MARGIN, of_arm=COSTS)
    [said] = [s for s in summarize(tmp_path, "known").answer if "cheaper" in s]
    assert said.startswith("No worse than full within 0.01 and cheaper at once: small in memory (×")
    page = build(tmp_path, ["known"], tmp_path / "r.html").read_text()
    assert "in memory and optimizer state" in page
    assert "not shown to be no worse" in page
    assert "within 0.01, p&lt;0.001" in page, "the p value is that of the verdict"


def test_a_declared_pair_is_held_against_its_own_reference(tmp_path: Path) -> None:
    pair = {**MARGIN, "contrasts": [["small", "worse"]]}
    write_study(tmp_path, ARMS, defined=pair, of_arm=COSTS)
    _, joint = summarize(tmp_path, "known").joint
    [small] = joint.arms
    assert joint.comparison.baseline == "worse"
    assert small.cheaper == []
    time = next(c for c in small.claims if c.cost == "time")
    assert time.ratio.ratio.mean == pytest.approx(2, rel=0.2)


def test_nothing_is_claimed_of_seconds_that_were_measured_side_by_side(tmp_path: Path) -> None:
    """Two arms that run at once in every seed take time from each other in every seed."""
    faster = {**COSTS, "small": {"state": 8e6, "pace": 0.5}}
    write_study(tmp_path, ARMS, defined=MARGIN, of_arm=faster)

    def time_of_small() -> JointClaim:
        [joint] = summarize(tmp_path, "known").joint
        return next(c for c in joint.arms[0].claims if c.cost == "time")

    alone = time_of_small()
    assert alone.holds
    assert alone.ratio.ratio.low is not None
    start = datetime(2026, 5, 1, 8, tzinfo=UTC)
    rewrite_trials(tmp_path, lambda row: {"started": start, "ended": start + timedelta(hours=1)})
    beside = time_of_small()
    assert (beside.p, beside.ratio.ratio.low, beside.ratio.p_cheaper) == (None, None, None)
    assert beside.ratio.ratio.mean == alone.ratio.ratio.mean
    page = build(tmp_path, ["known"], tmp_path / "r.html").read_text()
    assert "nothing is claimed of it: trials ran side by side" in page
    assert "(no interval: trials ran side by side" in page
    rewrite_trials(tmp_path, lambda row: {"device": "cuda, NVIDIA H100"})
    assert time_of_small().holds, "each trial had a device of its own"


def test_nothing_is_claimed_without_a_margin_or_across_devices(tmp_path: Path) -> None:
    write_study(tmp_path / "plain", ARMS, of_arm=COSTS)
    assert summarize(tmp_path / "plain", "known").joint == ()
    write_study(tmp_path, ARMS, defined=MARGIN, of_arm=COSTS)
    rewrite_trials(tmp_path, lambda row: {"device": f"card of {row['arm']}"})
    assert summarize(tmp_path, "known").joint == ()


def test_two_seeds_are_no_test(tmp_path: Path) -> None:
    two = {arm: values[:2] for arm, values in ARMS.items()}
    write_study(tmp_path, two, defined=MARGIN, of_arm=COSTS)
    [joint] = summarize(tmp_path, "known").joint
    assert {c.p for arm in joint.arms for c in arm.claims} == {None}
    assert "no test" in build(tmp_path, ["known"], tmp_path / "r.html").read_text()


@pytest.mark.parametrize(("gap", "log_ratio"), [(-0.01, -0.7), (0.01, 0.0)])
def test_a_false_claim_is_rare(gap: float, log_ratio: float) -> None:
    """Of studies whose arm is worse by the margin, or costs as much, at most 5 % claim it."""
    rng, n, seeds, patients = np.random.default_rng(5), 400, 5, 8
    claimed = 0
    for arm, base in studies(0.004, 0.004, seeds=seeds, patients=patients, n=n):
        (a, b), names, _ = by_patient((arm, base), owners(patients))
        once = np.ones((1, len(names)))
        per_seed = (a.by_seed(once) - b.by_seed(once))[:, 0] + gap
        found = crossed(float(per_seed.mean()), per_seed, own_differences(a, b) + gap, a.weights_P)
        assert found is not None
        cheaper = ratio_over_seeds(log_ratio + rng.normal(0, 0.05, seeds)).p_cheaper
        [p] = joint_p([(found.p_above(-0.01), cheaper)])
        claimed += p is not None and p < 0.05
    assert claimed / n < 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
