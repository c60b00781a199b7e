"""One training, without Ray."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcore.config import TrainConfig, from_json, to_json
from segcore.data.loader import epoch_order, shares
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.train import TrainingDiverged, main, train
from segcore.training.checkpoint import CheckpointError, trained_tensors
from segcore.training.costs import memory
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import Evaluation
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule


def losses(evaluations: list[Evaluation]) -> list[float]:
    return [s.loss for e in evaluations for s in e.steps]


def in_time(name: str) -> Any:
    """Methods whose state is like another's are left to the slow tests."""
    quick = name in ("full", "lora", "adalora", "srft_galore")
    return pytest.param(name, marks=[] if quick else [pytest.mark.slow])


def with_method(config: TrainConfig, name: str) -> TrainConfig:
    return dataclasses.replace(config, method=Method.named(name))


@pytest.mark.parametrize("name", [in_time(name) for name in METHODS])
def test_resume_gives_the_losses_of_an_uninterrupted_run(
    tiny: TrainConfig, tmp_path: Path, name: str
) -> None:
    config = with_method(tiny, name)
    whole = list(train(config, Runtime()))
    interrupted = train(config, Runtime())
    first = next(interrupted)
    first.save(tmp_path)
    rest = list(train(config, Runtime(restore_from=tmp_path)))
    assert losses([first, *rest]) == losses(whole)
    assert rest[-1].scores == whole[-1].scores
    assert rest[-1].epoch == whole[-1].epoch


def test_resume_gives_the_same_tests_of_every_kind(tiny: TrainConfig, tmp_path: Path) -> None:
    external = SyntheticLiver(train=1, val=1, test=2, domain="b")
    evaluation = EvaluationConfig(external=external, resolutions=(64,))
    config = dataclasses.replace(tiny, evaluation=evaluation)
    *_, whole = train(config, Runtime())
    next(train(config, Runtime())).save(tmp_path)
    *_, resumed = train(config, Runtime(restore_from=tmp_path))
    assert repr(resumed.images) == repr(whole.images)  # NaN is NaN
    assert repr(resumed.scores) == repr(whole.scores)
    assert resumed.pictures == whole.pictures


def test_the_same_seed_gives_the_same_losses_and_another_does_not(tiny: TrainConfig) -> None:
    first = next(train(tiny, Runtime()))
    again = next(train(tiny, Runtime()))
    other = next(train(dataclasses.replace(tiny, seed=1), Runtime()))
    assert losses([first]) == losses([again])
    assert losses([first]) != losses([other])


def test_microbatches_give_the_gradient_of_the_whole_batch(tiny: TrainConfig) -> None:
    schedule = dataclasses.replace(tiny.schedule, microbatch_size=3)  # 4 = 3 + 1
    parts = next(train(dataclasses.replace(tiny, schedule=schedule), Runtime()))
    whole = next(train(tiny, Runtime()))
    assert losses([parts]) == pytest.approx(losses([whole]), rel=1e-4)
    assert losses([parts])[0] == pytest.approx(losses([whole])[0], rel=1e-6)


def test_workers_share_a_batch_without_loss_or_repeat() -> None:
    for world in (1, 2, 3, 5):
        parts = shares([7, 3, 9, 1], world, 2)
        assert len(parts) == world
        assert sorted(i for share in parts for micro in share for i in micro) == [1, 3, 7, 9]
        assert all(1 <= len(micro) <= 2 for share in parts for micro in share)


def test_every_epoch_has_its_own_order_of_all_samples() -> None:
    first, second = (epoch_order(20, seed=0, epoch=e) for e in (1, 2))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first == epoch_order(20, seed=0, epoch=1)


def test_val_is_seen_every_epoch_and_test_once_at_the_best(tiny: TrainConfig) -> None:
    evaluations = list(train(tiny, Runtime()))
    *epochs, final = evaluations
    assert [{s.split for s in e.scores} for e in epochs] == [{"val"}, {"val"}]
    assert {s.split for s in final.scores} == {"test"}
    best = max(epochs, key=lambda e: (e.score("dice"), -e.epoch))
    assert final.epoch == best.epoch
    assert final.final
    assert {i.split for i in final.images} == {"val", "test"}
    val = [i.value for i in final.images if (i.split, i.metric) == ("val", "dice")]
    assert val, "the images of val are kept for paired statistics"


def test_the_final_evaluation_is_of_the_best_epochs_weights(tiny: TrainConfig) -> None:
    *epochs, final = train(tiny, Runtime())
    best = next(e for e in epochs if e.epoch == final.epoch)
    for class_name in ("ridge", "silhouette", "ligament"):
        values = [
            i.value
            for i in final.images
            if (i.split, i.metric, i.class_name) == ("val", "dice", class_name)
        ]
        defined = [v for v in values if not math.isnan(v)]
        expected = best.score("dice", class_name=class_name)
        assert sum(defined) / len(defined) == pytest.approx(expected, abs=1e-6)


def test_the_test_is_of_the_best_epoch_though_another_came_later(tiny: TrainConfig) -> None:
    training = Training(tiny, Runtime())
    training.advance()
    first = trained_tensors(training.system)
    training.advance()
    training.best_epoch, training.best_tensors = 1, first
    assert training.finish().epoch == 1
    tested = trained_tensors(training.system)
    assert all(torch.equal(tested[name], tensor) for name, tensor in first.items())


def test_a_search_trial_never_sees_test(tiny: TrainConfig) -> None:
    final = list(train(tiny, Runtime(test=False)))[-1]
    assert final.scores == ()
    assert {i.split for i in final.images} == {"val"}
    assert {p.split for p in final.pictures} == {"val"}


def test_cosine_and_warm_up_really_step() -> None:
    schedule = Schedule(warmup_steps=4, final_lr_ratio=0.1)
    ratios = [schedule.lr_ratio(step, 24) for step in range(24)]
    assert ratios[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert ratios[4] == 1.0
    assert ratios[4:] == sorted(ratios[4:], reverse=True)
    assert ratios[14] == pytest.approx(0.55)  # half of the way
    assert 0.1 < ratios[-1] < 0.11


def test_rates_of_head_and_encoder_follow_the_schedule(tiny: TrainConfig) -> None:
    steps = [s for e in train(tiny, Runtime()) for s in e.steps]
    expected = [tiny.optim.lr * tiny.schedule.lr_ratio(i, len(steps)) for i in range(len(steps))]
    assert [s.lr for s in steps] == pytest.approx(expected)


def test_a_checkpoint_of_another_training_is_refused(tiny: TrainConfig, tmp_path: Path) -> None:
    next(train(tiny, Runtime())).save(tmp_path)
    other = with_method(tiny, "lora")
    with pytest.raises(CheckpointError, match=r"config.method.name: it has 'srft_galore'"):
        next(train(other, Runtime(restore_from=tmp_path)))


def test_a_folder_without_a_checkpoint_is_named(tiny: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lacks best.safetensors, config.json, last.pt"):
        next(train(tiny, Runtime(restore_from=tmp_path)))


def test_a_damaged_checkpoint_is_said(tiny: TrainConfig, tmp_path: Path) -> None:
    next(train(with_method(tiny, "frozen"), Runtime())).save(tmp_path)
    last = tmp_path / "last.pt"
    whole = last.read_bytes()

    def go_on() -> None:
        Training(with_method(tiny, "frozen"), Runtime(restore_from=tmp_path))

    for content in (whole[: len(whole) // 2], b"", b"<html>"):
        last.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
            go_on()
    for other in ({"epoch": 1}, torch.zeros(2)):
        torch.save(other, last)
        with pytest.raises(CheckpointError, match=r"last\.pt does not say .*optimizer"):
            go_on()
    last.write_bytes(whole)
    go_on()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="it is no JSON object"):
        go_on()


def test_a_checkpoint_holds_what_moved_and_nothing_else(tiny: TrainConfig, tmp_path: Path) -> None:
    first = next(train(with_method(tiny, "frozen"), Runtime()))
    first.save(tmp_path)
    size = (tmp_path / "best.safetensors").stat().st_size
    assert size == pytest.approx(4 * first.facts.trainable_parameters, rel=0.1)


def test_a_loss_that_is_no_number_ends_the_training(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> Tensor:
        return torch.tensor(math.nan, requires_grad=True)

    monkeypatch.setattr("segcore.systems.dual_encoder.network.DualEncoder.loss", lost)
    with pytest.raises(TrainingDiverged, match="step 1 .epoch 1.*lower"):
        next(train(tiny, Runtime()))


def test_measured_memory_is_that_of_what_moves(tiny: TrainConfig) -> None:
    frozen, full = (next(train(with_method(tiny, n), Runtime())) for n in ("frozen", "full"))
    for e in (frozen, full):
        trained = 4 * e.facts.trainable_parameters
        assert e.memory.gradients == trained
        assert e.memory.optimizer_state == pytest.approx(2 * trained, rel=0.01)
        assert e.memory.weights >= 4 * e.facts.total_parameters
        assert e.memory.peak > e.memory.weights
    low_rank = next(train(with_method(tiny, "srft_galore"), Runtime())).memory
    assert low_rank.optimizer_state < low_rank.gradients * 2


def test_seconds_cover_every_part(tiny: TrainConfig) -> None:
    (first, *_) = next(train(tiny, Runtime())).steps
    assert all(v > 0 for v in vars(first.seconds).values())


def test_config_goes_through_json(tiny: TrainConfig) -> None:
    for name in METHODS:
        config = with_method(tiny, name)
        assert from_json(TrainConfig, to_json(config)) == config


def test_the_command_refuses_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nano", "--epochs", "0"]) == 2
    assert "epochs" in capsys.readouterr().err
    assert main(["nano", "--seed", "-1"]) == 2
    assert "seed" in capsys.readouterr().err


@pytest.mark.slow
def test_python_m_trains_without_ray(tmp_path: Path) -> None:
    code = (
        "import sys; from segcore.train import main; "
        "code = main(['nano', '--epochs', '1', '--out', sys.argv[1]]); "
        "assert not {'ray', 'segtune'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout
    assert "test Dice" in done.stdout
    assert (tmp_path / "best.safetensors").exists()


def test_states_that_share_memory_are_counted_once() -> None:
    model = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters())
    bank = torch.zeros(2, 16)
    optimizer.state[model.weight] = {"mean": bank[0], "square": bank[1]}
    found = memory(model, optimizer, torch.device("cpu"))
    assert (found.optimizer_state, found.weights) == (bank.nbytes, model.weight.nbytes)
