"""Arms made from factors."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.spec_jobs import Drill, Jigsaw, Job, Plane, Saw, refusal

from segtune.study.arms import changes_between, factorial, fractional_factorial
from segtune.study.overrides import Changes, SpecError, apply
from segtune.study.space import When
from segtune.study.spec import Ablation, Search
from segtune.study.validate import validate


def signs(arms: Mapping[str, Mapping[str, Any]], factors: list[str]) -> np.ndarray[Any, Any]:
    """Runs x factors, -1 or 1; the baseline's run first."""
    rows = [[-1] * len(factors)]
    rows += [[1 if f in changes else -1 for f in factors] for changes in arms.values()]
    return np.array(rows)


def test_a_factorial_leaves_the_baselines_own_combination_out() -> None:
    factors = {"length": (2.0, 3.0), "tool.teeth": (8, 9)}
    assert len(factorial(factors)) == 4
    arms = factorial(factors, baseline=Job())
    assert list(arms) == ["2_0-9", "3_0-8", "3_0-9"]
    validate(Ablation(question="?", baseline=Job(), arms=arms, seeds=(0,)))


@pytest.mark.parametrize(
    ("count", "resolution", "runs"),
    [(3, 3, 4), (7, 3, 8), (4, 4, 8), (8, 4, 16), (5, 5, 16), (6, 5, 32), (3, 5, 8)],
)
def test_a_fractional_factorial_keeps_apart_what_its_resolution_says(
    count: int, resolution: int, runs: int
) -> None:
    factors = {f"f{i}": (0, 1) for i in range(count)}
    arms = fractional_factorial(factors, resolution=resolution)
    design = signs(arms, list(factors))
    assert len(design) == runs
    assert len({tuple(row) for row in design}) == runs
    for size in range(1, resolution):  # the product of that many columns is balanced
        for some in itertools.combinations(range(count), size):
            assert design[:, list(some)].prod(axis=1).sum() == 0


def test_its_arms_are_named_after_what_is_on() -> None:
    arms = fractional_factorial({"a.lr": (1, 2), "b.lr": (3, 4), "c.rank": (5, 6)}, resolution=3)
    assert arms == {
        "a_lr+rank": {"a.lr": 2, "c.rank": 6},
        "b_lr+rank": {"b.lr": 4, "c.rank": 6},
        "a_lr+b_lr": {"a.lr": 2, "b.lr": 4},
    }


def test_what_is_no_design_is_refused() -> None:
    pair: Any = (1, 2, 3)
    text = refusal(lambda: fractional_factorial({"a": pair}, resolution=6))
    assert "factor a" in text
    assert "resolution = 6" in text
    assert "at least one factor" in refusal(lambda: fractional_factorial({}))


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        (Job(length=3.0), {"length": 3.0}),
        (Job(tool=Drill()), {"tool": "drill"}),
        (Job(tool=Drill(speed=2.0)), {"tool": "drill", "tool.speed": 2.0}),
        (Job(tool=Jigsaw(teeth=3)), {"tool": "jigsaw"}),
        (Job(tool=Plane(width=1.0)), {"tool": "plane", "tool.width": 1.0}),
        (Job(tool=Saw(teeth=3)), {}),
    ],
)
def test_the_difference_is_what_leads_there(target: Job, changes: dict[str, Any]) -> None:
    start = Job(tool=Saw(teeth=3))
    if target.tool == Saw():
        changes = {**changes, "tool.teeth": 8}
    assert changes_between(start, target) == changes
    assert apply(start, changes) == target


def test_leave_one_out_starts_from_everything() -> None:
    parts: dict[str, Changes] = {
        "fine": {"tool.teeth": 32},
        "long": {"length": 9.0},
        "bound": {"limit": 1.0},
    }
    study = Ablation.leave_one_out(question="?", baseline=Job(), parts=parts, seeds=(0,))
    validate(study)
    configs = {t.arm: t.config for t in study.trials({})}
    assert configs["full"].tool == Saw(teeth=32)
    assert (configs["no-fine"].tool, configs["no-fine"].length) == (Saw(), 9.0)
    assert study.arms == {
        "no-fine": {"tool.teeth": 8},
        "no-long": {"length": 2.0},
        "no-bound": {"limit": None},
    }


def test_parts_that_overlap_or_cannot_be_alone_are_refused() -> None:
    twice: dict[str, Changes] = {"a": {"length": 3.0}, "b": {"length": 4.0}}
    text = refusal(
        lambda: Ablation.leave_one_out(question="?", baseline=Job(), parts=twice, seeds=(0,))
    )
    assert "length is changed by more than one part" in text
    needs: dict[str, Changes] = {"drill": {"tool": "drill"}, "fast": {"tool.speed": 2.0}}
    text = refusal(
        lambda: Ablation.leave_one_out(question="?", baseline=Job(), parts=needs, seeds=(0,))
    )
    assert "without drill: unknown field tool.speed" in text


SEARCH = Search(
    question="Which tool?",
    baseline=Job(tool=Saw(teeth=12)),
    space={
        "tool": CategoricalDistribution(("saw", "drill")),
        "tool.teeth": When("tool", ("saw",), IntDistribution(4, 32)),
        "tool.speed": When("tool", ("drill",), FloatDistribution(0.5, 2.0)),
        "length": FloatDistribution(1.0, 3.0),
    },
    num_samples=6,
)


def test_around_goes_back_to_the_default_field_by_field() -> None:
    best = {"tool": "drill", "tool.speed": 1.5, "length": 3.0}
    study = Ablation.around(SEARCH, best, seeds=(100, 101))
    validate(study)
    configs = {t.arm: t.config for t in study.trials({}) if t.seed == 100}
    assert configs["best"].tool == Drill(speed=1.5)
    assert configs["tool-saw"].tool == Saw(teeth=12), "as the search's baseline has it"
    assert configs["tool-saw"].length == 3.0
    assert configs["speed-1_0"].tool == Drill()
    assert configs["length-2_0"].tool == Drill(speed=1.5)
    assert (configs["default"].tool, configs["default"].length) == (Saw(teeth=12), 2.0)
    assert set(configs) == {"best", "tool-saw", "speed-1_0", "length-2_0", "default"}


def test_around_a_trial_that_kept_some_defaults() -> None:
    best = {"tool": "saw", "tool.teeth": 4, "length": 2.0}
    study = Ablation.around(SEARCH, best, seeds=(100,))
    assert study.arms == {"teeth-12": {"tool.teeth": 12}}


def test_around_refuses_what_is_no_trial_of_the_search() -> None:
    with pytest.raises(SpecError, match="nothing to go back to"):
        Ablation.around(SEARCH, SEARCH.first(), seeds=(0,))
    with pytest.raises(SpecError, match="limit: not in the space"):
        Ablation.around(SEARCH, {"limit": 1.0}, seeds=(0,))
