"""Checkpoints of networks that nobody trained."""

from pathlib import Path

import torch

from segcore.classes import ClassSpec
from segcore.config import TrainConfig, to_json
from segcore.methods.method import Method
from segcore.training.checkpoint import Checkpoint, trained_tensors


def save(config: TrainConfig, classes: ClassSpec, folder: Path) -> Path:
    """A frozen network whose head is random: it sees every class somewhere.

    Args:
        config: of the network.
        classes: that it tells apart.
        folder: of the checkpoint, made where it is not there.
    """
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    system = config.system.build(classes)
    Method.named("frozen").adapt(system)
    description = {
        "config": to_json(config, locations=False) | {"method": {"name": "frozen"}},
        "classes": {"names": list(classes.names), "exclusive": classes.exclusive},
        "weights_hash": system.weights_hash(),
        "window": config.data.grey_window,
    }
    Checkpoint(description, trained_tensors(system), {}).save(folder)
    return folder
