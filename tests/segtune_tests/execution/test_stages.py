"""The trials of an ablation, stage by stage."""

from optuna.distributions import FloatDistribution
from support.spec_jobs import Job

from segtune import Ablation, Search, Sequential
from segtune.execution.stages import stages, stages_of_finalists


def _study(**changes: object) -> Ablation:
    arms = {"fine": {"length": 2.0}, "long": {"length": 3.0}}
    given = {"question": "?", "baseline": Job(), "arms": arms, **changes}
    return Ablation(**given)  # type: ignore[arg-type]


def _never(seeds: int) -> set[str]:
    raise AssertionError(f"asked after {seeds} seeds")


def test_given_seeds_are_one_stage() -> None:
    study = _study(seeds=(4, 7))
    assert list(stages(study, {}, _never)) == [list(study.trials({}))]


def test_seeds_are_added_to_the_arms_that_go_on() -> None:
    study = _study(seeds=Sequential(at_least=3, at_most=10), folds=None)
    asked = []

    def undecided(seeds: int) -> set[str]:
        asked.append(seeds)
        return {"baseline", "long"}

    first, second, third = stages(study, {}, undecided)
    assert asked == [3, 5], "nobody asks after the last look"
    assert len(first) == 9
    assert {t.arm for t in second} == {"baseline", "long"}
    assert {t.seed for t in second} == {3, 4}
    assert {t.trial_id for t in third} == {
        f"{arm}-s{seed}" for arm in ("baseline", "long") for seed in range(5, 10)
    }


def test_finalists_go_on_alike() -> None:
    search = Search(
        question="?",
        baseline=Job(),
        space={"length": FloatDistribution(1.0, 3.0)},
        num_samples=4,
        finalists=2,
        finalist_seeds=Sequential(at_least=3, at_most=5, first=100),
    )
    first, second = stages_of_finalists(search, {0: {}, 3: {"length": 2.0}}, lambda seeds: {"t3"})
    assert len(first) == 6
    assert [t.trial_id for t in second] == ["t3-s103", "t3-s104"]
    assert list(stages_of_finalists(search, {}, _never)) == [[]], "not chosen yet"


def test_it_ends_where_no_arm_goes_on() -> None:
    study = _study(seeds=Sequential(at_least=3, at_most=10))
    [only] = stages(study, {}, lambda seeds: frozenset())
    assert {t.seed for t in only} == {0, 1, 2}


def test_tuned_values_are_in_every_stage() -> None:
    study = _study(seeds=Sequential(at_least=3, at_most=4), tune={"fine": {"limit": (3.0, 4.0)}})
    for trials in stages(study, {"fine": {"limit": 4.0}}, lambda seeds: {"baseline", "fine"}):
        assert {t.config.limit for t in trials if t.arm == "fine"} == {4.0}
