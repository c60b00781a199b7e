"""Searches as values: what is refused before anything starts, and how a search may grow."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.spec_jobs import Job, faults, refusal

from segcore.presets import nano
from segtune.report.evidence.search_results import in_distribution
from segtune.study.definition import check_grown, define
from segtune.study.overrides import Changes, apply
from segtune.study.sequential import Sequential
from segtune.study.space import When
from segtune.study.spec import Ablation, AtLeast, AtMost, Objective, Search
from segtune.study.stopping import Asha, MedianStopping, Scheduler
from segtune.study.validate import validate


def search(**changes: Any) -> Search:
    base: dict[str, Any] = {
        "question": "?",
        "baseline": Job(),
        "space": {
            "tool": CategoricalDistribution(("saw", "drill")),
            "tool.teeth": When("tool", ("saw",), IntDistribution(4, 32)),
            "tool.speed": When("tool", ("drill",), FloatDistribution(0.5, 2.0)),
        },
        "num_samples": 6,
    }
    return Search(**{**base, **changes})


def test_a_conditional_space_passes() -> None:
    validate(search())
    assert search().first() == {"tool": "saw", "tool.teeth": 8}


def test_all_mistakes_at_once() -> None:
    text = faults(
        search(
            space={
                "tool": CategoricalDistribution(("saw", "drill")),
                "tool.teeth": When("tool", ("jigsaw",), IntDistribution(4, 32)),
                "tool.speed": When("tol", ("drill",), FloatDistribution(0.5, 2.0)),
                "length": When("limit", (1.0,), FloatDistribution(1.0, 2.0)),
                "limit": When("length", (), FloatDistribution(1.0, 2.0)),
                "lenght": FloatDistribution(0.5, 2.0),
            },
            objectives=(Objective("accuracy", "maximize"),),
            constraints=(AtMost("memory", 8e9), AtLeast("dice", 0.5)),
            scheduler=Asha(metric="loss"),
            sampler="Guess",
            finalists=7,
            finalist_seeds=(3, 100, 100, -1),
        )
    )
    for part in (
        "tool.teeth goes with tool = 'jigsaw', which is never drawn",
        "tool.speed depends on tol, which is not searched",
        "length depends on limit, which depends on it",
        "unknown field lenght",
        "objective 'accuracy': choose one of dice",
        "constraint 'memory': choose one of dice",
        "trials can't be compared by 'loss'",
        "no schedule.epochs",
        "sampler 'Guess' can't be used: choose one of",
        "finalists = 7: give 0 to 6",
        "each must stand once",
        "[3] may choose the configurations",
        "finalist_seeds: seed = -1",
    ):
        assert part in text, part
    assert "'dice'" not in text, "a known constraint is no fault"


def test_the_values_of_a_field_are_tried_beside_what_they_need() -> None:
    space = dict(search().space) | {"tool.teeth": When("tool", ("saw",), IntDistribution(0, 32))}
    text = faults(search(space=space))
    assert "tool.teeth = 0" in text
    assert "unknown field" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"finalists": 2}, "finalist_seeds is empty"),
        ({"finalist_seeds": (100,)}, "no finalists"),
        ({"finalist_seeds": Sequential(), "finalists": 2}, "may choose the configurations"),
        ({"margin": {"dice": 0.01}}, "it is for the finalists, and there are none"),
        (
            {"margin": {"nsd": 0.1}, "finalists": 2, "finalist_seeds": (100,)},
            "margin: arms are not compared in nsd, but in dice",
        ),
        ({"sampler": "GridSampler"}, "use BruteForceSampler"),
        ({"sampler": "PartialFixedSampler"}, "choose one of BruteForceSampler"),
        ({"sampler": "NSGAIISampler", "sampler_options": {"size": 4}}, "size"),
        ({"sampler_options": {"seed": 4}}, "a seed is the study's own"),
        ({"sampler": "CmaEsSampler"}, "needs the package cmaes"),
        ({"sampler": "BruteForceSampler"}, "step"),
        (
            {"sampler": "BruteForceSampler", "space": {"tool.teeth": IntDistribution(7, 9)}},
            "each of the 3 combinations once",
        ),
        (
            {"scheduler": Asha(), "objectives": (Objective("seconds_per_step", "minimize"),)},
            "give its metric",
        ),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in faults(search(**changes))


@pytest.mark.parametrize(
    ("asked", "every", "epochs"),
    [(Asha(), 5, 5), (Asha(grace_period=5), 4, 7), (MedianStopping(grace_period=3), 6, 6)],
)
def test_a_scheduler_without_a_score_to_stop_by_is_refused(
    asked: Scheduler, every: int, epochs: int
) -> None:
    fields = {"schedule.epochs": epochs, "evaluation.every": every}
    space = {"optim.lr": FloatDistribution(1e-4, 1e-2, log=True)}
    study = search(baseline=apply(nano(), fields), space=space, scheduler=asked)
    assert f"stops nobody: with evaluation.every = {every} and grace" in faults(study)
    longer = apply(nano(), fields | {"schedule.epochs": 9})
    validate(replace(study, baseline=longer))


def test_any_sampler_takes_its_options() -> None:
    validate(search(sampler="NSGAIISampler", sampler_options={"population_size": 4}))
    validate(search(sampler="RandomSampler", constraints=(AtMost("peak_memory_bytes", 8e9),)))
    validate(
        search(
            objectives=(Objective("dice", "maximize"), Objective("seconds_per_step", "minimize"))
        )
    )
    space = {"tool.teeth": IntDistribution(7, 9)}
    validate(search(sampler="BruteForceSampler", space=space, num_samples=3))


def test_an_empty_choice_names_itself() -> None:
    with pytest.raises(ValueError, match="choices"):
        search(space={"tool": CategoricalDistribution(())})


def test_finalists_are_trained_with_fresh_seeds() -> None:
    study = search(finalists=2, finalist_seeds=(100, 101))
    validate(study)
    chosen = {5: {"tool": "drill", "tool.speed": 1.5}, 2: {"tool": "saw", "tool.teeth": 9}}
    trials = list(study.finalist_trials(chosen))
    assert [t.trial_id for t in trials] == ["t5-s100", "t2-s100", "t5-s101", "t2-s101"]
    assert {t.role for t in trials} == {"finalist"}
    assert [(t.arm, t.number, t.config.seed) for t in trials][0] == ("t5", 5, 100)
    assert trials[1].config.tool.teeth == 9


def test_the_definition_reads_as_before_and_has_the_rest_beside_it() -> None:
    kept = define("s", search(scheduler=Asha(), constraints=(AtMost("peak_memory_bytes", 8e9),)))
    assert all(isinstance(text, str) for text in kept["space"].values()), "what a report reads"
    assert kept["conditions"]["tool.teeth"] == {"field": "tool", "values": ["saw"]}
    assert kept["scheduler"]["name"] == "asha"
    assert kept["constraints"] == ["peak_memory_bytes at most 8000000000"]
    plain = define("s", search(space={"length": FloatDistribution(1.0, 3.0)}))
    assert not {"conditions", "scheduler", "constraints", "finalists"} & plain.keys()
    assert in_distribution(2.0, FloatDistribution(1.0, 3.0))


def test_a_search_may_grow_and_nothing_else() -> None:
    old = define("s", search())
    check_grown(old, define("s", search(num_samples=9, finalists=2, finalist_seeds=(100,))))
    grown = define("s", search(finalists=2, finalist_seeds=(100,)))
    check_grown(grown, define("s", search(finalists=3, finalist_seeds=(100, 101))))
    refused: tuple[dict[str, Any], ...] = (
        {"scheduler": MedianStopping()},
        {"constraints": (AtMost("dice", 1.0),)},
        {"sampler_options": {"n_startup_trials": 3}},
        {"num_samples": 5},
    )
    for changed in refused:
        refusal(partial(check_grown, old, define("s", search(**changed))))
    refusal(lambda: check_grown(grown, define("s", search(finalists=2, finalist_seeds=(7,)))))
    refusal(lambda: check_grown(grown, define("s", search())))


def test_a_search_does_not_go_on_by_another_protocol_of_the_same_name() -> None:
    now = define("s", search())
    old = {**now, "scores": {m: {**k, "protocol": "another"} for m, k in now["scores"].items()}}
    said = refusal(lambda: check_grown(old, now))
    assert "objective dice: its protocol was 'another', now" in said
    check_grown(
        {**now, "scores": {m: {**k, "protocol": ""} for m, k in now["scores"].items()}}, now
    )


def test_every_arm_is_tuned_over_the_same_candidates() -> None:
    arms: dict[str, Changes] = {"fine": {"tool.teeth": 32}, "drill": {"tool": "drill"}}
    study = Ablation(
        question="?",
        baseline=Job(),
        arms=arms,
        seeds=(0, 1),
        tune_each_arm={"length": (1.0, 3.0)},
    )
    validate(study)
    assert [t.trial_id for t in study.tuning_trials()] == [
        f"{arm}-t{k}" for arm in ("baseline", "fine", "drill") for k in range(2)
    ]
    assert define("s", study)["tune"] == {
        arm: {"length": [1.0, 3.0]} for arm in ("baseline", "fine", "drill")
    }
    both = Ablation(
        question="?",
        baseline=Job(),
        arms=arms,
        seeds=(0, 1000),
        tune_each_arm={"tool.teeth": (3, 4)},
        tune={"fine": {"length": (1.0, 3.0)}},
    )
    text = faults(both)
    assert "both tune and tune_each_arm" in text
    assert "tune of arm drill: unknown field tool.teeth" in text
    assert "tune_seed = 1000 is one of the seeds" in text
