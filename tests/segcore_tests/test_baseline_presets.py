"""The baselines' presets: each is whole, and has the training that its docstring names."""

from collections.abc import Callable
from typing import Any

import pytest

from segcore.config import TrainConfig, from_json, to_json
from segcore.presets import (
    d2gpland_nano,
    d2gpland_paper,
    depth_unet_nano,
    depth_unet_paper,
    sam2_unet_nano,
    sam2_unet_paper,
    segformer_paper,
    unet_nano,
    unet_paper,
)
from segtune.study.overrides import flatten

AT_SRFT_GALORES_SCALE = {
    "data": "l3d",
    "system": "smp",
    "system.image_size": 1024,
    "system.width": 256,
    "method": "full",
    "method.lr": 1e-4,
    "optim.lr": 1e-4,
    "optim.weight_decay": 3e-5,
    "schedule.epochs": 100,
    "schedule.batch_size": 4,
}
PAPER: list[tuple[Callable[..., TrainConfig], dict[str, Any]]] = [
    (
        unet_paper,
        {
            **AT_SRFT_GALORES_SCALE,
            "system.architecture": "unet",
            "system.encoder.name": "resnet34",
            "system.inputs": "rgb",
        },
    ),
    (
        depth_unet_paper,
        {
            **AT_SRFT_GALORES_SCALE,
            "system.architecture": "unet",
            "system.encoder.name": "resnet34",
            "system.inputs": "rgbd",
        },
    ),
    (
        segformer_paper,
        {
            **AT_SRFT_GALORES_SCALE,
            "system.architecture": "segformer",
            "system.encoder.name": "mit_b2",
            "system.inputs": "rgb",
        },
    ),
    (
        sam2_unet_paper,
        {
            "data": "l3d",
            "system": "sam2_unet",
            "system.image_size": 352,
            "system.sam2.size": "hiera_large",
            "system.adapter_width": 32,
            "system.width": 64,
            "system.side_weight": 1.0,
            "system.loss": "structure",
            "system.loss.entropy": "plain",
            "method": "frozen",
            "optim.lr": 1e-3,
            "optim.weight_decay": 5e-4,
            "schedule.epochs": 20,
            "schedule.batch_size": 12,
            "augment.flip_axis": "either",
        },
    ),
    (
        d2gpland_paper,
        {
            "data": "l3d",
            "system": "d2gpland",
            "system.image_size": 1024,
            "system.encoder.name": "resnet34",
            "system.sam.size": "vit_b",
            "system.width": 128,
            "method": "frozen",
            "optim.lr": 1e-4,
            "optim.weight_decay": 3e-5,
            "schedule.epochs": 60,
            "schedule.batch_size": 4,
            "schedule.final_lr_ratio": 1.0,
            "augment.flip": 0.0,
        },
    ),
]


@pytest.mark.parametrize(("preset", "expected"), PAPER)
def test_at_paper_scale(preset: Callable[..., TrainConfig], expected: dict[str, Any]) -> None:
    config = preset("L3D", pretrained="random")
    assert from_json(TrainConfig, to_json(config)) == config
    fields = flatten(config)
    assert {field: fields[field] for field in expected} == expected


@pytest.mark.parametrize("preset", [unet_nano, depth_unet_nano, sam2_unet_nano, d2gpland_nano])
def test_small_ones_are_of_rendered_scenes(preset: Callable[[], TrainConfig]) -> None:
    config = preset()
    assert from_json(TrainConfig, to_json(config)) == config
    assert config.data.name == "synthetic_liver"
    assert config.system.needs_depth == (preset in (depth_unet_nano, d2gpland_nano))
