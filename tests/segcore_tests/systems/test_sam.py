"""SAM by transformers: Meta's files, other sizes, and what no file may hold."""

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

from segcore.systems.rgb_encoders.sam_model import (
    POSITIONS,
    SamWeights,
    build_sam,
    load_sam,
    read_checkpoint,
)
from segcore.systems.system import projections

SIDE, GRID = 128, 8


def meta_sam() -> Sam:
    """SAM's ViT-B as Meta builds it, for small images; nothing in it is zero."""
    torch.manual_seed(0)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            depth=12,
            embed_dim=768,
            img_size=SIDE,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=12,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=(2, 5, 8, 11),
            window_size=14,
            out_chans=256,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(GRID, GRID),
            input_image_size=(SIDE, SIDE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(0, 0.1)
    sam.train(False)
    return sam


@pytest.fixture(scope="module")
def meta() -> Sam:
    return meta_sam()


@pytest.fixture(scope="module")
def checkpoint(meta: Sam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as Meta publishes it."""
    path = tmp_path_factory.mktemp("meta") / "sam_vit_b.pth"
    torch.save(meta.state_dict(), path)
    return path


def test_metas_file_gives_metas_outputs(meta: Sam, checkpoint: Path) -> None:
    ours = SamWeights(size="vit_b", pretrained="checkpoint", checkpoint=str(checkpoint)).build(SIDE)
    ours.train(False)
    image = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[[10.0, 20.0, 90.0, 70.0]], [[3.0, 5.0, 60.0, 120.0]]])
    with torch.inference_mode():
        theirs = meta.image_encoder(image)
        assert torch.allclose(ours.get_image_embeddings(image), theirs, atol=1e-4)
        found = ours(pixel_values=image, input_boxes=boxes, multimask_output=False)
        for i in range(2):
            sparse, dense = meta.prompt_encoder(points=None, boxes=boxes[i], masks=None)
            masks, quality = meta.mask_decoder(
                image_embeddings=theirs[i : i + 1],
                image_pe=meta.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            assert torch.allclose(found.pred_masks[i, 0], masks[0], atol=1e-4)
            assert torch.allclose(found.iou_scores[i, 0], quality[0], atol=1e-4)


def test_position_codes_are_resized_and_nothing_else(checkpoint: Path) -> None:
    tensors = read_checkpoint(checkpoint)
    larger = build_sam("vit_b", 3 * SIDE)
    load_sam(larger, tensors, "the file")
    kept = larger.state_dict()
    differ = {name for name, x in tensors.items() if kept[name].shape != x.shape}
    globally = {f"vision_encoder.layers.{i}.attn.rel_pos_{s}" for i in (2, 5, 8, 11) for s in "hw"}
    assert differ == {"vision_encoder.pos_embed", *globally}
    assert all(torch.equal(kept[n], x) for n, x in tensors.items() if n not in differ)
    code = torch.nn.functional.interpolate(
        tensors["vision_encoder.pos_embed"].permute(0, 3, 1, 2), (24, 24), mode="bilinear"
    )
    assert torch.allclose(kept["vision_encoder.pos_embed"].permute(0, 3, 1, 2), code)


def test_folders_of_transformers_are_read(tmp_path: Path) -> None:
    model = build_sam("nano", 64)
    model.save_pretrained(tmp_path)
    again = SamWeights(pretrained="checkpoint", checkpoint=str(tmp_path)).build(64)
    for name, x in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], x), name


def test_the_position_matrix_does_not_train() -> None:
    model = build_sam("nano", 64)
    assert not {"positional_embedding"} & {
        n.rpartition(".")[2] for n, _ in model.named_parameters()
    }
    first, second = (model.state_dict()[name] for name in POSITIONS)
    assert torch.equal(first, second)
    assert 0.5 < float(first.std()) < 1.5, "else boxes are noise"


def test_projections_are_those_of_attention_and_mlp() -> None:
    encoder = build_sam("nano", 64).vision_encoder
    attention, both = (projections(encoder, mlp=mlp) for mlp in (False, True))
    assert {name.rpartition(".")[2] for name in attention} == {"qkv", "proj"}
    assert len(attention) == 8
    assert {n.rpartition(".")[2] for n in both.keys() - attention.keys()} == {"lin1", "lin2"}


class _Runs:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "is damaged, or holds more than tensors"),
        (pickle.dumps({"image_encoder.pos_embed": _Runs()}), "is damaged, or holds more than"),
        ({"model": {"a": torch.zeros(1)}}, "must have tensors by name, and 'model' is none"),
        ({"a": torch.zeros(1)}, "is no SAM checkpoint: it has no tensor image_encoder.pos_embed"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sam.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)
    assert "executed" not in capsys.readouterr().out


def test_weights_of_another_size_are_named(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="do not fit the network; .*missing: .*layers.23"):
        SamWeights(size="vit_l", pretrained="checkpoint", checkpoint=str(checkpoint)).build(64)
    with pytest.raises(ValueError, match=r"no SAM checkpoint at .*: download sam_vit_b"):
        SamWeights(size="vit_b", pretrained="checkpoint", checkpoint="nowhere.pth").build(64)
