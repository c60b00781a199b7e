"""The plain vision transformer: files of two kinds, and what their authors' encoders compute."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model

from segcore.systems.rgb_encoders import vit as vit_module
from segcore.systems.rgb_encoders.vit import VitWeights, build_vit, embed, load_vit, read_checkpoint
from segcore.systems.system import projections

WIDTH, DEPTH, HEADS = 64, 3, 4


@pytest.fixture
def real_sizes() -> None:
    """For tests of what is published, not of smaller ones."""


# ------------------------------------------------------------------ Uni-Perceiver


def uniperceiver_file(
    width: int, depth: int, *, patch: int = 16, side: int = 224
) -> dict[str, Any]:
    """Tensors of the layout that ViT-Adapter's converted file has, none of them zero."""
    rng = torch.Generator().manual_seed(0)

    def drawn(*shape: int, std: float = 0.1) -> Tensor:
        return torch.randn(*shape, generator=rng) * std

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + drawn(width), f"{name}.bias": drawn(width)}

    def linear(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
        weight = drawn(outputs, inputs, std=inputs**-0.5)
        return {f"{name}.weight": weight, f"{name}.bias": drawn(outputs)}

    patches = "visual_embed.patch_embed"
    tensors = {
        f"{patches}.spatial_pos_embed.weight": drawn((side // patch) ** 2, width),
        f"{patches}.temporal_pos_embed.weight": drawn(8, width),
        f"{patches}.proj.weight": drawn(width, 3, patch, patch, std=1 / patch),
        f"{patches}.proj.bias": drawn(width),
        **norm("visual_embed.embeddings_norm"),
    }
    for i in range(depth):
        tensors |= {
            **norm(f"layers.{i}.norm1"),
            **norm(f"layers.{i}.norm2"),
            **linear(f"layers.{i}.self_attn.in_proj", width, 3 * width),
            **linear(f"layers.{i}.self_attn.out_proj", width, width),
            **linear(f"layers.{i}.linear1", width, 4 * width),
            **linear(f"layers.{i}.linear2", 4 * width, width),
            f"layers.{i}.gamma_1": drawn(width),
            f"layers.{i}.gamma_2": drawn(width),
        }
    return tensors


def slow_encoder(t: dict[str, Tensor], image: Tensor, *, depth: int, heads: int) -> Tensor:
    """What its authors' encoder computes, written out head by head; (B, L, C)."""
    patches = "visual_embed.patch_embed"
    weight = t[f"{patches}.proj.weight"]
    side = weight.shape[-1]
    x = F.conv2d(image, weight, t[f"{patches}.proj.bias"], stride=side)
    height, width = x.shape[-2:]
    code = t[f"{patches}.spatial_pos_embed.weight"]
    grid = math.isqrt(len(code))
    code = F.interpolate(
        code.T.reshape(1, -1, grid, grid), (height, width), mode="bicubic", align_corners=False
    )
    time = t[f"{patches}.temporal_pos_embed.weight"][0]
    x = (x + code).flatten(2).transpose(1, 2) + time

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    x = norm(x, "visual_embed.embeddings_norm")
    for i in range(depth):
        qkv = linear(norm(x, f"layers.{i}.norm1"), f"layers.{i}.self_attn.in_proj")
        q, k, v = qkv.chunk(3, dim=-1)
        each = q.shape[-1] // heads
        said = []
        for head in range(heads):
            own = slice(head * each, (head + 1) * each)
            alike = q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(each)
            said.append(alike.softmax(-1) @ v[..., own])
        out = linear(torch.cat(said, dim=-1), f"layers.{i}.self_attn.out_proj")
        x = x + t[f"layers.{i}.gamma_1"] * out
        hidden = linear(norm(x, f"layers.{i}.norm2"), f"layers.{i}.linear1")
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + t[f"layers.{i}.gamma_2"] * linear(hidden, f"layers.{i}.linear2")
    return x


def test_it_has_as_many_parameters_as_is_said(real_sizes: None) -> None:
    """In the file there are 303,356,928: eight codes of time and the patches' bias become part of
    the position code."""
    with torch.device("meta"):
        own = sum(p.numel() for p in build_vit("uniperceiver_l", 224).parameters())
        of_file = {n: x.numel() for n, x in uniperceiver_shapes().items()}
    folded = 8 * 1024 + 1024
    assert own == 303_347_712
    assert sum(of_file.values()) == own + folded == 303_356_928


def uniperceiver_shapes() -> dict[str, Tensor]:
    """One layer's tensors stand for all 24."""
    tensors = {n: x.to("meta") for n, x in uniperceiver_file(1024, 1).items()}
    layer = {n: x for n, x in tensors.items() if n.startswith("layers.0.")}
    more = {n.replace(".0.", f".{i}.", 1): x for i in range(1, 24) for n, x in layer.items()}
    return tensors | more


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Transformers of the same making as the published ones, and smaller."""
    sizes: Any = vit_module._VIT
    for name in () if "real_sizes" in request.fixturenames else ("uniperceiver_l", "dinov2_s"):
        small = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
        monkeypatch.setitem(sizes, name, {**sizes[name], **small})


@pytest.mark.parametrize("side", [224, 160])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_uniperceivers_file_gives_its_authors_outputs(tmp_path: Path, side: int, kind: str) -> None:
    tensors = uniperceiver_file(WIDTH, DEPTH)
    path = tmp_path / f"converted.{kind}"
    if kind == "pth":
        torch.save({"state_dict": tensors} if side == 160 else tensors, path)
    else:
        save_file(tensors, path)
    weights = VitWeights(size="uniperceiver_l", pretrained="checkpoint", checkpoint=str(path))
    vit = weights.build(side).eval()
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = vit.blocks(embed(vit, image))
        expected = slow_encoder(tensors, image, depth=DEPTH, heads=HEADS)
    assert found.shape == (2, (side // 16) ** 2, WIDTH)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    # timm's own way through it, where it takes no position code of another size.
    with torch.inference_mode():
        torch.testing.assert_close(vit.forward_features(image), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.1.gamma_1": None}, r"missing: blocks\.1\.ls1\.gamma"),
        ({"head.weight": torch.ones(2)}, r"unused: head\.weight"),
        ({"layers.3.gamma_1": torch.ones(64)}, r"unused: blocks\.3\.ls1\.gamma"),
        ({"layers.0.gamma_1": torch.ones(3)}, r"misshapen: blocks\.0\.ls1\.gamma \(3,\)"),
        ({"layers.0.gamma_1": torch.full((64,), torch.nan)}, "with NaN or infinity: blocks.0.ls1"),
        (
            {
                "visual_embed.patch_embed.proj.bias": None,
                "visual_embed.patch_embed.temporal_pos_embed.weight": None,
            },
            "lacks .*temporal_pos_embed.weight, .*proj.bias: download it again",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    tensors = uniperceiver_file(WIDTH, DEPTH) | change
    path = tmp_path / "converted.pth"
    torch.save({n: x for n, x in tensors.items() if x is not None}, path)
    with pytest.raises(ValueError, match=message):
        VitWeights(size="uniperceiver_l", pretrained="checkpoint", checkpoint=str(path)).build(64)


# ------------------------------------------------------------------ DINOv2


@pytest.fixture(scope="module")
def dinov2() -> Dinov2Model:
    """transformers' DINOv2 for images of 56 pixels; nothing in it is zero."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=56,
        patch_size=14,
    )
    model: Dinov2Model = Dinov2Model(config)
    model.train(False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".bias", ".lambda1", "cls_token", "position_embeddings")):
                parameter.normal_(0, 0.1)
    return model


@pytest.fixture(scope="module")
def folder(dinov2: Dinov2Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dinov2")
    dinov2.save_pretrained(path)
    return path


def test_a_folder_of_transformers_gives_its_outputs(dinov2: Dinov2Model, folder: Path) -> None:
    vit = VitWeights(size="dinov2_s", pretrained="checkpoint", checkpoint=str(folder)).build(56)
    image = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = vit.eval().blocks(embed(vit, image))
        expected = dinov2(image, output_hidden_states=True).hidden_states[-1]
    assert found.shape == (2, 1 + 16, WIDTH), "a class token goes first"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_metas_and_timms_names_are_read_and_give_the_same(tmp_path: Path, folder: Path) -> None:
    tensors = read_checkpoint(folder)
    assert not {"mask_token", "norm.weight"} & tensors.keys()
    path = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save(
        tensors | {"mask_token": torch.zeros(1, WIDTH), "norm.bias": torch.zeros(WIDTH)}, path
    )
    one, other = (
        VitWeights(size="dinov2_s", pretrained="checkpoint", checkpoint=str(place)).build(56)
        for place in (folder, path)
    )
    for name, x in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], x), name


def test_only_the_patches_code_is_resized(folder: Path) -> None:
    tensors = read_checkpoint(folder)
    larger = build_vit("dinov2_s", 112)
    load_vit(larger, tensors, "the folder")
    kept = larger.state_dict()
    assert {n for n, x in tensors.items() if kept[n].shape != x.shape} == {"pos_embed"}
    assert torch.equal(kept["pos_embed"][:, :1], tensors["pos_embed"][:, :1])
    grid = tensors["pos_embed"][0, 1:].T.reshape(1, -1, 4, 4)
    expected = F.interpolate(grid, (8, 8), mode="bicubic", align_corners=False)
    torch.testing.assert_close(kept["pos_embed"][0, 1:].T.reshape(1, -1, 8, 8), expected)


# ------------------------------------------------------------------ any


def test_the_small_one_passes_things_on_from_the_first_step() -> None:
    vit = VitWeights(pretrained="random").build(64)
    scales = [p for name, p in vit.named_parameters() if name.endswith(".gamma")]
    assert len(scales) == 2 * len(vit.blocks)
    assert all((p == 1).all() for p in scales)
    attention, both = (projections(vit, mlp=mlp) for mlp in (False, True))
    assert len(attention) == 2 * len(vit.blocks)
    assert len(both) == 4 * len(vit.blocks)
    assert {name.rpartition(".")[2] for name in attention} == {"qkv", "proj"}


class _Runs:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "is damaged, or holds more than tensors"),
        (pickle.dumps({"pos_embed": _Runs()}), "is damaged, or holds more than"),
        ({"a": torch.zeros(1)}, "is no plain vision transformer's checkpoint: it has no tensor"),
        ({"pos_embed": torch.zeros(1)}, "misshapen: pos_embed"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vit.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        VitWeights(size="dinov2_s", pretrained="checkpoint", checkpoint=str(path)).build(56)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "uniperceiver_l"}, "packaged weights exist for size 'nano'"),
        ({"size": "uniperceiver_l", "pretrained": "hub", "hub": "a/b"}, "are on no hub: download"),
        ({"size": "dinov2_l", "pretrained": "checkpoint"}, "needs checkpoint=PLACE"),
    ],
)
def test_a_source_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VitWeights(**fields)
