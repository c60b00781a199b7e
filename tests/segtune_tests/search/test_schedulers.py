"""Which trials a scheduler stops, without a cluster: its rules driven by hand."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from support.score_kinds import Scored

from segtune.search.schedulers import CONTINUE, STOP, EpochScheduler, most_epochs, scheduler
from segtune.search.trial_history import LearningCurve, PastTrial
from segtune.study.spec import Objective, Search
from segtune.study.stopping import Asha, MedianStopping, Scheduler
from segtune.study.trial import PackedTrial, Trial

EPOCHS = 9


@dataclass(frozen=True)
class Schedule:
    epochs: int = EPOCHS


@dataclass(frozen=True)
class Scoring:
    every: int = 1


@dataclass(frozen=True)
class Config(Scored):
    schedule: Schedule = field(default_factory=Schedule)
    evaluation: Scoring = field(default_factory=Scoring)
    rank: int = 8
    seed: int = 0


class TuneTrial:
    """What Tune hands to a scheduler: its own id, and our trial."""

    def __init__(self, name: str) -> None:
        self.trial_id = f"random-{id(self)}"
        self.config = {"trial": PackedTrial.of(Trial(name, "search", 0, Config(), {}))}


def search(asked: Scheduler | None, **more: Any) -> Search:
    base: dict[str, Any] = {
        "question": "?",
        "baseline": Config(),
        "space": {"rank": IntDistribution(1, 64)},
        "num_samples": 9,
        "scheduler": asked,
    }
    return Search(**{**base, **more})


def make_scheduler(asked: Search, past: list[PastTrial] | None = None) -> EpochScheduler:
    found = scheduler(asked, {}, past or [])
    assert found is not None
    return found


def result(epoch: int, dice: float, **more: Any) -> dict[str, Any]:
    """Tune's own counter says something else on purpose."""
    metrics = {"epoch": epoch, "epochs": EPOCHS, "final": False, "val/dice": dice, "val/assd": 1.0,
               "selection": dice}  # fmt: skip
    return {**metrics, "training_iteration": 100 - epoch, **more}


def run(stops: EpochScheduler, name: str, dices: list[float]) -> int:
    """Epochs that a trial was given."""
    trial = TuneTrial(name)
    stops.on_trial_add(None, trial)
    for epoch, dice in enumerate(dices, start=1):
        if stops.on_trial_result(None, trial, result(epoch, dice)) == STOP:
            return epoch
    stops.on_trial_complete(None, trial, result(1, 0.0, final=True))
    return len(dices)


def gone(number: int, dices: list[float], status: str = "finished") -> PastTrial:
    curve = LearningCurve()
    for epoch, dice in enumerate(dices, start=1):
        curve.add(epoch, {"dice": dice}, dice)
    return PastTrial(f"t{number}", number, 0, {}, status, curve=curve)


def test_none_is_none() -> None:
    assert scheduler(search(None), {}, []) is None


def test_asha_stops_the_worse_at_its_rungs_and_the_winner_ends_by_itself() -> None:
    stops = make_scheduler(search(Asha(grace_period=1, reduction_factor=3)))
    epochs = {
        name: run(stops, name, [dice] * EPOCHS) for name, dice in zip("abc", (3, 2, 1), strict=True)
    }
    assert epochs == {"a": 9, "b": 1, "c": 1}
    assert stops.stopped == {"b": 1, "c": 1}
    assert run(stops, "d", [2.2, *[4.0] * 8]) == 1, "a rung forgives nothing"
    assert run(stops, "e", [5.0] * EPOCHS) == 9


def test_nobody_is_stopped_at_the_last_epoch() -> None:
    stops = make_scheduler(search(Asha(grace_period=3, reduction_factor=3)))  # rungs 3 and 9
    assert run(stops, "a", [5.0] * EPOCHS) == 9
    assert run(stops, "b", [*[6.0] * 8, 20.0]) == 9
    assert run(stops, "c", [5.9] * EPOCHS) == 9, "good enough at rung 3, too bad at 9"
    assert not stops.stopped


def test_what_counts_is_the_best_epoch_so_far() -> None:
    stops = make_scheduler(search(Asha(grace_period=3, reduction_factor=3)))
    run(stops, "a", [0.5] * EPOCHS)
    assert run(stops, "b", [0.9, 0.1, 0.1, *[0.1] * 6]) == 9
    assert run(stops, "c", [0.1, 0.1, 0.7, *[0.1] * 6]) == 3


def test_the_final_result_names_the_best_epoch_and_is_no_epoch() -> None:
    stops = make_scheduler(search(Asha(grace_period=1, reduction_factor=3)))
    run(stops, "a", [0.5] * EPOCHS)
    trial = TuneTrial("b")
    stops.on_trial_add(None, trial)
    assert stops.on_trial_result(None, trial, result(1, 0.1, final=True)) == CONTINUE
    assert stops.on_trial_result(None, trial, {"error": "boom", "epoch": 1}) == CONTINUE
    assert stops.on_trial_result(None, trial, result(1, math.nan)) == CONTINUE
    assert not stops.stopped


def test_a_repeated_epoch_decides_nothing() -> None:
    stops = make_scheduler(search(MedianStopping(min_trials=1)))
    run(stops, "a", [0.5] * EPOCHS)
    trial = TuneTrial("b")
    stops.on_trial_add(None, trial)
    assert stops.on_trial_result(None, trial, result(1, 0.6)) == CONTINUE
    stops.on_trial_error(None, trial)  # its worker died; Tune adds it anew
    stops.on_trial_add(None, trial)
    assert stops.on_trial_result(None, trial, result(1, 0.6)) == CONTINUE
    assert stops.on_trial_result(None, trial, result(2, 0.6)) == CONTINUE


def test_the_median_rule() -> None:
    stops = make_scheduler(search(MedianStopping(grace_period=2, min_trials=2)))
    for name, dice in (("a", 0.9), ("b", 0.5)):
        assert run(stops, name, [dice] * EPOCHS) == 9, "too few to compare with, and no waiting"
    assert run(stops, "c", [0.6] * EPOCHS) == 2, "worse than the median of a and b"
    assert run(stops, "d", [0.1, *[0.95] * 8]) == 9


def test_smaller_may_be_better() -> None:
    asked = search(Asha(metric="assd", reduction_factor=3))
    stops = make_scheduler(asked)
    trials = [TuneTrial(name) for name in "ab"]
    for trial, assd in zip(trials, (2.0, 5.0), strict=True):
        stops.on_trial_add(None, trial)
        decision = stops.on_trial_result(None, trial, result(1, 0.5, **{"val/assd": assd}))
        assert decision == (STOP if assd == 5.0 else CONTINUE)


@pytest.mark.parametrize("asked", [Asha(reduction_factor=3), MedianStopping(min_trials=2)])
def test_a_later_launch_knows_what_earlier_ones_saw(asked: Scheduler) -> None:
    past = [gone(0, [0.9] * EPOCHS), gone(1, [0.8] * EPOCHS), gone(2, [0.7], "pruned")]
    assert run(make_scheduler(search(asked), past), "t3", [0.1] * EPOCHS) < EPOCHS
    assert run(make_scheduler(search(asked)), "t3", [0.1] * EPOCHS) == EPOCHS


def test_a_trial_that_goes_on_is_compared_from_its_checkpoint_on() -> None:
    """It is known to the rule neither twice nor as stopped."""
    past = [gone(0, [0.9] * EPOCHS), gone(1, [0.8] * EPOCHS), gone(2, [0.1] * 4, "running")]
    asked = search(MedianStopping(min_trials=2))
    curves = {p.trial_id: p.curve for p in past}
    stops = scheduler(asked, curves, past)
    assert stops is not None
    trial = TuneTrial("t2")
    stops.on_trial_add(None, trial)
    assert stops.on_trial_result(None, trial, result(4, 0.1)) == CONTINUE, "known already"
    assert stops.on_trial_result(None, trial, result(5, 0.1)) == STOP


def test_the_longest_trial_sets_the_rungs() -> None:
    assert most_epochs(search(Asha())) == EPOCHS
    space = {"schedule.epochs": IntDistribution(3, 40)}
    assert most_epochs(search(Asha(), space=space)) == 40


def test_a_cost_as_first_objective_leaves_the_first_score() -> None:
    objectives = (Objective("peak_memory_bytes", "minimize"), Objective("dice", "maximize"))
    stops = make_scheduler(search(Asha(reduction_factor=3), objectives=objectives))
    assert [run(stops, n, [d] * EPOCHS) for n, d in (("a", 0.9), ("b", 0.1))] == [9, 1]


@pytest.mark.parametrize("status", ["finished", "pruned", "cancelled"])
def test_a_study_is_resumed_whatever_its_trials_had_reached(status: str) -> None:
    """Trials at a time get further than they would have got one after another."""
    past = [*(gone(n, [0.8] * 5) for n in range(3)), gone(3, [0.1] * 5, status)]
    stops = make_scheduler(search(MedianStopping(grace_period=1, min_trials=3)), past)
    assert run(stops, "t4", [0.1] * EPOCHS) < EPOCHS, "the rule still stops what is worse"


def test_epochs_of_trials_that_go_on_count_for_the_others() -> None:
    past = [gone(n, [0.8, 0.8], "cancelled") for n in range(3)]
    stops = make_scheduler(search(Asha(grace_period=1, reduction_factor=2)), past)
    assert run(stops, "t3", [0.1] * EPOCHS) == 1


def run_scored(stops: EpochScheduler, name: str, dice: float, every: int) -> int:
    """Epochs that a trial of constant scores was given, of which it has one every so many."""
    trial = TuneTrial(name)
    stops.on_trial_add(None, trial)
    for epoch in (e for e in range(1, EPOCHS + 1) if e % every == 0 or e == EPOCHS):
        if stops.on_trial_result(None, trial, result(epoch, dice)) == STOP:
            return epoch
    return EPOCHS


def test_asha_decides_once_for_each_rung_where_scores_are_seldom() -> None:
    """Rungs are 4 and 12 with a score every 4 epochs, not 1, 3 and 9: 8 is none."""
    asked = search(Asha(grace_period=1, reduction_factor=3), baseline=Config(evaluation=Scoring(4)))
    stops = make_scheduler(asked)
    assert run_scored(stops, "a", 0.5, 4) == EPOCHS
    assert run_scored(stops, "b", 0.4, 4) == 4
    late = TuneTrial("late")
    stops.on_trial_add(None, late)
    assert stops.on_trial_result(None, late, result(4, 0.6)) == CONTINUE
    run_scored(stops, "better", 0.9, 4)
    assert stops.on_trial_result(None, late, result(8, 0.6)) == CONTINUE, "8 is no rung"
    assert stops.stopped == {"b": 4}


def test_the_median_rule_decides_at_the_scores_there_are() -> None:
    baseline = Config(evaluation=Scoring(3))
    stops = make_scheduler(search(MedianStopping(grace_period=2, min_trials=2), baseline=baseline))
    assert [run_scored(stops, name, dice, 3) for name, dice in (("a", 0.6), ("b", 0.5))] == [9, 9]
    assert run_scored(stops, "c", 0.1, 3) == 3
    assert run_scored(stops, "d", 0.7, 3) == EPOCHS
    assert stops.stopped == {"c": 3}


def test_a_trial_that_can_not_be_judged_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any) -> str:
        raise ZeroDivisionError("no trials to compare with")

    rule = SimpleNamespace(
        on_trial_add=broken, on_trial_result=broken, on_trial_remove=broken, debug_string=str
    )
    stops = EpochScheduler(rule, "dice", {}, [])
    assert run(stops, "t0", [0.1, 0.2]) == 2
    assert "of t0: no trials to compare with" in capsys.readouterr().err
