"""Encoders of depth: published files give the features that other libraries give, and what does
not fit is said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models import VisionTransformer
from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation

from segcore.systems.depth_encoders.depth_anything_3 import DepthAnything3Config, encoder_config
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config, network_config
from segcore.systems.depth_encoders.dinov2 import Dinov2DepthEncoder
from segcore.systems.pixels import resize, standardise
from segcore.systems.weights import read_safetensors

COUNTS = {"small": 24_785_089, "base": 97_470_785, "large": 335_315_649}
"""Parameters of Depth-Anything-V2-Small, -Base and -Large, encoder and head, as the authors give
them to a tenth of a million: 24.8 M, 97.5 M and 335.3 M."""


@pytest.mark.parametrize("size", COUNTS)
def test_every_size_of_depth_anything_v2_has_its_parameters(size: Any) -> None:
    with torch.device("meta"):
        network = DepthAnythingForDepthEstimation(network_config(size))
    assert sum(p.numel() for p in network.parameters()) == COUNTS[size]
    assert DepthAnythingV2Config(size=size, pretrained="random").width == int(
        network.backbone.config.hidden_size
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", ["base", "large"])
def test_larger_folders_of_depth_anything_v2_are_read(size: Any, tmp_path: Path) -> None:
    network = DepthAnythingForDepthEstimation(network_config(size))
    network.save_pretrained(tmp_path)
    config = DepthAnythingV2Config(size=size, pretrained="checkpoint", checkpoint=str(tmp_path))
    found, expected = config.build().backbone.state_dict(), network.backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in found.items())
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["head.extra"] = tensors.pop("head.conv1.bias")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="missing: head.conv1.bias; unused: head.extra"):
        config.build()


def dinov2_of_timm(width: int, depth: int, heads: int, *, patch: int, side: int) -> Any:
    """The authors' transformer in timm's class: its norms have 1e-6, but for the last one."""

    def norm(channels: int, **options: Any) -> nn.LayerNorm:
        return nn.LayerNorm(channels, eps=1e-6, **options)

    vit = VisionTransformer(
        img_size=side,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        init_values=1.0,
        num_classes=0,
        norm_layer=norm,
    )
    vit.norm.eps = 1e-5
    generator = torch.Generator().manual_seed(0)
    for parameter in vit.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 8)
    return vit.eval()


def as_published(vit: nn.Module) -> dict[str, Tensor]:
    """Under the names of DA3MONO-LARGE, with something of its head."""
    own = {f"model.backbone.pretrained.{n}": x for n, x in vit.state_dict().items()}
    return own | {"model.head.norm.weight": torch.zeros(2)}


def test_depth_anything_3_sees_what_its_transformer_sees(tmp_path: Path) -> None:
    """timm's transformer has the names of the authors', and shares no code with transformers'."""
    vit = dinov2_of_timm(96, 4, 3, patch=8, side=128)
    save_file(as_published(vit), tmp_path / "model.safetensors")
    config = DepthAnything3Config(pretrained="checkpoint", checkpoint=str(tmp_path))
    image = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = config.build()(image)
        expected = vit.forward_features(standardise(resize(image, (128, 128))))[:, 1:]
    assert expected.std() > 0.1
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_the_last_norm_has_an_epsilon_of_its_own() -> None:
    assert DepthAnything3Config().build().backbone.layernorm.eps == 1e-5
    assert DepthAnythingV2Config().build().backbone.layernorm.eps == 1e-6


def test_the_published_transformer_is_dinov2_large() -> None:
    with torch.device("meta"):
        vit = VisionTransformer(
            img_size=518, patch_size=14, embed_dim=1024, depth=24, num_heads=16, init_values=1.0,
            num_classes=0,
        )  # fmt: skip
        ours = Dinov2DepthEncoder(encoder_config("large"), "bilinear", shifted=False)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in vit.parameters())


def test_a_depth_anything_3_that_does_not_fit_names_every_fault(tmp_path: Path) -> None:
    tensors = as_published(dinov2_of_timm(96, 4, 3, patch=8, side=128))
    del tensors["model.backbone.pretrained.blocks.1.ls1.gamma"]
    tensors["model.backbone.pretrained.camera_token"] = torch.zeros(1, 2, 96)
    save_file(tensors, place := tmp_path / "model.safetensors")
    config = DepthAnything3Config(pretrained="checkpoint", checkpoint=str(place))
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        config.build()
    assert "missing: encoder.layer.1.layer_scale1.lambda1; unused: camera_token" in str(
        refused.value
    )
    save_file({"x": torch.zeros(1)}, place)
    with pytest.raises(ValueError, match="none of its tensors is called model.backbone.pretrain"):
        config.build()
    assert list(read_safetensors(place)) == ["x"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pretrained": "packaged"}, "no weights are packaged"),
        ({"size": "large", "pretrained": "checkpoint"}, "needs checkpoint=PLACE"),
        ({"size": "small"}, "'nano' or 'large'"),
    ],
)
def test_sources_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DepthAnything3Config(**fields)
