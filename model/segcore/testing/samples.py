"""Batches of noise, and classes to make them of."""

import numpy as np
import torch
from torch import Tensor

from segcore.batch import Batch, Progress, Prompts, Size
from segcore.classes import ClassSpec

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)
HALFWAY = Progress(step=1, total=2, epoch=1, epochs=2)


def noise(samples: int, size: Size, classes: ClassSpec = LANDMARKS, *, seed: int = 0) -> Batch:
    """A batch with everything that a system may look at: image, depth and boxes.

    Args:
        samples: in the batch.
        size: of image, depth and target.
        classes: of the target.
        seed: the same seed gives the same batch.
    """
    random = np.random.default_rng(seed)
    bits = len(classes.names) if classes.exclusive else 2 ** len(classes.names)
    labels_BHW = random.integers(0, bits, (samples, *size)).astype(np.uint8)
    names = tuple(f"sample {i}" for i in range(samples))

    def uniform(channels: int) -> Tensor:
        return torch.from_numpy(random.uniform(size=(samples, channels, *size)).astype(np.float32))

    boxes = torch.tensor([[[0.1, 0.2, 0.8, 0.9]]]).repeat(samples, len(classes.foreground), 1)
    return Batch(
        image_B3HW=uniform(3),
        target_BKHW=torch.from_numpy(classes.targets(labels_BHW)),
        sample_ids=names,
        patient_ids=names,
        depth_B1HW=uniform(1),
        prompts=Prompts(boxes, torch.ones(boxes.shape[:2], dtype=torch.bool)),
    )
