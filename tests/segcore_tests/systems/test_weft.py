"""WEFT: counts of its published code, its pieces against slow ones, and what must hold of every
reading of it."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import FINISHED, Batch, Progress
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.query_matching import QueryMatching
from segcore.methods.method import Method, adamw, head_groups
from segcore.presets import weft_as_coded, weft_paper, weft_recommended
from segcore.systems.norms import norm_of
from segcore.systems.pixels import standardise
from segcore.systems.rgb_encoders import vit as vit_module
from segcore.systems.rgb_encoders.vit import VitWeights, embed
from segcore.systems.weft import network
from segcore.systems.weft.adapter import AdapterConfig
from segcore.systems.weft.deformable import DeformableAttention, places
from segcore.systems.weft.experts import Bank, ExpertConfig, expert_maps
from segcore.systems.weft.head import HeadConfig, class_logits, decided
from segcore.systems.weft.network import Weft, WeftConfig
from segcore.systems.weft.spatial import (
    KERNELS,
    Enhancer,
    EnhancerConfig,
    second_differences,
    strongest_nearby,
    together,
)
from segcore.systems.weft.subspace import SubspaceTokens, boundary_share
from segcore.systems.weft.wavelet import WaveletConv, haar, join, split
from segcore.testing import HALFWAY, check_system, noise
from segcore.training.schedule import OptimConfig
from segtune.study.overrides import flatten

POLYP = ClassSpec(("polyp",), exclusive=False)
LANDMARKS = ClassSpec(("background", "ridge", "ligament"), exclusive=True)
TINY = WeftConfig(image_size=64, vit=VitWeights(pretrained="random"))
AS_CODED: Any = weft_as_coded("", pretrained="random").system


def build(config: WeftConfig = TINY, classes: ClassSpec = POLYP) -> Weft:
    torch.manual_seed(0)
    return config.build(classes)


def changed(**fields: Any) -> WeftConfig:
    return dataclasses.replace(TINY, **fields)


def size_of(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ------------------------------------------------------------------ counts


@pytest.fixture
def as_coded(monkeypatch: pytest.MonkeyPatch) -> Weft:
    """The published sizes, without values."""
    monkeypatch.setattr(network, "tensors_hash", lambda module: "")
    with torch.device("meta"):
        system: Weft = AS_CODED.build(POLYP)
    return system


def test_the_published_code_trains_as_many(as_coded: Weft) -> None:
    Method.named("frozen").adapt(as_coded)
    stages = as_coded.stages
    deformable = sum(size_of(m) for m in stages.modules() if isinstance(m, DeformableAttention))
    feed_forward = sum(size_of(stage.get_submodule("layers")) for stage in stages)
    trained = sum(p.numel() for p in as_coded.parameters() if p.requires_grad)
    backbone = trained - size_of(as_coded.head)
    assert as_coded.pyramid is not None
    assert size_of(as_coded.pyramid) == 173_303
    assert deformable == 6_562_048
    assert feed_forward == 4_408_374
    assert backbone - 173_303 - deformable - feed_forward == 31_752
    assert backbone == 11_175_477
    assert size_of(as_coded.head) == 3_198_243
    assert trained == 14_373_720
    frozen = sum(p.numel() for p in as_coded.parameters() if not p.requires_grad)
    assert frozen == size_of(as_coded.vit)
    # The code for 512 pixels has as many rows as there are patches; that of the file has 14 x 14.
    assert frozen - (32**2 - 14**2) * 1024 == 303_347_712


def test_the_setting_that_another_overrides_would_count_less(as_coded: Weft) -> None:
    with torch.device("meta"):
        narrow = dataclasses.replace(AS_CODED.head, hidden=320).build(1024, 1)
    assert size_of(narrow) == 2_420_067


DIFFERENCES: Mapping[str, tuple[Any, Any, Any]] = {
    "system.experts.router": ("renormalised", "twice", "renormalised"),
    "system.experts.compute": ("chosen", "all", "chosen"),
    "system.adapter.enhancer.laplacian": ("directional", "as_coded", "directional"),
    "system.adapter.enhancer.pool": ("adaptive", "identity", "adaptive"),
    "system.adapter.update": ("added", "none", "added"),
    "system.norm": ("group", "instance", "group"),
    "system.embedding_rate": (1.0, 0.9**25, 1.0),
    "evaluation.select_on": (
        ("dice", "macro", "per_image"),
        ("iou", "pooled", "set_with_background"),
        ("dice", "macro", "per_image"),
    ),
    "evaluation.tta.scales": ((1.0,), (0.5, 1.0, 1.5), (1.0,)),
    "evaluation.tta.flips": ((), ("horizontal",), ()),
    "evaluation.tta.overlap": (0.25, 0.168, 0.25),
    "system.loss.dice_weight": (2.0, 5.0, 5.0),
    "optim.clip_norm": (None, None, 1.0),
    "augment.rotate": (0.0, 0.0, 0.5),
    "precision": ("float32", "float32", "bfloat16"),
}
"""Every field in which the readings differ: paper, as coded, recommended."""


def test_the_readings_differ_in_the_named_fields_and_no_others() -> None:
    readings = (weft_paper, weft_as_coded, weft_recommended)
    values = [flatten(reading("", pretrained="random")) for reading in readings]
    found = {f: tuple(v[f] for v in values) for f in values[0]}
    assert {f: v for f, v in found.items() if len(set(v)) > 1} == DIFFERENCES


# ------------------------------------------------------------------ wavelets


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_haar_is_pywavelets_and_loses_nothing(
    channels: int, height: int, width: int, seed: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(2, channels, 2 * height, 2 * width, generator=rng)
    bands = split(x, haar())
    means, details = pywt.dwt2(x.numpy(), "haar", axes=(-2, -1))
    for k, band in enumerate((means, *details)):
        np.testing.assert_allclose(bands[:, :, k], band, atol=1e-5)
    torch.testing.assert_close(join(bands, haar()), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())


@pytest.mark.parametrize(("kernel", "size"), [(1, (6, 8)), (3, (5, 7)), (7, (8, 6)), (5, (3, 3))])
def test_a_wavelet_convolution_is_one_of_sub_bands_beside_a_plain_one(
    kernel: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv, x = WaveletConv(3, kernel), torch.randn(2, 3, *size)
    nn.init.normal_(conv.base_scale)
    nn.init.normal_(conv.bands_scale)
    height, width = size
    even = np.pad(x.numpy(), ((0, 0), (0, 0), (0, height % 2), (0, width % 2)))
    means, details = pywt.dwt2(even, "haar", axes=(-2, -1))
    bands = torch.from_numpy(np.stack([means, *details], axis=2)).flatten(1, 2)
    weight, half = conv.bands.weight, kernel // 2
    bands = conv.bands_scale * F.conv2d(bands, weight, padding=half, groups=12)
    means, *rest = bands.detach().unflatten(1, (3, 4)).unbind(2)
    wide = pywt.idwt2((means.numpy(), [r.numpy() for r in rest]), "haar", axes=(-2, -1))
    plain = F.conv2d(x, conv.base.weight, conv.base.bias, padding=half, groups=3)
    expected = conv.base_scale * plain + torch.from_numpy(wide[..., :height, :width])
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-5)


# ------------------------------------------------------------------ experts


SEVEN = (1, 3, 5, 7, 9, 11, 13)


def bank(top: int = 4, **fields: Any) -> Bank:
    torch.manual_seed(0)
    made = Bank(ExpertConfig(kernels=SEVEN, top=top, **fields), "group")
    nn.init.normal_(made.router.weight)  # so that images differ in what they choose
    return made


@pytest.mark.parametrize("router", ["renormalised", "twice"])
def test_running_the_chosen_experts_gives_what_running_all_does(router: Any) -> None:
    sparse, dense = (bank(router=router, compute=c) for c in ("chosen", "all"))
    dense.load_state_dict(sparse.state_dict())
    x = torch.randn(5, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    found, gradients = [], []
    for one in (sparse, dense):
        own = x.clone().requires_grad_()
        out, choice = one(own)
        out.square().sum().backward()
        found.append((out, choice.weight_BE, choice.strength_BEhw))
        gradients.append([own.grad, *(p.grad for p in one.parameters())])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    for mine, other in zip(*gradients, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("compute", ["chosen", "all"])
def test_only_the_chosen_experts_run(compute: Any) -> None:
    one, ran = bank(compute=compute, top=2), []
    for number, expert in enumerate(one.experts):
        expert.register_forward_pre_hook(lambda _, told, n=number: ran.append((n, len(told[0]))))
    x = torch.randn(3, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    _, choice = one(x)
    samples = (choice.weight_BE > 0).sum(0)
    assert samples.sum() == 3 * 2
    assert (samples == 0).sum() > 0, "else this test shows nothing"
    expected = [(n, int(k)) for n, k in enumerate(samples) if k]
    assert ran == (expected if compute == "chosen" else [(n, 3) for n in range(7)])
    one(x)[0].sum().backward()
    assert all(p.grad is not None for p in one.parameters())


def test_the_router_weighs_as_it_is_told() -> None:
    x = torch.randn(4, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    one = bank(top=3)
    share = one.router(x.mean((2, 3))).softmax(1).detach().numpy()
    for router in ("renormalised", "twice"):
        found = bank(top=3, router=router).weigh(x).detach().numpy()
        for own, weights in zip(share, found, strict=True):
            best = np.argsort(-own)[:3]
            expected = np.exp(own[best]) if router == "twice" else own[best]
            np.testing.assert_allclose(weights[best], expected / expected.sum(), atol=1e-6)
            assert np.count_nonzero(weights) == 3
    assert np.ptp(found[found > 0]) < 0.2, "twice softmax makes them nearly equal"


def test_pictures_say_which_experts_were_chosen_and_where() -> None:
    many = changed(experts=ExpertConfig(kernels=SEVEN, top=4))
    system, batch = build(many).eval(), noise(2, (64, 64), POLYP)
    with torch.inference_mode():
        prediction = system(batch, (64, 64))
    weight = prediction.extras["experts"]
    assert weight.shape == (2, 4, 7)
    torch.testing.assert_close(weight.sum(-1), torch.ones(2, 4))
    assert ((weight > 0).sum(-1) == 4).all()
    maps = prediction.maps
    assert maps.keys() == {"experts", "kernels"}
    assert maps["experts"].shape == (2, 1, 4 * 8, 7 * 8)
    assert torch.equal(maps["experts"][:, 0, ::8, ::8], weight)
    loudest = (maps["kernels"] * 6).round().long()
    assert loudest.shape == (2, 1, 16, 16)
    assert all(set(loudest[i].unique().tolist()) <= set(weight[i, 0].nonzero()[:, 0].tolist())
               for i in range(2))  # fmt: skip
    assert not build().train()(batch, (64, 64)).maps


def test_the_loudest_expert_is_the_one_that_says_most() -> None:
    system = build().eval()
    with torch.inference_mode():
        assert system.pyramid is not None
        _, choices = system.pyramid(noise(1, (64, 64)).image_B3HW)
    strength = torch.zeros(choices[0].strength_BEhw.shape)
    strength[:, 3, :4], strength[:, 2, 4:] = 1, 2
    first = dataclasses.replace(choices[0], strength_BEhw=strength)
    kernels = expert_maps([first, *choices[1:]])["kernels"]
    torch.testing.assert_close(kernels[0, 0, 0, 0], torch.tensor(3 / 3))
    torch.testing.assert_close(kernels[0, 0, 4, 0], torch.tensor(2 / 3))


# ------------------------------------------------------------------ adapter


def slow_deformable(
    attention: DeformableAttention, x: Tensor, where: Tensor, seen: Tensor, sizes: Any
) -> Tensor:
    """Query by query, head by head, point by point."""
    heads, points, scales = attention._heads, attention._points, len(sizes)
    value = attention.value(seen)
    each = value.shape[-1] // heads
    out = torch.zeros(*x.shape[:2], value.shape[-1])
    for b in range(len(x)):
        for q in range(x.shape[1]):
            offset = attention.offsets(x[b, q]).view(heads, scales, points, 2)
            weight = attention.weights(x[b, q]).view(heads, -1).softmax(-1)
            for m in range(heads):
                total, first = torch.zeros(each), 0
                for s, (height, width) in enumerate(sizes):
                    own = value[b, first : first + height * width, m * each : (m + 1) * each]
                    first += height * width
                    for p in range(points):
                        px = float(where[q, 0]) * width + float(offset[m, s, p, 0]) - 0.5
                        py = float(where[q, 1]) * height + float(offset[m, s, p, 1]) - 0.5
                        for i in (int(np.floor(py)), int(np.floor(py)) + 1):
                            for j in (int(np.floor(px)), int(np.floor(px)) + 1):
                                if 0 <= i < height and 0 <= j < width:
                                    share = (1 - abs(py - i)) * (1 - abs(px - j))
                                    total += weight[m, s * points + p] * share * own[i * width + j]
                out[b, q, m * each : (m + 1) * each] = total
    found: Tensor = attention.out(out)
    return found


def test_deformable_attention_is_that_of_the_loop() -> None:
    torch.manual_seed(0)
    sizes = [(4, 6), (2, 3), (1, 2)]
    attention = DeformableAttention(16, heads=4, scales=3, points=2, values=8)
    for layer in (attention.offsets, attention.weights):
        nn.init.normal_(layer.weight, std=0.5)
    x, seen = torch.randn(2, 6, 16), torch.randn(2, 24 + 6 + 2, 16)
    where = places((2, 3), x.device)
    with torch.no_grad():
        found = attention(x, where, seen, sizes)
        torch.testing.assert_close(
            found, slow_deformable(attention, x, where, seen, sizes), rtol=0, atol=1e-5
        )


def test_deformable_attention_begins_with_a_head_in_each_direction() -> None:
    attention = DeformableAttention(16, heads=4, scales=2, points=3, values=8)
    place = attention.offsets(torch.randn(1, 16)).view(4, 2, 3, 2)
    ways = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    for far in range(3):
        expected = ways[:, None] * (far + 1)
        torch.testing.assert_close(place[:, :, far], expected.expand(-1, 2, -1), atol=1e-6, rtol=0)


def test_places_are_the_middles_of_cells() -> None:
    assert places((1, 2), torch.device("cpu")).tolist() == [[0.25, 0.5], [0.75, 0.5]]


def test_subspace_tokens_are_those_of_the_loop_and_of_one_image() -> None:
    torch.manual_seed(0)
    esto, x = SubspaceTokens(), torch.randn(2, 9, 16)
    nn.init.constant_(esto.gate, 0.7)
    found = esto(x)
    for b in range(2):
        varies = x[b].var(1)
        z = (varies - varies.mean()) / varies.std()
        parts = []
        for part in x[b].chunk(4, dim=1):
            unit = part / part.norm(dim=1, keepdim=True)
            parts.append((unit @ unit.T / 4**0.5).softmax(1) @ part)
        edge = 1 + 0.5 * z.sigmoid()[:, None]
        expected = x[b] + torch.tensor(0.7).sigmoid() * edge * torch.cat(parts, dim=1)
        torch.testing.assert_close(found[b], expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(esto(x[[b]])[0], found[b], rtol=0, atol=1e-6)
    assert not boundary_share(x.requires_grad_()).requires_grad


def test_second_differences_are_those_of_four_directions() -> None:
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    around = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")

    def shifted(down: int, across: int) -> NDArray[np.float32]:
        part: NDArray[np.float32] = around[..., 1 + down : 6 + down, 1 + across : 7 + across]
        return part

    found = []
    for way, far in (((0, 1), 1), ((1, 0), 1), ((1, 1), 0.5), ((1, -1), 0.5)):
        back = (-way[0], -way[1])
        found.append(np.abs(far * (shifted(*way) + shifted(*back) - 2 * shifted(0, 0))))
    np.testing.assert_allclose(second_differences(x), np.max(found, axis=0), atol=1e-5)


def test_edges_of_every_direction_are_seen_and_the_codes_see_one() -> None:
    across = torch.zeros(1, 16, 8, 8)
    across[..., 4] = 1
    down = across.transpose(2, 3)
    for x in (across, down):
        assert second_differences(x).amax() == 2
    coded = Enhancer(16, EnhancerConfig(laplacian="as_coded"), "group").laplacian
    assert coded is not None
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert coded(across)[inside].abs().amax() == 6
    assert coded(down)[inside].abs().amax() == 0


def test_the_strongest_nearby_stands_for_its_cell() -> None:
    x = torch.randn(1, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    cells = x.view(1, 2, 2, 2, 3, 2).amax((3, 5))
    expected = cells.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(strongest_nearby(x), expected)
    assert strongest_nearby(torch.ones(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def test_kernels_go_together_as_they_would_alone() -> None:
    """The convolutions, and the norms behind them."""
    torch.manual_seed(0)
    convs = nn.ModuleList(nn.Conv2d(8, 8, k, padding=k // 2, groups=8) for k in KERNELS)
    x = torch.randn(2, 24, 6, 5)
    found = F.conv2d(x, *together(convs), padding=KERNELS[-1] // 2, groups=24)
    alone = [conv(part) for conv, part in zip(convs, x.chunk(len(KERNELS), 1), strict=True)]
    torch.testing.assert_close(found, torch.cat(alone, dim=1), rtol=0, atol=1e-5)
    for norm in ("group", "instance"):
        parts = [norm_of(8, norm)(part) for part in x.chunk(3, dim=1)]
        torch.testing.assert_close(norm_of(24, norm, parts=3)(x), torch.cat(parts, dim=1))


def test_nothing_is_injected_before_the_first_step() -> None:
    """The transformer's own features go through, whatever stands beside them."""
    system, batch = build().eval(), noise(1, (64, 64), POLYP)
    other = dataclasses.replace(TINY, experts=ExpertConfig(kernels=()))
    plain = build(other).eval()
    kept: dict[str, Tensor] = {}
    for name, one in (("experts", system), ("none", plain)):
        one.vit.blocks[-1].register_forward_hook(
            lambda _, __, out, name=name: kept.update({name: out})
        )
        with torch.inference_mode():
            one(batch, (64, 64))
    assert torch.equal(kept["experts"], kept["none"])


# ------------------------------------------------------------------ head


def test_logits_are_maskformers_and_the_classes_exclude_each_other() -> None:
    rng = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(2, 5, 4, generator=rng), torch.randn(2, 5, 6, 8, generator=rng)
    logits = class_logits(classes, masks, (12, 16), exclusive=True)
    large = F.interpolate(masks, (12, 16), mode="bilinear", align_corners=False).sigmoid()
    summed = torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :3], large)
    assert torch.equal(logits.argmax(1), summed.argmax(1))
    torch.testing.assert_close(
        logits.softmax(1), summed / summed.sum(1, keepdim=True), rtol=0, atol=1e-4
    )
    single = class_logits(classes[..., 1:], masks, (12, 16), exclusive=False)
    background, polyp = torch.einsum("bqc,bqhw->cbhw", classes[..., 1:].softmax(-1)[..., :2], large)
    assert torch.equal(single[:, 0] > 0, polyp > background)
    torch.testing.assert_close(
        single[:, 0].sigmoid(), polyp / (polyp + background), rtol=0, atol=1e-4
    )


def test_classes_that_overlap_are_there_where_a_query_says_so() -> None:
    """Two queries say liver and tumour at one place, where both are; a third says background."""
    classes = 12 * torch.eye(4)[[1, 2, 0]][None]
    masks = torch.full((1, 3, 4, 4), -12.0)
    masks[0, 0, :2], masks[0, 1, 1:3], masks[0, 2, 3] = 12, 12, 12
    logits = class_logits(classes, masks, (4, 4), exclusive=False)
    assert logits.shape == (1, 2, 4, 4)
    assert (logits[0, 0, :, 0] > 0).tolist() == [True, True, False, False]
    assert (logits[0, 1, :, 0] > 0).tolist() == [False, True, True, False]
    rng = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(1, 3, 4, generator=rng), torch.randn(1, 3, 4, 4, generator=rng)
    logits = class_logits(classes, masks, (4, 4), exclusive=False)
    says = classes.softmax(-1)[0, :, 1, None, None] * masks[0].sigmoid()
    torch.testing.assert_close(logits[0, 0].sigmoid(), 1 - (1 - says).prod(0))


@pytest.mark.parametrize("exclusive", [True, False])
def test_decided_logits_have_the_same_labels_and_no_doubt(exclusive: bool) -> None:
    names = ("background", "a", "b") if exclusive else ("a", "b", "c")
    spec = ClassSpec(names, exclusive=exclusive)
    logits = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    sure = decided(logits, exclusive=exclusive)
    assert np.array_equal(spec.labels(sure), spec.labels(logits))
    shares = spec.probabilities(sure)
    assert torch.minimum(shares, 1 - shares).max() < 1e-8


# ------------------------------------------------------------------ contract

VARIANTS: Mapping[str, WeftConfig] = {
    "as coded": changed(
        experts=ExpertConfig(kernels=(1, 5), top=1, router="twice", compute="all"),
        adapter=dataclasses.replace(AS_CODED.adapter, heads=4),
        norm="instance",
        output="labels",
        embedding_rate=0.1,
    ),
    "plain": changed(
        experts=ExpertConfig(kernels=()),
        adapter=AdapterConfig(
            subspace_tokens=False, enhancer=EnhancerConfig(enabled=False), update="none"
        ),
    ),
    "unguided": changed(guided=False),
    "unguided, odd sizes": changed(guided=False, image_size=80),
    "a map's loss, odd sizes": changed(
        image_size=80,
        experts=ExpertConfig(kernels=(1, 3), top=1),
        loss=DiceCe(),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant: str) -> None:
    check_system(VARIANTS[variant], [LANDMARKS])


def test_a_class_token_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told nothing of what stands beside the transformer."""
    sizes: Any = vit_module._VIT
    small = {"embed_dim": 64, "depth": 4, "num_heads": 2}
    monkeypatch.setitem(sizes, "dinov2_s", {**sizes["dinov2_s"], **small})
    weights = VitWeights(size="dinov2_s", pretrained="random")
    system = build(changed(image_size=70, vit=weights), LANDMARKS).eval()
    seen: list[Tensor] = []
    system.vit.blocks[0].register_forward_pre_hook(lambda _, told: seen.append(told[0]))
    batch = noise(2, (70, 70), LANDMARKS)
    with torch.inference_mode():
        nn.init.ones_(system.stages[0].get_parameter("gamma"))
        assert system(batch, (32, 40)).logits_BKhw.shape == (2, 3, 32, 40)
        image = standardise(batch.image_B3HW)
        torch.testing.assert_close(seen[0][:, 0], embed(system.vit, image)[:, 0])
        assert not torch.allclose(seen[0][:, 1:], embed(system.vit, image)[:, 1:], atol=1e-3)


def trained(config: WeftConfig, classes: ClassSpec, steps: int = 3) -> Weft:
    """After a few steps on noise."""
    system = build(config, classes)
    Method.named("frozen").adapt(system)
    optimizer = adamw(head_groups(system, OptimConfig(lr=1e-2)), OptimConfig(lr=1e-2))
    batch = noise(2, config.input_size, classes)
    for step in range(steps):
        gradient(system, batch, Progress(step=step, total=steps, epoch=1, epochs=1))
        optimizer.step()
    return system


def gradient(system: Weft, batch: Batch, progress: Progress = HALFWAY) -> float:
    system.train()
    system.zero_grad()
    loss = system.loss(system(batch, (64, 64), progress), batch, progress)
    loss.backward()
    return loss.item()


@pytest.fixture(scope="module")
def moved() -> Weft:
    """What is injected is no longer zero."""
    return trained(TINY, LANDMARKS)


def test_a_batch_is_its_microbatches(moved: Weft) -> None:
    batch = noise(3, (64, 64), LANDMARKS)

    def found(*samples: int) -> dict[str, Tensor]:
        gradient(moved, batch.take(samples))
        return {n: p.grad.clone() for n, p in moved.named_parameters() if p.grad is not None}

    whole, pair, single = found(0, 1, 2), found(0, 1), found(2)
    largest = max(float(x.abs().max()) for x in whole.values())
    for name, expected in whole.items():
        mean = (2 * pair[name] + single[name]) / 3
        torch.testing.assert_close(expected, mean, rtol=0, atol=1e-5 * largest, msg=name)


def test_evaluation_is_the_same_bits_again_and_in_other_batches(moved: Weft) -> None:
    moved.eval()
    batch = noise(3, (64, 64), LANDMARKS)
    with torch.inference_mode():
        torch.manual_seed(1)
        first = moved(batch, (48, 80))
        torch.manual_seed(2)
        again = moved(batch, (48, 80))
        alone = moved(batch.take([2]), (48, 80))
    assert torch.equal(first.logits_BKhw, again.logits_BKhw)
    assert torch.equal(first.maps["kernels"], again.maps["kernels"])
    torch.testing.assert_close(alone.logits_BKhw[0], first.logits_BKhw[2], rtol=0, atol=1e-4)
    spec = LANDMARKS
    assert np.array_equal(spec.labels(alone.logits_BKhw)[0], spec.labels(first.logits_BKhw)[2])


PIECES = (
    "pyramid.stem",
    "pyramid.halve",
    "pyramid.widen",
    "pyramid.banks.0.router",
    "pyramid.banks.0.experts",
    "levels",
    *(f"stages.{i}.{part}" for i in (0, 3) for part in ("attention", "tokens", "layers")),
    "norms",
    "head.pixels",
    "head.queries.decoder.layers",
    "head.queries.queries_features",
    "head.classes",
)


def test_no_piece_is_inert(moved: Weft) -> None:
    """After a few steps each has a gradient, and what is predicted of an image depends on it."""
    batch = noise(1, (64, 64), LANDMARKS, seed=3)
    gradient(moved, batch)
    silent = [
        name
        for name in PIECES
        if not any(
            p.grad is not None and p.grad.any() for p in moved.get_submodule(name).parameters()
        )
    ]
    assert not silent
    moved.eval()
    with torch.inference_mode():
        expected = moved(batch, (64, 64)).logits_BKhw
        inert = []
        for name in PIECES:
            piece = moved.get_submodule(name)
            kept = {n: x.clone() for n, x in piece.state_dict().items()}
            for parameter in piece.parameters():
                parameter.mul_(1.5).add_(0.01)
            if torch.allclose(moved(batch, (64, 64)).logits_BKhw, expected, atol=1e-5):
                inert.append(name)
            piece.load_state_dict(kept)
    assert not inert


def test_an_adapted_transformer_learns_and_merges(moved: Weft) -> None:
    """Low-rank adapters of q and v, which timm fuses, behind features that move."""
    system, batch = build(TINY, LANDMARKS), noise(2, (64, 64), LANDMARKS)
    system.load_state_dict(moved.state_dict())
    method = Method.named("lora_qv", rank=2)
    method.adapt(system)
    optimizer = method.optimizer(system, OptimConfig(lr=1e-3))
    for _ in range(2):
        gradient(system, batch)
        optimizer.step()
    system.eval()
    with torch.inference_mode():
        before = system(batch, (64, 64)).logits_BKhw
        method.merge(system)
        after = system(batch, (64, 64)).logits_BKhw
    torch.testing.assert_close(before, after, rtol=0, atol=1e-4)
    assert system.state_dict().keys() == moved.state_dict().keys()


def test_half_precision_gives_nearly_the_same() -> None:
    system, batch = build(TINY, LANDMARKS), noise(2, (64, 64), LANDMARKS)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(gradient(system, batch))
        assert all(
            p.grad is None or (p.grad.isfinite().all() and p.grad.dtype == torch.float32)
            for p in system.parameters()
        )
    assert found[1] == pytest.approx(found[0], rel=0.05)


def experts(**fields: Any) -> WeftConfig:
    return changed(experts=ExpertConfig(**fields))


SWITCHES: Mapping[str, WeftConfig] = {
    "kernels": experts(kernels=(1, 3, 7)),
    "no experts": changed(experts=ExpertConfig(kernels=())),
    "unguided": changed(guided=False),
    "top": experts(top=1),
    "router": experts(router="twice"),
    "shared": experts(shared=False),
    "width": experts(width=8),
    "heads": changed(adapter=AdapterConfig(heads=2)),
    "points": changed(adapter=AdapterConfig(points=2)),
    "subspace_tokens": changed(adapter=AdapterConfig(subspace_tokens=False)),
    "no enhancer": changed(adapter=AdapterConfig(enhancer=EnhancerConfig(enabled=False))),
    "laplacian": changed(adapter=AdapterConfig(enhancer=EnhancerConfig(laplacian="as_coded"))),
    "pool": changed(adapter=AdapterConfig(enhancer=EnhancerConfig(pool="identity"))),
    "update": changed(adapter=AdapterConfig(update="none")),
    "extra_layers": changed(adapter=AdapterConfig(extra_layers=1)),
    "head width": changed(head=HeadConfig(width=64)),
    "queries": changed(head=HeadConfig(queries=9)),
    "head's heads": changed(head=HeadConfig(heads=2)),
    "pixel_layers": changed(head=HeadConfig(pixel_layers=2)),
    "pixel_hidden": changed(head=HeadConfig(pixel_hidden=32)),
    "layers": changed(head=HeadConfig(layers=3)),
    "hidden": changed(head=HeadConfig(hidden=32)),
    "norm": changed(norm="instance"),
    "embedding_rate": changed(embedding_rate=0.1),
    "loss": changed(loss=DiceCe()),
    "dice_weight": changed(loss=QueryMatching(dice_weight=2.0)),
    "class_weight": changed(loss=QueryMatching(class_weight=1.0)),
    "mask_weight": changed(loss=QueryMatching(mask_weight=1.0)),
    "nothing_weight": changed(loss=QueryMatching(nothing_weight=1.0)),
    "loss's points": changed(loss=QueryMatching(points=256)),
}


def shapes(config: WeftConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {n: p.shape for n, p in config.build(POLYP).named_parameters()}


@functools.cache
def one_step(config: WeftConfig) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in trained(config, POLYP, 1).named_parameters()}


@pytest.mark.parametrize("switch", SWITCHES)
def test_no_switch_is_dead(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each changes what there is to train, or how it is trained: `compute` alone changes time, and
    `output` what is shown."""
    with monkeypatch.context() as patch:
        patch.setattr(network, "tensors_hash", lambda module: "")
        if shapes(TINY) != shapes(SWITCHES[switch]):
            return
    before, after = one_step(TINY), one_step(SWITCHES[switch])
    assert any(not torch.equal(x, after[n]) for n, x in before.items())


@pytest.mark.parametrize("side", [64, 80])
def test_without_guidance_the_head_sees_maps_of_the_same_sizes(side: int) -> None:
    seen: list[list[torch.Size]] = []
    for config in (changed(image_size=side), changed(image_size=side, guided=False)):
        system = build(config)
        system.head.register_forward_pre_hook(
            lambda _, args: seen.append([x.shape for x in args[0]])
        )
        system(noise(1, (side, side), POLYP), (side, side))
    assert seen[0] == seen[1]
    trained = {name.split(".")[0] for name, p in system.named_parameters() if "vit" not in name}
    assert trained == {"norms", "head"}


def test_labels_are_handed_out_when_nothing_is_trained() -> None:
    system = build(changed(output="labels"))
    batch = noise(1, (64, 64), POLYP)
    with torch.inference_mode():
        soft = system.train()(batch, (64, 64)).logits_BKhw
        hard = system.eval()(batch, (64, 64)).logits_BKhw
    assert len(soft.unique()) > 100
    assert set(hard.unique().tolist()) <= {-20, 20}


def test_parts_have_their_rates() -> None:
    parts = build(changed(embedding_rate=0.1)).parts()
    slow = {name for name, part in parts.items() if part.rate == 0.1}
    assert {name.rpartition(".")[2] for name in slow} == {
        "classes",
        "queries_embedder",
        "queries_features",
        "level_embed",
        "mask_predictor",
    }
    assert {name for name, part in parts.items() if part.role == "pretrained"} == {"vit"}
    assert {part.rate for name, part in parts.items() if name not in slow} == {1.0}


def test_a_loss_of_queries_needs_no_gradient_of_the_map() -> None:
    batch = noise(1, (64, 64), POLYP)
    assert not build()(batch, (64, 64), FINISHED).logits_BKhw.requires_grad
    assert build(changed(loss=DiceCe()))(batch, (64, 64), FINISHED).logits_BKhw.requires_grad


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: changed(image_size=72), "image_size = 72: give a multiple of 16"),
        (
            lambda: changed(adapter=AdapterConfig(heads=3)),
            "128 channels can't be shared out among twice the heads, 6",
        ),
        (lambda: ExpertConfig(kernels=(1, 4, 4), top=5), "4, 4 is not odd; .* once; top = 5 of 3"),
        (
            lambda: ExpertConfig(kernels=(), top=1, shared=False),
            "top has no effect without kernels: leave it out; shared has no effect",
        ),
        (
            lambda: EnhancerConfig(enabled=False, pool="identity"),
            "laplacian and pool have no effect with enabled=False",
        ),
        (
            lambda: changed(guided=False, experts=ExpertConfig(top=1)),
            "experts has no effect with guided=False: leave it out",
        ),
        (lambda: HeadConfig(width=64, heads=3), "width = 64 can't be shared out among 3 heads"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
