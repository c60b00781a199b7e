"""What a box alone is worth."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segcore.batch import Batch, Prompts
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.scenes.objects import ellipse_in, filled_box
from segcore.methods.method import Method
from segcore.systems.system import SystemConfig
from segcore.train import train
from segcore.training.runtime import Runtime

POLYP = ClassSpec(("polyp",), exclusive=False)
SHAPES: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "filled_box": filled_box,
    "box_ellipse": ellipse_in,
}


@pytest.mark.parametrize("name", SHAPES)
def test_masks_are_the_shapes_in_the_boxes_at_any_size(name: str) -> None:
    boxes = torch.tensor([[[0.1, 0.2, 0.7, 0.9]], [[0.0, 0.0, 1.0, 0.3]], [[0.2, 0.2, 0.3, 0.3]]])
    present = torch.tensor([[True], [True], [False]])
    batch = Batch(
        image_B3HW=torch.rand(3, 3, 32, 32),
        target_BKHW=torch.zeros(3, 1, 32, 32),
        sample_ids=("a", "b", "c"),
        patient_ids=("a", "b", "c"),
        prompts=Prompts(boxes, present),
    )
    system = SystemConfig.named(name).build(POLYP)
    for size in ((32, 32), (50, 71)):
        found = POLYP.labels(system(batch, size).logits_BKhw)
        for i in range(2):
            expected = SHAPES[name](boxes[i, 0].numpy(), size)
            assert (found[i].astype(bool) != expected).mean() < 0.002  # rounding at the border
        assert not found[2].any(), "no box, no object"


def test_it_goes_through_a_training(tiny: TrainConfig) -> None:
    config = dataclasses.replace(
        tiny,
        system=SystemConfig.named("filled_box", image_size=64),
        method=Method.named("frozen"),
        prompts=PromptConfig(source="jittered", per="class"),
    )
    *_, last = train(config, Runtime())
    assert last.final
    assert any(s.split == "test" and s.value > 0 for s in last.scores)
