"""The largest microbatch that a GPU holds: tried once for each network, kept in a file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segcore.batch import FINISHED, Batch, Prompts, Size
from segcore.classes import ClassSpec
from segcore.config import TrainConfig, to_json
from segcore.files import cache_folder, whole
from segcore.systems.system import System
from segcore.training.runtime import Precision, Runtime, autocast, device_name

SPARED = 0.1
"""Share of a GPU's memory that is left free: augmented batches differ, and memory falls apart."""
STATE = 8
"""Bytes of optimizer state for each element that moves: Adam's two moments in float32. They are not
there yet when a microbatch is tried."""


def microbatch_size(
    config: TrainConfig, system: System, classes: ClassSpec, runtime: Runtime
) -> int | None:
    """Most samples that a worker has in memory at once; None: its whole share of a batch.

    Args:
        config: of the training.
        system: adapted, on its device, without an optimizer as yet. It stays as it is.
        classes: of the targets.
        runtime: the device, and how many workers share a batch.
    """
    wanted = config.schedule.microbatch_size
    if wanted != "largest":
        return wanted
    if runtime.device.type == "cpu":
        return 1
    described = to_json(config.system, locations=False), to_json(config.method)
    return largest_that_fits(
        system,
        [*described, config.gradient_checkpointing],
        -(-config.schedule.batch_size // runtime.world),
        size=config.system.input_size,
        classes=classes,
        device=runtime.device,
        precision=config.precision,
    )


def largest_that_fits(
    system: System,
    description: Any,
    most: int,
    *,
    size: Size,
    classes: ClassSpec,
    device: torch.device,
    precision: Precision,
) -> int:
    """Samples of which a GPU holds a forward and a backward pass at once: `most`, or half of that,
    and so on down to 1, which is not tried.

    Args:
        system: adapted, on the device, without an optimizer as yet. It stays as it is.
        description: of it, as JSON writes it: what was found for the same one on such a GPU, with
            as much memory to take and the same torch, is not tried again.
        most: samples of a worker's share of a batch.
        size: of the images.
        classes: of the targets.
        device: a GPU.
        precision: of the forward pass.
    """
    room = available(device)
    known = [description, most, size, precision, device_name(device), room, torch.__version__]
    file = _file(known)
    if file.is_file():
        return int(json.loads(file.read_text())["microbatch_size"])
    moving = STATE * sum(p.numel() for p in system.parameters() if p.requires_grad)
    fits = most
    while fits > 1:
        peak = _peak(system, _grey(fits, size, classes, device), size, precision)
        if peak + moving <= room:
            break
        fits = (fits + 1) // 2
    with whole(file) as unfinished:
        unfinished.write_text(json.dumps({"microbatch_size": fits, "of": known}))
    return fits


def _file(known: list[Any]) -> Path:
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "microbatches" / f"{digest[:16]}.json"


def available(device: torch.device) -> int:
    """Bytes of a GPU that this process may count on."""
    total = torch.cuda.get_device_properties(device).total_memory
    return int((1 - SPARED) * total * torch.cuda.get_per_process_memory_fraction(device))


def _peak(system: System, batch: Batch, size: Size, precision: Precision) -> float:
    """Bytes that a forward and a backward pass take at most; infinite where there are not so many.

    Random states stay as they are, and no gradient is left.
    """
    device = batch.image_B3HW.device
    torch.cuda.reset_peak_memory_stats(device)
    system.train()
    with torch.random.fork_rng([device]):
        try:
            with autocast(device, precision):
                loss = system.loss(system(batch, size, FINISHED), batch, FINISHED)
            loss.backward()
            peak: float = torch.cuda.max_memory_allocated(device)
        except torch.OutOfMemoryError:
            peak = float("inf")
    system.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    return peak


def _grey(samples: int, size: Size, classes: ClassSpec, device: torch.device) -> Batch:
    """A batch of grey images with all that a system may look at."""
    names = tuple(f"sample {i}" for i in range(samples))
    boxes = torch.tensor([[[0.1, 0.1, 0.9, 0.9]]]).repeat(samples, len(classes.foreground), 1)
    labels_HW = np.zeros(size, np.uint8)
    labels_HW[: size[0] // 2] = 1
    target_KHW = torch.from_numpy(classes.targets(labels_HW[None]))[0]
    return Batch(
        image_B3HW=torch.full((samples, 3, *size), 0.5),
        target_BKHW=target_KHW.expand(samples, -1, -1, -1),
        sample_ids=names,
        patient_ids=names,
        depth_B1HW=torch.full((samples, 1, *size), 0.5),
        prompts=Prompts(boxes, torch.ones(boxes.shape[:2], dtype=torch.bool)),
    ).to(device)
