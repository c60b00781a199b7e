"""How often a training is looked at, when it ends, and what stands for it: without Ray."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcore.config import TrainConfig
from segcore.methods.method import Method
from segcore.train import train
from segcore.training.averaging import RunningMean
from segcore.training.checkpoint import BEST, CONFIG, LAST, trained_tensors
from segcore.training.evaluation import EvaluationConfig
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segcore.training.schedule import OptimConfig, Schedule


def of_epochs(config: TrainConfig, epochs: int, **evaluation: Any) -> TrainConfig:
    return dataclasses.replace(
        config,
        schedule=dataclasses.replace(config.schedule, epochs=epochs),
        evaluation=dataclasses.replace(config.evaluation, **evaluation),
    )


def averaged(config: TrainConfig, decay: float | None) -> TrainConfig:
    return dataclasses.replace(config, optim=dataclasses.replace(config.optim, ema=decay))


def losses(evaluations: Any) -> list[float]:
    return [s.loss for e in evaluations for s in e.steps]


@pytest.mark.parametrize("method", ["full", "srft_galore"])
def test_a_checkpoint_is_of_when_it_was_copied(
    tiny: TrainConfig, tmp_path: Path, method: str
) -> None:
    """A training that goes on changes nothing of it, nor does its end."""
    config = averaged(dataclasses.replace(tiny, method=Method.named(method)), 0.9)
    training = train(config, Runtime())
    for name in ("epoch", "final"):
        evaluation = next(training)
        at_once, later = tmp_path / f"{name}-at-once", tmp_path / f"{name}-later"
        for folder in (at_once, later):
            folder.mkdir()
        evaluation.save(at_once)
        copied = evaluation.checkpoint()
        next(training, None)
        copied.save(later)
        for file in (BEST, CONFIG, LAST):
            assert (at_once / file).read_bytes() == (later / file).read_bytes(), file


@settings(deadline=None)  # the first call imports the metrics
@given(every=st.integers(1, 12), epochs=st.integers(1, 40))
def test_evaluations_are_every_so_many_epochs_and_at_the_end(every: int, epochs: int) -> None:
    evaluation, seen = EvaluationConfig(every=every), [0]
    while seen[-1] < epochs:
        seen.append(evaluation.next_after(seen[-1], epochs))
    assert seen[1:] == sorted({*range(every, epochs + 1, every), epochs})


def test_seldom_evaluations_train_the_same_and_go_on_from_where_they_were(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    usual = [*train(of_epochs(tiny, 3), Runtime())]
    seldom = []
    for evaluation in train(of_epochs(tiny, 3, every=2), Runtime()):
        seldom.append(evaluation)
        if len(seldom) == 1:
            evaluation.save(tmp_path)
    assert [e.epoch for e in seldom[:-1]] == [2, 3]
    assert losses(seldom) == losses(usual)
    assert [s.epoch for s in seldom[0].steps] == [s.epoch for e in usual[:2] for s in e.steps]
    resumed = [*train(of_epochs(tiny, 3, every=2), Runtime(restore_from=tmp_path))]
    assert losses(resumed) == losses(seldom[1:])
    assert repr(resumed[-1].scores) == repr(seldom[-1].scores)


def test_a_training_that_gets_no_better_ends_early(
    tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = of_epochs(tiny, 9, patience=2)
    values = iter([0.1, 0.4, 0.2, 0.4, 0.9])  # equal is no better
    monkeypatch.setattr(Training, "_selection", lambda _training, _scores: next(values))
    *epochs, final = train(config, Runtime())
    assert [e.epoch for e in epochs] == [1, 2, 3, 4]
    assert final.epoch == 2
    assert final.epochs == 9
    epochs[-1].save(tmp_path)
    assert [e.final for e in train(config, Runtime(restore_from=tmp_path))] == [True]


@settings(deadline=None)  # the first call imports the metrics
@given(
    best=st.integers(1, 30),
    later=st.integers(0, 30),
    every=st.integers(1, 5),
    patience=st.integers(1, 5),
)
def test_patience_counts_evaluations(best: int, later: int, every: int, patience: int) -> None:
    evaluation = EvaluationConfig(every=every, patience=patience)
    epoch, best = (best + later) * every, best * every
    assert evaluation.gives_up(epoch, best) == (later >= patience)
    assert not EvaluationConfig(every=every).gives_up(epoch, best)


def test_the_running_mean_is_what_a_loop_over_the_steps_gives() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    mean, wanted = RunningMean(model, 0.5), model.weight.detach().clone()
    for step in range(1, 21):
        with torch.no_grad():
            model.weight += torch.randn(2, 3)
        mean.add(step)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(mean.tensors, [wanted])
    own = model.weight.detach().clone()
    with mean.in_place():
        torch.testing.assert_close(model.weight.detach(), wanted)
    assert torch.equal(model.weight, own)


def test_the_mean_is_scored_and_kept_and_does_not_change_the_course(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    plain, mean = Training(tiny, Runtime()), Training(averaged(tiny, 0.9), Runtime())
    assert mean.mean is not None
    one, other = plain.advance(), mean.advance()
    assert losses([one]) == losses([other])
    moving = [n for n, p in mean.system.named_parameters() if p.requires_grad]
    kept = dict(zip(moving, mean.mean.tensors, strict=True))
    assert all(torch.equal(mean.best_tensors[name], kept[name]) for name in moving)
    trained = trained_tensors(plain.system)
    assert all(torch.equal(trained[n], x) for n, x in trained_tensors(mean.system).items())
    other.save(tmp_path)
    rest = [mean.advance(), mean.finish()]
    resumed = [*train(averaged(tiny, 0.9), Runtime(restore_from=tmp_path))]
    assert losses(resumed) == losses(rest)
    assert repr(resumed[-1].scores) == repr(rest[-1].scores)


@settings(deadline=None)  # the first call imports the metrics
@given(done=st.floats(0, 1), power=st.floats(0.1, 5))
def test_a_poly_course_is_a_power_of_what_is_left(done: float, power: float) -> None:
    schedule = Schedule(course="poly", poly_power=power, warmup_steps=0, final_lr_ratio=0)
    step = round(done * 1000)
    assert math.isclose(schedule.lr_ratio(step, 1000), (1 - step / 1000) ** power)


def test_settings_without_an_effect_are_refused(tiny: TrainConfig) -> None:
    with pytest.raises(ValueError, match="every = 3: there are 2 epochs"):
        of_epochs(tiny, 2, every=3)
    with pytest.raises(ValueError, match="patience = 2 has no effect: 6 epochs"):
        of_epochs(tiny, 6, every=2, patience=2)
    assert of_epochs(tiny, 7, every=2, patience=2).evaluation.patience == 2
    with pytest.raises(ValueError, match="the method adalora changes weights between steps"):
        dataclasses.replace(averaged(tiny, 0.9), method=Method.named("adalora"))
    with pytest.raises(ValueError, match="poly_power changes nothing"):
        Schedule(poly_power=2.0)
    with pytest.raises(ValueError, match="decayed changes nothing"):
        OptimConfig(weight_decay=0, decayed="matrices")
