"""Generic scenes, the command that makes the packaged weights, and the weights themselves."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from segcore.data.scenes.generic_scenes import LINES, REGIONS, degraded, render
from segcore.data.scenes.objects import boxed_objects
from segcore.pretrain import SIZE, main
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.pixels import standardise
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.systems.rgb_encoders.vit import VitWeights
from segcore.systems.weights import tensors_hash

FILES = (
    "nano_sam2.safetensors",
    "nano_depth.safetensors",
    "nano_sam.safetensors",
    "nano_vit.safetensors",
)
HELD_OUT = 20_000_000
"""Seeds from here on are of scenes that nothing was trained or chosen on."""


def test_scenes_are_reproducible_and_differ() -> None:
    one, again, other = render(3), render(3), render(4)
    assert np.array_equal(one.image_HW3, again.image_HW3)
    assert np.array_equal(one.depth_HW, again.depth_HW)
    assert not np.array_equal(one.image_HW3, other.image_HW3)


def test_scenes_show_what_they_are_labelled_with() -> None:
    scenes = [render(seed, 64) for seed in range(40)]
    for scene in scenes:
        assert scene.image_HW3.shape == (64, 64, 3)
        assert scene.lines_3HW.shape == (len(LINES), 64, 64)
        assert scene.depth_HW.min() == 0
        assert scene.depth_HW.max() == 1
        # An occluding edge is where depth jumps.
        steps = np.hypot(*np.gradient(scene.depth_HW))
        boundary = scene.lines_3HW[0]
        assert steps[boundary].mean() > 3 * steps[~boundary].mean()
    seen = np.unique(np.concatenate([scene.regions_HW.ravel() for scene in scenes]))
    assert len(seen) == len(REGIONS)
    assert all(any(scene.lines_3HW[k].any() for scene in scenes) for k in range(len(LINES)))


def test_degraded_depth_keeps_the_order_of_layers() -> None:
    depth = render(0).depth_HW
    spoiled, toned = degraded(depth, np.random.default_rng(0))
    assert not np.array_equal(spoiled, toned)
    order = np.argsort(depth.ravel(), kind="stable")
    assert (np.diff(toned.ravel()[order]) >= 0).all()
    assert np.corrcoef(spoiled.ravel(), toned.ravel())[0, 1] > 0.95


@pytest.mark.slow
def test_pretraining_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        main(["--quick", "--out", str(tmp_path / name)])
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    Sam2Config(pretrained="checkpoint", checkpoint=str(tmp_path / "one" / FILES[0])).build()
    depth = str(tmp_path / "one" / FILES[1])
    DepthAnythingV2Config(pretrained="checkpoint", checkpoint=depth).build()
    SamWeights(pretrained="checkpoint", checkpoint=str(tmp_path / "one" / FILES[2])).build(SIZE)
    VitWeights(pretrained="checkpoint", checkpoint=str(tmp_path / "one" / FILES[3])).build(SIZE)


@pytest.mark.parametrize("file", FILES)
def test_packaged_weights_are_small_and_say_where_they_come_from(file: str) -> None:
    path = Path(str(resources.files("segcore"))) / "weights" / file
    assert path.stat().st_size < 4_000_000
    with safe_open(path, framework="pt") as weights:
        about = json.loads(weights.metadata()["pretraining"])
        dtypes = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118
    assert dtypes == {torch.float16}
    assert about["command"] == "python -m segcore.pretrain"
    assert about["val"]
    assert {"torch", "sam2", "transformers"} <= about["versions"].keys()


def test_packaged_weights_load_in_single_precision_and_always_alike() -> None:
    for config in (Sam2Config(), DepthAnythingV2Config()):
        encoder = config.build()
        assert {p.dtype for p in encoder.parameters()} == {torch.float32}
        assert tensors_hash(encoder) == tensors_hash(config.build())


@pytest.mark.slow
def test_the_packaged_sam_sees_more_than_its_box() -> None:
    """On held-out scenes and jittered boxes, against the filled box and the ellipse in it."""
    model, rng, found = SamWeights().build(SIZE), np.random.default_rng(5), []
    model.train(False)
    for seed in range(HELD_OUT, HELD_OUT + 200):
        scene = render(seed, SIZE)
        objects = boxed_objects(scene, rng, 1)
        if not objects:
            continue
        image = torch.from_numpy(scene.image_HW3).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            masks = model(
                pixel_values=standardise(image),
                input_boxes=torch.from_numpy(objects[0].box_4)[None, None] * SIZE,
                multimask_output=False,
            ).pred_masks[:, :, 0]
            full = torch.nn.functional.interpolate(masks, (SIZE, SIZE), mode="bilinear")
        found.append(objects[0].dice(full[0, 0].numpy() > 0))
    own, filled, ellipse = np.array(found).T
    assert len(own) > 150
    for other in (filled, ellipse):
        gain = own - other
        assert gain.mean() >= 0.03
        assert gain.mean() - 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) > 0
