"""Transformer blocks that run again in the backward pass, to the same numbers, or are compiled."""

import collections
import dataclasses
from typing import Any

import pytest
import torch
from support.pairs import smallest
from torch import Tensor, nn

from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
from segcore.systems.smp import SmpConfig
from segcore.systems.system import SystemConfig, transformer_blocks
from segcore.testing.samples import HALFWAY, LANDMARKS, noise
from segcore.training.blocks import recompute_blocks
from segcore.training.checkpoint import trained_tensors
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segcore.training.schedule import OptimConfig, Schedule
from segtune.study.overrides import apply

WITH_BLOCKS = [n for n, row in SYSTEMS.items() if "transformer blocks" not in row.lacks]
INSIDE_FROZEN = [n for n in WITH_BLOCKS if smallest(n).gradients_in_frozen_blocks]


def one_step(system: str, method: str = "full", **options: Any) -> TrainConfig:
    config = smallest(system)
    return TrainConfig(
        data=SyntheticLiver(train=2, val=1, test=1),
        system=config,
        method=Method.named(method),
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
        prompts=PromptConfig(source="jittered" if config.takes_prompts else "none"),
        **options,
    )


def counted(training: Training) -> collections.Counter[str]:
    """How often each transformer block runs from now on."""
    calls: collections.Counter[str] = collections.Counter()

    def count(path: str, inner: Any) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            calls[path] += 1
            return inner(*args, **kwargs)

        return forward

    for name, encoder in training.system.pretrained().items():
        for path, block in transformer_blocks(encoder).items():
            # The innermost part of a block, which runs again when the block is recomputed.
            part = next(m for n, m in block.named_modules() if n.endswith(("attn", "attention")))
            object.__setattr__(part, "forward", count(f"{name}.{path}", part.forward))
    return calls


@pytest.mark.parametrize(
    ("system", "method"),
    [*((name, "full") for name in WITH_BLOCKS), *((name, "frozen") for name in INSIDE_FROZEN)],
)
def test_checkpointing_changes_no_digit_and_runs_blocks_again(system: str, method: str) -> None:
    torch.set_num_threads(1)
    plain = Training(one_step(system, method), Runtime())
    usual = counted(plain)
    saving = Training(one_step(system, method, gradient_checkpointing=True), Runtime())
    again = counted(saving)
    (one,) = plain._train_epoch(1)
    (other,) = saving._train_epoch(1)
    assert (one.loss, one.gradient_norm) == (other.loss, other.gradient_norm)
    kept = trained_tensors(saving.system)
    assert all(torch.equal(kept[n], x) for n, x in trained_tensors(plain.system).items())
    moving = {path for path, calls in again.items() if calls > usual[path]}
    assert moving, "no block was computed again"
    assert all(again[path] == 2 * usual[path] for path in moving)


@pytest.mark.parametrize("method", ["lora", "srft_galore"])
def test_checkpointing_goes_with_every_kind_of_method(method: str) -> None:
    torch.set_num_threads(1)
    found = [
        [
            s.loss
            for s in Training(one_step("dual_encoder", method, **options), Runtime())._train_epoch(
                1
            )
        ]
        for options in ({}, {"gradient_checkpointing": True})
    ]
    assert found[0] == found[1]


def test_it_is_refused_where_nothing_would_be_computed_again() -> None:
    without = [name for name in WITH_BLOCKS if name not in INSIDE_FROZEN]
    assert without
    for name in without:
        with pytest.raises(ValueError, match=f"the method frozen moves nothing .* {name} trains"):
            one_step(name, "frozen", gradient_checkpointing=True)
    config = one_step("weft", "frozen", gradient_checkpointing=True)
    with pytest.raises(ValueError, match="gradient_checkpointing has no effect"):
        apply(config, {"system.guided": False})


def test_less_is_kept_for_the_backward_pass(tiny: TrainConfig) -> None:
    kept = []
    for option in (False, True):
        training = Training(
            dataclasses.replace(tiny, gradient_checkpointing=option, method=Method.named("full")),
            Runtime(),
        )
        total = 0

        def pack(x: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += x.numel() * x.element_size()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            for _ in training._train_epoch(1):
                pass
        kept.append(total)
    assert kept[1] < 0.7 * kept[0]


def test_a_system_without_transformer_blocks_is_refused(tiny: TrainConfig) -> None:
    for name in ("smp", "filled_box"):
        for option in ({"gradient_checkpointing": True}, {"optim": OptimConfig(layer_decay=0.8)}):
            with pytest.raises(ValueError, match="has no transformer blocks"):
                one_step(name, "frozen", **option)
    system = SystemConfig.named("smp").build(tiny.data.open().classes)
    with pytest.raises(ValueError, match="have no transformer blocks: leave it off"):
        recompute_blocks(system)


def test_blocks_are_compiled_only_where_asked(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda block: compiled.append(block))
    Training(tiny, Runtime())
    assert not compiled
    system = Training(dataclasses.replace(tiny, compile_blocks=True), Runtime()).system
    blocks = [b for e in system.pretrained().values() for b in transformer_blocks(e).values()]
    assert compiled == blocks
    with pytest.raises(ValueError, match="compile_blocks has no effect: the system smp"):
        dataclasses.replace(tiny, system=SmpConfig(), compile_blocks=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dual_encoder", "hiera_unet", "sam2_unet", "smp", "d2gpland"])
def test_forward_pass_and_loss_are_one_graph(name: str) -> None:
    config = smallest(name)
    system, batch = config.build(LANDMARKS).train(), noise(1, config.input_size)

    def loss() -> Tensor:
        return system.loss(system(batch, config.input_size, HALFWAY), batch, HALFWAY)

    torch.compiler.reset()
    with torch.no_grad():
        torch.compile(loss, fullgraph=True, backend="eager")()  # raises where the graph breaks


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_every_block_is_one_graph(name: str) -> None:
    config = smallest(name)
    system, batch = config.build(LANDMARKS).train(), noise(1, config.input_size)
    torch.compiler.reset()
    for encoder in system.pretrained().values():
        for block in transformer_blocks(encoder).values():
            block.compile(fullgraph=True, backend="eager")
    with torch.no_grad():
        system(batch, config.input_size, HALFWAY)
