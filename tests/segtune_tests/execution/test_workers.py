"""Every system: two workers train and score as one."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.methods.method import Method
from segcore.presets import imedsam_nano
from segcore.systems import SYSTEMS
from segcore.systems.system import SystemConfig
from segcore.train import train
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply

WORLD = 2
SHAPES = ("filled_box", "box_ellipse")
"""Systems without anything to adapt."""


def configuration(system: str, folder: Path) -> TrainConfig:
    """Two epochs of three steps of four images and one of two."""
    chosen = SystemConfig.named(system)
    scenes = SyntheticLiver if system == "d2gpland" else SyntheticPolyps  # it needs depth maps
    data = scenes(
        train=14, val=3, test=3, images_per_patient=1, size=64, root=str(folder / scenes.name)
    )
    changes: dict[str, Any] = {
        "data": data,
        "system": chosen,
        "system.image_size": 64,
        "schedule": Schedule(epochs=2, batch_size=4, warmup_steps=0),
        "method": Method.named("frozen") if system in SHAPES else Method.named("full"),
    }
    if system == "dual_encoder":
        changes["system.depth.source"] = "image"
    if not chosen.takes_prompts:
        changes["prompts.source"] = "none"
    config: TrainConfig = apply(imedsam_nano(), changes)
    return config


def trained(system: str, folder: Path, runtime: Runtime) -> dict[str, dict[Any, float]]:
    """The losses of the steps and the scores of the images, val's and test's."""
    torch.set_num_threads(1)
    losses: dict[Any, float] = {}
    scores: dict[Any, float] = {}
    for evaluation in train(configuration(system, folder), runtime):
        losses |= {s.step: s.loss for s in evaluation.steps}
        for i in evaluation.images:
            key = (evaluation.epoch, i.split, i.sample_id, i.class_name, i.metric, i.protocol)
            assert key not in scores, "each image once"
            scores[key] = i.value
    return {"losses": losses, "scores": scores}


def work(rank: int, folder: str) -> None:
    """One of two workers: every system, one after another."""
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=WORLD)
    for system in SYSTEMS:
        found = trained(system, Path(folder), Runtime(rank=rank, world=WORLD))
        if rank == 0:
            torch.save(found, Path(folder) / f"{system}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two workers found, a file for each system."""
    folder = tmp_path_factory.mktemp("together")
    for system in ("filled_box", "d2gpland"):
        configuration(system, folder).data.open()  # rendered once
    spawn(work, (str(folder),), nprocs=WORLD)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_two_workers_train_and_score_as_one(system: str, together: Path) -> None:
    two = torch.load(together / f"{system}.pt", weights_only=True)  # noqa: TID251
    one = trained(system, together, Runtime())
    assert one["losses"].keys() == two["losses"].keys()
    for step, loss in one["losses"].items():
        tolerance = 1e-6 if step == 1 else 1e-3
        assert two["losses"][step] == pytest.approx(loss, rel=tolerance), f"step {step}"
    assert one["scores"].keys() == two["scores"].keys()
    dice = {key: value for key, value in one["scores"].items() if key[4] == "dice"}
    assert {key[1] for key in dice} == {"val", "test"}
    for key, value in dice.items():
        assert two["scores"][key] == pytest.approx(value, abs=0.02, nan_ok=True), key
