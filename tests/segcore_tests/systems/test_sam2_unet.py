"""SAM2-UNet: its trunk without adapters is SAM2's, and its size is that of its description."""

import copy
import dataclasses
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcore.batch import FINISHED
from segcore.classes import ClassSpec
from segcore.methods.method import Method, head_parameters
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.sam2_unet import Sam2Unet, Sam2UnetConfig
from segcore.testing import LANDMARKS, noise


def built(**fields: Any) -> Sam2Unet:
    torch.manual_seed(0)
    return Sam2UnetConfig(image_size=64, width=16, **fields).build(LANDMARKS)


def scales(system: Sam2Unet, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found: list[Tensor] = system.trunk(x)
    return found


def zeroed(system: Sam2Unet) -> Sam2Unet:
    """The same with adapters that add nothing."""
    with torch.no_grad():
        for parameter in system.adapters.parameters():
            parameter.zero_()
    return system


def test_a_trunk_whose_adapters_add_nothing_is_sam2s() -> None:
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = Sam2Config().build().get_submodule("image_encoder.trunk")(x)
    system = built()
    for found, one in zip(scales(system, x), expected, strict=True):
        assert not torch.allclose(found, one)
    for others in (zeroed(system), built(adapter_width=0)):
        for found, one in zip(scales(others, x), expected, strict=True):
            assert torch.equal(found, one)


def test_every_block_has_an_adapter_before_it() -> None:
    """Each alone changes what comes after it, and nothing that comes before."""
    system = zeroed(built()).eval()
    trunk: Any = system.trunk
    assert len(system.adapters) == len(trunk.blocks) == 7
    x = torch.rand(1, 3, 64, 64)
    plain = scales(system, x)
    for i, adapter in enumerate(system.adapters):
        with torch.no_grad():
            adapter.get_parameter("up.bias").fill_(1)
        changed = [not torch.equal(a, b) for a, b in zip(scales(system, x), plain, strict=True)]
        assert changed == [i <= end for end in trunk.stage_ends]
        zeroed(system)


def test_an_adapter_is_two_linear_maps_with_a_gelu_after_each() -> None:
    system, x = built(), torch.rand(1, 4, 4, 32)
    adapter: Any = system.adapters[0]
    reference = nn.Sequential(adapter.down, nn.GELU(), adapter.up, nn.GELU())
    torch.testing.assert_close(adapter.before(adapter, (x,))[0], x + reference(x))


def test_a_copy_has_adapters_of_its_own() -> None:
    system, x = built(), torch.rand(1, 3, 64, 64)
    before = scales(system, x)
    other = zeroed(copy.deepcopy(system))
    for one, now, plain in zip(before, scales(system, x), scales(other, x), strict=True):
        assert torch.equal(one, now)
        assert not torch.equal(one, plain)


def test_frozen_trains_adapters_and_decoder_alone() -> None:
    system = built()
    Method.named("frozen").adapt(system)
    batch = noise(2, (64, 64))
    system.loss(system(batch, (64, 64)), batch, FINISHED).backward()
    assert all(p.grad is None for p in system.trunk.parameters())
    assert all(p.grad is not None for p in head_parameters(system))


def test_maps_on_the_way_up_count_by_their_weight() -> None:
    batch, system = noise(2, (64, 64)), built(side_weight=0.5)
    with torch.no_grad():
        prediction = system(batch, (64, 64))
        value = system.loss(prediction, batch, FINISHED)
        parts = []
        for name, side in (("native", 16), ("side 0", 4), ("side 1", 8)):
            map_BKhw = prediction.extras[name]
            assert map_BKhw.shape[-2:] == (side, side)
            whole = nn.functional.interpolate(map_BKhw, (64, 64), mode="bilinear")
            alone = dataclasses.replace(prediction, logits_BKhw=whole)
            parts.append(built(side_weight=0).loss(alone, batch, FINISHED))
    torch.testing.assert_close(value, parts[0] + 0.5 * (parts[1] + parts[2]))
    assert len(built(side_weight=0).sides) == 0


def test_size_at_paper_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many parameters as its description comes to: Hiera-L, 48 adapters of 32, four blocks."""
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    monkeypatch.setattr("segcore.systems.sam2_unet.tensors_hash", lambda module: "")
    sam2 = Sam2Config(size="hiera_large", pretrained="random")
    classes = ClassSpec(("polyp",), exclusive=False)
    with torch.device("meta"):
        system = Sam2UnetConfig(image_size=352, sam2=sam2, width=64).build(classes)
    channels, blocks = (144, 288, 576, 1152), (2, 6, 36, 4)
    seen = [before for c, n in zip(channels, blocks, strict=True) for before in [c] * n]
    for end in (2, 8, 44):  # a stage's first block still sees the channels of the stage before
        seen[end] //= 2
    adapters = sum(2 * 32 * c + 32 + c for c in seen)
    norm, width = 2 * 64, 64

    def branch(inputs: int, reach: int) -> int:
        line = width * width * reach + norm
        return inputs * width + norm + 2 * line + 9 * width * width + norm

    narrow = sum(
        2 * (c * width + norm)
        + sum(branch(c, reach) for reach in (3, 5, 7))
        + 9 * 4 * width * width
        + norm
        for c in channels
    )
    up = 3 * (9 * 2 * width * width + norm + 9 * width * width + norm)
    heads = 3 * (width + 1)
    assert sum(p.numel() for p in system.adapters.parameters()) == adapters
    assert sum(p.numel() for p in head_parameters(system)) == adapters + narrow + up + heads
