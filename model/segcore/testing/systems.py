"""The contracts of systems and of the dual encoder's encoders."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segcore.batch import FINISHED
from segcore.classes import ClassSpec
from segcore.methods.method import freeze_pretrained, head_parameters
from segcore.systems import SYSTEMS
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, RgbEncoderConfig
from segcore.systems.system import System, SystemConfig, transformer_blocks
from segcore.tables import Trait
from segcore.testing.configs import check_config
from segcore.testing.samples import HALFWAY, LANDMARKS, ORGANS, noise


def check_system(config: SystemConfig, classes: Sequence[ClassSpec] = (LANDMARKS, ORGANS)) -> None:
    """The contract of `System`, on the CPU, with the network built once for each class spec."""
    check_config(config)
    for spec in classes:
        torch.manual_seed(0)
        system = config.build(spec)
        _check_row(config, system)
        _check_sizes(config, system, spec)
        _check_parts(system)
        _check_loss(config, system, spec)
        _check_frozen_blocks(config, system, spec)
        _check_evaluation(config, system, spec)


def lacking(system: System) -> set[Trait]:
    """What methods and settings may need and a system has nothing of."""
    there: dict[Trait, bool] = {
        "pretrained weights": any([*m.parameters()] for m in system.pretrained().values()),
        "layers to adapt": bool(system.adaptable("attention+mlp")),
        "queries and values": bool(system.fused_qkv() or system.separate_qv()),
        "transformer blocks": any(transformer_blocks(m) for m in system.pretrained().values()),
    }
    return {trait for trait, found in there.items() if not found}


def _check_row(config: SystemConfig, system: System) -> None:
    """The row lacks nothing that is there: methods that need it would be refused."""
    wrong = sorted(set(SYSTEMS[config.name].lacks) - lacking(system))
    assert not wrong, f"the row of {config.name} lacks {', '.join(wrong)}, and the system has them"


def _check_sizes(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """Logits have the size that is asked for, square or not, smaller or larger than the input, and
    are float32 where the network computes in bfloat16."""
    height, width = config.input_size
    batch = noise(2, config.input_size, classes)
    for size, coarse in ((config.input_size, False), ((height // 2, width + 7), True)):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            logits = system(batch, size, HALFWAY).logits_BKhw
        wanted = (2, len(classes.names), *size)
        assert logits.shape == wanted, f"asked for {wanted}, got {tuple(logits.shape)}"
        assert logits.dtype == torch.float32, "logits are float32 before they are resized"


def _check_parts(system: System) -> None:
    """Every parameter is in exactly one part, and what may be adapted is pretrained."""
    seen: dict[int, str] = {}
    for name, part in system.parts().items():
        assert system.get_submodule(name) is part.module, f"part {name} is not at its path"
        assert part.rate > 0, f"part {name} has the rate {part.rate}"
        for parameter in part.module.parameters():
            assert id(parameter) not in seen, f"{name} and {seen[id(parameter)]} share a parameter"
            seen[id(parameter)] = name
    left = [name for name, p in system.named_parameters() if id(p) not in seen]
    assert not left, f"in no part: {', '.join(left)}"
    pretrained = {id(m) for part in system.pretrained().values() for m in part.modules()}
    attention, both = system.adaptable("attention"), system.adaptable("attention+mlp")
    assert attention.items() <= both.items(), "attention must be among attention+mlp"
    for path, module in both.items():
        assert system.get_submodule(path) is module, f"{path} is another module"
        assert id(module) in pretrained, f"{path} may be adapted and is not pretrained"
    assert system.fused_qkv().items() <= attention.items(), "fused_qkv must be among attention"
    assert system.separate_qv().items() <= attention.items(), "separate_qv must be among attention"


def _check_loss(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """The loss is a mean over samples, and gives every head parameter a gradient."""
    system.train()
    batch, size = noise(3, config.input_size, classes), config.input_size
    torch.manual_seed(1)
    whole = system.loss(system(batch, size, HALFWAY), batch, HALFWAY)
    assert whole.isfinite(), "the loss of noise is no number"
    parts = []
    for i in range(3):
        torch.manual_seed(1)
        one = batch.take([i])
        parts.append(system.loss(system(one, size, HALFWAY), one, HALFWAY))
    mean = torch.stack(parts).mean()
    assert torch.allclose(whole, mean, rtol=1e-3), f"a batch's loss is {whole}, its mean {mean}"
    whole.backward()
    without = [p for p in head_parameters(system) if p.requires_grad and p.grad is None]
    assert not without, f"{len(without)} head parameters have no gradient"
    system.zero_grad()


def _check_frozen_blocks(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """It says whether gradients run through blocks of frozen encoders: `gradient_checkpointing` is
    refused where they do not."""
    freeze_pretrained(system)
    seen: list[bool] = []

    def look(block: nn.Module, inputs: Any, output: Any) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        seen.append(first.requires_grad)

    blocks = [b for e in system.pretrained().values() for b in transformer_blocks(e).values()]
    hooks = [block.register_forward_hook(look) for block in blocks]
    system(noise(1, config.input_size, classes), config.input_size, HALFWAY)
    for hook in hooks:
        hook.remove()
    told = config.gradients_in_frozen_blocks
    assert told == any(seen), f"gradients_in_frozen_blocks must be {any(seen)}"


def _check_evaluation(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """A sample's prediction depends on the sample alone."""
    system.eval()
    batch, size = noise(3, config.input_size, classes), config.input_size
    with torch.inference_mode():
        torch.manual_seed(2)
        together = system(batch, size, FINISHED)
        state = torch.get_rng_state()
        torch.manual_seed(3)
        alone = system(batch.take([1]), size, FINISHED)
    close = torch.allclose(together.logits_BKhw[1], alone.logits_BKhw[0], atol=1e-4)
    assert close, "the prediction of a sample depends on the others or on the random state"
    torch.manual_seed(2)
    assert torch.equal(torch.get_rng_state(), state), "evaluation draws from the global RNG"
    for name, map_B1hw in together.maps.items():
        assert map_B1hw.ndim == 4, f"map {name} must be (B, 1, h, w)"
        assert map_B1hw.shape[:2] == (3, 1), f"map {name} must be (B, 1, h, w)"
        assert 0 <= map_B1hw.min() <= map_B1hw.max() <= 1, f"map {name} must lie in [0, 1]"


def check_rgb_encoder(config: RgbEncoderConfig) -> None:
    """The contract of `RgbEncoder`, at the smallest side from 64 pixels on: its levels, its parts,
    and that a sample's features are its own."""
    check_config(config)
    torch.manual_seed(0)
    side = config.size_multiple * -(-64 // config.size_multiple)
    encoder = config.build(side).eval()
    image_B3HW = noise(2, (side, side)).image_B3HW
    with torch.inference_mode():
        features, positions = encoder(image_B3HW)
        alone, _ = encoder(image_B3HW[1:])
    assert tuple(features) == tuple(positions) == STRIDES, f"levels must be of strides {STRIDES}"
    for stride, level in features.items():
        wanted = (2, config.width, side // stride, side // stride)
        assert level.shape == wanted, f"at stride {stride}: wanted {wanted}, got {level.shape}"
        assert positions[stride].shape[1:] == wanted[1:], f"at stride {stride}: codes of {wanted}"
        assert torch.allclose(level[1], alone[stride][0], atol=1e-4), "a sample sees the others"
    parts = encoder.parts()
    assert not any(part.role == "tuned" for part in parts.values()), "no part may be tuned"
    held = [id(p) for part in parts.values() for p in part.module.parameters()]
    assert sorted(held) == sorted(map(id, encoder.parameters())), "each parameter is in one part"
    own = [p.module for p in parts.values() if p.role == "pretrained"]
    pretrained = {id(m) for module in own for m in module.modules()}
    attention, both = encoder.adaptable("attention"), encoder.adaptable("attention+mlp")
    assert attention, "it must have projections to adapt"
    assert attention.items() < both.items(), "attention must be among attention+mlp"
    for path, module in both.items():
        assert encoder.get_submodule(path) is module, f"{path} is another module"
        assert id(module) in pretrained, f"{path} may be adapted and is not pretrained"


def check_depth_encoder(config: DepthEncoderConfig) -> None:
    """The contract of `DepthEncoder`: one map, and features that are kept are the same."""
    check_config(config)
    torch.manual_seed(0)
    encoder, image_B3HW = config.build().eval(), noise(2, (64, 96)).image_B3HW
    assert not encoder.frozen, "it begins with weights that may move"
    encoder.requires_grad_(False)
    assert encoder.frozen, "frozen must tell"
    with torch.inference_mode():
        found = encoder(image_B3HW)
        alone = encoder(image_B3HW[1:])
        kept = [encoder(image_B3HW[1:], ("b",)) for _ in range(2)]
    assert found.ndim == 4, "one map (B, C, h, w)"
    assert found.shape[:2] == (2, config.width), f"wanted {config.width} channels"
    assert torch.allclose(found[1], alone[0], atol=1e-4), "a sample sees the others"
    assert all(torch.equal(one, alone) for one in kept), "kept features must be the same"
