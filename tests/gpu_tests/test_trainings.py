"""Trainings on a real GPU: that every system takes every method there, and gives a CPU's losses."""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.fake_cuda import fake_cuda
from support.fake_cuda.training import counted_parts
from support.pairs import ours, smallest

from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.metrics.overlap import Overlap
from segcore.presets import nano
from segcore.systems import SYSTEMS
from segcore.testing.samples import noise
from segcore.train import train
from segcore.training.loop import Training
from segcore.training.predicting import Target, predict
from segcore.training.runtime import Precision, Runtime, autocast
from segcore.training.schedule import Schedule
from segtune.cli import main
from segtune.results import tables

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


def short(
    system_name: str, method_name: str, folder: Path, precision: Precision = "float32"
) -> TrainConfig:
    """One epoch of three steps."""
    system = smallest(system_name)
    return TrainConfig(
        data=SyntheticLiver(train=6, val=1, test=1, size=64, root=str(folder)),
        system=system,
        method=Method.named(method_name),
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
        precision=precision,
        prompts=PromptConfig(source="jittered" if system.takes_prompts else "none"),
    )


def losses(config: TrainConfig, device: torch.device) -> list[float]:
    """Of each step."""
    evaluations = train(config, Runtime(device=device, test=False))
    return [step.loss for evaluation in evaluations for step in evaluation.steps]


@pytest.mark.parametrize("system_name", ours(SYSTEMS))
def test_every_system_trains_with_every_method(
    system_name: str, device: torch.device, tmp_path: Path
) -> None:
    for method_name in ours(METHODS):
        if METHODS[method_name].refusal(SYSTEMS, system_name) is None:
            found = losses(short(system_name, method_name, tmp_path, "bfloat16"), device)
            assert len(found) == 3, method_name


@pytest.mark.parametrize("method_name", ["full", "lora", "galore", "srft_galore"])
@pytest.mark.parametrize("system_name", ["dual_encoder", "imedsam", "weft"])
def test_losses_are_those_of_a_cpu(
    system_name: str, method_name: str, device: torch.device, tmp_path: Path
) -> None:
    config = short(system_name, method_name, tmp_path)
    here, there = losses(config, torch.device("cpu")), losses(config, device)
    # WEFT's loss is taken at points that transformers draws on the device, other ones there.
    assert there[0] == pytest.approx(here[0], rel=2e-2 if system_name == "weft" else 1e-3)
    assert there == pytest.approx(here, rel=5e-2 if system_name == "weft" else 2e-2)


def test_deterministic_trainings_give_the_same_digits(device: torch.device, tmp_path: Path) -> None:
    config = replace(short("dual_encoder", "srft_galore", tmp_path), deterministic=True)
    assert losses(config, device) == losses(config, device)


@pytest.mark.parametrize("method_name", ["full", "lora", "galore", "srft_galore"])
def test_nothing_waits_for_the_gpu_between_two_refreshes(
    method_name: str, device: torch.device, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = short("dual_encoder", method_name, tmp_path, "bfloat16")
    training = Training(config, Runtime(device=device))
    steps = training._train_epoch(1)
    next(steps)  # makes the optimizer's state, and bases
    batch = noise(2, config.system.input_size, training.dataset.classes).to(device)
    request.getfixturevalue("no_waits")
    with autocast(device, config.precision):
        prediction = training.system(batch, config.system.input_size)
        loss = training.system.loss(prediction, batch, training._progress())
    loss.backward()
    training.optimizer.step()


def test_as_many_kernels_are_launched_as_were_counted(device: torch.device) -> None:
    """A call of an operator launches a kernel or a few: the count on a GPU that is not there is of
    the order of what a profiler sees."""
    config = replace(nano(), method=Method.named("full"), schedule=Schedule(epochs=1, batch_size=2))
    with fake_cuda() as cuda:
        counted = counted_parts(config, cuda)["whole step"].total
    data = SyntheticLiver(train=6, val=1, test=1, size=64)
    steps = Training(replace(config, data=data), Runtime(device=device))._train_epoch(1)
    next(steps)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        next(steps)
    launched = sum(event.count for event in profile.key_averages() if "LaunchKernel" in event.key)
    assert counted / 2 < launched < 2 * counted


def test_overlaps_counted_there_are_the_hosts(device: torch.device, tmp_path: Path) -> None:
    training = Training(short("dual_encoder", "frozen", tmp_path), Runtime(device=device))
    classes, size = training.dataset.classes, training.config.system.input_size
    target = Target(training.dataset, "train", "train", size, ())
    runtime = Runtime(device=device)
    for said in predict(training.system, target, runtime, input_size=size, batch_size=2):
        a, b = (classes.foreground_masks(x) for x in (said.labels_HW, said.sample.labels_HW))
        counted = {name: Overlap.of(a[name], b[name]) for name in classes.foreground}
        counted["pooled"] = Overlap.of(said.labels_HW > 0, said.sample.labels_HW > 0)
        assert said.overlaps == counted


STUDY = """
from dataclasses import replace

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune import Ablation, apply


def study():
    tiny = replace(
        nano(),
        data=SyntheticLiver(train=8, val=4, test=4, root="scenes"),
        schedule=Schedule(epochs=3, batch_size=4, warmup_steps=1),
    )
    return Ablation(
        question="Do two trials share a GPU?",
        baseline=apply(tiny, {"method": "frozen"}),
        baseline_arm="frozen",
        arms={"srft_galore": {"method": "srft_galore"}},
        seeds=(0,),
    )
"""


@pytest.mark.ray
def test_two_trials_share_a_gpu(
    device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(STUDY)
    assert main(["run", "mine.py", "--storage", "results", "--gpus-per-worker", "0.5"]) == 0
    trials = tables.read("results", "mine", "trials").to_pylist()
    assert [t["status"] for t in trials] == ["finished"] * 2
    assert {t["device"] for t in trials} == {torch.cuda.get_device_name(device)}
    begun = [t["started"] for t in trials]
    assert max(begun) < min(t["ended"] for t in trials), "at a time"
    steps = tables.read("results", "mine", "steps").to_pylist()
    assert statistics.median(s["seconds_forward"] for s in steps) > 0
