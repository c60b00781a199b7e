"""D2GPLand's core: what each encoder sees, what trains, and its size."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import resnet18

from segcore.batch import FINISHED
from segcore.methods.method import Method
from segcore.systems.d2gpland import D2gpland, D2gplandConfig
from segcore.systems.rgb_encoders.convolutional import EncoderConfig
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.testing import LANDMARKS, noise

SIZE = (64, 64)


def built(**fields: Any) -> D2gpland:
    torch.manual_seed(0)
    return D2gplandConfig(image_size=64, width=8, **fields).build(LANDMARKS)


def counted(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_sam_sees_the_depth_and_the_encoder_the_image() -> None:
    system, batch = built().eval(), noise(2, SIZE)
    seen: dict[str, list[torch.Tensor]] = {"sam": [], "encoder": []}
    for name, found in seen.items():
        keep: Any = lambda _, inputs, kept=found: kept.append(inputs[0])  # noqa: E731
        system.get_submodule(name).register_forward_pre_hook(keep)
    changed = dataclasses.replace(batch, depth_B1HW=torch.zeros(2, 1, *SIZE))
    with torch.no_grad():
        first, second = (system(b, SIZE).logits_BKhw for b in (batch, changed))
    assert torch.equal(*seen["encoder"])
    assert not torch.equal(*seen["sam"])
    assert not torch.allclose(first, second)
    with pytest.raises(ValueError, match="no depth maps: give a set that has them, or take"):
        system(dataclasses.replace(batch, depth_B1HW=None), SIZE)


def test_frozen_trains_all_but_sam_and_what_comes_before_it_too() -> None:
    system, batch = built(), noise(2, SIZE)
    Method.named("frozen").adapt(system)
    system.loss(system(batch, SIZE), batch, FINISHED).backward()
    assert all(p.grad is None for p in system.sam.parameters())
    others = {n: p for n, p in system.named_parameters() if not n.startswith("sam.")}
    assert all(p.grad is not None for p in others.values())
    weight = system.get_parameter("colour.0.weight").grad
    assert weight is not None
    assert weight.abs().max() > 0


def test_an_encoder_from_a_file_is_tuned_and_counts_in_the_hash(tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_file(resnet18().state_dict(), path := tmp_path / "resnet18.safetensors")
    encoder = EncoderConfig(name="resnet18", pretrained="checkpoint", checkpoint=str(path))
    system, plain = built(encoder=encoder), built()
    assert {system.parts()["encoder"].role, plain.parts()["encoder"].role} == {"tuned", "head"}
    assert system.weights_hash() != plain.weights_hash()
    norms = [m for m in system.train().encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 20
    assert not any(norm.training for norm in norms)
    reference = resnet18()
    reference.load_state_dict(load_file(path))
    x = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        body = nn.Sequential(*[*reference.eval().children()][:-2])
        torch.testing.assert_close(system.encoder(x)[-1], body(x))


def test_both_files_that_are_missing_are_told(tmp_path: Path) -> None:
    config = D2gplandConfig(
        encoder=EncoderConfig(pretrained="checkpoint", checkpoint=str(tmp_path / "encoder")),
        sam=SamWeights(pretrained="checkpoint", checkpoint=str(tmp_path / "sam")),
    )
    with pytest.raises(ValueError, match="no encoder checkpoint at .*\nno SAM checkpoint at"):
        config.check_weights()


def test_size_at_paper_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-34 and SAM's ViT-B as they are published, and what stands between and after them."""
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    monkeypatch.setattr("segcore.systems.d2gpland.tensors_hash", lambda module: "")
    sam = SamWeights(size="vit_b", pretrained="random")
    config = D2gplandConfig(
        image_size=1024, width=128, sam=sam, encoder=EncoderConfig(name="resnet34")
    )
    with torch.device("meta"):
        system = config.build(LANDMARKS)
    assert counted(system.encoder) == 21_797_672 - 513_000  # torchvision's, less its classifier
    assert counted(system.sam) == 89_670_912
    norm = 2 * 128
    mix = (512 + 256) * 512 + 2 * 512
    context = 2 * (512 * 256 + 2 * 256) + 1024 * 128 + norm
    skips = sum(c * 128 + norm for c in (64, 128, 256))
    line = 3 * 128 * 128
    block = 2 * (line + 128) + 2 * (line + norm)
    refine = 3 * (9 * 128 * 128 + norm + block)
    out = 9 * 128 * 4 + 4
    rest = [getattr(system, name) for name in ("mix", "context", "skips", "refine", "out")]
    assert counted(*rest) == mix + context + skips + refine + out
    assert counted(system.colour) == 3 + 6
