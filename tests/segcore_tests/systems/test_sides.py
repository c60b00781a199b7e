"""Deep supervision: what the coarser maps are, and what they add to the loss."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from segcore.batch import FINISHED, Prediction
from segcore.systems.d2gpland import D2gplandConfig
from segcore.systems.dual_encoder.decoder import DecoderConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.hiera_unet import HieraUnetConfig
from segcore.systems.pixels import logits_at
from segcore.systems.smp import SmpConfig
from segcore.testing import LANDMARKS, check_system, noise

CONFIGS: tuple[Any, ...] = (HieraUnetConfig, D2gplandConfig)


@pytest.mark.parametrize("config", CONFIGS)
def test_coarser_maps_are_held_against_the_truth_by_their_weight(config: Any) -> None:
    batch = noise(2, (64, 64))
    torch.manual_seed(0)
    plain = config(image_size=64).build(LANDMARKS).eval()
    torch.manual_seed(0)
    deep = config(image_size=64, side_weight=0.5).build(LANDMARKS).eval()
    before, after = plain(batch, (64, 64)), deep(batch, (64, 64))
    assert [n for n in before.extras if "side" in n] == []
    maps = [after.extras[f"side {i}"] for i in range(2)]
    assert len(after.extras) == 3
    assert maps[0].shape[-1] < maps[1].shape[-1] <= after.extras["native"].shape[-1]
    # Its heads are the last that are drawn: the rest begins, and predicts, as without them.
    assert torch.equal(after.logits_BKhw, before.logits_BKhw)

    def alone(map_BKhw: Tensor) -> Tensor:
        side = Prediction(logits_at(map_BKhw, (64, 64)), {"native": map_BKhw})
        value: Tensor = plain.loss(side, batch, FINISHED)
        return value

    expected = plain.loss(before, batch, FINISHED) + 0.5 * sum(map(alone, maps))
    torch.testing.assert_close(deep.loss(after, batch, FINISHED), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_its_heads_are_trained_and_the_contract_kept(config: Any) -> None:
    check_system(config(side_weight=1.0), (LANDMARKS,))
    system = copy.deepcopy(config(image_size=64, side_weight=1.0).build(LANDMARKS))
    batch = noise(1, (64, 64))
    system.loss(system(batch, (64, 64)), batch, FINISHED).backward()
    assert all(p.grad is not None and p.grad.any() for p in system.sides.parameters())
    assert system.parts()["sides"].role == "head"


@pytest.mark.parametrize("layout", ["pyramid", "esanet", "flat"])
def test_the_dual_encoders_decoder_has_them_in_every_layout(layout: Any) -> None:
    def built(side_weight: float) -> Any:
        decoder = DecoderConfig(layout=layout, side_weight=side_weight)
        config = DualEncoderConfig(image_size=64, decoder=decoder)
        return config.build(LANDMARKS).eval()

    plain, deep = built(0.0), built(0.5)
    missing = deep.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {name.rpartition(".sides.")[0] for name in missing} == {"decoder"}
    batch = noise(2, (64, 64))
    before, after = plain(batch, (64, 64)), deep(batch, (64, 64))
    assert torch.equal(after.logits_BKhw, before.logits_BKhw)
    maps = [after.extras[f"side {i}"] for i in range(2)]
    sides = [Prediction(logits_at(m, (64, 64)), {"native": m}) for m in maps]
    expected = sum(0.5 * plain.loss(side, batch, FINISHED) for side in sides)
    expected = plain.loss(before, batch, FINISHED) + expected
    torch.testing.assert_close(deep.loss(after, batch, FINISHED), expected)
    deep.train()
    deep.loss(deep(batch, (64, 64)), batch, FINISHED).backward()
    assert all(p.grad is not None and p.grad.any() for p in deep.decoder.sides.parameters())


def test_a_system_without_such_maps_has_no_such_field() -> None:
    with pytest.raises(ValueError, match="side_weight"):
        SmpConfig(side_weight=1.0)  # type: ignore[call-arg]
