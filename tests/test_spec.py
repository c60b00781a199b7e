"""Studies as values, on a configuration that is no segcore's: any frozen dataclass will do."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from segtune.changes import SpecError, apply, config_hash, flatten, non_default
from segtune.check import check, check_grown, check_name, check_resources, fitting_trials
from segtune.spec import Ablation, Resources, Search, definition, factor, factorial

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


class Tool:
    name: ClassVar[str]

    @classmethod
    def choice(cls, name: str) -> type["Tool"]:
        kinds: Mapping[str, type[Tool]] = {"saw": Saw, "drill": Drill, "plane": Plane}
        if name not in kinds:
            raise ValueError(f"unknown tool {name!r}: choose one of drill, plane, saw")
        return kinds[name]


@checked(frozen=True, kw_only=True, config=STRICT)
class Saw(Tool):
    name: ClassVar[str] = "saw"
    teeth: Annotated[int, Field(ge=1)] = 8


@checked(frozen=True, kw_only=True, config=STRICT)
class Drill(Tool):
    name: ClassVar[str] = "drill"
    speed: Annotated[float, Field(gt=0)] = 1.0


@checked(frozen=True, kw_only=True, config=STRICT)
class Plane(Tool):
    name: ClassVar[str] = "plane"
    width: float


@checked(frozen=True, kw_only=True, config=STRICT)
class Job:
    tool: Tool = field(default_factory=Saw)
    length: Annotated[float, Field(gt=0)] = 2.0
    folder: str = field(default="here", metadata={"place": True})
    seed: int = 0


def ablation(**changes: Any) -> Ablation:
    base: dict[str, Any] = {
        "question": "?",
        "baseline": Job(),
        "arms": {"fine": {"tool.teeth": 32}, "drill": {"tool": "drill", "tool.speed": 3.0}},
        "seeds": (0, 1),
    }
    return Ablation(**{**base, **changes})


def search(**changes: Any) -> Search:
    base: dict[str, Any] = {
        "question": "?",
        "baseline": Job(),
        "space": {"tool.teeth": IntDistribution(4, 32), "length": FloatDistribution(1.0, 3.0)},
        "num_samples": 3,
    }
    return Search(**{**base, **changes})


def faults(study: Ablation | Search) -> str:
    with pytest.raises(SpecError) as caught:
        check(study)
    return "\n".join(caught.value.faults)


def test_changes_reach_their_fields() -> None:
    job = apply(Job(), {"tool": "drill", "tool.speed": 2.5, "length": 4.0})
    assert job == Job(tool=Drill(speed=2.5), length=4.0)


def test_every_fault_of_a_change_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        apply(Job(), {"tool.teeth": 0, "lenght": 1.0, "seed": "x", "length.unit": 1})
    text = str(caught.value)
    assert "tool.teeth = 0" in text
    assert "Did you mean length?" in text
    assert "seed = 'x'" in text
    assert "length has no fields" in text


def test_unknown_choice_names_the_choices() -> None:
    with pytest.raises(SpecError, match="choose one of drill, plane, saw"):
        apply(Job(), {"tool": "hammer"})


def test_a_choice_takes_the_fields_it_needs_from_the_same_changes() -> None:
    assert apply(Job(), {"tool": "plane", "tool.width": 2.0}) == Job(tool=Plane(width=2.0))
    with pytest.raises(SpecError, match="tool.width: Field required"):
        apply(Job(), {"tool": "plane"})


def test_flatten_names_the_choice_and_leaves_places_out() -> None:
    assert flatten(Job(), places=False) == {
        "tool": "saw",
        "tool.teeth": 8,
        "length": 2.0,
        "seed": 0,
    }
    assert "folder" in flatten(Job())


def test_trials_pair_the_seeds() -> None:
    trials = list(ablation().trials({}))
    assert [t.trial_id for t in trials] == [
        "baseline-s0",
        "fine-s0",
        "drill-s0",
        "baseline-s1",
        "fine-s1",
        "drill-s1",
    ]
    assert trials[4].config == Job(tool=Saw(teeth=32), seed=1)
    assert trials[4].changes == {"tool.teeth": 32}


def test_tuned_arms_run_with_what_was_chosen() -> None:
    study = ablation(
        tune={arm: {"length": (1.0, 3.0)} for arm in ("baseline", "fine", "drill")}, tune_seed=9
    )
    check(study)
    tuning = list(study.tuning_trials())
    assert [t.trial_id for t in tuning][:2] == ["baseline-t0", "baseline-t1"]
    assert {t.seed for t in tuning} == {9}
    trials = {t.trial_id: t for t in study.trials({"fine": {"length": 3.0}})}
    assert trials["fine-s0"].config == Job(tool=Saw(teeth=32), length=3.0)


def test_factors_name_their_arms() -> None:
    assert factor("tool.teeth", (4, 16)) == {
        "teeth-4": {"tool.teeth": 4},
        "teeth-16": {"tool.teeth": 16},
    }
    assert list(factorial({"length": (1.5, 2.5), "tool": ("saw",)})) == ["1_5-saw", "2_5-saw"]


def test_a_sound_study_passes() -> None:
    check(ablation())
    check(search())


def test_an_arm_like_the_baseline_is_refused() -> None:
    text = faults(ablation(arms={"same": {"tool.teeth": 8}, "elsewhere": {"folder": "there"}}))
    assert "arm same is the same as baseline" in text
    assert "arm elsewhere is the same as baseline" in text


def test_two_arms_alike_are_refused() -> None:
    text = faults(ablation(arms={"a": {"length": 3.0}, "b": {"length": 3.0}}))
    assert "arm b is the same as a" in text


def test_all_mistakes_of_an_ablation_at_once() -> None:
    text = faults(
        ablation(
            arms={"bad name": {"length": 3.0}, "odd": {"tool": "hammer"}, "low": {"length": -1.0}},
            seeds=(1, 1),
            tune={"nobody": {"length": (1.0,)}, "low": {"length": (1.0, 3.0)}},
        )
    )
    for part in ("bad name", "unknown tool", "length = -1.0", "each must stand once", "nobody"):
        assert part in text
    assert "same number of candidates" in text


def test_all_mistakes_of_a_search_at_once() -> None:
    text = faults(
        search(
            num_samples=0,
            sampler="Guess",
            space={
                "tool.teeth": IntDistribution(0, 4),
                "lenght": FloatDistribution(0, 1),
                "tool": CategoricalDistribution(("saw", "hammer")),
            },
        )
    )
    for part in ("num_samples = 0", "unknown sampler", "tool.teeth = 0", "lenght", "hammer"):
        assert part in text
    assert "lies outside" in text  # 8 teeth


def test_a_name_must_serve_as_a_folder() -> None:
    check_name("lora_rank-2")
    with pytest.raises(SpecError):
        check_name("../elsewhere")


def test_more_than_there_is_would_wait_for_ever() -> None:
    there = {"CPU": 2.0}
    check_resources(Resources(workers=2), there, "this machine")
    with pytest.raises(SpecError) as caught:
        check_resources(Resources(workers=3, gpus_per_worker=1), there, "this machine")
    assert len(caught.value.faults) == 2
    assert "3 CPUs" in str(caught.value)
    assert "has 0" in str(caught.value)


def test_as_many_trials_as_fit() -> None:
    there = {"CPU": 8.0, "GPU": 1.0}
    assert fitting_trials(Resources(workers=2), there) == 4
    assert fitting_trials(Resources(gpus_per_worker=0.5), there) == 2
    assert fitting_trials(Resources(concurrent=3), there) == 3


def test_hash_forgets_places_and_defaults() -> None:
    job = Job(length=3.0)
    assert non_default(job) == {"tool": "saw", "length": 3.0}
    assert config_hash(job) == config_hash(dataclasses.replace(job, folder="there"))
    assert config_hash(job) != config_hash(Job(length=3.5))
    assert config_hash(job, data="a") != config_hash(job, data="b")


def test_hash_survives_a_new_field_with_a_default() -> None:
    @dataclass(frozen=True)
    class Old:
        size: int = 1

    @dataclass(frozen=True)
    class New:
        size: int = 1
        colour: str = "red"

    assert config_hash(Old(size=2)) == config_hash(New(size=2))


def test_a_study_may_grow() -> None:
    old = definition("s", ablation())
    arms = {**ablation().arms, "long": {"length": 9.0}}
    check_grown(old, definition("s", ablation(arms=arms, seeds=(0, 1, 2))))
    check_grown(definition("s", search()), definition("s", search(num_samples=9)))


def test_a_changed_study_is_refused_with_the_difference() -> None:
    old = definition("s", ablation())
    with pytest.raises(SpecError) as caught:
        check_grown(old, definition("s", ablation(baseline=Job(length=5.0), seeds=(1,))))
    text = str(caught.value)
    assert "length was 2.0, now 5.0" in text
    assert "seeds: [0] are gone" in text
    assert "--name" in text
