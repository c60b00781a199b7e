"""Studies as values, on a configuration that is no segcore's: any frozen dataclass will do."""

import dataclasses
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.spec_jobs import Divided, Drill, Jigsaw, Job, Plane, Saw, faults

from segcore.presets import nano, sam2_unet_nano
from segtune.execution.resources import Resources, check_resources, fitting_trials
from segtune.study.arms import factor, factorial
from segtune.study.definition import check_grown, define, first_seeds, keep_history
from segtune.study.overrides import (
    SpecError,
    apply,
    config_hash,
    flatten,
    non_default,
    resolve_locations,
)
from segtune.study.sequential import Sequential
from segtune.study.spec import Ablation, Reported, Search
from segtune.study.validate import check_name, validate


def placed(job: Job) -> Job:
    """As a trial has it."""
    resolved: Job = resolve_locations(job)
    return resolved


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


def test_a_field_of_an_earlier_version_is_told_by_its_present_name() -> None:
    with pytest.raises(SpecError) as caught:
        apply(nano(), {"system.sam2.pretrained": "none", "loss.dice_weight": 0.3})
    assert caught.value.faults == (
        "unknown field loss: it is system.loss now",
        "unknown field system.sam2: it is system.rgb now",
    )
    whole: tuple[Any, ...] = (nano(), nano().system)
    for config in whole:  # what is told is there, and the earlier name is not
        assert config.renamed
        for before, now in config.renamed.items():
            assert now in flatten(config)
            assert not hasattr(config, before)
    trunk = apply(sam2_unet_nano(), {"system.sam2.standardise": False})
    assert not trunk.system.sam2.standardise


def test_unknown_choice_names_the_choices() -> None:
    with pytest.raises(SpecError, match="choose one of drill, jigsaw, plane, saw"):
        apply(Job(), {"tool": "hammer"})


def test_a_choice_takes_the_fields_it_needs_from_the_same_changes() -> None:
    assert apply(Job(), {"tool": "plane", "tool.width": 2.0}) == Job(tool=Plane(width=2.0))
    with pytest.raises(SpecError, match="tool.width: Field required"):
        apply(Job(), {"tool": "plane"})


def test_flatten_names_the_choice_and_leaves_places_out() -> None:
    assert flatten(Job(), locations=False) == {
        "tool": "saw",
        "tool.teeth": 8,
        "length": 2.0,
        "limit": None,
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
    assert trials[4].config == placed(Job(tool=Saw(teeth=32), seed=1))
    assert trials[4].changes == {"tool.teeth": 32}


def test_folds_are_a_factor_of_every_arm() -> None:
    study = ablation(baseline=Divided(), folds=3, seeds=(4, 5))
    trials, arms = [*study.trials({})], len(study.all_arms())
    assert len({t.trial_id for t in trials}) == len(trials) == arms * 2 * 3
    assert trials[0].trial_id == "baseline-s4-f0"
    assert [(t.seed, t.fold) for t in trials[::arms]] == [(s, f) for s in (4, 5) for f in range(3)]
    assert all(t.config.fold == (t.fold, 3) for t in trials)
    validate(study)
    assert define("x", study)["folds"] == 3
    assert "folds" not in define("x", ablation(baseline=Divided()))
    with pytest.raises(SpecError, match="folds: was None, now 3"):
        check_grown(define("x", ablation(baseline=Divided(), seeds=(4, 5))), define("x", study))


def test_folds_that_mean_nothing_are_refused() -> None:
    assert (
        faults(ablation(baseline=Divided(), folds=1))
        == "folds = 1: give two or more, or leave it out"
    )
    twice = ablation(baseline=Divided(fold=(0, 2)), arms={"other": {"fold": (1, 2)}}, folds=2)
    assert "arm other changes fold, and the study has folds" in faults(twice)
    assert "the baseline has a fold, and the study has folds" in faults(twice)
    assert "folds: " in faults(ablation(folds=2))


def test_tuned_arms_run_with_what_was_chosen() -> None:
    study = ablation(
        tune={arm: {"length": (1.0, 3.0)} for arm in ("baseline", "fine", "drill")}, tune_seed=9
    )
    validate(study)
    tuning = list(study.tuning_trials())
    assert [t.trial_id for t in tuning][:2] == ["baseline-t0", "baseline-t1"]
    assert {t.seed for t in tuning} == {9}
    trials = {t.trial_id: t for t in study.trials({"fine": {"length": 3.0}})}
    assert trials["fine-s0"].config == placed(Job(tool=Saw(teeth=32), length=3.0))


def test_factors_name_their_arms() -> None:
    assert factor("tool.teeth", (4, 16)) == {
        "teeth-4": {"tool.teeth": 4},
        "teeth-16": {"tool.teeth": 16},
    }
    assert list(factorial({"length": (1.5, 2.5), "tool": ("saw",)})) == ["1_5-saw", "2_5-saw"]


def test_a_sound_study_passes() -> None:
    validate(ablation())
    validate(search())


def test_an_arm_like_the_baseline_is_refused() -> None:
    text = faults(ablation(arms={"same": {"tool.teeth": 8}, "elsewhere": {"folder": "there"}}))
    assert "arm same is the same as baseline" in text
    assert "arm elsewhere is the same as baseline" in text


def test_a_seed_is_no_change() -> None:
    assert "a seed is no change" in faults(ablation(arms={"other": {"seed": 5}}))
    assert "a seed is no change" in faults(search(space={"seed": IntDistribution(0, 9)}))


def test_values_that_do_not_go_together_are_found_before() -> None:
    space = {
        "tool": CategoricalDistribution(("saw", "drill")),
        "tool.teeth": IntDistribution(4, 32),
    }
    text = faults(search(space=space))
    assert "unknown field tool.teeth" in text
    assert "'tool': 'drill'" in text


def test_what_has_no_number_cannot_be_searched_from() -> None:
    assert "None lies outside" in faults(search(space={"limit": FloatDistribution(1.0, 2.0)}))


@pytest.mark.parametrize(
    "wrong",
    [{"seeds": 3}, {"arms": ["a"]}, {"arms": {"a": None}}, {"tune": {"a": 3}}, {"baseline": None}],
)
def test_a_study_of_wrong_types_is_a_value_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        validate(ablation(**wrong))


def test_the_same_choice_keeps_its_settings_and_a_relative_what_they_share() -> None:
    job = Job(tool=Saw(teeth=5))
    assert apply(job, {"tool": "saw"}) == job
    assert apply(job, {"tool": "jigsaw"}).tool == Jigsaw(teeth=5)
    assert apply(job, {"tool": "drill"}).tool == Drill()


def test_places_are_absolute_in_a_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (trial, *_) = ablation().trials({})
    assert trial.config.folder == str(tmp_path / "here")


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
    for part in ("num_samples = 0", "sampler 'Guess'", "tool.teeth = 0", "lenght", "hammer"):
        assert part in text
    assert "lies outside" in text  # 8 teeth


def test_a_name_must_serve_as_a_folder() -> None:
    check_name("lora_rank-2")
    with pytest.raises(SpecError):
        check_name("../elsewhere")


def test_more_than_there_is_would_wait_for_ever() -> None:
    there = [{"CPU": 2.0}]
    check_resources(Resources(workers=2), there, "this machine")
    check_resources(Resources(workers=2, max_workers=8), there, "this machine")
    with pytest.raises(SpecError) as caught:
        check_resources(Resources(workers=3, gpus_per_worker=1), there, "this machine")
    assert len(caught.value.faults) == 2
    assert "3 CPU" in str(caught.value)
    assert "has 0" in str(caught.value)


def test_as_many_trials_as_fit() -> None:
    there = [{"CPU": 8.0, "GPU": 1.0}]
    assert fitting_trials(Resources(workers=2), there) == 4
    assert fitting_trials(Resources(gpus_per_worker=0.5), there) == 2
    assert fitting_trials(Resources(concurrent=3), there) == 3
    assert fitting_trials(Resources(workers=2, max_workers=4), there) == 2
    assert fitting_trials(Resources(workers=2, max_workers=64), there) == 1


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


def test_an_arm_may_change_a_whole_configuration() -> None:
    arms = {"drill": {"tool": Drill(speed=3.0)}, "saw": {"tool": Saw(), "limit": 2.0}}
    kept = json.loads(json.dumps(define("s", ablation(arms=arms))))
    assert kept["arms"]["drill"] == {"tool": "drill", "tool.speed": 3.0}
    assert kept["arms"]["saw"] == {"tool": "saw", "limit": 2.0}
    by_field = {"drill": {"tool": "drill", "tool.speed": 3.0}, "saw": {"tool": "saw", "limit": 2.0}}
    check_grown(kept, define("s", ablation(arms=by_field)))


def test_a_study_may_grow() -> None:
    old = define("s", ablation())
    arms = {**ablation().arms, "long": {"length": 9.0}}
    check_grown(old, define("s", ablation(arms=arms, seeds=(0, 1, 2))))
    paper = Reported("LoRA", "Dice", 0.8, "some data", "a paper")
    named = define("s", ablation(reported=(paper,)))
    assert named["reported"][0]["method"] == "LoRA"
    assert "reported" not in old
    check_grown(old, named)
    check_grown(define("s", search()), define("s", search(num_samples=9)))


def test_what_weighs_alike_is_part_of_the_study() -> None:
    plain, alike = define("s", ablation()), define("s", ablation(weights="patients"))
    assert "weights" not in plain
    assert alike["weights"] == "patients"
    check_grown(alike, alike)
    with pytest.raises(SpecError, match="weights: was 'images', now 'patients'"):
        check_grown(plain, alike)
    with pytest.raises(SpecError, match="weights: was 'patients', now 'images'"):
        check_grown(alike, plain)
    with pytest.raises(ValueError, match="'images' or 'patients'"):
        ablation(weights="pixels")


def test_a_margin_is_kept_and_a_changed_one_shows_what_it_was() -> None:
    plain, first = define("s", ablation()), define("s", ablation(margin={"dice": 0.01, "assd": 1}))
    validate(ablation(margin={"dice": 0.01, "assd": 1}))
    assert "margin" not in plain
    assert first["margin"] == {"dice": 0.01, "assd": 1.0}
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert keep_history(first, first, noon) == first
    wider = define("s", ablation(margin={"dice": 0.05}))
    check_grown(first, wider)
    changed = json.loads(json.dumps(keep_history(first, wider, noon)))
    assert changed["margin"] == {"dice": 0.05}
    assert changed["margin_before"] == [
        {"margin": {"dice": 0.01, "assd": 1.0}, "until": "2026-01-31T12:00:00+00:00"}
    ]
    check_grown(changed, plain)
    gone = keep_history(changed, plain, noon)
    assert "margin" not in gone
    assert [b["margin"] for b in gone["margin_before"]] == [first["margin"], {"dice": 0.05}]
    late = keep_history(plain, first, noon)
    assert late["margin_before"][0]["margin"] == {}


@pytest.mark.parametrize(
    ("asked", "looks"),
    [((3, 20), (3, 5, 8, 12, 20)), ((3, 10), (3, 5, 10)), ((3, 4), (3, 4)), ((8, 9), (8, 9))],
)
def test_seeds_are_looked_at_a_few_times(asked: tuple[int, int], looks: tuple[int, ...]) -> None:
    seeds = Sequential(at_least=asked[0], at_most=asked[1])
    assert seeds.looks == looks
    study = ablation(seeds=seeds)
    validate(study)
    assert study.all_seeds == tuple(range(asked[1]))
    assert len({t.trial_id for t in study.trials({})}) == asked[1] * len(study.all_arms())
    kept = json.loads(json.dumps(define("s", study)))
    assert kept["sequential"] == {"at_least": asked[0], "looks": list(looks)}
    assert first_seeds(kept) == list(range(asked[0]))


def test_other_looks_are_another_study() -> None:
    few, more = (define("s", ablation(seeds=Sequential(at_most=most))) for most in (10, 20))
    with pytest.raises(SpecError, match="sequential: looks was"):
        check_grown(json.loads(json.dumps(few)), more)
    with pytest.raises(SpecError, match="sequential: was None"):
        check_grown(json.loads(json.dumps(define("s", ablation()))), more)


def test_seeds_that_cannot_be_added_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 3"):
        Sequential(at_least=2)
    with pytest.raises(ValueError, match="at_most = 3: give more than at_least = 3"):
        Sequential(at_most=3)
    tuned = ablation(seeds=Sequential(), tune_each_arm={"limit": (1.0, 2.0)}, tune_seed=4)
    assert "tune_seed = 4 is one of the seeds" in faults(tuned)


def test_margins_that_cannot_be_meant_are_refused_together() -> None:
    found = faults(ablation(margin={"nsd": 0.1, "dice": 1.0, "assd": math.inf}))
    assert found.splitlines() == [
        "margin: arms are not compared in nsd, but in dice, assd",
        "margin: dice = 1.0: give a finite number above 0 and below 1, since Dice lies between 0 "
        "and 1",
        "margin: assd = inf: give a finite number above 0",
    ]
    for value in (0, -0.01, math.nan):
        assert "margin: dice = " in faults(ablation(margin={"dice": value}))
    with pytest.raises(ValueError, match="margin"):
        ablation(margin={"dice": "small"})


def test_code_may_gain_a_setting_with_a_default() -> None:
    old = define("s", ablation())
    del old["baseline"]["limit"]
    check_grown(old, define("s", ablation()))
    with pytest.raises(SpecError, match="limit was 'not there', now 3.0"):
        check_grown(old, define("s", ablation(baseline=Job(limit=3.0))))


def test_another_kind_of_study_is_said_in_one_line() -> None:
    with pytest.raises(SpecError, match="kind ablation, now of kind search"):
        check_grown(define("s", ablation()), define("s", search()))


def test_a_worker_must_fit_on_a_node() -> None:
    nodes = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 4.0}]
    check_resources(Resources(workers=2, gpus_per_worker=4), nodes, "the cluster")
    with pytest.raises(SpecError, match="all it asks for on one node"):
        check_resources(Resources(gpus_per_worker=8), nodes, "the cluster")
    with pytest.raises(SpecError, match="give at least 0.0001"):
        check_resources(Resources(cpus_per_worker=float("nan")), nodes, "the cluster")


def test_a_changed_study_is_refused_with_the_difference() -> None:
    old = define("s", ablation())
    with pytest.raises(SpecError) as caught:
        check_grown(old, define("s", ablation(baseline=Job(length=5.0), seeds=(1,))))
    text = str(caught.value)
    assert "length was 2.0, now 5.0" in text
    assert "seeds: [0] are gone" in text
    assert "--name" in text


def test_contrasts_are_kept_and_those_that_say_nothing_are_refused_together() -> None:
    arms = {"a": {"length": 3.0}, "b": {"length": 4.0}}
    pairs = (("a", "b"),)
    validate(ablation(arms=arms, contrasts=pairs))
    assert define("s", ablation(arms=arms, contrasts=pairs))["contrasts"] == [["a", "b"]]
    plain = define("s", ablation(arms=arms))
    assert "contrasts" not in plain
    with pytest.raises(SpecError, match="contrasts: was None"):  # none is added afterwards
        check_grown(plain, define("s", ablation(arms=arms, contrasts=pairs)))
    wrong = (("a", "b"), ("b", "a"), ("a", "a"), ("a", "c"), ("a", "baseline"))
    found = faults(ablation(arms=arms, contrasts=wrong))
    for fault in (
        "contrasts: b with a: the pair stands more than once",
        "contrasts: a with a: an arm is no contrast to itself",
        "contrasts: a with c: there is no arm c, but baseline, a, b",
        "contrasts: a with baseline: every arm is compared with the baseline anyway",
    ):
        assert fault in found
