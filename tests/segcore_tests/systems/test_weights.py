"""Weights of the dual encoder's two encoders: checkpoints that fit, and ones that do not."""

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation, Sam2Model

from segcore.classes import ClassSpec
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config, network_config
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES
from segcore.systems.rgb_encoders.sam2 import Sam2Config, Size, build_hiera, sam2_name
from segcore.systems.weights import tensors_hash

NANO_HIERA = {
    "hidden_size": 32,
    "blocks_per_stage": [1, 2, 3, 1],
    "embed_dim_per_stage": [32, 64, 128, 256],
    "num_attention_heads_per_stage": [1, 2, 4, 8],
    "window_size_per_stage": [8, 4, 8, 4],
    "global_attention_blocks": [5],
}
"""Our nano trunk in the words of transformers."""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "small"}, "packaged weights exist for size 'nano'"),
        ({"pretrained": "checkpoint"}, "needs checkpoint="),
        ({"checkpoint": "x.safetensors"}, "checkpoint has no effect"),
        ({"hub": "a/b"}, "hub has no effect"),
        ({"size": "small", "pretrained": "hub"}, "needs hub=NAME"),
        ({"pretrained": "hub", "hub": "a/b"}, "on no hub"),
    ],
)
def test_sources_of_weights_that_cannot_be_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DepthAnythingV2Config(**fields)


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
        DepthAnythingV2Config(pretrained="checkpoint", checkpoint=absent).build()
    folder = str(tmp_path)
    with pytest.raises(ValueError, match="no model.safetensors in"):
        DepthAnythingV2Config(size="small", pretrained="checkpoint", checkpoint=folder).build()


def test_depth_anything_folder_round_trip_and_faults(tmp_path: Path) -> None:
    config = network_config("small")
    network = DepthAnythingForDepthEstimation(config)
    network.save_pretrained(tmp_path)
    wanted = DepthAnythingV2Config(size="small", pretrained="checkpoint", checkpoint=str(tmp_path))
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


def changed(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, none with a value that it starts with."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(x.shape, generator=generator) / 5
        for name, x in module.state_dict().items()
    }


def test_metas_file_fills_every_tensor(tmp_path: Path) -> None:
    tensors = changed(Sam2Config(size="hiera_tiny", pretrained="random").build())
    file = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": {**tensors, "sam_mask_decoder.iou_token.weight": torch.zeros(3)}}, file)
    config = Sam2Config(size="hiera_tiny", pretrained="checkpoint", checkpoint=str(file))
    assert_equal(config.build().state_dict(), tensors)


@pytest.mark.parametrize(
    ("size", "width", "blocks"),
    [
        ("hiera_tiny", 96, 12),
        ("hiera_small", 96, 16),
        ("hiera_base_plus", 112, 24),
        ("hiera_large", 144, 48),
    ],
)
def test_every_size_and_its_names_in_transformers(
    size: Size, width: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hiera reads the values of a linspace; nothing else needs any.
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        ours = build_hiera(size)
        trunk: Any = ours.trunk
        assert len(trunk.blocks) == blocks
        assert trunk.channel_list == [8 * width, 4 * width, 2 * width, width]
        hiera = {
            "hidden_size": width,
            "blocks_per_stage": [end - start for start, end in stages(trunk.stage_ends)],
            "embed_dim_per_stage": trunk.channel_list[::-1],
            "window_size_per_stage": list(trunk.window_spec),
            "window_positional_embedding_background_size": list(
                trunk.window_pos_embed_bkg_spatial_size
            ),
        }
        theirs = sam2_of_transformers(hiera, fpn=256).vision_encoder.state_dict()
    named = {sam2_name(f"vision_encoder.{n}"): x.shape for n, x in theirs.items()}
    assert named == {f"image_encoder.{n}": x.shape for n, x in ours.state_dict().items()}


def stages(ends: list[int]) -> list[tuple[int, int]]:
    return list(zip([-1, *ends[:-1]], ends, strict=True))


def sam2_of_transformers(hiera: dict[str, Any], fpn: int) -> Any:
    vision = transformers.Sam2VisionConfig(
        backbone_config=transformers.Sam2HieraDetConfig(**hiera),
        backbone_channel_list=hiera["embed_dim_per_stage"][::-1],
        fpn_hidden_size=fpn,
    )
    return Sam2Model(transformers.Sam2Config(vision_config=vision))


def test_weights_in_transformers_form_give_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = sam2_of_transformers(NANO_HIERA, fpn=64)
    network.load_state_dict(changed(network))
    network.eval().save_pretrained(tmp_path)
    image = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        theirs = network.vision_encoder(image).fpn_hidden_states
    for place in (tmp_path, tmp_path / "model.safetensors"):
        config = Sam2Config(pretrained="checkpoint", checkpoint=str(place), standardise=False)
        encoder = config.build()
        with torch.no_grad():
            ours, _ = encoder(image)
        for stride, reference in zip(STRIDES, theirs, strict=True):
            assert reference.std() > 0.1
            torch.testing.assert_close(ours[stride], reference, rtol=1e-5, atol=1e-5)


def test_one_set_of_weights_has_one_hash_in_every_form(tmp_path: Path) -> None:
    network = sam2_of_transformers(NANO_HIERA, fpn=64)
    network.load_state_dict(changed(network))
    network.save_pretrained(tmp_path / "folder")
    vision = {f"vision_encoder.{n}": x for n, x in network.vision_encoder.state_dict().items()}
    meta = {sam2_name(name): x for name, x in vision.items()}
    torch.save({"model": meta}, tmp_path / "meta.pt")
    save_file(meta, tmp_path / "meta.safetensors")
    hashes = {
        tensors_hash(Sam2Config(pretrained="checkpoint", checkpoint=str(place)).build())
        for place in tmp_path.iterdir()
    }
    assert len(hashes) == 1


def test_a_transformers_folder_that_does_not_fit_names_every_fault(tmp_path: Path) -> None:
    sam2_of_transformers(NANO_HIERA, fpn=64).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["vision_encoder.neck.convs.0.bias"]
    tensors["vision_encoder.backbone.blocks.7.layer_norm1.bias"] = torch.zeros(2)
    tensors["vision_encoder.backbone.pos_embed"][0, 0, 0, 0] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        Sam2Config(pretrained="checkpoint", checkpoint=str(tmp_path)).build()
    for fault in (
        "missing: image_encoder.neck.convs.0.conv.bias",
        "unused: image_encoder.trunk.blocks.7.norm1.bias",
        "with NaN or infinity: image_encoder.trunk.pos_embed",
    ):
        assert fault in str(refused.value)


def test_files_that_are_no_sam2_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(2)}, other)
    without = tmp_path / "without.pt"
    torch.save({"state_dict": {}}, without)
    bare = tmp_path / "bare.pt"
    torch.save([torch.zeros(1)], bare)
    numbers = tmp_path / "numbers.pt"
    torch.save({"model": {"image_encoder.x": 3, 7: torch.zeros(1)}}, numbers)
    for file, message in (
        (numbers, "tensors by name, and 'image_encoder.x', 7 is none"),
        (other, "none of its tensors is called"),
        (without, "no entry 'model'"),
        (bare, "no entry 'model'"),
    ):
        with pytest.raises(ValueError, match=message):
            Sam2Config(pretrained="checkpoint", checkpoint=str(file)).build()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    sprung, file = tmp_path / "sprung", tmp_path / "sam2.pt"
    trap = {"model": {"image_encoder.x": Trap(sprung)}}
    function, arguments = Trap(sprung).__reduce__()
    function(*arguments)
    assert sprung.exists(), "the trap works"
    sprung.unlink()
    torch.save(trap, file)
    with pytest.raises(
        ValueError, match="holds more than tensors and plain values, which is never read"
    ):
        Sam2Config(pretrained="checkpoint", checkpoint=str(file)).build()
    assert not sprung.exists()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hugging Face hub, and no way to the hub itself."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def put_into(cache: Path, name: str, folder: Path) -> None:
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, model / "snapshots" / ("0" * 40))


def test_weights_by_name_from_the_hub(hub: Path, tmp_path: Path) -> None:
    depth = DepthAnythingForDepthEstimation(network_config("small"))
    depth.save_pretrained(tmp_path / "depth")
    put_into(hub, "someone/depth", tmp_path / "depth")
    found = DepthAnythingV2Config(size="small", pretrained="hub", hub="someone/depth").build()
    assert_equal(found.backbone.state_dict(), depth.backbone.state_dict())


def test_weights_that_the_hub_does_not_give_are_said_beforehand(hub: Path) -> None:
    config = DualEncoderConfig(
        rgb=Sam2Config(size="hiera_tiny", pretrained="hub", hub="someone/sam2"),
        depth=DepthAnythingV2Config(size="small", pretrained="hub", hub="not a name"),
    )
    with pytest.raises(ValueError, match="can't get someone/sam2 from") as refused:
        config.check_weights()
    assert "can't get not a name from" in str(refused.value)
    with pytest.raises(ValueError, match="can't get someone/sam2 from"):
        config.build(ClassSpec(("liver",), exclusive=False))


def assert_equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(x, two[name]) for name, x in one.items())
