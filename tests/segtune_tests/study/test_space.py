"""Spaces in which some fields depend on others."""

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segtune.study import space
from segtune.study.space import Space, When

METHOD = CategoricalDistribution(("frozen", "lora", "galore"))
SPACE: Space = {
    "warm": When("projector", ("srft",), CategoricalDistribution((True, False))),
    "projector": When("method", ("galore",), CategoricalDistribution(("svd", "srft"))),
    "rank": When("method", ("lora", "galore"), IntDistribution(2, 32)),
    "method": METHOD,
    "lr": FloatDistribution(0.1, 0.3, step=0.1),
}


def test_a_field_comes_after_what_it_depends_on() -> None:
    order = space.ordered(SPACE)
    assert sorted(order) == sorted(SPACE)
    assert order.index("method") < order.index("projector") < order.index("warm")


def test_what_depends_on_itself_or_on_nothing_there_has_no_place() -> None:
    lost: Space = {
        "a": When("b", (1,), IntDistribution(0, 1)),
        "b": When("a", (1,), IntDistribution(0, 1)),
        "c": When("nowhere", (1,), IntDistribution(0, 1)),
        "d": METHOD,
    }
    assert space.ordered(lost) == ["d"]


def test_only_what_exists_is_active() -> None:
    everything = {"method": "lora", "rank": 4, "projector": "srft", "warm": True, "lr": 0.1}
    assert space.active(SPACE, everything) == {"method": "lora", "rank": 4, "lr": 0.1}
    assert space.active(SPACE, {**everything, "method": "frozen"}) == {
        "method": "frozen",
        "lr": 0.1,
    }
    assert space.active(SPACE, {**everything, "method": "galore"}) == {
        **everything,
        "method": "galore",
    }


def test_optuna_draws_what_exists() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(60):
        trial = study.ask()
        drawn = space.suggest(trial, SPACE)
        assert drawn == trial.params == space.active(SPACE, drawn)
        seen.add(frozenset(drawn))
        study.tell(trial, 0.0)
    assert len(seen) == 4, "frozen; lora; galore with svd; galore with srft, warm or not"


def test_ends_bring_what_they_depend_on() -> None:
    found = [changes for field, changes in space.ends(SPACE) if field == "warm"]
    assert found == [
        {"method": "galore", "projector": "srft", "warm": True},
        {"method": "galore", "projector": "srft", "warm": False},
    ]


def test_combinations_leave_out_what_does_not_exist() -> None:
    small: Space = {"method": METHOD, "rank": SPACE["rank"]}
    assert list(space.combinations(small)) == [
        {"method": "frozen"},
        {"method": "lora", "rank": 2},
        {"method": "lora", "rank": 32},
        {"method": "galore", "rank": 2},
        {"method": "galore", "rank": 32},
    ]
    every = list(space.combinations(small, space.every_value))
    assert len(every) == 1 + 2 * 31
    assert len(list(space.combinations({"lr": SPACE["lr"]}, space.every_value))) == 3


def test_of_many_combinations_some_are_tried() -> None:
    wide: Space = {f"f{i}": IntDistribution(0, 1) for i in range(60)}
    some = space.some_combinations(wide, 50)
    assert len(some) == 50
    assert len({tuple(c.values()) for c in some}) == 50
    assert len(space.some_combinations(SPACE, 50)) == 2 * (1 + 2 + 2 + 2 * 2)
