"""Real gradients: training steps of our own systems on rendered liver scenes, saved to files.

Two presets. `hiera_l` is the `paper` system at 1024 x 1024, its encoders with random weights unless
a checkpoint is given; a step takes half a minute on two CPU cores, and the process some 11 GB.
`nano` starts from the packaged weights; its steps take a second.

Needs segcore and all that it needs. What it writes is read again by `gradients.py`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from segcore.batch import FINISHED, Batch, Size
from segcore.data.dataset import Dataset
from segcore.data.loader import collate, epoch_order
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.method import Method
from segcore.presets import nano, paper_system
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config

PRESETS = ("hiera_l", "nano")


def system_config(preset: str, image_size: int | None, checkpoint: str | None) -> DualEncoderConfig:
    """The network whose gradients are taken.

    Raises:
        ValueError: `nano` was given a checkpoint.
    """
    if preset == "nano":
        if checkpoint is not None:
            raise ValueError("nano has packaged weights; give --checkpoint with hiera_l alone")
        config = nano().system
        assert isinstance(config, DualEncoderConfig)
    else:
        config = paper_system(pretrained="random")
        if checkpoint is not None:
            assert isinstance(config.rgb, Sam2Config)
            rgb = replace(config.rgb, pretrained="checkpoint", checkpoint=checkpoint)
            config = replace(config, rgb=rgb)
    return config if image_size is None else replace(config, image_size=image_size)


def batch_of(dataset: Dataset, step: int, size: Size, images: int) -> Batch:
    """The images of one step, in an order drawn anew for each pass over the split."""
    ids = dataset.ids("train")
    passes = -(-(step + 1) * images // len(ids))
    order = [i for p in range(passes) for i in epoch_order(len(ids), seed=0, epoch=p)]
    chosen = order[step * images : (step + 1) * images]
    return collate([dataset.load("train", ids[i], size) for i in chosen], dataset.classes)


def capture(
    folder: Path,
    preset: str,
    *,
    at: Sequence[int],
    images: int = 1,
    image_size: int | None = None,
    checkpoint: str | None = None,
    lr: float = 5e-5,
) -> list[Path]:
    """Train all attention weights and the head with AdamW; save the former's gradients.

    Args:
        folder: Where `<preset>-<step>.safetensors` are written.
        preset: One of `PRESETS`.
        at: Steps to save, counted from 0: the gradient that step would apply.
        images: Per step.
        image_size: Side in pixels, if not the preset's own.
        checkpoint: Meta's sam2.1_hiera_large.pt.
        lr: AdamW's learning rate.

    Returns:
        The files written.
    """
    config = system_config(preset, image_size, checkpoint)
    scenes = SyntheticLiver(train=40, val=1, test=1, size=config.image_size)
    dataset = scenes.open()
    torch.manual_seed(0)
    system = config.build(dataset.classes)
    Method.named("galore").adapt(system)  # says which weights move, and nothing else
    moving = [p for p in system.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=lr, weight_decay=3e-5)
    targets = {name: module.weight for name, module in system.adaptable("attention").items()}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for step in range(max(at) + 1):
        start = time.perf_counter()
        batch = batch_of(dataset, step, config.input_size, images)
        optimizer.zero_grad()
        loss = system.loss(system(batch, config.input_size), batch, FINISHED)
        loss.backward()
        if step in at:
            path = folder / f"{preset}-{step}.safetensors"
            gradients = {n: w.grad.contiguous() for n, w in targets.items() if w.grad is not None}
            about = {"preset": preset, "step": str(step), "image_size": str(config.input_size)}
            weights = "random" if preset == "hiera_l" and checkpoint is None else "pretrained"
            save_file(gradients, path, {**about, "weights": weights, "images": str(images)})
            written.append(path)
        optimizer.step()
        took = time.perf_counter() - start
        print(f"{preset} step {step}: loss {loss.item():.4f}, {took:.1f} s", flush=True)
    return written
