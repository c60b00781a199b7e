"""Weights of the dual encoder's two encoders: checkpoints that fit, and ones that do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

from segcore.systems.depth_encoder import DepthConfig, backbone_config
from segcore.systems.sam2_encoder import Sam2Config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "small"}, "packaged weights exist for size 'nano'"),
        ({"pretrained": "checkpoint"}, "needs checkpoint="),
        ({"checkpoint": "x.safetensors"}, "checkpoint has no effect"),
    ],
)
def test_sources_of_weights_that_cannot_be_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DepthConfig(**fields)


def sam2_checkpoint(path: Path, edit: dict[str, Tensor | None]) -> Sam2Config:
    tensors = dict(Sam2Config(pretrained="random").build().state_dict())
    tensors["sam_mask_decoder.iou_token.weight"] = torch.zeros(3)  # no part of the encoder
    for name, tensor in edit.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    torch.save({"model": tensors}, path)
    return Sam2Config(pretrained="checkpoint", checkpoint=str(path))


def test_sam2_checkpoint_round_trip(tmp_path: Path) -> None:
    name = "image_encoder.neck.convs.0.conv.bias"
    config = sam2_checkpoint(tmp_path / "sam2.pt", {name: torch.full((64,), 3.0)})
    assert (config.build().get_parameter(name) == 3).all()


def test_sam2_checkpoint_that_does_not_fit_names_every_fault(tmp_path: Path) -> None:
    trunk = "image_encoder.trunk."
    config = sam2_checkpoint(
        tmp_path / "sam2.pt",
        {
            f"{trunk}blocks.0.attn.qkv.bias": None,
            f"{trunk}blocks.0.norm1.weight": None,
            f"{trunk}blocks.9.norm1.weight": torch.zeros(1),
            f"{trunk}pos_embed": torch.zeros(1, 32, 14, 14),
        },
    )
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        config.build()
    message = str(refused.value)
    assert f"missing: {trunk}blocks.0.attn.qkv.bias, {trunk}blocks.0.norm1.weight;" in message
    assert f"unused: {trunk}blocks.9.norm1.weight;" in message
    assert f"misshapen: {trunk}pos_embed (1, 32, 14, 14) instead of (1, 32, 7, 7)" in message


def test_missing_checkpoints_are_said(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match="no SAM2 checkpoint at"):
        Sam2Config(pretrained="checkpoint", checkpoint=absent).build()
    with pytest.raises(ValueError, match="no weights at"):
        DepthConfig(pretrained="checkpoint", checkpoint=absent).build()
    with pytest.raises(ValueError, match="no model.safetensors in"):
        DepthConfig(size="small", pretrained="checkpoint", checkpoint=str(tmp_path)).build()


def test_depth_anything_folder_round_trip_and_faults(tmp_path: Path) -> None:
    config = DepthAnythingConfig(backbone_config=backbone_config("small"))
    network = DepthAnythingForDepthEstimation(config)
    network.save_pretrained(tmp_path)
    wanted = DepthConfig(size="small", pretrained="checkpoint", checkpoint=str(tmp_path))
    assert_equal(wanted.build().backbone.state_dict(), network.backbone.state_dict())

    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    missing = next(name for name in tensors if name.endswith("norm1.bias"))
    del tensors[missing]
    tensors["backbone.extra"] = torch.zeros(2)
    tensors["head.conv3.bias"] = torch.zeros(4)
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        wanted.build()
    for fault in (f"missing: {missing}", "unused: backbone.extra", "misshapen: head.conv3.bias"):
        assert fault in str(refused.value)


def assert_equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(x, two[name]) for name, x in one.items())
